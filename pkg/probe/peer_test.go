package probe

import (
	"context"
	"encoding/pem"
	"fmt"
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

// flat writes a directory with a CA, perhaps a server and perhaps a client.
func flat(t *testing.T, ca *testpki.CA, server, client *testpki.Identity) string {
	t.Helper()
	dir := peer.Dir(t)
	testpki.WriteFlat(t, dir, ca, server, client)
	return dir
}

func pemCRL(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }

// TestVirshAgrees tries URIs against a real libvirtd with real virsh and with Dial: both connect, or both fail with the
// same words.
func TestVirshAgrees(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	server := ca.Server("localhost")
	good := ca.Client("admin")
	dir := flat(t, ca, server, good)
	tcpPort := peer.FreePort(t, "127.0.0.1")
	d := peer.Start(t, peer.Options{Dir: dir, Conf: []string{"listen_tcp = 1", fmt.Sprintf("tcp_port = \"%d\"", tcpPort),
		`tls_allowed_dn_list = ["CN=admin", "CN=late"]`}}).MustBeReady(t)
	closed := peer.FreePort(t, "127.0.0.1")
	tls := func(host, dir string, more ...string) string {
		return fmt.Sprintf("test+tls://%s:%d/default?pkipath=%s%s", host, d.Port, dir, strings.Join(more, ""))
	}
	tcp := fmt.Sprintf("test+tcp://localhost:%d", tcpPort)
	revoking := flat(t, ca, nil, good)
	if err := os.WriteFile(filepath.Join(revoking, "cacrl.pem"), pemCRL(ca.CRL(1, server)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, uri string
		want      finding.Outcome
	}{
		{"good credentials", tls("localhost", dir), finding.Connected},
		{"upper case and a port that wraps", fmt.Sprintf("test+TLS://localhost:%d/default?PKIPATH=%s", d.Port+65536, dir), finding.Connected},
		{"an old spelling of 127.0.0.1, which is no address in the certificate", tls("127.1", dir), finding.ClientRejectsServer},
		{"an address the certificate does not have", tls("127.0.0.1", dir), finding.ClientRejectsServer},
		{"the same with no_verify", tls("127.0.0.1", dir, "&no_verify=1"), finding.Connected},
		{"a CA the server is not from", tls("localhost", flat(t, other, nil, nil)), finding.ClientRejectsServer},
		{"no certificate", tls("localhost", flat(t, ca, nil, nil)), finding.ServerRejectsClient},
		{"a certificate the daemon does not list", tls("localhost", flat(t, ca, nil, ca.Client("joe"))), finding.ServerRejectsClient},
		{"an expired certificate of one's own", tls("localhost", flat(t, ca, nil, ca.Client("late", testpki.Expired()))), finding.ClientLocal},
		{"the same with no_sanity", tls("localhost", flat(t, ca, nil, ca.Client("late", testpki.Expired())), "&no_sanity=1"), finding.ServerRejectsClient},
		{"a certificate of another CA", tls("localhost", flat(t, ca, nil, other.Client("admin"))), finding.ClientLocal},
		{"a revoked server", tls("localhost", revoking), finding.ClientRejectsServer},
		{"no directory", tls("localhost", dir+"/nosuch"), finding.ClientLocal},
		{"another name", tls("localhost", dir, "&name=test:///default"), finding.Connected},
		{"a driver that is none", tls("localhost", dir, "&name=bogus:///x"), finding.OpenFails},
		{"a name that is no URI", tls("localhost", dir, "&name=nonsense"), finding.OpenFails},
		{"a driver that is not loaded", strings.Replace(tls("localhost", dir), "test+", "qemu+", 1), finding.OpenFails},
		{"the daemon's choice", strings.Replace(tls("localhost", dir), "test+", "remote+", 1), finding.OpenFails},
		{"a path that is none", strings.Replace(tls("localhost", dir), "/default", "/nosuch", 1), finding.OpenFails},
		{"a wish for polkit", tls("localhost", dir, "&auth=polkit"), finding.AuthFails},
		{"a wish for nonsense", tls("localhost", dir, "&auth=x"), finding.AuthFails},
		{"a parameter that is no number", tls("localhost", dir, "&no_verify=yes"), finding.URIError},
		{"a closed port", fmt.Sprintf("test+tls://localhost:%d/default?pkipath=%s", closed, dir), finding.Network},
		{"a name that is none", tls("nosuch.invalid", dir), finding.Network},
		{"tls on the tcp port", fmt.Sprintf("test+tls://localhost:%d/default?pkipath=%s", tcpPort, dir), finding.HandshakeFails},
		{"tcp", tcp + "/default", finding.Connected},
		{"tcp on the tls port", fmt.Sprintf("test+tcp://localhost:%d/default", d.Port), finding.TransportFails},
		{"unix", "test+unix:///default?socket=" + url.QueryEscape(d.Socket), finding.Connected},
		{"unix, no socket", "test+unix:///default?socket=/nosuch/sock", finding.TransportFails},
		{"unix, a file that is none", "test+unix:///default?socket=" + dir + "/cacert.pem", finding.TransportFails},
		{"unix, nobody listens on the abstract socket", "test+unix:///default?socket=@nosuch", finding.TransportFails},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := peer.Virsh(t, c.uri)
			r, err := Dial(context.Background(), c.uri, Options{URI: uri.Options{Root: os.Geteuid() == 0, Settings: uri.Fixed{}}, At: time.Now(), Clock: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if r.Outcome != c.want || (v.Exit == 0) != (c.want == finding.Connected) {
				t.Errorf("outcome %s, want %s; virsh: %v", r.Outcome, c.want, v)
			}
			if c.want == finding.Connected {
				if name := strings.TrimSpace(v.Stdout); r.Server.Hostname != name || r.Server.Libvirt == "" {
					t.Errorf("server %+v, virsh says %q", r.Server, name)
				}
				return
			}
			ls := strings.Split(strings.TrimSpace(v.Stderr), "\n")
			if said := strings.TrimPrefix(ls[len(ls)-1], "error: "); said != r.LibvirtMessage {
				t.Errorf("\nvirsh: %s\n ours: %s (%s)", said, r.LibvirtMessage, r.Cause)
			}
			if r.Cause == "" {
				t.Error("no cause")
			}
		})
	}
}

func TestADaemonLogsNothingAboutAProbe(t *testing.T) {
	peer.Need(t, "libvirtd")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	d := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	before := d.Log()
	for _, u := range []string{d.URIFor("localhost", "pkipath="+dir), d.URIFor("localhost", "pkipath="+dir, "name=test:///nosuch"), "test+unix:///default?socket=" + d.Socket} {
		if _, err := Dial(context.Background(), u, Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	d.WaitLog("impossible", 200*time.Millisecond)
	for _, line := range peer.Messages(strings.TrimPrefix(d.Log(), before)) {
		// What the driver itself says of a path that is none is not about the connection.
		if !strings.Contains(line, "nosuch") {
			t.Errorf("the daemon logged %q", line)
		}
	}
}

func TestIPv6(t *testing.T) {
	peer.Need(t, "libvirtd")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("::1"), ca.Client("admin"))
	d := peer.Start(t, peer.Options{Dir: dir, Addr: "::1"}).MustBeReady(t)
	r, err := Dial(context.Background(), fmt.Sprintf("test+tls://[::1]:%d/default?pkipath=%s", d.Port, dir),
		Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now()})
	if err != nil || r.Outcome != finding.Connected || r.Server.Address != fmt.Sprintf("[::1]:%d", d.Port) {
		t.Errorf("%+v %v", r, err)
	}
}

func TestSASLWithoutAPassword(t *testing.T) {
	peer.Need(t, "libvirtd")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	sasl := filepath.Join(dir, "sasl")
	if err := os.Mkdir(sasl, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sasl, "libvirt.conf"), []byte("mech_list: anonymous\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		users string
		want  string
	}{
		{"", "connected  "},
		{`sasl_allowed_username_list = ["joe"]`, "auth-fails sasl-refused authentication failed: authentication failed"},
	} {
		o := peer.Options{Dir: dir, Conf: []string{`auth_tls = "sasl"`}, Place: peer.Place{Env: []string{"SASL_CONF_PATH=" + sasl}}}
		if c.users != "" {
			o.Conf = append(o.Conf, c.users)
		}
		d := peer.Start(t, o).MustBeReady(t)
		r, err := Dial(context.Background(), d.URIFor("localhost", "pkipath="+dir), Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now()})
		if got := summary(r); err != nil || got != c.want {
			t.Errorf("%q: %s %v, want %s", c.users, got, err, c.want)
		}
	}
}

func TestAFullDaemonHangs(t *testing.T) {
	peer.Need(t, "libvirtd")
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), ca.Client("admin"))
	d := peer.Start(t, peer.Options{Dir: dir, Conf: []string{"max_clients = 1", "max_anonymous_clients = 1"}}).MustBeReady(t)
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", d.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	time.Sleep(200 * time.Millisecond)
	r, err := Dial(context.Background(), d.URIFor("localhost", "pkipath="+dir), Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now(), Limits: shortLimits})
	if got := summary(r); err != nil || got != "hangs no-answer-in-time " {
		t.Errorf("%s %v", got, err)
	}
}
