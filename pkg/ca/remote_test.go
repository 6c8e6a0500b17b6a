package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/remote"
)

// A fakeSigner is a remote signer that signs what change makes of what was asked.
type fakeSigner struct {
	root   *testpki.CA
	key    crypto.Signer // nil: the root's
	change func(*x509.Certificate)
	asked  remote.Request
	err    error
}

// Sign signs like a good server, but for change.
func (f *fakeSigner) Sign(_ context.Context, r remote.Request) ([]byte, error) {
	f.asked = r
	if f.err != nil {
		return nil, f.err
	}
	block, _ := pem.Decode(r.CSR)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	role, err := certs.ParseRole(r.Profile)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	t := &x509.Certificate{SerialNumber: big.NewInt(1234), RawSubject: csr.RawSubject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(365*24*time.Hour - 5*time.Minute), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true, PublicKey: csr.PublicKey, ExtraExtensions: []pkix.Extension{purposeExtensions[role]}}
	if !r.NotAfter.IsZero() {
		t.NotAfter = r.NotAfter
	}
	parent, key := f.root.X509(), f.root.Key
	if f.change != nil {
		f.change(t)
	}
	if f.key != nil {
		key = f.key
		double := *parent
		double.PublicKey = key.Public()
		parent = &double
	}
	return x509.CreateCertificate(rand.Reader, t, parent, t.PublicKey, key)
}

// remoteAuthority makes an authority whose key is elsewhere.
func remoteAuthority(t *testing.T, f *fakeSigner) (*Authority, *memory) {
	t.Helper()
	f.root = testpki.NewCA(t)
	m := &memory{}
	a, err := New(f.root.DER, nil, Policy{}, m)
	if err != nil {
		t.Fatal(err)
	}
	a.UseRemote(f)
	return a, m
}

func TestWhatARemoteSignerGivesIsComparedWithWhatWasAsked(t *testing.T) {
	other, err := certs.GenerateKey(certs.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("https://x/")
	eku := func(critical bool, oids ...int) pkix.Extension {
		var list []asn1.ObjectIdentifier
		for _, o := range oids {
			list = append(list, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, o})
		}
		value, err := asn1.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: value}
	}
	utf8Subject := []byte("\x30\x1b\x31\x19\x30\x17\x06\x03\x55\x04\x03\x0c\x10kvm1.example.com")
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string // "": it is good
	}{
		{"what was asked", nil, ""},
		{"shorter by a day", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(-24 * time.Hour) }, ""},
		{"another subject", func(c *x509.Certificate) { c.RawSubject = nil; c.Subject = pkix.Name{CommonName: "root"} }, `its subject is "CN=root"`},
		{"another encoding of the subject", func(c *x509.Certificate) { c.RawSubject = utf8Subject }, "its subject is encoded in another way (301b"},
		{"an empty subject", func(c *x509.Certificate) { c.RawSubject = []byte{0x30, 0} }, `its subject is ""`},
		{"another key", func(c *x509.Certificate) { c.PublicKey = other.Public() }, "it is for another key"},
		{"a name more", func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "evil.example.com") },
			"its names are DNS:evil.example.com, DNS:kvm1.example.com, IP:192.0.2.1, not DNS:kvm1.example.com, IP:192.0.2.1"},
		{"a name less", func(c *x509.Certificate) { c.IPAddresses = nil }, "its names are DNS:kvm1.example.com, not DNS:kvm1.example.com, IP:192.0.2.1"},
		{"no names", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, nil }, "its names are none, not DNS:kvm1.example.com, IP:192.0.2.1"},
		{"an address as a name", func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = append(c.DNSNames, "192.0.2.1") }, "its names are DNS:192.0.2.1, DNS:kvm1.example.com, not "},
		{"another address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{192, 0, 2, 2}} }, "its names are DNS:kvm1.example.com, IP:192.0.2.2, not "},
		{"an e-mail address", func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.com"} }, "its names are DNS:kvm1.example.com, IP:192.0.2.1, email:a@example.com, not "},
		{"a URI", func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }, "its names are DNS:kvm1.example.com, IP:192.0.2.1, URI:https://x/, not "},
		{"a name of a kind that Go does not know", func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = nil, nil
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17},
				Value: []byte("\x30\x1d\x82\x10kvm1.example.com\x87\x04\xc0\x00\x02\x01\x88\x03\x2a\x03\x04")})
		}, "it has 3 names where 2 were asked for"},
		{"no keyEncipherment", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "its keyUsage is digitalSignature, not digitalSignature, keyEncipherment"},
		{"keyCertSign", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, "its keyUsage is digitalSignature, keyEncipherment, keyCertSign, not "},
		{"no keyUsage", func(c *x509.Certificate) { c.KeyUsage = 0 }, "its keyUsage is none, not "},
		{"keyUsage that is not critical", func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidKeyUsage, Value: []byte{3, 2, 5, 0xa0}})
		}, "its keyUsage is not critical"},
		{"both purposes", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{eku(true, 1, 2)} }, `its purposes are not those of the profile "server"`},
		{"the other purpose", func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{eku(true, 2)} }, `its purposes are not those of the profile "server"`},
		{"no purpose", func(c *x509.Certificate) { c.ExtraExtensions = nil }, `its purposes are not those of the profile "server"`},
		{"any purpose", func(c *x509.Certificate) {
			c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny}
		}, `its purposes are not those of the profile "server"`},
		{"an unknown purpose more", func(c *x509.Certificate) {
			c.ExtraExtensions, c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []asn1.ObjectIdentifier{{1, 2, 3}}
		}, "it has a purpose that was not asked for, 1.2.3"},
		{"a CA", func(c *x509.Certificate) { c.IsCA = true }, "it is a CA's"},
		{"a critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
		}, "it has a critical extension that was not asked for, 1.2.3.4"},
		{"the CA's own serial number", nil, ""}, // below
		{"beyond the CA's end", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(50, 0, 0) }, "it ends on "},
		{"five years long", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(4, 0, 0) }, "it ends on "},
		{"over already", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "it has ended already, on "},
		{"not yet begun", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(2 * time.Hour) }, "it begins on "},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeSigner{change: c.change}
			a, m := remoteAuthority(t, f)
			want := c.want
			if c.name == "the CA's own serial number" {
				f.change = func(c *x509.Certificate) { c.SerialNumber = f.root.X509().SerialNumber }
				want = "its serial number "
			}
			o := order(t, certs.Server, "CN=kvm1.example.com", "192.0.2.1")
			p, err := a.Prepare(time.Now(), o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Issue(context.Background(), p)
			if want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(m.entries) != 1 || m.entries[0].Serial != "4D2" || m.entries[0].State != inventory.Issued || got.Key == nil || len(got.Findings) != 0 {
					t.Errorf("entries %+v, findings %v", m.entries, got.Findings)
				}
				if !m.entries[0].NotAfter.Equal(parse(t, got.DER).NotAfter) {
					t.Error("the inventory has another end than the certificate")
				}
				return
			}
			var wrong *MismatchError
			if !errors.As(err, &wrong) || !strings.HasPrefix(strings.Join(wrong.Problems, "; "), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if len(m.entries) != 0 {
				t.Error("it was recorded")
			}
		})
	}
}

