package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// load takes identities of testpki into a Config.
func load(t testing.TB, id *testpki.Identity, cas ...*testpki.CA) Config {
	t.Helper()
	c := Config{Host: "localhost", Libvirt: verify.V9_0, At: time.Now()}
	if id != nil {
		chain, err := certs.ImportPEMList(id.ChainPEM(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Chain, c.Key = chain, id.Key
	}
	for _, ca := range cas {
		cert, err := certs.Import(ca.DER)
		if err != nil {
			t.Fatal(err)
		}
		c.CAs = append(c.CAs, cert)
	}
	return c
}

func list(t testing.TB, patterns ...string) *dnmatch.List {
	t.Helper()
	l, err := dnmatch.NewList(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A half is one end, as it is written into files for real programs and taken into a Config for ours.
type half struct {
	id   *testpki.Identity
	cas  []*testpki.CA
	crls [][]byte
	// allowed is tls_allowed_dn_list; nil: none.
	allowed  []string
	noVerify bool
	libvirt  verify.Version
	host     string
	min, max uint16
}

func (h half) config(t testing.TB) Config {
	t.Helper()
	c := load(t, h.id, h.cas...)
	c.CRLs, c.NoVerify, c.MinVersion, c.MaxVersion = h.crls, h.noVerify, h.min, h.max
	if h.allowed != nil {
		c.Allowed = list(t, h.allowed...)
	}
	if h.libvirt != (verify.Version{}) {
		c.Libvirt = h.libvirt
	}
	if h.host != "" {
		c.Host = h.host
	}
	return c
}

// A pairing is two ends and what becomes of them.
type pairing struct {
	name           string
	client, server half
	outcome        finding.Outcome
	cause          string // rule
	// what the user of virsh sees, and the cause in the log of the end that refuses
	message, reason string
}

func pairings(t testing.TB) []pairing {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	twin := testpki.NewCA(t) // same name, another key
	server, client := ca.Server("localhost"), ca.Client("admin")
	end := func(id *testpki.Identity, ca *testpki.CA, change ...func(*half)) half {
		h := half{id: id, cas: []*testpki.CA{ca}}
		for _, f := range change {
			f(&h)
		}
		return h
	}
	goodClient, good := end(client, ca), end(server, ca)
	const refused, noCert = msgNoByte, "Unable to verify TLS peer: No certificate was found."
	const failed = "Certificate failed validation: "
	const dnText = "Client's Distinguished Name is not on the list of allowed clients (tls_allowed_dn_list).  Use 'virt-pki-query-dn " +
		"clientcert.pem' to view the Distinguished Name field in the client certificate, or run this daemon with --verbose option."
	usage, purpose := testpki.KeyUsage, testpki.Purpose
	inter := ca.Intermediate("Intermediate")
	both := func(f func(*half)) (half, half) { return end(client, ca, f), end(server, ca, f) }
	tls12c, tls12s := both(func(h *half) { h.max = tls.VersionTLS12 })
	behind := func(h *half) { h.noVerify = true }
	deep := end(inter.Server("localhost"), ca)
	return []pairing{
		{"both are good", goodClient, good, finding.Connected, "", "", ""},
		{"TLS 1.2 only", tls12c, tls12s, finding.Connected, "", "", ""},
		{"no common version", tls12c, end(server, ca, func(h *half) { h.min = tls.VersionTLS13 }), finding.HandshakeFails, "tls-handshake-failed",
			msgTerminated, msgTerminated},
		{"the server has no identity", goodClient, end(nil, ca), finding.HandshakeFails, "tls-handshake-failed", msgTerminated, msgTerminated},
		{"the client has no identity", end(nil, ca), good, finding.ServerRejectsClient, "no-client-identity", refused, noCert},
		{"the client's CA is unknown to the server, so it does not send", end(other.Client("admin"), ca), good, finding.ServerRejectsClient,
			"client-certificate-not-sent", refused, noCert},
		{"the client's CA has the server's CA's name", end(twin.Client("admin"), ca), good, finding.ServerRejectsClient, "unknown-issuer", refused,
			failed + "The certificate hasn't got a known issuer."},
		{"the client is expired", end(ca.Client("late", testpki.Expired()), ca), good, finding.ServerRejectsClient, "certificate-expired", refused,
			failed + "The certificate is not trusted."},
		{"the client is expired, TLS 1.2", end(ca.Client("late", testpki.Expired()), ca, func(h *half) { h.max = tls.VersionTLS12 }), good,
			finding.ServerRejectsClient, "certificate-expired", refused, failed + "The certificate is not trusted."},
		{"the client is of tomorrow", end(ca.Client("early", testpki.NotYetValid()), ca), good, finding.ServerRejectsClient, "certificate-not-yet-valid",
			refused, failed + "The certificate is not trusted."},
		{"the server is expired", goodClient, end(ca.Server("localhost", testpki.Expired()), ca), finding.ClientRejectsServer, "certificate-expired",
			msgVerify, failed + "The certificate is not trusted."},
		{"the server's CA is unknown to the client", end(client, other), good, finding.ClientRejectsServer, "unknown-issuer", msgVerify,
			failed + "The certificate hasn't got a known issuer."},
		{"the host is another", goodClient, end(ca.Server("kvm2.example.com"), ca), finding.ClientRejectsServer, "host-mismatch", msgVerify,
			"Certificate [session] owner does not match the hostname localhost"},
		{"no_verify takes any host", end(client, ca, behind), end(ca.Server("kvm2.example.com"), ca), finding.Connected, "", "", ""},
		{"the client is revoked", goodClient, end(server, ca, func(h *half) { h.crls = [][]byte{ca.CRL(1, client)} }), finding.ServerRejectsClient,
			"certificate-revoked", refused, failed + "The certificate has been revoked."},
		{"another is revoked", goodClient, end(server, ca, func(h *half) { h.crls = [][]byte{ca.CRL(1, server)} }), finding.Connected, "", "", ""},
		{"the server is revoked for the client", end(client, ca, func(h *half) { h.crls = [][]byte{ca.CRL(1, server)} }), good,
			finding.ClientRejectsServer, "certificate-revoked", msgVerify, failed + "The certificate has been revoked."},
		{"a list of the same name but another key revokes, too", goodClient, end(server, ca, func(h *half) { h.crls = [][]byte{twin.CRL(1, client)} }),
			finding.ServerRejectsClient, "certificate-revoked", refused, failed + "The certificate has been revoked."},
		{"another CA's list does not", goodClient, end(server, ca, func(h *half) { h.crls = [][]byte{other.CRL(1, client)} }), finding.Connected, "", "", ""},
		{"the name is on the list", goodClient, end(server, ca, func(h *half) { h.allowed = []string{"CN=other", "CN=adm*"} }), finding.Connected, "", "", ""},
		{"the name is not on the list", goodClient, end(server, ca, func(h *half) { h.allowed = []string{"CN=other"} }), finding.ServerRejectsClient,
			"dn-not-allowed", refused, dnText},
		{"the list is empty", goodClient, end(server, ca, func(h *half) { h.allowed = []string{} }), finding.ServerRejectsClient, "dn-not-allowed", refused, dnText},
		{"tls_no_verify_certificate also opens the list", goodClient, end(server, ca, behind, func(h *half) { h.allowed = []string{} }),
			finding.Connected, "", "", ""},
		{"tls_no_verify_certificate lets in who sends nothing", end(nil, ca), end(server, ca, behind), finding.Connected, "", "", ""},
		{"a critical clientAuth in the server", goodClient, end(ca.Server("localhost", purpose(true, testpki.OIDClientAuth)), ca),
			finding.ClientRejectsServer, "wrong-purpose", msgVerify, "Certificate [session] purpose does not allow use for with a TLS server"},
		{"a non-critical one", goodClient, end(ca.Server("localhost", purpose(false, testpki.OIDClientAuth)), ca), finding.Connected, "", "", ""},
		{"a critical anyExtendedKeyUsage in the client", end(ca.Client("admin", purpose(true, testpki.OIDAnyPurpose)), ca), good,
			finding.ServerRejectsClient, "wrong-purpose", refused, "Certificate [session] purpose does not allow use for with a TLS client"},
		{"a critical codeSigning in the client", end(ca.Client("admin", purpose(true, testpki.OIDCodeSigning)), ca), good, finding.Connected, "", "", ""},
		{"digitalSignature alone, critical", end(ca.Client("admin", usage(true, x509.KeyUsageDigitalSignature)), ca), good,
			finding.ServerRejectsClient, "no-key-encipherment", refused, "Certificate [session] usage does not permit key encipherment"},
		{"the same for 12.8", end(ca.Client("admin", usage(true, x509.KeyUsageDigitalSignature)), ca),
			end(server, ca, func(h *half) { h.libvirt = verify.V12_8 }), finding.Connected, "", "", ""},
		{"keyEncipherment alone is not sent", end(ca.Client("admin", usage(false, x509.KeyUsageKeyEncipherment)), ca), good,
			finding.ServerRejectsClient, "client-certificate-not-sent", refused, noCert},
		{"an empty subject in the client", end(ca.Client("x", testpki.EmptySubject()), ca), good, finding.ServerRejectsClient, "no-subject", refused,
			"Failed to get certificate [session] distinguished name: The requested data were not available."},
		{"an empty subject in the server", goodClient, end(ca.Server("localhost", testpki.EmptySubject()), ca), finding.ClientRejectsServer,
			"no-subject", msgVerify, "Failed to get certificate [session] distinguished name: The requested data were not available."},
		{"an intermediate on the wire", end(inter.Client("admin"), ca), deep, finding.Connected, "", "", ""},
		{"a CA as client", end(ca.Client("admin", testpki.BasicConstraints(true, true, -1)), ca), good, finding.ServerRejectsClient, "leaf-is-ca", refused,
			"The certificate [session] basic constraints show a CA, but we need one for a client"},
		{"a broken signature in the client", end(ca.Client("admin", testpki.BadSignature()), ca), good, finding.ServerRejectsClient, "signature-wrong",
			refused, failed + "The certificate is not trusted."},
		{"a CA that may not sign", end(client, ca), end(testpki.NewCA(t, testpki.CN("No Sign"), usage(true, x509.KeyUsageCRLSign)).Server("localhost"), ca),
			finding.ClientRejectsServer, "unknown-issuer", msgVerify, failed + "The certificate hasn't got a known issuer."},
		{"Ed25519", end(ca.Client("admin", testpki.Key(testpki.Ed25519)), ca), end(ca.Server("localhost", testpki.Key(testpki.Ed25519)), ca),
			finding.Connected, "", "", ""},
		{"RSA", end(ca.Client("admin", testpki.Key(testpki.RSA2048)), ca), end(ca.Server("localhost", testpki.Key(testpki.RSA2048)), ca),
			finding.Connected, "", "", ""},
		{"P-521", end(ca.Client("admin", testpki.Key(testpki.ECDSAP521)), ca), end(ca.Server("localhost", testpki.Key(testpki.ECDSAP521)), ca),
			finding.Connected, "", "", ""},
		{"RSA with 1024 bits is enough for GnuTLS", end(ca.Client("admin", testpki.Key(testpki.RSA1024)), ca), good, finding.Connected, "", "", ""},
		{"a client of version 1", end(ca.Client("admin", testpki.Version1()), ca), good, finding.Connected, "", "", ""},
	}
}

func TestPair(t *testing.T) {
	for _, p := range pairings(t) {
		t.Run(p.name, func(t *testing.T) {
			client, server := p.client.config(t), p.server.config(t)
			real, err := Pair(t.Context(), client, server)
			if err != nil {
				t.Fatal(err)
			}
			said, err := Judge(client, server)
			if err != nil {
				t.Fatal(err)
			}
			for name, r := range map[string]Result{"Pair": real, "Judge": said} {
				cause, _ := r.Cause()
				if r.Outcome != p.outcome || cause.Rule != p.cause || r.LibvirtMessage() != p.message {
					t.Errorf("%s: %s because of %q (%s), message %q; want %s, %q, %q", name, r.Outcome, cause.Rule, cause.Message,
						r.LibvirtMessage(), p.outcome, p.cause, p.message)
				}
				if p.reason != "" && p.reason != "?" && cause.LibvirtMessage != p.reason && cause.Rule != "no-client-identity" {
					t.Errorf("%s: libvirt's reason %q, want %q", name, cause.LibvirtMessage, p.reason)
				}
			}
		})
	}
}

func TestTranscriptsShowWhatEachEndSaw(t *testing.T) {
	ca := testpki.NewCA(t)
	r, err := Pair(t.Context(), load(t, ca.Client("admin"), ca), load(t, ca.Server("localhost"), ca))
	if err != nil || r.Outcome != finding.Connected {
		t.Fatal(r.Outcome, err)
	}
	c, s := r.Client, r.Server
	if c.Version != "TLS1.3" || c.Group != "SECP256R1" || c.Suite == "" || c.Suite != s.Suite {
		t.Errorf("version %q, group %q, suites %q and %q", c.Version, c.Group, c.Suite, s.Suite)
	}
	if len(c.CANames) != 1 || !c.Sent || !c.Byte || !s.Byte || !s.Sent || len(s.PeerChain) != 1 || len(c.PeerChain) != 1 || c.Simulated {
		t.Errorf("client %+v, server %+v", c, s)
	}
	for _, tr := range []*Transcript{c, s} {
		if len(tr.Stages) != 3 || tr.Stages[0].Name != "tls" || tr.Stages[1].Name != "peer" || tr.Stages[2].Name != "byte" {
			t.Errorf("stages %+v", tr.Stages)
		}
	}
	if name, err := c.CANames[0].Text(); err != nil || name != "CN=Test CA" {
		t.Errorf("CA %q, %v", name, err)
	}
}

func TestKeysThatCryptoTLSCannotUseAreJudgedWithoutIt(t *testing.T) {
	ca := testpki.NewCA(t)
	client := load(t, ca.Client("admin"), ca)
	client.Keyless, client.Key = true, nil
	r, err := Pair(t.Context(), client, load(t, ca.Server("localhost"), ca))
	if err != nil || r.Outcome != finding.Connected || !r.Client.Simulated {
		t.Errorf("without key: %v, %v, %+v", r.Outcome, err, r.Client)
	}
	if _, _, err := Client(t.Context(), &end{in: newStream(), out: newStream()}, client); err == nil ||
		err.Error() != "preparing a client's handshake: the private key of the certificate is not at hand" {
		t.Errorf("a real connection without key: %v", err)
	}
}

func TestASilentServerHangsUntilTheContextEnds(t *testing.T) {
	ca := testpki.NewCA(t)
	a, b := pipe()
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, tr, err := Client(ctx, a, load(t, ca.Client("admin"), ca))
	if err != nil || tr.Outcome != finding.Hangs {
		t.Errorf("%v, %v", tr.Outcome, err)
	}
}

func TestAServerThatNeverConfirmsHangs(t *testing.T) {
	ca := testpki.NewCA(t)
	for _, tickets := range []bool{false, true} {
		a, b := pipe()
		server := load(t, ca.Server("localhost"), ca)
		go func() {
			s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{*server.identity()}, ClientAuth: tls.RequestClientCert,
				SessionTicketsDisabled: !tickets})
			_ = s.Handshake()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, tr, err := Client(ctx, a, load(t, ca.Client("admin"), ca))
		cancel()
		b.Close()
		want, message := finding.Hangs, ""
		if tickets {
			want, message = finding.ServerRejectsClient, "Unable to read TLS confirmation: Resource temporarily unavailable"
		}
		if err != nil || tr.Outcome != want || tr.LibvirtMessage != message {
			t.Errorf("tickets %v: %v %q, %v", tickets, tr.Outcome, tr.LibvirtMessage, err)
		}
	}
}

func TestAnotherByteAndAGoodbyeAreNoConfirmation(t *testing.T) {
	ca := testpki.NewCA(t)
	for name, c := range map[string]struct {
		act     func(*tls.Conn)
		message string
	}{
		"another byte": {func(s *tls.Conn) { _, _ = s.Write([]byte("H")) }, "server verification (of our certificate or IP address) failed"},
		"close_notify": {func(s *tls.Conn) { _ = s.Close() }, "server verification (of our certificate or IP address) failed"},
		"plain close":  {func(s *tls.Conn) { _ = s.NetConn().Close() }, "Unable to read TLS confirmation: Input/output error"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			a, b := pipe()
			server := load(t, ca.Server("localhost"), ca)
			go func() {
				s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{*server.identity()}, ClientAuth: tls.RequestClientCert,
					SessionTicketsDisabled: true, MaxVersion: version})
				if s.Handshake() == nil {
					c.act(s)
				}
			}()
			_, tr, err := Client(t.Context(), a, load(t, ca.Client("admin"), ca))
			b.Close()
			if err != nil || tr.Outcome != finding.ServerRejectsClient || tr.LibvirtMessage != c.message {
				t.Errorf("%s, %s: %v %q, %v", name, tls.VersionName(version), tr.Outcome, tr.LibvirtMessage, err)
			}
		}
	}
}

func TestWhatIsNotTLSIsAFailedHandshake(t *testing.T) {
	ca := testpki.NewCA(t)
	a, b := pipe()
	go func() { _, _ = io.WriteString(b, "HTTP/1.0 400 Bad Request\r\n\r\n") }()
	_, tr, err := Client(t.Context(), a, load(t, ca.Client("admin"), ca))
	b.Close()
	if err != nil || tr.Outcome != finding.HandshakeFails || tr.LibvirtMessage != msgUnexpected {
		t.Errorf("%v %q, %v", tr.Outcome, tr.LibvirtMessage, err)
	}
}

// TestARefusalIsAPlainClose looks at the bytes: after the handshake the server sends nothing.
func TestARefusalIsAPlainClose(t *testing.T) {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other"))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server := load(t, ca.Server("localhost"), ca)
			server.MaxVersion = version
			_, _, _ = Server(context.Background(), conn, server)
		}()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client := load(t, other.Client("admin"), ca)
		w := newWire(conn)
		c := tls.Client(w, &tls.Config{InsecureSkipVerify: true})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		seen := w.in
		rest, err := io.ReadAll(conn)
		if err != nil || len(rest) != 0 || w.in != seen {
			t.Errorf("%s: %d bytes after the handshake, %v", tls.VersionName(version), len(rest), err)
		}
		l.Close()
		_ = client
	}
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	ps := pairings(t)
	type pair struct{ client, server Config }
	var configs []pair
	for _, p := range ps {
		configs = append(configs, pair{p.client.config(t), p.server.config(t)})
	}
	before := runtime.NumGoroutine()
	for range 3 {
		for _, p := range configs {
			if _, err := Pair(t.Context(), p.client, p.server); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

func TestEveryRuleOfThisPackageIsWhole(t *testing.T) {
	for _, r := range Rules() {
		if r.Title == "" || r.Text == "" || r.Good == "" || r.Bad == "" || r.Source == "" || r.Remedy == "" || strings.ContainsAny(r.ID, " _") {
			t.Errorf("rule %+v", r)
		}
	}
	if _, err := finding.NewCatalogue(Rules(), verify.Rules()); err != nil {
		t.Error(err)
	}
}

func BenchmarkPair(b *testing.B) {
	ca := testpki.NewCA(b)
	client, server := load(b, ca.Client("admin"), ca), load(b, ca.Server("localhost"), ca)
	b.Run("Pair", func(b *testing.B) {
		for b.Loop() {
			r, err := Pair(b.Context(), client, server)
			if err != nil || r.Outcome != finding.Connected {
				b.Fatal(r.Outcome, err)
			}
		}
	})
	// A thousand clients of one server share what they know of its certificate.
	mc, ms := client, server
	mc.Memory, ms.Memory = &verify.Memory{}, &verify.Memory{}
	b.Run("Pair-memory", func(b *testing.B) {
		for b.Loop() {
			r, err := Pair(b.Context(), mc, ms)
			if err != nil || r.Outcome != finding.Connected {
				b.Fatal(r.Outcome, err)
			}
		}
	})
	// The comparison: crypto/tls alone, both ends verifying the other with crypto/x509.
	roots := x509.NewCertPool()
	roots.AddCert(ca.X509())
	cc := &tls.Config{Certificates: []tls.Certificate{*client.identity()}, RootCAs: roots, ServerName: "localhost", CurvePreferences: curves}
	sc := &tls.Config{Certificates: []tls.Certificate{*server.identity()}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		SessionTicketsDisabled: true}
	bare := func(b *testing.B, cc, sc *tls.Config) {
		for b.Loop() {
			x, y := pipe()
			done := make(chan error, 1)
			go func() {
				s := tls.Server(y, sc)
				err := s.Handshake()
				if err == nil {
					_, err = s.Write([]byte{1})
				}
				done <- err
			}()
			c := tls.Client(x, cc)
			if err := c.Handshake(); err != nil {
				b.Fatal(err)
			}
			var buf [1]byte
			if _, err := io.ReadFull(c, buf[:]); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("crypto-tls", func(b *testing.B) { bare(b, cc, sc) })
	// And without any verification, which no use of TLS would be.
	nc, ns := cc.Clone(), sc.Clone()
	nc.InsecureSkipVerify, ns.ClientAuth = true, tls.RequestClientCert
	b.Run("crypto-tls-unverified", func(b *testing.B) { bare(b, nc, ns) })
}
