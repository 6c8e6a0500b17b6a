package chain

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A sample is a question with its answer.
type sample struct {
	name    string
	chain   []*testpki.Identity
	anchors []*testpki.Identity
	lists   [][]byte
	role    certs.Role
	want    string // rule, "" accepted
	why     string // the whole reason, where it holds no date
	// openssl is what openssl verify says where it differs, with the reason; "" the same.
	openssl string
}

func oid(n ...int) asn1.ObjectIdentifier { return n }

func der(t testing.TB, v any) []byte {
	t.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signList makes a revocation list with crypto/x509.
func signList(t testing.TB, ca *testpki.CA, number int64, change func(*x509.RevocationList), revoked ...*testpki.Identity) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().AddDate(0, 1, 0)}
	for _, r := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.X509().SerialNumber,
			RevocationTime: time.Now().Add(-2 * time.Hour), ReasonCode: 1})
	}
	if change != nil {
		change(l)
	}
	issuer := *ca.X509()
	issuer.KeyUsage |= x509.KeyUsageCRLSign // the list is wanted whether it may be made or not
	out, err := x509.CreateRevocationList(rand.Reader, l, &issuer, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func samples(t testing.TB) []sample {
	ca := testpki.NewCA(t)
	other := testpki.NewCA(t, testpki.CN("Other CA"))
	inter := ca.Intermediate("Intermediate")
	srv := inter.Server("kvm1.example.com")
	direct := ca.Server("kvm1.example.com")
	list := func(ids ...*testpki.Identity) []*testpki.Identity { return ids }
	one := func(options ...testpki.Option) []*testpki.Identity {
		return list(ca.Server("kvm1.example.com", options...))
	}
	below := func(options ...testpki.Option) []*testpki.Identity {
		i := ca.Intermediate("Intermediate", options...)
		return list(i.Server("kvm1.example.com"), i.Identity)
	}
	roots := list(ca.Identity)
	old := time.Now().AddDate(-1, 0, 0)

	policy := func(id asn1.ObjectIdentifier) testpki.Option {
		return testpki.Extension(oid(2, 5, 29, 32), false, der(t, []struct{ ID asn1.ObjectIdentifier }{{id}}))
	}
	explicit := testpki.Extension(oid(2, 5, 29, 36), true, []byte{0x30, 3, 0x80, 1, 0})
	policyChain := func(leaf ...testpki.Option) []*testpki.Identity {
		i := ca.Intermediate("Policy CA", policy(oid(1, 2, 3)), explicit)
		return list(i.Server("kvm1.example.com", leaf...), i.Identity)
	}
	acme := testpki.Change(func(c *x509.Certificate) { c.Subject = pkix.Name{Organization: []string{"Acme"}, CommonName: "x"} })
	constrained := func(nc []byte, options ...testpki.Option) []*testpki.Identity {
		i := ca.Intermediate("Constrained CA", testpki.Extension(testpki.OIDNameConstraints, true, nc))
		return list(i.Server("kvm1.example.com", options...), i.Identity)
	}
	subtree := func(permitted bool, tag byte, name []byte) []byte {
		inner := append([]byte{tag, byte(len(name))}, name...)
		tree := append([]byte{0x30, byte(len(inner))}, inner...)
		kind := byte(0xa0)
		if !permitted {
			kind = 0xa1
		}
		trees := append([]byte{kind, byte(len(tree))}, tree...)
		return append([]byte{0x30, byte(len(trees))}, trees...)
	}
	onlyAcme := subtree(true, 0xa4, der(t, pkix.Name{Organization: []string{"ACME"}}.ToRDNSequence()))
	noKeys := testpki.NewCA(t, testpki.CN("No lists"), testpki.KeyUsage(true, x509.KeyUsageCertSign))
	noLists := noKeys.Server("kvm1.example.com")
	scoped := func(l *x509.RevocationList) { // onlyContainsCACerts
		l.ExtraExtensions = []pkix.Extension{{Id: oid(2, 5, 29, 28), Critical: true, Value: []byte{0x30, 3, 0x82, 1, 0xff}}}
	}
	delta := func(base int64) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oid(2, 5, 29, 27), Critical: true, Value: der(t, base)}}
		}
	}
	forged := testpki.NewCA(t) // the same name, another key
	selfIssued := ca.Intermediate("", testpki.CN("Test CA"))
	shout := ca.Intermediate("Intermediate")
	spaced := shout.Server("kvm1.example.com", testpki.Change(func(*x509.Certificate) {}), func(s *testpki.Spec) {
		s.IssuerDER = der(t, pkix.Name{CommonName: "  INTERMEDIATE "}.ToRDNSequence())
	})
	limited := ca.Intermediate("Limited", testpki.PathLen(0))
	again := limited.Intermediate("", testpki.CN("Limited"))
	deeper := limited.Intermediate("Deeper")

	return []sample{
		{name: "a leaf of a CA", chain: one(), anchors: roots},
		{name: "intermediate sent along", chain: list(srv, inter.Identity), anchors: roots},
		{name: "intermediate in the CA file", chain: list(srv), anchors: list(ca.Identity, inter.Identity)},
		{name: "only the intermediate in the CA file", chain: list(srv), anchors: list(inter.Identity)},
		{name: "sent along in a strange order, with a stranger", chain: list(srv, other.Identity, inter.Identity), anchors: roots},
		{name: "an intermediate is missing", chain: list(srv), anchors: roots, want: "rfc5280-no-path",
			why: `its issuer "CN=Intermediate" is neither among the CAs nor among the certificates sent along`},
		{name: "another CA is trusted", chain: one(), anchors: list(other.Identity), want: "rfc5280-no-path",
			why: `its issuer "CN=Test CA" is neither among the CAs nor among the certificates sent along`},
		{name: "nothing is trusted", chain: list(ca.Identity), want: "rfc5280-no-path"},
		{name: "the certificate itself is trusted", chain: list(direct), anchors: list(direct)},
		{name: "signed by a CA of the same name", chain: one(), anchors: list(forged.Identity), want: "rfc5280-signature",
			why: "its signature was not made with the key of its issuer"},
		{name: "both CAs of one name are there", chain: one(), anchors: list(forged.Identity, ca.Identity)},
		{name: "changed afterwards", chain: one(testpki.BadSignature()), anchors: roots, want: "rfc5280-signature"},
		{name: "names that differ in case and blanks", chain: list(spaced, shout.Identity), anchors: roots},

		{name: "expired", chain: one(testpki.Expired()), anchors: roots, want: "rfc5280-validity"},
		{name: "not yet valid", chain: one(testpki.NotYetValid()), anchors: roots, want: "rfc5280-validity"},
		{name: "an expired intermediate", chain: below(testpki.Expired()), anchors: roots, want: "rfc5280-validity"},
		{name: "an expired CA that is not needed", chain: one(), anchors: list(ca.Identity, testpki.NewCA(t, testpki.CN("Old"), testpki.Expired()).Identity)},

		{name: "an intermediate that is no CA", chain: below(testpki.BasicConstraints(true, false, -1)), anchors: roots, want: "rfc5280-ca",
			why: "it signed another certificate, but does not say CA:TRUE"},
		{name: "an intermediate without basicConstraints", chain: below(testpki.NoBasicConstraints()), anchors: roots, want: "rfc5280-ca"},
		{name: "an intermediate without keyCertSign", chain: below(testpki.KeyUsage(false, x509.KeyUsageCRLSign)), anchors: roots, want: "rfc5280-ca"},
		{name: "a CA as a server", chain: list(inter.Identity), anchors: roots},

		{name: "pathlen 0 above a leaf", chain: list(limited.Server("x"), limited.Identity), anchors: roots},
		{name: "pathlen 0 above a CA", chain: list(deeper.Server("x"), deeper.Identity, limited.Identity), anchors: roots, want: "rfc5280-path-length",
			why: `"CN=Limited" allows no further CA below itself (pathlen)`},
		{name: "pathlen 0 above a CA of the same name", chain: list(again.Server("x"), again.Identity, limited.Identity), anchors: roots,
			openssl: "refuses"}, // without key identifiers OpenSSL takes a self-issued certificate for a self-signed one
		{name: "a CA that issued itself another key", chain: list(selfIssued.Server("x"), selfIssued.Identity), anchors: roots, openssl: "refuses"}, // the same

		{name: "a DNS name that is permitted", chain: constrained(subtree(true, 0x82, []byte("example.com"))), anchors: roots},
		{name: "a DNS name that is not permitted", chain: constrained(subtree(true, 0x82, []byte("example.org"))), anchors: roots,
			want: "rfc5280-name-constraints", why: `its name "kvm1.example.com" is not permitted by the name constraints of its CA`},
		{name: "a DNS name that is excluded", chain: constrained(subtree(false, 0x82, []byte("example.com"))), anchors: roots,
			want: "rfc5280-name-constraints", why: `its name "kvm1.example.com" is excluded by the name constraints of its CA`},
		{name: "a subject that is permitted, in another case", chain: constrained(onlyAcme, acme), anchors: roots},
		{name: "a subject that is not permitted", chain: constrained(onlyAcme), anchors: roots, want: "rfc5280-name-constraints",
			why: `its name "CN=kvm1.example.com" is not permitted by the name constraints of its CA`},
		{name: "a common name that is a host and not permitted", chain: constrained(subtree(true, 0x82, []byte("example.org")), testpki.NoNames()),
			anchors: roots, want: "rfc5280-name-constraints"},
		{name: "a common name that is no host", chain: constrained(subtree(true, 0x82, []byte("example.org")), testpki.NoNames(), testpki.CN("admin")), anchors: roots},
		{name: "an address within a network", chain: constrained(subtree(true, 0x87, []byte{192, 0, 2, 0, 255, 255, 255, 0}), testpki.Names("192.0.2.7")), anchors: roots},
		{name: "an address outside", chain: constrained(subtree(true, 0x87, []byte{192, 0, 2, 0, 255, 255, 255, 0}), testpki.Names("192.0.3.7")), anchors: roots,
			want: "rfc5280-name-constraints", why: `its name 192.0.3.7 is not permitted by the name constraints of its CA`},
		{name: "a mailbox at a host", chain: constrained(subtree(true, 0x81, []byte("example.com")), testpki.Change(func(c *x509.Certificate) { c.EmailAddresses = []string{"Root@EXAMPLE.com"} })), anchors: roots},
		{name: "a mailbox at a host below", chain: constrained(subtree(true, 0x81, []byte("example.com")), testpki.Change(func(c *x509.Certificate) { c.EmailAddresses = []string{"root@a.example.com"} })),
			anchors: roots, want: "rfc5280-name-constraints"},
		{name: "a URI at a host below", chain: constrained(subtree(true, 0x86, []byte(".example.com")), testpki.Change(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "a.example.com"}} })), anchors: roots},
		{name: "a URI elsewhere", chain: constrained(subtree(true, 0x86, []byte(".example.com")), testpki.Change(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "example.org"}} })),
			anchors: roots, want: "rfc5280-name-constraints"},
		{name: "a constraint on a kind of name that does not turn up", chain: constrained(subtree(true, 0x88, []byte{42})), anchors: roots},

		{name: "an unknown extension", chain: one(testpki.Extension(oid(1, 2, 3), false, []byte{5, 0})), anchors: roots},
		{name: "an unknown critical extension", chain: one(testpki.Extension(oid(1, 2, 3), true, []byte{5, 0})), anchors: roots,
			want: "rfc5280-extension", why: "its extension 1.2.3 is critical, and not known here"},
		{name: "a damaged extension", chain: below(testpki.Extension(testpki.OIDNameConstraints, true, []byte{5, 0})), anchors: roots, want: "rfc5280-extension"},

		{name: "RSA with 1024 bits", chain: one(testpki.Key(testpki.RSA1024)), anchors: roots},
		{name: "any purpose", chain: one(testpki.Purpose(true, testpki.OIDAnyPurpose)), anchors: roots, role: certs.Server, openssl: "refuses"}, // of a leaf OpenSSL wants the very purpose
		{name: "a server as a client", chain: one(), anchors: roots, role: certs.Client, want: "rfc5280-purpose",
			why: "its extendedKeyUsage does not allow a TLS client"},
		{name: "code signing, not critical", chain: one(testpki.Purpose(false, testpki.OIDCodeSigning)), anchors: roots, role: certs.Server, want: "rfc5280-purpose"},
		{name: "a CA for clients", chain: below(testpki.Purpose(false, testpki.OIDClientAuth)), anchors: roots, role: certs.Server, want: "rfc5280-purpose",
			why: "it issues for other purposes only (extendedKeyUsage)"},

		{name: "the policy of the CA", chain: policyChain(policy(oid(1, 2, 3))), anchors: roots},
		{name: "another policy", chain: policyChain(policy(oid(1, 2, 4))), anchors: roots, want: "rfc5280-policy",
			why: "a CA demands a certificate policy, and none holds along the whole path", openssl: "accepts"}, // without -policy_check
		{name: "no policy", chain: policyChain(), anchors: roots, want: "rfc5280-policy", openssl: "accepts"},

		{name: "on no list", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 1, nil, srv)}},
		{name: "on the list", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 1, nil, direct)}, want: "rfc5280-revoked"},
		{name: "the intermediate is on the list", chain: list(srv, inter.Identity), anchors: roots,
			lists: [][]byte{signList(t, ca, 1, nil, inter.Identity), signList(t, inter, 1, nil)}, want: "rfc5280-revoked"},
		{name: "a list for each CA", chain: list(srv, inter.Identity), anchors: roots, lists: [][]byte{signList(t, inter, 1, nil), signList(t, ca, 1, nil)}},
		{name: "no list of the intermediate", chain: list(srv, inter.Identity), anchors: roots, lists: [][]byte{signList(t, ca, 1, nil)},
			want: "rfc5280-revocation-unknown", why: `whether it is revoked cannot be told: there is no revocation list of "CN=Intermediate"`},
		{name: "a stale list", chain: list(direct), anchors: roots, want: "rfc5280-revocation-unknown",
			lists: [][]byte{signList(t, ca, 1, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = old, old.AddDate(0, 1, 0) })}},
		{name: "a list from the future", chain: list(direct), anchors: roots, want: "rfc5280-revocation-unknown",
			lists: [][]byte{signList(t, ca, 1, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(time.Hour) })}},
		{name: "a stale list beside a good one", chain: list(direct), anchors: roots,
			lists: [][]byte{signList(t, ca, 1, func(l *x509.RevocationList) { l.ThisUpdate, l.NextUpdate = old, old.AddDate(0, 1, 0) }, direct), signList(t, ca, 2, nil)}},
		{name: "a list signed by another key", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, forged, 1, nil)},
			want: "rfc5280-revocation-unknown",
			why:  `whether it is revoked cannot be told: the CRL of CN=Test CA, number 1 has no valid signature of a key that may sign it`},
		{name: "a CA that may not sign lists", chain: list(noLists), anchors: list(noKeys.Identity), lists: [][]byte{signList(t, noKeys, 1, nil)},
			want: "rfc5280-revocation-unknown"},
		{name: "a list of CAs only", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 1, scoped)}, want: "rfc5280-revocation-unknown",
			why: `whether it is revoked cannot be told: the CRL of CN=Test CA, number 1 speaks of CAs only`},
		{name: "a delta list alone", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 2, delta(1))}, want: "rfc5280-revocation-unknown"},
		{name: "on the delta list", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 1, nil), signList(t, ca, 2, delta(1), direct)},
			want: "rfc5280-revoked", openssl: "accepts"}, // OpenSSL looks for deltas only where freshestCRL stands
		{name: "a delta list of a later base", chain: list(direct), anchors: roots, lists: [][]byte{signList(t, ca, 1, nil), signList(t, ca, 9, delta(8), direct)}},
	}
}

