package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/remote"
)

// A shell runs the program as it is shipped, with an environment.
type shell struct {
	t    *testing.T
	path string
	env  []string
}

// newShell builds the programs.
func newShell(t *testing.T, env ...string) shell {
	t.Helper()
	path := peer.Build(t, "virt-pki")
	peer.Build(t, "virt-pki-pkcs11") // beside it
	return shell{t, path, env}
}

// run runs the program, which has to succeed.
func (s shell) run(args ...string) string {
	s.t.Helper()
	return peer.Place{Env: s.env, Timeout: time.Minute}.Must(s.t, append([]string{s.path}, args...)...)
}

// fail runs the program, which has to end with a status and say something; it gives what is on standard error.
func (s shell) fail(status int, args ...string) string {
	s.t.Helper()
	r := peer.Place{Env: s.env, Timeout: time.Minute}.Run(s.t, append([]string{s.path}, args...)...)
	if r.Exit != status {
		s.t.Fatalf("virt-pki %q: %v", args, r)
	}
	return r.Stderr
}

// serve starts ca serve on a free port of loopback until the test ends.
func (s shell) serve(args ...string) (*peer.Process, string) {
	s.t.Helper()
	host := fmt.Sprintf("127.0.0.1:%d", peer.FreePort(s.t, "127.0.0.1"))
	p := peer.Place{Env: s.env}.Start(s.t, append([]string{s.path, "ca", "serve", "--listen", host}, args...)...)
	if !p.WaitLog("virt-pki: serving", 10*time.Second) {
		s.t.Fatalf("ca serve does not come up:\n%s", p.Log())
	}
	return p, host
}

// oddName is a name that much software turns, merges or encodes anew.
const oddName = `DC=org,DC=example,OU=second,OU=first,O=Acme\, Inc.,C=GB,EMAIL=a@example.org,ST=Ü`

