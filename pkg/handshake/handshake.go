package handshake

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Credentials are what one end of a connection brings.
type Credentials struct {
	CAs   []*certs.Certificate
	CRLs  [][]byte             // DER
	Chain []*certs.Certificate // own certificate first; empty: no identity
	Key   crypto.Signer        // nil: no identity
	// PEM is the same as the files hold it, for GnuTLS; what is empty is made from the fields above.
	PEM PEM
	// Lists are revocation lists that were read already, in addition to CRLs.
	Lists []*crl.List
	// More are a client's further identities in order of preference (libvirt from 11.10 on); of all that is sent which the
	// server's request fits best, see verify.Order. Judge, and a server, look at none of them.
	More []Identity
	// Keyless says that the key of Chain exists but is not at hand. Judge needs no keys; Client and Server refuse.
	Keyless bool
}

// Config is how one end behaves.
type Config struct {
	Credentials
	// Host is the name in the URI against which the client checks the server. Not used on the server.
	Host string
	// Allowed is tls_allowed_dn_list. Not used on the client.
	Allowed *dnmatch.List
	// NoVerify is no_verify=1 on the client, tls_no_verify_certificate=1 on the server.
	NoVerify bool
	Libvirt  verify.Version
	At       time.Time
	// QEMU says that it is an end of QEMU's, for a migration or an NBD export: its rules for the other's certificate, its
	// texts, and with NoVerify a server that asks for no certificate. The confirmation byte, which QEMU does not have, then
	// stands for what the server says next; both ends must be QEMU's, in memory.
	QEMU bool
	// MinVersion and MaxVersion bound the TLS version (tls.VersionTLS12 ...). Zero: 1.2 and 1.3.
	MinVersion, MaxVersion uint16
	// CipherSuites (up to TLS 1.2) and Curves are what is offered, as tls.Config takes them. Empty: what crypto/tls offers,
	// and the groups of NORMAL.
	CipherSuites []uint16
	Curves       []tls.CurveID
	// Strength is what this end's tls_priority demands of the peer's certificates; the zero value is that of NORMAL.
	Strength verify.Strength
	// Memory of signatures may be shared by many connections; nil: none.
	Memory *verify.Memory

	// GnuTLS makes this end's TLS with the library of this machine, by Priority, in place of crypto/tls; the fields from
	// MinVersion to Curves do not count then. nil: crypto/tls.
	GnuTLS   *gnutls.Program
	Priority string

	groups []tls.CurveID // nil: curves
	// paired: the other end is crypto/tls, too, whose request for a certificate is not GnuTLS's.
	paired bool
}

// A Stage is one timed step of a connection: tls, peer, byte.
type Stage struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
	Err      string        `json:"error,omitempty"`
}

// A Transcript is what one end saw.
type Transcript struct {
	Version, Suite, Group string // in the names of GnuTLS: TLS1.3, TLS_AES_128_GCM_SHA256, SECP256R1
	// Signature is the algorithm of the signature by the server; empty where it is not known, as with crypto/tls.
	Signature string
	PeerChain []*certs.Certificate
	// CANames are the acceptable CAs the server listed in its request (seen by the client).
	CANames []dn.Name
	// Requested reports whether the server asked for a client certificate at all; libvirt always does.
	Requested bool
	// Sent reports whether the client sent its certificate.
	Sent bool
	// Identity is which of the client's identities was sent: 0 the first, others by their place in More after it.
	Identity int
	// Byte reports whether the confirmation byte 0x01 was written (server) or read (client).
	Byte bool
	// GnuTLS is the version of the library that made the TLS; empty: it was crypto/tls.
	GnuTLS string
	// Undecided reports that crypto/tls and the peer came to no session although the peer speaks TLS, so that GnuTLS might
	// have come to one.
	Undecided bool
	// Simulated reports that there was no TLS: the verdict is Judge's.
	Simulated bool
	Stages    []Stage
	// Outcome is finding.Connected when this end is content.
	Outcome finding.Outcome
	// Findings are this end's findings about the other, in libvirt's order.
	Findings []finding.Finding
	// LibvirtMessage is what libvirt at this end would print or log; empty when content.
	LibvirtMessage string
}

// Cause gives the first finding of severity error, which is why this end is not content.
func (t *Transcript) Cause() (finding.Finding, bool) {
	for _, f := range t.Findings {
		if f.Severity == finding.Error {
			return f, true
		}
	}
	return finding.Finding{}, false
}

