package conf

import (
	"fmt"
	"iter"
	"regexp"
	"strings"
)

// An AugeasProblem is a place where the file leaves what the Augeas lenses of libvirt (Libvirtd, Libvirtd_qemu and their
// like) can read. libvirt itself reads it.
type AugeasProblem struct {
	Line   int
	Reason string
}

// AugeasProblems gives what tools on top of Augeas (Ansible, Puppet, virt-v2v, ...) stumble over, those of the file as a whole
// first. One such place makes the lens fail for the whole file. Keys that the lens does not have are not listed here; [Lint]
// reports unknown keys anyway.
func (f *File) AugeasProblems() iter.Seq[AugeasProblem] {
	return func(yield func(AugeasProblem) bool) {
		// Each gives false when no more are wanted.
		add := func(line int, format string, args ...any) bool {
			return yield(AugeasProblem{line, fmt.Sprintf(format, args...)})
		}
		if i := strings.IndexByte(f.text, '\r'); i >= 0 && !add(f.lineOf(i), "a carriage return") {
			return
		}
		if n := len(f.text); n > 0 && f.text[n-1] != '\n' && !add(f.lineOf(n), "no newline at the end of the file") {
			return
		}
		if i := f.indentedComment(); i >= 0 && !add(f.lineOf(i), "blanks in front of a comment") {
			return
		}
		prevEnd := -1
		for e := range f.Entries() {
			if prevEnd >= 0 && !strings.ContainsAny(f.text[prevEnd:e.Start], "\r\n") && !add(e.Line, "two settings on one line") {
				return
			}
			prevEnd = e.End
			rest := strings.TrimLeft(f.text[e.End:], " \t")
			switch {
			case strings.HasPrefix(rest, ";"):
				if !add(e.Line, "a semicolon behind %s", e.Key) {
					return
				}
			case e.Comment != "":
				if !add(e.Line, "a comment behind the value of %s", e.Key) {
					return
				}
			}
			if !f.augeasValue(e.Key, e.Value, add) {
				return
			}
		}
	}
}

// lineOf is the line of an octet, from 1.
func (f *File) lineOf(pos int) int { return 1 + strings.Count(f.text[:pos], "\n") }

// augeasInt is what the lenses take for a number.
var augeasInt = regexp.MustCompile(`^-?[0-9]+$`)

func (f *File) augeasValue(key string, v Value, add func(int, string, ...any) bool) bool {
	switch v.Type {
	case Integer:
		if s := f.text[v.Start:v.End]; !augeasInt.MatchString(s) {
			return add(v.Line, "the number %s of %s with a plus", s, key)
		}
	case String:
		if v.Quote != `"` {
			return add(v.Line, "quotes other than \" around the value of %s", key)
		}
	case List:
		if v.trailingComma && !add(v.Line, "a comma behind the last element of %s", key) {
			return false
		}
		for i := range v.Items() {
			more := true
			if i.Type != String {
				more = add(i.Line, "an element of %s that is no string", key)
			} else {
				more = f.augeasValue(key, i, add)
			}
			if !more {
				return false
			}
		}
	}
	return true
}

// indentedComment finds the first comment with blanks in front, in the gaps between the settings; -1: none.
func (f *File) indentedComment() int {
	start := 0
	for i := range f.Len() + 1 {
		end, next := len(f.text), 0
		if i < f.Len() {
			e := f.entry(i)
			end, next = e.Start, e.End
		}
		for pos := start; pos < end; {
			n := strings.IndexByte(f.text[pos:end], '\n') + 1
			if n == 0 {
				n = end - pos
			}
			l := f.text[pos : pos+n]
			if t := strings.TrimLeft(l, " \t"); len(t) < len(l) && strings.HasPrefix(t, "#") && (pos == 0 || f.text[pos-1] == '\n') {
				return pos
			}
			pos += n
		}
		start = next
	}
	return -1
}