// TestTheKeyMayBeInFourPlaces goes the whole way with each: init, issue, renew, revoke and the list, with names whose bytes
// must survive.
func TestTheKeyMayBeInFourPlaces(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	dir := t.TempDir()
	pin := put(t, dir+"/pin", []byte(hsm.PIN+"\n"), 0o600)
	secret := put(t, dir+"/passphrase", []byte("secret\n"), 0o600)
	hmac := put(t, dir+"/auth.key", []byte(strings.Repeat("0123456789abcdef", 4)), 0o600)
	s := newShell(t, hsm.Env...)
	uri := func(object string) string {
		return "pkcs11:token=ca;object=" + object + "?module-path=" + hsm.Module + "&pin-source=file:" + pin
	}

	// The one that signs for the last case, with a name as odd.
	far := filepath.Join(dir, "far")
	s.run("init", "--out", far, "--no-passphrase", "--quiet", "--ca-subject", oddName+",CN=CA", "--client", "operator")
	_, host := s.serve("--authority", far+"/authority", "--auth-key", hmac)

	for _, c := range []struct {
		name       string
		init, with []string
		signs      bool // here
	}{
		{"a file", []string{"--no-passphrase"}, []string{"--no-passphrase"}, true},
		{"an encrypted file", []string{"--passphrase-file", secret}, []string{"--passphrase-file", secret}, true},
		{"a token, RSA", []string{"--ca-key-type", "rsa2048", "--ca-key", uri("rsa")}, nil, true},
		{"a token, P-256", []string{"--ca-key", uri("p256")}, nil, true},
		{"a token, P-384", []string{"--ca-key-type", "ecdsa-p384", "--ca-key", uri("p384")}, nil, true},
		{"a token, Ed25519", []string{"--ca-key-type", "ed25519", "--ca-key", uri("ed")}, nil, true},
		{"a remote signer", []string{"--signer", "cfssl://" + host, "--signer-auth-key", hmac}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s
			s.t = t
			out := filepath.Join(t.TempDir(), "cluster")
			init := append([]string{"init", "--out", out, "--quiet", "--base", oddName, "--peer", "kvm1.example.com,192.0.2.1", "--client", "admin"}, c.init...)
			if c.signs {
				init = append(init, "--ca-subject", oddName+",CN=CA")
			}
			s.run(init...)
			authority := out + "/authority"
			s.run(append([]string{"issue", "client", "bob", "--out", out, "--base", oddName, "--quiet"}, c.with...)...)
			csr := put(t, filepath.Join(t.TempDir(), "dave.csr"), request(t, testpki.ECDSAP384, oddName+",CN=dave", nil), 0o644)
			s.run(append([]string{"issue", "client", "dave", "--csr", csr, "--out", out, "--quiet"}, c.with...)...)
			s.run(append([]string{"renew", "admin", "--out", out, "--quiet"}, c.with...)...)
			s.run(append([]string{"renew", "kvm1.example.com", "--same-key", "--out", out, "--quiet"}, c.with...)...)

			for file, cn := range map[string]string{"admin/etc/pki/libvirt/clientcert.pem": "admin", "bob/etc/pki/libvirt/clientcert.pem": "bob", "dave/etc/pki/libvirt/clientcert.pem": "dave",
				"kvm1.example.com/etc/pki/libvirt/servercert.pem": "kvm1.example.com"} {
				text, err := os.ReadFile(filepath.Join(out, file))
				if err != nil {
					t.Fatal(err)
				}
				block, _ := pem.Decode(text)
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				if whole := name(t, oddName+",CN="+cn); !bytes.Equal(cert.RawSubject, whole.DER()) {
					t.Errorf("%s: subject %x, want %x", file, cert.RawSubject, whole.DER())
				}
				if ca := name(t, oddName+",CN=CA"); !bytes.Equal(cert.RawIssuer, ca.DER()) {
					t.Errorf("%s: issuer %x, want %x", file, cert.RawIssuer, ca.DER())
				}
				if got := peer.QueryDN(t, filepath.Join(out, file)); !strings.Contains(got.Stdout, oddName+",CN="+cn) {
					t.Errorf("%s: virt-pki-query-dn: %v", file, got)
				}
			}
			// Everything that was signed is known here.
			var list struct {
				Certificates []struct{ Name, Serial, State string }
			}
			if err := json.Unmarshal([]byte(s.run("list", "--all", "--json", "--authority", authority)), &list); err != nil {
				t.Fatal(err)
			}
			states := map[string]int{}
			for _, e := range list.Certificates {
				states[e.State]++
			}
			if len(list.Certificates) < 6 || states["issued"] != 0 {
				t.Errorf("the inventory: %+v", list)
			}

			s.run("revoke", "bob", "--authority", authority, "--quiet")
			if !c.signs {
				if said := s.fail(3, "crl", "publish", "--out", out); !strings.Contains(said, "revocation lists are made there") {
					t.Errorf("crl publish: %s", said)
				}
				return
			}
			s.run(append([]string{"crl", "publish", "--out", out, "--quiet"}, c.with...)...)
			certtool := peer.Certtool(t, "--verify-crl", "--load-ca-certificate", authority+"/cacert.pem", "--infile", out+"/admin/etc/pki/CA/cacrl.pem")
			if !strings.Contains(certtool, "Verified") {
				t.Errorf("certtool of the list: %s", certtool)
			}
			if got := s.fail(1, "crl", "check", out+"/admin/etc/pki/CA/cacrl.pem", out+"/bob/etc/pki/libvirt/clientcert.pem"); got != "" {
				t.Errorf("crl check: %s", got)
			}
		})
	}
}

