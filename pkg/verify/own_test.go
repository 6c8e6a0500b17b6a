package verify

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// imported reads certificates of testpki.
func imported(t testing.TB, ids ...*testpki.Identity) []*certs.Certificate {
	t.Helper()
	var out []*certs.Certificate
	for _, id := range ids {
		c, err := certs.Import(id.DER)
		if err != nil {
			t.Fatalf("importing a certificate of testpki: %v", err)
		}
		out = append(out, c)
	}
	return out
}

// An ownCase is a sanity check and what libvirt says.
type ownCase struct {
	name    string
	o       Own
	message string
	rule    string
	warns   string
}

// key gives the leaf's key in PEM.
func (c ownCase) key() []byte { return ownKeys[string(c.o.Cert.Raw)] }

// ownKeys are the keys of the leafs made by own, for real programs.
var ownKeys = map[string][]byte{}

// own is the sanity check of a leaf against CAs.
func own(t testing.TB, role certs.Role, v Version, leaf *testpki.Identity, cas ...*testpki.CA) Own {
	t.Helper()
	o := Own{Role: role, CertPath: "/c.pem", CAPath: "/ca.pem", At: time.Now(), Libvirt: v}
	if leaf != nil {
		o.Cert = imported(t, leaf)[0]
		ownKeys[string(o.Cert.Raw)] = leaf.KeyPEM()
	}
	for _, ca := range cas {
		o.CAs = append(o.CAs, imported(t, ca.Identity)[0])
	}
	return o
}

// first gives the text libvirt stops with and its rule; warnings are the texts it only logs.
func first(fs []finding.Finding) (message, rule string, warnings []string) {
	for _, f := range fs {
		switch {
		case f.Severity == finding.Error && message == "":
			message, rule = f.LibvirtMessage, f.Rule
		case f.Effect == finding.Warns && message == "":
			warnings = append(warnings, f.LibvirtMessage)
		}
	}
	return message, rule, warnings
}

