package verify

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crypto/rand"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A sample is a good and a bad case of a rule.
type sample struct{ good, bad func() []finding.Finding }

// samples executes every rule of the package.
func samples(t testing.TB) map[string]sample {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	twin := testpki.NewCA(t)
	inter := ca.Intermediate("Intermediate")
	srv, cli := ca.Server("kvm1.example.com"), ca.Client("admin")
	old := time.Now().AddDate(-1, 0, 0)

	server := func(change func(*Files)) func() []finding.Finding {
		return func() []finding.Finding {
			f := serverFiles(t, ca, srv)
			if change != nil {
				change(&f)
			}
			l := f.Read()
			return append(l.Findings, l.Advice()...)
		}
	}
	client := func(v Version, change func(*Files)) func() []finding.Finding {
		return func() []finding.Finding {
			f := clientFiles(t, ca, cli)
			f.Libvirt = v
			if change != nil {
				change(&f)
			}
			return f.Read().Findings
		}
	}
	ownOf := func(leaf *testpki.Identity, cas ...*testpki.CA) func() []finding.Finding {
		return func() []finding.Finding { return own(t, certs.Server, V9_0, leaf, cas...).Check() }
	}
	session := func(local certs.Role, change func(*Session), peer ...*testpki.Identity) func() []finding.Finding {
		return func() []finding.Finding {
			s := Session{Local: local, Peer: imported(t, peer...), CAs: imported(t, ca.Identity), Host: "kvm1.example.com", At: time.Now(), Libvirt: V9_0}
			if change != nil {
				change(&s)
			}
			return append(s.Check(), s.Advice()...)
		}
	}
	judges := func(peer ...*testpki.Identity) func() []finding.Finding { return session(certs.Client, nil, peer...) }
	hosts := func(peer ...*testpki.Identity) func() []finding.Finding { return session(certs.Server, nil, peer...) }
	lists := func(ders ...[]byte) func(*Session) { return func(s *Session) { s.CRLs = ders } }
	crlFrom := func(by *testpki.CA, from, to time.Time, ext ...pkix.Extension) []byte {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: from, NextUpdate: to, ExtraExtensions: ext}
		der, err := x509.CreateRevocationList(rand.Reader, l, by.X509(), by.Key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	now := time.Now()
	goodCRL := crlFrom(ca, now.Add(-time.Hour), now.AddDate(0, 1, 0))
	permitted := testpki.NewCA(t, testpki.Change(func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
	}))
	demanding := testpki.NewCA(t, testpki.Extension(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, false, []byte{0x30, 3, 2, 1, 5}))
	staple := testpki.Extension(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, false, []byte{0x30, 3, 2, 1, 5})
	strange := func(critical bool) testpki.Option {
		return testpki.Extension(asn1.ObjectIdentifier{1, 2, 3, 4}, critical, []byte{5, 0})
	}
	short := testpki.NewCA(t, testpki.PathLen(0))
	plain := func(leaf *testpki.Identity) func() []finding.Finding { return ownOf(leaf, ca) }
	data := func(f *File, b []byte) { f.Data = b }
	encrypted, err := certs.MarshalKey(srv.Key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	junk := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	pemCRL := func(der []byte) File {
		return File{Path: "/crl.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})}
	}
	sends := func(chain []*certs.Certificate, names ...dn.Name) func() []finding.Finding {
		return func() []finding.Finding {
			if f, ok := Sends(chain, names); !ok {
				return []finding.Finding{f}
			}
			return nil
		}
	}
	many := func(n int) []*testpki.Identity {
		var out []*testpki.Identity
		for range n {
			out = append(out, cli)
		}
		return out
	}
	good := server(nil)
	return map[string]sample{
		"ca-file-missing":            {good, server(func(f *Files) { f.CA = absent("/ca.pem") })},
		"certificate-file-missing":   {good, server(func(f *Files) { f.Cert = absent("/cert.pem") })},
		"key-file-missing":           {good, server(func(f *Files) { f.Key = absent("/key.pem") })},
		"half-identity":              {client(V12_8, nil), client(V12_8, func(f *Files) { f.Key = absent("/key.pem") })},
		"no-client-identity":         {client(V9_0, nil), client(V9_0, func(f *Files) { f.Cert, f.Key = absent("/cert.pem"), absent("/key.pem") })},
		"file-unreadable":            {good, server(func(f *Files) { f.Key = denied("/key.pem") })},
		"file-too-large":             {good, server(func(f *Files) { data(&f.CA, pad(ca.CertPEM(), 70000)) })},
		"nul-byte-in-file":           {good, server(func(f *Files) { data(&f.CA, append(append(ca.CertPEM(), 0), other.CertPEM()...)) })},
		"certificate-not-importable": {good, server(func(f *Files) { data(&f.Cert, srv.DER) })},
		"ca-file-not-importable":     {good, server(func(f *Files) { data(&f.CA, nil) })},
		"key-not-importable":         {good, server(func(f *Files) { data(&f.Key, nil) })},
		"key-encrypted":              {good, server(func(f *Files) { data(&f.Key, encrypted) })},
		"key-mismatch":               {good, server(func(f *Files) { data(&f.Key, cli.KeyPEM()) })},
		"chain-not-importable":       {good, server(func(f *Files) { data(&f.Cert, append(srv.CertPEM(), junk...)) })},
		"crl-file-missing":           {good, server(func(f *Files) { f.CRLConfigured = true })},
		"crl-not-importable":         {good, server(func(f *Files) { f.CRL = File{Path: "/crl.pem"} })},
		"certificate-expired":        {plain(srv), plain(ca.Server("a", testpki.Expired()))},
		"certificate-not-yet-valid":  {plain(srv), plain(ca.Server("a", testpki.NotYetValid()))},
		"leaf-is-ca":                 {plain(srv), plain(ca.Server("a", testpki.BasicConstraints(true, true, -1)))},
		"extension-unreadable":       {plain(srv), plain(ca.Server("a", testpki.Extension(testpki.OIDExtKeyUsage, false, []byte{4, 0})))},
		"no-digital-signature":       {plain(srv), plain(ca.Server("a", testpki.KeyUsage(true, x509.KeyUsageKeyEncipherment)))},
		"no-key-encipherment":        {plain(srv), plain(ca.Server("a", testpki.KeyUsage(true, x509.KeyUsageDigitalSignature)))},
		"wrong-purpose":              {plain(srv), plain(ca.Server("a", testpki.Purpose(true, testpki.OIDClientAuth)))},
		"ca-expired":                 {plain(srv), ownOf(srv, ca, testpki.NewCA(t, testpki.Expired()))},
		"ca-not-yet-valid":           {plain(srv), ownOf(srv, ca, testpki.NewCA(t, testpki.NotYetValid()))},
		"ca-is-no-ca":                {plain(srv), ownOf(nil, testpki.NewCA(t, testpki.BasicConstraints(true, false, -1)))},
		"ca-without-certsign":        {plain(srv), ownOf(nil, testpki.NewCA(t, testpki.KeyUsage(true, x509.KeyUsageCRLSign)))},
		"too-many-cas": {plain(srv), ownOf(srv, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca,
			ca)},
		"unknown-issuer":             {plain(srv), ownOf(srv, other)},
		"insecure-algorithm":         {plain(srv), sha1Signed(t)},
		"key-too-small":              {judges(srv), smallKey(t)},
		"certificate-revoked":        {session(certs.Client, lists(ca.CRL(1, cli)), srv), session(certs.Client, lists(ca.CRL(1, srv)), srv)},
		"signature-wrong":            {plain(srv), plain(ca.Server("a", testpki.BadSignature()))},
		"issuer-is-no-ca":            {judges(srv), judges(byLeaf(t, ca)...)},
		"path-too-long":              {ownOf(short.Server("a"), short), func() []finding.Finding { return pathTooLong(t, short) }},
		"name-not-permitted":         {ownOf(permitted.Server("kvm1.example.com"), permitted), ownOf(permitted.Server("kvm1.example.org"), permitted)},
		"tls-feature-missing":        {ownOf(demanding.Server("a", staple), demanding), ownOf(demanding.Server("a"), demanding)},
		"must-staple":                {judges(srv), judges(ca.Server("kvm1.example.com", staple))},
		"unknown-critical-extension": {plain(ca.Server("a", strange(false))), plain(ca.Server("a", strange(true)))},
		"cannot-check-signature":     {plain(srv), unknownKey(t)},
		"no-client-certificate":      {hosts(cli), hosts()},
		"client-certificate-not-sent": {sends(imported(t, cli), imported(t, ca.Identity)[0].Subject),
			sends(imported(t, cli), imported(t, other.Identity)[0].Subject)},
		"too-many-certificates":        {hosts(many(16)...), hosts(many(17)...)},
		"sent-certificate-out-of-date": {hosts(cli, inter.Identity), hosts(cli, ca.Intermediate("late", testpki.Expired()).Identity)},
		"no-subject":                   {hosts(cli), hosts(ca.Client("x", testpki.EmptySubject()))},
		"name-unreadable":              {hosts(cli), hosts(ca.Client("x", testpki.HexSubject("30 0b 31 09 30 07 06 03 55 04 03 13 00")))},
		"empty-rdn":                    {hosts(cli), hosts(ca.Client("x", testpki.EmptyRDN()))},
		"dn-not-allowed":               {session(certs.Server, allow(t, "CN=admin"), cli), session(certs.Server, allow(t, "CN=other"), cli)},
		"host-mismatch":                {judges(srv), judges(ca.Server("kvm2.example.com"))},
		"crl-stale":                    {session(certs.Server, lists(goodCRL), cli), session(certs.Server, lists(crlFrom(ca, old, old.AddDate(0, 1, 0))), cli)},
		"crl-not-yet-valid": {session(certs.Server, lists(goodCRL), cli),
			session(certs.Server, lists(crlFrom(ca, now.AddDate(1, 0, 0), now.AddDate(2, 0, 0))), cli)},
		"crl-signature-wrong": {session(certs.Server, lists(goodCRL), cli), session(certs.Server, lists(twin.CRL(1)), cli)},
		"crl-issuer-unknown":  {session(certs.Server, lists(goodCRL), cli), session(certs.Server, lists(other.CRL(1)), cli)},
		"crl-superseded": {session(certs.Server, lists(goodCRL, other.CRL(1)), cli),
			session(certs.Server, lists(crlFrom(ca, old, now.AddDate(1, 0, 0)), goodCRL), cli)},
		"crl-delta": {session(certs.Server, lists(goodCRL), cli), session(certs.Server, lists(crlFrom(ca, now.Add(-time.Hour), now.AddDate(0, 1, 0),
			pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}})), cli)},
		"own-certificate-revoked": {server(func(f *Files) { f.CRL = pemCRL(ca.CRL(1, cli)) }), server(func(f *Files) { f.CRL = pemCRL(ca.CRL(1, srv)) })},
		"intermediate-not-sent": {server(func(f *Files) { withIntermediate(t, f, ca, inter, true) }),
			server(func(f *Files) { withIntermediate(t, f, ca, inter, false) })},
		"name-not-utf8": {hosts(cli), hosts(ca.Client("x", testpki.HexSubject("30 0d 31 0b 30 09 06 03 55 04 03 0c 02 61 e9")))},
		"host-by-common-name": {good, server(func(f *Files) {
			l := ca.Server("a", testpki.NoNames())
			f.Cert.Data, f.Key.Data = l.CertPEM(), l.KeyPEM()
		})},
	}
}