func TestWhatGoesWrongWithATokenLeavesAllAsItWas(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	dir := t.TempDir()
	pin := put(t, dir+"/pin", []byte(hsm.PIN+"\n"), 0o600)
	wrong := put(t, dir+"/wrong", []byte("9999-geheim\n"), 0o600)
	s := newShell(t, hsm.Env...)
	m := "?module-path=" + hsm.Module
	good := "pkcs11:token=ca;object=root" + m + "&pin-source=" + pin
	make := func(uri string, more ...string) []string {
		return append([]string{"init", "--pkipath", dir + "/pki", "--server", "localhost", "--client", "admin", "--ca-key", uri, "--quiet"}, more...)
	}
	keys := func() int {
		r := peer.Place{Env: append(slices.Clone(hsm.Env), "GNUTLS_PIN="+hsm.PIN)}.Run(t, "p11tool", "--provider", hsm.Module, "--login", "--batch", "--list-privkeys", "pkcs11:token=ca")
		return strings.Count(r.Stdout, "Object ")
	}
	if got := keys(); got != 0 {
		t.Fatalf("%d keys", got)
	}
	for _, c := range []struct {
		name   string
		status int
		args   []string
		want   string
	}{
		{"a wrong PIN", 3, make("pkcs11:token=ca;object=root" + m + "&pin-source=" + wrong), `virt-pki: error: the CA's key: the PIN of token "ca" is wrong`},
		{"no PIN", 3, make("pkcs11:token=ca;object=root" + m), `virt-pki: error: the CA's key: token "ca" wants its PIN`},
		{"a PIN in the URI", 2, make("pkcs11:token=ca;object=root" + m + "&pin-value=9999-geheim"), "the PIN does not belong into the command line"},
		{"no token", 3, make("pkcs11:token=cb;object=root" + m), "no token fits the URI"},
		{"no module", 3, make("pkcs11:token=ca;object=root?module-path=/nonexistent.so"), `the PKCS#11 module "/nonexistent.so": no such file or directory`},
		{"a URI that is none", 2, make("pkcs11:objekt=root&pin-value=geheim"), `at character 8: there is no attribute "objekt"`},
		{"a key without a name", 3, make("pkcs11:token=ca" + m + "&pin-source=" + pin), "a new key needs a name in the URI, object or id"},
		{"the key of a CA that has another", 3, make("pkcs11:token=ca;object=root"+m+"&pin-source="+pin, "--ca-cert", put(t, dir+"/other.pem", otherCA(t), 0o600)), "no private key of token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s
			s.t = t
			said := s.fail(c.status, c.args...)
			if !strings.Contains(said, c.want) || strings.Contains(said, "geheim") {
				t.Errorf("it says: %s", said)
			}
			if _, err := os.Stat(dir + "/pki"); err == nil {
				t.Error("something was made")
			}
			if got := keys(); got != 0 {
				t.Errorf("%d keys are in the token", got)
			}
		})
	}

	// A failure after the key was made: files cannot become large enough for the inventory. The key is removed.
	r := peer.Place{Env: s.env}.Run(t, append([]string{"sh", "-c", `ulimit -f 40; exec "$@"`, "sh", s.path}, make(good)...)...)
	if r.Exit != 3 || !strings.Contains(r.Stderr, "inventory.db") {
		t.Errorf("with small files: %v", r)
	}
	if got := keys(); got != 0 {
		t.Errorf("%d keys are in the token after an init that failed", got)
	}

	// A key that an interrupted run left is used.
	s.run(make(good)...)
	if got := keys(); got != 1 {
		t.Fatalf("%d keys", got)
	}
	if err := os.Rename(dir+"/pki", dir+"/first"); err != nil {
		t.Fatal(err)
	}
	if r := (peer.Place{Env: s.env}).Run(t, append([]string{s.path}, make(good)...)...); r.Exit != 0 || !strings.Contains(r.Stderr, `hint: the key was in token "ca" already and is used as it is`) {
		t.Errorf("a second run: %v", r)
	}

	// The token is gone: nothing is recorded, and when it is back all goes on.
	before := s.run("list", "--all", "--json", "--authority", dir+"/pki/authority")
	if err := os.Rename(hsm.Tokens, hsm.Tokens+".away"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"issue", "client", "bob", "--authority", dir + "/pki/authority", "--pkipath", dir + "/bob"},
		{"renew", "admin", "--pkipath", dir + "/pki"}, {"crl", "publish", "--pkipath", dir + "/pki"}} {
		if said := s.fail(3, args...); !strings.Contains(said, "virt-pki: error: the CA's key: ") {
			t.Errorf("%q without a token: %s", args, said)
		}
	}
	if after := s.run("list", "--all", "--json", "--authority", dir+"/pki/authority"); after != before {
		t.Errorf("the inventory has changed:\n%s\n%s", before, after)
	}
	if _, err := os.Stat(dir + "/bob"); err == nil {
		t.Error("files were made without a token")
	}
	if err := os.Rename(hsm.Tokens+".away", hsm.Tokens); err != nil {
		t.Fatal(err)
	}
	s.run("issue", "client", "bob", "--authority", dir+"/pki/authority", "--pkipath", dir+"/bob", "--quiet")

	// It goes away in the middle: after some of the signatures.
	after := func(requests int) shell {
		program := put(t, fmt.Sprintf("%s/pkcs11-%d", dir, requests), []byte(fmt.Sprintf("#!/bin/sh\nsed -u %dq | %s\n", requests, peer.Build(t, "virt-pki-pkcs11"))), 0o700)
		short := s
		short.env = append(slices.Clone(s.env), "VIRT_PKI_PKCS11="+program)
		return short
	}
	before = s.run("list", "--all", "--json", "--authority", dir+"/pki/authority")
	files, err := os.ReadFile(dir + "/pki/clientcert.pem")
	if err != nil {
		t.Fatal(err)
	}
	if said := after(2).fail(3, "renew", "--all", "--pkipath", dir+"/pki", "--pkipath", dir+"/bob"); !strings.Contains(said, "virt-pki-pkcs11, which speaks with the token, has ended") {
		t.Errorf("renew: %s", said)
	}
	now, err := os.ReadFile(dir + "/pki/clientcert.pem")
	if err != nil || !bytes.Equal(now, files) || s.run("list", "--all", "--json", "--authority", dir+"/pki/authority") != before {
		t.Errorf("a renewal that failed has changed something (%v)", err)
	}
	s.run("renew", "--all", "--pkipath", dir+"/pki", "--pkipath", dir+"/bob", "--quiet")
	again := []string{"init", "--pkipath", dir + "/third", "--server", "localhost", "--client", "admin", "--quiet", "--ca-key", strings.Replace(good, "root", "third", 1)}
	if said := after(3).fail(3, again...); !strings.Contains(said, "has ended") || !strings.Contains(said, `the key that was made in token "ca" stays there, unused`) {
		t.Errorf("init: %s", said)
	}
	if _, err := os.Stat(dir + "/third"); err == nil {
		t.Error("half a cluster was made")
	}
	s.run(again...)
	if got := keys(); got != 2 {
		t.Errorf("%d keys are in the token, want 2", got)
	}

	// Its own CA certificate, taken over anew with the key in the token.
	s.run("init", "--pkipath", dir+"/taken", "--client", "x", "--server", "localhost", "--quiet", "--ca-cert", dir+"/pki/cacert.pem", "--ca-key", good)
}

