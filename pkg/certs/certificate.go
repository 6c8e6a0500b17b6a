package certs

import (
	"crypto"
	"crypto/x509"
	"time"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A Certificate is an X.509 certificate as GnuTLS sees it: read with an own reader, because crypto/x509 refuses or
// rewrites many certificates that GnuTLS accepts. It is immutable after Import.
type Certificate struct {
	Raw     []byte // the complete DER
	RawTBS  []byte // the signed part
	Version int    // 1, 2, 3 (as encoded plus one)
	Serial  []byte // content octets of the INTEGER
	Issuer  dn.Name
	Subject dn.Name
	// NotBefore and NotAfter bound the validity, both included.
	NotBefore, NotAfter time.Time

	// RawPublicKeyInfo is the SubjectPublicKeyInfo; PublicKey is nil where crypto/x509 knows no such key.
	RawPublicKeyInfo []byte
	PublicKey        crypto.PublicKey

	// SignatureAlgorithm is the OID; see Signature for Go's name of it.
	SignatureAlgorithm string

	BasicConstraints *BasicConstraints // nil: no such extension
	KeyUsage         *KeyUsage         // nil: no such extension
	ExtKeyUsage      *ExtKeyUsage      // nil: no such extension
	AltNames         []AltName         // subjectAltName, in order
	HasAltNames      bool              // the extension is there, even if empty
	Extensions       []Extension       // all, in order
}

// BasicConstraints is the extension of that name. PathLen is -1 where absent.
type BasicConstraints struct {
	Critical bool
	CA       bool
	PathLen  int
}

// KeyUsage is the extension of that name.
type KeyUsage struct {
	Critical bool
	Bits     x509.KeyUsage
}

// ExtKeyUsage is the extendedKeyUsage extension, the purposes as dotted OIDs in order.
type ExtKeyUsage struct {
	Critical bool
	Purposes []string
	// Undecodable reports that the extension is there but cannot be read.
	Undecodable bool
}

// AltNameKind is the CHOICE of a GeneralName.
type AltNameKind int

// The kinds of GeneralName, by tag.
const (
	OtherName     AltNameKind = 0
	RFC822Name    AltNameKind = 1
	DNSName       AltNameKind = 2
	DirectoryName AltNameKind = 4
	URIName       AltNameKind = 6
	IPAddress     AltNameKind = 7
	RegisteredID  AltNameKind = 8
)

// An AltName is one GeneralName.
type AltName struct {
	Kind  AltNameKind
	Value []byte // content octets; for otherName the value's TLV
	OID   string // of an otherName
}

// An Extension is one X.509v3 extension.
type Extension struct {
	OID      string
	Critical bool
	Value    []byte
}

// An ImportError is the refusal of gnutls_x509_crt_import, with GnuTLS's own text.
type ImportError struct {
	Text string // for example "ASN1 parser: Error in DER parsing."
}

// Error gives GnuTLS's text.
func (e *ImportError) Error() string { return e.Text }

// Import reads a DER certificate, accepting and refusing exactly what GnuTLS does (an *ImportError).
func Import(der []byte) (*Certificate, error) { panic("unimplemented") }

// ImportPEM reads the first certificate of a PEM text the way gnutls_x509_crt_import searches it, as virt-pki-query-dn
// and libvirt's sanity check do.
func ImportPEM(text []byte) (*Certificate, error) { panic("unimplemented") }

// ImportPEMList reads all certificates of a PEM text the way gnutls_x509_crt_list_import does, at most limit (0: all).
func ImportPEMList(text []byte, limit int) ([]*Certificate, error) { panic("unimplemented") }

// X509 gives crypto/x509's view of the certificate, or its refusal. The result is computed once.
func (c *Certificate) X509() (*x509.Certificate, error) { panic("unimplemented") }

// PEM gives the certificate in PEM.
func (c *Certificate) PEM() []byte { panic("unimplemented") }

// SerialHex gives the serial number in upper-case hex without leading zeros, as openssl prints it.
func (c *Certificate) SerialHex() string { panic("unimplemented") }
