package dn

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// opensslNames has OpenSSL's short names, by content octets of the OID, where they are not GnuTLS's. It is a literal
// that the linker lays out: nothing is done at start-up.
var opensslNames = [...]struct{ contents, name string }{
	{"\x55\x04\x04", "SN"},
	{"\x55\x04\x2a", "GN"},
	{"\x55\x04\x10", "postalAddress"},
	{"\x55\x04\x12", "postOfficeBox"},
	{"\x55\x04\x13", "physicalDeliveryOfficeName"},
	{"\x55\x04\x17", "facsimileTelephoneNumber"},
	{"\x55\x04\x2d", "x500UniqueIdentifier"},
	{"\x55\x04\x31", "distinguishedName"},
	{"\x55\x04\x33", "houseIdentifier"},
	{"\x55\x04\x36", "dmdName"},
	{"\x55\x04\x48", "role"},
	{"\x55\x04\x61", "organizationIdentifier"},
	{"\x55\x04\x62", "c3"},
	{"\x55\x04\x63", "n3"},
	{"\x55\x04\x64", "dnsName"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x03", "mail"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x06", "roomNumber"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x09", "host"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x25", "associatedDomain"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x2c", "uid"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", "unstructuredName"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04", "messageDigest"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07", "challengePassword"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x08", "unstructuredAddress"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14", "friendlyName"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x15", "localKeyID"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x01", "id-pda-dateOfBirth"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x02", "id-pda-placeOfBirth"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x03", "id-pda-gender"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x04", "id-pda-countryOfCitizenship"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x05", "id-pda-countryOfResidence"},
	{"\x2b\x06\x01\x05\x05\x07\x08\x05", "id-on-xmppAddr"},
	{"\x2b\x06\x01\x05\x05\x07\x08\x07", "id-on-dnsSRV"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01", "jurisdictionL"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02", "jurisdictionST"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03", "jurisdictionC"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03", "msUPN"},
	{"\x2a\x86\x48\x86\xf7\x14\x01\x04\x85\x10", "1.2.840.113556.1.4.656"},
}

func opensslName(oid []byte) string {
	for i := range opensslNames {
		if opensslNames[i].contents == string(oid) {
			return opensslNames[i].name
		}
	}
	if t := lookUp(oid); t != nil {
		return t.label()
	}
	return der.OIDText(oid)
}

// OpenSSL gives the name as `openssl x509 -noout -subject` of OpenSSL 3.0 prints it by default (behind "subject="),
// for example `C = GB, O = "Red Hat, Inc.", CN = name`. For values that OpenSSL refuses to read, such as invalid UTF-8,
// it gives their octets in hexadecimal. It knows the short names of the attributes that occur in names, not all that
// OpenSSL knows.
func (n Name) OpenSSL() string {
	var b strings.Builder
	for sets := (cursor{n.rdns()}); ; {
		set, ok := sets.next()
		if !ok {
			return b.String()
		}
		separator := ", "
		for attributes := (cursor{set}); ; separator = " + " {
			a, ok := attributes.nextAttribute()
			if !ok {
				break
			}
			if a.oid == nil {
				continue
			}
			if b.Len() > 0 {
				b.WriteString(separator)
			}
			b.WriteString(opensslName(a.oid))
			b.WriteString(" = ")
			writeOpenSSLValue(&b, a.value)
		}
	}
}

// writeOpenSSLValue writes a value as ASN1_STRING_print_ex does with ASN1_STRFLGS_RFC2253 and ESC_QUOTE.
func writeOpenSSLValue(b *strings.Builder, value []byte) {
	tag, contents, _ := der.Split(value)
	var text []byte
	switch tag {
	case der.UTF8String:
		text = contents
	case der.PrintableString, der.IA5String, der.TeletexString, der.NumericString:
		for _, c := range contents { // taken as Latin-1
			text = utf8.AppendRune(text, rune(c))
		}
	case der.BMPString:
		for c := contents; len(c) >= 2; c = c[2:] {
			text = utf8.AppendRune(text, rune(c[0])<<8|rune(c[1]))
		}
	case der.UniversalString:
		for c := contents; len(c) >= 4; c = c[4:] {
			text = utf8.AppendRune(text, rune(uint32(c[0])<<24|uint32(c[1])<<16|uint32(c[2])<<8|uint32(c[3])))
		}
	default:
		fmt.Fprintf(b, "#%X", value)
		return
	}
	quote := strings.ContainsAny(string(text), ",+<>;")
	if n := len(text); n > 0 {
		quote = quote || text[0] == ' ' || text[0] == '#' || text[n-1] == ' '
	}
	if quote {
		b.WriteByte('"')
	}
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			fmt.Fprintf(b, "\\%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	if quote {
		b.WriteByte('"')
	}
}

// Certtool gives the name as `certtool -i` of GnuTLS 3.7.9 prints it: the text of RFC 4514, last RDN first. It gives ""
// where GnuTLS gives an error.
func (n Name) Certtool() string {
	text, err := n.Reverse().Text()
	if err != nil {
		return ""
	}
	return text
}