// parse reads a certificate.
func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignaturesOfARemoteSignerAreChecked(t *testing.T) {
	other := testpki.NewCA(t, testpki.CN("another CA"))
	for _, c := range []struct {
		name string
		sign func(f *fakeSigner) RemoteSigner
		want string
	}{
		{"another CA", func(*fakeSigner) RemoteSigner { return &fakeSigner{root: other} }, `it is from another CA, "CN=another CA"`},
		{"another key under the CA's name", func(f *fakeSigner) RemoteSigner { f.key = other.Key; return f }, "it is not signed with the key of the CA "},
		{"no certificate", func(*fakeSigner) RemoteSigner { return constant("x") }, "it cannot be read: x509: malformed certificate"},
		{"the CA's own certificate", func(f *fakeSigner) RemoteSigner { return constant(f.root.DER) }, "its subject is "},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeSigner{}
			a, m := remoteAuthority(t, f)
			a.UseRemote(c.sign(f))
			p, err := a.Prepare(time.Now(), order(t, certs.Client, "CN=bob"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Issue(context.Background(), p)
			var wrong *MismatchError
			if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Problems[0], c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if len(m.entries) != 0 {
				t.Error("it was recorded")
			}
		})
	}
}

// constant is a signer that always gives the same.
type constant string

// Sign gives it.
func (c constant) Sign(context.Context, remote.Request) ([]byte, error) { return []byte(c), nil }

func TestARemoteSignersRefusalAndReplayLeaveNothing(t *testing.T) {
	f := &fakeSigner{err: errors.New("no")}
	a, m := remoteAuthority(t, f)
	issue := func(o Order) (Issued, error) {
		t.Helper()
		p, err := a.Prepare(time.Now(), o)
		if err != nil {
			t.Fatal(err)
		}
		return a.Issue(context.Background(), p)
	}
	if _, err := issue(order(t, certs.Client, "CN=bob")); !errors.Is(err, f.err) || err.Error() != `having the certificate of "CN=bob" signed: no` {
		t.Errorf("got %v", err)
	}
	f.err = nil
	first, err := issue(order(t, certs.Client, "CN=bob"))
	if err != nil {
		t.Fatal(err)
	}
	a.UseRemote(constant(first.DER))
	var wrong *MismatchError
	if _, err := issue(order(t, certs.Client, "CN=bob")); !errors.As(err, &wrong) || wrong.Problems[0] != "it is for another key" {
		t.Errorf("an earlier certificate again: %v", err)
	}
	if len(m.entries) != 1 {
		t.Errorf("%d entries", len(m.entries))
	}
	if _, err := a.MakeList(context.Background(), time.Now(), 0); !errors.Is(err, ErrListsElsewhere) {
		t.Errorf("a revocation list: %v", err)
	}
	// The key alone is not enough; with the request, or the private key, it goes.
	a.UseRemote(f)
	if _, err := issue(withKey(order(t, certs.Client, "CN=bob"), first.Key.Public())); err == nil ||
		!strings.Contains(err.Error(), "a remote signer wants a request signed with the private key, which is not at hand") {
		t.Errorf("without a request: %v", err)
	}
	o := withKey(order(t, certs.Client, "CN=bob"), first.Key.Public())
	o.Holder = first.Key
	f.change = func(c *x509.Certificate) { c.SerialNumber = big.NewInt(99) }
	if got, err := issue(o); err != nil || got.Key != nil {
		t.Errorf("with the private key: %v", err)
	}
}