func imported(t testing.TB, ids []*testpki.Identity) []*certs.Certificate {
	t.Helper()
	var out []*certs.Certificate
	for _, id := range ids {
		c, err := certs.Import(id.DER)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func (s sample) question(t testing.TB) Question {
	t.Helper()
	q := Question{Certificates: imported(t, s.chain), Anchors: imported(t, s.anchors), Role: s.role, At: time.Now()}
	for _, der := range s.lists {
		l, err := crl.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		q.Lists = append(q.Lists, l)
	}
	return q
}

func TestValidate(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			q := s.question(t)
			got := Validate(q)
			q.Memory = &Memory{}
			for range 2 {
				if again := Validate(q); again.Accepted != got.Accepted || again.Text() != got.Text() {
					t.Errorf("with a memory: %v %q, without %v %q", again.Accepted, again.Text(), got.Accepted, got.Text())
				}
			}
			if got.Rule != s.want || got.Accepted != (s.want == "") || s.why != "" && got.Reason != s.why {
				t.Errorf("accepted %v, %s: %s; want %q %s", got.Accepted, got.Rule, got.Reason, s.want, s.why)
			}
			if f, ok := got.Finding("cert.pem"); ok != (s.want != "") || ok && f.Rule != s.want {
				t.Errorf("finding %v %v", f, ok)
			}
		})
	}
}

