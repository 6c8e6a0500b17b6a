package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// files is a file system in memory.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		if text == "denied" {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
}

type dialer func(network, address string) (net.Conn, error)

func (d dialer) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	return d(network, address)
}

type resolver map[string][]string

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "broken" {
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	var as []netip.Addr
	for _, s := range r[host] {
		as = append(as, netip.MustParseAddr(s))
	}
	if as == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return as, nil
}

func refuse(err syscall.Errno) dialer {
	return func(network, address string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", err)}
	}
}

// summary is what the tests compare.
func summary(r Result) string { return fmt.Sprintf("%s %s %s", r.Outcome, r.Cause, r.LibvirtMessage) }

func TestFailuresBeforeAnythingIsSaid(t *testing.T) {
	home := uri.Options{Home: "/home/u", RuntimeDir: "/run/user/7"}
	conf := "/home/u/.config/libvirt/libvirt.conf"
	for _, c := range []struct {
		name, uri string
		files     files
		dialer    Dialer
		want      string
	}{
		{"a syntax error in libvirt.conf", "test+tcp://h/", files{conf: "\nuri_default = yes\n"}, nil,
			"client-conf-error client-conf-unreadable configuration file syntax error: " + conf + ":2: expecting a value"},
		{"libvirt.conf of root does not count for others", "test+tcp://h/", files{"/etc/libvirt/libvirt.conf": "x"}, refuse(syscall.ECONNREFUSED),
			"network connection-refused unable to connect to server at 'h:16509': Connection refused"},
		{"a wrong type", "test+tcp://h/", files{conf: "remote_mode = 1"}, nil,
			"client-conf-error uri-setting-type internal error: " + conf + ": expected a string for 'remote_mode' parameter"},
		{"a wrong list", "test+tcp://h/", files{conf: `uri_aliases = "a=b"`}, nil,
			"client-conf-error uri-setting-type internal error: " + conf + ": expected a string list for 'uri_aliases' parameter"},
		{"an alias", "hail", files{conf: `uri_aliases = ["hail=test+tcp://h:1/"]`}, refuse(syscall.ECONNREFUSED),
			"network connection-refused unable to connect to server at 'h:1': Connection refused"},
		{"a URI that is none", "test+tls://h:/", nil, nil, "uri-error uri-unparsable internal error: Unable to parse URI test+tls://h:/"},
		{"no CA file", "test+tls://h/", nil, nil, "client-local ca-file-missing Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory"},
		{"a name that is none", "test+tcp://nosuch:1/", nil, nil,
			"network name-not-resolved Unable to resolve address 'nosuch' service '1': Name or service not known"},
		{"a zone on an address that has none", "test+tcp://[::1%25lo]:1/", nil, nil,
			"network name-not-resolved Unable to resolve address '::1%lo' service '1': Name or service not known"},
		{"a name server that is down", "test+tcp://broken:1/", nil, nil,
			"network name-service-fails Unable to resolve address 'broken' service '1': Temporary failure in name resolution"},
		{"no route", "test+tcp://h:1/", nil, refuse(syscall.EHOSTUNREACH), "network host-unreachable unable to connect to server at 'h:1': No route to host"},
		{"a network that drops", "test+tcp://h:1/", nil, refuse(syscall.ETIMEDOUT), "network connection-times-out unable to connect to server at 'h:1': Connection timed out"},
		{"not allowed", "test+tcp://h:1/", nil, refuse(syscall.EPERM), "network connection-fails unable to connect to server at 'h:1': Operation not permitted"},
		{"no socket", "qemu:///system", nil, refuse(syscall.ENOENT),
			"transport-fails socket-missing Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory"},
		// virsh would start that daemon, and so prints nothing.
		{"no socket of the user's own daemon", "test+unix:///x", nil, refuse(syscall.ENOENT), "transport-fails session-daemon-not-running "},
		{"a socket of others", "qemu:///system", nil, refuse(syscall.EACCES),
			"transport-fails socket-permission Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied"},
		{"a socket of a dead daemon", "qemu:///system?socket=@x", nil, refuse(syscall.ECONNREFUSED), "transport-fails socket-refused Failed to connect socket to '@x': Connection refused"},
		{"a regular file", "qemu:///system?socket=/x", nil, refuse(syscall.ENOTSOCK), "transport-fails socket-fails Failed to connect socket to '/x': Socket operation on non-socket"},
		{"a modular daemon's socket", "qemu:///system", files{"/var/run/libvirt/virtqemud-sock": "denied"}, refuse(syscall.EACCES),
			"transport-fails socket-permission Failed to connect socket to '/var/run/libvirt/virtqemud-sock': Permission denied"},
		{"a long path", "qemu:///system?socket=/" + strings.Repeat("a", 107), nil, nil,
			"transport-fails socket-path-too-long Path /" + strings.Repeat("a", 107) + " too long for unix socket: Cannot allocate memory"},
		{"the test driver without a path", "test://", nil, nil, "open-fails open-refused invalid argument: testOpen: supply a path or use test:///default"},
		{"no path", "qemu:///system?socket=", nil, nil, "transport-fails socket-refused Failed to connect socket to '': Connection refused"},
	} {
		d := c.dialer
		if d == nil {
			d = dialer(func(network, address string) (net.Conn, error) {
				t.Errorf("%s: %s %s is dialled", c.name, network, address)
				return nil, syscall.EIO
			})
		}
		r, err := Dial(context.Background(), c.uri, Options{URI: home, ReadFile: c.files.read, Dialer: d, Resolver: resolver{"h": {"192.0.2.1"}}})
		if got := summary(r); err != nil || got != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.want)
		}
		if len(r.Findings) == 0 || r.Findings[0].Rule != r.Cause || r.Findings[0].Remedy == "" {
			t.Errorf("%s: the cause is not the first finding, or has no remedy: %+v", c.name, r.Findings)
		}
	}
}

