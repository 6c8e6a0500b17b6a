package handshake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Client does a libvirt client's part over conn, up to and including the confirmation byte. On success the returned
// connection carries the RPC. The Transcript is never nil; the error is for what is not an outcome of a connection.
//
// Without success conn is closed, in the way libvirt does it: without an alert and without close_notify.
func Client(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) {
	t := &Transcript{}
	if cfg.GnuTLS != nil {
		return t.clientWithGnuTLS(ctx, conn, cfg)
	}
	config, err := cfg.base()
	if err != nil {
		conn.Close()
		return nil, t, fmt.Errorf("preparing a client's handshake: %w", err)
	}
	// A GnuTLS client says that it can resume sessions, so that other servers than libvirt's send it tickets.
	config.ClientSessionCache = noSessions{}
	var keptBack finding.Finding
	config.GetClientCertificate = func(cri *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		t.Requested = true
		for _, der := range cri.AcceptableCAs {
			if name, err := dn.FromDER(der); err == nil {
				t.CANames = append(t.CANames, name)
			}
		}
		var id *tls.Certificate
		id, t.Identity, keptBack = cfg.chooseIdentity(cri, t.CANames)
		if t.Sent = id != nil; !t.Sent {
			return &tls.Certificate{}, nil
		}
		return id, nil
	}
	w := newWire(conn)
	done := watch(ctx, conn)
	defer done()
	c := tls.Client(w, config)
	if !t.shake(ctx, c, w, certs.Client, cfg.Memory) {
		conn.Close()
		return nil, t, nil
	}
	return t.client(ctx, overGo{c, w, t.Version == "TLS1.3"}, cfg, keptBack)
}

// chooseIdentity takes the first identity, in verify.Order, of a CA that the server names, with a key that can sign in a way
// that the server knows. Without one the finding says what keeps the nearest
// one back: one that lacks a signature before one of an unknown CA.
func (c Config) chooseIdentity(cri *tls.CertificateRequestInfo, names []dn.Name) (id *tls.Certificate, index int, keptBack finding.Finding) {
	why := func(i Identity, id *tls.Certificate) (f finding.Finding, near bool) {
		if f, send := verify.Sends(i.Chain, names); !send {
			return f, false
		}
		// The key must also be able to sign in a way the server knows.
		any := *cri
		any.AcceptableCAs = nil
		if err := any.SupportsCertificate(id); err != nil {
			return handshakeRule("client-key-not-supported").Finding("client certificate",
				"The client does not send its certificate: the daemon does not take signatures of its key ("+err.Error()+")."), true
		}
		if why := keepsBack(cri, i.Chain[0], GnuTLSOf(c.Libvirt)); why != "" && !c.paired {
			return handshakeRule("client-key-not-supported").Finding("client certificate", "The client does not send its certificate: "+why+"."), true
		}
		return f, true
	}
	found := false
	all := c.identities()
	for _, n := range order(all, names) {
		i := all[n]
		id := i.certificate()
		if id == nil {
			continue
		}
		f, near := why(i, id)
		if f.Rule == "" {
			return id, n, f
		}
		if keptBack.Rule == "" || near && !found {
			keptBack, found = f, near
		}
	}
	if keptBack.Rule == "" {
		keptBack, _ = verify.Sends(nil, names)
	}
	return nil, 0, keptBack
}

// order is verify.Order.
func order(all []Identity, names []dn.Name) []int {
	var chains [][]*certs.Certificate
	for _, i := range all {
		chains = append(chains, i.Chain)
	}
	return verify.Order(chains, names)
}

// client is what follows the TLS handshake: the judgement of the server and the confirmation byte. keptBack says why the
// client sent no certificate.
func (t *Transcript) client(ctx context.Context, c secured, cfg Config, keptBack finding.Finding) (net.Conn, *Transcript, error) {
	ok := false
	_ = t.step(stagePeer, func() error { // the findings say it
		ok = cfg.judge(certs.Client, t.PeerChain, t)
		return nil
	})
	if !ok {
		c.abandon()
		return nil, t, nil
	}
	err := t.step(stageByte, func() error { return t.confirm(ctx, c, cfg) })
	if keptBack.Rule != "" && t.Requested {
		if t.Byte && keptBack.Severity == finding.Error {
			keptBack.Severity, keptBack.Effect = finding.Warning, finding.NoEffect // the daemon does not insist
		}
		if !t.Byte && keptBack.Severity != finding.Error {
			keptBack.Severity, keptBack.Effect = finding.Error, finding.RefusesPeer
		}
		// The reason comes before its consequence.
		t.Findings = append([]finding.Finding{keptBack}, t.Findings...)
	}
	if err != nil {
		c.abandon()
		var trouble *gnutls.Trouble
		if errors.As(err, &trouble) {
			return nil, t, err
		}
		return nil, t, nil
	}
	t.Outcome = finding.Connected
	return c.conn(), t, nil
}

