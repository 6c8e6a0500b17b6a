package unit

import (
	"bytes"
	"strings"
)

// An Entry is one assignment of a unit file.
type Entry struct {
	// Section is without brackets: "Service".
	Section, Key, Value string
	// File and Line say where it stands; of an assignment over several lines the first.
	File string
	Line int
}

// A Problem is a line that systemd ignores.
type Problem struct {
	File string
	Line int
	// Text is why.
	Text string
}

// Parse reads a unit file or a drop-in (systemd.syntax(7)): lines that end in a backslash go on, comment lines are left
// out also in between, and white space around keys and values does not count. What systemd skips with a warning is a
// Problem. name is by what the file is called.
func Parse(b []byte, name string) (entries []Entry, problems []Problem) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	section, pending, first := "", "", 0
	ignored := false // the section's head was bad
	number := 0
	statement := func(text string, line int) {
		text = strings.Trim(text, whitespace)
		switch {
		case text == "":
		case text[0] == '[':
			if text[len(text)-1] != ']' {
				problems = append(problems, Problem{name, line, "the section's name does not end in ]"})
				ignored = true
				return
			}
			section, ignored = text[1:len(text)-1], false
		default:
			key, value, ok := strings.Cut(text, "=")
			key = strings.TrimRight(key, whitespace)
			switch {
			case !ok:
				problems = append(problems, Problem{name, line, "there is no ="})
			case key == "":
				problems = append(problems, Problem{name, line, "there is no key before ="})
			case section == "" || ignored:
				problems = append(problems, Problem{name, line, "the assignment stands in no section"})
			default:
				entries = append(entries, Entry{section, key, strings.TrimLeft(value, whitespace), name, line})
			}
		}
	}
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		number++
		text := strings.TrimLeft(string(line), whitespace)
		if text != "" && (text[0] == '#' || text[0] == ';') {
			continue
		}
		if pending == "" {
			first = number
		}
		// A backslash that escapes the end of the line stands for a blank.
		if open := escaped(text); open {
			pending += text[:len(text)-1] + " "
			continue
		}
		statement(pending+text, first)
		pending = ""
	}
	if pending != "" {
		statement(pending, first)
	}
	return entries, problems
}

const whitespace = " \t\n\r"

// cutLine takes a line off: systemd ends lines at \n, \r and NUL.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexAny(b, "\n\r\x00")
	if i < 0 {
		return b, nil
	}
	rest = b[i+1:]
	if b[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return b[:i], rest
}

// escaped reports whether the last character is a backslash that no other backslash escapes.
func escaped(s string) bool {
	n := len(s) - len(strings.TrimRight(s, `\`))
	return n%2 == 1
}