func TestDatesThatWereAskedForAreInsistedOn(t *testing.T) {
	f := &fakeSigner{}
	a, _ := remoteAuthority(t, f)
	now := time.Now().UTC().Truncate(time.Second)
	for _, c := range []struct {
		name string
		give time.Duration
		ok   bool
	}{{"as asked", 0, true}, {"a few minutes less", -5 * time.Minute, true}, {"a day less", -24 * time.Hour, false}, {"a day more", 24 * time.Hour, false}} {
		o := order(t, certs.Client, "CN=bob")
		o.NotAfter = now.Add(90 * 24 * time.Hour)
		f.change = func(x *x509.Certificate) { x.NotAfter = x.NotAfter.Add(c.give) }
		p, err := a.Prepare(now, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Issue(context.Background(), p); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if !f.asked.NotAfter.Equal(o.NotAfter) {
			t.Errorf("%s: asked for %v", c.name, f.asked.NotAfter)
		}
	}
}

func TestPurposesThatAreNotCriticalAreWarnedOf(t *testing.T) {
	f := &fakeSigner{change: func(c *x509.Certificate) {
		c.ExtraExtensions, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}}
	a, _ := remoteAuthority(t, f)
	p, err := a.Prepare(time.Now(), order(t, certs.Client, "CN=bob"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Issue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Findings) != 1 || got.Findings[0].Rule != "remote-purpose-not-critical" {
		t.Errorf("findings: %v", got.Findings)
	}
}

func TestPlacesAreKeptAndRead(t *testing.T) {
	for _, p := range []Place{
		{Token: "pkcs11:token=ca;object=root?module-path=/x.so"},
		{Remote: &RemotePlace{URL: "cfssl://h:1", AuthKey: "/k", CA: "/ca", Cert: "/c", Key: "/p", Timeout: "5s"}},
	} {
		text, err := p.marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := unmarshalPlace(text)
		if err != nil || got.String() != p.String() {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, c := range []struct{ text, want string }{
		{`{"schema":1}`, "neither a token nor a remote signer"},
		{`{"schema":2,"token":"pkcs11:"}`, "schema 2 is not one that this program knows: 1"},
		{`{"schema":1,"token":"pkcs11:object=a?pin-value=1"}`, "the token's URI holds a PIN, which does not belong there"},
		{`{"schema":1,"token":"x"}`, "the token's URI: at character 1: it does not begin with pkcs11:"},
		{`{"schema":1,"tokn":"pkcs11:"}`, `json: unknown field "tokn"`},
		{`{"schema":1,"token":"pkcs11:","remote":{"url":"cfssl://h","auth_key":"/k"}}`, "both a token and a remote signer"},
		{`{"schema":1,"remote":{"url":"http://h","auth_key":"/k"}}`, `the signer "http://h": the scheme is "http"; write cfssl://HOST:PORT`},
		{`{"schema":1,"remote":{"url":"cfssl://h","auth_key":"k"}}`, `the file "k" is not absolute`},
		{`{"schema":1,"remote":{"url":"cfssl://h","auth_key":"/k","cert":"/c"}}`, "a TLS certificate and its key go together"},
		{`{"schema":1,"remote":{"url":"cfssl://h","auth_key":"/k","timeout":"1ms"}}`, `the time limit "1ms" is none from 100ms to 1h`},
		{`{"schema":1,"token":"pkcs11:"}x`, "invalid character 'x' after top-level value"},
	} {
		if _, err := unmarshalPlace([]byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// FuzzPlace holds that a signer.json that is read is written so that it is read as the same again, and holds no PIN.
func FuzzPlace(f *testing.F) {
	f.Add([]byte(`{"schema":1,"token":"pkcs11:token=ca;object=root?module-path=/x.so"}`))
	f.Add([]byte(`{"schema":1,"remote":{"url":"cfssl://h:1","auth_key":"/k","ca":"/ca","cert":"/c","key":"/p","timeout":"5s"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := unmarshalPlace(text)
		if err != nil {
			return
		}
		again, err := p.marshal()
		if err != nil {
			t.Fatalf("%s was read and cannot be written: %v", text, err)
		}
		if q, err := unmarshalPlace(again); err != nil || q.String() != p.String() {
			t.Errorf("%s became %s (%v)", text, again, err)
		}
	})
}
