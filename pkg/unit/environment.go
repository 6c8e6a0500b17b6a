package unit

import "strings"

// An Assignment is a variable of the environment and where it was set.
type Assignment struct {
	Name, Value string
	File        string
	Line        int
}

// ParseEnvironment reads an environment file as EnvironmentFile= does (systemd.exec(5)): NAME=VALUE a line, # and ; begin
// comments at the beginning of a line, single quotes take everything, double quotes know the backslash before
// " \ ` $ and the end of the line, and white space at the end of an unquoted value does not count. A line without = and
// a name that is none are left out, as systemd does. There is no "export". name is by what the file is called.
func ParseEnvironment(b []byte, name string) []Assignment {
	var out []Assignment
	p := envParser{b: b, line: 1}
	for p.skipBlank(true); p.i < len(p.b); p.skipBlank(true) {
		if c := p.b[p.i]; c == '#' || c == ';' {
			for p.i < len(p.b) && p.b[p.i] != '\n' && p.b[p.i] != '\r' {
				p.i++
			}
			continue
		}
		line := p.line
		key, ok := p.key()
		if !ok {
			continue
		}
		value := p.value()
		if validName(key) {
			out = append(out, Assignment{key, value, name, line})
		}
	}
	return out
}

type envParser struct {
	b    []byte
	i    int
	line int
}

func (p *envParser) next() byte {
	c := p.b[p.i]
	p.i++
	if c == '\n' {
		p.line++
	}
	return c
}

func (p *envParser) skipBlank(lines bool) {
	for p.i < len(p.b) && strings.IndexByte(whitespace, p.b[p.i]) >= 0 {
		if !lines && isNewline(p.b[p.i]) {
			return
		}
		p.next()
	}
}

func isNewline(c byte) bool { return c == '\n' || c == '\r' }

// key reads up to =; false: the line ends before.
func (p *envParser) key() (string, bool) {
	start := p.i
	p.next() // whatever it is, it belongs to the name
	for p.i < len(p.b) {
		switch c := p.next(); {
		case isNewline(c):
			return "", false
		case c == '=':
			return strings.TrimRight(string(p.b[start:p.i-1]), whitespace), true
		}
	}
	return "", false
}

func (p *envParser) value() string {
	var v strings.Builder
	for {
		p.skipBlank(false)
		if p.i == len(p.b) {
			return v.String()
		}
		switch c := p.next(); {
		case isNewline(c):
			return v.String()
		case c == '\'':
			for p.i < len(p.b) {
				if c = p.next(); c == '\'' {
					break
				}
				v.WriteByte(c)
			}
		case c == '"':
			p.doubleQuoted(&v)
		default:
			p.i-- // the first character again; it is no newline
			p.bare(&v)
			return v.String()
		}
	}
}

func (p *envParser) doubleQuoted(v *strings.Builder) {
	for p.i < len(p.b) {
		switch c := p.next(); {
		case c == '"':
			return
		case c == '\\':
			if p.i == len(p.b) {
				return
			}
			c = p.next()
			switch {
			case strings.IndexByte("\"\\`$", c) >= 0:
				v.WriteByte(c)
			case c != '\n':
				v.WriteByte('\\')
				v.WriteByte(c)
			}
		default:
			v.WriteByte(c)
		}
	}
}

// bare reads the rest of an unquoted value. Quotes inside are characters.
func (p *envParser) bare(v *strings.Builder) {
	kept := v.Len() // without white space at the end
	for p.i < len(p.b) {
		c := p.next()
		switch {
		case isNewline(c):
			p.cut(v, kept)
			return
		case c == '\\':
			if p.i < len(p.b) {
				if c = p.next(); !isNewline(c) {
					v.WriteByte(c)
				}
			}
			kept = v.Len() // also of the white space before it
		default:
			v.WriteByte(c)
			if strings.IndexByte(whitespace, c) < 0 {
				kept = v.Len()
			}
		}
	}
	p.cut(v, kept)
}

func (*envParser) cut(v *strings.Builder, n int) {
	s := v.String()[:n]
	v.Reset()
	v.WriteString(s)
}

// validName reports whether systemd takes a name for that of a variable.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
