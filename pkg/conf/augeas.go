package conf

import (
	"bytes"
	"fmt"
	"regexp"
)

// An AugeasProblem is a place where the file leaves what the Augeas lenses of libvirt (Libvirtd, Libvirtd_qemu and their
// like) can read. libvirt itself reads it.
type AugeasProblem struct {
	Line   int
	Reason string
}

// AugeasProblems lists what tools on top of Augeas (Ansible, Puppet, virt-v2v, ...) stumble over. One such place makes the
// lens fail for the whole file. Keys that the lens does not have are not listed here; [Lint] reports unknown keys anyway.
func (f *File) AugeasProblems() []AugeasProblem {
	var out []AugeasProblem
	add := func(line int, format string, args ...any) {
		out = append(out, AugeasProblem{line, fmt.Sprintf(format, args...)})
	}
	line := 1
	for i := 0; i < len(f.src); i++ {
		switch {
		case f.src[i] == '\n':
			line++
		case f.src[i] == '\r':
			add(line, "a carriage return")
			i = len(f.src)
		}
	}
	if n := len(f.src); n > 0 && f.src[n-1] != '\n' {
		add(line, "no newline at the end of the file")
	}
	f.indentedComments(add)
	prevEnd := -1
	for _, e := range f.entries {
		if prevEnd >= 0 && !bytes.ContainsAny(f.src[prevEnd:e.Start], "\r\n") {
			add(e.Line, "two settings on one line")
		}
		prevEnd = e.End
		rest := bytes.TrimLeft(f.src[e.End:], " \t")
		switch {
		case bytes.HasPrefix(rest, []byte(";")):
			add(e.Line, "a semicolon behind %s", e.Key)
		case e.Comment != "":
			add(e.Line, "a comment behind the value of %s", e.Key)
		}
		f.augeasValue(e.Key, e.Value, add)
	}
	return out
}

// augeasInt is what the lenses take for a number.
var augeasInt = regexp.MustCompile(`^-?[0-9]+$`)

func (f *File) augeasValue(key string, v Value, add func(int, string, ...any)) {
	switch v.Type {
	case Integer:
		if s := f.src[v.Start:v.End]; !augeasInt.Match(s) {
			add(v.Line, "the number %s of %s with a plus", s, key)
		}
	case String:
		if v.Quote != `"` {
			add(v.Line, "quotes other than \" around the value of %s", key)
		}
	case List:
		if v.trailingComma {
			add(v.Line, "a comma behind the last element of %s", key)
		}
		for _, i := range v.Items {
			if i.Type != String {
				add(i.Line, "an element of %s that is no string", key)
				continue
			}
			f.augeasValue(key, i, add)
		}
	}
}

// indentedComments finds comments with blanks in front, in the gaps between the settings.
func (f *File) indentedComments(add func(int, string, ...any)) {
	start, found := 0, false
	gap := func(end int) {
		for pos := start; pos < end && !found; {
			next := bytes.IndexByte(f.src[pos:end], '\n')
			if next < 0 {
				next = end - pos - 1
			}
			l := f.src[pos : pos+next+1]
			if t := bytes.TrimLeft(l, " \t"); len(t) < len(l) && bytes.HasPrefix(t, []byte("#")) && (pos == 0 || f.src[pos-1] == '\n') {
				add(1+bytes.Count(f.src[:pos], []byte("\n")), "blanks in front of a comment")
				found = true // one is enough, and counting lines once keeps the time linear
			}
			pos += next + 1
		}
	}
	for _, e := range f.entries {
		gap(e.Start)
		start = e.End
	}
	gap(len(f.src))
}
