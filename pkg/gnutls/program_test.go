package gnutls_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestMain lets the test binary stand in for a program that misbehaves.
func TestMain(m *testing.M) {
	switch os.Getenv("STAND_IN") {
	case "":
		peer.Main(m)
	case "crash":
		os.Stderr.WriteString("fatal error: unexpected signal\nmore\n")
		os.Exit(2)
	case "crash-late":
		fmt.Println(`{"schema":1,"gnutls":"3.7.9"}`)
		os.Exit(7)
	case "hang":
		time.Sleep(time.Hour)
	case "hang-late":
		fmt.Println(`{"schema":1,"gnutls":"3.7.9"}`)
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("GNU bash, version 5.2.15")
		io.Copy(io.Discard, os.Stdin)
	case "flood":
		for {
			fmt.Print(strings.Repeat("x", 1<<16))
		}
	case "neither":
		fmt.Println(`{"schema":1,"gnutls":"3.7.9"}`)
		fmt.Println(`{"schema":1,"ok":true}`)
		io.Copy(io.Discard, os.Stdin)
	case "vanish":
		fmt.Println(`{"schema":1,"gnutls":"3.7.9"}`)
		fmt.Println(`{"schema":1,"ok":true,"stage":"handshake","version":"TLS1.3"}`)
		os.Exit(0)
	}
}

func standIn(t *testing.T, how string) gnutls.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return gnutls.Program{Path: self, Env: []string{"STAND_IN=" + how}, Patience: 500 * time.Millisecond}
}

// tcp gives two connected ends.
func tcp(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestEachTroubleIsToldWithItsRemedy(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		program gnutls.Program
		kind    error
		message string
		hint    string
	}{
		{"no program", gnutls.Program{Missing: "neither beside virt-pki nor in PATH"}, gnutls.ErrMissing,
			"virt-pki-gnutls is missing: neither beside virt-pki nor in PATH", gnutls.Build},
		{"a file that is none", gnutls.Program{Path: text}, gnutls.ErrMissing, "it cannot be started: ", gnutls.Build},
		{"it crashes at once", standIn(t, "crash"), gnutls.ErrCrashed, "exit status 2: fatal error: unexpected signal", "virt-pki-gnutls version"},
		{"it crashes in the handshake", standIn(t, "crash-late"), gnutls.ErrCrashed, "exit status 7", "--tls-engine go"},
		{"it hangs at once", standIn(t, "hang"), gnutls.ErrHangs, "no answer in time", "--tls-engine go"},
		{"it hangs in the handshake", standIn(t, "hang-late"), gnutls.ErrHangs, "no answer in time", "--tls-engine go"},
		{"it is another program", standIn(t, "garbage"), gnutls.ErrNonsense, `"GNU bash, version 5.2.15"`, gnutls.Build},
		{"it answers without end", standIn(t, "flood"), gnutls.ErrNonsense, "an answer without end", gnutls.Build},
		{"it says neither yes nor no", standIn(t, "neither"), gnutls.ErrNonsense, "an answer that is neither yes nor no", gnutls.Build},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _ := tcp(t)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := c.program.Handshake(ctx, a, gnutls.Side{Priority: "NORMAL"})
			var trouble *gnutls.Trouble
			if !errors.As(err, &trouble) {
				t.Fatalf("got %v", err)
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want %v: ...%s", err, c.kind, c.message)
			}
			if h := trouble.Hints(); len(h) == 0 || !strings.Contains(h[0], c.hint) {
				t.Errorf("hints %q, want %q", h, c.hint)
			}
			if _, err := a.Write([]byte("x")); err == nil {
				t.Error("the connection is left open")
			}
		})
	}
}

