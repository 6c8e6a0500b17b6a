package conf

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// MaxSize is the size of the largest file that libvirt reads (virconf.c, MAX_CONFIG_FILE_SIZE).
const MaxSize = 10 << 20

// maxDepth bounds lists inside lists. libvirt has no bound: libvirtd 9.0.0 dies of a stack overflow somewhere between
// this depth and twice as much.
const maxDepth = 100000

// A ParseError is a file that libvirt refuses to read.
type ParseError struct {
	File string
	// Line is libvirt's line number: the newlines before the place where its parser stood. 0: the file as a whole.
	Line int
	// Text is libvirt's text: "expecting a name", "unterminated string", ...
	Text string
	// Overflow says that the text is one of libvirt's error class "numerical overflow", not one of syntax.
	Overflow bool
	// Offset is where the parser stood, in bytes.
	Offset int
}

// Error gives the error as libvirt prints it.
func (e *ParseError) Error() string {
	switch {
	case e.Line == 0:
		return e.Text
	case e.Overflow:
		return fmt.Sprintf("numerical overflow: %s:%d: %s", e.File, e.Line, e.Text)
	}
	return fmt.Sprintf("configuration file syntax error: %s:%d: %s", e.File, e.Line, e.Text)
}

// ExitStatus is the status with which libvirtd and virtproxyd end.
func (e *ParseError) ExitStatus() int { return 1 }

// LogLines gives what libvirtd and virtproxyd print.
func (e *ParseError) LogLines() []string { return []string{loadFailed(e.Error(), e.File)} }

// loadFailed wraps a message as main of libvirtd does for everything that goes wrong while the file is loaded.
func loadFailed(message, file string) string {
	return fmt.Sprintf("Can't load config file: %s: %s", message, file)
}

// Hints says what would cure it.
func (e *ParseError) Hints() []string {
	switch e.Text {
	case "expecting a value":
		return []string{"a value is a number, a quoted string or a list in [ ]: 1 and 0 for yes and no; no comments and no " +
			"doubled commas inside a list"}
	case "expecting a name":
		return []string{"a line is NAME = VALUE or begins with #; a name begins with a letter; there are no [sections] and no " +
			"byte order mark, and a file of nothing but blanks is refused"}
	case "expecting an assignment":
		return []string{"write NAME = VALUE; names hold letters, digits and _ only"}
	case "expecting a separator":
		return []string{"one setting per line, or ; between two; a quote inside a string is not escaped by \\, choose the other quote"}
	case "expecting a separator in list":
		return []string{"put commas between the elements, and no comments inside a list"}
	case "list is not closed with ]":
		return []string{"close the list with ]"}
	case "unterminated string":
		return []string{"end the string with the quote it began with, on the same line"}
	case "unterminated number":
		return []string{"a sign is followed by digits"}
	}
	return nil
}

// Parse reads a configuration file as libvirt 9.0 does. The error is a *[ParseError].
func Parse(b []byte, name string) (*File, error) { return ParseFor(b, name, Release{}) }

// ParseFor reads a configuration file as the given libvirt does (virconf.c, virConfParse). The error is a *[ParseError].
// Name is the path as libvirt would print it.
func ParseFor(b []byte, name string, r Release) (*File, error) {
	if len(b) > MaxSize {
		return nil, &ParseError{File: name, Text: fmt.Sprintf("Failed to read file '%s': Value too large for defined data type", name)}
	}
	return parse(string(b), name, r)
}

func parse(text, name string, r Release) (*File, error) {
	p := parser{text: text, name: name, line: 1, refuseOverflow: r.AtLeast(overflowRefused)}
	// Each setting takes four octets and has an equals sign.
	spots := make([]spot, 0, min(strings.Count(text, "="), len(text)/4+1))
	for !p.end() {
		p.skipBlanksAndEOL()
		if p.cur() == '#' {
			p.skipLine()
		} else {
			spots = append(spots, spot{int32(p.pos), int32(p.line)})
			if _, err := p.setting(); err != nil {
				return nil, err
			}
		}
		if err := p.separator(); err != nil {
			return nil, err
		}
	}
	return newFile(name, text, spots), nil
}

// A parser stands somewhere in a file.
type parser struct {
	text           string
	name           string
	pos            int
	line           int // libvirt's: counted by newlines passed
	refuseOverflow bool
	// element, if not nil, is called behind each element of a list, with its depth from 1; false: that is enough.
	element func(depth int, e Value) bool
}

// errEnough ends a reading that wants no more.
var errEnough = errors.New("enough")

func (p *parser) end() bool { return p.pos >= len(p.text) }

