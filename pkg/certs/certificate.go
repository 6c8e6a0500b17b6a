package certs

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
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

	raw       rawFields
	signature []byte // content octets of the BIT STRING
	view      *view
}

// view is what X509 keeps.
type view struct {
	once sync.Once
	cert *x509.Certificate
	err  error
}

// BasicConstraints is the extension of that name. PathLen is -1 where absent.
type BasicConstraints struct {
	Critical bool
	CA       bool
	PathLen  int
	// Undecodable reports that the extension is there but cannot be read, for which Trouble has GnuTLS's text.
	Undecodable bool
	Trouble     string
}

// KeyUsage is the extension of that name.
type KeyUsage struct {
	Critical bool
	Bits     x509.KeyUsage
	// Undecodable reports that the extension is there but cannot be read, for which Trouble has GnuTLS's text.
	Undecodable bool
	Trouble     string
}

// ExtKeyUsage is the extendedKeyUsage extension, the purposes as dotted OIDs in order.
type ExtKeyUsage struct {
	Critical bool
	Purposes []string
	// Undecodable reports that the extension is there but cannot be read, for which Trouble has GnuTLS's text.
	Undecodable bool
	Trouble     string
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
	Value []byte // content octets; of an otherName the value's TLV, of a directoryName the Name's TLV
	OID   string // of an otherName
}

// An Extension is one X.509v3 extension.
type Extension struct {
	OID      string
	Critical bool
	Value    []byte
}

// X509 gives crypto/x509's view of the certificate, or its refusal. The result is computed once.
func (c *Certificate) X509() (*x509.Certificate, error) {
	if c.view == nil { // not from Import
		return x509.ParseCertificate(c.Raw)
	}
	c.view.once.Do(func() { c.view.cert, c.view.err = x509.ParseCertificate(c.Raw) })
	return c.view.cert, c.view.err
}

// SerialHex gives the serial number in upper-case hex without leading zero octets, as openssl prints it.
func (c *Certificate) SerialHex() string {
	if len(c.Serial) == 0 {
		return "00"
	}
	n := new(big.Int).SetBytes(c.Serial)
	sign := ""
	if c.Serial[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(c.Serial))))
		sign = "-"
	}
	b := n.Bytes()
	if len(b) == 0 {
		b = []byte{0}
	}
	return fmt.Sprintf("%s%X", sign, b)
}

// Extension gives the first extension with that OID, or nil. Like GnuTLS it does not look behind an empty one.
func (c *Certificate) Extension(oid string) *Extension {
	e, _ := c.findExtension(oid)
	return e
}
