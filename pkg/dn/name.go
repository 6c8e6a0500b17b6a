package dn

// A Name is a distinguished name in its encoded form, RDNs and attributes in encoded order. The zero value is the
// empty name. A Name is immutable and may be used by several goroutines.
type Name struct {
	der []byte // the Name's complete TLV
}

// Rendering selects the GnuTLS whose text is wanted.
type Rendering int

const (
	// GnuTLS37 is GnuTLS 3.7.5 to 3.8.3 (Debian 12: 3.7.9).
	GnuTLS37 Rendering = iota
	// GnuTLS384 is GnuTLS 3.8.4 and later: empty values of single-type attributes print as nothing.
	GnuTLS384
)

// An Attribute is one TYPE=value of a name.
type Attribute struct {
	OID   string // dotted decimal
	Type  string // the name GnuTLS prints: C, CN, EMAIL, ... or the OID
	Value []byte // the value's complete TLV
	Text  string // the value as GnuTLS prints it, escaped
}

// FromDER takes a Name as it stands in a certificate (the complete TLV of the RDNSequence). It accepts what GnuTLS's
// import accepts.
func FromDER(der []byte) (Name, error) { panic("unimplemented") }

// Parse reads the text form and encodes it, RDNs in the given order: the inverse of Text.
func Parse(text string) (Name, error) { panic("unimplemented") }

// DER gives the encoded name. The zero Name gives 30 00.
func (n Name) DER() []byte { panic("unimplemented") }

// RDNs gives the attributes, RDN by RDN, in encoded order.
func (n Name) RDNs() ([][]Attribute, error) { panic("unimplemented") }

// Text gives exactly the bytes that gnutls_x509_crt_get_dn of GnuTLS 3.7.9 gives and that libvirt matches against
// tls_allowed_dn_list; they need not be valid UTF-8.
func (n Name) Text() (string, error) { return n.TextFor(GnuTLS37) }

// TextFor is Text for another GnuTLS.
func (n Name) TextFor(r Rendering) (string, error) { panic("unimplemented") }

// OpenSSL gives the name as `openssl x509 -noout -subject` of OpenSSL 3.0 prints it by default.
func (n Name) OpenSSL() string { panic("unimplemented") }

// Certtool gives the name as `certtool -i` prints it: RFC 4514, last RDN first.
func (n Name) Certtool() string { panic("unimplemented") }