// keepsBack says why a GnuTLS client does not choose its certificate although it could sign (measured with GnuTLS 3.7.9,
// 3.8.9 and 3.8.13; see priority.ClientSignature); empty when it does.
func keepsBack(cri *tls.CertificateRequestInfo, leaf *certs.Certificate, library priority.Release) string {
	kind, known := KeyKind(leaf)
	if !known {
		return ""
	}
	named := func(fits func(tls.SignatureScheme) bool) bool { return slices.ContainsFunc(cri.SignatureSchemes, fits) }
	pkcs1 := func(s tls.SignatureScheme) bool { return s&0xff == 1 && s>>8 <= 6 }
	switch rsaKey := kind == priority.KeyRSA; {
	case cri.Version == tls.VersionTLS13 && rsaKey && library.WantsPKCS1() && !named(pkcs1):
		return "in TLS 1.3 GnuTLS chooses an RSA certificate only where the daemon names a PKCS#1 signature, which this one does not"
	case cri.Version == tls.VersionTLS13:
	case !rsaKey && kind != priority.KeyECDSAP256 && kind != priority.KeyECDSAP384 && kind != priority.KeyECDSAP521 &&
		kind != priority.KeyECDSAP192 && kind != priority.KeyECDSAP224:
		return fmt.Sprintf("before TLS 1.3 GnuTLS chooses no certificate with a key of the kind %s", kind)
	}
	return ""
}

// noSessions remembers no session.
type noSessions struct{}

func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (noSessions) Put(string, *tls.ClientSessionState)        {}

var (
	errClosed = errors.New("the server closed the connection without the confirmation byte")
	errOther  = errors.New("the server sent something else than the confirmation byte")
	errTicket = errors.New("the server sent a TLS message before the confirmation byte")
)

// confirm reads the confirmation byte.
func (t *Transcript) confirm(ctx context.Context, c secured, cfg Config) error {
	var b [1]byte
	_, err := io.ReadFull(c.conn(), b[:])
	var trouble *gnutls.Trouble
	if errors.As(err, &trouble) {
		return err
	}
	say := func(id string, o finding.Outcome, message, libvirtMessage string) {
		f := handshakeRule(id).Finding("connection", message)
		f.LibvirtMessage = libvirtMessage
		t.Findings = append(t.Findings, f)
		t.Outcome, t.LibvirtMessage = o, libvirtMessage
	}
	tickets := c.tickets()
	switch {
	case err == nil && b[0] == confirmation:
		t.Byte = true
		return nil
	case err == nil:
		say("confirmation-wrong", finding.ServerRejectsClient,
			fmt.Sprintf("The server sent the byte %#02x where libvirt's daemon sends 0x01.", b[0]), msgWrongByte)
		return errOther
	case isTimeout(ctx, err):
		if tickets && !cfg.Libvirt.AtLeast(12, 0) {
			say("tls-session-tickets", finding.ServerRejectsClient,
				"The server sent a TLS session ticket and no confirmation byte: it is no libvirt daemon.", msgNoByteYet)
			return errTicket
		}
		say("no-answer-in-time", finding.Hangs, "The server neither confirmed nor refused in time; libvirt itself would wait for ever.", "")
		return err
	case errors.Is(err, io.EOF) && c.goodbye():
		say("server-refused", finding.ServerRejectsClient,
			"The server said goodbye instead of confirming; its log says why.", msgWrongByte)
		return errClosed
	default:
		say("server-refused", finding.ServerRejectsClient,
			"The server closed the connection instead of confirming; only its log says why.", msgNoByte)
		return errClosed
	}
}
