//go:build linux

package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// dialHere makes the test binary call Dial for the URI in this variable and print the result: so a test can dial as
// another user and on a pretended machine.
const dialHere = "VIRT_PKI_TEST_DIAL"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(dialHere)
	if !ok {
		peer.Main(m)
	}
	r, err := Dial(context.Background(), text, Options{Env: os.Environ(), At: time.Now(), Clock: time.Now,
		URI: uri.Options{Root: os.Geteuid() == 0, Home: os.Getenv("HOME"), ConfigHome: os.Getenv("XDG_CONFIG_HOME"), RuntimeDir: os.Getenv("XDG_RUNTIME_DIR")}})
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dialElsewhere gives a function that dials from a place.
func dialElsewhere(t *testing.T) func(p peer.Place, text string) Result {
	t.Helper()
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	program := filepath.Join(peer.Dir(t), "dial")
	f, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, self); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func(p peer.Place, text string) (r Result) {
		t.Helper()
		p.Env = append([]string{dialHere + "=" + text}, p.Env...)
		out := p.Run(t, program)
		if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil {
			t.Fatalf("%v: %v", err, out)
		}
		return r
	}
}

// TestVirshAgreesAsAnotherUser looks at sockets as nobody: the own daemon, that of the system, with and without permission
// and polkit.
func TestVirshAgreesAsAnotherUser(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "setpriv")
	peer.NeedRoot(t)
	dial := dialElsewhere(t)
	home := peer.Dir(t)
	for _, d := range []string{"run", ".config", ".cache"} {
		if err := os.Mkdir(filepath.Join(home, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	peer.Own(t, home, "nobody")
	nobody := peer.Place{User: "nobody", Home: home, Env: []string{"LIBVIRT_AUTOSTART=0"}}
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	start := func(conf ...string) string {
		return "test+unix:///default?socket=" + url.QueryEscape(peer.Start(t, peer.Options{Dir: dir, Conf: conf}).MustBeReady(t).Socket)
	}
	polkit := start(`auth_unix_rw = "polkit"`, `unix_sock_rw_perms = "0777"`)
	open := start(`unix_sock_rw_perms = "0777"`)
	closed := start(`unix_sock_rw_perms = "0700"`)
	check := func(name, text, cause string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			r, v := dial(nobody, text), nobody.Virsh(t, text)
			if r.Cause != cause || (r.Outcome == finding.Connected) != (cause == "") || (v.Exit == 0) != (cause == "") || cause != "" && virshSaid(v) != r.LibvirtMessage {
				t.Errorf("%s, want the cause %q\nvirsh: %v", summary(r), cause, v)
			}
		})
	}
	check("no daemon of one's own", "test+unix:///default", "socket-missing")
	check("a session without a daemon", "qemu:///session", "socket-missing")
	check("the system's, open to all", open, "")
	check("the system's, for root only", closed, "socket-permission")
	check("polkit, which is not there", polkit, "polkit-refused")
	check("polkit, demanded", polkit+"&auth=polkit", "polkit-refused")
	check("polkit, where it is not asked for", open+"&auth=polkit", "authentication-type-of-uri")

	asked := nobody
	asked.Env = nil
	if r := dial(asked, "qemu:///session"); r.Outcome != finding.TransportFails || r.Cause != "session-daemon-not-running" || r.LibvirtMessage != "" {
		t.Errorf("virsh would start a daemon: %s", summary(r))
	}

	// With a daemon of one's own in the place where it belongs.
	conf := filepath.Join(home, "libvirtd.conf")
	if err := os.WriteFile(conf, []byte("listen_tls = 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	session := nobody
	empty := peer.Dir(t)
	session.Env = append([]string{"LIBVIRT_DRIVER_DIR=" + empty}, session.Env...)
	d := session.Start(t, "libvirtd", "-f", conf)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(home, "run/libvirt/libvirt-sock")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no session daemon: %s", d.Log())
		}
	}
	check("a daemon of one's own", "test+unix:///default", "")
	check("the same in legacy mode", "test+unix:///default?mode=legacy", "")
	check("the same, directly", "test+unix:///default?mode=direct", "socket-missing")
	check("a driver it does not have", "nosuch:///session", "open-no-driver")
}