// Every rule but the one about libvirt has a case that breaks it, and there are good ones.
func TestEveryRuleIsBroken(t *testing.T) {
	broken := map[string]bool{"rfc5280-accepts": true, "rfc5280-weak": true} // weak: TestWeakKeysAndHashes
	for _, s := range samples(t) {
		broken[s.want] = true
	}
	for _, r := range Rules() {
		if !broken[r.ID] {
			t.Errorf("no sample breaks %s", r.ID)
		}
	}
}

// TestOpenSSLAgrees puts the same questions to openssl verify.
func TestOpenSSLAgrees(t *testing.T) {
	peer.Need(t, "openssl")
	for _, s := range samples(t) {
		if len(s.anchors) == 0 {
			continue
		}
		dir := peer.Dir(t)
		write := func(name string, ids []*testpki.Identity) string {
			var text []byte
			for _, id := range ids {
				text = append(text, id.CertPEM()...)
			}
			return file(t, dir, name, text)
		}
		args := []string{"verify", "-partial_chain", "-auth_level", "1", "-CAfile", write("ca.pem", s.anchors), "-no-CApath", "-no-CAstore"}
		if len(s.chain) > 1 {
			args = append(args, "-untrusted", write("untrusted.pem", s.chain[1:]))
		}
		if s.role != 0 {
			args = append(args, "-purpose", map[certs.Role]string{certs.Server: "sslserver", certs.Client: "sslclient"}[s.role])
		}
		if len(s.lists) > 0 {
			var text []byte
			for _, l := range s.lists {
				text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l})...)
			}
			args = append(args, "-crl_check", "-crl_check_all", "-use_deltas", "-extended_crl", "-CRLfile", file(t, dir, "crl.pem", text))
		}
		got := peer.Run(t, append(append([]string{"openssl"}, args...), write("leaf.pem", s.chain[:1]))...)
		said := "accepts"
		if got.Exit != 0 {
			said = "refuses"
		}
		want := "accepts"
		if s.want != "" {
			want = "refuses"
		}
		if s.openssl != "" {
			if s.openssl == said && said != want {
				continue
			}
			t.Errorf("%s: openssl %s, it should differ", s.name, said)
			continue
		}
		if said != want {
			t.Errorf("%s: openssl %s, we want %s\n%s%s", s.name, said, want, got.Stdout, got.Stderr)
		}
	}
}

