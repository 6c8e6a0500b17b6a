package der

import "math"

// Error is a refusal of libtasn1, with the text that gnutls_strerror gives for it.
type Error string

// The refusals.
const (
	// ErrSyntax is ASN1_DER_ERROR: lengths that do not fit, indefinite lengths, bad OIDs.
	ErrSyntax Error = "ASN1 parser: Error in DER parsing."
	// ErrTag is ASN1_TAG_ERROR: another element than the expected one.
	ErrTag Error = "ASN1 parser: Error in TAG."
	// ErrNotFound is ASN1_ELEMENT_NOT_FOUND: an element is missing because its SEQUENCE is empty.
	ErrNotFound Error = "ASN1 parser: Element was not found."
	// ErrTime is ASN1_TIME_ENCODING_ERROR: a time that is not digits followed by Z.
	ErrTime Error = "The DER time encoding is invalid."
)

// Error gives GnuTLS's text.
func (e Error) Error() string { return string(e) }

// A Tag is a class, the constructed bit and a number.
type Tag struct {
	Class  byte // the upper three bits of the first octet: class and constructed bit
	Number uint32
}

// The tags of the universal class that certificates use.
var (
	Boolean         = Tag{0, 1}
	Integer         = Tag{0, 2}
	BitString       = Tag{0, 3}
	OctetString     = Tag{0, 4}
	OID             = Tag{0, 6}
	UTF8String      = Tag{0, 12}
	NumericString   = Tag{0, 18}
	PrintableString = Tag{0, 19}
	TeletexString   = Tag{0, 20}
	IA5String       = Tag{0, 22}
	UTCTime         = Tag{0, 23}
	GeneralizedTime = Tag{0, 24}
	UniversalString = Tag{0, 28}
	BMPString       = Tag{0, 30}
	Sequence        = Tag{0x20, 16}
	Set             = Tag{0x20, 17}
)

// Context gives the context-specific tag of that number.
func Context(number uint32, constructed bool) Tag {
	if constructed {
		return Tag{0xa0, number}
	}
	return Tag{0x80, number}
}

// A Decoder reads one text. The zero value reads the empty text.
type Decoder struct {
	buf   []byte
	pos   int
	inner bool
}

// NewDecoder gives a Decoder at the start of the text. It keeps the slice and does not change it.
func NewDecoder(text []byte) Decoder { return Decoder{buf: text} }

// NewInnerDecoder is NewDecoder for a text that was cut out of another, where more octets followed: libtasn1 takes
// length octets that break off at the very end of what it decodes as if those missing were not announced, and such an
// end is no real one.
func NewInnerDecoder(text []byte) Decoder { return Decoder{buf: text, inner: true} }

// Pos gives the number of octets read.
func (d *Decoder) Pos() int { return d.pos }

// Since gives the octets from a former position to the current one.
func (d *Decoder) Since(pos int) []byte { return d.buf[pos:d.pos:d.pos] }

// End fails if octets are left.
func (d *Decoder) End() error {
	if d.pos != len(d.buf) {
		return ErrSyntax
	}
	return nil
}

// Peek gives the tag at the current position and its number of octets, or ok = false if there is none. A tag needs at
// least one octet behind it.
func (d *Decoder) Peek() (tag Tag, size int, ok bool) {
	b := d.buf[d.pos:]
	if len(b) < 2 {
		return Tag{}, 0, false
	}
	tag.Class = b[0] & 0xe0
	if tag.Number = uint32(b[0] & 0x1f); tag.Number != 0x1f {
		return tag, 1, true
	}
	number := uint64(0)
	for i := 1; i < len(b); i++ {
		if number = number<<7 | uint64(b[i]&0x7f); number > math.MaxUint32 {
			return Tag{}, 0, false
		}
		if b[i]&0x80 == 0 {
			tag.Number = uint32(number)
			return tag, i + 1, true
		}
	}
	return Tag{}, 0, false
}

// Next reports whether the tag comes next.
func (d *Decoder) Next(want Tag) bool {
	tag, _, ok := d.Peek()
	return ok && tag == want
}

// Expect reads a tag, which must be the given one.
func (d *Decoder) Expect(want Tag) error {
	tag, size, ok := d.Peek()
	if !ok || tag != want {
		return ErrTag
	}
	d.pos += size
	return nil
}

// Length reads a definite length of any form. That many octets are then there.
func (d *Decoder) Length() (int, error) {
	b := d.buf[d.pos:]
	if len(b) == 0 {
		return 0, ErrSyntax
	}
	length, size := uint64(b[0]), 1
	if b[0] >= 0x80 {
		n := int(b[0] & 0x7f)
		if n == 0 {
			return 0, ErrSyntax
		}
		if n >= len(b) && d.inner {
			return 0, ErrSyntax
		}
		for length = 0; size <= n && size < len(b); size++ {
			if length = length<<8 | uint64(b[size]); length >= math.MaxInt32 {
				return 0, ErrSyntax
			}
		}
	}
	if length > uint64(len(b)-size) {
		return 0, ErrSyntax
	}
	d.pos += size
	return int(length), nil
}

// Contents reads an element with the given tag and gives its content octets.
func (d *Decoder) Contents(want Tag) ([]byte, error) {
	if want == OctetString && d.Next(Tag{0x20, OctetString.Number}) {
		return nil, ErrSyntax // known to libtasn1, but not DER
	}
	if err := d.Expect(want); err != nil {
		return nil, err
	}
	n, err := d.Length()
	if err != nil {
		return nil, err
	}
	start := d.pos
	d.pos += n
	return d.Since(start), nil
}

// Bool reads a BOOLEAN, whose length must be in the short form.
func (d *Decoder) Bool() (bool, error) {
	if err := d.Expect(Boolean); err != nil {
		return false, err
	}
	b := d.buf[d.pos:]
	if len(b) < 2 || b[0] != 1 {
		return false, ErrSyntax
	}
	d.pos += 2
	return b[1] != 0, nil
}

// Open reads the tag and length of a constructed element and gives the position of its end, for Close. An element
// without contents has its end at the current position.
func (d *Decoder) Open(want Tag) (end int, err error) {
	if err := d.Expect(want); err != nil {
		return 0, err
	}
	n, err := d.Length()
	return d.pos + n, err
}

// Close fails unless the current position is the given end.
func (d *Decoder) Close(end int) error {
	if d.pos != end {
		return ErrSyntax
	}
	return nil
}

// Any reads an element of any tag and gives it whole.
func (d *Decoder) Any() ([]byte, error) {
	start := d.pos
	_, size, ok := d.Peek()
	if !ok {
		return nil, ErrTag
	}
	d.pos += size
	n, err := d.Length()
	if err != nil {
		return nil, err
	}
	d.pos += n
	return d.Since(start), nil
}

// Split reads a text that is one element of any tag and definite length, as TLVs inside a checked text are.
func Split(tlv []byte) (tag Tag, contents []byte, ok bool) {
	d := NewInnerDecoder(tlv)
	tag, size, ok := d.Peek()
	if !ok {
		return Tag{}, nil, false
	}
	d.pos += size
	n, err := d.Length()
	if err != nil || d.pos+n != len(tlv) {
		return Tag{}, nil, false
	}
	return tag, tlv[d.pos:], true
}
