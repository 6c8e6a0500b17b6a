package handshake

import (
	"context"
	"crypto"
	"crypto/x509"
	"net"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Credentials are what one end of a connection brings.
type Credentials struct {
	CAs   []*certs.Certificate
	CRLs  [][]byte             // DER
	Chain []*certs.Certificate // own certificate first; empty: no identity
	Key   crypto.Signer        // nil: no identity
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
	// MinVersion and MaxVersion bound the TLS version (tls.VersionTLS12 ...). Zero: 1.2 and 1.3.
	MinVersion, MaxVersion uint16
}

// A Stage is one timed step of a connection: tls, peer, byte.
type Stage struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
	Err      string        `json:"error,omitempty"`
}

// A Transcript is what one end saw.
type Transcript struct {
	Version, Suite, Group string // as the field names them: TLS1.3, TLS_AES_128_GCM_SHA256, X25519
	PeerChain             []*certs.Certificate
	// CANames are the acceptable CAs the server listed in its request (seen by the client).
	CANames []dn.Name
	// Sent reports whether the client sent its certificate.
	Sent bool
	// Byte reports whether the confirmation byte 0x01 was written (server) or read (client).
	Byte   bool
	Stages []Stage
	// Outcome is finding.Connected when this end is content.
	Outcome finding.Outcome
	// Findings are this end's findings about the other, in libvirt's order.
	Findings []finding.Finding
	// LibvirtMessage is what libvirt at this end would print or log; empty when content.
	LibvirtMessage string
}

// Client does a libvirt client's part over conn, up to and including the confirmation byte. On success the returned
// connection carries the RPC. The Transcript is never nil; the error is for what is not an outcome of a connection.
func Client(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) { panic("unimplemented") }

// Server does a libvirt daemon's part over conn, up to and including the confirmation byte.
func Server(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, *Transcript, error) { panic("unimplemented") }

// Result is what a connection between two ends comes to.
type Result struct {
	Outcome        finding.Outcome
	Client, Server *Transcript
}

// Pair connects the two ends in memory, with real TLS.
func Pair(ctx context.Context, client, server Config) (Result, error) { panic("unimplemented") }

var _ = x509.Certificate{}
