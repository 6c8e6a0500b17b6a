package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Server does a libvirt daemon's part over conn, up to and including the confirmation byte. Results are as for Client.
//
// A real GnuTLS client with an RSA certificate does not send it to this server in TLS 1.3: crypto/tls offers no PKCS#1
// signatures there, and GnuTLS 3.7.9 chooses its certificate by them. With MaxVersion 1.2 it does.
func Server(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) {
	t := &Transcript{}
	if cfg.GnuTLS != nil {
		return t.serverWithGnuTLS(ctx, conn, cfg)
	}
	config, err := cfg.base()
	if err != nil {
		conn.Close()
		return nil, t, fmt.Errorf("preparing a server's handshake: %w", err)
	}
	if id := cfg.identity(); id != nil {
		config.Certificates = []tls.Certificate{*id}
	}
	config.SessionTicketsDisabled = true
	config.ClientAuth = tls.RequestClientCert
	if cfg.QEMU && cfg.NoVerify {
		config.ClientAuth = tls.NoClientCert
	}
	if len(cfg.CAs) > 0 {
		config.ClientCAs = x509.NewCertPool()
		for _, ca := range cfg.CAs {
			// Only the names are used, so that a CA that crypto/x509 refuses is named all the same.
			config.ClientCAs.AddCert(&x509.Certificate{Raw: ca.Raw, RawSubject: ca.Subject.DER()})
		}
	}
	w := newWire(conn)
	done := watch(ctx, conn)
	defer done()
	s := tls.Server(w, config)
	if !t.shake(ctx, s, w, certs.Server, cfg.Memory) {
		conn.Close()
		return nil, t, nil
	}
	return t.server(ctx, overGo{s, w, t.Version == "TLS1.3"}, cfg)
}

// server is what follows the TLS handshake: the judgement of the client and the confirmation byte.
func (t *Transcript) server(ctx context.Context, c secured, cfg Config) (net.Conn, *Transcript, error) {
	t.Requested, t.Sent = true, len(t.PeerChain) > 0
	ok := false
	_ = t.step(stagePeer, func() error { // the findings say it
		ok = cfg.judge(certs.Server, t.PeerChain, t)
		return nil
	})
	if !ok {
		c.abandon()
		return nil, t, nil
	}
	err := t.step(stageByte, func() error {
		_, err := c.conn().Write([]byte{confirmation})
		return err
	})
	if err != nil {
		// The client has gone, mostly because it refused this server. That is no fault of the daemon's, whose log says
		// only that it could not read.
		t.Outcome, t.LibvirtMessage = finding.ClientRejectsServer, "Cannot recv data: Input/output error"
		if isTimeout(ctx, err) {
			t.Outcome, t.LibvirtMessage = finding.Hangs, ""
		}
		c.abandon()
		return nil, t, nil
	}
	t.Byte = true
	t.Outcome = finding.Connected
	return c.conn(), t, nil
}
