package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func makeRequest(t *testing.T, subject string) []byte {
	t.Helper()
	name, err := dn.Parse(subject)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject:  name.DER(),
		DNSNames:    []string{"host.example.com"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARequestKeepsItsSubjectAndAlternativeNames(t *testing.T) {
	const subject = "O=Example\\, Inc.,OU=b+OU=a,C=GB,CN=host.example.com"
	encoded := makeRequest(t, subject)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: encoded})
	for form, text := range map[string][]byte{
		"DER":             encoded,
		"PEM":             block,
		"behind text":     append([]byte("text\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), block...),
		"the older label": pem.EncodeToMemory(&pem.Block{Type: "NEW CERTIFICATE REQUEST", Bytes: encoded}),
	} {
		r, err := certs.ParseRequest(text)
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if got, _ := r.Subject.Text(); got != subject {
			t.Errorf("%s: subject %q, want %q", form, got, subject)
		}
		if len(r.Names) != 1 || r.Names[0] != "host.example.com" || len(r.Addresses) != 2 ||
			r.Addresses[0].String() != "192.0.2.1" || r.Addresses[1].String() != "2001:db8::1" || r.PublicKey == nil {
			t.Errorf("%s: got %+v", form, r)
		}
	}
}

func TestARequestThatCannotBeUsedIsRefusedWithARemedy(t *testing.T) {
	good := makeRequest(t, "CN=a")
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for _, c := range []struct {
		name string
		text []byte
		want string
	}{
		{"empty", []byte(" \n"), "certificate request: empty"},
		{"a certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: wholesome}),
			"certificate request: the PEM text has a CERTIFICATE, no CERTIFICATE REQUEST"},
		{"broken PEM", []byte("-----BEGIN CERTIFICATE REQUEST-----\n"),
			"certificate request: the PEM text has no block that can be read, no CERTIFICATE REQUEST"},
		{"not DER", []byte("hello"), "certificate request: not a PKCS#10 request: "},
		{"cut off", good[:len(good)-5], "certificate request: not a PKCS#10 request: "},
		{"forged", forged, "certificate request: its signature is not by its own key: "},
	} {
		_, err := certs.ParseRequest(c.text)
		var refused *certs.RequestError
		if !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), c.want) || len(refused.Hints()) == 0 ||
			!strings.HasSuffix(c.want, ": ") && err.Error() != c.want {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParseRequestReadsWhatOpenSSLAndCerttoolMake(t *testing.T) {
	peer.Need(t, "openssl", "certtool")
	dir := t.TempDir()
	key := filepath.Join(dir, "key.pem")
	run := func(program string, args ...string) []byte {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, out)
		}
		return out
	}
	run("openssl", "genpkey", "-algorithm", "ED25519", "-out", key)
	csr := filepath.Join(dir, "csr.pem")
	run("openssl", "req", "-new", "-key", key, "-subj", "/C=GB/O=x/CN=h", "-addext", "subjectAltName=DNS:h,IP:192.0.2.7", "-out", csr)
	template := filepath.Join(dir, "template")
	if err := os.WriteFile(template, []byte("cn = \"h\"\norganization = \"x\"\ncountry = GB\ndns_name = \"h\"\nip_address = \"192.0.2.7\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	csr2 := filepath.Join(dir, "csr2.pem")
	run("certtool", "--generate-request", "--load-privkey", key, "--template", template, "--outfile", csr2)
	for file, subject := range map[string]string{csr: "C=GB,O=x,CN=h", csr2: "CN=h,O=x,C=GB"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := certs.ParseRequest(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got, _ := r.Subject.Text(); len(got) != len(subject) || len(r.Names) != 1 || len(r.Addresses) != 1 {
			t.Errorf("%s: got %q %+v, want %q in some order", file, got, r, subject)
		}
	}
}
