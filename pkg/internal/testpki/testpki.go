package testpki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Identity is a certificate with its key and its issuer.
type Identity struct {
	DER []byte
	Key crypto.Signer
	// Issuer is nil for a self-signed certificate.
	Issuer *CA
	t      testing.TB
}

// A CA is an identity that issues others.
type CA struct{ *Identity }

// NewCA makes a self-signed CA: CN=Test CA, ECDSA P-256, ten years, pathlen absent.
func NewCA(t testing.TB, options ...Option) *CA {
	t.Helper()
	return &CA{build(t, nil, caSpec("Test CA"), options)}
}

// Intermediate makes a CA below this one.
func (ca *CA) Intermediate(name string, options ...Option) *CA {
	ca.t.Helper()
	return &CA{build(ca.t, ca, caSpec(name), options)}
}

// Server makes a server's identity: CN is the first host, and each host is in the subjectAltName, addresses as addresses.
func (ca *CA) Server(host string, options ...Option) *Identity {
	ca.t.Helper()
	s := leafSpec(host, x509.ExtKeyUsageServerAuth)
	Names(host)(s)
	return build(ca.t, ca, s, options)
}

// Client makes a client's identity: subject CN=name, no subjectAltName.
func (ca *CA) Client(name string, options ...Option) *Identity {
	ca.t.Helper()
	return build(ca.t, ca, leafSpec(name, x509.ExtKeyUsageClientAuth), options)
}

// Peer makes an identity for both roles.
func (ca *CA) Peer(host string, options ...Option) *Identity {
	ca.t.Helper()
	s := leafSpec(host, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	Names(host)(s)
	return build(ca.t, ca, s, options)
}

// SelfSigned makes a leaf that signs itself and is no CA.
func SelfSigned(t testing.TB, host string, options ...Option) *Identity {
	t.Helper()
	s := leafSpec(host, x509.ExtKeyUsageServerAuth)
	Names(host)(s)
	return build(t, nil, s, options)
}

// X509 gives crypto/x509's view of the certificate; it ends the test where crypto/x509 refuses it.
func (i *Identity) X509() *x509.Certificate {
	i.t.Helper()
	c, err := x509.ParseCertificate(i.DER)
	if err != nil {
		i.t.Fatalf("parsing a certificate of testpki: %v", err)
	}
	return c
}

// CertPEM gives the certificate in PEM.
func (i *Identity) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.DER})
}

// ChainPEM gives the certificate and its issuers up to, but without, the self-signed one.
func (i *Identity) ChainPEM() []byte {
	out := i.CertPEM()
	for ca := i.Issuer; ca != nil && ca.Issuer != nil; ca = ca.Issuer {
		out = append(out, ca.CertPEM()...)
	}
	return out
}