func ownCases(t testing.TB) []ownCase {
	ca := testpki.NewCA(t)
	other := testpki.NewCA(t, testpki.CN("Other CA"))
	inter := ca.Intermediate("Intermediate")
	ds, ke := x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	srv := func(o ...testpki.Option) *testpki.Identity { return ca.Server("kvm1.example.com", o...) }
	seventeen := func(front, back *testpki.CA) []*testpki.CA {
		var out []*testpki.CA
		for range 16 {
			out = append(out, front)
		}
		return append(out, back)
	}
	upstream := Version{11, 3, 0, false}
	return []ownCase{
		{"a good server", own(t, certs.Server, V9_0, srv(), ca), "", "", ""},
		{"a good client", own(t, certs.Client, V12_8, ca.Client("admin"), ca), "", "", ""},
		{"an expired server", own(t, certs.Server, V9_0, srv(testpki.Expired()), ca), "The server certificate /c.pem has expired", "certificate-expired", ""},
		{"an expired client", own(t, certs.Client, V12_8, ca.Client("a", testpki.Expired()), ca), "The client certificate /c.pem has expired", "certificate-expired", ""},
		{"a server of tomorrow", own(t, certs.Server, V9_0, srv(testpki.NotYetValid()), ca), "The server certificate /c.pem is not yet active", "certificate-not-yet-valid", ""},
		{"a CA as server", own(t, certs.Server, V9_0, srv(testpki.BasicConstraints(false, true, -1)), ca),
			"The certificate /c.pem basic constraints show a CA, but we need one for a server", "leaf-is-ca", ""},
		{"a CA as client", own(t, certs.Client, V9_0, ca.Client("a", testpki.BasicConstraints(true, true, -1)), ca),
			"The certificate /c.pem basic constraints show a CA, but we need one for a client", "leaf-is-ca", ""},
		{"no basicConstraints in the leaf", own(t, certs.Server, V9_0, srv(testpki.NoBasicConstraints()), ca), "", "", ""},
		{"a leaf of version 1", own(t, certs.Client, V9_0, ca.Client("a", testpki.Version1()), ca), "", "", ""},
		{"no keyUsage", own(t, certs.Server, V9_0, srv(testpki.NoKeyUsage()), ca), "", "", ""},
		{"keyUsage critical without keyEncipherment, 9.0", own(t, certs.Server, V9_0, srv(testpki.KeyUsage(true, ds)), ca),
			"Certificate /c.pem usage does not permit key encipherment", "no-key-encipherment", ""},
		{"the same, upstream's 11.3", own(t, certs.Server, upstream, srv(testpki.KeyUsage(true, ds)), ca),
			"Certificate /c.pem usage does not permit key encipherment", "no-key-encipherment", ""},
		{"the same, Debian's 11.3", own(t, certs.Server, V11_3, srv(testpki.KeyUsage(true, ds)), ca), "", "", ""},
		{"the same, 12.8", own(t, certs.Server, V12_8, srv(testpki.KeyUsage(true, ds)), ca), "", "", ""},
		{"not critical, 9.0", own(t, certs.Server, V9_0, srv(testpki.KeyUsage(false, ds)), ca), "", "",
			"Certificate /c.pem usage does not permit key encipherment"},
		{"not critical, 12.8", own(t, certs.Server, V12_8, srv(testpki.KeyUsage(false, ds)), ca), "", "", ""},
		{"without digitalSignature, 12.8", own(t, certs.Server, V12_8, srv(testpki.KeyUsage(true, ke)), ca),
			"Certificate /c.pem usage does not permit digital signature", "no-digital-signature", ""},
		{"without any bit, critical", own(t, certs.Server, V9_0, srv(testpki.KeyUsage(true, 0)), ca),
			"Certificate /c.pem usage does not permit digital signature", "no-digital-signature", ""},
		{"certSign only, not critical", own(t, certs.Server, V9_0, srv(testpki.KeyUsage(false, x509.KeyUsageCertSign)), ca), "", "",
			"Certificate /c.pem usage does not permit digital signature|Certificate /c.pem usage does not permit key encipherment"},
		{"a critical clientAuth in a server", own(t, certs.Server, V12_8, srv(testpki.Purpose(true, testpki.OIDClientAuth)), ca),
			"Certificate /c.pem purpose does not allow use for with a TLS server", "wrong-purpose", ""},
		{"a critical serverAuth in a client", own(t, certs.Client, V9_0, ca.Client("a", testpki.Purpose(true, testpki.OIDServerAuth)), ca),
			"Certificate /c.pem purpose does not allow use for with a TLS client", "wrong-purpose", ""},
		{"a non-critical one", own(t, certs.Client, V9_0, ca.Client("a", testpki.Purpose(false, testpki.OIDServerAuth)), ca), "", "",
			"Certificate /c.pem purpose does not allow use for with a TLS client"},
		{"a critical anyExtendedKeyUsage", own(t, certs.Server, V9_0, srv(testpki.Purpose(true, testpki.OIDAnyPurpose)), ca),
			"Certificate /c.pem purpose does not allow use for with a TLS server", "wrong-purpose", ""},
		{"any beside serverAuth", own(t, certs.Server, V9_0, srv(testpki.Purpose(true, testpki.OIDAnyPurpose, testpki.OIDServerAuth)), ca), "", "", ""},
		{"a critical codeSigning", own(t, certs.Server, V9_0, srv(testpki.Purpose(true, testpki.OIDCodeSigning)), ca), "", "", ""},
		{"no purpose", own(t, certs.Server, V9_0, srv(testpki.NoPurpose()), ca), "", "", ""},
		{"both purposes", own(t, certs.Client, V9_0, ca.Peer("kvm1.example.com"), ca), "", "", ""},
		{"a purpose extension that is none", own(t, certs.Server, V9_0, srv(testpki.Extension(testpki.OIDExtKeyUsage, true, []byte{4, 1, 0})), ca),
			"Unable to query certificate /c.pem key purpose ASN1 parser: Error in TAG.", "extension-unreadable", ""},
		{"basicConstraints that are none", own(t, certs.Server, V9_0, srv(testpki.Extension(testpki.OIDBasicConstraints, true, []byte{5, 0})), ca),
			"Unable to query certificate /c.pem basic constraints ASN1 parser: Error in TAG.", "extension-unreadable", ""},
		{"a keyUsage that is none", own(t, certs.Client, V9_0, ca.Client("a", testpki.Extension(testpki.OIDKeyUsage, true, []byte{5, 0})), ca),
			"Unable to query certificate /c.pem key usage ASN1 parser: Error in TAG.", "extension-unreadable", ""},
		{"CA:TRUE with a negative path length", own(t, certs.Client, V9_0, ca.Client("a",
			testpki.Extension(testpki.OIDBasicConstraints, true, []byte{0x30, 6, 1, 1, 0xff, 2, 1, 0x80})), ca),
			"The certificate /c.pem basic constraints show a CA, but we need one for a client", "leaf-is-ca", ""},
		{"basicConstraints without a value", own(t, certs.Server, V9_0, srv(testpki.Extension(testpki.OIDBasicConstraints, true, []byte{})), ca),
			"Unable to query certificate /c.pem basic constraints ASN1 parser: Error in DER parsing.", "extension-unreadable", ""},
		{"a purpose that is none", own(t, certs.Server, V9_0, srv(testpki.Extension(testpki.OIDExtKeyUsage, true, []byte{0x30, 2, 5, 0})), ca),
			"Unable to query certificate /c.pem key purpose ASN1 parser: Error in TAG.", "extension-unreadable", ""},
		{"a keyUsage of three octets", own(t, certs.Server, V9_0, srv(testpki.Extension(testpki.OIDKeyUsage, true, []byte{3, 4, 5, 0, 0, 0xff})), ca),
			"Unable to query certificate /c.pem key usage The given memory buffer is too short to hold parameters.", "extension-unreadable", ""},
		{"an expired CA that nobody uses", own(t, certs.Server, V9_0, srv(), ca, testpki.NewCA(t, testpki.CN("old"), testpki.Expired())),
			"The CA certificate /ca.pem has expired", "ca-expired", ""},
		{"next year's CA", own(t, certs.Client, V9_0, ca.Client("a"), ca, testpki.NewCA(t, testpki.CN("new"), testpki.NotYetValid())),
			"The CA certificate /ca.pem is not yet active", "ca-not-yet-valid", ""},
		{"the CA says CA:FALSE", own(t, certs.Server, V9_0, nil, testpki.NewCA(t, testpki.BasicConstraints(true, false, -1))),
			"The certificate /ca.pem basic constraints do not show a CA", "ca-is-no-ca", ""},
		{"the CA says nothing", own(t, certs.Server, V9_0, nil, testpki.NewCA(t, testpki.NoBasicConstraints())),
			"The certificate /ca.pem is missing basic constraints for a CA", "ca-is-no-ca", ""},
		{"the CA is of version 1", own(t, certs.Server, V9_0, nil, testpki.NewCA(t, testpki.Version1())),
			"The certificate /ca.pem is missing basic constraints for a CA", "ca-is-no-ca", ""},
		{"the CA may not sign, critical", own(t, certs.Server, V9_0, nil, testpki.NewCA(t, testpki.KeyUsage(true, x509.KeyUsageCRLSign))),
			"Certificate /ca.pem usage does not permit certificate signing", "ca-without-certsign", ""},
		{"the CA has no keyUsage", own(t, certs.Server, V9_0, nil, testpki.NewCA(t, testpki.NoKeyUsage())), "", "", ""},
		{"another CA", own(t, certs.Server, V9_0, srv(), other),
			"Our own certificate /c.pem failed validation against /ca.pem: The certificate hasn't got a known issuer.", "unknown-issuer", ""},
		{"an intermediate that is only in the leaf's file", own(t, certs.Server, V12_8, inter.Server("kvm1.example.com"), ca),
			"Our own certificate /c.pem failed validation against /ca.pem: The certificate hasn't got a known issuer.", "unknown-issuer", ""},
		{"an intermediate in the CA file", own(t, certs.Server, V9_0, inter.Server("kvm1.example.com"), ca, inter), "", "", ""},
		{"the intermediate alone in the CA file", own(t, certs.Server, V9_0, inter.Server("kvm1.example.com"), inter), "", "", ""},
		{"a broken signature", own(t, certs.Server, V9_0, srv(testpki.BadSignature()), ca),
			"Our own certificate /c.pem failed validation against /ca.pem: The certificate is not trusted.", "signature-wrong", ""},
		{"a self-signed server that is its own CA", own(t, certs.Server, V9_0, testpki.SelfSigned(t, "kvm1.example.com"), ca),
			"Our own certificate /c.pem failed validation against /ca.pem: The certificate hasn't got a known issuer.", "unknown-issuer", ""},
		{"the right CA in the 17th place", own(t, certs.Server, V9_0, srv(), seventeen(other, ca)...),
			"Our own certificate /c.pem failed validation against /ca.pem: The certificate hasn't got a known issuer.", "unknown-issuer", ""},
		{"an expired CA in the 17th place", own(t, certs.Server, V9_0, srv(), seventeen(ca, testpki.NewCA(t, testpki.Expired()))...), "", "", ""},
		{"no leaf", own(t, certs.Client, V9_0, nil, ca), "", "", ""},
	}
}

