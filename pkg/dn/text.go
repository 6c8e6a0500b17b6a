package dn

import (
	"bytes"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// maxOIDText is the longest text of an attribute type that gnutls_x509_crt_get_dn has room for.
const maxOIDText = 126

// Text gives exactly the bytes that gnutls_x509_crt_get_dn of GnuTLS 3.7.9 gives and that libvirt matches against
// tls_allowed_dn_list; they need not be valid UTF-8. Its errors are ErrEmpty, ErrEmptyValue, ErrOctetString, ErrLongOID
// and ErrAborts.
func (n Name) Text() (string, error) { return n.TextFor(GnuTLS37) }

// TextFor is Text for another GnuTLS.
func (n Name) TextFor(r Rendering) (string, error) {
	rdns := n.rdns()
	if len(rdns) == 0 {
		return "", ErrEmpty
	}
	// Room for the text of a usual name: it is not longer than the encoded form.
	text := make([]byte, 0, len(rdns)+16)
	any := false
	for sets := (cursor{rdns}); ; {
		set, ok := sets.next()
		if !ok {
			break
		}
		for attributes := (cursor{set}); ; {
			a, ok := attributes.nextAttribute()
			if !ok || a.oid == nil {
				break
			}
			any = true
			var err error
			if text, err = a.append(text, r); err != nil {
				return "", err
			}
			// GnuTLS decides by position, not by what follows: an empty RDN at the end leaves a comma.
			if len(attributes.rest) > 0 {
				text = append(text, '+')
			} else if len(sets.rest) > 0 {
				text = append(text, ',')
			}
		}
	}
	if !any {
		return "", ErrAborts
	}
	return string(text), nil
}

// append appends TYPE=value.
func (a attribute) append(dst []byte, r Rendering) ([]byte, error) {
	t := lookUp(a.oid)
	if t == nil || t.name == "" {
		start := len(dst)
		dst = der.AppendOID(dst, a.oid)
		if len(dst)-start > maxOIDText {
			return nil, ErrLongOID
		}
	} else {
		dst = append(dst, t.name...)
	}
	dst = append(dst, '=')
	if t == nil {
		return appendHex(dst, a.value), nil
	}
	return appendValue(dst, t.syntax, a.value, r)
}

// appendValue appends the value of an attribute that GnuTLS knows (_gnutls_x509_dn_to_string).
func appendValue(dst []byte, s syntax, value []byte, r Rendering) ([]byte, error) {
	tag, contents, ok := der.Split(value)
	choice := s == directoryString || s == password
	switch {
	case s == directoryString && value[1] == 0:
		return nil, ErrEmptyValue
	case !choice && ok && len(contents) == 0 && r >= GnuTLS384:
		return dst, nil
	case !ok || len(contents) == 0, !choice && tag != s.tag(),
		s == password && tag != der.UTF8String && tag != der.PrintableString:
		return appendHex(dst, value), nil
	}
	text := contents
	switch tag {
	case der.UTF8String, der.PrintableString, der.IA5String, der.NumericString, der.OctetString:
		if choice && tag != der.UTF8String && tag != der.PrintableString {
			return appendHex(dst, value), nil
		}
		if bytes.IndexByte(contents, 0) >= 0 {
			if s == octets {
				return nil, ErrOctetString
			}
			return appendHex(dst, value), nil
		}
	case der.TeletexString:
		for _, c := range contents {
			if c < 0x20 || c > 0x7e {
				return appendHex(append(dst, '\\'), contents), nil
			}
		}
	case der.UniversalString:
		return appendHex(append(dst, '\\'), contents), nil
	case der.BMPString:
		if text, ok = fromBMP(contents); !ok {
			return appendHex(append(dst, '\\'), contents), nil
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return appendHex(dst, value), nil
		}
	default:
		return appendHex(dst, value), nil
	}
	return appendEscaped(dst, text), nil
}

// fromBMP converts UTF-16BE; ok is false at an unpaired surrogate. Two trailing zero octets behind something else are
// ignored, then an odd last octet.
func fromBMP(b []byte) (text []byte, ok bool) {
	if len(b) > 2 && b[len(b)-1] == 0 && b[len(b)-2] == 0 {
		b = b[:len(b)-2]
	}
	for ; len(b) >= 2; b = b[2:] {
		c := rune(b[0])<<8 | rune(b[1])
		if utf16.IsSurrogate(c) {
			if len(b) < 4 {
				return nil, false
			}
			if c = utf16.DecodeRune(c, rune(b[2])<<8|rune(b[3])); c == utf8.RuneError {
				return nil, false
			}
			b = b[2:]
		}
		text = utf8.AppendRune(text, c)
	}
	return text, true
}

// appendHex appends # and lower-case hexadecimal.
func appendHex(dst, b []byte) []byte { return hex.AppendEncode(append(dst, '#'), b) }

// appendEscaped appends a value with GnuTLS's escapes: a backslash before , + " \ < > ; anywhere, before # at the
// start and before a space at the start or end. All other octets stay as they are.
func appendEscaped(dst, value []byte) []byte {
	for i, c := range value {
		switch c {
		case ',', '+', '"', '\\', '<', '>', ';':
			dst = append(dst, '\\')
		case '#':
			if i == 0 {
				dst = append(dst, '\\')
			}
		case ' ':
			if i == 0 || i == len(value)-1 {
				dst = append(dst, '\\')
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// Escape writes a value the way it stands in a text: Parse("CN=" + Escape(v)) has the common name v.
func Escape(value string) string { return string(appendEscaped(nil, []byte(value))) }
