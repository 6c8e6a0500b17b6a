package testpki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A Spec is a certificate about to be made. Options change it.
type Spec struct {
	// Template is what x509.CreateCertificate gets. Its ExtraExtensions replace those made from its fields.
	Template x509.Certificate
	// Key is the kind of key to make; Signer, if set, is the key itself.
	Key    string
	Signer crypto.Signer
	// IssuerDER, if set, is written as the issuer's name; Forger, if set, signs in place of the issuer.
	IssuerDER []byte
	Forger    crypto.Signer
	// EditTBS change the signed part before it is signed a second time.
	EditTBS []func(*tbs)
	// EditSignature changes the signature's bytes.
	EditSignature func([]byte)
}

// An Option changes a certificate about to be made.
type Option func(*Spec)

// Change gives free hand on the template.
func Change(f func(*x509.Certificate)) Option { return func(s *Spec) { f(&s.Template) } }

// Key sets the kind of key.
func Key(kind string) Option { return func(s *Spec) { s.Key = kind } }

// WithKey takes a key that is there already, such as another identity's.
func WithKey(key crypto.Signer) Option { return func(s *Spec) { s.Signer = key } }

// CN sets the subject to that one attribute.
func CN(name string) Option { return Subject(pkix.Name{CommonName: name}) }

// Subject sets the subject; crypto/x509 decides on the order.
func Subject(name pkix.Name) Option {
	return func(s *Spec) { s.Template.Subject, s.Template.RawSubject = name, nil }
}

// RawSubject sets the subject's complete encoding, however broken.
func RawSubject(der []byte) Option { return func(s *Spec) { s.Template.RawSubject = der } }

// HexSubject is RawSubject for a name in hex; blanks are free.
func HexSubject(text string) Option {
	der, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return RawSubject(der)
}

// EmptySubject leaves the subject without any attribute.
func EmptySubject() Option { return HexSubject("30 00") }

// EmptyRDN makes the subject a SEQUENCE of one empty SET, at which GnuTLS aborts.
func EmptyRDN() Option { return HexSubject("30 02 31 00") }

// Names sets the subjectAltName: addresses as addresses, all else as DNS names.
func Names(hosts ...string) Option { return func(s *Spec) { setNames(&s.Template, hosts) } }

// NoNames leaves the subjectAltName out.
func NoNames() Option { return Names() }

// Serial sets the serial number.
func Serial(n int64) Option { return func(s *Spec) { s.Template.SerialNumber = big.NewInt(n) } }

// Valid sets the validity.
func Valid(from, to time.Time) Option {
	return func(s *Spec) { s.Template.NotBefore, s.Template.NotAfter = from, to }
}

// Expired makes the certificate end yesterday.
func Expired() Option {
	return Valid(time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, 0, -1))
}

// NotYetValid makes the certificate begin tomorrow.
func NotYetValid() Option {
	return Valid(time.Now().AddDate(0, 0, 1), time.Now().AddDate(1, 0, 0))
}

// Extension adds an extension, in place of what the template's fields would give for that OID.
func Extension(oid asn1.ObjectIdentifier, critical bool, value []byte) Option {
	return func(s *Spec) {
		drop(s, oid)
		s.Template.ExtraExtensions = append(s.Template.ExtraExtensions,
			pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

// The OIDs of the extensions that options write.
var (
	OIDKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	OIDSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	OIDBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	OIDNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	OIDExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// The OIDs of purposes.
var (
	OIDServerAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	OIDClientAuth  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	OIDCodeSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	OIDAnyPurpose  = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
)

// KeyUsage writes the extension with these bits (none: an empty bit string).
func KeyUsage(critical bool, bits x509.KeyUsage) Option {
	var b asn1.BitString
	for i := range 9 {
		if bits&(1<<i) != 0 {
			for len(b.Bytes) <= i/8 {
				b.Bytes = append(b.Bytes, 0)
			}
			b.Bytes[i/8] |= 0x80 >> (i % 8)
			b.BitLength = i + 1
		}
	}
	return func(s *Spec) {
		s.Template.KeyUsage = bits
		Extension(OIDKeyUsage, critical, must(asn1.Marshal(b)))(s)
	}
}

// NoKeyUsage leaves the extension out.
func NoKeyUsage() Option {
	return func(s *Spec) { s.Template.KeyUsage = 0; drop(s, OIDKeyUsage) }
}

// Purpose writes the extendedKeyUsage extension.
func Purpose(critical bool, oids ...asn1.ObjectIdentifier) Option {
	return Extension(OIDExtKeyUsage, critical, must(asn1.Marshal(oids)))
}

// NoPurpose leaves the extendedKeyUsage extension out.
func NoPurpose() Option {
	return func(s *Spec) {
		s.Template.ExtKeyUsage, s.Template.UnknownExtKeyUsage = nil, nil
		drop(s, OIDExtKeyUsage)
	}
}

// BasicConstraints writes the extension; pathLen -1 leaves that out.
func BasicConstraints(critical, ca bool, pathLen int) Option {
	var v []byte
	switch {
	case pathLen >= 0:
		v = must(asn1.Marshal(struct {
			CA      bool `asn1:"optional"`
			PathLen int
		}{ca, pathLen}))
	default:
		v = must(asn1.Marshal(struct {
			CA bool `asn1:"optional"`
		}{ca}))
	}
	return Extension(OIDBasicConstraints, critical, v)
}

// NoBasicConstraints leaves the extension out.
func NoBasicConstraints() Option {
	return func(s *Spec) {
		s.Template.BasicConstraintsValid, s.Template.IsCA = false, false
		drop(s, OIDBasicConstraints)
	}
}

// PathLen limits how many CAs may stand below.
func PathLen(n int) Option {
	return func(s *Spec) { s.Template.MaxPathLen, s.Template.MaxPathLenZero = n, n == 0 }
}

// Version1 makes it an X.509 version 1 certificate, without any extension.
func Version1() Option {
	return func(s *Spec) {
		s.EditTBS = append(s.EditTBS, func(c *tbs) { c.Version, c.Extensions = 0, nil })
	}
}

// ForgedBy lets another key sign under the issuer's name.
func ForgedBy(key crypto.Signer) Option { return func(s *Spec) { s.Forger = key } }

// BadSignature breaks the signature.
func BadSignature() Option {
	return func(s *Spec) { s.EditSignature = func(sig []byte) { sig[len(sig)-1] ^= 1 } }
}

// drop takes an extension out of those already set.
func drop(s *Spec, oid asn1.ObjectIdentifier) {
	s.Template.ExtraExtensions = slices.DeleteFunc(s.Template.ExtraExtensions,
		func(e pkix.Extension) bool { return e.Id.Equal(oid) })
}

// must is for encodings that cannot fail.
func must(der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return der
}
