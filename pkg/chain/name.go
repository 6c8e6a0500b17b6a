package chain

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/unicode/norm"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// comparableRDNs gives a name's parts in a form in which equal parts of section 7.1 are equal texts: string types do
// not count, nor does case, nor the number of blanks (the profile of RFC 4518, with the case folding of Unicode).
func comparableRDNs(n dn.Name) []string {
	s := cryptobyte.String(n.DER())
	var rdns cryptobyte.String
	if !s.ReadASN1(&rdns, casn1.SEQUENCE) {
		return []string{"unreadable " + string(n.DER())}
	}
	var out []string
	for !rdns.Empty() {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, casn1.SET) {
			return []string{"unreadable " + string(n.DER())}
		}
		var parts []string
		for !set.Empty() {
			var pair, oid, value cryptobyte.String
			var tag casn1.Tag
			if !set.ReadASN1(&pair, casn1.SEQUENCE) || !pair.ReadASN1Element(&oid, casn1.OBJECT_IDENTIFIER) || !pair.ReadAnyASN1(&value, &tag) {
				return []string{"unreadable " + string(n.DER())}
			}
			parts = append(parts, lengthen(string(oid))+lengthen(comparableValue(tag, value)))
		}
		sort.Strings(parts)
		out = append(out, strings.Join(parts, ""))
	}
	return out
}

// whole joins the parts of a name.
func whole(rdns []string) string {
	var b strings.Builder
	for _, r := range rdns {
		b.WriteString(lengthen(r))
	}
	return b.String()
}

// lengthen puts a text's length before it, so that joined texts stay apart.
func lengthen(s string) string {
	n := len(s)
	return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + s
}

// comparableValue is an attribute's value; values of types that are no strings compare octet by octet.
func comparableValue(tag casn1.Tag, v []byte) string {
	text, ok := stringOf(tag, v)
	if !ok {
		return string([]byte{byte(tag)}) + string(v)
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r == '\u00ad', r >= '\u200b' && r <= '\u200f', r == '\ufeff':
			return -1
		}
		return r
	}, text)
	text = norm.NFKC.String(strings.ToLower(strings.ToUpper(norm.NFKC.String(text))))
	return "s" + strings.Join(strings.Fields(text), " ")
}

const (
	tagUniversalString = casn1.Tag(28)
	tagBMPString       = casn1.Tag(30)
	tagNumericString   = casn1.Tag(18)
	tagVisibleString   = casn1.Tag(26)
)

// stringOf decodes a DirectoryString or IA5String.
func stringOf(tag casn1.Tag, v []byte) (string, bool) {
	switch tag {
	case casn1.UTF8String, casn1.PrintableString, casn1.IA5String, tagNumericString, tagVisibleString:
		return string(v), utf8.Valid(v)
	case casn1.T61String: // taken for Latin-1, as everybody does
		runes := make([]rune, len(v))
		for i, b := range v {
			runes[i] = rune(b)
		}
		return string(runes), true
	case tagBMPString:
		if len(v)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(v)/2)
		for i := range units {
			units[i] = uint16(v[2*i])<<8 | uint16(v[2*i+1])
		}
		return string(utf16.Decode(units)), true
	case tagUniversalString:
		if len(v)%4 != 0 {
			return "", false
		}
		runes := make([]rune, len(v)/4)
		for i := range runes {
			runes[i] = rune(v[4*i])<<24 | rune(v[4*i+1])<<16 | rune(v[4*i+2])<<8 | rune(v[4*i+3])
		}
		return string(runes), true
	}
	return "", false
}

// subjectTexts gives the texts of one attribute of a name; oid is the content octets of its type.
func subjectTexts(n dn.Name, oid string) []string {
	s := cryptobyte.String(n.DER())
	var rdns cryptobyte.String
	if !s.ReadASN1(&rdns, casn1.SEQUENCE) {
		return nil
	}
	var out []string
	for !rdns.Empty() {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, casn1.SET) {
			return out
		}
		for !set.Empty() {
			var pair, id, value cryptobyte.String
			var tag casn1.Tag
			if !set.ReadASN1(&pair, casn1.SEQUENCE) || !pair.ReadASN1(&id, casn1.OBJECT_IDENTIFIER) || !pair.ReadAnyASN1(&value, &tag) {
				return out
			}
			if text, ok := stringOf(tag, value); ok && string(id) == oid {
				out = append(out, text)
			}
		}
	}
	return out
}
