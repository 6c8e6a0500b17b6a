package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A qemuCase is a directory of TLS files for QEMU.
type qemuCase struct {
	name  string
	role  certs.Role
	files map[string][]byte // by name below the directory; nil: a directory of that name
	// denied names those that may not be read.
	denied []string
	// mismatched says that the key is not the certificate's, as there is none for it: versions that look at that first are
	// not asked.
	mismatched bool
}

// qemuCases are the directories that QEMU's checks tell apart, put to the real programs by TestRealQEMUAgrees.
func qemuCases(t testing.TB) []qemuCase {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	twin := testpki.NewCA(t)
	inter := ca.Intermediate("Intermediate")
	second := inter.Intermediate("Second")
	ds, ke := x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	var out []qemuCase
	server := func(name string, leaf *testpki.Identity, cas ...*testpki.CA) qemuCase {
		c := qemuCase{name: name, role: certs.Server, files: map[string][]byte{"ca-cert.pem": {}, "server-cert.pem": leaf.CertPEM(), "server-key.pem": leaf.KeyPEM()}}
		for _, k := range cas {
			c.files["ca-cert.pem"] = append(c.files["ca-cert.pem"], k.CertPEM()...)
		}
		out = append(out, c)
		return c
	}
	client := func(name string, leaf *testpki.Identity, cas ...*testpki.CA) qemuCase {
		c := server(name, leaf, cas...)
		c.role = certs.Client
		c.files["client-cert.pem"], c.files["client-key.pem"] = c.files["server-cert.pem"], c.files["server-key.pem"]
		delete(c.files, "server-cert.pem")
		delete(c.files, "server-key.pem")
		out[len(out)-1] = c
		return c
	}
	srv := func(o ...testpki.Option) *testpki.Identity { return ca.Server("kvm1.example.com", o...) }
	cli := func(o ...testpki.Option) *testpki.Identity { return ca.Client("admin", o...) }
	with := func(c qemuCase, name string, data []byte) {
		c.files[name] = data
	}
	good := func(name string) qemuCase { return server(name, srv(), ca) }
	goodClient := func(name string) qemuCase { return client(name, cli(), ca) }
	without := func(c qemuCase, names ...string) {
		for _, n := range names {
			delete(c.files, n)
		}
	}

	good("a good server")
	goodClient("a good client")
	without(goodClient("a client without identity"), "client-cert.pem", "client-key.pem")
	without(goodClient("a client's certificate alone"), "client-key.pem")
	without(goodClient("a client's key alone"), "client-cert.pem")
	without(good("no CA"), "ca-cert.pem")
	without(goodClient("a client without CA"), "ca-cert.pem")
	without(good("a server without certificate"), "server-cert.pem")
	without(good("a server without key"), "server-key.pem")
	without(good("a server without either"), "server-key.pem", "server-cert.pem")
	with(good("the CA is a directory"), "ca-cert.pem", nil)
	with(good("the certificate is a directory"), "server-cert.pem", nil)
	with(good("the key is a directory"), "server-key.pem", nil)

	server("expired", srv(testpki.Expired()), ca)
	server("not yet valid", srv(testpki.NotYetValid()), ca)
	client("an expired client", cli(testpki.Expired()), ca)
	client("a client not yet valid", cli(testpki.NotYetValid()), ca)
	server("the server is a CA", srv(testpki.BasicConstraints(true, true, -1)), ca)
	client("the client is a CA", cli(testpki.BasicConstraints(true, true, -1)), ca)
	server("no basicConstraints", srv(testpki.NoBasicConstraints()), ca)
	server("no keyUsage", srv(testpki.NoKeyUsage()), ca)
	server("digitalSignature alone, critical", srv(testpki.KeyUsage(true, ds)), ca)
	server("digitalSignature alone", srv(testpki.KeyUsage(false, ds)), ca)
	server("keyEncipherment alone, critical", srv(testpki.KeyUsage(true, ke)), ca)
	server("keyEncipherment alone", srv(testpki.KeyUsage(false, ke)), ca)
	server("empty keyUsage, critical", srv(testpki.KeyUsage(true, 0)), ca)
	client("a client's keyEncipherment alone, critical", cli(testpki.KeyUsage(true, ke)), ca)
	client("a client's keyEncipherment alone", cli(testpki.KeyUsage(false, ke)), ca)
	for _, p := range []struct {
		name string
		oids []asn1.ObjectIdentifier
	}{{"clientAuth", []asn1.ObjectIdentifier{testpki.OIDClientAuth}}, {"serverAuth", []asn1.ObjectIdentifier{testpki.OIDServerAuth}},
		{"anyExtendedKeyUsage", []asn1.ObjectIdentifier{testpki.OIDAnyPurpose}}, {"codeSigning", []asn1.ObjectIdentifier{testpki.OIDCodeSigning}},
		{"both", []asn1.ObjectIdentifier{testpki.OIDServerAuth, testpki.OIDClientAuth}},
		{"codeSigning and serverAuth", []asn1.ObjectIdentifier{testpki.OIDCodeSigning, testpki.OIDServerAuth}}} {
		for _, critical := range []bool{true, false} {
			server(fmt.Sprintf("server purpose %s, critical %v", p.name, critical), srv(testpki.Purpose(critical, p.oids...)), ca)
			client(fmt.Sprintf("client purpose %s, critical %v", p.name, critical), cli(testpki.Purpose(critical, p.oids...)), ca)
		}
	}
	server("no purpose", srv(testpki.NoPurpose()), ca)
	server("extensions that are damaged: basicConstraints", srv(testpki.Extension(testpki.OIDBasicConstraints, true, []byte{5, 0})), ca)
	server("extensions that are damaged: keyUsage", srv(testpki.Extension(testpki.OIDKeyUsage, true, []byte{5, 0})), ca)
	server("extensions that are damaged: extendedKeyUsage", srv(testpki.Extension(testpki.OIDExtKeyUsage, true, []byte{5, 0})), ca)
	server("an unknown critical extension", srv(testpki.Extension(asn1.ObjectIdentifier{1, 2, 3}, true, []byte{5, 0})), ca)
	server("an empty subject", srv(testpki.EmptySubject()), ca)
	server("RSA with 1024 bits", srv(testpki.Key(testpki.RSA1024)), ca)
	server("Ed25519", srv(testpki.Key(testpki.Ed25519)), ca)

	expired := testpki.NewCA(t, testpki.CN("Expired CA"), testpki.Expired())
	future := testpki.NewCA(t, testpki.CN("Future CA"), testpki.NotYetValid())
	server("the CA has expired", expired.Server("x"), expired)
	server("the CA is not yet valid", future.Server("x"), future)
	client("a client's CA has expired", expired.Client("x"), expired)
	server("an expired CA beside the good one", srv(), ca, expired)
	server("an expired CA before the good one", srv(), expired, ca)
	server("a future CA beside the good one", srv(), ca, future)
	for _, k := range []struct {
		name    string
		options []testpki.Option
	}{{"says CA:FALSE", []testpki.Option{testpki.BasicConstraints(true, false, -1)}}, {"lacks basicConstraints", []testpki.Option{testpki.NoBasicConstraints()}},
		{"is of version 1", []testpki.Option{testpki.Version1()}},
		{"has a critical keyUsage without keyCertSign", []testpki.Option{testpki.KeyUsage(true, ds)}},
		{"has a keyUsage without keyCertSign", []testpki.Option{testpki.KeyUsage(false, ds)}},
		{"has no keyUsage", []testpki.Option{testpki.NoKeyUsage()}}} {
		odd := testpki.NewCA(t, append([]testpki.Option{testpki.CN("Odd CA")}, k.options...)...)
		server("the CA "+k.name, odd.Server("x"), odd)
		server("another CA "+k.name, srv(), ca, odd)
	}
	server("the CA is another", srv(), other)
	client("a client's CA is another", cli(), other)
	server("the CA has the name but not the key", srv(), twin)
	server("the CA beside its twin", srv(), twin, ca)
	server("a changed certificate", srv(testpki.BadSignature()), ca)

	// Chains.
	chained := func(name string, leaf *testpki.Identity, cas []*testpki.CA, behind ...*testpki.Identity) qemuCase {
		c := server(name, leaf, cas...)
		for _, b := range behind {
			c.files["server-cert.pem"] = append(c.files["server-cert.pem"], b.CertPEM()...)
		}
		return c
	}
	roots := []*testpki.CA{ca}
	below := inter.Server("kvm1.example.com")
	deep := second.Server("kvm1.example.com")
	chained("an intermediate behind the leaf, the root alone in the CA file", below, roots, inter.Identity)
	chained("two intermediates behind the leaf", deep, roots, second.Identity, inter.Identity)
	chained("two intermediates in the wrong order", deep, roots, inter.Identity, second.Identity)
	chained("a gap in the chain", deep, roots, inter.Identity)
	chained("intermediate and root behind the leaf", below, roots, inter.Identity, ca.Identity)
	chained("the intermediate in the CA file alone", below, []*testpki.CA{ca, inter})
	chained("the intermediate in both", below, []*testpki.CA{ca, inter}, inter.Identity)
	chained("only the intermediate in the CA file", below, []*testpki.CA{inter})
	chained("the intermediate is missing", below, roots)
	chained("an unrelated CA behind the leaf", srv(), roots, other.Identity)
	chained("an expired unrelated CA behind the leaf", srv(), roots, expired.Identity)
	chained("a foreign leaf behind the leaf", srv(), roots, other.Server("y"))
	chained("the root behind the leaf", srv(), roots, ca.Identity)
	oldInter := ca.Intermediate("Old", testpki.Expired())
	chained("an expired intermediate", oldInter.Server("x"), roots, oldInter.Identity)
	chained("an expired intermediate in the CA file", oldInter.Server("x"), []*testpki.CA{ca, oldInter})
	noCA := ca.Intermediate("No CA", testpki.BasicConstraints(true, false, -1))
	chained("an intermediate that is no CA", noCA.Server("x"), roots, noCA.Identity)
	chained("an intermediate that is no CA, in the CA file", noCA.Server("x"), []*testpki.CA{ca, noCA})
	noSign := ca.Intermediate("No sign", testpki.KeyUsage(true, ds))
	chained("an intermediate without keyCertSign", noSign.Server("x"), roots, noSign.Identity)
	limited := ca.Intermediate("Limited", testpki.PathLen(0)).Intermediate("Below")
	chained("more CAs than allowed", limited.Server("x"), roots, limited.Identity, limited.Issuer.Identity)

	// Files.
	junk := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	with(good("an empty CA file"), "ca-cert.pem", []byte{})
	with(good("text in place of the CA"), "ca-cert.pem", []byte("hello\n"))
	with(good("a damaged CA"), "ca-cert.pem", junk)
	with(good("a damaged CA behind the good one"), "ca-cert.pem", append(ca.CertPEM(), junk...))
	with(good("a CA in DER"), "ca-cert.pem", ca.DER)
	with(good("an empty certificate file"), "server-cert.pem", []byte{})
	with(good("a damaged certificate"), "server-cert.pem", junk)
	with(goodClient("a client's damaged certificate"), "client-cert.pem", junk)
	with(good("a certificate in DER"), "server-cert.pem", srv().DER)
	c := good("a damaged block behind the leaf")
	with(c, "server-cert.pem", append(bytes.Clone(c.files["server-cert.pem"]), junk...))
	with(good("an empty key file"), "server-key.pem", []byte{})
	with(good("another certificate's key"), "server-key.pem", srv().KeyPEM())
	block, _ := pem.Decode(srv().KeyPEM())
	with(good("a key in DER"), "server-key.pem", block.Bytes)
	with(good("a damaged key"), "server-key.pem", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	id := srv()
	key, err := certs.ParseKey(id.KeyPEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := certs.MarshalKey(key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	c = server("a key with a passphrase", id, ca)
	with(c, "server-key.pem", encrypted)
	c = good("more than 64 KiB of text before the CA")
	with(c, "ca-cert.pem", append(bytes.Repeat([]byte("# text\n"), 10000), ca.CertPEM()...))
	c = good("more than 64 KiB of text before the certificate")
	with(c, "server-cert.pem", append(bytes.Repeat([]byte("# text\n"), 10000), c.files["server-cert.pem"]...))
	c = good("a NUL byte before the CA")
	with(c, "ca-cert.pem", append([]byte("x\x00"), ca.CertPEM()...))
	many := good("16 CAs")
	with(many, "ca-cert.pem", append(bytes.Repeat(other.CertPEM(), 15), ca.CertPEM()...))
	many = good("17 CAs, the right one last")
	with(many, "ca-cert.pem", append(bytes.Repeat(other.CertPEM(), 16), ca.CertPEM()...))
	many = good("17 CAs, the last expired")
	with(many, "ca-cert.pem", append(append(ca.CertPEM(), bytes.Repeat(other.CertPEM(), 15)...), expired.CertPEM()...))
	many = chained("17 certificates behind the leaf", srv(), roots)
	with(many, "server-cert.pem", append(bytes.Clone(many.files["server-cert.pem"]), bytes.Repeat(other.CertPEM(), 17)...))

	weak := fixture(t, "sha1-leaf.pem")
	out = append(out, qemuCase{name: "SHA-1", role: certs.Server, files: map[string][]byte{"ca-cert.pem": weak[1].PEM(), "server-cert.pem": weak[0].PEM(),
		"server-key.pem": srv().KeyPEM()}, mismatched: true})

	// Which of two faults is said.
	two := func(name string, leaf *testpki.Identity, cas []*testpki.CA, files map[string][]byte) {
		c := server("two faults: "+name, leaf, cas...)
		for n, d := range files {
			c.files[n] = d
		}
	}
	late := srv(testpki.Expired())
	wrong := map[string][]byte{"server-key.pem": cli().KeyPEM()}
	two("expired, wrong key", late, roots, wrong)
	two("expired, damaged key", late, roots, map[string][]byte{"server-key.pem": {}})
	two("expired, bad list", late, roots, map[string][]byte{"ca-crl.pem": {}})
	two("wrong key, bad list", srv(), roots, map[string][]byte{"server-key.pem": cli().KeyPEM(), "ca-crl.pem": {}})
	two("expired, damaged CA", late, roots, map[string][]byte{"ca-cert.pem": junk})
	two("damaged certificate, damaged CA", late, roots, map[string][]byte{"ca-cert.pem": junk, "server-cert.pem": junk})
	two("damaged certificate, damaged key", late, roots, map[string][]byte{"server-key.pem": junk, "server-cert.pem": junk})
	without(server("two faults: no key, damaged CA", late, testpki.NewCA(t)), "server-key.pem")
	with(out[len(out)-1], "ca-cert.pem", junk)
	without(server("two faults: no key, no CA", late), "server-key.pem", "ca-cert.pem")
	two("expired, another CA", late, []*testpki.CA{other}, nil)
	two("expired, expired CA", expired.Server("x", testpki.Expired()), []*testpki.CA{expired}, nil)
	two("a CA, expired", srv(testpki.Expired(), testpki.BasicConstraints(true, true, -1)), roots, nil)
	two("no digitalSignature, wrong purpose", srv(testpki.KeyUsage(true, ke), testpki.Purpose(true, testpki.OIDClientAuth)), roots, nil)
	two("expired, and the indexed one with a wrong key", late, roots, map[string][]byte{"server-cert-0.pem": late.CertPEM(), "server-key-0.pem": cli().KeyPEM()})
	two("wrong key, and half an indexed identity", srv(), roots, map[string][]byte{"server-key.pem": cli().KeyPEM(), "server-cert-0.pem": late.CertPEM()})
	two("a bad list, and half an indexed identity", srv(), roots, map[string][]byte{"ca-crl.pem": {}, "server-cert-0.pem": late.CertPEM()})
	c = chained("two faults: an expired stranger and an unknown CA", srv(), []*testpki.CA{other}, expired.Identity)
	chained("two faults: expired, and a stranger behind", late, roots, other.Identity)
	chained("two faults: the right intermediate has expired, a stranger behind it", oldInter.Server("x"), roots, oldInter.Identity, other.Identity)
	expiredRoot := testpki.NewCA(t, testpki.CN("Old root"), testpki.Expired())
	under := expiredRoot.Intermediate("Young")
	chained("two faults: the root has expired, the intermediate has not", under.Server("x"), []*testpki.CA{expiredRoot}, under.Identity)
	chained("the root has expired, the intermediate is in the CA file", under.Server("x"), []*testpki.CA{expiredRoot, under})
	chained("the intermediate in both, without the root", below, []*testpki.CA{inter}, inter.Identity)
	chained("an expired intermediate sent that another replaces", below, []*testpki.CA{ca, inter}, ca.Intermediate("Intermediate", testpki.WithKey(inter.Key), testpki.Expired()).Identity)
	chained("an expired intermediate in the CA file that another replaces", below, []*testpki.CA{ca, ca.Intermediate("Intermediate", testpki.WithKey(inter.Key), testpki.Expired()), inter})
	chained("the same, the good one first", below, []*testpki.CA{ca, inter, ca.Intermediate("Intermediate", testpki.WithKey(inter.Key), testpki.Expired())})
	chained("the same, and the good one sent", below, []*testpki.CA{ca, ca.Intermediate("Intermediate", testpki.WithKey(inter.Key), testpki.Expired())}, inter.Identity)
	renewed := testpki.NewCA(t, testpki.WithKey(ca.Key), testpki.Expired())
	chained("an expired certificate of the CA before its good one", srv(), []*testpki.CA{renewed, ca})
	chained("an expired certificate of the CA behind its good one", srv(), []*testpki.CA{ca, renewed})
	self := testpki.SelfSigned(t, "kvm1.example.com")
	c = server("a self-signed server", self)
	with(c, "ca-cert.pem", self.CertPEM())
	c = server("a self-signed server that another CA file does not have", self, ca)
	v1 := ca.Server("v1", testpki.Version1())
	server("a server of version 1", v1, ca)
	chained("15 copies of the CA behind the leaf", srv(), roots)
	with(out[len(out)-1], "server-cert.pem", append(bytes.Clone(out[len(out)-1].files["server-cert.pem"]), bytes.Repeat(ca.CertPEM(), 15)...))
	chained("16 copies of the CA behind the leaf", srv(), roots)
	with(out[len(out)-1], "server-cert.pem", append(bytes.Clone(out[len(out)-1].files["server-cert.pem"]), bytes.Repeat(ca.CertPEM(), 16)...))
	chained("the leaf twice", srv(), roots)
	with(out[len(out)-1], "server-cert.pem", bytes.Repeat(out[len(out)-1].files["server-cert.pem"], 2))
	chained("a key before the certificate in its file", srv(), roots)
	with(out[len(out)-1], "server-cert.pem", append(bytes.Clone(out[len(out)-1].files["server-key.pem"]), out[len(out)-1].files["server-cert.pem"]...))
	server("no name", srv(testpki.EmptySubject()), other)
	c = server("a CA of another key identifier", srv(), ca)
	server("a SHA-1-like heap: Ed25519 CA", testpki.NewCA(t, testpki.CN("Ed"), testpki.Key(testpki.Ed25519)).Server("x"), ca)

	// Revocation lists.
	crl := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	revoked := srv()
	c = server("the own certificate is revoked", revoked, ca)
	with(c, "ca-crl.pem", crl(ca.CRL(1, revoked)))
	with(good("a good revocation list"), "ca-crl.pem", crl(ca.CRL(1)))
	with(good("another CA's revocation list"), "ca-crl.pem", crl(other.CRL(1)))
	with(good("an empty revocation list"), "ca-crl.pem", []byte{})
	with(good("a revocation list in DER"), "ca-crl.pem", ca.CRL(1))
	with(good("a revocation list that is a directory"), "ca-crl.pem", nil)
	with(goodClient("a client's revocation list in DER"), "ca-crl.pem", ca.CRL(1))

	// Several identities (10.2 and later).
	indexed := func(name string, files map[string][]byte) qemuCase {
		c := good(name)
		for n, d := range files {
			c.files[n] = d
		}
		return c
	}
	one, bad := srv(), srv(testpki.Expired())
	indexed("a second identity", map[string][]byte{"server-cert-0.pem": one.CertPEM(), "server-key-0.pem": one.KeyPEM()})
	indexed("a second identity that has expired", map[string][]byte{"server-cert-0.pem": bad.CertPEM(), "server-key-0.pem": bad.KeyPEM()})
	lateClient := goodClient("a second client's identity that has expired")
	expiredClient := cli(testpki.Expired())
	lateClient.files["client-cert-0.pem"], lateClient.files["client-key-0.pem"] = expiredClient.CertPEM(), expiredClient.KeyPEM()
	second0 := oldInter.Server("x")
	indexed("a second identity below an expired CA", map[string][]byte{"server-cert-0.pem": second0.ChainPEM(), "server-key-0.pem": second0.KeyPEM()})
	indexed("an indexed certificate without its key", map[string][]byte{"server-cert-0.pem": one.CertPEM()})
	indexed("an indexed key without its certificate", map[string][]byte{"server-key-0.pem": one.KeyPEM()})
	indexed("index 1 without index 0, and bad", map[string][]byte{"server-cert-1.pem": bad.CertPEM(), "server-key-1.pem": bad.KeyPEM()})
	without(indexed("only an indexed identity", map[string][]byte{"server-cert-0.pem": one.CertPEM(), "server-key-0.pem": one.KeyPEM()}), "server-cert.pem", "server-key.pem")
	indexed("index 4 is bad", map[string][]byte{"server-cert-0.pem": one.CertPEM(), "server-key-0.pem": one.KeyPEM(), "server-cert-1.pem": one.CertPEM(),
		"server-key-1.pem": one.KeyPEM(), "server-cert-2.pem": one.CertPEM(), "server-key-2.pem": one.KeyPEM(), "server-cert-3.pem": one.CertPEM(),
		"server-key-3.pem": one.KeyPEM(), "server-cert-4.pem": bad.CertPEM(), "server-key-4.pem": bad.KeyPEM()})
	indexed("an indexed key of another", map[string][]byte{"server-cert-0.pem": one.CertPEM(), "server-key-0.pem": bad.KeyPEM()})
	return out
}
