package dn

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// A ParseError says what is wrong with the text of a name, where, and how to write it.
type ParseError struct {
	Text    string
	Offset  int // octets before the place
	Problem string
	Remedy  string
}

// Error gives the text, the place (characters counted from 1) and the problem.
func (e *ParseError) Error() string {
	return fmt.Sprintf("name %q: at character %d: %s", e.Text, utf8.RuneCountInString(e.Text[:e.Offset])+1, e.Problem)
}

// Hints gives the remedy.
func (e *ParseError) Hints() []string { return []string{e.Remedy} }

// Parse reads the text form and encodes it, RDNs in the given order: the inverse of Text. Errors are *ParseError.
//
// Values get the string type with which GnuTLS prints them readably: PrintableString for C and its like, IA5String for
// DC and EMAIL, NumericString for OGRN and its like, and for the others PrintableString where the characters allow and
// UTF8String else. That type is kept even when a character does not belong to it, because GnuTLS would print any other
// in hexadecimal; CheckIssuable tells. A value of the form #HEX is taken as the complete TLV.
//
// For input it is more liberal than Text's output: names in any case and other tools' names for the same attribute
// (emailAddress, SN, ...), OIDs, blanks around names and values, and \XX for an octet in hexadecimal.
func Parse(text string) (Name, error) {
	p := parser{text: text}
	if i := firstInvalid(text); i >= 0 {
		return Name{}, p.fail(i, "invalid UTF-8", "write the name in UTF-8; a value in octets can be given as #HEX of its DER form")
	}
	if strings.TrimSpace(text) == "" {
		return Name{}, p.fail(0, "the name is empty", `write at least a common name, for example "CN=host.example.com"`)
	}
	if text[0] == '/' {
		return Name{}, p.fail(0, "this is OpenSSL's old form with slashes",
			`separate by commas and leave the first slash out, for example "C=GB,O=Example,CN=host.example.com"`)
	}
	rdns, err := p.rdns()
	if err != nil {
		return Name{}, err
	}
	n := Name{der.Append(nil, 0x30, rdns)}
	if _, err := n.Text(); err != nil {
		return Name{}, p.fail(0, "GnuTLS refuses this name: "+err.Error(), errHint(err))
	}
	return n, nil
}

// errHint gives the first hint of an error of this package.
func errHint(err error) string {
	var e *Error
	if errors.As(err, &e) && e.hint != "" {
		return e.hint
	}
	return "leave the offending attribute out"
}

func firstInvalid(text string) int {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

type parser struct {
	text string
	pos  int
}

func (p *parser) fail(offset int, problem, remedy string) *ParseError {
	return &ParseError{Text: p.text, Offset: offset, Problem: problem, Remedy: remedy}
}

func (p *parser) blanks() {
	for p.pos < len(p.text) && p.text[p.pos] == ' ' {
		p.pos++
	}
}

// rdns reads everything and gives the contents of the RDNSequence.
func (p *parser) rdns() ([]byte, error) {
	var rdns, set []byte
	for {
		attribute, err := p.attribute()
		if err != nil {
			return nil, err
		}
		set = der.Append(set, 0x30, attribute)
		if p.pos < len(p.text) && p.text[p.pos] == '+' {
			p.pos++
			continue
		}
		rdns = der.Append(rdns, 0x31, set)
		set = nil
		if p.pos == len(p.text) {
			return rdns, nil
		}
		p.pos++ // a comma
	}
}

// attribute reads TYPE=value and gives the contents of the AttributeTypeAndValue.
func (p *parser) attribute() ([]byte, error) {
	p.blanks()
	start := p.pos
	n := strings.IndexAny(p.text[start:], "=,+")
	if n < 0 {
		n = len(p.text) - start
	}
	name := strings.TrimRight(p.text[start:start+n], " ")
	p.pos = start + n
	switch {
	case name == "" && (p.pos == len(p.text) || p.text[p.pos] != '='):
		return nil, p.fail(start, "an attribute is missing here",
			"libvirt's daemon can crash on an empty RDN: remove the extra comma or plus sign")
	case name == "":
		return nil, p.fail(start, "the attribute's name is missing", `write a name before the equals sign, for example "CN="`)
	case p.pos == len(p.text) || p.text[p.pos] != '=':
		return nil, p.fail(start, fmt.Sprintf("%q has no equals sign", name),
			`write NAME=value; a comma or plus sign that belongs to the value before is written \, or \+`)
	}
	contents, t, err := p.attributeType(start, name)
	if err != nil {
		return nil, err
	}
	p.pos++ // the equals sign
	value, err := p.value(name, t)
	if err != nil {
		return nil, err
	}
	return append(der.Append(nil, 6, contents), value...), nil
}

// attributeType finds the OID for a name or a dotted OID; t is nil where GnuTLS has no name for it.
func (p *parser) attributeType(offset int, name string) (contents []byte, t *attributeType, err error) {
	for i := range attributeTypes {
		t := &attributeTypes[i]
		if strings.EqualFold(t.label(), name) {
			return []byte(t.contents), t, nil
		}
	}
	lower := strings.ToLower(name)
	for i := range attributeTypes {
		t := &attributeTypes[i]
		for alias := range strings.FieldsSeq(t.aliases) {
			if alias == lower {
				return []byte(t.contents), t, nil
			}
		}
	}
	dotted := strings.TrimPrefix(lower, "oid.")
	if dotted == "" || dotted[0] < '0' || dotted[0] > '9' {
		return nil, nil, p.fail(offset, fmt.Sprintf("there is no attribute %q", name),
			"use a name that GnuTLS knows (CN, O, OU, C, ST, L, DC, UID, EMAIL, ...) or a dotted OID")
	}
	var arcs []uint64
	for arc := range strings.SplitSeq(dotted, ".") {
		v, err := strconv.ParseUint(arc, 10, 64)
		if negative, err2 := strconv.ParseInt(arc, 10, 64); err2 == nil && negative < 0 &&
			(len(arcs) >= 2 || len(arcs) == 1 && arcs[0] == 2) {
			v, err = uint64(negative), nil // as GnuTLS prints arcs from 2^63 on
		}
		if err != nil || len(arc) > 1 && arc[0] == '0' {
			return nil, nil, p.fail(offset, fmt.Sprintf("%q is not an OID", name),
				"write an OID as numbers below 2^64 with dots between them, for example 2.5.4.3")
		}
		arcs = append(arcs, v)
	}
	if len(arcs) < 2 || arcs[0] > 2 || arcs[0] < 2 && arcs[1] > 39 || arcs[1] > math.MaxUint64-80 {
		return nil, nil, p.fail(offset, fmt.Sprintf("%q is not an OID", name),
			"an OID has at least two numbers, the first 0, 1 or 2, the second below 40 unless the first is 2")
	}
	contents = der.AppendOIDContents(nil, arcs)
	return contents, lookUp(contents), nil
}

// value reads up to the next separator that is not escaped and gives the value's TLV.
func (p *parser) value(name string, t *attributeType) ([]byte, error) {
	p.blanks()
	start := p.pos
	if p.pos < len(p.text) && p.text[p.pos] == '#' {
		return p.hexValue()
	}
	var value []byte
	kept := 0 // length of value without blanks at the end that are not escaped
	for ; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch c {
		case ',', '+':
			return p.encode(start, name, t, value[:kept])
		case '"':
			return nil, p.fail(p.pos, "a quotation mark that is not escaped",
				`write values without quotation marks, with a backslash before , + " \ < > ; for example "O=Example\, Inc."`)
		case ';', '<', '>':
			return nil, p.fail(p.pos, fmt.Sprintf("%q is not escaped", c),
				fmt.Sprintf(`write \%c if it belongs to the value; RDNs are separated by commas`, c))
		case 0:
			return nil, p.fail(p.pos, "a NUL character", "leave it out")
		case ' ':
			value = append(value, c)
		case '\\':
			octet, size, ok := p.escape()
			if !ok {
				return nil, p.fail(p.pos, "a backslash that escapes nothing", `write \\ for a backslash`)
			}
			if octet == 0 {
				return nil, p.fail(p.pos, "a NUL character", "leave it out")
			}
			p.pos += size - 1
			value = append(value, octet)
			kept = len(value)
		default:
			value = append(value, c)
			kept = len(value)
		}
	}
	return p.encode(start, name, t, value[:kept])
}

