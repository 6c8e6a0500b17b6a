package reload

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// Served is what a daemon shows to a client.
type Served struct {
	Chain []*certs.Certificate
	// File is the file whose certificate it is; empty: none of them.
	File string
}

// Current reports whether the daemon serves what is in the files.
func (s Served) Current() bool { return s.File != "" }

// WhatIsServed makes a TLS connection to a daemon, takes the certificate that it shows, and compares it with files, which are
// read with read. No certificate is shown to the daemon and none is judged: the connection ends after the handshake.
func WhatIsServed(ctx context.Context, conn net.Conn, files []string, read func(string) ([]byte, error)) (Served, error) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var raw [][]byte
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, VerifyPeerCertificate: func(list [][]byte, _ [][]*x509.Certificate) error {
		raw = list
		return nil
	}})
	if err := c.HandshakeContext(ctx); err != nil { // a certificate alone, which anybody has, proves nothing
		return Served{}, fmt.Errorf("asking the daemon for its certificate: %w", err)
	}
	var s Served
	for _, der := range raw {
		cert, err := certs.Import(der)
		if err != nil {
			return s, fmt.Errorf("reading the daemon's certificate: %w", err)
		}
		s.Chain = append(s.Chain, cert)
	}
	if len(s.Chain) == 0 {
		return s, errors.New("the daemon showed no certificate")
	}
	for _, name := range files {
		text, err := read(name)
		if err != nil {
			return s, err
		}
		cert, err := certs.ImportPEM(text)
		if err != nil {
			return s, fmt.Errorf("reading %q: %w", name, err)
		}
		if bytes.Equal(cert.Raw, s.Chain[0].Raw) {
			s.File = name
			return s, nil
		}
	}
	return s, nil
}
