package reload

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A liar signs with another key than the one it says it has.
type liar struct {
	crypto.Signer
	public crypto.PublicKey
}

func (l liar) Public() crypto.PublicKey { return l.public }

func TestACertificateWithoutItsKeyIsNotServed(t *testing.T) {
	id := testpki.NewCA(t).Server("kvm1")
	read := func(string) ([]byte, error) { return id.CertPEM(), nil }
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
		most uint16
		want string
	}{
		{"its own key, TLS 1.3", id.Key, tls.VersionTLS13, ""},
		{"its own key, TLS 1.2", id.Key, tls.VersionTLS12, ""},
		{"another key, TLS 1.3", liar{other, id.Key.Public()}, tls.VersionTLS13, "asking the daemon for its certificate: tls: invalid signature by the server certificate"},
		{"another key, TLS 1.2", liar{other, id.Key.Public()}, tls.VersionTLS12, "asking the daemon for its certificate: tls: invalid signature by the server certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe without a buffer would hold up both who send at the same time
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				far, err := l.Accept()
				if err != nil {
					return
				}
				server := tls.Server(far, &tls.Config{MaxVersion: c.most, Certificates: []tls.Certificate{{Certificate: [][]byte{id.DER}, PrivateKey: c.key}}})
				_ = server.Handshake() // what it comes to is the client's to say
				far.Close()
			}()
			near, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			s, err := WhatIsServed(t.Context(), near, []string{"servercert.pem"}, read)
			switch {
			case c.want == "" && (err != nil || !s.Current()):
				t.Errorf("%+v, %v", s, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}