// The texts that libvirt's users see.
const (
	msgVerify      = "authentication failed: Failed to verify peer's certificate"
	msgNoByte      = "Unable to read TLS confirmation: Input/output error"
	msgNoByteYet   = "Unable to read TLS confirmation: Resource temporarily unavailable"
	msgWrongByte   = "server verification (of our certificate or IP address) failed"
	msgHandshake   = "authentication failed: TLS handshake failed "
	msgTerminated  = msgHandshake + "The TLS connection was non-properly terminated."
	msgNoSuite     = msgHandshake + "No supported cipher suites have been found."
	msgUnexpected  = msgHandshake + "An unexpected TLS packet was received."
	msgAlert       = msgHandshake + "A TLS fatal alert has been received."
	msgPullError   = msgHandshake + "Error in the pull function."
	stageTLS       = "tls"
	stagePeer      = "peer"
	stageByte      = "byte"
	confirmation   = 0x01
	maxTicketAlert = 19 // length of a TLS 1.3 record that holds an alert
)

// curves are those of GnuTLS 3.7.9's NORMAL that crypto/tls has. Debian's GnuTLS knows no ML-KEM.
var curves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// errNoKey is for configurations that cannot be used for a real connection.
var errNoKey = errors.New("the private key of the certificate is not at hand")

// base makes what both ends have in common.
func (c Config) base() (*tls.Config, error) {
	if c.Libvirt == (verify.Version{}) {
		return nil, errors.New("handshake without a libvirt version to behave as")
	}
	if c.Keyless && len(c.Chain) > 0 {
		return nil, errNoKey
	}
	t := &tls.Config{
		MinVersion:       c.MinVersion,
		MaxVersion:       c.MaxVersion,
		CipherSuites:     c.CipherSuites,
		CurvePreferences: curves,
		// The peer is judged by package verify, once the handshake is done, as libvirt does.
		InsecureSkipVerify: true,
	}
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS12
	}
	if len(c.Curves) > 0 {
		t.CurvePreferences = c.Curves
	}
	if c.groups != nil {
		t.CurvePreferences = c.groups
	}
	return t, nil
}

// An Identity is a certificate chain with its key.
type Identity struct {
	Chain []*certs.Certificate // own certificate first
	Key   crypto.Signer        // nil: it is not at hand, or of a kind that only GnuTLS knows
	PEM   PEM                  // its CA does not count
}

// identities are a client's in order.
func (c Config) identities() []Identity {
	var out []Identity
	if len(c.Chain) > 0 {
		out = append(out, Identity{c.Chain, c.Key, c.PEM})
	}
	return append(out, c.More...)
}

// identity makes the certificate for crypto/tls; nil without one.
func (c Config) identity() *tls.Certificate {
	return Identity{Chain: c.Chain, Key: c.Key}.certificate()
}

func (i Identity) certificate() *tls.Certificate {
	if len(i.Chain) == 0 || i.Key == nil {
		return nil
	}
	id := &tls.Certificate{PrivateKey: i.Key}
	for _, cert := range i.Chain {
		id.Certificate = append(id.Certificate, cert.Raw)
	}
	if leaf, err := i.Chain[0].X509(); err == nil {
		id.Leaf = leaf
	}
	return id
}

// session makes the judgement about a peer.
func (c Config) session(local certs.Role, peer []*certs.Certificate) verify.Session {
	return verify.Session{Local: local, Peer: peer, CAs: c.CAs, CRLs: c.CRLs, Lists: c.Lists, Host: c.Host, Allowed: c.Allowed,
		At: c.At, Libvirt: c.Libvirt, Strength: c.Strength, Memory: c.Memory}
}

// judge makes the findings about a peer and reports whether this end goes on.
func (c Config) judge(local certs.Role, peer []*certs.Certificate, t *Transcript) bool {
	if c.QEMU {
		return c.judgeAsQEMU(local, peer, t)
	}
	fs := c.session(local, peer).Check()
	ok := true
	for i, f := range fs {
		if f.Severity != finding.Error {
			continue
		}
		if c.NoVerify && f.Rule != "empty-rdn" {
			// libvirt logs the text and goes on.
			fs[i].Severity, fs[i].Effect = finding.Warning, finding.Ignores
			continue
		}
		ok = false
	}
	t.Findings = append(t.Findings, fs...)
	if !ok {
		t.LibvirtMessage = msgVerify
		t.Outcome = finding.ClientRejectsServer
		if local == certs.Server {
			t.Outcome = finding.ServerRejectsClient
		}
	}
	return ok
}

// step times one stage.
func (t *Transcript) step(name string, f func() error) error {
	begin := time.Now()
	err := f()
	s := Stage{Name: name, Duration: time.Since(begin)}
	if err != nil {
		s.Err = err.Error()
	}
	t.Stages = append(t.Stages, s)
	return err
}

