package ca

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// put writes a file for a peer.
func put(t testing.TB, path string, content []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// pair issues an identity and writes its two files.
func pair(t testing.TB, a *Authority, o Order, certPath, keyPath string) Issued {
	t.Helper()
	i, _ := issue(t, a, o)
	key, err := certs.MarshalKey(i.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, certPath, i.PEM(), 0o644)
	put(t, keyPath, key, 0o600)
	return i
}

// flat issues a server and a client identity into a flat directory.
func flat(t testing.TB, a *Authority, key certs.KeyAlgorithm) string {
	t.Helper()
	dir := peer.Dir(t)
	put(t, dir+"/cacert.pem", a.BundlePEM(), 0o644)
	for _, o := range []Order{order(t, certs.Server, "C=GB,CN=localhost", "127.0.0.1"), order(t, certs.Client, "C=GB,O=Example,CN=admin")} {
		o.Key = key
		pair(t, a, o, fmt.Sprintf("%s/%scert.pem", dir, o.Role), fmt.Sprintf("%s/%skey.pem", dir, o.Role))
	}
	return dir
}

func TestRealLibvirtAcceptsEveryKeyType(t *testing.T) {
	roots := peer.Roots(t)
	for _, key := range certs.KeyAlgorithms() {
		if testing.Short() && key != certs.ECDSAP256 {
			continue
		}
		s := spec(t)
		s.Key = key
		dir := flat(t, create(t, filepath.Join(t.TempDir(), "authority"), s), key)
		for _, root := range roots {
			place := peer.Place{Root: root.Dir}
			d := peer.Start(t, peer.Options{Dir: dir, Place: place})
			if !d.Ready {
				t.Errorf("%s: libvirtd %s does not start:\n%s", key, root.Libvirt, d.Log())
				continue
			}
			if r := place.Virsh(t, d.URI("pkipath="+dir)); r.Exit != 0 || r.Stderr != "" {
				t.Errorf("%s: virsh %s: %v\n%s", key, root.Libvirt, r, d.Log())
			}
			// Nothing to complain about in the log either.
			if m := d.Messages(); len(m) > 0 {
				t.Errorf("%s: libvirtd %s says %q", key, root.Libvirt, m)
			}
			d.Stop()
		}
	}
}

func TestRealLibvirtDemandsKeyEncipherment(t *testing.T) {
	// The same answer as TestStrictKeyUsageIsRefusedForOldVersions, from the real daemons: what the policy for new versions
	// issues starts those, and not 9.0.
	s := spec(t)
	s.Policy = Policy{Libvirt: Since(verify.V11_3)}
	dir := flat(t, create(t, filepath.Join(t.TempDir(), "authority"), s), certs.ECDSAP256)
	for _, root := range peer.Roots(t) {
		d := peer.Start(t, peer.Options{Dir: dir, Place: peer.Place{Root: root.Dir}})
		v, err := verify.ParseVersion(strings.TrimSpace(root.Libvirt))
		if root.Package != "" && err == nil {
			v, err = verify.ParseVersion(root.Package)
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Ready != v.NoKeyEncipherment {
			t.Errorf("libvirtd %s ready: %v\n%s", root.Libvirt, d.Ready, d.Log())
		}
		d.Stop()
	}
}

func TestAClientsKeyCannotPoseAsAServer(t *testing.T) {
	a := create(t, filepath.Join(t.TempDir(), "authority"), spec(t))
	dir := flat(t, a, certs.ECDSAP256)
	o := order(t, certs.Client, "CN=localhost", "localhost")
	pair(t, a, o, dir+"/servercert.pem", dir+"/serverkey.pem")
	d := peer.Start(t, peer.Options{Dir: dir})
	if want := "Certificate " + dir + "/servercert.pem purpose does not allow use for with a TLS server"; d.Ready || !strings.Contains(d.Log(), want) {
		t.Errorf("ready %v, log:\n%s\nwant %s", d.Ready, d.Log(), want)
	}
}

func TestQemuAcceptsOurIdentities(t *testing.T) {
	peer.Need(t, "qemu-nbd", "qemu-img")
	for _, key := range []certs.KeyAlgorithm{certs.RSA2048, certs.ECDSAP256, certs.Ed25519} {
		a := create(t, filepath.Join(t.TempDir(), "authority"), spec(t))
		dir := peer.Dir(t)
		put(t, dir+"/ca-cert.pem", a.BundlePEM(), 0o644)
		o := order(t, certs.Peer, "CN=localhost", "127.0.0.1")
		o.Key = key
		for _, side := range []string{"server", "client"} {
			pair(t, a, o, fmt.Sprintf("%s/%s-cert.pem", dir, side), fmt.Sprintf("%s/%s-key.pem", dir, side))
		}
		nbd := peer.StartNBD(t, peer.NBDOptions{Dir: dir, VerifyPeer: true})
		if !nbd.Ready {
			t.Fatalf("%s: qemu-nbd does not start:\n%s", key, nbd.Log())
		}
		if r := peer.QemuImg(t, "localhost", nbd.Port, dir); r.Exit != 0 {
			t.Errorf("%s: qemu-img: %v\n%s", key, r, nbd.Log())
		}
		nbd.Stop()
	}
}

func TestCerttoolAndOpenSSLAcceptTheChain(t *testing.T) {
	peer.Need(t, "certtool", "openssl")
	var limits Constraints
	for _, text := range []string{"example.com", "192.0.2.0/24", "2001:db8::/32"} {
		if err := limits.ParseConstraint(text, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := limits.ParseConstraint("secret.example.com", true); err != nil {
		t.Fatal(err)
	}
	for _, key := range certs.KeyAlgorithms() {
		for _, constraints := range []Constraints{{}, limits} {
			s := spec(t)
			s.Key, s.Constraints = key, constraints
			a := create(t, filepath.Join(t.TempDir(), "authority"), s)
			dir := t.TempDir()
			ca := put(t, dir+"/ca.pem", a.CertPEM(), 0o644)
			for _, o := range []Order{
				order(t, certs.Server, "CN=kvm1.example.com,C=GB", "192.0.2.1", "2001:db8::1"),
				order(t, certs.Peer, "CN=Host 1", "kvm1.example.com"),
				order(t, certs.Client, "O=Example,CN=admin"), // its CN is no DNS name, and not judged as one
			} {
				i, _ := issue(t, a, o)
				leaf := put(t, dir+"/leaf.pem", i.PEM(), 0o644)
				if r := peer.Run(t, "certtool", "--verify", "--load-ca-certificate", ca, "--infile", leaf); r.Exit != 0 ||
					!strings.Contains(r.Stdout, "Chain verification output: Verified. The certificate is trusted.") {
					t.Errorf("%s, constraints %v, %v: certtool: %v", key, !constraints.IsZero(), o.Role, r)
				}
				if r := peer.Run(t, "openssl", "verify", "-x509_strict", "-CAfile", ca, leaf); r.Exit != 0 {
					t.Errorf("%s, constraints %v, %v: openssl: %v", key, !constraints.IsZero(), o.Role, r)
				}
			}
			if !constraints.IsZero() {
				// What Prepare refuses, GnuTLS refuses: a name is changed behind its back.
				p, err := a.Prepare(time.Now(), order(t, certs.Server, "CN=kvm1.example.com"))
				if err != nil {
					t.Fatal(err)
				}
				p.template.DNSNames = []string{"kvm1.example.org"}
				outside, err := a.Issue(context.Background(), p)
				if err != nil {
					t.Fatal(err)
				}
				leaf := put(t, dir+"/leaf.pem", outside.PEM(), 0o644)
				if r := peer.Run(t, "certtool", "--verify", "--load-ca-certificate", ca, "--infile", leaf); r.Exit == 0 {
					t.Errorf("%s: certtool accepts a name outside the constraints: %v", key, r)
				}
			}
		}
	}
}

func TestCerttoolAndOpenSSLReadTheCAKey(t *testing.T) {
	peer.Need(t, "certtool", "openssl")
	for _, pass := range []string{"", "correct horse"} {
		s := spec(t)
		s.Passphrase = []byte(pass)
		dir := filepath.Join(t.TempDir(), "authority")
		create(t, dir, s)
		key := dir + "/private/cakey.pem"
		wantKey := peer.OpenSSL(t, "x509", "-in", dir+"/cacert.pem", "-noout", "-pubkey")
		if got := peer.OpenSSL(t, "pkey", "-in", key, "-passin", "pass:"+pass, "-pubout"); got != wantKey {
			t.Errorf("passphrase %q: openssl reads another key", pass)
		}
		args := []string{"certtool", "--key-info", "--infile", key}
		if pass != "" {
			args = append(args, "--password", pass)
		}
		if r := peer.Run(t, args...); r.Exit != 0 || !strings.Contains(r.Stdout, "EC/ECDSA") {
			t.Errorf("passphrase %q: certtool: %v", pass, r)
		}
	}
}

func TestCAsOfCerttoolAndOpenSSLAreTakenOver(t *testing.T) {
	peer.Need(t, "certtool", "openssl")
	dir := t.TempDir()
	template := put(t, dir+"/ca.cfg", []byte("cn = Template CA\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 700\n"), 0o644)
	limited := put(t, dir+"/limited.cfg", []byte("cn = Template CA\nca\ncert_signing_key\nnc_permit_dns = example.com\nexpiration_days = 700\n"), 0o644)
	certtool := func(template string, privkey ...string) func(cert, key string) {
		return func(cert, key string) {
			peer.Certtool(t, append([]string{"--generate-privkey", "--outfile", key}, privkey...)...)
			args := []string{"--generate-self-signed", "--load-privkey", key, "--template", template, "--outfile", cert}
			for i, a := range privkey {
				if a == "--password" {
					args = append(args, "--password", privkey[i+1])
				}
			}
			peer.Certtool(t, args...)
		}
	}
	openssl := func(newkey ...string) func(cert, key string) {
		return func(cert, key string) {
			peer.OpenSSL(t, append([]string{"req", "-x509", "-subj", "/O=Example/CN=OpenSSL CA", "-days", "700", "-out", cert, "-keyout", key}, newkey...)...)
		}
	}
	for _, tt := range []struct {
		name       string
		make       func(cert, key string)
		passphrase string
	}{
		{"certtool, RSA", certtool(template, "--key-type", "rsa", "--bits", "2048"), ""},
		{"certtool, ECDSA", certtool(template, "--key-type", "ecdsa", "--curve", "secp384r1"), ""},
		{"certtool, Ed25519, PKCS#8 encrypted", certtool(template, "--key-type", "ed25519", "--pkcs8", "--password", "horse"), "horse"},
		{"certtool, constrained", certtool(limited, "--key-type", "ecdsa", "--curve", "secp256r1"), ""},
		{"openssl, RSA, encrypted", openssl("-newkey", "rsa:3072", "-passout", "pass:horse"), "horse"},
		{"openssl, ECDSA", openssl("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"), ""},
		{"openssl, SEC1 with parameters", func(cert, key string) {
			peer.OpenSSL(t, "ecparam", "-name", "prime256v1", "-genkey", "-out", key)
			peer.OpenSSL(t, "req", "-x509", "-new", "-key", key, "-subj", "/CN=OpenSSL CA", "-days", "700", "-out", cert)
		}, ""},
		{"openssl, PKCS#1 encrypted the old way", func(cert, key string) {
			peer.OpenSSL(t, "genrsa", "-traditional", "-aes128", "-passout", "pass:horse", "-out", key, "2048")
			peer.OpenSSL(t, "req", "-x509", "-new", "-key", key, "-passin", "pass:horse", "-subj", "/CN=OpenSSL CA", "-days", "700", "-out", cert)
		}, "horse"},
	} {
		sub := t.TempDir()
		cert, key := sub+"/cert.pem", sub+"/key.pem"
		tt.make(cert, key)
		certText, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		keyText, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Adopt(context.Background(), sub+"/authority", Adoption{Cert: certText, Key: keyText, CertPath: cert, KeyPath: key,
			KeyPassphrase: []byte(tt.passphrase), Passphrase: []byte("ours"), Now: time.Now()})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if strings.Contains(tt.name, "constrained") && strings.Join(a.Constraints().PermittedNames, " ") != "example.com" {
			t.Errorf("%s: constraints %+v", tt.name, a.Constraints())
		}
		i, _ := issue(t, a, order(t, certs.Server, "CN=kvm1.example.com"))
		leaf := put(t, sub+"/leaf.pem", i.PEM(), 0o644)
		peer.OpenSSL(t, "verify", "-CAfile", cert, leaf)
		if r := peer.Run(t, "certtool", "--verify", "--load-ca-certificate", cert, "--infile", leaf); r.Exit != 0 {
			t.Errorf("%s: certtool: %v", tt.name, r)
		}
		a.Close()
	}
}

func TestRequestsOfCerttoolAndOpenSSL(t *testing.T) {
	peer.Need(t, "certtool", "openssl")
	a, _ := authority(t, Policy{})
	dir := t.TempDir()
	template := put(t, dir+"/csr.cfg", []byte("cn = kvm1.example.com\norganization = Example\ndns_name = kvm1\nip_address = 192.0.2.1\n"), 0o644)
	for _, tt := range []struct {
		name string
		make func(csr, key string)
	}{
		{"certtool", func(csr, key string) {
			peer.Certtool(t, "--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", key)
			peer.Certtool(t, "--generate-request", "--load-privkey", key, "--template", template, "--outfile", csr)
		}},
		{"openssl", func(csr, key string) {
			peer.OpenSSL(t, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", "/O=Example/CN=kvm1.example.com",
				"-addext", "subjectAltName=DNS:kvm1,IP:192.0.2.1")
		}},
	} {
		csrPath, key := dir+"/"+tt.name+".csr", dir+"/"+tt.name+".key"
		tt.make(csrPath, key)
		text, err := os.ReadFile(csrPath)
		if err != nil {
			t.Fatal(err)
		}
		csr, err := ParseCSR(text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		i, err := a.IssueCSR(context.Background(), time.Now(), csr, Order{Host: "kvm1", Request: certs.Request{Role: certs.Server}})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := fmt.Sprint(i.Entry.Names, i.Entry.Addresses); got != "[kvm1 kvm1.example.com] [192.0.2.1]" {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}
