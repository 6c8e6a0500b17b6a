package conf

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
	// Items are the elements of a List.
	Items []Value
	// Quote is how a String is delimited: ", ' or """.
	Quote string
	// Start and End are the offsets of the value in the file, quotes and brackets included.
	Start, End int
	// Line is the line on which it begins.
	Line int
}

// Strings gives the elements of a list of strings; ok is false for any other value.
func (v Value) Strings() (items []string, ok bool) {
	if v.Type != List {
		return nil, false
	}
	items = make([]string, 0, len(v.Items))
	for _, i := range v.Items {
		if i.Type != String {
			return nil, false
		}
		items = append(items, i.Text)
	}
	return items, true
}

// JSON gives the value as encoding/json should write it: int64, string or []any.
func (v Value) JSON() any {
	switch v.Type {
	case Integer:
		return v.Int
	case List:
		items := make([]any, len(v.Items))
		for i, e := range v.Items {
			items[i] = e.JSON()
		}
		return items
	}
	return v.Text
}