// KeyPEM gives the key in PKCS#8 PEM.
func (i *Identity) KeyPEM() []byte {
	i.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.Key)
	if err != nil {
		i.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// CRL gives a revocation list of the CA in DER that names the given identities. Its thisUpdate is an hour ago, its
// nextUpdate in a month.
func (ca *CA) CRL(number int64, revoked ...*Identity) []byte {
	ca.t.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.AddDate(0, 1, 0)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.X509().SerialNumber, RevocationTime: now.Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.X509(), ca.Key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return der
}

// WriteFlat writes a flat directory as libvirt's pkipath parameter wants it: cacert.pem, servercert.pem, serverkey.pem,
// clientcert.pem, clientkey.pem. A nil identity is left out.
func WriteFlat(t testing.TB, dir string, ca *CA, server, client *Identity) {
	t.Helper()
	write := func(name string, data []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root := ca
	for root.Issuer != nil {
		root = root.Issuer
	}
	cas := root.CertPEM()
	if ca != root {
		cas = append(cas, ca.ChainPEM()...)
	}
	write("cacert.pem", cas, 0o644)
	for name, i := range map[string]*Identity{"server": server, "client": client} {
		if i != nil {
			write(name+"cert.pem", i.ChainPEM(), 0o644)
			write(name+"key.pem", i.KeyPEM(), 0o600)
		}
	}
}

// caSpec describes a good CA.
func caSpec(cn string) *Spec {
	s := baseSpec(cn)
	s.Template.NotAfter = s.Template.NotBefore.AddDate(10, 0, 0)
	s.Template.IsCA = true
	s.Template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return s
}

// leafSpec describes a good leaf.
func leafSpec(cn string, usages ...x509.ExtKeyUsage) *Spec {
	s := baseSpec(cn)
	s.Template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	s.Template.ExtKeyUsage = usages
	return s
}

// baseSpec is what CAs and leaves have in common.
func baseSpec(cn string) *Spec {
	now := time.Now().Add(-10 * time.Minute).Truncate(time.Second).UTC()
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand cannot fail
	return &Spec{
		Key: ECDSAP256,
		Template: x509.Certificate{
			SerialNumber:          serial.Add(serial, big.NewInt(1)),
			Subject:               pkix.Name{CommonName: cn},
			NotBefore:             now,
			NotAfter:              now.AddDate(1, 0, 0),
			BasicConstraintsValid: true,
		},
	}
}

// build makes the certificate of s after the options.
func build(t testing.TB, issuer *CA, s *Spec, options []Option) *Identity {
	t.Helper()
	for _, o := range options {
		o(s)
	}
	key := s.Signer
	if key == nil {
		key = generate(t, s.Key)
	}
	id := &Identity{Key: key, Issuer: issuer, t: t}
	tmpl, parent, signer := s.Template, &s.Template, key
	if issuer != nil {
		signer = issuer.Key
		// Only these two fields of the parent are used; a broken parent need not be parseable.
		parent = &x509.Certificate{RawSubject: rawSubject(t, issuer.DER), SubjectKeyId: keyID(t, issuer.Key.Public())}
	}
	if s.IssuerDER != nil {
		parent = &x509.Certificate{RawSubject: s.IssuerDER, SubjectKeyId: parent.SubjectKeyId}
	}
	if s.Forger != nil {
		signer = s.Forger
	}
	if tmpl.SubjectKeyId == nil && tmpl.IsCA {
		tmpl.SubjectKeyId = keyID(t, key.Public())
	}
	if parent.PublicKey == nil {
		parent.PublicKey = signer.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatalf("making the certificate of %v: %v", tmpl.Subject, err)
	}
	if len(s.EditTBS) > 0 {
		der = resign(t, der, signer, s.EditTBS)
	}
	if s.EditSignature != nil {
		der = editSignature(t, der, s.EditSignature)
	}
	id.DER = der
	return id
}

// outer is the outermost SEQUENCE of a certificate.
type outer struct {
	TBS       asn1.RawValue
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// tbs is the signed part, taken apart no further than the options need.
type tbs struct {
	Version    int `asn1:"optional,explicit,default:0,tag:0"`
	Serial     *big.Int
	Algorithm  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	PublicKey  asn1.RawValue
	Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
}

// apart takes a certificate apart that crypto/x509 may refuse.
func apart(t testing.TB, der []byte) (o outer, in tbs) {
	t.Helper()
	if _, err := asn1.Unmarshal(der, &o); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(o.TBS.FullBytes, &in); err != nil {
		t.Fatal(err)
	}
	return o, in
}

// rawSubject takes the subject out of a certificate.
func rawSubject(t testing.TB, der []byte) []byte {
	t.Helper()
	_, in := apart(t, der)
	return in.Subject.FullBytes
}

// resign edits the signed part and signs it again with the same algorithm.
func resign(t testing.TB, der []byte, signer crypto.Signer, edits []func(*tbs)) []byte {
	t.Helper()
	o, in := apart(t, der)
	for _, edit := range edits {
		edit(&in)
	}
	raw, err := asn1.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	o.TBS = asn1.RawValue{FullBytes: raw}
	o.Signature = asn1.BitString{Bytes: sign(t, signer, raw)}
	o.Signature.BitLength = 8 * len(o.Signature.Bytes)
	out, err := asn1.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// editSignature changes the signature and nothing else.
func editSignature(t testing.TB, der []byte, edit func([]byte)) []byte {
	t.Helper()
	var o outer
	if _, err := asn1.Unmarshal(der, &o); err != nil {
		t.Fatal(err)
	}
	o.Signature.Bytes = bytes.Clone(o.Signature.Bytes)
	edit(o.Signature.Bytes)
	out, err := asn1.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// setNames puts hosts into the template: addresses as addresses, all else as DNS names.
func setNames(c *x509.Certificate, hosts []string) {
	c.DNSNames, c.IPAddresses = nil, nil
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
}