func allow(t testing.TB, pattern string) func(*Session) {
	return func(s *Session) {
		l, err := dnmatch.NewList([]string{pattern})
		if err != nil {
			t.Fatal(err)
		}
		s.Allowed = l
	}
}

// byLeaf is a server certificate signed by a client's, sent with it.
func byLeaf(t testing.TB, ca *testpki.CA) []*testpki.Identity {
	leaf := &testpki.CA{Identity: ca.Client("no CA")}
	leaf.Identity = ca.Intermediate("no CA", testpki.BasicConstraints(true, false, -1)).Identity
	return []*testpki.Identity{leaf.Server("kvm1.example.com"), leaf.Identity}
}

func pathTooLong(t testing.TB, short *testpki.CA) []finding.Finding {
	inter := short.Intermediate("below")
	s := Session{Local: certs.Client, Peer: imported(t, inter.Server("kvm1.example.com"), inter.Identity), CAs: imported(t, short.Identity),
		Host: "kvm1.example.com", At: time.Now(), Libvirt: V9_0}
	return s.Check()
}

func withIntermediate(t testing.TB, f *Files, ca, inter *testpki.CA, chain bool) {
	leaf := inter.Server("kvm1.example.com")
	f.CA.Data, f.Key.Data, f.Cert.Data = append(inter.CertPEM(), ca.CertPEM()...), leaf.KeyPEM(), leaf.CertPEM()
	if chain {
		f.Cert.Data = leaf.ChainPEM()
	}
}