func TestEveryAddressIsTried(t *testing.T) {
	var tried []string
	d := dialer(func(_, address string) (net.Conn, error) {
		tried = append(tried, address)
		return refuse(syscall.ECONNREFUSED)("tcp", address)
	})
	o := Options{ReadFile: files{}.read, Dialer: d, Resolver: resolver{"h": {"2001:db8::1", "192.0.2.1"}}}
	if _, err := Dial(context.Background(), "test+tcp://h:99999/", o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[2001:db8::1]:34463", "192.0.2.1:34463"}, tried); diff != "" {
		t.Error(diff)
	}
}

func TestDriversInsideTheClientAreRefusedInWords(t *testing.T) {
	for text, want := range map[string]string{
		"esx://h/": `URI "esx://h/": its driver runs inside the client: there is no daemon to verify`,
	} {
		_, err := Dial(context.Background(), text, Options{ReadFile: files{}.read})
		var u *UnsupportedError
		if !errors.As(err, &u) || err.Error() != want || len(u.Hints()) != 1 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheClientsOwnTestDriverIsAlwaysThere(t *testing.T) {
	r, err := Dial(context.Background(), "test:///default", Options{ReadFile: files{}.read})
	if err != nil || r.Outcome != finding.Connected || len(r.Findings) != 1 || r.Findings[0].Rule != "uri-served-in-client" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestOldSpellingsOfIPv4(t *testing.T) {
	for s, want := range map[string]string{"127.1": "127.0.0.1", "0x7f000001": "127.0.0.1", "2130706433": "127.0.0.1", "0177.0.0.1": "127.0.0.1",
		"1.2.3": "1.2.0.3", "255.255.255.255": "255.255.255.255", "1.2.3.4.5": "", "256.1.1.1": "", "1.256": "1.0.1.0", "1.16777216": "",
		"4294967296": "", "": "", ".": "", "1.": "", "a": "", "08": "", "0x": "", "1.2.3.256": "", "+1": "", "0": "0.0.0.0"} {
		a, ok := parseIPv4(s)
		if got := a.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %s %v, want %q", s, got, ok, want)
		}
	}
}

// listen serves every connection on loopback with serve.
func listen(t *testing.T, serve func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

const shortLimit = 300 * time.Millisecond

var shortLimits = Limits{shortLimit, shortLimit, shortLimit, shortLimit, shortLimit}

// credentials writes a client's and a server's credentials for localhost.
func credentials(t *testing.T) (dir string, server tls.Certificate) {
	t.Helper()
	ca := testpki.NewCA(t)
	s, c := ca.Server("localhost"), ca.Client("admin")
	dir = t.TempDir()
	testpki.WriteFlat(t, dir, ca, s, c)
	server, err := tls.X509KeyPair(s.CertPEM(), s.KeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	return dir, server
}

func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestHostilePeersEndWithinTheLimit(t *testing.T) {
	dir, certificate := credentials(t)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(dir, "cacert.pem"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	drip := func(c net.Conn, b []byte) {
		for _, x := range b {
			if _, err := c.Write([]byte{x}); err != nil {
				return
			}
			time.Sleep(shortLimit / 5)
		}
		drain(c)
	}
	overTLS := func(f func(*tls.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert,
				ClientCAs: pool, SessionTicketsDisabled: true})
			if s.Handshake() == nil {
				f(s)
			}
		}
	}
	// after answers with the replies, one for each call, and then does what is to be done.
	after := func(then func(net.Conn), replies ...[]byte) func(net.Conn) {
		return func(c net.Conn) {
			for _, r := range replies {
				if readMessage(c) != nil {
					return
				}
				if _, err := c.Write(r); err != nil {
					return
				}
			}
			if then != nil {
				_ = readMessage(c)
				then(c)
			}
		}
	}
	noAuth := message(programRemote, procAuthList, typeReply, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 0})
	feature := message(programRemote, procConnectSupportsFeature, typeReply, 1, 0, []byte{0, 0, 0, 1})
	opened := message(programRemote, procConnectOpen, typeReply, 2, 0, nil)
	const huge = "\x01\xff\xff\xff"
	for _, c := range []struct {
		name, transport string
		serve           func(net.Conn)
		want            string
	}{
		{"tls: silent", "tls", drain, "hangs no-answer-in-time "},
		{"tls: garbage", "tls", func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("garbage", 1000))); drain(c) },
			"handshake-fails tls-handshake-failed authentication failed: TLS handshake failed An unexpected TLS packet was received."},
		{"tls: drip", "tls", func(c net.Conn) { drip(c, append([]byte{22, 3, 3, 0x10, 0}, make([]byte, 4096)...)) }, "hangs no-answer-in-time "},
		{"tls: closes at once", "tls", func(net.Conn) {}, "handshake-fails tls-handshake-failed *"},
		{"tls: no byte", "tls", overTLS(func(c *tls.Conn) { drain(c) }), "hangs no-answer-in-time "},
		{"tls: wrong byte", "tls", overTLS(func(c *tls.Conn) { _, _ = c.Write([]byte{2}); drain(c) }),
			"server-rejects-client confirmation-wrong server verification (of our certificate or IP address) failed"},
		{"tls: byte, then silent", "tls", overTLS(func(c *tls.Conn) { _, _ = c.Write([]byte{1}); drain(c) }), "hangs peer-silent "},
		{"tls: byte, then the end", "tls", overTLS(func(c *tls.Conn) { _, _ = c.Write([]byte{1}); _, _ = c.Read(make([]byte, 28)); c.Close() }),
			"transport-fails connection-lost End of file while reading data: Input/output error"},
		{"tls: byte, then a huge length", "tls", overTLS(func(c *tls.Conn) { _, _ = c.Write([]byte("\x01" + huge)); drain(c) }), "hangs peer-silent "},
		{"tcp: silent", "tcp", drain, "hangs peer-silent "},
		{"tcp: closes at once", "tcp", func(c net.Conn) { _, _ = c.Read(make([]byte, 28)) }, "transport-fails connection-lost End of file while reading data: Input/output error"},
		{"tcp: reset", "tcp", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, "transport-fails connection-lost *"},
		{"tcp: a web server", "tcp", func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); drain(c) },
			"transport-fails not-libvirt packet 1213486156 bytes received from server too large, want 33554432"},
		{"tcp: drip", "tcp", func(c net.Conn) { drip(c, noAuth) }, "hangs peer-silent "},
		{"tcp: a length of 32 MiB", "tcp", func(c net.Conn) { _, _ = c.Write([]byte(huge)); drain(c) }, "hangs peer-silent "},
		{"tcp: events without end", "tcp", func(c net.Conn) {
			event := message(programRemote, 362, typeMessage, 0, 0, nil)
			for {
				if _, err := c.Write(event); err != nil {
					return
				}
			}
		}, "transport-fails not-libvirt 1000 messages came and none was the answer"},
		{"tcp: auth, then silent", "tcp", after(drain, noAuth), "hangs peer-silent "},
		{"tcp: auth, then the end", "tcp", after(func(net.Conn) {}, noAuth), "transport-fails connection-lost End of file while reading data: Input/output error"},
		{"tcp: feature, then silent", "tcp", after(drain, noAuth, feature), "hangs peer-silent "},
		{"tcp: feature, then the end", "tcp", after(func(net.Conn) {}, noAuth, feature), "transport-fails connection-lost End of file while reading data: Input/output error"},
		{"tcp: open, then silent", "tcp", after(drain, noAuth, feature, opened), "connected  "},
		{"tcp: open, then the end", "tcp", after(func(net.Conn) {}, noAuth, feature, opened), "connected  "},
		{"tcp: an authentication of the future", "tcp", after(drain, message(programRemote, procAuthList, typeReply, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 9})),
			"auth-fails authentication-unknown authentication failed: unsupported authentication type 9"},
		{"tcp: auth refused", "tcp", after(drain, message(programRemote, procAuthList, typeReply, 0, 1, remoteError(1, "internal error: no"))),
			"auth-fails authentication-refused internal error: no"},
		{"tcp: open refused", "tcp", after(drain, noAuth, feature, message(programRemote, procConnectOpen, typeReply, 2, 1, remoteError(1, "internal error: no"))),
			"open-fails open-refused internal error: no"},
		{"tcp: a daemon too old for the question", "tcp", after(drain,
			message(programRemote, procAuthList, typeReply, 0, 1, remoteError(39, "unknown procedure: 66")), feature, opened), "connected  "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := fmt.Sprintf("test+%s://localhost:%d/default", c.transport, listen(t, c.serve))
			if c.transport == "tls" {
				text += "?pkipath=" + dir
			}
			begin := time.Now()
			r, err := Dial(context.Background(), text, Options{URI: uri.Options{Settings: uri.Fixed{}}, At: begin, Clock: time.Now, Limits: shortLimits,
				Resolver: resolver{"localhost": {"127.0.0.1"}}})
			got := summary(r)
			if prefix, open := strings.CutSuffix(c.want, "*"); err != nil || got != c.want && !(open && strings.HasPrefix(got, prefix)) {
				t.Errorf("\n got %s, %v\nwant %s", got, err, c.want)
			}
			if d := time.Since(begin); d > 6*shortLimit {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// readMessage reads one message of the client.
func readMessage(c net.Conn) error {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(length[:]))-4)
	return err
}

