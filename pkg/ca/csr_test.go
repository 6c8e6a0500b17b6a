package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/remote"
)

// directoryConstraint is a nameConstraints extension that permits directory names, which crypto/x509 does not know.
func directoryConstraint() pkix.Extension {
	return pkix.Extension{Id: testpki.OIDNameConstraints, Critical: true,
		Value: []byte("\x30\x17\xa0\x15\x30\x13\xa4\x11\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x0a\x0c\x04\x41\x63\x6d\x65")}
}

func request(t testing.TB, kind, subject string, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key := testpki.SelfSigned(t, "x", testpki.Key(kind)).Key
	r := &x509.CertificateRequest{RawSubject: name(t, subject).DER()}
	if change != nil {
		change(r)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestNamesOfARequestThatTheOrderLacksAreSaid(t *testing.T) {
	a, _ := authority(t, Policy{})
	csr, err := ParseCSR(request(t, testpki.ECDSAP256, "CN=kvm1.example.com", func(r *x509.CertificateRequest) {
		r.DNSNames, r.IPAddresses = []string{"kvm1.example.com", "KVM1", "other"}, []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("192.0.2.2")}
	}))
	if err != nil {
		t.Fatal(err)
	}
	o := Order{Request: certs.Request{Role: certs.Server, Names: []string{"kvm1"}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}}
	p, err := a.PrepareCSR(time.Now(), csr, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range p.Findings() {
		got = append(got, f.Message)
	}
	want := []string{`the request asks for the name "other", which is not taken over`,
		"the request asks for the address 192.0.2.1, which is not taken over"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"kvm1", "kvm1.example.com"}, p.Order().Names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}

func TestARequestGivesSubjectKeyAndNamesOnly(t *testing.T) {
	a, m := authority(t, Policy{})
	text := request(t, testpki.ECDSAP384, "CN=kvm1.example.com,OU=b,OU=a,C=GB", func(r *x509.CertificateRequest) {
		r.DNSNames, r.IPAddresses = []string{"alias.example.com"}, []net.IP{net.ParseIP("192.0.2.1")}
		r.EmailAddresses = []string{"root@example.com"}
		r.ExtraExtensions = []pkix.Extension{
			{Id: testpki.OIDBasicConstraints, Critical: true, Value: []byte("\x30\x03\x01\x01\xff")},
			{Id: testpki.OIDExtKeyUsage, Value: []byte("\x30\x06\x06\x04\x55\x1d\x25\x00")},
			{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte("\x05\x00")},
		}
	})
	csr, err := ParseCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	i, err := a.IssueCSR(context.Background(), time.Now(), csr, Order{Host: "kvm1", Layout: "csr", Request: certs.Request{Role: certs.Server}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(i.DER)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.RawSubject) != string(csr.Subject.DER()) || !certs.SameKey(c.PublicKey, csr.Public) || i.Key != nil {
		t.Error("subject or key differ from the request's")
	}
	if d := cmp.Diff([]string{"alias.example.com", "kvm1.example.com"}, c.DNSNames); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if c.IsCA || len(c.IPAddresses) != 1 || len(c.EmailAddresses) != 0 || len(c.UnknownExtKeyUsage) != 0 ||
		!cmp.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("certificate: %+v", c)
	}
	var notes []string
	for _, f := range i.Findings {
		notes = append(notes, f.Message)
	}
	if d := cmp.Diff([]string{
		`the request asks for the e-mail address "root@example.com", which is not taken over`,
		`the request asks for basicConstraints (2.5.29.19), which is not taken over`,
		`the request asks for extendedKeyUsage (2.5.29.37), which is not taken over`,
		`the request asks for extension (1.2.3), which is not taken over`,
	}, notes); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}
	if len(m.entries) != 1 || m.entries[0].Layout != "csr" {
		t.Errorf("inventory: %+v", m.entries)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	good := request(t, testpki.ECDSAP256, "CN=h", nil)
	block, _ := pem.Decode(good)
	broken := append([]byte(nil), block.Bytes...)
	broken[len(broken)-1] ^= 1
	for _, tt := range []struct {
		name string
		text []byte
		want string
	}{
		{"empty", nil, "no certificate request: the text is empty"},
		{"text", []byte("hello"), "no certificate request: neither PEM nor DER"},
		{"a certificate", testpki.NewCA(t).CertPEM(), "no certificate request: the PEM text holds CERTIFICATE"},
		{"huge", []byte(strings.Repeat("x", maxCSR+1)), "no certificate request: 1048577 bytes are too many"},
		{"a broken signature", broken, "the signature of the certificate request does not hold: x509: ECDSA verification failure"},
		{"a weak RSA key", request(t, testpki.RSA1024, "CN=h", nil),
			"the certificate request has a weak key: RSA-1024 key: fewer than 2048 bits are weak"},
		{"P-224", request(t, testpki.ECDSAP224, "CN=h", nil),
			"the certificate request has a weak key: ECDSA P-224 key: this curve is weak or not used in TLS"},
		{"an empty RDN", request(t, testpki.ECDSAP256, "CN=h", func(r *x509.CertificateRequest) { r.RawSubject = []byte("\x30\x02\x31\x00") }), ""},
		{"an empty subject", request(t, testpki.ECDSAP256, "CN=h", func(r *x509.CertificateRequest) { r.RawSubject = []byte("\x30\x00") }),
			"the subject is empty"},
		{"invalid UTF-8", request(t, testpki.ECDSAP256, "CN=h", func(r *x509.CertificateRequest) {
			r.RawSubject = []byte("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xc3")
		}), ""},
	} {
		if _, err := ParseCSR(tt.text); err == nil || tt.want != "" && err.Error() != tt.want {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
	}
	if _, err := ParseCSR(block.Bytes); err != nil {
		t.Errorf("DER: %v", err)
	}
}

func TestTheCAsOwnKeyIsNotCertified(t *testing.T) {
	root := testpki.NewCA(t)
	a, err := New(root.DER, root.Key, Policy{}, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Prepare(time.Now(), withKey(order(t, certs.Server, "CN=h"), root.Key.Public())); err == nil ||
		err.Error() != "the request is made with the CA's own key" {
		t.Errorf("got %v", err)
	}
}

func TestARemoteOperatorsRequestIsHeldToTheSameRules(t *testing.T) {
	a, m := authority(t, Policy{})
	now := time.Now()
	text := request(t, testpki.ECDSAP256, "CN=kvm1.example.com,C=GB", nil)
	got, err := a.SignRequest(context.Background(), now, remote.Request{CSR: text, Profile: "server", Hosts: []string{"192.0.2.7"}, Layout: "libvirt"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(got.DER)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.RawSubject) != string(name(t, "CN=kvm1.example.com,C=GB").DER()) || len(c.IPAddresses) != 1 || len(m.entries) != 1 {
		t.Errorf("certificate %+v, %d entries", c, len(m.entries))
	}
	if e := m.entries[0]; e.State != inventory.Published || e.Host != "kvm1.example.com" || e.Layout != "libvirt" {
		t.Errorf("entry %+v", e)
	}
	for _, tt := range []struct {
		name string
		r    remote.Request
		want string
	}{
		{"an unknown profile", remote.Request{CSR: text, Profile: "sever"}, `the profile: no role "sever": server, client or peer`},
		{"no profile", remote.Request{CSR: text}, `the profile: no role "": server, client or peer`},
		{"the CA's profile", remote.Request{CSR: text, Profile: "ca"}, `the profile: no role "ca": server, client or peer`},
		{"longer than the policy", remote.Request{CSR: text, Profile: "server", NotAfter: now.Add(400 * 24 * time.Hour)},
			"the certificate would end on " + day(now.Add(400*24*time.Hour)) + "; the authority's policy ends it on " + day(now.Add(365*24*time.Hour+Backdate))},
		{"from long ago", remote.Request{CSR: text, Profile: "server", NotBefore: now.Add(-25 * time.Hour)},
			"the certificate would begin on " + day(now.Add(-25*time.Hour)) + ", too far from now"},
		{"no request", remote.Request{Profile: "server"}, "no certificate request: the text is empty"},
		{"a host that is none", remote.Request{CSR: text, Profile: "server", Hosts: []string{"a b"}}, ""},
	} {
		_, err := a.SignRequest(context.Background(), now, tt.r)
		var fault *remote.RequestError
		if !errors.As(err, &fault) || tt.want != "" && err.Error() != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if len(m.entries) != 1 {
		t.Errorf("%d entries after refusals", len(m.entries))
	}
	policy := signingPolicy(a.Policy(), true)
	if policy.Default.Usage != nil {
		t.Error("the default profile allows something")
	}
	if err := fill(&x509.Certificate{}, policy, "sever", now, now); err == nil {
		t.Error("a template was filled from an unknown profile")
	}
}

func FuzzParseCSR(f *testing.F) {
	f.Add(request(f, testpki.ECDSAP256, "CN=h", nil))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		csr, err := ParseCSR(text)
		if err == nil && csr.Subject.IsEmpty() {
			t.Error("a request without a subject was taken")
		}
		if err != nil && errors.Is(err, ErrLocked) {
			t.Error("impossible")
		}
	})
}
