package der

import (
	"math"
	"strconv"
)

// ObjectID reads an OBJECT IDENTIFIER and gives its content octets, without a last arc that is not finished: libtasn1
// drops such an arc.
func (d *Decoder) ObjectID() ([]byte, error) {
	b, err := d.Contents(OID)
	if err != nil {
		return nil, err
	}
	return trimOID(b)
}

// trimOID checks the contents of an OBJECT IDENTIFIER as asn1_get_object_id_der does.
func trimOID(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, ErrSyntax
	}
	end := 0
	value := uint64(0)
	for i, c := range b {
		if i == end && c == 0x80 || value > math.MaxUint64>>7 {
			return nil, ErrSyntax
		}
		value = value<<7 | uint64(c&0x7f)
		if c&0x80 == 0 {
			end, value = i+1, 0
		}
	}
	if end == 0 { // the first arc alone is kept even if it is not finished
		return b, nil
	}
	return b[:end:end], nil
}

// maxOIDText is the length at which libtasn1's decoder cuts the text of an OBJECT IDENTIFIER off: it writes it into a
// buffer of 128 octets with the end of the string (lib/decoding.c). Two OIDs that differ behind it are the same to GnuTLS.
const maxOIDText = 127

// OIDText writes the content octets of a checked OBJECT IDENTIFIER as libtasn1 does: arcs from 2^63 on are negative, and
// the text ends after 127 characters, also within an arc.
func OIDText(contents []byte) string { return string(AppendOID(nil, contents)) }

// AppendOID appends what OIDText gives.
func AppendOID(dst, contents []byte) []byte {
	start := len(dst)
	value := uint64(0)
	first := true
	for i, c := range contents {
		value = value<<7 | uint64(c&0x7f)
		if c&0x80 != 0 && (i+1 < len(contents) || !first) {
			continue
		}
		if first {
			root := min(value/40, 2)
			dst = strconv.AppendUint(dst, root, 10)
			value -= 40 * root
			first = false
		}
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, int64(value), 10)
		value = 0
		if len(dst)-start >= maxOIDText {
			return dst[:start+maxOIDText]
		}
	}
	return dst
}

// AppendOIDContents appends the content octets for arcs; the first must be at most 2, the second below 40 under 0 and
// 1. It is the inverse of OIDText for arcs that are not negative.
func AppendOIDContents(dst []byte, arcs []uint64) []byte {
	for i, arc := range arcs {
		if i == 0 {
			continue
		}
		if i == 1 {
			arc += 40 * arcs[0]
		}
		n := 1
		for v := arc >> 7; v > 0; v >>= 7 {
			n++
		}
		for ; n > 1; n-- {
			dst = append(dst, byte(arc>>(7*(n-1)))|0x80)
		}
		dst = append(dst, byte(arc)&0x7f)
	}
	return dst
}

// Append appends an element with a one-octet tag and a minimal length.
func Append(dst []byte, tag byte, contents []byte) []byte {
	dst = append(dst, tag)
	switch n := len(contents); {
	case n < 0x80:
		dst = append(dst, byte(n))
	case n < 0x100:
		dst = append(dst, 0x81, byte(n))
	case n < 0x10000:
		dst = append(dst, 0x82, byte(n>>8), byte(n))
	case n < 0x1000000:
		dst = append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, contents...)
}