func TestACAWithItsKeyInATokenIsReplaced(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	dir := t.TempDir()
	pin := put(t, dir+"/pin", []byte(hsm.PIN+"\n"), 0o600)
	s := newShell(t, hsm.Env...)
	uri := func(object string) string {
		return "pkcs11:token=ca;object=" + object + "?module-path=" + hsm.Module + "&pin-source=" + pin
	}
	s.run("init", "--out", dir+"/c", "--server", "kvm1", "--client", "admin", "--quiet", "--ca-key", uri("one"))
	s.run("issue", "client", "bob", "--out", dir+"/c", "--quiet")
	s.run("revoke", "bob", "--authority", dir+"/c/authority", "--quiet")
	s.run("crl", "publish", "--out", dir+"/c", "--quiet")
	if err := os.RemoveAll(dir + "/c/bob"); err != nil {
		t.Fatal(err)
	}
	place := func() string {
		t.Helper()
		a, err := Open(context.Background(), dir+"/c/authority")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		p, err := a.Place()
		if err != nil {
			t.Fatal(err)
		}
		return p.Token
	}
	if said := s.fail(2, "ca", "rotate", "trust", "--out", dir+"/c", "--yes", "--new-ca-key", place()); !strings.Contains(said, "--new-ca-key is the old CA's key") {
		t.Errorf("the same key: %s", said)
	}
	stages := func(more ...string) {
		t.Helper()
		for i, stage := range []string{"trust", "issue", "switch", "prune"} {
			args := []string{"ca", "rotate", stage, "--out", dir + "/c", "--yes", "--quiet", "--by-hand", "bob"}
			if i == 0 {
				args = append(args, more...)
			}
			s.run(args...)
			if stage == "issue" || stage == "switch" { // both keys are at work
				s.run("issue", "client", fmt.Sprintf("%s%d", stage, len(more)), "--out", dir+"/c", "--quiet")
				s.run("crl", "publish", "--out", dir+"/c", "--quiet")
			}
		}
	}
	stages("--new-ca-key", uri("two"), "--key-type", "ecdsa-p384")
	if got := place(); !strings.Contains(got, "object=two") {
		t.Errorf("the key is in %q", got)
	}
	stages("--no-passphrase")
	if got := place(); got != "" {
		t.Errorf("the key is in %q, not in the directory", got)
	}
	if _, err := os.Stat(dir + "/c/authority/signer.json"); err == nil {
		t.Error("signer.json is still there")
	}
	s.run("issue", "client", "last", "--out", dir+"/c", "--quiet")
	s.run("check", dir+"/c/last")
}