func TestOwnCheckStopsWhereLibvirtStops(t *testing.T) {
	for _, c := range ownCases(t) {
		t.Run(c.name, func(t *testing.T) {
			fs := c.o.Check()
			message, rule, warnings := first(fs)
			if message != c.message || rule != c.rule {
				t.Errorf("stops with %q (%s), want %q (%s)", message, rule, c.message, c.rule)
			}
			if w := strings.Join(warnings, "|"); w != c.warns {
				t.Errorf("warns %q, want %q", w, c.warns)
			}
			for _, f := range fs {
				if f.Message == "" || !strings.HasSuffix(f.Message, ".") {
					t.Errorf("message %q of %s is no sentence", f.Message, f.Rule)
				}
			}
		})
	}
}

func TestOwnCheckReportsEverythingThatIsWrong(t *testing.T) {
	ca := testpki.NewCA(t)
	o := own(t, certs.Server, V9_0, ca.Server("x", testpki.Expired(), testpki.KeyUsage(true, 0)), testpki.NewCA(t, testpki.CN("old"), testpki.Expired()))
	var got []string
	for _, f := range o.Check() {
		got = append(got, f.Rule+" "+f.Subject+" "+string(f.Effect))
	}
	want := "certificate-expired /c.pem refuses-to-start|no-digital-signature /c.pem refuses-to-start|no-key-encipherment /c.pem refuses-to-start|" +
		"ca-expired /ca.pem refuses-to-start|unknown-issuer /c.pem refuses-to-start"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	o.Role = certs.Client
	if f := o.Check()[0]; f.Effect != finding.RefusesOwnCertificate || f.Message == "" {
		t.Errorf("of a client: %+v", f)
	}
}