// watch lets the context end whatever conn is doing. The returned function ends the watch and lifts the time limit.
func watch(ctx context.Context, conn net.Conn) (done func()) {
	if limit, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(limit) // a connection without deadlines is ended by the context all the same
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// shake does the TLS handshake and describes its result.
func (t *Transcript) shake(ctx context.Context, conn *tls.Conn, w *wire, local certs.Role, memory *verify.Memory) bool {
	err := t.step(stageTLS, func() error { return conn.HandshakeContext(ctx) })
	w.handshaking.Store(false)
	w.in.mark()
	if err != nil {
		t.handshakeFailed(ctx, err, local)
		return false
	}
	state := conn.ConnectionState()
	t.Version = strings.ReplaceAll(tls.VersionName(state.Version), " ", "")
	t.Suite = suiteName(state.CipherSuite)
	t.Group = groupName(state.CurveID)
	raw := make([][]byte, len(state.PeerCertificates))
	for i, c := range state.PeerCertificates {
		raw[i] = c.Raw
	}
	return t.importPeer(raw, local, memory)
}

// importPeer reads the peer's certificates as GnuTLS does when it verifies them.
func (t *Transcript) importPeer(chain [][]byte, local certs.Role, memory *verify.Memory) bool {
	for _, der := range chain {
		cert, err := memory.Import(der)
		if err != nil {
			// crypto/x509 may have read it, but GnuTLS would not.
			f := handshakeRule("peer-certificate-not-importable").Finding("peer", fmt.Sprintf("GnuTLS cannot read a certificate of the peer: %v", err))
			f.LibvirtMessage = "Unable to verify TLS peer: " + err.Error()
			t.Findings = append(t.Findings, f)
			t.Outcome, t.LibvirtMessage = finding.ClientRejectsServer, msgVerify
			if local == certs.Server {
				t.Outcome = finding.ServerRejectsClient
			}
			return false
		}
		t.PeerChain = append(t.PeerChain, cert)
	}
	return true
}

// suiteName gives the name GnuTLS has for a suite.
func suiteName(id uint16) string {
	if s, ok := priority.SuiteByID(id); ok {
		return s.Name
	}
	return tls.CipherSuiteName(id)
}

// groupName gives the name GnuTLS has for a curve.
func groupName(id tls.CurveID) string {
	switch id {
	case 0:
		return ""
	case tls.CurveP256:
		return "SECP256R1"
	case tls.CurveP384:
		return "SECP384R1"
	case tls.CurveP521:
		return "SECP521R1"
	}
	return id.String()
}

// handshakeFailed says what became of a handshake that did not come about.
func (t *Transcript) handshakeFailed(ctx context.Context, err error, local certs.Role) {
	t.Outcome = finding.HandshakeFails
	id, message := "tls-handshake-failed", "The TLS handshake failed: "+err.Error()+"."
	var record tls.RecordHeaderError
	var alert tls.AlertError
	t.Undecided = !isTimeout(ctx, err) && !errors.As(err, &record)
	switch {
	case isTimeout(ctx, err):
		t.Outcome, id = finding.Hangs, "no-answer-in-time"
		message = "The other end did not finish the TLS handshake in time; libvirt itself would wait for ever."
	case errors.Is(err, syscall.ECONNRESET):
		t.LibvirtMessage = msgPullError
		message = "The other end reset the connection during the TLS handshake."
	case isEOF(err):
		t.LibvirtMessage = msgTerminated
		message = "The other end closed the connection during the TLS handshake."
	case errors.As(err, &record):
		t.LibvirtMessage = msgUnexpected
		message = "What the other end sent is not TLS."
	case errors.As(err, &alert):
		t.LibvirtMessage = msgAlert
	case unusableForGo(err):
		id = "peer-certificate-not-parseable"
		message = "The peer's certificate is of a kind that this program cannot use in a handshake (" + err.Error() + "); libvirt may."
	case local == certs.Server:
		t.LibvirtMessage = msgNoSuite
	default:
		t.LibvirtMessage = msgTerminated
	}
	f := handshakeRule(id).Finding("connection", message)
	f.LibvirtMessage = t.LibvirtMessage
	t.Findings = append(t.Findings, f)
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.EPIPE)
}

func isTimeout(ctx context.Context, err error) bool {
	var n net.Error
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// unusableForGo recognises the errors by which crypto/tls says that it cannot handle a peer's certificate. It has no
// types for them.
func unusableForGo(err error) bool {
	text := err.Error()
	for _, s := range []string{"failed to parse certificate", "unsupported type of public key", "unsupported certificate", "-bit keys are insecure",
		"RSA key larger than", "unsupported public key"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	var u x509.UnhandledCriticalExtension
	return errors.As(err, &u)
}
