package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// memory is an inventory that can be looked at.
type memory struct {
	sync.Mutex
	entries []inventory.Entry
	fail    error
}

func (m *memory) Record(_ context.Context, es ...inventory.Entry) error {
	m.Lock()
	defer m.Unlock()
	if m.fail == nil {
		m.entries = append(m.entries, es...)
	}
	return m.fail
}

func name(t testing.TB, text string) dn.Name {
	t.Helper()
	n, err := dn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func authority(t testing.TB, policy Policy, options ...testpki.Option) (*Authority, *memory) {
	t.Helper()
	root := testpki.NewCA(t, append([]testpki.Option{testpki.PathLen(0)}, options...)...)
	m := &memory{}
	a, err := New(root.DER, root.Key, policy, m)
	if err != nil {
		t.Fatal(err)
	}
	return a, m
}

func order(t testing.TB, role certs.Role, subject string, hosts ...string) Order {
	t.Helper()
	names, addrs, err := ParseHosts(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return Order{Host: "kvm1", Layout: "libvirt",
		Request: certs.Request{Role: role, Subject: name(t, subject), Names: names, Addresses: addrs}}
}

func issue(t testing.TB, a *Authority, o Order) (Issued, *x509.Certificate) {
	t.Helper()
	p, err := a.Prepare(time.Now(), o)
	if err != nil {
		t.Fatal(err)
	}
	i, err := a.Issue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(i.DER)
	if err != nil {
		t.Fatal(err)
	}
	return i, c
}

func TestAnIssuedCertificateIsWhatWasOrdered(t *testing.T) {
	a, m := authority(t, Policy{})
	// An order that crypto/x509 would rearrange: country last, two OUs.
	o := order(t, certs.Server, "CN=kvm1.example.com,OU=b,OU=a,C=GB", "alias.example.com", "192.0.2.1", "2001:db8::1")
	i, c := issue(t, a, o)
	if string(c.RawSubject) != string(o.Subject.DER()) {
		t.Errorf("subject % x, want % x", c.RawSubject, o.Subject.DER())
	}
	if d := cmp.Diff([]string{"alias.example.com", "kvm1.example.com"}, c.DNSNames); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if got := fmt.Sprint(c.IPAddresses); got != "[192.0.2.1 2001:db8::1]" {
		t.Errorf("addresses %s", got)
	}
	if len(c.Raw) == 0 || c.Version != 3 || c.IsCA || !c.BasicConstraintsValid {
		t.Errorf("version %d, CA %v", c.Version, c.IsCA)
	}
	if n := c.SerialNumber.BitLen(); n != 127 {
		t.Errorf("serial number of %d bits, want 127", n)
	}
	if d := time.Since(c.NotBefore); d < 9*time.Minute || d > 11*time.Minute {
		t.Errorf("begins %v back", d)
	}
	if d := time.Until(c.NotAfter); d < 364*24*time.Hour || d > 366*24*time.Hour {
		t.Errorf("ends in %v", d)
	}
	for _, e := range c.Extensions {
		if oid := e.Id.String(); (oid == "2.5.29.15" || oid == "2.5.29.37" || oid == "2.5.29.19") != e.Critical {
			t.Errorf("extension %s critical: %v", oid, e.Critical)
		}
	}
	if !certs.SameKey(c.PublicKey, i.Key.Public()) {
		t.Error("the key is not the certificate's")
	}
	if err := c.CheckSignatureFrom(a.cert); err != nil {
		t.Error(err)
	}
	want := inventory.Entry{
		Key:  inventory.NewKey(c.SerialNumber, c.AuthorityKeyId),
		Host: "kvm1", Role: certs.Server, Layout: "libvirt", Subject: "CN=kvm1.example.com,OU=b,OU=a,C=GB",
		CommonName: "kvm1.example.com", Names: c.DNSNames, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		KeyID: fmt.Sprintf("%x", c.SubjectKeyId), NotBefore: c.NotBefore, NotAfter: c.NotAfter, PEM: i.PEM(),
		State: inventory.Issued, Created: m.entries[0].Created,
	}
	if d := cmp.Diff([]inventory.Entry{want}, m.entries, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("inventory (-want +got):\n%s", d)
	}
}

func TestKeyUsageFollowsKeyAndVersions(t *testing.T) {
	both := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	for _, tt := range []struct {
		name   string
		policy Policy
		key    certs.KeyAlgorithm
		want   x509.KeyUsage
	}{
		{"RSA everywhere", Policy{}, certs.RSA2048, both},
		{"RSA for new versions", Policy{Libvirt: Since(verify.V12_8)}, certs.RSA2048, both},
		{"ECDSA everywhere", Policy{}, certs.ECDSAP256, both},
		{"Ed25519 everywhere", Policy{}, certs.Ed25519, both},
		{"ECDSA from Debian's 11.3 on", Policy{Libvirt: Since(verify.V11_3)}, certs.ECDSAP384, x509.KeyUsageDigitalSignature},
		{"Ed25519 for new versions", Policy{Libvirt: Since(verify.V12_8)}, certs.Ed25519, x509.KeyUsageDigitalSignature},
		{"strict ECDSA for new versions", Policy{Libvirt: Since(verify.V12_8), StrictKeyUsage: true}, certs.ECDSAP521, x509.KeyUsageDigitalSignature},
		{"strict RSA everywhere", Policy{StrictKeyUsage: true}, certs.RSA2048, both},
	} {
		a, _ := authority(t, tt.policy)
		o := order(t, certs.Peer, "CN=kvm1.example.com")
		o.Key = tt.key
		_, c := issue(t, a, o)
		if c.KeyUsage != tt.want {
			t.Errorf("%s: key usage %b, want %b", tt.name, c.KeyUsage, tt.want)
		}
		if got, _ := certs.AlgorithmOf(c.PublicKey); got != tt.key {
			t.Errorf("%s: key %s, want %s", tt.name, got, tt.key)
		}
	}
}

func TestPurposesFollowTheRole(t *testing.T) {
	a, _ := authority(t, Policy{})
	for role, want := range map[certs.Role][]x509.ExtKeyUsage{
		certs.Server: {x509.ExtKeyUsageServerAuth},
		certs.Client: {x509.ExtKeyUsageClientAuth},
		certs.Peer:   {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	} {
		_, c := issue(t, a, order(t, role, "CN=kvm1"))
		if d := cmp.Diff(want, c.ExtKeyUsage); d != "" {
			t.Errorf("%v (-want +got):\n%s", role, d)
		}
		if role == certs.Client && len(c.DNSNames) != 0 {
			t.Errorf("a client's CN became a name: %v", c.DNSNames)
		}
	}
}

func TestStrictKeyUsageIsRefusedForOldVersions(t *testing.T) {
	a, m := authority(t, Policy{StrictKeyUsage: true})
	_, err := a.Prepare(time.Now(), order(t, certs.Server, "CN=kvm1"))
	var refused *VersionError
	if !errors.As(err, &refused) || refused.Version != verify.V9_0 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"libvirt 9.0.0 would refuse this server certificate: ",
		`(libvirt: "Certificate servercert.pem usage does not permit key encipherment")`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q lacks %q", err, part)
		}
	}
	if len(refused.Hints()) == 0 || len(m.entries) != 0 {
		t.Errorf("hints %v, %d entries", refused.Hints(), len(m.entries))
	}
}

func TestBadOrdersAreRefusedBeforeSigning(t *testing.T) {
	now := time.Now()
	limits := testpki.Change(func(c *x509.Certificate) {
		k := Constraints{PermittedNames: []string{"example.com"}, ExcludedNames: []string{"secret.example.com"},
			PermittedNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		k.apply(c)
	})
	server := func(hosts ...string) Order { return order(t, certs.Server, "CN=Some Server", hosts...) }
	for _, tt := range []struct {
		name    string
		options []testpki.Option
		order   Order
		at      time.Time
		want    string
	}{
		{"no subject", nil, Order{Request: certs.Request{Role: certs.Client}}, now, "the subject is empty"},
		{"no role", nil, Order{Request: certs.Request{Subject: name(t, "CN=x")}}, now, "no role role(0): server, client or peer"},
		{"a server without a name", nil, server(), now,
			`"Some Server" is no host: a server needs a name or an address that clients connect to`},
		{"a name outside the constraints", []testpki.Option{limits}, server("kvm1.example.org"), now,
			`"kvm1.example.org" is outside the CA's name constraints (permitted: example.com)`},
		{"a name like a permitted one", []testpki.Option{limits}, server("badexample.com"), now,
			`"badexample.com" is outside the CA's name constraints (permitted: example.com)`},
		{"an excluded name", []testpki.Option{limits}, server("a.secret.example.com"), now,
			`"a.secret.example.com" is excluded by the CA's name constraint "secret.example.com"`},
		{"a wildcard over an excluded name", []testpki.Option{limits}, server("*.example.com"), now,
			`"*.example.com" is excluded by the CA's name constraint "secret.example.com"`},
		{"an address outside the constraints", []testpki.Option{limits}, server("kvm1.example.com", "198.51.100.1"), now,
			`"198.51.100.1" is outside the CA's name constraints (permitted: 192.0.2.0/24)`},
		{"an expired CA", []testpki.Option{testpki.Valid(date(2020), date(2021))}, server("h"), now,
			"the CA certificate has ended on 2021-01-01 00:00:00 UTC"},
		{"a clock before the CA", []testpki.Option{testpki.Valid(date(2020), date(2030))}, server("h"), date(2019),
			"the CA certificate begins on 2020-01-01 00:00:00 UTC, and it is 2019-01-01 00:00:00 UTC"},
		{"an end in the past", []testpki.Option{testpki.Valid(date(2020), date(2030))}, until(server("h"), date(2021)), date(2022),
			"the certificate would have ended on 2021-01-01 00:00:00 UTC"},
		{"a weak key", nil, withKey(server("h"), testpki.NewCA(t, testpki.Key(testpki.RSA1024)).Key.Public()), now,
			"RSA-1024 key: fewer than 2048 bits are weak"},
		{"P-224", nil, withKey(server("h"), testpki.NewCA(t, testpki.Key(testpki.ECDSAP224)).Key.Public()), now,
			"ECDSA P-224 key: this curve is weak or not used in TLS"},
		{"an unknown key", nil, keyed(server("h"), "dsa"), now, ""},
	} {
		a, m := authority(t, Policy{}, tt.options...)
		_, err := a.Prepare(tt.at, tt.order)
		if err == nil || tt.want != "" && err.Error() != tt.want {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
		if len(m.entries) > 0 {
			t.Errorf("%s: recorded", tt.name)
		}
	}
}

func date(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }

func until(o Order, at time.Time) Order                 { o.NotAfter = at; return o }
func withKey(o Order, public crypto.PublicKey) Order    { o.Public = public; return o }
func keyed(o Order, algorithm certs.KeyAlgorithm) Order { o.Key = algorithm; return o }

func TestSubjectsThatEndADaemonAreRefused(t *testing.T) {
	a, _ := authority(t, Policy{})
	for _, tt := range []struct{ name, der string }{
		{"empty RDN", "\x30\x02\x31\x00"},
		{"empty RDN beside a good one", "\x30\x0e\x31\x00\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x"},
		{"invalid UTF-8", "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xc3"},
		{"invalid UTF-8 as PrintableString", "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x13\x01\xc3"},
		{"empty value", "\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x00"},
	} {
		n, err := dn.FromDER([]byte(tt.der))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		_, err = a.Prepare(time.Now(), Order{Request: certs.Request{Role: certs.Client, Subject: n}})
		var subject *SubjectError
		if !errors.As(err, &subject) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

func TestACertificateEndsWithItsCA(t *testing.T) {
	end := time.Now().AddDate(0, 1, 0).UTC().Truncate(time.Second)
	a, _ := authority(t, Policy{}, testpki.Valid(time.Now().Add(-time.Minute), end))
	i, c := issue(t, a, order(t, certs.Server, "CN=kvm1"))
	if !c.NotAfter.Equal(end) || c.NotBefore.Before(a.NotBefore()) {
		t.Errorf("from %v to %v", c.NotBefore, c.NotAfter)
	}
	if len(i.Findings) != 1 || i.Findings[0].Rule != "identity-ends-with-authority" {
		t.Errorf("findings %+v", i.Findings)
	}
}

func TestAPreparedIsGoodForOneCertificate(t *testing.T) {
	a, m := authority(t, Policy{})
	p, err := a.Prepare(time.Now(), order(t, certs.Client, "CN=admin"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := authority(t, Policy{})
	if _, err := other.Issue(context.Background(), p); err == nil {
		t.Error("another authority signed it")
	}
	if _, err := a.Issue(context.Background(), p); err != nil {
		t.Error(err)
	}
	if _, err := a.Issue(context.Background(), p); !errors.Is(err, ErrSpent) {
		t.Errorf("second time: %v", err)
	}
	if len(m.entries) != 1 {
		t.Errorf("%d entries", len(m.entries))
	}
}

func TestNothingIsGivenOutThatIsNotRecorded(t *testing.T) {
	a, m := authority(t, Policy{})
	m.fail = errors.New("disk full")
	p, err := a.Prepare(time.Now(), order(t, certs.Client, "CN=admin"))
	if err != nil {
		t.Fatal(err)
	}
	if i, err := a.Issue(context.Background(), p); !errors.Is(err, m.fail) || i.DER != nil || i.Key != nil {
		t.Errorf("got %v, %v", i, err)
	}
}

func TestALockedAuthorityPreparesAndDoesNotIssue(t *testing.T) {
	root := testpki.NewCA(t)
	a, err := New(root.DER, nil, Policy{}, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Prepare(time.Now(), order(t, certs.Client, "CN=admin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(context.Background(), p); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := a.setKey(testpki.NewCA(t).Key); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("another key: %v", err)
	}
}

func TestManyAreIssuedAtOnceOrNone(t *testing.T) {
	a, m := authority(t, Policy{})
	var orders []Order
	for i := range 100 {
		o := order(t, certs.Role(i%3+1), fmt.Sprintf("CN=kvm%d.example.com", i))
		o.Host = fmt.Sprintf("kvm%d", i)
		orders = append(orders, o)
	}
	ps, err := a.PrepareAll(time.Now(), orders)
	if err != nil {
		t.Fatal(err)
	}
	var top int
	var mu sync.Mutex
	all, err := a.IssueAll(context.Background(), ps, func(done int) { mu.Lock(); top = max(top, done); mu.Unlock() })
	if err != nil || len(all) != 100 || len(m.entries) != 100 || top != 100 {
		t.Fatalf("%d issued, %d recorded, progress %d, %v", len(all), len(m.entries), top, err)
	}
	serials := map[string]bool{}
	for i, one := range all {
		serials[one.Entry.Serial] = true
		if one.Order.Host != orders[i].Host {
			t.Errorf("number %d is of %s", i, one.Order.Host)
		}
	}
	if len(serials) != 100 {
		t.Errorf("%d serial numbers", len(serials))
	}

	orders[3].Subject, orders[7].Names = dn.Name{}, []string{"a b"}
	_, err = a.PrepareAll(time.Now(), orders)
	if err == nil || err.Error() != `server "kvm3": the subject is empty`+"\n"+`client "kvm7": "a b" is no host: it holds a character that no host name has` {
		t.Errorf("got %v", err)
	}

	ps, err = a.PrepareAll(time.Now(), orders[20:])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.IssueAll(ctx, ps, nil); !errors.Is(err, context.Canceled) || len(m.entries) != 100 {
		t.Errorf("canceled: %v, %d entries", err, len(m.entries))
	}
}

func TestCertificatesThatAreNoCAAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option testpki.Option
		want   string
	}{
		{"CA:FALSE", testpki.BasicConstraints(true, false, -1), `the certificate "CN=Test CA" is no CA: its basicConstraints say CA:FALSE`},
		{"no basicConstraints", testpki.NoBasicConstraints(), `the certificate "CN=Test CA" is no CA: it has no basicConstraints`},
		{"no keyCertSign", testpki.KeyUsage(true, x509.KeyUsageCRLSign),
			`the certificate "CN=Test CA" may not sign certificates: its keyUsage lacks keyCertSign`},
		{"weak key", testpki.Key(testpki.RSA1024), `the CA certificate "CN=Test CA": RSA-1024 key: fewer than 2048 bits are weak`},
	} {
		root := testpki.NewCA(t, tt.option)
		if _, err := New(root.DER, root.Key, Policy{}, &memory{}); err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
	}
}

func TestEveryKindOfCAKeyIssues(t *testing.T) {
	for _, kind := range []string{testpki.RSA2048, testpki.RSA3072, testpki.ECDSAP256, testpki.ECDSAP384, testpki.ECDSAP521, testpki.Ed25519} {
		a, _ := authority(t, Policy{}, testpki.Key(kind))
		_, c := issue(t, a, order(t, certs.Peer, "CN=kvm1"))
		if err := c.CheckSignatureFrom(a.cert); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// BenchmarkBare and BenchmarkIssue are to be compared in one run: both report the time for one identity with all
// processors at work. The issue demands at least half of the bare rate.
func BenchmarkBare(b *testing.B) {
	root := testpki.NewCA(b)
	parent := root.X509()
	const batch = 500
	for b.Loop() {
		if err := workers.Do(context.Background(), batch, runtime.GOMAXPROCS(0), func(i int) error {
			key, err := certs.GenerateKey(certs.ECDSAP256)
			if err != nil {
				return err
			}
			serial, _ := newSerial()
			_, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, NotBefore: parent.NotBefore,
				NotAfter: parent.NotAfter, DNSNames: []string{"kvm1.example.com"}, KeyUsage: x509.KeyUsageDigitalSignature},
				parent, key.Public(), root.Key)
			return err
		}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(batch*b.N), "µs/identity")
}

// BenchmarkIssue makes what a new cluster of 250 hosts needs, in a new authority.
func BenchmarkIssue(b *testing.B) {
	ctx := context.Background()
	root := testpki.NewCA(b)
	const batch = 500
	orders := make([]Order, batch)
	for i := range orders {
		orders[i] = order(b, certs.Role(i%2+1), fmt.Sprintf("C=GB,O=Example,CN=kvm%d.example.com", i/2), "192.0.2.1")
	}
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		inv, err := inventory.Create(ctx, fmt.Sprintf("%s/%d.db", b.TempDir(), n))
		if err != nil {
			b.Fatal(err)
		}
		a, err := New(root.DER, root.Key, Policy{}, inv)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		ps, err := a.PrepareAll(time.Now(), orders)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.IssueAll(ctx, ps, nil); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		inv.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(batch*b.N), "µs/identity")
}