func TestTheContextEndsEverything(t *testing.T) {
	port := listen(t, drain)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	r, err := Dial(ctx, fmt.Sprintf("test+tcp://127.0.0.1:%d/", port), Options{URI: uri.Options{Settings: uri.Fixed{}}})
	if !errors.Is(err, context.Canceled) || r.Outcome == finding.Connected || len(r.Stages) == 0 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestAuthOfTheURI(t *testing.T) {
	answer := func(types ...byte) []byte {
		p := []byte{0, 0, 0, byte(len(types))}
		for _, x := range types {
			p = append(p, 0, 0, 0, x)
		}
		return message(programRemote, procAuthList, typeReply, 0, 0, p)
	}
	sasl := func(mechs string) []byte {
		var e encoder
		e.string(mechs)
		return message(programRemote, procAuthSASLInit, typeReply, 1, 0, e.b)
	}
	for _, c := range []struct {
		name, auth string
		replies    [][]byte
		want       string
	}{
		{"polkit is demanded and not asked for", "polkit", [][]byte{answer(0)},
			"auth-fails authentication-type-of-uri authentication failed: requested authentication type polkit rejected"},
		{"nonsense is demanded", "x", [][]byte{answer(0)}, "auth-fails authentication-type-of-uri authentication failed: unknown authentication type x"},
		{"polkit refuses", "", [][]byte{answer(2), message(programRemote, procAuthPolkit, typeReply, 1, 1, remoteError(45, "authentication failed: access denied by policy"))},
			"auth-fails polkit-refused authentication failed: access denied by policy"},
		{"SASL cannot begin", "", [][]byte{answer(1), message(programRemote, procAuthSASLInit, typeReply, 1, 1, remoteError(45, "authentication failed: authentication failed"))},
			"auth-fails sasl-not-ready authentication failed: authentication failed"},
		{"SASL with a mechanism we lack", "", [][]byte{answer(1), sasl("GSSAPI,DIGEST-MD5")}, "auth-fails sasl-mechanism-not-done "},
		{"SASL with a mechanism that must be spelt as it is offered", "sasl.gssapi", [][]byte{answer(1), sasl("GSSAPI")},
			"auth-fails sasl-mechanism-missing authentication failed: SASL mechanism gssapi not supported by server"},
		{"SASL with a mechanism that is not offered", "sasl.PLAIN", [][]byte{answer(1), sasl("SCRAM-SHA-256")},
			"auth-fails sasl-mechanism-missing authentication failed: SASL mechanism PLAIN not supported by server"},
		{"SASL over TCP without encryption", "", [][]byte{answer(1), sasl("ANONYMOUS")}, "auth-fails sasl-needs-encryption authentication failed: negotiation SSF 0 was not strong enough"},
	} {
		port := listen(t, func(conn net.Conn) {
			b := make([]byte, 4096)
			for _, r := range c.replies {
				if _, err := conn.Read(b); err != nil {
					return
				}
				_, _ = conn.Write(r)
			}
			drain(conn)
		})
		text := fmt.Sprintf("test+tcp://127.0.0.1:%d/", port)
		if c.auth != "" {
			text += "?auth=" + c.auth
		}
		r, err := Dial(context.Background(), text, Options{URI: uri.Options{Settings: uri.Fixed{}}, Limits: shortLimits})
		if got := summary(r); err != nil || got != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestRulesAreComplete(t *testing.T) {
	for _, r := range Rules() {
		if r.Title == "" || r.Text == "" || r.Source == "" || r.Remedy == "" || r.Good == "" || r.Bad == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("rule %s lacks something", r.ID)
		}
	}
	if _, err := finding.NewCatalogue(Rules(), uri.Rules()); err != nil {
		t.Error(err)
	}
}