// otherCA gives the certificate of another CA.
func otherCA(t *testing.T) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "other")
	return create(t, dir, spec(t)).CertPEM()
}

func TestARemoteSignerThatIsSilentOrGoneLeavesAllAsItWas(t *testing.T) {
	dir := t.TempDir()
	hmac := put(t, dir+"/auth.key", []byte(strings.Repeat("0123456789abcdef", 4)), 0o600)
	wrong := put(t, dir+"/wrong.key", []byte(strings.Repeat("fedcba9876543210", 4)), 0o600)
	s := newShell(t)
	s.run("init", "--out", dir+"/far", "--no-passphrase", "--quiet", "--server", "localhost,127.0.0.1", "--client", "operator", "--client", "thief")
	far := dir + "/far/authority"
	tls := func(tree, role string) []string {
		return []string{dir + "/far/" + tree + "/etc/pki/libvirt/" + role + "cert.pem", dir + "/far/" + tree + "/etc/pki/libvirt/private/" + role + "key.pem"}
	}
	server, operator, thief := tls("localhost", "server"), tls("operator", "client"), tls("thief", "client")
	p, host := s.serve("--authority", far, "--auth-key", hmac, "--tls-cert", server[0], "--tls-key", server[1], "--client-ca", far+"/cacert.pem")
	signer := func(key string, id []string) []string {
		return []string{"--signer", "cfssl://" + host, "--signer-auth-key", key, "--signer-ca", far + "/cacert.pem", "--signer-cert", id[0], "--signer-cert-key", id[1]}
	}
	s.run(append([]string{"init", "--out", dir + "/near", "--quiet", "--client", "bob", "--server", "kvm9"}, signer(hmac, operator)...)...)
	near := dir + "/near/authority"
	before := s.run("list", "--all", "--json", "--authority", near)
	issue := func(more ...string) []string {
		return append([]string{"issue", "client", "carol", "--out", dir + "/near"}, more...)
	}
	check := func(name, want string, args ...string) {
		t.Helper()
		if said := s.fail(3, args...); !strings.Contains(said, want) {
			t.Errorf("%s: %s", name, said)
		}
		if after := s.run("list", "--all", "--json", "--authority", near); after != before {
			t.Errorf("%s: the inventory has changed", name)
		}
		if _, err := os.Stat(dir + "/near/carol"); err == nil {
			t.Errorf("%s: files were made", name)
		}
	}
	check("a wrong HMAC key", "it refuses: invalid token", issue(signer(wrong, operator)...)...)
	s.run("revoke", "thief", "--authority", far, "--quiet")
	check("a revoked client", `it refuses: the certificate of "CN=thief" is revoked`, issue(signer(hmac, thief)...)...)
	check("longer than the policy there", "the authority's policy ends it on", issue("--lifetime", "2y")...)
	p.Signal(syscall.SIGSTOP)
	check("a silent signer", "it did not answer within 1s", issue(append(signer(hmac, operator), "--signer-timeout", "1s")...)...)
	p.Signal(syscall.SIGCONT)
	s.run(append(issue(), "--quiet")...)
	if log := p.Log(); !strings.Contains(log, `"CN=operator" "/api/v1/cfssl/authsign" 200`) || !strings.Contains(log, "client CN=carol, serial ") {
		t.Errorf("the log:\n%s", log)
	}
	before = s.run("list", "--all", "--json", "--authority", near)
	if err := os.Rename(dir+"/near/carol", dir+"/carol"); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGTERM)
	if status, ok := p.Wait(10 * time.Second); !ok || status != 0 {
		t.Errorf("ca serve ended with %d:\n%s", status, p.Log())
	}
	check("nobody there", "no connection: connection refused", issue()...)
}