func file(t testing.TB, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWeakKeysAndHashes needs certificates that crypto/x509 does not make: they are certtool's.
func TestWeakKeysAndHashes(t *testing.T) {
	peer.Need(t, "certtool")
	dir := peer.Dir(t)
	ca := testpki.NewCA(t, testpki.Key(testpki.RSA2048))
	caFile, caKey := file(t, dir, "ca.pem", ca.CertPEM()), file(t, dir, "ca-key.pem", ca.KeyPEM())
	template := file(t, dir, "template", []byte("cn = weak\nexpiration_days = 10\nserial = 7\n"))
	issue := func(name, bits string, options ...string) *certs.Certificate {
		key, out := filepath.Join(dir, name+"-key.pem"), filepath.Join(dir, name+".pem")
		peer.Certtool(t, "--generate-privkey", "--key-type=rsa", "--bits="+bits, "--outfile="+key)
		peer.Certtool(t, append([]string{"--generate-certificate", "--load-privkey=" + key, "--load-ca-certificate=" + caFile, "--load-ca-privkey=" + caKey,
			"--template=" + template, "--outfile=" + out}, options...)...)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		c, err := certs.ImportPEM(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, s := range []struct {
		name, why string
		cert      *certs.Certificate
	}{
		{"RSA 1024", "", issue("r1024", "1024")},
		{"RSA 768", "its key has 768 bits; 1024 are the least", issue("r768", "768")},
		{"SHA-1", "its signature is RSA-SHA-1, which is broken", issue("sha1", "2048", "--hash=SHA1")},
	} {
		got := Validate(Question{Certificates: []*certs.Certificate{s.cert}, Anchors: imported(t, []*testpki.Identity{ca.Identity}), At: time.Now()})
		if got.Reason != s.why || s.why != "" && got.Rule != "rfc5280-weak" {
			t.Errorf("%s: %+v, want %q", s.name, got, s.why)
		}
	}
}

// TestHostileHeapsEnd gives certificates that all have one name and one another's key, which make more paths than can be
// tried.
func TestHostileHeapsEnd(t *testing.T) {
	var heap []*testpki.Identity
	root := testpki.NewCA(t, testpki.CN("Same"))
	cas := []*testpki.CA{root}
	for i := range 12 {
		ca := cas[i].Intermediate("", testpki.CN("Same"))
		cas = append(cas, ca)
		// Each key is certified by all others before it, so that paths branch.
		for _, signer := range cas[:i+1] {
			heap = append(heap, signer.Intermediate("", testpki.CN("Same"), testpki.WithKey(ca.Key)).Identity)
		}
	}
	leaf := cas[len(cas)-1].Server("kvm1.example.com")
	chain := append([]*testpki.Identity{leaf}, heap...)
	got := Validate(Question{Certificates: imported(t, chain), Anchors: imported(t, []*testpki.Identity{testpki.NewCA(t, testpki.CN("Same")).Identity}), At: time.Now()})
	if got.Accepted {
		t.Error("accepted")
	}
}

// An entry that says nothing, which GnuTLS reads, hides no entry behind it.
func TestAnEmptyEntryMakesAListUseless(t *testing.T) {
	ca := testpki.NewCA(t)
	leaf := ca.Server("kvm1.example.com")
	var list struct{ TBS, Algorithm, Signature asn1.RawValue }
	var tbs struct {
		Version                                                 int
		Algorithm, Issuer, ThisUpdate, NextUpdate, Revoked, Ext asn1.RawValue
	}
	if _, err := asn1.Unmarshal(signList(t, ca, 1, nil, leaf), &list); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(list.TBS.FullBytes, &tbs); err != nil {
		t.Fatal(err)
	}
	tbs.Revoked = asn1.RawValue{Tag: 16, IsCompound: true, Bytes: append([]byte{0x30, 0}, tbs.Revoked.Bytes...)}
	list.TBS.FullBytes = der(t, tbs)
	digest := sha256.Sum256(list.TBS.FullBytes)
	signature, err := ca.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	l, err := crl.Parse(der(t, struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}{list.TBS, list.Algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}}))
	if err != nil {
		t.Fatal(err)
	}
	v := Validate(Question{Certificates: imported(t, []*testpki.Identity{leaf}), Anchors: imported(t, []*testpki.Identity{ca.Identity}), Lists: []*crl.List{l}, At: time.Now()})
	if v.Accepted || v.Rule != "rfc5280-revocation-unknown" || !strings.HasSuffix(v.Text(), "has an entry that cannot be processed") {
		t.Errorf("accepted: %v; %s: %s", v.Accepted, v.Rule, v.Text())
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range samples(f) {
		var chain, anchors, lists []byte
		for _, id := range s.chain {
			chain = append(chain, id.CertPEM()...)
		}
		for _, id := range s.anchors {
			anchors = append(anchors, id.CertPEM()...)
		}
		for _, l := range s.lists {
			lists = append(lists, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l})...)
		}
		f.Add(chain, anchors, lists, byte(s.role))
	}
	f.Fuzz(func(t *testing.T, chain, anchors, lists []byte, role byte) {
		certificates, _ := certs.ImportPEMList(chain, 0)
		cas, _ := certs.ImportPEMList(anchors, 0)
		crls, _ := crl.ParsePEM(lists)
		got := Validate(Question{Certificates: certificates, Anchors: cas, Lists: crls, Role: certs.Role(role % 3), At: time.Now()})
		if _, ok := got.Finding("x"); ok == got.Accepted {
			t.Errorf("finding %v, accepted %v", ok, got.Accepted)
		}
		if got.Accepted && len(got.Path) == 0 {
			t.Error("accepted without a path")
		}
	})
}

// FuzzCertificate changes the DER of a certificate that has all the extensions.
func FuzzCertificate(f *testing.F) {
	for _, s := range samples(f) {
		for _, id := range s.chain {
			f.Add(id.DER)
		}
	}
	f.Fuzz(func(_ *testing.T, der []byte) {
		if c, err := certs.Import(der); err == nil {
			Validate(Question{Certificates: []*certs.Certificate{c}, Anchors: []*certs.Certificate{c}, At: time.Now()})
			Validate(Question{Certificates: []*certs.Certificate{c, c}, Anchors: nil, At: time.Now()})
		}
	})
}