func TestAProgramThatVanishesEndsTheSession(t *testing.T) {
	a, _ := tcp(t)
	c, err := standIn(t, "vanish").Handshake(t.Context(), a, gnutls.Side{Priority: "NORMAL"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, gnutls.ErrCrashed) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfTheContextEndsTheProgram(t *testing.T) {
	a, _ := tcp(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := standIn(t, "hang-late").Handshake(ctx, a, gnutls.Side{Priority: "NORMAL"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutLibgnutlsThereIsAClearMessage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "libgnutls.so.30"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := gnutls.Program{Path: peer.GnutlsProgram(t), Env: []string{"LD_LIBRARY_PATH=" + dir}}
	a, _ := tcp(t)
	_, err := p.Handshake(t.Context(), a, gnutls.Side{Priority: "NORMAL"})
	var trouble *gnutls.Trouble
	if !errors.As(err, &trouble) || trouble.Kind != gnutls.ErrNoLibrary || !strings.HasPrefix(trouble.Detail, "libgnutls is not installed or cannot be loaded: ") ||
		!strings.HasPrefix(trouble.Hints()[0], "apt-get install libgnutls30") {
		t.Errorf("got %v", err)
	}
	if _, err := p.Version(t.Context()); !errors.Is(err, gnutls.ErrNoLibrary) {
		t.Errorf("version: %v", err)
	}
}

// meet makes a session between two programs.
func meet(t *testing.T, p gnutls.Program, a, b net.Conn, client, server gnutls.Side) (c, s *gnutls.Conn, cerr, serr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	server.Server = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, serr = p.Handshake(ctx, b, server)
	}()
	c, cerr = p.Handshake(ctx, a, client)
	<-done
	for _, conn := range []*gnutls.Conn{c, s} {
		if conn != nil {
			t.Cleanup(func() { conn.Close() })
		}
	}
	return c, s, cerr, serr
}

func sides(t *testing.T) (client, server gnutls.Side) {
	ca := testpki.NewCA(t)
	k, d := ca.Client("admin"), ca.Server("kvm1.example.com")
	client = gnutls.Side{Priority: "NORMAL", CA: ca.CertPEM(), Cert: k.ChainPEM(), Key: k.KeyPEM()}
	server = gnutls.Side{Priority: "NORMAL", CA: ca.CertPEM(), Cert: d.ChainPEM(), Key: d.KeyPEM()}
	return client, server
}

func TestDataGoesOverASessionOfTwoPrograms(t *testing.T) {
	p := gnutls.Program{Path: peer.GnutlsProgram(t)}
	version, err := p.Version(t.Context())
	if err != nil || !strings.HasPrefix(version, "3.") {
		t.Errorf("version %q, %v", version, err)
	}
	client, server := sides(t)
	for _, where := range []string{"tcp", "memory"} {
		for _, priority := range []string{"NORMAL:-GROUP-ALL:+GROUP-X448", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-256-CCM"} {
			t.Run(where+" "+priority, func(t *testing.T) {
				a, b := tcp(t)
				if where == "memory" {
					a, b = net.Pipe()
				}
				client.Priority = priority
				c, s, err1, err2 := meet(t, p, a, b, client, server)
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				got := c.Session()
				if got.Version != s.Session().Version || got.Suite != s.Session().Suite || got.Suite == "" || got.Group != s.Session().Group || got.Group == "" ||
					len(got.Peer) != 1 || len(s.Session().Peer) != 1 || !got.Requested || !got.Sent || len(got.Authorities) != 1 || got.GnuTLS != version {
					t.Errorf("client %+v\nserver %+v", got, s.Session())
				}
				// More than the sockets hold, both ways at a time.
				big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
				for _, end := range []*gnutls.Conn{c, s} {
					go end.Write(big)
				}
				for _, end := range []*gnutls.Conn{c, s} {
					back := make([]byte, len(big))
					end.SetReadDeadline(time.Now().Add(20 * time.Second))
					if _, err := io.ReadFull(end, back); err != nil || !bytes.Equal(back, big) {
						t.Fatalf("the data did not arrive: %v", err)
					}
				}
				s.Write([]byte{1})
				s.Close()
				last, err := io.ReadAll(c)
				var end *gnutls.EndError
				if len(last) != 1 || !errors.As(err, &end) || end.Code != gnutls.CodePrematureEnd {
					t.Errorf("after a close without close_notify: %q, %v", last, err)
				}
			})
		}
	}
}

func TestARefusalHasTheLibrarysOwnWords(t *testing.T) {
	p := gnutls.Program{Path: peer.GnutlsProgram(t)}
	client, server := sides(t)
	check := func(name string, err error, stage, text string) {
		t.Helper()
		var r *gnutls.Refusal
		if !errors.As(err, &r) || r.Stage != stage || r.Text != text {
			t.Errorf("%s: got %v, want %s: %s", name, err, stage, text)
		}
	}
	a, b := tcp(t)
	bad := client
	bad.Priority = "NORMAL:+FOO"
	_, _, err, _ := meet(t, p, a, b, bad, server)
	check("a bad priority", err, "priority", "The request is invalid.")
	a, b = tcp(t)
	bad = client
	bad.Key = server.Key
	_, _, err, _ = meet(t, p, a, b, bad, server)
	check("a key of another certificate", err, "credentials", "The certificate and the given key do not match.")
	a, b = tcp(t)
	old := server
	old.Priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
	bad = client
	bad.Priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
	_, _, _, err = meet(t, p, a, b, bad, old)
	check("no common version", err, "handshake", "No supported cipher suites have been found.")

	a, _ = tcp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = p.Handshake(ctx, a, client)
	var r *gnutls.Refusal
	if !errors.As(err, &r) || r.Code != gnutls.CodeTimeout {
		t.Errorf("a silent peer: %v", err)
	}
}
