package preflight

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// files is a machine's file system: a name is there or not.
type files map[string][]byte

func (f files) read(name string) ([]byte, error) {
	if b, ok := f[name]; ok {
		return b, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// identity puts a pair into the system's place.
func (f files) identity(role, index string, i *testpki.Identity) {
	f["/etc/pki/libvirt/"+role+"cert"+index+".pem"] = i.ChainPEM()
	f["/etc/pki/libvirt/private/"+role+"key"+index+".pem"] = i.KeyPEM()
}

type world struct {
	files   files
	version verify.Version
	conf    string
	ca      *testpki.CA
}

func newWorld(t *testing.T) *world {
	ca := testpki.NewCA(t)
	w := &world{files{}, verify.V9_0, "", ca}
	w.files["/etc/pki/CA/cacert.pem"] = ca.CertPEM()
	w.files.identity("server", "", ca.Server("kvm1"))
	w.files.identity("client", "", ca.Client("admin"))
	return w
}

func (w *world) machine() Machine {
	return Machine{Root: true, Home: "/root", Libvirt: w.version, ReadFile: w.files.read}
}

func (w *world) start(t *testing.T) *Server {
	t.Helper()
	return w.startOn(t, w.machine())
}

func (w *world) startOn(t *testing.T, m Machine) *Server {
	t.Helper()
	return Daemon{Machine: m, Kind: conf.Libvirtd, Conf: []byte(w.conf), ConfFile: "libvirtd.conf", Run: conf.Run{Listen: true},
		At: time.Now(), Memory: &verify.Memory{}, Resolver: hosts{"kvm1": {netip.MustParseAddr("192.0.2.5")}},
		Own: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.5") || a.IsLoopback() }}.Start(t.Context())
}

func (w *world) connect(t *testing.T, s *Server, text string, change ...func(*Client)) Connection {
	t.Helper()
	c := Client{Machine: w.machine(), At: time.Now(), Resolver: hosts{"kvm1": {netip.MustParseAddr("192.0.2.5")}}}
	for _, f := range change {
		f(&c)
	}
	r, err := s.Connect(context.Background(), text, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConnectionsBesideTheRecordedOnes(t *testing.T) {
	user := func(c *Client) { c.Root, c.Home = false, "/home/u" }
	for _, c := range []struct {
		name    string
		change  func(*testing.T, *world)
		uri     string
		client  func(*Client)
		outcome finding.Outcome
		cause   string
		message string
	}{
		{name: "default paths on both ends", uri: "test://kvm1/default", outcome: finding.Connected},
		{name: "another port than the daemon's", uri: "test+tls://kvm1:16600/default", outcome: finding.Network, cause: "listen-port-other",
			message: "unable to connect to server at 'kvm1:16600': Connection refused"},
		{name: "a port that wraps", uri: "test+tls://kvm1:82050/default", outcome: finding.Connected},
		{name: "a daemon on the loopback address", change: conf1(`listen_addr = "127.0.0.1"`), uri: "test+tls://kvm1/default",
			outcome: finding.Network, cause: "listen-address-other", message: "unable to connect to server at 'kvm1:16514': Connection refused"},
		{name: "TLS to the TCP port", change: conf1("listen_tcp = 1"), uri: "test+tls://kvm1:16509/default", outcome: finding.HandshakeFails,
			cause: "transport-crossed", message: msgTerminated},
		{name: "TCP with SASL by default is not judged to the end", change: conf1("listen_tcp = 1"), uri: "test+tcp://kvm1/default", outcome: finding.Connected},
		{name: "auth= that the daemon does not ask for", uri: "test+tls://kvm1/default?auth=sasl", outcome: finding.AuthFails,
			cause: "authentication-type-of-uri", message: "authentication failed: requested authentication type sasl rejected"},
		{name: "a daemon with an empty certificate", change: conf1(`ca_file = "/etc/pki/CA/cacert.pem"; cert_file = ""; key_file = ""`),
			uri: "test+tls://kvm1/default", outcome: finding.HandshakeFails, cause: "daemon-without-identity", message: msgTerminated},
		{name: "qemu with a path it does not know", uri: "qemu+tls://kvm1/", outcome: finding.OpenFails, cause: "open-refused",
			message: "internal error: unexpected qemu URI path '/', try qemu:///system"},
		{name: "the daemon's own socket", uri: "test+unix:///default?socket=/run/libvirt/libvirt-sock", outcome: finding.Connected},
		{name: "another socket", uri: "test+unix:///default?socket=/nosuch", outcome: finding.TransportFails, cause: "socket-missing",
			message: "Failed to connect socket to '/nosuch': No such file or directory"},
		{name: "a socket that only root may use", change: conf1(`unix_sock_rw_perms = "0700"`), client: user, uri: "qemu:///system",
			outcome: finding.TransportFails, cause: "socket-permission",
			message: "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied"},
		{name: "the test driver inside the client", uri: "test:///default", outcome: finding.Connected},
		{name: "two identities, the second for the client's only algorithm", change: func(t *testing.T, w *world) {
			w.version = verify.V12_8
			w.files.identity("server", "", w.ca.Server("kvm1", testpki.Key("rsa2048")))
			w.files.identity("server", "0", w.ca.Server("kvm1", testpki.Key("ecdsa-p256")))
		}, uri: "test+tls://kvm1/default?tls_priority=NORMAL:-SIGN-ALL:%2BSIGN-ECDSA-SECP256R1-SHA256:%2BSIGN-ECDSA-SHA256", outcome: finding.Connected},
		{name: "an expired second identity", change: func(t *testing.T, w *world) {
			w.version = verify.V12_8
			w.files.identity("server", "0", w.ca.Server("kvm1", testpki.Expired()))
		}, uri: "test+tls://kvm1/default", outcome: finding.DaemonDown, cause: "certificate-expired",
			message: "unable to connect to server at 'kvm1:16514': Connection refused"},
		{name: "a second identity that 9.0 does not see", change: func(t *testing.T, w *world) {
			w.files.identity("server", "0", w.ca.Server("kvm1", testpki.Expired()))
		}, uri: "test+tls://kvm1/default", outcome: finding.Connected},
		{name: "half an indexed identity of a client", change: func(t *testing.T, w *world) {
			w.version = verify.V12_8
			w.files["/etc/pki/libvirt/clientcert0.pem"] = w.ca.Client("other").CertPEM()
		}, uri: "test+tls://kvm1/default", outcome: finding.ClientLocal, cause: "half-identity",
			message: "Key '/etc/pki/libvirt/private/clientkey0.pem' does not exist, but certificate '/etc/pki/libvirt/clientcert0.pem' does: " +
				"No such file or directory"},
		{name: "a client whose first identity is of a CA the daemon does not name", change: func(t *testing.T, w *world) {
			w.version = verify.V12_8
			other := testpki.NewCA(t, testpki.CN("New CA"))
			w.files.identity("client", "", other.Client("admin"))
			w.files.identity("client", "0", w.ca.Client("admin"))
			w.files["/home/u/.pki/libvirt/cacert.pem"] = append(w.ca.CertPEM(), other.CertPEM()...)
		}, client: user, uri: "test+tls://kvm1/default", outcome: finding.Connected},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.change != nil {
				c.change(t, w)
			}
			var change []func(*Client)
			if c.client != nil {
				change = append(change, c.client)
			}
			got := w.connect(t, w.start(t), c.uri, change...)
			if got.Outcome != c.outcome || got.Cause != c.cause || got.LibvirtMessage != c.message {
				t.Errorf("outcome %q, cause %q, message %q\nwant    %q, cause %q, message %q\nfindings: %+v", got.Outcome, got.Cause, got.LibvirtMessage,
					c.outcome, c.cause, c.message, got.Findings)
			}
		})
	}
}

// conf1 sets lines of the configuration.
func conf1(lines string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) { w.conf = lines + "\n" }
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	w := newWorld(t)
	w.conf = "listen_tcp = 1\n"
	s := w.start(t)
	for uri, want := range map[string]string{
		"test+tcp://kvm1/default":            "whether SASL lets the client in",
		"qemu+ssh://kvm1/system":             "whether ssh logs in at kvm1, and what runs there",
		"test+ext:///default?command=/bin/x": "whether the command of the URI reaches a daemon",
	} {
		if got := w.connect(t, s, uri); got.Outcome != finding.Connected || len(got.Unchecked) == 0 || got.Unchecked[0] != want {
			t.Errorf("%s: %s, not checked: %q, want %q", uri, got.Outcome, got.Unchecked, want)
		}
	}
}

func TestADaemonThatIsDownIsTheOnlyCause(t *testing.T) {
	w := newWorld(t)
	w.files.identity("server", "", w.ca.Server("kvm1", testpki.Expired()))
	s := w.start(t)
	want := "The server certificate /etc/pki/libvirt/servercert.pem has expired"
	if s.Starts || s.Cause != "certificate-expired" || s.LibvirtMessage != want || s.Exit != conf.ExitNetwork {
		t.Errorf("starts %v, cause %q, message %q, exit status %d", s.Starts, s.Cause, s.LibvirtMessage, s.Exit)
	}
	if got := w.connect(t, s, "test+tls://kvm1/default"); got.Outcome != finding.DaemonDown || got.Cause != s.Cause || len(got.Findings) != 0 {
		t.Errorf("outcome %s, cause %s, findings %v", got.Outcome, got.Cause, got.Findings)
	}
	// A client with a fault of its own says so before it notices.
	if got := w.connect(t, s, "test+tls://kvm1/default?no_verify=yes"); got.Outcome != finding.URIError {
		t.Errorf("outcome %s", got.Outcome)
	}
}

func TestWhyADaemonDoesNotListen(t *testing.T) {
	for _, c := range []struct {
		run        conf.Run
		conf, want string
	}{
		{conf.Run{}, "", "libvirtd is run without --listen"},
		{conf.Run{Listen: true}, "listen_tls = 0\n", "listen_tls is 0"},
		{conf.Run{SocketActivated: true}, "", "none of them is for TLS"},
	} {
		w := newWorld(t)
		s := Daemon{Machine: w.machine(), Kind: conf.Libvirtd, Conf: []byte(c.conf), ConfFile: "libvirtd.conf", Run: c.run, At: time.Now()}.Start(t.Context())
		got := w.connect(t, s, "test+tls://kvm1/default")
		if got.Cause != "daemon-does-not-listen" || len(got.Findings) == 0 || !strings.Contains(got.Findings[0].Message, c.want) {
			t.Errorf("%+v: cause %s, %v, want %q", c.run, got.Cause, got.Findings, c.want)
		}
	}
}

func TestKnownHostsOfEveryForm(t *testing.T) {
	// The hashed line was made with ssh-keygen -H (OpenSSH 9.2) for kvm1.
	for field, want := range map[string]bool{"kvm1": true, "KVM1,other": true, "kvm*": true, "k?m1": true, "*,!kvm1": false, "other": false, "[kvm1]:22": false,
		"|1|sN+8NfXms/vFAlrHlkKPaXa4IrI=|F/AkcdZ//hfSHIMkegwhXmjtuOY=": true, "|1|YWJj|ZGVm": false} {
		if got := hostMatches(field, "kvm1"); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
}

// FuzzKnownHosts looks for fields on which the comparison fails or hangs.
func FuzzKnownHosts(f *testing.F) {
	for _, s := range []string{"|1|YWJj|ZGVm", "a*b*c", "!x,*", "|1|", ""} {
		f.Add(s, "host")
	}
	f.Fuzz(func(_ *testing.T, field, name string) { hostMatches(field, name) })
}

func TestRulesAreWhole(t *testing.T) {
	for _, r := range Rules() {
		if r.ID == "" || r.Title == "" || r.Text == "" || r.Remedy == "" || r.Good == "" || r.Bad == "" || r.Source == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("%s lacks something: %s", r.ID, fmt.Sprintf("%+v", r))
		}
	}
}

// libvirtd 9.0.0 and 12.8.0 end with these texts and statuses.
func TestFilesAndDirectoriesThatTheDaemonWantsToWrite(t *testing.T) {
	directory := &fs.PathError{Op: "read", Path: "/var/log", Err: syscall.EISDIR}
	for _, c := range []struct {
		conf, cause, message string
		exit                 int
	}{
		{`log_outputs = "3:file:/var/log/libvirtd.log"`, "", "", 0},
		{`log_outputs = "3:stderr 1:file:/nosuch/x"`, "log-file-unopenable", "failed to open /nosuch/x: No such file or directory", conf.ExitConfig},
		{`log_outputs = "1:file:/var/log"`, "log-file-unopenable", "failed to open /var/log: Is a directory", conf.ExitConfig},
		{`unix_sock_dir = "/var/log"`, "", "", 0},
		{`unix_sock_dir = "/nosuch/dir"`, "socket-directory-missing", "Failed to bind socket to '/nosuch/dir/libvirt-sock': No such file or directory", conf.ExitNetwork},
	} {
		w := newWorld(t)
		w.conf = c.conf + "\n"
		m := w.machine()
		m.ReadFile = func(name string) ([]byte, error) {
			if name == "/var/log" {
				return nil, directory
			}
			return w.files.read(name)
		}
		s := w.startOn(t, m)
		if s.Starts != (c.cause == "") || s.Cause != c.cause || s.LibvirtMessage != c.message || s.Exit != c.exit {
			t.Errorf("%s: starts %v, %s (%d): %q; want %s (%d): %q", c.conf, s.Starts, s.Cause, s.Exit, s.LibvirtMessage, c.cause, c.exit, c.message)
		}
	}
}
