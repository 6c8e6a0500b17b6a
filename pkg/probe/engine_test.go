package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// TestTheEngineIsTheOneThatCanDoIt tries real daemons with each engine, with GnuTLS's program there, missing and broken.
func TestTheEngineIsTheOneThatCanDoIt(t *testing.T) {
	peer.Need(t, "libvirtd", "virt-admin")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	normal := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	x448 := peer.Start(t, peer.Options{Dir: dir, Conf: []string{`tls_priority = "NORMAL:-GROUP-ALL:+GROUP-X448"`}}).MustBeReady(t)

	there := &gnutls.Program{Path: peer.GnutlsProgram(t), Env: os.Environ()}
	missing := &gnutls.Program{Missing: "it is nowhere"}
	script := func(name, text string) *gnutls.Program {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return &gnutls.Program{Path: file, Env: os.Environ(), Patience: time.Second}
	}
	crashes := script("crashes", "echo 'virt-pki-gnutls: error: libgnutls.so.30: cannot open' >&2; exit 3")
	dies := script("dies", "kill -SEGV $$")
	hangs := script("hangs", "exec sleep 60")
	hangs.Patience = 200 * time.Millisecond
	garbage := script("garbage", "echo no; cat >/dev/null")

	const applied = "tls-priority-not-applied"
	for _, c := range []struct {
		name     string
		daemon   *peer.Libvirtd
		priority string
		engine   handshake.Engine
		program  *gnutls.Program
		libvirt  verify.Version
		outcome  finding.Outcome
		by       string // how the session's engine begins
		rules    string // warnings and errors, and the notes about the priority
		err      error
	}{
		{"libvirt's own priority is Go's affair", normal, "", handshake.EngineAuto, there, verify.V9_0, finding.Connected, "go", "", nil},
		{"a string that Go follows in part is GnuTLS's", normal, "PFS", handshake.EngineAuto, there, verify.V9_0, finding.Connected, "gnutls 3.", "", nil},
		{"without GnuTLS Go does it where that suffices", normal, "PFS", handshake.EngineAuto, missing, verify.V9_0, finding.Connected, "go", applied, nil},
		{"the same without a word about the program", normal, "PFS", handshake.EngineAuto, nil, verify.V9_0, finding.Connected, "go", applied, nil},
		{"a broken program is told, and Go does it", normal, "PFS", handshake.EngineAuto, dies, verify.V9_0, finding.Connected, "go",
			"tls-not-checked " + applied, nil},
		{"a string that Go cannot follow", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, there, verify.V9_0, finding.Connected, "gnutls 3.", "", nil},
		{"without GnuTLS it is not checked", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, missing, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrMissing},
		{"nor with one that has no library", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, crashes, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrNoLibrary},
		{"nor with one that crashes", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, dies, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrCrashed},
		{"nor with one that hangs", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, hangs, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrHangs},
		{"nor with another program", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, garbage, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrNonsense},
		{"a daemon that Go finds nothing with", x448, "", handshake.EngineAuto, there, verify.V9_0, finding.Connected, "gnutls 3.", "", nil},
		{"without GnuTLS the failure is Go's, which is said", x448, "", handshake.EngineAuto, missing, verify.V9_0, finding.HandshakeFails, "go",
			"tls-handshake-failed tls-not-checked", nil},
		{"the same with one that crashes", x448, "", handshake.EngineAuto, dies, verify.V9_0, finding.HandshakeFails, "go",
			"tls-handshake-failed tls-not-checked", nil},
		{"Go alone, when it is told so", x448, "", handshake.EngineGo, there, verify.V9_0, finding.HandshakeFails, "go", "tls-handshake-failed", nil},
		{"GnuTLS alone, when it is told so", normal, "", handshake.EngineGnuTLS, there, verify.V9_0, finding.Connected, "gnutls 3.", "", nil},
		{"which has to be there", normal, "", handshake.EngineGnuTLS, missing, verify.V9_0, "", "", "tls-not-checked", gnutls.ErrMissing},
		{"a verdict for another GnuTLS", normal, "NORMAL:-GROUP-ALL:+GROUP-X448", handshake.EngineAuto, there, verify.V12_8, finding.Connected, "gnutls 3.7", "tls-other-gnutls", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			param := []string{"pkipath=" + dir}
			if c.priority != "" {
				param = append(param, "tls_priority="+strings.ReplaceAll(c.priority, "+", "%2B"))
			}
			r, err := Dial(t.Context(), c.daemon.URIFor("localhost", param...), Options{URI: uri.Options{Settings: uri.Fixed{}}, Libvirt: c.libvirt, At: time.Now(),
				Engine: c.engine, GnuTLS: c.program})
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if r.Outcome != c.outcome || !strings.HasPrefix(r.Server.Engine, c.by) || c.by == "" && r.Server.Engine != "" {
				t.Errorf("%s by %q, want %s by %q: %+v", r.Outcome, r.Server.Engine, c.outcome, c.by, r.Findings)
			}
			var rules []string
			for _, f := range r.Findings {
				if f.Severity >= finding.Warning || strings.HasPrefix(f.Rule, "tls-") {
					rules = append(rules, f.Rule)
				}
			}
			if got := strings.Join(rules, " "); got != c.rules {
				t.Errorf("findings %q, want %q", got, c.rules)
			}
			var trouble *gnutls.Trouble
			if errors.As(err, &trouble) && (len(trouble.Hints()) == 0 || r.Findings[0].Remedy != trouble.Hints()[0] || r.Findings[0].Severity != finding.Error) {
				t.Errorf("hints %q, finding %+v", trouble.Hints(), r.Findings[0])
			}
		})
	}
}