// TestSeveralOperatorsAtOneSigner has operators with inventories of their own, and two who share the signer's.
func TestSeveralOperatorsAtOneSigner(t *testing.T) {
	dir := t.TempDir()
	hmac := put(t, dir+"/auth.key", []byte(strings.Repeat("0123456789abcdef", 4)), 0o600)
	s := newShell(t)
	s.run("init", "--out", dir+"/far", "--no-passphrase", "--quiet", "--client", "operator")
	shared := dir + "/far/authority/inventory.db"
	p, host := s.serve("--authority", dir+"/far/authority", "--auth-key", hmac)
	const operators, each = 4, 3
	signer := []string{"--signer", "cfssl://" + host, "--signer-auth-key", hmac}
	for i := range operators {
		s.run(append([]string{"init", "--out", fmt.Sprintf("%s/op%d", dir, i), "--quiet", "--client", fmt.Sprintf("first%d", i)}, signer...)...)
	}
	done := make(chan peer.Result)
	for i := range operators {
		go func() {
			for n := range each {
				args := []string{s.path, "issue", "client", fmt.Sprintf("c%d-%d", i, n), "--quiet", "--out", fmt.Sprintf("%s/op%d", dir, i)}
				if i < 2 {
					args = append(args, "--db", shared)
				}
				done <- peer.Place{Timeout: time.Minute}.Run(t, args...)
			}
		}()
	}
	for range operators * each {
		if r := <-done; r.Exit != 0 {
			t.Errorf("issue: %v", r)
		}
	}
	count := func(args ...string) (all int, serials map[string]bool) {
		var list struct {
			Certificates []struct{ Name, Serial, State, Layout string }
		}
		if err := json.Unmarshal([]byte(s.run(append([]string{"list", "--all", "--json"}, args...)...)), &list); err != nil {
			t.Fatal(err)
		}
		serials = map[string]bool{}
		for _, c := range list.Certificates {
			serials[c.Serial] = true
			if c.State != "published" || c.Layout != "libvirt" {
				t.Errorf("%v: %+v", args, c)
			}
		}
		return len(list.Certificates), serials
	}
	all, serials := count("--authority", dir+"/far/authority")
	if want := 1 + operators + operators*each; all != want || len(serials) != want {
		t.Errorf("%d certificates with %d serial numbers, want %d:\n%s", all, len(serials), want, p.Log())
	}
	if own, _ := count("--authority", dir+"/op3/authority"); own != 1+each {
		t.Errorf("the operator's own inventory has %d certificates", own)
	}
	// With a shared inventory a revocation counts where the list is made.
	said := s.run("revoke", "c0-0", "--authority", dir+"/op0/authority", "--db", shared)
	if !strings.Contains(said, "on the machine that signs, cfssl://"+host) {
		t.Errorf("revoke says: %s", said)
	}
	if said := s.run("crl", "publish", "--authority", dir+"/far/authority"); !strings.Contains(said, "1 certificate revoked") {
		t.Errorf("crl publish says: %s", said)
	}
}

