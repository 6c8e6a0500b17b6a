package preflight

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// bench makes a daemon and a client with files in one directory.
func bench(b testing.TB) (s *Server, c Client, text, dir string) {
	b.Helper()
	dir = b.TempDir()
	ca := testpki.NewCA(b)
	testpki.WriteFlat(b, dir, ca, ca.Server("localhost"), ca.Client("admin"))
	m := Machine{Root: true, ReadFile: os.ReadFile, Libvirt: verify.V9_0}
	memory := &verify.Memory{}
	text = fmt.Sprintf("listen_tls = 1\nca_file = %q\ncert_file = %q\nkey_file = %q\n", dir+"/cacert.pem", dir+"/servercert.pem", dir+"/serverkey.pem")
	s = Daemon{Machine: m, Kind: conf.Libvirtd, Conf: []byte(text), ConfFile: "libvirtd.conf", Run: conf.Run{Listen: true}, At: time.Now(),
		Memory: memory, Judge: &Judge{}}.Start(b.Context())
	return s, Client{Machine: m, At: time.Now(), Memory: memory}, "test+tls://localhost/default?pkipath=" + dir, dir
}

// BenchmarkConnect predicts connections, each from reading the client's files to the open.
func BenchmarkConnect(b *testing.B) {
	s, c, text, _ := bench(b)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r, err := s.Connect(b.Context(), text, c)
			if err != nil || r.Outcome != finding.Connected {
				b.Errorf("%v %v %v", r.Outcome, r.Cause, err)
			}
		}
	})
}

// BenchmarkBareHandshake is what BenchmarkConnect is measured by: the same keys, crypto/tls alone, both ends verified.
func BenchmarkBareHandshake(b *testing.B) {
	_, _, _, dir := bench(b)
	load := func(role string) tls.Certificate {
		c, err := tls.LoadX509KeyPair(filepath.Join(dir, role+"cert.pem"), filepath.Join(dir, role+"key.pem"))
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	pool := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "cacert.pem"))
	if err != nil || !pool.AppendCertsFromPEM(text) {
		b.Fatal("no CA: ", err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{load("server")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		SessionTicketsDisabled: true}
	client := &tls.Config{Certificates: []tls.Certificate{load("client")}, RootCAs: pool, ServerName: "localhost"}
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			x, y := net.Pipe()
			done := make(chan error, 1)
			go func() { done <- tls.Server(y, server).HandshakeContext(b.Context()) }()
			if err := tls.Client(x, client).HandshakeContext(b.Context()); err != nil {
				b.Error(err)
			}
			if err := <-done; err != nil {
				b.Error(err)
			}
			x.Close()
			y.Close()
		}
	})
}