// A client's key that Go's TLS cannot use is GnuTLS's affair whatever the priority; without GnuTLS nothing is claimed.
func TestAKeyThatOnlyGnuTLSKnows(t *testing.T) {
	peer.Need(t, "openssl")
	dir, other := peer.Dir(t), peer.Dir(t)
	ca := testpki.NewCA(t)
	testpki.WriteFlat(t, dir, ca, ca.Server("localhost"), ca.Client("alice"))
	for name, text := range map[string]string{"cacert.pem": string(ca.CertPEM()), "ca.key": string(ca.KeyPEM()),
		"x.ext": "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n"} {
		if err := os.WriteFile(filepath.Join(other, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{"genpkey -algorithm ed448 -out clientkey.pem", "req -new -key clientkey.pem -subj /CN=alice -out x.csr",
		"x509 -req -in x.csr -CA cacert.pem -CAkey ca.key -set_serial 7 -days 2 -extfile x.ext -out clientcert.pem"} {
		cmd := exec.Command("openssl", strings.Fields(line)...)
		cmd.Dir = other
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", line, err, out)
		}
	}
	d := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	text := d.URIFor("localhost", "pkipath="+other)
	if r := peer.Virsh(t, text, "hostname"); r.Exit != 0 {
		t.Fatalf("virsh: %s", r.Stderr)
	}
	options := Options{URI: uri.Options{Settings: uri.Fixed{}}, Libvirt: verify.V9_0, At: time.Now(), Engine: handshake.EngineAuto,
		GnuTLS: &gnutls.Program{Path: peer.GnutlsProgram(t), Env: os.Environ()}}
	r, err := Dial(t.Context(), text, options)
	if err != nil || r.Outcome != finding.Connected || !strings.HasPrefix(r.Server.Engine, "gnutls 3.") {
		t.Errorf("%s by %q, %v: %+v", r.Outcome, r.Server.Engine, err, r.Findings)
	}
	options.GnuTLS = &gnutls.Program{Missing: "it is nowhere"}
	if r, err := Dial(t.Context(), text, options); !errors.Is(err, gnutls.ErrMissing) || r.Outcome != "" {
		t.Errorf("without GnuTLS: %s, %v; want that it was not checked", r.Outcome, err)
	}
}

// Where Go comes to no session, GnuTLS is asked over a second connection. When there is none, the first verdict stands.
func TestAFailedSecondConnectionIsNotTheVerdict(t *testing.T) {
	dir := peer.Dir(t)
	ca := testpki.NewCA(t)
	testpki.WriteFlat(t, dir, ca, ca.Server("localhost"), ca.Client("alice"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		l.Close()
		if err == nil {
			_, _ = c.Read(make([]byte, 1<<16))
			c.Close()
		}
	}()
	text := fmt.Sprintf("test+tls://localhost:%d/default?pkipath=%s", l.Addr().(*net.TCPAddr).Port, dir)
	r, err := Dial(t.Context(), text, Options{URI: uri.Options{Settings: uri.Fixed{}}, Libvirt: verify.V9_0, At: time.Now(), Engine: handshake.EngineAuto,
		GnuTLS: &gnutls.Program{Path: "/virt-pki-gnutls", Env: os.Environ()}})
	const message = "authentication failed: TLS handshake failed The TLS connection was non-properly terminated."
	if err != nil || r.Outcome != finding.HandshakeFails || r.LibvirtMessage != message {
		t.Errorf("%s, %q, %v", r.Outcome, r.LibvirtMessage, err)
	}
	var stages, rules []string
	for _, s := range r.Stages {
		stages = append(stages, s.Name)
	}
	for _, f := range r.Findings {
		if f.Severity >= finding.Warning {
			rules = append(rules, f.Rule)
		}
	}
	if got, want := strings.Join(rules, " "), "tls-handshake-failed tls-not-checked"; got != want {
		t.Errorf("findings %q, want %q", got, want)
	}
	if n := len(stages); n != len(slices.Compact(stages)) {
		t.Errorf("a stage is told twice: %q", stages)
	}
}
