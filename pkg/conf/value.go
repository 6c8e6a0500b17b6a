package conf

import "iter"

// A ValueType is the syntactic type of a value. libvirt never converts one into another.
type ValueType uint8

// The types.
const (
	Integer ValueType = iota + 1
	String
	List
)

// String gives the type's name.
func (t ValueType) String() string {
	switch t {
	case Integer:
		return "integer"
	case String:
		return "string"
	case List:
		return "list"
	}
	return "no value"
}

// A Value is what stands right of an equals sign, or an element of a list.
type Value struct {
	Type ValueType
	// Overflow says that the number of an Integer wrapped at 64 bits, which libvirt 9.0 lets it do without a word.
	Overflow bool
	// Negative says that the number was written with a minus sign; -0 is negative too. libvirt takes no such number for
	// a bool or an unsigned integer.
	Negative bool
	// trailingComma says that a List has a comma behind its last element.
	trailingComma bool
	// Int is the number of an Integer.
	Int int64
	// Text is the content of a String. It ends before a NUL byte, as in C.
	Text string
	// Len is the number of elements of a List.
	Len int
	// Quote is how a String is delimited: ", ' or """.
	Quote string
	// Start and End are the offsets of the value in the file, quotes and brackets included.
	Start, End int
	// Line is the line on which it begins.
	Line int
	// file is the text of the whole file, from which the elements of a List are read.
	file string
}

// Items gives the elements of a List. They are read anew each time, with all that is inside of them.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		v.elements(func(depth int, e Value) bool { return depth > 1 || yield(e) })
	}
}

// elements reads a List again and calls f with every element, at any depth from 1, behind those inside of it, until f gives
// false.
func (v Value) elements(f func(depth int, e Value) bool) {
	if v.Type != List {
		return
	}
	p := parser{text: v.file, pos: v.Start, line: v.Line, element: f}
	if _, err := p.value(0); err != nil && err != errEnough {
		panic("conf: a list that was read cannot be read: " + err.Error())
	}
}

// Strings gives the elements of a list of strings; ok is false for any other value.
func (v Value) Strings() (items []string, ok bool) {
	if !v.allStrings() {
		return nil, false
	}
	items = make([]string, 0, v.Len)
	for i := range v.Items() {
		items = append(items, i.Text)
	}
	return items, true
}

// allStrings reports whether the value is a list of strings.
func (v Value) allStrings() bool {
	if v.Type != List {
		return false
	}
	for i := range v.Items() {
		if i.Type != String {
			return false
		}
	}
	return true
}
