package cluster

import (
	"strconv"
	"strings"
)

// The decoder of TOML says of most keys not in which line they stand. lineIndex does, and knows nothing else of TOML: it walks
// over a text that the decoder accepts, or has accepted but for the lines that were blanked, and notes where keys begin.
// What it does not understand it passes over.
type lineIndex struct {
	text  string
	pos   int
	line  int
	depth int
	// lines gives the line of a key by its path, as joinKey writes it: hosts[2].name, hosts[2].names[0].
	lines map[string]int
	// tables counts the elements of each array of tables.
	tables map[string]int
	// twice are headers and keys that are there for the second time.
	twice []statement
	seen  map[string]int
}

// A statement is a header or a key with its value, from its first to its last line.
type statement struct {
	path        string
	first, last int
	before      int // the line on which it was for the first time
	header      bool
}

// maxDepth bounds how deep values are followed.
const maxDepth = 64

// indexLines notes where keys begin.
func indexLines(text string) *lineIndex {
	x := &lineIndex{text: text, line: 1, lines: map[string]int{}, tables: map[string]int{}, seen: map[string]int{}}
	prefix := ""
	for x.blank(true); x.pos < len(x.text); x.blank(true) {
		begin := x.pos
		if x.peek("[") {
			prefix = x.header()
			x.toEnd()
		} else {
			x.assignment(prefix, true)
			x.toEnd()
		}
		if x.pos == begin { // never stand still
			x.pos++
		}
	}
	return x
}

func (x *lineIndex) peek(s string) bool { return strings.HasPrefix(x.text[x.pos:], s) }

// blank passes over blanks and, where they may be, line ends and comments.
func (x *lineIndex) blank(lines bool) {
	for x.pos < len(x.text) {
		switch c := x.text[x.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
			x.line++
		case c == '#' && lines:
			for x.pos < len(x.text) && x.text[x.pos] != '\n' {
				x.pos++
			}
			continue
		default:
			return
		}
		x.pos++
	}
}

// toEnd passes over the rest of the line.
func (x *lineIndex) toEnd() {
	for x.pos < len(x.text) && x.text[x.pos] != '\n' {
		x.pos++
	}
}

// header reads [a.b] or [[a.b]] and gives the path of the keys below it.
func (x *lineIndex) header() string {
	line := x.line
	array := x.peek("[[")
	x.pos++
	if array {
		x.pos++
	}
	path := ""
	parts := x.key()
	for i, part := range parts {
		path = joinKey(path, part)
		if last := i == len(parts)-1; last && array {
			n := x.tables[path]
			x.tables[path]++
			if _, there := x.lines[path]; !there { // where nobody asks for such tables, the array itself is the fault
				x.lines[path] = line
			}
			path += "[" + strconv.Itoa(n) + "]"
		} else if n := x.tables[path]; n > 0 {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
	}
	x.note(path, line, line, true)
	return path
}

// note notes where something begins, or that it begins for the second time.
func (x *lineIndex) note(path string, first, last int, header bool) {
	if before, there := x.seen[path]; there {
		x.twice = append(x.twice, statement{path, first, last, before, header})
		return
	}
	x.seen[path] = first
	if _, there := x.lines[path]; !there {
		x.lines[path] = first
	}
}

// key reads a dotted key.
func (x *lineIndex) key() []string {
	var parts []string
	for {
		x.blank(false)
		part, ok := x.simpleKey()
		if !ok {
			return parts
		}
		parts = append(parts, part)
		x.blank(false)
		if !x.peek(".") {
			return parts
		}
		x.pos++
	}
}

func (x *lineIndex) simpleKey() (string, bool) {
	begin := x.pos
	if x.peek(`"`) || x.peek(`'`) {
		x.quoted()
		word := x.text[begin:x.pos]
		if len(word) < 2 {
			return "", false
		}
		if s, err := strconv.Unquote(word); err == nil && word[0] == '"' {
			return s, true
		}
		return word[1 : len(word)-1], true
	}
	for x.pos < len(x.text) && isBare(x.text[x.pos]) {
		x.pos++
	}
	return x.text[begin:x.pos], x.pos > begin
}

func isBare(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// joinKey adds a key to a path.
func joinKey(path, key string) string {
	bare := key != ""
	for i := range len(key) {
		bare = bare && isBare(key[i])
	}
	if !bare {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// assignment reads KEY = VALUE.
func (x *lineIndex) assignment(prefix string, statement bool) {
	line := x.line
	parts := x.key()
	path := prefix
	for i, part := range parts {
		path = joinKey(path, part)
		if _, there := x.lines[path]; !there && i < len(parts)-1 {
			x.lines[path] = line
		}
	}
	x.blank(false)
	if len(parts) == 0 || !x.peek("=") {
		return
	}
	x.pos++
	x.value(path)
	if statement {
		x.note(path, line, x.line, false)
	} else if _, there := x.lines[path]; !there {
		x.lines[path] = line
	}
}

// value passes over a value and notes the keys and elements in it.
func (x *lineIndex) value(path string) {
	if x.depth++; x.depth > maxDepth {
		x.depth--
		x.toEnd()
		return
	}
	defer func() { x.depth-- }()
	x.blank(false)
	switch {
	case x.peek(`"`) || x.peek(`'`):
		x.quoted()
	case x.peek("["):
		x.pos++
		for i := 0; ; i++ {
			if x.blank(true); x.pos >= len(x.text) || x.peek("]") {
				break
			}
			begin := x.pos
			element := path + "[" + strconv.Itoa(i) + "]"
			if _, there := x.lines[element]; !there {
				x.lines[element] = x.line
			}
			x.value(element)
			if x.blank(true); x.peek(",") {
				x.pos++
			}
			if x.pos == begin {
				return
			}
		}
		x.pos = min(x.pos+1, len(x.text))
	case x.peek("{"):
		x.pos++
		for {
			if x.blank(true); x.pos >= len(x.text) || x.peek("}") {
				break
			}
			begin := x.pos
			x.assignment(path, false)
			if x.blank(true); x.peek(",") {
				x.pos++
			}
			if x.pos == begin {
				return
			}
		}
		x.pos = min(x.pos+1, len(x.text))
	default:
		for x.pos < len(x.text) && !strings.ContainsRune(",]}#\n", rune(x.text[x.pos])) {
			x.pos++
		}
	}
}

// quoted passes over a string of one of the four kinds.
func (x *lineIndex) quoted() {
	quote := x.text[x.pos : x.pos+1]
	long := strings.Repeat(quote, 3)
	multi := x.peek(long)
	if multi {
		quote = long
	}
	x.pos += len(quote)
	for x.pos < len(x.text) {
		switch {
		case x.text[x.pos] == '\\' && quote[0] == '"':
			x.pos++
			if x.pos < len(x.text) && x.text[x.pos] == '\n' {
				x.line++
			}
		case x.text[x.pos] == '\n' && !multi:
			return // not closed
		case x.text[x.pos] == '\n':
			x.line++
		case x.peek(quote):
			x.pos += len(quote)
			for range 2 { // """" and """"" end with quotes of their own
				if multi && x.peek(quote[:1]) {
					x.pos++
				}
			}
			return
		}
		x.pos++
	}
	x.pos = min(x.pos, len(x.text))
}
