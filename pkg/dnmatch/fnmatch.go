package dnmatch

import (
	"unicode"
	"unicode/utf8"
)

// utf8Fnmatch is fnmatch(pattern, text, 0) of glibc in a UTF-8 locale: by characters where both are valid, and if that
// is no match, by octets.
func utf8Fnmatch(pattern, text string) bool {
	if utf8.ValidString(pattern) && utf8.ValidString(text) {
		f := fnmatcher{p: []rune(pattern), t: []rune(text), wide: true}
		if f.match(0, 0) {
			return true
		}
	}
	return octetFnmatch(pattern, text)
}

// octetFnmatch is fnmatch(pattern, text, 0) in the C locale.
func octetFnmatch(pattern, text string) bool {
	f := fnmatcher{p: octets(pattern), t: octets(text)}
	return f.match(0, 0)
}

func octets(s string) []rune {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return r
}

// A fnmatcher follows glibc 2.36, POSIX 2.13 where glibc follows that. gobwas/glob cannot express it: it has no
// classes, takes an unclosed bracket for an error, and does not mix ranges with single characters.
type fnmatcher struct {
	p, t []rune
	wide bool // characters, not octets
	// dead holds, for the places behind a * in the pattern, the place in the text from which on no match was found. How a
	// bracket goes on can depend on the character it meets, so that going back to the last * alone would not do; with
	// this memory each place of the text is tried once for each *.
	dead map[int]int
}

// match compares from pattern place i and text place n on. It calls itself once for each *, never deeper.
func (f *fnmatcher) match(i, n int) bool {
	for i < len(f.p) {
		switch c := f.p[i]; {
		case c == '*':
			for ; i < len(f.p) && (f.p[i] == '*' || f.p[i] == '?'); i++ {
				if f.p[i] == '?' {
					if n == len(f.t) {
						return false
					}
					n++
				}
			}
			if i == len(f.p) {
				return true
			}
			end, seen := f.dead[i]
			if !seen {
				end = len(f.t)
			}
			for m := n; m < end; m++ {
				if f.match(i, m) {
					return true
				}
			}
			if f.dead == nil {
				f.dead = map[int]int{}
			}
			f.dead[i] = min(n, end)
			return false
		case n == len(f.t):
			return false
		case c == '?':
			i++
		case c == '[':
			next, hit := f.bracket(i+1, f.t[n])
			if !hit {
				return false
			}
			i = next
		case c == '\\':
			if i+1 == len(f.p) || f.p[i+1] != f.t[n] {
				return false
			}
			i += 2
		case c != f.t[n]:
			return false
		default:
			i++
		}
		n++
	}
	return n == len(f.t)
}

// at gives the pattern's character at i, NUL behind its end as in C.
func (f *fnmatcher) at(i int) rune {
	if i < len(f.p) {
		return f.p[i]
	}
	return 0
}

// bracket compares the bracket whose first member is at i with one character, and gives where the pattern goes on. An
// unclosed bracket stands for the character [, unless it breaks off behind a backslash or inside a range, where glibc
// gives up.
func (f *fnmatcher) bracket(i int, c rune) (next int, hit bool) {
	start := i
	negated := f.at(i) == '!' || f.at(i) == '^'
	if negated {
		i++
	}
	for first := true; first || f.at(i) != ']'; first = false {
		if i >= len(f.p) {
			return start, c == '['
		}
		if f.p[i] == '[' && f.at(i+1) == ':' {
			if name, end, ok := f.class(i + 2); ok {
				in, known := inClass(name, c, f.wide)
				if !known {
					return 0, false
				}
				if in {
					return f.rest(end, start, negated, c)
				}
				i = end
				continue
			}
		}
		if f.p[i] == '[' && f.at(i+1) == '=' && f.at(i+2) != 0 && f.at(i+3) == '=' && f.at(i+4) == ']' {
			if f.at(i+2) == c {
				return f.rest(i+5, start, negated, c)
			}
			i += 5
			continue
		}
		low, i2, ok := f.member(i)
		if !ok {
			return 0, false
		}
		i = i2
		isRange := f.at(i) == '-' && f.at(i+1) != ']'
		// A range that breaks off behind the hyphen counts as its first character, once that has matched.
		if low == c && (!isRange || f.at(i+1) == 0) {
			return f.rest(i, start, negated, c)
		}
		if !isRange {
			continue
		}
		high, i3, ok := f.member(i + 1)
		if !ok || high == 0 {
			return 0, false
		}
		i = i3
		if low <= c && c <= high {
			return f.rest(i, start, negated, c)
		}
	}
	return i + 1, negated
}