// TestVirshAgreesOnAMachine uses the system's ssh, the helper and netcat as they are, on a pretended machine, over IPv6
// too.
func TestVirshAgreesOnAMachine(t *testing.T) {
	p := newSSHPlace(t)
	dial := dialElsewhere(t)
	six := peer.StartSSHD(t, peer.SSHOptions{Place: peer.Place{Machine: p.machine}, Addr: "::1"})
	six.Authorize(t, p.read("id.pub"))
	text := fmt.Sprintf("%s\n[::1]:%d %s\n", p.read("known"), six.Port, six.HostKeys[0])
	p.write("known", text)
	// ssh looks into the home of the passwd entry.
	if err := os.MkdirAll(p.machine.Path("/root/.ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.machine.Path("/root/.ssh/known_hosts"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	place := peer.Place{Machine: p.machine}
	id := "&no_tty=1&keyfile=" + p.at("id")
	lib := "&keyfile=" + p.at("id") + "&known_hosts=" + p.known
	for _, c := range []struct{ name, uri, cause string }{
		{"ssh, helper or netcat", fmt.Sprintf("test+ssh://localhost:%d/default?x=y%s", p.keys, id), ""},
		{"ssh, helper", fmt.Sprintf("test+ssh://localhost:%d/default?proxy=native%s", p.keys, id), ""},
		{"ssh, netcat", fmt.Sprintf("test+ssh://localhost:%d/default?proxy=netcat%s", p.keys, id), ""},
		{"ssh, another user", fmt.Sprintf("test+ssh://guest@localhost:%d/default?x=y%s", p.keys, id), ""},
		{"ssh, a password and nobody to ask", fmt.Sprintf("test+ssh://guest@localhost:%d/default?no_tty=1&keyfile=%s", p.password, p.at("other")), "ssh-login-refused"},
		{"ssh, IPv6", fmt.Sprintf("test+ssh://[::1]:%d/default?x=y%s", six.Port, id), ""},
		{"ssh, an unknown host", fmt.Sprintf("test+ssh://127.0.0.1:%d/default?x=y%s", p.keys, id), "ssh-host-key-unknown"},
		{"ssh, an unknown host and no_verify", fmt.Sprintf("test+ssh://127.0.0.1:%d/default?no_verify=1%s", p.keys, id), ""},
		{"ssh, a socket that is not there", fmt.Sprintf("test+ssh://localhost:%d/default?socket=/nosuch%s", p.keys, id), "ssh-socket-missing"},
		{"libssh, IPv6", fmt.Sprintf("test+libssh://[::1]:%d/default?x=y%s", six.Port, lib), ""},
		{"libssh2, IPv6", fmt.Sprintf("test+libssh2://[::1]:%d/default?x=y%s", six.Port, lib), ""},
		{"libssh, IPv6 spelt otherwise", fmt.Sprintf("test+libssh://[0:0::1]:%d/default?x=y%s", six.Port, lib), "libssh-host-key-unknown"},
		{"unix", "test+unix:///default", ""},
		{"unix, without a host", "test+unix:///default?mode=legacy", ""},
		{"unix, directly", "test+unix:///default?mode=direct", "socket-missing"},
		{"no URI: the daemon chooses", "", "open-no-driver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, v := dial(place, c.uri), place.Virsh(t, c.uri)
			if r.Cause != c.cause || (r.Outcome == finding.Connected) != (c.cause == "") || (v.Exit == 0) != (c.cause == "") {
				t.Errorf("%s, want the cause %q\nvirsh: %v", summary(r), c.cause, v)
			}
			if c.cause != "" && virshSaid(v) != r.LibvirtMessage && !strings.Contains(virshSaid(v), "client socket is closed") {
				t.Errorf("\nvirsh: %q\n ours: %q", virshSaid(v), r.LibvirtMessage)
			}
		})
	}
}

// TestAbstractSockets reaches a daemon through one, as virsh does: with the name filled up, and not without.
func TestAbstractSockets(t *testing.T) {
	abstract(t, true)
	abstract(t, false)
}

func abstract(t *testing.T, filled bool) {
	t.Helper()
	peer.Need(t, "libvirtd", "virsh")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	d := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	name := fmt.Sprintf("@virt-pki-test-%d-%v", os.Getpid(), filled)
	full := name
	if filled {
		full += strings.Repeat("\x00", 108-len(name))
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", full)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := new(net.Dialer).DialContext(context.Background(), "unix", d.Socket)
			if err != nil {
				near.Close()
				continue
			}
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	text := "test+unix:///default?socket=" + url.QueryEscape(name)
	r, err := Dial(context.Background(), text, Options{URI: uri.Options{Root: true, Settings: uri.Fixed{}}, At: time.Now()})
	if v := peer.Virsh(t, text); err != nil || (r.Outcome == finding.Connected) != filled || (v.Exit == 0) != filled || !filled && virshSaid(v) != r.LibvirtMessage {
		t.Errorf("filled up: %v: %s %v\nvirsh: %v", filled, summary(r), err, v)
	}
}