func TestEveryRuleHasAGoodAndABadCase(t *testing.T) {
	all := samples(t)
	for _, r := range rules { // QEMU's: TestEveryQEMURuleIsBroken
		s, ok := all[r.ID]
		if !ok {
			t.Errorf("rule %s has no sample", r.ID)
			continue
		}
		delete(all, r.ID)
		if r.Title == "" || r.Text == "" || r.Good == "" || r.Bad == "" || r.Source == "" || r.Remedy == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("rule %s is not whole", r.ID)
		}
		has := func(fs []finding.Finding) (finding.Finding, bool) {
			for _, f := range fs {
				if f.Rule == r.ID {
					return f, true
				}
			}
			return finding.Finding{}, false
		}
		f, found := has(s.bad())
		switch {
		case !found:
			t.Errorf("rule %s: not found in its bad case, only %v", r.ID, s.bad())
		case f.LibvirtMessage != "" && !anyMessage(r, f.LibvirtMessage):
			t.Errorf("rule %s: its finding says %q, which is none of its messages", r.ID, f.LibvirtMessage)
		}
		if f, found := has(s.good()); found {
			t.Errorf("rule %s: found in its good case: %s", r.ID, f.Message)
		}
	}
	for id := range all {
		t.Errorf("a sample of %s, which is no rule", id)
	}
}

