package handshake

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// write puts one end's files where libvirt's pkipath and peer.Options look for them.
func (h half) write(t testing.TB, dir, role string) {
	t.Helper()
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var cas []byte
	for _, ca := range h.cas {
		cas = append(cas, ca.CertPEM()...)
	}
	put("cacert.pem", cas)
	var lists []byte
	for _, der := range h.crls {
		lists = append(lists, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	if lists != nil {
		put("cacrl.pem", lists)
	}
	if h.id != nil {
		put(role+"cert.pem", h.id.ChainPEM())
		put(role+"key.pem", h.id.KeyPEM())
	}
}

// priority is the end's TLS versions as a GnuTLS priority string; "" for the default.
func (h half) priority() string {
	switch {
	case h.max == tls.VersionTLS12:
		return "NORMAL:-VERS-TLS1.3"
	case h.min == tls.VersionTLS13:
		return "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	}
	return ""
}

// daemon starts a real libvirtd with this end's files. Its own sanity check is off: it is the connection that is looked at.
func (h half) daemon(t testing.TB) *peer.Libvirtd {
	t.Helper()
	dir := peer.Dir(t)
	h.write(t, dir, "server")
	conf := []string{"tls_no_sanity_certificate = 1"}
	if h.allowed != nil {
		conf = append(conf, `tls_allowed_dn_list = [`+quoted(h.allowed)+`]`)
	}
	if h.noVerify {
		conf = append(conf, "tls_no_verify_certificate = 1")
	}
	if p := h.priority(); p != "" {
		conf = append(conf, `tls_priority = "`+p+`"`)
	}
	return peer.Start(t, peer.Options{Dir: dir, Conf: conf}).MustBeReady(t)
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, `"`+s+`"`)
	}
	return strings.Join(out, ", ")
}

// parameters are those of the URI for virsh.
func (h half) parameters(t testing.TB) []string {
	t.Helper()
	dir := peer.Dir(t)
	h.write(t, dir, "client")
	out := []string{"pkipath=" + dir, "no_sanity=1"}
	if h.noVerify {
		out = append(out, "no_verify=1")
	}
	if p := h.priority(); p != "" {
		out = append(out, "tls_priority="+p)
	}
	return out
}

// realPairings are those that a libvirt 9.0.0 can play.
func realPairings(t *testing.T) []pairing {
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	var out []pairing
	for _, p := range pairings(t) {
		if p.server.id != nil && p.server.libvirt == p.client.libvirt {
			out = append(out, p)
		}
	}
	return out
}

// virshOutcome reads virsh's result.
func virshOutcome(r peer.Result) (finding.Outcome, string) {
	text := strings.TrimSpace(r.Stderr)
	last := text[strings.LastIndexByte(text, '\n')+1:]
	message := strings.TrimPrefix(last, "error: ")
	switch {
	case r.Exit == 0:
		return finding.Connected, ""
	case message == msgVerify:
		return finding.ClientRejectsServer, message
	case message == msgNoByte:
		return finding.ServerRejectsClient, message
	case strings.HasPrefix(message, msgHandshake):
		return finding.HandshakeFails, message
	}
	return finding.Outcome("virsh: " + text), message
}

// TestRealLibvirt connects each pairing in all four ways: virsh and libvirtd, our client and libvirtd, virsh and our
// server, and both ours. Outcome and message must be the same, and libvirtd's log must name our cause.
func TestRealLibvirt(t *testing.T) {
	for _, p := range realPairings(t) {
		t.Run(p.name, func(t *testing.T) {
			d := p.server.daemon(t)
			params := p.client.parameters(t)
			check := func(who string, o finding.Outcome, message string) {
				t.Helper()
				if o != p.outcome || o != finding.HandshakeFails && message != p.message {
					t.Errorf("%s: %s %q, predicted %s %q", who, o, message, p.outcome, p.message)
				}
			}
			r := peer.Virsh(t, d.URIFor("localhost", params...))
			o, message := virshOutcome(r)
			check("virsh and libvirtd", o, message)
			if p.reason != "" && p.outcome == finding.ClientRejectsServer && !strings.Contains(r.Stderr, p.reason) {
				t.Errorf("virsh does not say %q:\n%s", p.reason, r.Stderr)
			}

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			conn, err := net.Dial("tcp", net.JoinHostPort(d.Addr, fmt.Sprint(d.Port)))
			if err != nil {
				t.Fatal(err)
			}
			c, tr, err := Client(ctx, conn, p.client.config(t))
			if err != nil {
				t.Fatal(err)
			}
			if c != nil {
				c.Close()
			}
			check("our client and libvirtd", tr.Outcome, tr.LibvirtMessage)
			if p.reason != "" && p.outcome == finding.ServerRejectsClient && !d.WaitLog(p.reason, 2*time.Second) {
				t.Errorf("libvirtd does not log %q:\n%s", p.reason, d.Log())
			}

			o, message, tr = virshWithOurServer(t, p, params)
			check("virsh and our server", o, message)
			if cause, _ := tr.Cause(); p.outcome == finding.ServerRejectsClient && cause.LibvirtMessage != p.reason {
				t.Errorf("our server refuses because of %q, want %q", cause.LibvirtMessage, p.reason)
			}
		})
	}
}

// virshWithOurServer lets virsh connect to Server. After the byte virsh speaks RPC; that it begins to is its consent,
// and the connection is closed.
func virshWithOurServer(t *testing.T, p pairing, params []string) (finding.Outcome, string, *Transcript) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type seen struct {
		t    *Transcript
		call []byte
		err  error
	}
	done := make(chan seen, 1)
	config := p.server.config(t)
	if p.client.id != nil {
		if _, ok := p.client.id.Key.(*rsa.PrivateKey); ok {
			// In TLS 1.3 crypto/tls names no PKCS#1 signature, and GnuTLS then passes an RSA certificate over.
			config.MaxVersion = tls.VersionTLS12
		}
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- seen{err: err}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s, tr, err := Server(ctx, conn, config)
		got := seen{t: tr, err: err}
		if s != nil {
			got.call = make([]byte, 28)
			n, _ := s.Read(got.call)
			got.call = got.call[:n]
			s.Close()
		}
		done <- got
	}()
	r := peer.Virsh(t, "test+tls://localhost:"+fmt.Sprint(l.Addr().(*net.TCPAddr).Port)+"/default?"+strings.Join(params, "&"))
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	// AUTH_LIST: program 0x20008086, version 1, procedure 66.
	if len(got.call) == 28 && string(got.call[4:16]) == "\x20\x00\x80\x86\x00\x00\x00\x01\x00\x00\x00\x42" {
		return finding.Connected, "", got.t
	}
	o, message := virshOutcome(r)
	return o, message, got.t
}

// TestRealDaemonNamesItsCAs checks the transcript against a real daemon.
func TestRealDaemonNamesItsCAs(t *testing.T) {
	peer.Need(t, "libvirtd", "virt-admin")
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	d := half{id: ca.Server("localhost"), cas: []*testpki.CA{other, ca}}.daemon(t)
	conn, err := net.Dial("tcp", net.JoinHostPort(d.Addr, fmt.Sprint(d.Port)))
	if err != nil {
		t.Fatal(err)
	}
	c, tr, err := Client(t.Context(), conn, half{id: ca.Client("admin"), cas: []*testpki.CA{ca}}.config(t))
	if err != nil || c == nil {
		t.Fatal(tr.Outcome, err)
	}
	defer c.Close()
	var names []string
	for _, n := range tr.CANames {
		text, _ := n.Text()
		names = append(names, text)
	}
	if got := strings.Join(names, "; "); got != "CN=Other CA; CN=Test CA" {
		t.Errorf("the daemon names %s", got)
	}
	if tr.Version != "TLS1.3" || !tr.Sent || !tr.Byte {
		t.Errorf("%+v", tr)
	}
}
