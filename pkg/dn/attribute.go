package dn

import "github.com/virt-pki/virt-pki/pkg/internal/der"

// syntax is how GnuTLS decodes the value of an attribute.
type syntax byte

const (
	unknown         syntax = iota // not in GnuTLS's table: always hex
	directoryString               // a CHOICE of string types
	password                      // challengePassword: a CHOICE of two
	printable                     // exactly PrintableString, and so on
	ia5
	utf8String
	numeric
	bmp
	octets
)

// tag is the one tag of a value with this syntax.
func (s syntax) tag() der.Tag {
	switch s {
	case printable:
		return der.PrintableString
	case ia5:
		return der.IA5String
	case numeric:
		return der.NumericString
	case bmp:
		return der.BMPString
	case octets:
		return der.OctetString
	}
	return der.UTF8String
}

// attributeType is one line of GnuTLS's table of attributes (lib/x509/common.c, _oid2str).
type attributeType struct {
	contents string // content octets of the OID
	oid      string
	name     string // "": printed as the OID
	syntax   syntax
	aliases  string // other names taken as input, space-separated, lower case
}

// label is what is printed before the equals sign.
func (a *attributeType) label() string {
	if a.name == "" {
		return a.oid
	}
	return a.name
}

// attributeTypes has the frequent ones first. It is a literal that the linker lays out: nothing is done at start-up.
var attributeTypes = [...]attributeType{
	{"\x55\x04\x03", "2.5.4.3", "CN", directoryString, "commonname"},
	{"\x55\x04\x0a", "2.5.4.10", "O", directoryString, "organizationname organization"},
	{"\x55\x04\x0b", "2.5.4.11", "OU", directoryString, "organizationalunitname organizationalunit"},
	{"\x55\x04\x06", "2.5.4.6", "C", printable, "countryname country"},
	{"\x55\x04\x07", "2.5.4.7", "L", directoryString, "localityname locality"},
	{"\x55\x04\x08", "2.5.4.8", "ST", directoryString, "s sp stateorprovincename state"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "0.9.2342.19200300.100.1.25", "DC", ia5, "domaincomponent"},
	{"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "0.9.2342.19200300.100.1.1", "UID", directoryString, "userid"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "1.2.840.113549.1.9.1", "EMAIL", ia5, "e emailaddress pkcs9email"},
	{"\x55\x04\x09", "2.5.4.9", "street", directoryString, "streetaddress"},
	{"\x55\x04\x0c", "2.5.4.12", "title", directoryString, "t"},
	{"\x55\x04\x0d", "2.5.4.13", "description", directoryString, ""},
	{"\x55\x04\x05", "2.5.4.5", "serialNumber", printable, ""},
	{"\x55\x04\x14", "2.5.4.20", "telephoneNumber", printable, ""},
	{"\x55\x04\x04", "2.5.4.4", "surName", directoryString, "sn"},
	{"\x55\x04\x2a", "2.5.4.42", "givenName", directoryString, "gn g"},
	{"\x55\x04\x2b", "2.5.4.43", "initials", directoryString, ""},
	{"\x55\x04\x2c", "2.5.4.44", "generationQualifier", directoryString, ""},
	{"\x55\x04\x41", "2.5.4.65", "pseudonym", directoryString, ""},
	{"\x55\x04\x2e", "2.5.4.46", "dnQualifier", printable, "dnq"},
	{"\x55\x04\x11", "2.5.4.17", "postalCode", directoryString, ""},
	{"\x55\x04\x29", "2.5.4.41", "name", directoryString, ""},
	{"\x55\x04\x0f", "2.5.4.15", "businessCategory", directoryString, ""},
	{"\x2a\x86\x48\x86\xf7\x14\x01\x04\x85\x10", "1.2.840.113556.1.4.656", "userPrincipalName", directoryString, "upn"},
	{"\x2b\x06\x01\x05\x05\x07\x09\x02", "1.3.6.1.5.5.7.9.2", "placeOfBirth", directoryString, ""},
	{"\x2b\x06\x01\x05\x05\x07\x09\x03", "1.3.6.1.5.5.7.9.3", "gender", printable, ""},
	{"\x2b\x06\x01\x05\x05\x07\x09\x04", "1.3.6.1.5.5.7.9.4", "countryOfCitizenship", printable, ""},
	{"\x2b\x06\x01\x05\x05\x07\x09\x05", "1.3.6.1.5.5.7.9.5", "countryOfResidence", printable, ""},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x01", "1.3.6.1.4.1.311.60.2.1.1",
		"jurisdictionOfIncorporationLocalityName", directoryString, "jurisdictionl"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x02", "1.3.6.1.4.1.311.60.2.1.2",
		"jurisdictionOfIncorporationStateOrProvinceName", directoryString, "jurisdictionst"},
	{"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03", "1.3.6.1.4.1.311.60.2.1.3",
		"jurisdictionOfIncorporationCountryName", printable, "jurisdictionc"},
	{"\x2b\x06\x01\x05\x05\x07\x08\x05", "1.3.6.1.5.5.7.8.5", "XmppAddr", utf8String, "id-on-xmppaddr"},
	{"\x2a\x85\x03\x64\x01", "1.2.643.100.1", "OGRN", numeric, ""},
	{"\x2a\x85\x03\x64\x03", "1.2.643.100.3", "SNILS", numeric, ""},
	{"\x2a\x85\x03\x64\x05", "1.2.643.100.5", "OGRNIP", numeric, ""},
	{"\x2a\x85\x03\x03\x81\x03\x01\x01", "1.2.643.3.131.1.1", "INN", numeric, ""},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07", "1.2.840.113549.1.9.7", "", password, "challengepassword"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14", "1.2.840.113549.1.9.20", "", bmp, "friendlyname"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x15", "1.2.840.113549.1.9.21", "", octets, "localkeyid"},
	{"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04", "1.2.840.113549.1.9.4", "", octets, "messagedigest"},
}

// commonName is the content of CN's OID.
const commonName = "\x55\x04\x03"

// lookUp gives the table's line for the content octets of an OID, or nil.
func lookUp(oid []byte) *attributeType {
	for i := range attributeTypes {
		if attributeTypes[i].contents == string(oid) {
			return &attributeTypes[i]
		}
	}
	return nil
}