// cur is the byte at hand, 0 at the end, as with a C string.
func (p *parser) cur() byte {
	if p.end() {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) fail(text string) error {
	return &ParseError{File: p.name, Line: p.line, Text: text, Offset: p.pos}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isEOL(c byte) bool   { return c == '\n' || c == '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func (p *parser) skipBlanks() {
	for !p.end() && isBlank(p.cur()) {
		p.pos++
	}
}

func (p *parser) skipBlanksAndEOL() {
	for !p.end() && (isBlank(p.cur()) || isEOL(p.cur())) {
		if p.cur() == '\n' {
			p.line++
		}
		p.pos++
	}
}

func (p *parser) skipLine() {
	for !p.end() && !isEOL(p.cur()) {
		p.pos++
	}
}

// nameLength is how much of the text's beginning is a setting's name.
func nameLength(text string) int {
	if text == "" || !isAlpha(text[0]) {
		return 0
	}
	for i := range len(text) {
		if c := text[i]; !isAlpha(c) && !isDigit(c) && c != '_' {
			return i
		}
	}
	return len(text)
}

// setting reads a setting with the comment behind it (virConfParseStatement).
func (p *parser) setting() (Entry, error) {
	e := Entry{Line: p.line, Start: p.pos}
	n := nameLength(p.text[p.pos:])
	if n == 0 {
		return Entry{}, p.fail("expecting a name")
	}
	e.Key = p.text[p.pos : p.pos+n]
	p.pos += n
	p.skipBlanks()
	if p.cur() != '=' {
		return Entry{}, p.fail("expecting an assignment")
	}
	p.pos++
	p.skipBlanks()
	var err error
	if e.Value, err = p.value(0); err != nil {
		return Entry{}, err
	}
	e.End = e.Value.End
	p.skipBlanks()
	if p.cur() == '#' {
		at := p.pos
		p.skipLine()
		e.Comment = p.text[at:p.pos]
	}
	return e, nil
}

// separator reads what must stand between two statements (virConfParseSeparator).
func (p *parser) separator() error {
	p.skipBlanks()
	switch {
	case p.end():
		return nil
	case isEOL(p.cur()):
	case p.cur() == ';':
		p.pos++
	default:
		return p.fail("expecting a separator")
	}
	p.skipBlanksAndEOL()
	return nil
}

func (p *parser) value(depth int) (Value, error) {
	p.skipBlanks()
	v := Value{Start: p.pos, Line: p.line, file: p.text}
	var err error
	switch c := p.cur(); {
	case p.end():
		return Value{}, p.fail("expecting a value")
	case c == '"' || c == '\'':
		err = p.quoted(&v)
	case c == '[':
		err = p.list(&v, depth)
	case isDigit(c) || c == '-' || c == '+':
		err = p.number(&v)
	default:
		return Value{}, p.fail("expecting a value")
	}
	v.End = p.pos
	return v, err
}

// quoted reads a string. There are no escapes: it ends with the next quote of its kind (virConfParseString).
func (p *parser) quoted(v *Value) error {
	v.Type = String
	quote := p.text[p.pos : p.pos+1]
	// libvirt looks for triple quotes only where more than six bytes are left: """""" at the very end is an empty
	// string with rubbish behind it.
	const triple = `"""`
	if p.pos+6 < len(p.text) && strings.HasPrefix(p.text[p.pos:], triple) {
		quote = triple
		p.pos += 3
		start := p.pos
		for p.pos+2 < len(p.text) && !strings.HasPrefix(p.text[p.pos:], triple) {
			if p.cur() == '\n' {
				p.line++
			}
			p.pos++
		}
		if !strings.HasPrefix(p.text[p.pos:], triple) {
			return p.fail("unterminated string")
		}
		v.Text = cText(p.text[start:p.pos])
		p.pos += 3
	} else {
		p.pos++
		start := p.pos
		for !p.end() && !isEOL(p.cur()) && p.cur() != quote[0] {
			p.pos++
		}
		if p.cur() != quote[0] {
			return p.fail("unterminated string")
		}
		v.Text = cText(p.text[start:p.pos])
		p.pos++
	}
	v.Quote = quote
	return nil
}

// cText gives the text as C sees it: up to a NUL.
func cText(s string) string {
	text, _, _ := strings.Cut(s, "\x00")
	return text
}

// number reads an integer (virConfParseLong). In 9.0 it wraps at 64 bits.
func (p *parser) number(v *Value) error {
	v.Type = Integer
	if c := p.cur(); c == '-' || c == '+' {
		v.Negative = c == '-'
		p.pos++
	}
	if !isDigit(p.cur()) {
		return p.fail("unterminated number")
	}
	for !p.end() && isDigit(p.cur()) {
		d := int64(p.cur() - '0')
		if v.Int < 0 || v.Int > (math.MaxInt64-d)/10 {
			v.Overflow = true
		}
		if v.Overflow && p.refuseOverflow {
			return &ParseError{File: p.name, Line: p.line, Text: "numeric overflow in conf value", Overflow: true, Offset: p.pos}
		}
		v.Int = v.Int*10 + d
		p.pos++
	}
	if v.Negative {
		v.Int = -v.Int
	}
	return nil
}

// list reads a list; blanks and newlines may stand anywhere in it, comments nowhere.
func (p *parser) list(v *Value, depth int) error {
	v.Type = List
	if depth >= maxDepth {
		return p.fail("lists inside lists too deep")
	}
	p.pos++
	p.skipBlanksAndEOL()
	if !p.end() && p.cur() != ']' {
		if err := p.item(v, depth+1); err != nil {
			return err
		}
	}
	for !p.end() && p.cur() != ']' {
		if p.cur() != ',' {
			return p.fail("expecting a separator in list")
		}
		p.pos++
		p.skipBlanksAndEOL()
		if p.cur() == ']' {
			v.trailingComma = true
			break
		}
		if err := p.item(v, depth+1); err != nil {
			return err
		}
	}
	if p.cur() != ']' {
		return p.fail("list is not closed with ]")
	}
	p.pos++
	return nil
}

// item reads an element of a list and the blanks behind it.
func (p *parser) item(list *Value, depth int) error {
	e, err := p.value(depth)
	if err != nil {
		return err
	}
	list.Len++
	if p.element != nil && !p.element(depth, e) {
		return errEnough
	}
	p.skipBlanksAndEOL()
	return nil
}
