package selinux

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// A spec is a line of file_contexts.
type spec struct {
	file    string
	line    int
	text    string // the expression
	stem    string // its first component, where that has no metacharacter; the rest is matched alone
	context string // empty: none is set
	kind    fs.FileMode
	any     bool // of any kind
	meta    bool // has metacharacters
	literal string

	once sync.Once
	re   *regexp.Regexp
	err  error
}

// kinds are the types of files that a line may be for.
var kinds = map[string]fs.FileMode{"--": 0, "-d": fs.ModeDir, "-l": fs.ModeSymlink, "-b": fs.ModeDevice, "-c": fs.ModeDevice | fs.ModeCharDevice,
	"-p": fs.ModeNamedPipe, "-s": fs.ModeSocket}

// A SyntaxError is a line for which libselinux does not load a file_contexts.
type SyntaxError struct {
	File string
	Line int
	Text string
}

// Error says where it is.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// add reads a file_contexts.
func (p *Policy) add(text []byte, name string) error {
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		w := strings.Fields(line)
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		for _, field := range w[:min(len(w), 3)] {
			if strings.IndexFunc(field, func(r rune) bool { return r >= 0x80 }) >= 0 {
				return &SyntaxError{name, number, "there are characters that are not ASCII"}
			}
		}
		s := &spec{file: name, line: number, text: w[0], any: true}
		switch len(w) {
		case 1:
			return &SyntaxError{name, number, "a line has an expression and a context"}
		case 2:
			s.context = w[1]
		default:
			kind, ok := kinds[w[1]]
			if !ok {
				return &SyntaxError{name, number, fmt.Sprintf("%q is no type of file", w[1])}
			}
			s.kind, s.any, s.context = kind, false, w[2]
		}
		if s.context == "<<none>>" {
			s.context = ""
		}
		s.prepare()
		p.specs = append(p.specs, s)
	}
	return nil
}

// maxRepeat is how often Go's regexp repeats something at most.
const maxRepeat = 1000

const metacharacters = `.^$?*+|[({`

// prepare finds out what can be told of an expression without compiling it.
func (s *spec) prepare() {
	var literal strings.Builder
	open := true
	for i := 0; i < len(s.text); i++ {
		c := s.text[i]
		if strings.IndexByte(metacharacters, c) >= 0 {
			s.meta = true
			if open && strings.IndexByte("?*{|", c) >= 0 {
				l := literal.String()
				if literal.Reset(); l != "" && c != '|' {
					literal.WriteString(l[:len(l)-1])
				}
			}
			open = false
		}
		if c == '|' {
			literal.Reset()
		}
		if c == '\\' && i+1 < len(s.text) {
			i++
			if c = s.text[i]; strings.IndexByte(`.^$?*+|[]({})/-_`, c) < 0 {
				open = false // a class, such as \d
			}
		}
		if open {
			literal.WriteByte(c)
		}
	}
	s.literal = literal.String()
	// The stem is what libselinux compares first (get_stem_from_spec).
	if end := strings.IndexByte(strings.TrimPrefix(s.text, "/"), '/'); strings.HasPrefix(s.text, "/") && end >= 0 {
		if stem := s.text[:end+1]; !strings.ContainsAny(stem, metacharacters) {
			s.stem = stem
		}
	}
}

// sort puts lines without metacharacters last, which are tried first.
func (p *Policy) sort() {
	slices.SortStableFunc(p.specs, func(a, b *spec) int {
		switch {
		case a.meta == b.meta:
			return 0
		case a.meta:
			return -1
		}
		return 1
	})
}

// maxCompiled bounds what the compiled expressions of a policy take, in instructions of Go's regexp. A policy of 6,000 lines with 50
// characters has a tenth of it, were all of them asked for; but a line of ten characters can be a thousand instructions (.{1000}).
const maxCompiled = 4 << 20

var repeats = regexp.MustCompile(`\{(\d*),?(\d*)\}`)

// repeated gives how often an expression repeats a part of itself at most.
func repeated(expression string) int64 {
	times := int64(1)
	for _, m := range repeats.FindAllStringSubmatch(expression, -1) {
		most := int64(1)
		for _, digits := range m[1:] {
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
				most = max(most, n)
			}
		}
		times = min(times*min(most, maxRepeat), maxRepeat)
	}
	return times
}

// compile makes the expression. PCRE works on bytes here, so each stands for a character of its own.
func (s *spec) compile(total *atomic.Int64) (*regexp.Regexp, error) {
	s.once.Do(func() {
		rest := s.text[len(s.stem):]
		size := int64(len(rest)) * repeated(rest)
		if total.Add(size) > maxCompiled {
			s.err = fmt.Errorf("the expressions of the policy are too large")
			return
		}
		// Of these Go has another notion than PCRE.
		for i := 0; i+1 < len(rest); i++ {
			if rest[i] == '\\' {
				if i++; strings.IndexByte("vsSwWbBC", rest[i]) >= 0 && rest[i] != 'w' && rest[i] != 'W' {
					s.err = fmt.Errorf("\\%c differs between PCRE and Go", rest[i])
					return
				}
			}
		}
		s.re, s.err = regexp.Compile("(?s)^" + latin1(rest) + "$")
	})
	return s.re, s.err
}

// latin1 makes a character of each byte.
func latin1(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0 {
		return s
	}
	var out strings.Builder
	for i := range len(s) {
		out.WriteRune(rune(s[i]))
	}
	return out.String()
}

// An UnjudgedError says that the label of a path depends on an expression that is not understood here.
type UnjudgedError struct {
	Path string
	// File and Line are where Expression stands.
	File       string
	Line       int
	Expression string
	Err        error
}

// Error says so.
func (e *UnjudgedError) Error() string {
	return fmt.Sprintf("the label of %q depends on the expression %q (%s:%d), which is not understood: %v", e.Path, e.Expression, e.File, e.Line, e.Err)
}

// Unwrap gives the cause.
func (e *UnjudgedError) Unwrap() error { return e.Err }

// Label gives the context that the policy has for a path, as restorecon would set it: the absolute name, links resolved but for the last
// component, and the kind of file. Where no line is for it, and where one says <<none>>, the context is empty. That the path's label
// depends on an expression that is not understood is an *UnjudgedError.
func (p *Policy) Label(name string, mode fs.FileMode) (string, error) {
	if strings.ContainsAny(name, "\n\x00") {
		return "", &UnjudgedError{Path: name, Err: fmt.Errorf("it is of several lines")}
	}
	key := slashes(name)
	key = p.key(key)
	stem := ""
	if end := strings.IndexByte(strings.TrimPrefix(key, "/"), '/'); strings.HasPrefix(key, "/") && end >= 0 {
		stem = key[:end+1]
	}
	mode &= fs.ModeType
	for i := len(p.specs) - 1; i >= 0; i-- {
		s := p.specs[i]
		if !s.any && s.kind != mode || s.stem != "" && s.stem != stem || !strings.HasPrefix(key, s.literal) {
			continue
		}
		re, err := s.compile(&p.compiled)
		if err != nil {
			return "", &UnjudgedError{Path: name, File: s.file, Line: s.line, Expression: s.text, Err: err}
		}
		if re.MatchString(latin1(key[len(s.stem):])) {
			return s.context, nil
		}
	}
	return "", nil
}

// slashes makes one slash of several, and takes one from the end.
func slashes(name string) string {
	for strings.Contains(name, "//") {
		name = strings.ReplaceAll(name, "//", "/")
	}
	if len(name) > 1 {
		name = strings.TrimSuffix(name, "/")
	}
	return name
}
