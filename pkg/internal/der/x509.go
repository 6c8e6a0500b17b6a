package der

import (
	"bytes"
	"time"
)

// This file reads what certificates and revocation lists have in common, as GnuTLS's definitions and libtasn1 do.

// An AlgorithmID is an AlgorithmIdentifier.
type AlgorithmID struct {
	OID        []byte // content octets; nil: the SEQUENCE is empty
	Parameters []byte // TLV; nil: none
}

// Algorithm reads an AlgorithmIdentifier.
func (d *Decoder) Algorithm() (a AlgorithmID, err error) {
	end, err := d.Open(Sequence)
	if err != nil || d.pos == end {
		return a, err
	}
	if a.OID, err = d.ObjectID(); err != nil {
		return a, err
	}
	if d.pos < end {
		if a.Parameters, err = d.Any(); err != nil {
			return a, ErrSyntax
		}
	}
	return a, d.Close(end)
}

// A Time is a Time as encoded.
type Time struct {
	Text    []byte
	General bool // GeneralizedTime, not UTCTime
}

// NextTime reports whether a Time comes next.
func (d *Decoder) NextTime() bool {
	tag, _, _ := d.Peek()
	return tag == UTCTime || tag == GeneralizedTime
}

// Time reads a Time.
func (d *Decoder) Time() (Time, error) {
	if !d.NextTime() {
		return Time{}, ErrSyntax // no alternative of the CHOICE
	}
	tag, _, _ := d.Peek()
	b, err := d.Contents(tag)
	if err != nil {
		return Time{}, err
	}
	t := Time{b, tag == GeneralizedTime}
	return t, t.check()
}

// SkipTime is Time for one whose text does not matter.
func (d *Decoder) SkipTime() error {
	if b := d.buf[d.pos:]; len(b) >= 15 && b[0] == 0x17 && b[1] == 13 && b[14] == 'Z' { // nearly always
		digits := true
		for _, c := range b[2:14] {
			digits = digits && c-'0' <= 9
		}
		if digits {
			d.pos += 15
			return nil
		}
	}
	_, err := d.Time()
	return err
}

// check is libtasn1's check of a time: digits, in a GeneralizedTime with a dot somewhere, and a Z.
func (t Time) check() error {
	n := len(t.Text)
	if n == 0 {
		return ErrSyntax
	}
	if n < 8 || t.Text[n-1] != 'Z' {
		return ErrTime
	}
	dots := 0
	for i := range n - 1 {
		if t.General && t.Text[i] == '.' {
			dots++
		} else if t.Text[i] < '0' || t.Text[i] > '9' {
			return ErrTime
		}
	}
	if dots > 1 {
		return ErrTime
	}
	return nil
}

// Unix gives the time as GnuTLS does: fractions are refused, seconds may be missing, a day beyond the month's end is
// one of the next month.
func (t Time) Unix() (seconds int64, ok bool) {
	s := t.Text
	number := func(n int) int {
		v := 0
		for _, c := range s[:n] {
			if c < '0' || c > '9' { // the Z
				break
			}
			v = 10*v + int(c-'0')
		}
		s = s[n:]
		return v
	}
	year := 0
	if t.General {
		if len(s) < 12 || bytes.IndexByte(s, '.') >= 0 {
			return 0, false
		}
		year = number(4)
	} else {
		if len(s) < 10 {
			return 0, false
		}
		if year = number(2); year > 49 {
			year += 1900
		} else {
			year += 2000
		}
	}
	if len(s) < 8 {
		return 0, false
	}
	if year < 1970 {
		return 0, true // whatever the rest is
	}
	month, day, hour, minute, second := number(2), number(2), number(2), number(2), 0
	if len(s) >= 2 {
		second = number(2)
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	seconds = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix()
	return seconds, true
}

// An Extension is an Extension as encoded.
type Extension struct {
	OID      []byte // content octets; nil: the SEQUENCE is empty
	Critical bool
	Value    []byte // content octets of the OCTET STRING
}

// Extension reads an Extension.
func (d *Decoder) Extension() (e Extension, err error) {
	end, err := d.Open(Sequence)
	if err != nil || d.pos == end {
		return e, err
	}
	if e.OID, err = d.ObjectID(); err != nil {
		return e, err
	}
	if d.pos < end && d.Next(Boolean) {
		if e.Critical, err = d.Bool(); err != nil {
			return e, err
		}
	}
	if e.Value, err = d.Contents(OctetString); err != nil {
		return e, err
	}
	return e, d.Close(end)
}

// Extensions reads [tag] EXPLICIT SEQUENCE OF Extension, if that comes next, and gives each to take.
func (d *Decoder) Extensions(tag uint32, take func(Extension)) (present bool, err error) {
	ahead := *d
	if ahead.Expect(Context(tag, true)) != nil {
		return false, nil
	}
	if _, err := ahead.Length(); err != nil || !ahead.Next(Sequence) {
		return false, nil
	}
	*d = ahead
	end, err := d.Open(Sequence)
	if err != nil {
		return true, err
	}
	for d.Pos() < end {
		e, err := d.Extension()
		if err != nil {
			return true, err
		}
		take(e)
	}
	return true, d.Close(end)
}
