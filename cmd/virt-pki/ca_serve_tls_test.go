package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	if c := inProcess(t, "", "virt-pki", "init", "--out", filepath.Join(dir, "cluster"), "--no-passphrase", "--server", "signer1", "--server", "signer2", "--client", "operator"); c.RC != 0 {
		t.Fatal(c.Err)
	}
	of := func(host, name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "cluster", host, "etc/pki", name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const cert, key = "libvirt/servercert.pem", "libvirt/private/serverkey.pem"
	files := [3]string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")}
	write := func(i int, text []byte) {
		t.Helper()
		// As renew does: a new file in the old one's place.
		if err := os.WriteFile(files[i]+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(files[i]+".new", files[i]); err != nil {
			t.Fatal(err)
		}
	}
	write(0, of("signer1", cert))
	write(1, of("signer1", key))
	write(2, of("signer1", "CA/cacert.pem"))
	var stderr bytes.Buffer
	s, err := newServedTLS(&program{stderr: &stderr, getenv: func(string) string { return "" }}, files, false)
	if err != nil {
		t.Fatal(err)
	}
	config := s.Config()
	own, err := tls.X509KeyPair(of("operator", "libvirt/clientcert.pem"), of("operator", "libvirt/private/clientkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		t.Helper()
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		server := tls.Server(a, config)
		ended := make(chan error, 1)
		go func() { ended <- server.Handshake() }()
		client := tls.Client(b, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = b.Read(make([]byte, 4096)) }() // session tickets
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return client.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	is := func(when, want string) {
		t.Helper()
		if got := served(); got != want {
			t.Errorf("%s: the certificate of %s is served", when, got)
		}
	}
	is("at first", "signer1")
	write(0, of("signer2", cert)) // the key is still signer1's
	is("in the middle", "signer1")
	is("in the middle, again", "signer1")
	if n := strings.Count(stderr.String(), "the old is served on"); n != 1 {
		t.Errorf("it is told %d times: %s", n, &stderr)
	}
	write(1, of("signer2", key))
	is("when both have changed", "signer2")
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	is("when a file has gone", "signer2")
}