// TestCfsslSignsForUs has the real cfssl sign: what survives its rules is taken, with a warning, and the rest is refused.
func TestCfsslSignsForUs(t *testing.T) {
	peer.Need(t, "cfssl")
	dir := t.TempDir()
	root := create(t, filepath.Join(dir, "ca"), spec(t))
	root.Close()
	day := "8760h"
	usages := func(more ...string) map[string]any {
		return map[string]any{"expiry": day, "usages": append([]string{"digital signature", "key encipherment"}, more...)}
	}
	f := peer.StartCFSSL(t, peer.CFSSLOptions{CA: dir + "/ca/cacert.pem", CAKey: dir + "/ca/private/cakey.pem",
		Profiles: map[string]map[string]any{"server": usages("server auth"), "client": usages("client auth")}})
	place := RemotePlace{URL: "cfssl://" + f.Host, AuthKey: f.AuthKey}
	client, err := place.Client(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := client.CA(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, err := Adopt(context.Background(), filepath.Join(dir, "here"), Adoption{Cert: text, Now: time.Now(), Remote: client, Place: Place{Remote: &place}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, c := range []struct {
		name string
		o    Order
		want string // "": it is issued
	}{
		{"a server", order(t, certs.Server, "C=GB,O=Acme,CN=kvm1.example.com", "192.0.2.1"), ""},
		{"a client with a name in cfssl's order", order(t, certs.Client, "C=GB,ST=London,L=London,O=Acme,OU=virt,CN=bob"), ""},
		{"a name that cfssl turns", order(t, certs.Client, "CN=bob,O=Acme,C=GB"), `its subject is "C=GB,O=Acme,CN=bob"`},
		{"two OUs, which cfssl merges", order(t, certs.Client, "O=Acme,OU=b,OU=a,CN=bob"), `its subject is "O=Acme,OU=`},
		{"a profile that cfssl does not have", order(t, certs.Peer, "CN=kvm2.example.com"), `its keyUsage is none, not digitalSignature, keyEncipherment`},
		{"dates that cfssl does not take", until(order(t, certs.Client, "CN=bob"), time.Now().Add(90*24*time.Hour)), "later than "},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := a.Prepare(time.Now(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Issue(context.Background(), p)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Findings) != 1 || got.Findings[0].Rule != ruleNotCritical.ID {
				t.Errorf("findings: %v", got.Findings)
			}
			if e, err := a.Inventory().Get(context.Background(), got.Entry.Key); err != nil || !bytes.Equal(e.PEM, got.PEM()) {
				t.Errorf("the inventory: %v", err)
			}
		})
	}
	// The same over TLS with certificates at both ends.
	web := testpki.NewCA(t)
	host, operator := web.Server("127.0.0.1"), web.Client("operator")
	file := func(name string, text []byte) string { return put(t, filepath.Join(dir, name), text, 0o600) }
	secure := peer.StartCFSSL(t, peer.CFSSLOptions{CA: dir + "/ca/cacert.pem", CAKey: dir + "/ca/private/cakey.pem",
		Profiles: map[string]map[string]any{"client": usages("client auth")},
		Args:     []string{"-tls-cert", file("host.pem", host.CertPEM()), "-tls-key", file("host.key", host.KeyPEM()), "-mutual-tls-ca", file("web.pem", web.CertPEM())}})
	through := RemotePlace{URL: "cfssl://" + secure.Host, AuthKey: secure.AuthKey, CA: dir + "/web.pem", Cert: file("op.pem", operator.CertPEM()), Key: file("op.key", operator.KeyPEM())}
	for _, c := range []struct {
		name, cert, key, want string
	}{{"with a certificate", through.Cert, through.Key, ""}, {"without one", "", "", "it ended the TLS handshake: tls: "},
		{"with a server's", dir + "/host.pem", dir + "/host.key", "it ended the TLS handshake: tls: "}} {
		through.Cert, through.Key = c.cert, c.key
		client, err := through.Client(time.Now)
		if err != nil {
			t.Fatal(err)
		}
		a.UseRemote(client)
		p, err := a.Prepare(time.Now(), order(t, certs.Client, "C=GB,O=Acme,CN=carol"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = a.Issue(context.Background(), p); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("over TLS %s: %v", c.name, err)
		}
	}
	// The key of another operator.
	other := place
	other.AuthKey = put(t, dir+"/other.key", []byte(strings.Repeat("ab01", 16)), 0o600)
	stranger, err := other.Client(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Sign(context.Background(), remote.Request{CSR: []byte("x"), Profile: "server"}); err == nil || !strings.Contains(err.Error(), "it refuses: invalid token") {
		t.Errorf("with a wrong key: %v", err)
	}
	all, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil || len(all) != 3 {
		t.Errorf("%d entries (%v)", len(all), err)
	}
}

// TestCfsslsClientIsServed has the real cfssl as a client of ca serve.
func TestCfsslsClientIsServed(t *testing.T) {
	peer.Need(t, "cfssl", "openssl")
	dir := t.TempDir()
	key := strings.Repeat("0123456789abcdef", 4)
	hmac := put(t, dir+"/auth.key", []byte(key), 0o600)
	s := newShell(t)
	s.run("init", "--out", dir+"/far", "--no-passphrase", "--quiet", "--client", "operator")
	_, host := s.serve("--authority", dir+"/far/authority", "--auth-key", hmac)
	config := put(t, dir+"/config.json", []byte(`{"signing":{"default":{"auth_remote":{"remote":"far","auth_key":"k"}},
		"profiles":{"server":{"auth_remote":{"remote":"far","auth_key":"k"}}}},
		"auth_keys":{"k":{"type":"standard","key":"`+key+`"}},"remotes":{"far":"http://`+host+`"}}`), 0o600)
	peer.OpenSSL(t, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", dir+"/key.pem", "-out", dir+"/req.pem",
		"-subj", "/CN=kvm7.example.com/O=Acme/C=GB")
	out := peer.Place{}.Must(t, "cfssl", "sign", "-config", config, "-profile", "server", "-hostname", "kvm7.example.com,192.0.2.7", dir+"/req.pem")
	var answer struct{ Cert string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	block, _ := pem.Decode([]byte(answer.Cert))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := nameOf(cert); got != "CN=kvm7.example.com,O=Acme,C=GB" || len(cert.IPAddresses) != 1 {
		t.Errorf("certificate of %s for %v", got, cert.IPAddresses)
	}
	if list := s.run("list", "--authority", dir+"/far/authority"); !strings.Contains(list, "kvm7.example.com") {
		t.Errorf("the inventory:\n%s", list)
	}
	info := peer.Place{}.Must(t, "cfssl", "info", "-remote", "http://"+host)
	if !strings.Contains(info, "BEGIN CERTIFICATE") {
		t.Errorf("cfssl info: %s", info)
	}
	// cfssl's server would sign by its default profile.
	if r := (peer.Place{}).Run(t, "cfssl", "sign", "-config", config, "-profile", "www", "-hostname", "kvm7.example.com", dir+"/req.pem"); r.Exit == 0 ||
		!strings.Contains(r.Stderr, "the profile: no role ") {
		t.Errorf("an unknown profile: %v", r)
	}
}
