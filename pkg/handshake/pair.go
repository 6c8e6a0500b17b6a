package handshake

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Result is what a connection between two ends comes to.
type Result struct {
	Outcome        finding.Outcome
	Client, Server *Transcript
}

// Cause gives the finding that explains the outcome: of the end that refused, or of the client where it kept its
// certificate back. It reports false when the two ends are connected.
func (r Result) Cause() (finding.Finding, bool) {
	switch r.Outcome {
	case finding.Connected:
		return finding.Finding{}, false
	case finding.ServerRejectsClient:
		f, ok := r.Server.Cause()
		if ok && f.Rule == "no-client-certificate" {
			// The client knows why it sent none.
			for _, g := range r.Client.Findings {
				switch g.Rule {
				case "client-certificate-not-sent", "no-client-identity", "client-key-not-supported":
					return g, true
				}
			}
		}
		return f, ok
	}
	if f, ok := r.Client.Cause(); ok {
		return f, true
	}
	return r.Server.Cause()
}

// LibvirtMessage is what the user of the client sees; empty when connected.
func (r Result) LibvirtMessage() string { return r.Client.LibvirtMessage }

// Pair connects the two ends in memory, with real TLS. Where crypto/tls cannot do what GnuTLS does with these
// certificates, or a key is not at hand, the result is Judge's, and the transcripts say so.
func Pair(ctx context.Context, client, server Config) (Result, error) {
	if !usable(client) || !usable(server) {
		return Judge(client, server)
	}
	for _, c := range []*Config{&client, &server} {
		c.paired = true
		if len(c.Curves) == 0 {
			c.groups = first
		}
	}
	a, b := pipe()
	type half struct {
		t   *Transcript
		err error
	}
	done := make(chan half, 1)
	go func() {
		_, t, err := Server(ctx, b, server)
		done <- half{t, err}
	}()
	_, ct, cerr := Client(ctx, a, client)
	s := <-done
	a.Close()
	b.Close()
	if err := errors.Join(cerr, s.err); err != nil {
		return Result{Client: ct, Server: s.t}, err
	}
	return combine(ct, s.t), nil
}

// first is the group that two ends of GnuTLS come to with NORMAL. crypto/tls has another order of its own, whatever
// CurvePreferences say, in which X25519 comes first; that takes longer, too.
var first = []tls.CurveID{tls.CurveP256}

// combine makes one outcome of two views. The client judges first, and an end that refused knows why; what the other
// then sees of the connection's end is a consequence.
func combine(client, server *Transcript) Result {
	r := Result{Outcome: client.Outcome, Client: client, Server: server}
	if client.Outcome == finding.ServerRejectsClient && server.Outcome == finding.HandshakeFails {
		// In TLS 1.3 the client is done before the server.
		r.Outcome = finding.HandshakeFails
	}
	return r
}

// usable reports whether this end's TLS can make a connection with this end's identity.
func usable(c Config) bool {
	if len(c.Chain) == 0 || c.GnuTLS != nil && len(c.PEM.Key) > 0 {
		return true
	}
	if c.Keyless {
		return false
	}
	if c.Key == nil {
		return true // goes without an identity
	}
	for _, cert := range c.Chain {
		if _, err := cert.X509(); err != nil {
			return false
		}
	}
	switch k := c.Key.Public().(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 1024 || k.N.BitLen() > 8192 {
			return false
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return false
		}
	case ed25519.PublicKey:
	default:
		return false
	}
	x, _ := c.Chain[0].X509()
	return x.PublicKey != nil
}

// Judge says what a connection comes to without making it: the same rules in the same order, TLS left out. It needs no
// keys: an end with a chain and Keyless has an identity.
func Judge(client, server Config) (Result, error) {
	for _, c := range []Config{client, server} {
		if c.Libvirt == (verify.Version{}) {
			return Result{}, fmt.Errorf("judging a connection: no libvirt version to behave as")
		}
	}
	ct, st := &Transcript{Simulated: true}, &Transcript{Simulated: true}
	r := Result{Client: ct, Server: st}
	cmin, cmax := client.versions()
	smin, smax := server.versions()
	serverChain := server.presented()
	if len(serverChain) == 0 || cmin > smax || smin > cmax {
		fail := func(t *Transcript, message string) {
			t.Outcome, t.LibvirtMessage = finding.HandshakeFails, message
			f := handshakeRule("tls-handshake-failed").Finding("connection", "The two ends have no TLS version, or the server no certificate, in common.")
			f.LibvirtMessage = message
			t.Findings = append(t.Findings, f)
		}
		fail(ct, msgTerminated)
		fail(st, msgNoSuite)
		r.Outcome = finding.HandshakeFails
		return r, nil
	}
	ct.Requested, st.Requested = true, true
	for _, ca := range server.CAs {
		ct.CANames = append(ct.CANames, ca.Subject)
	}
	ct.CANames = unique(ct.CANames)
	chain := client.presented()
	keptBack, sent := verify.Sends(chain, ct.CANames)
	if sent {
		st.PeerChain = chain
	}
	ct.Sent, st.Sent = sent, sent
	ct.PeerChain = serverChain
	clientOK := client.judge(certs.Client, serverChain, ct)
	serverOK := server.judge(certs.Server, st.PeerChain, st)
	if serverOK {
		st.Byte, st.Outcome = true, finding.Connected
	}
	switch {
	case !clientOK:
	case !serverOK:
		ct.Outcome, ct.LibvirtMessage = finding.ServerRejectsClient, msgNoByte
		f := handshakeRule("server-refused").Finding("connection", "The server closed the connection instead of confirming; only its log says why.")
		f.LibvirtMessage = msgNoByte
		ct.Findings = append(ct.Findings, f)
	default:
		ct.Byte, ct.Outcome = true, finding.Connected
	}
	if !sent && clientOK {
		if serverOK && keptBack.Severity == finding.Error {
			keptBack.Severity, keptBack.Effect = finding.Warning, finding.NoEffect
		}
		if !serverOK {
			keptBack.Severity, keptBack.Effect = finding.Error, finding.RefusesPeer
		}
		ct.Findings = append([]finding.Finding{keptBack}, ct.Findings...)
	}
	r.Outcome = ct.Outcome
	return r, nil
}

// presented gives the chain of an end that has an identity.
func (c Config) presented() []*certs.Certificate {
	if c.Key == nil && !c.Keyless {
		return nil
	}
	return c.Chain
}

func (c Config) versions() (lowest, highest uint16) {
	lowest, highest = c.MinVersion, c.MaxVersion
	if lowest == 0 {
		lowest = tls.VersionTLS12
	}
	if highest == 0 {
		highest = tls.VersionTLS13
	}
	return lowest, highest
}

func unique(names []dn.Name) []dn.Name {
	seen := map[string]bool{}
	var out []dn.Name
	for _, n := range names {
		if k := string(n.DER()); !seen[k] {
			seen[k] = true
			out = append(out, n)
		}
	}
	return out
}