// anyMessage asks the catalogue as explain does.
func anyMessage(r finding.Rule, text string) bool {
	c, err := finding.NewCatalogue([]finding.Rule{r})
	if err == nil {
		return len(c.ByMessage(text)) == 1
	}
	r.DependsOn = nil
	c, err = finding.NewCatalogue([]finding.Rule{r})
	return err == nil && len(c.ByMessage(text)) == 1
}

// sha1Signed, smallKey and unknownKey are read from testdata, since crypto/x509 does not make such certificates.
func sha1Signed(t testing.TB) func() []finding.Finding {
	return func() []finding.Finding {
		c := fixture(t, "sha1-leaf.pem")
		return Own{Role: certs.Server, CertPath: "/c.pem", CAPath: "/ca.pem", Cert: c[0], CAs: c[1:], At: time.Now(), Libvirt: V9_0}.Check()
	}
}

func smallKey(t testing.TB) func() []finding.Finding {
	return func() []finding.Finding {
		c := fixture(t, "rsa768-leaf.pem")
		return Session{Local: certs.Client, Peer: c[:1], CAs: c[1:], Host: "kvm1.example.com", At: time.Now(), Libvirt: V9_0}.Check()
	}
}

func unknownKey(t testing.TB) func() []finding.Finding {
	return func() []finding.Finding {
		c := fixture(t, "ed448-ca.pem")
		return Own{Role: certs.Server, CertPath: "/c.pem", CAPath: "/ca.pem", Cert: c[0], CAs: c[1:], At: time.Now(), Libvirt: V9_0}.Check()
	}
}

// fixture reads a file of testdata/chains.
func fixture(t testing.TB, name string) []*certs.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "chains", name))
	if err != nil {
		t.Fatal(err)
	}
	list, err := certs.ImportPEMList(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
