package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("VIRT_PKI_GNUTLS_TEST") == "run" {
		main()
	}
	os.Exit(m.Run())
}

func program(arguments ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], arguments...)
	cmd.Env = append(os.Environ(), "VIRT_PKI_GNUTLS_TEST=run")
	return cmd
}

// needLibrary skips the test where there is no libgnutls, and gives its version.
func needLibrary(t *testing.T) priority.Release {
	t.Helper()
	l, err := open()
	if err != nil {
		if os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1" {
			t.Fatalf("VIRT_PKI_REQUIRE_PEERS=1, but %v", err)
		}
		t.Skip(err)
	}
	r, err := priority.ParseRelease(l.checkVersion(0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestListGivesWhatTheTablesGive(t *testing.T) {
	r := needLibrary(t)
	all := append(priority.Keywords(), "NORMAL:+NOSUCH", "NORMAL:  -RSA:   +NOSUCH", "", ":", " NORMAL:+X", "@NOSUCH", "NORMAL:-VERS-ALL",
		"NORMAL:-VERS-ALL:+VERS-TLS1.0", "NORMAL:+CURVE-Ed25519", "NORMAL:+NULL:+MD5", "NORMAL:-VERS-TLS-ALL:+VERS-TLS1.3",
		"NONE:+VERS-TLS1.2:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+SIGN-ALL:+GROUP-ALL", "NORMAL:-SIGN-ML-DSA-65:-GROUP-X25519-MLKEM768")
	cmd := program(append([]string{"list"}, all...)...)
	cmd.Env = append(cmd.Env, "GNUTLS_SYSTEM_PRIORITY_FILE=/nonexistent")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Items []item }
	if err := json.Unmarshal(out, &got); err != nil || len(got.Items) != len(all) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, s := range all {
		b, err := json.Marshal(priority.NewItem(s, priority.Options{GnuTLS: r}))
		if err != nil {
			t.Fatal(err)
		}
		var want item
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Items[i], want) {
			t.Errorf("%q:\n got %+v\nwant %+v", s, got.Items[i], want)
		}
	}
}