// escape reads a backslash with what it escapes: two hexadecimal digits or one of the special characters.
func (p *parser) escape() (octet byte, size int, ok bool) {
	rest := p.text[p.pos+1:]
	if len(rest) >= 2 {
		if b, err := hex.DecodeString(rest[:2]); err == nil {
			return b[0], 3, true
		}
	}
	if rest != "" && strings.IndexByte(`,+"\<>;# =`, rest[0]) >= 0 {
		return rest[0], 2, true
	}
	return 0, 0, false
}

func (p *parser) hexValue() ([]byte, error) {
	start := p.pos
	n := strings.IndexAny(p.text[start:], ",+")
	if n < 0 {
		n = len(p.text) - start
	}
	p.pos = start + n
	value, err := hex.DecodeString(strings.TrimRight(p.text[start+1:p.pos], " "))
	if err != nil {
		return nil, p.fail(start, "not hexadecimal after the #",
			`write the value's DER form in hexadecimal, or \# for a value that begins with #`)
	}
	if _, _, ok := der.Split(value); !ok {
		return nil, p.fail(start, "not one DER element after the #",
			`write tag, length and contents, for example #0c03616263 for "abc", or \# for a value that begins with #`)
	}
	return value, nil
}

// encode gives the TLV with the string type that GnuTLS prints readably.
func (p *parser) encode(offset int, name string, t *attributeType, value []byte) ([]byte, error) {
	switch {
	case len(value) == 0:
		return nil, p.fail(offset, fmt.Sprintf("%s has no value", name),
			"give it a value or leave the attribute out; GnuTLS refuses empty values")
	case !utf8.Valid(value):
		return nil, p.fail(offset, fmt.Sprintf("the value of %s is not valid UTF-8", name),
			"write the name in UTF-8; a value in octets can be given as #HEX of its DER form")
	case t == nil:
		return nil, p.fail(offset, fmt.Sprintf("GnuTLS prints %s in hexadecimal only", name),
			fmt.Sprintf("write the value so: %s=#%x", name, der.Append(nil, 0x0c, value)))
	}
	tag := byte(t.syntax.tag().Number)
	switch t.syntax {
	case directoryString, password:
		if isPrintable(value) {
			tag = byte(der.PrintableString.Number)
		}
	case bmp:
		var units []byte
		for _, u := range utf16.Encode([]rune(string(value))) {
			units = append(units, byte(u>>8), byte(u))
		}
		value = units
	}
	return der.Append(nil, tag, value), nil
}

// isPrintable reports whether the value has only characters of PrintableString (X.680, 41.4).
func isPrintable(value []byte) bool {
	for _, c := range value {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(" '()+,-./:=?", c) >= 0) {
			return false
		}
	}
	return true
}
