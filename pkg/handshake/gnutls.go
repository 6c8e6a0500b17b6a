package handshake

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// PEM is what libvirt's credential files hold. GnuTLS gets it as it is, so that it reads what libvirt would read, keys
// that Go does not know among it.
type PEM struct{ CA, Cert, Key []byte }

// side makes the end for GnuTLS.
func (c Config) side(server bool) (gnutls.Side, error) {
	if c.Libvirt == (verify.Version{}) {
		return gnutls.Side{}, errors.New("handshake without a libvirt version to behave as")
	}
	s := gnutls.Side{Server: server, Priority: c.Priority, CA: c.PEM.CA}
	if len(s.CA) == 0 {
		for _, ca := range c.CAs {
			s.CA = append(s.CA, block("CERTIFICATE", ca.Raw)...)
		}
	}
	for n, i := range c.identities() {
		cert, key, err := i.pem()
		switch {
		case err != nil:
			return s, err
		case len(key) == 0 && c.Keyless:
			return s, errNoKey
		case n == 0 && len(c.Chain) > 0:
			s.Cert, s.Key = cert, key
		default:
			s.More = append(s.More, gnutls.Pair{Cert: cert, Key: key})
		}
	}
	return s, nil
}

// pem gives what GnuTLS reads: the files, or what they must have held.
func (i Identity) pem() (cert, key []byte, err error) {
	cert, key = i.PEM.Cert, i.PEM.Key
	if len(cert) == 0 {
		for _, c := range i.Chain {
			cert = append(cert, block("CERTIFICATE", c.Raw)...)
		}
	}
	if len(key) == 0 && i.Key != nil {
		der, err := x509.MarshalPKCS8PrivateKey(i.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("handing the key to GnuTLS: %w", err)
		}
		key = block("PRIVATE KEY", der)
	}
	return cert, key, nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// shakeWithGnuTLS does the handshake and describes its result. Without a connection and without an error the outcome is
// in the transcript.
func (t *Transcript) shakeWithGnuTLS(ctx context.Context, conn net.Conn, cfg Config, local certs.Role) (*gnutls.Conn, error) {
	side, err := cfg.side(local == certs.Server)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("preparing a %s's handshake: %w", local, err)
	}
	var c *gnutls.Conn
	err = t.step(stageTLS, func() (err error) {
		c, err = cfg.GnuTLS.Handshake(ctx, conn, side)
		return err
	})
	var refusal *gnutls.Refusal
	switch {
	case errors.As(err, &refusal):
		t.GnuTLS = refusal.GnuTLS
		t.refused(refusal, local)
		return nil, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		t.handshakeFailed(ctx, err, local)
		return nil, nil
	case err != nil:
		return nil, err
	}
	s := c.Session()
	t.GnuTLS, t.Version, t.Suite, t.Group = s.GnuTLS, s.Version, s.Suite, s.Group
	t.Signature, t.Requested, t.Sent = s.Signature, s.Requested, s.Sent
	for n, i := range cfg.identities() {
		if t.Sent && len(s.Own) > 0 && bytes.Equal(i.Chain[0].Raw, s.Own) {
			t.Identity = n
			break
		}
	}
	for _, der := range s.Authorities {
		if name, err := dn.FromDER(der); err == nil {
			t.CANames = append(t.CANames, name)
		}
	}
	if !t.importPeer(s.Peer, local, cfg.Memory) {
		c.Close()
		return nil, nil
	}
	return c, nil
}

// refused says what GnuTLS said.
func (t *Transcript) refused(r *gnutls.Refusal, local certs.Role) {
	t.Outcome, t.LibvirtMessage = finding.HandshakeFails, msgHandshake+r.Text
	id, message := "tls-handshake-failed", "The TLS handshake failed: "+r.Text
	switch {
	case r.Stage != "handshake":
		t.LibvirtMessage = r.LibvirtMessage
		message = "GnuTLS refuses before the handshake: " + r.LibvirtMessage
		if local == certs.Client {
			t.Outcome = finding.ClientLocal
		}
	case r.Code == gnutls.CodeTimeout:
		t.Outcome, t.LibvirtMessage, id = finding.Hangs, "", "no-answer-in-time"
		message = "The other end did not finish the TLS handshake in time; libvirt itself would wait for ever."
	case r.Code == gnutls.CodePull:
		message = "The other end reset the connection during the TLS handshake."
	case r.Code == gnutls.CodePrematureEnd:
		message = "The other end closed the connection during the TLS handshake."
	case r.Code == gnutls.CodeUnexpected:
		message = "What the other end sent is not TLS."
	}
	f := handshakeRule(id).Finding("connection", message)
	f.LibvirtMessage = t.LibvirtMessage
	t.Findings = append(t.Findings, f)
}

// clientWithGnuTLS is Client with GnuTLS.
func (t *Transcript) clientWithGnuTLS(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) {
	c, err := t.shakeWithGnuTLS(ctx, conn, cfg, certs.Client)
	if c == nil {
		return nil, t, err
	}
	done := watch(ctx, c)
	defer done()
	var keptBack finding.Finding
	if t.Requested && !t.Sent {
		keptBack, _ = verify.Sends(cfg.Chain, t.CANames)
		for n, i := range cfg.identities() {
			f, fits := verify.Sends(i.Chain, t.CANames)
			if fits {
				keptBack = handshakeRule("client-key-not-supported").Finding("client certificate",
					"The client does not send its certificate: the daemon does not take signatures of its key.")
				break
			}
			if n == 0 {
				keptBack = f
			}
		}
	}
	return t.client(ctx, overGnuTLS{c}, cfg, keptBack)
}

// serverWithGnuTLS is Server with GnuTLS.
func (t *Transcript) serverWithGnuTLS(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) {
	c, err := t.shakeWithGnuTLS(ctx, conn, cfg, certs.Server)
	if c == nil {
		return nil, t, err
	}
	done := watch(ctx, c)
	defer done()
	return t.server(ctx, overGnuTLS{c}, cfg)
}