// handshake runs a client and a server against each other over a socket pair.
func handshake(t *testing.T, client, server []string) (c, s gnutls.Answer) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := func(fd int, arguments []string) (*exec.Cmd, *bytes.Buffer) {
		file := os.NewFile(uintptr(fd), "socket")
		defer file.Close()
		cmd := program(append([]string{arguments[0], "--fd", "3"}, arguments[1:]...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, os.Stderr, []*os.File{file}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	one, oneOut := start(pair[0], append([]string{"client"}, client...))
	two, twoOut := start(pair[1], append([]string{"server"}, server...))
	for _, end := range []struct {
		cmd *exec.Cmd
		out *bytes.Buffer
		o   *gnutls.Answer
	}{{one, oneOut, &c}, {two, twoOut, &s}} {
		err := end.cmd.Wait()
		if e := json.Unmarshal(end.out.Bytes(), end.o); e != nil {
			t.Fatalf("%v: %v: %s", err, e, end.out)
		}
		if end.o.OK != (err == nil) {
			t.Errorf("exit %v with %s", err, end.out)
		}
	}
	return c, s
}

func TestHandshakesComeToWhatIsPredicted(t *testing.T) {
	r := needLibrary(t)
	dir := writePKI(t)
	end := func(role, s string) []string {
		return []string{"--priority", s, "--ca", filepath.Join(dir, "cacert.pem"), "--cert", filepath.Join(dir, role+"cert.pem"),
			"--key", filepath.Join(dir, role+"key.pem"), "--timeout", "5s"}
	}
	for _, p := range [][2]string{
		{"NORMAL", "NORMAL"}, {"NORMAL:-VERS-TLS1.3", "NORMAL"}, {"PFS", "SECURE128"}, {"NORMAL:-VERS-ALL:+VERS-TLS1.1", "NORMAL"},
		{"NORMAL:-GROUP-ALL:+GROUP-X448", "NORMAL"}, {"NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA", "NORMAL"},
		{"NORMAL:-VERS-TLS1.3:-KX-ALL:+RSA:-CIPHER-ALL:+CAMELLIA-128-GCM", "NORMAL:+CAMELLIA-128-GCM"},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-TLS1.3"}, {"NORMAL:-GROUP-ALL:+GROUP-X25519", "NORMAL:-GROUP-X25519"},
		{"SUITEB192", "NORMAL"}, {"NORMAL", "NORMAL:-SIGN-ECDSA-SHA256:-SIGN-ECDSA-SECP256R1-SHA256"},
		{"NORMAL:-VERS-TLS1.3", "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA512:+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256"},
		{"NORMAL:-VERS-TLS1.3:-SIGN-ECDSA-SHA512", "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA512:+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256"},
		{"NORMAL:-VERS-TLS1.3:-VERS-TLS1.2", "NORMAL"}, {"NORMAL:-VERS-TLS1.3:-SIGN-ALL:+SIGN-RSA-SHA256", "NORMAL"},
		{"NORMAL:-VERS-TLS1.3", "NORMAL:-SIGN-ECDSA-SHA256"}, {"NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA512", "NORMAL"},
	} {
		t.Run(p[0]+" to "+p[1], func(t *testing.T) {
			o := priority.Options{GnuTLS: r}
			client, err1 := priority.Expand(p[0], o)
			server, err2 := priority.Expand(p[1], o)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			want, err := priority.Common(client, server, priority.KeyRSA)
			c, s := handshake(t, end("client", p[0]), end("server", p[1]))
			if err != nil {
				if c.OK || s.OK || c.Stage != "handshake" || s.Stage != "handshake" {
					t.Errorf("predicted %v, got %+v and %+v", err, c, s)
				}
				return
			}
			signature, sends, fails := priority.ClientSignature(client, server, want.Version, priority.KeyECDSAP256)
			if !sends {
				if fails != nil {
					if c.OK || s.OK || c.Stage != "handshake" {
						t.Errorf("predicted that the client cannot sign, got\n%+v\n%+v", c, s)
					}
				} else if c.Stage != "confirmation" || s.Stage != "verify" || s.Error != "No certificate was found." {
					t.Errorf("predicted that the client sends no certificate, got\n%+v\n%+v", c, s)
				}
				return
			}
			if s.ClientSignature != signature {
				t.Errorf("predicted %s as the client's signature, got %q", signature, s.ClientSignature)
			}
			if !c.OK || !s.OK || c.Version != want.Version || c.Group != want.Group || c.Signature != want.Signature || len(c.Peer) == 0 || len(s.Peer) == 0 {
				t.Errorf("predicted %+v, got\n%+v\n%+v", want, c, s)
			}
			if c.Cipher != s.Cipher || !strings.Contains(want.Suite.Name, strings.ReplaceAll(c.Cipher, "-", "_")) {
				t.Errorf("predicted %s, got %s and %s", want.Suite.Name, c.Cipher, s.Cipher)
			}
		})
	}
}

func TestTheAnswerNamesStageAndLibvirtsMessage(t *testing.T) {
	needLibrary(t)
	dir, foreign := writePKI(t), writePKI(t)
	server := []string{"--ca", filepath.Join(dir, "cacert.pem"), "--cert", filepath.Join(dir, "servercert.pem"), "--key", filepath.Join(dir, "serverkey.pem"),
		"--timeout", "5s"}
	c, _ := handshake(t, []string{"--priority", "NORMAL:+FOO", "--timeout", "5s"}, server)
	if c.Stage != "priority" || c.LibvirtMessage != "Failed to set TLS session priority to NORMAL:+FOO: The request is invalid." {
		t.Errorf("bad priority: %+v", c)
	}
	c, s := handshake(t, []string{"--ca", filepath.Join(foreign, "cacert.pem"), "--timeout", "5s"}, server)
	if c.Stage != "verify" || c.VerifyStatus == 0 || !strings.Contains(c.VerifyText, "NOT trusted") {
		t.Errorf("unknown authority: %+v", c)
	}
	if s.OK {
		t.Errorf("a client without certificate is accepted: %+v", s)
	}
	c, _ = handshake(t, []string{"--ca", filepath.Join(dir, "missing.pem"), "--timeout", "5s"}, server)
	if c.Stage != "credentials" || c.LibvirtMessage != "Unable to set x509 CA certificate: "+filepath.Join(dir, "missing.pem")+": Error while reading file." {
		t.Errorf("missing file: %+v", c)
	}
}

func TestASilentPeerEndsWithTheTimeout(t *testing.T) {
	needLibrary(t)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	defer near.Close()
	defer far.Close()
	cmd := program("client", "--timeout", "200ms")
	cmd.Stdin, cmd.Stdout = near, near
	var answer bytes.Buffer
	cmd.Stderr = &answer
	start := time.Now()
	cmd.Run()
	var o gnutls.Answer
	if err := json.Unmarshal(answer.Bytes(), &o); err != nil || o.Stage != "handshake" || o.OK {
		t.Errorf("%v: %s", err, answer.String())
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestWithoutLibgnutlsThereIsAClearMessage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, soname), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := program("version")
	cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	want := "virt-pki-gnutls: error: libgnutls is not installed or cannot be loaded: "
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.HasPrefix(string(out), want) || !strings.HasSuffix(string(out), "hint: install libgnutls30\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	for _, arguments := range [][]string{{}, {"dance"}, {"list"}, {"client", "x"}, {"client", "--cert", "a"}, {"server", "--timeout", "-1s"}, {"server", "--nope"}} {
		var out, errs bytes.Buffer
		if status := run(arguments, nil, &out, &errs); status != 2 || out.Len() > 0 || !strings.HasPrefix(errs.String(), "virt-pki-gnutls: error: ") {
			t.Errorf("%q: %d %s%s", arguments, status, out.String(), errs.String())
		}
	}
}
