package dnmatch

import "strings"

// A kind is one of the ways in which GLib compares, chosen from the pattern alone.
type kind int

const (
	exact    kind = iota // no wildcard: octets are equal
	prefix               // one * at the end: octets are compared
	suffix               // one * at the start: octets are compared
	forward              // anything else, walked from the start
	backward             // anything else, walked from the end over the reversed pattern and name
)

// An answer is what GLib does with a name.
type answer int

const (
	no answer = iota
	yes
	overreads // it reads beyond the end of the name: undefined
	aborts    // it ends the process
)

// A form is a pattern as GLib's g_pattern_spec_new understands it. It works on octets, so that it gives GLib's answer
// for any text; for valid UTF-8 that is the answer of the simple rule too.
type form struct {
	kind kind
	// text is the pattern in GLib's order: of a run of wildcards the one * comes first and then the ?; without the * of
	// prefix and suffix; reversed for backward.
	text string
	// A name that is shorter than min or longer than max octets does not match and is not looked at. max is -1 with a *.
	min, max int
	// faulty says that reversing the pattern itself aborts.
	faulty bool
}

// analyse classifies a pattern. All positions and lengths are in octets, as in GLib.
func analyse(pattern string) form {
	var f form
	text := make([]byte, 0, len(pattern))
	firstStar, lastStar, firstMark, lastMark := -1, -1, -1, -1
	marks, inRun := 0, false // question marks not yet written; a * is the last thing written
	flush := func() {
		for ; marks > 0; marks-- {
			if firstMark < 0 {
				firstMark = len(text)
			}
			lastMark = len(text)
			text = append(text, '?')
		}
	}
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '?':
			marks++
			f.min++
			f.max += 4
		case '*':
			if inRun {
				continue
			}
			inRun = true
			if firstStar < 0 {
				firstStar = len(text)
			}
			lastStar = len(text)
			text = append(text, c)
		default:
			flush()
			inRun = false
			text = append(text, c)
			f.min++
			f.max++
		}
	}
	// GLib counts a run at the very end as if it stood at the place of its first: `??` is walked backwards.
	end := len(text)
	if marks > 0 {
		flush()
		lastMark = end
	}
	f.text = string(text)
	first, last := firstStar, lastStar
	if firstStar >= 0 {
		f.max = -1
	} else {
		first, last = firstMark, lastMark
	}
	if firstMark < 0 && firstStar == lastStar {
		switch {
		case firstStar < 0:
			return f
		case firstStar == 0:
			f.kind, f.text = suffix, f.text[1:]
			return f
		case firstStar == len(text)-1:
			f.kind, f.text = prefix, f.text[:firstStar]
			return f
		}
	}
	f.kind = forward
	if len(text)-1-last > first {
		f.kind = backward
		var ok bool
		f.text, ok = reverse(f.text)
		f.faulty = !ok
	}
	return f
}

// match gives GLib's answer for a name.
func (f form) match(name string) answer {
	if f.faulty {
		return aborts
	}
	if len(name) < f.min || f.max >= 0 && len(name) > f.max {
		return no
	}
	matched := false
	switch f.kind {
	case exact:
		matched = f.text == name
	case prefix:
		matched = strings.HasPrefix(name, f.text)
	case suffix:
		matched = strings.HasSuffix(name, f.text)
	case forward:
		return walk(f.text, name)
	case backward:
		reversed, ok := reverse(name)
		if !ok {
			return aborts
		}
		return walk(f.text, reversed)
	}
	if matched {
		return yes
	}
	return no
}

// step gives the length that the first octet of a character announces. GLib believes it.
func step(lead byte) int {
	switch {
	case lead < 0xc0, lead >= 0xfe:
		return 1
	case lead < 0xe0:
		return 2
	case lead < 0xf0:
		return 3
	case lead < 0xf8:
		return 4
	case lead < 0xfc:
		return 5
	default:
		return 6
	}
}

// reverse gives the characters in reverse order, each announced by its first octet. It reports false when the last one
// announces more than is left, which is GLib's assertion.
func reverse(s string) (string, bool) {
	out := make([]byte, len(s))
	for at, end := 0, len(s); at < len(s); {
		n := step(s[at])
		if n > end {
			return "", false
		}
		end -= n
		copy(out[end:], s[at:at+n])
		at += n
	}
	return string(out), true
}

// walk compares a pattern in GLib's order with a name. On a mismatch it goes back to the last * only: what lies before
// it is as good as any other place. So it takes at most len(p)·len(t) steps.
func walk(p, t string) answer {
	i, n := 0, 0            // next octet of pattern and name
	literal, resume := 0, 0 // the octet behind the last *, and where to look for it again
	star := false
	for {
		// What follows reads the octet of the name at n, the end included.
		mismatch := false
		switch {
		case i < len(p) && p[i] == '*':
			for i++; i < len(p) && (p[i] == '?' || p[i] == '*'); i++ {
				if p[i] == '*' {
					continue
				}
				if n > len(t) {
					return overreads
				}
				if n == len(t) {
					return no
				}
				n += step(t[n])
			}
			if i == len(p) {
				return yes
			}
			star, literal, resume = true, i, n
			mismatch = true // look for the literal
		case n > len(t):
			return overreads
		case i == len(p):
			if n == len(t) {
				return yes
			}
			mismatch = true
		case n == len(t):
			mismatch = true
		case p[i] == '?':
			n += step(t[n])
			i++
		case p[i] == t[n]:
			n++
			i++
		default:
			mismatch = true
		}
		if !mismatch {
			continue
		}
		if !star {
			return no
		}
		for n = resume; ; n += step(t[n]) {
			if n > len(t) {
				return overreads
			}
			if n == len(t) {
				return no
			}
			if t[n] == p[literal] {
				break
			}
		}
		n++
		resume, i = n, literal+1
	}
}