// member reads one end of a range: a character, an escaped one, or [.x.]. It reports false where glibc gives up.
func (f *fnmatcher) member(i int) (c rune, next int, ok bool) {
	switch {
	case f.at(i) == '\\':
		return f.at(i + 1), i + 2, i+1 < len(f.p)
	case f.at(i) == '[' && f.at(i+1) == '.':
		if f.at(i+3) == '.' && f.at(i+4) == ']' {
			return f.at(i + 2), i + 5, true
		}
		return 0, 0, false // neither C nor C.UTF-8 have collating elements with names
	}
	return f.at(i), i + 1, i < len(f.p)
}

// class reads the name of a character class up to :].
func (f *fnmatcher) class(i int) (name string, next int, ok bool) {
	for j := i; j < len(f.p); j++ {
		if f.p[j] == ':' && f.at(j+1) == ']' {
			return string(f.p[i:j]), j + 2, true
		}
		if f.p[j] < 'a' || f.p[j] >= 'z' {
			break
		}
	}
	return "", 0, false
}

// rest goes to the end of a bracket of which a member has matched.
func (f *fnmatcher) rest(i, start int, negated bool, c rune) (next int, hit bool) {
	for {
		if i >= len(f.p) {
			return start, c == '['
		}
		switch {
		case f.p[i] == ']':
			return i + 1, !negated
		case f.p[i] == '\\':
			if i+1 >= len(f.p) {
				return 0, false
			}
			i += 2
			continue
		case f.p[i] == '[' && f.at(i+1) == ':':
			if _, end, ok := f.class(i + 2); ok {
				i = end
				continue
			}
		case f.p[i] == '[' && f.at(i+1) == '=':
			if f.at(i+2) == 0 || f.at(i+3) != '=' || f.at(i+4) != ']' {
				return 0, false
			}
			i += 5
			continue
		case f.p[i] == '[' && f.at(i+1) == '.':
			j := i + 2
			for ; f.at(j) != '.' || f.at(j+1) != ']'; j++ {
				if f.at(j) == 0 {
					return 0, false
				}
			}
			i = j + 2
			continue
		}
		i++
	}
}

// inClass reports whether c is in a class, and whether there is such a class. In the C locale only ASCII is in classes.
func inClass(name string, c rune, wide bool) (in, known bool) {
	ascii := c < 0x80
	if !ascii && !wide {
		c = 0
	}
	letter := c|0x20 >= 'a' && c|0x20 <= 'z' && ascii
	digit := c >= '0' && c <= '9'
	upper := letter && c <= 'Z'
	graph := c > ' ' && c < 0x7f
	if !ascii && wide {
		// glibc counts digits of other scripts as letters, so that alnum is alpha and digit.
		letter = unicode.IsLetter(c) || unicode.In(c, unicode.Nl, unicode.Other_Alphabetic, unicode.Nd)
		graph = unicode.IsGraphic(c) && !unicode.IsSpace(c) || unicode.In(c, unicode.Co, unicode.Cf) || noBreak(c)
	}
	switch name {
	case "alpha":
		return letter, true
	case "digit":
		return digit, true
	case "alnum":
		return letter || digit, true
	case "upper":
		return upper || !ascii && wide && unicode.In(c, unicode.Lu, unicode.Lt, unicode.Other_Uppercase), true
	case "lower":
		return letter && !upper && (ascii || unicode.In(c, unicode.Ll, unicode.Lt, unicode.Other_Lowercase)), true
	case "xdigit":
		return digit || ascii && c|0x20 >= 'a' && c|0x20 <= 'f', true
	case "blank":
		return c == ' ' || c == '\t' || !ascii && wide && unicode.Is(unicode.Zs, c) && !noBreak(c), true
	case "space":
		return ascii && (c == ' ' || c >= '\t' && c <= '\r') || !ascii && wide && unicode.IsSpace(c) && c != 0x85 && !noBreak(c), true
	case "cntrl":
		return ascii && (c < 0x20 || c == 0x7f) || !ascii && wide && (c < 0xa0 || c == 0x2028 || c == 0x2029), true
	case "graph":
		return graph, true
	case "print":
		return graph || c == ' ' || !ascii && wide && unicode.Is(unicode.Zs, c), true
	case "punct":
		return graph && !letter && !digit, true
	}
	return false, false
}

// noBreak reports whether c is a space that does not separate words; glibc counts these as punct, not as space or blank.
func noBreak(c rune) bool { return c == 0xa0 || c == 0x2007 || c == 0x202f }
