package preflight

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// peerHost makes a host that is server and client, with the system's files.
func peerHost(name string, ca *testpki.CA, server, client *testpki.Identity, conf string) (Host, files) {
	f := files{"/etc/pki/CA/cacert.pem": ca.CertPEM()}
	if server != nil {
		f.identity("server", "", server)
	}
	if client != nil {
		f.identity("client", "", client)
	}
	return hostOf(name, f, conf), f
}

func hostOf(name string, f files, text string) Host {
	m := Machine{Root: true, Home: "/root", Libvirt: verify.V9_0, ReadFile: f.read}
	return Host{Name: name, URI: "test+tls://" + name + "/default",
		Daemon: &Daemon{Machine: m, Kind: conf.Libvirtd, Conf: []byte(text), ConfFile: "/etc/libvirt/libvirtd.conf", Run: runListening, At: time.Now()},
		Client: Client{Machine: m, At: time.Now()}}
}

var runListening = conf.Run{Listen: true}

// withhold puts what is told of the keys in their place.
func withhold(h *Host) {
	read := h.Client.ReadFile
	isKey := func(name string) bool { return strings.Contains(name, "key.pem") }
	h.Client.Withheld = func(name string) *verify.WithheldKey {
		text, err := read(name)
		if err != nil || !isKey(name) {
			return nil
		}
		w := verify.Withhold(text)
		return &w
	}
	h.Client.ReadFile = func(name string) ([]byte, error) {
		if isKey(name) {
			if _, err := read(name); err == nil {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
			}
		}
		return read(name)
	}
	d := *h.Daemon
	d.Machine = h.Client.Machine
	h.Daemon = &d
}

// outcomes gives the cells as text: one line for each client.
func outcomes(m *Matrix) string {
	var b strings.Builder
	for _, c := range m.Cells {
		o := string(c.Outcome)
		if c.Cause.Rule != "" {
			o += " [" + c.Cause.Rule + "]"
		}
		fmt.Fprintf(&b, "%s -> %s: %s\n", m.Hosts[c.Client].Name, m.Hosts[c.Server].Name, o)
	}
	return b.String()
}

func troubles(m *Matrix) string {
	var b strings.Builder
	for _, t := range m.Troubles() {
		fmt.Fprintf(&b, "%s of %v:", t.Rule, t.Hosts)
		for _, k := range t.Blocks {
			fmt.Fprintf(&b, " %s %v -> %v", k.Outcome, k.Clients, k.Servers)
		}
		fmt.Fprintf(&b, " (%d)\n", len(t.Cases))
	}
	return b.String()
}

func cross(t *testing.T, hosts ...Host) *Matrix {
	t.Helper()
	m, err := Cross(t.Context(), hosts, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatrixOfGoodHostsIsProven(t *testing.T) {
	ca := testpki.NewCA(t)
	a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
	b, _ := peerHost("b", ca, ca.Server("b"), ca.Client("b"), "")
	admin, _ := peerHost("admin", ca, nil, ca.Client("admin"), "")
	admin.Daemon = nil
	m := cross(t, a, b, admin)
	for _, c := range m.Cells {
		if c.Outcome != finding.Connected || !c.Proven {
			t.Errorf("%+v", c)
		}
	}
	if len(m.Cells) != 6 || len(m.Troubles()) != 0 {
		t.Errorf("%d cells, troubles:\n%s", len(m.Cells), troubles(m))
	}
	a.ServerOnly, b.ServerOnly = true, true
	if m := cross(t, a, b, admin); len(m.Cells) != 2 {
		t.Errorf("servers that are no clients: %d cells", len(m.Cells))
	}
}

func TestMatrixNamesEachCauseOnce(t *testing.T) {
	ca, foreign := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Foreign CA"))
	old := testpki.NewCA(t, testpki.Expired())
	for _, c := range []struct {
		name  string
		hosts func() []Host
		want  string
	}{
		{"an expired CA stops a host both ways, and that is one trouble", func() []Host {
			a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
			b, _ := peerHost("b", old, old.Server("b"), old.Client("b"), "")
			d, _ := peerHost("d", ca, ca.Server("d"), ca.Client("d"), "")
			return []Host{a, b, d}
		}, "ca-expired of [1]: daemon-down [0 2] -> [1] client-local [1] -> [0 1 2] (1)\n"},
		{"a server whose certificate lacks its name", func() []Host {
			a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
			b, _ := peerHost("b", ca, ca.Server("other"), ca.Client("b"), "")
			return []Host{a, b}
		}, "host-mismatch of [1]: client-rejects-server [0 1] -> [1] (1)\n"},
		{"a name that is on one list only", func() []Host {
			a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), `tls_allowed_dn_list = ["CN=a", "CN=d"]`)
			b, _ := peerHost("b", ca, ca.Server("b"), ca.Client("b"), "")
			d, _ := peerHost("d", ca, ca.Server("d"), ca.Client("d"), "")
			return []Host{a, b, d}
		}, "dn-not-allowed of [1]: server-rejects-client [1] -> [0] (1)\n"},
		{"a foreign CA makes one trouble of both ways", func() []Host {
			a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
			b, _ := peerHost("b", foreign, foreign.Server("b"), foreign.Client("b"), "")
			d, _ := peerHost("d", ca, ca.Server("d"), ca.Client("d"), "")
			return []Host{a, b, d}
		}, "unknown-issuer of [1]: client-rejects-server [1] -> [0 2] client-rejects-server [0 2] -> [1] (1)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proven := cross(t, c.hosts()...)
			if d := cmp.Diff(c.want, troubles(proven)); d != "" {
				t.Errorf("troubles (-want +got):\n%s%s", d, outcomes(proven))
			}
			keyless := c.hosts()
			for i := range keyless {
				withhold(&keyless[i])
			}
			judged := cross(t, keyless...)
			if d := cmp.Diff(outcomes(proven), outcomes(judged)); d != "" {
				t.Errorf("without keys (-with +without):\n%s", d)
			}
			for _, c := range judged.Cells {
				if c.Proven {
					t.Errorf("proven without a key: %+v", c)
				}
			}
		})
	}
}

func TestMatrixWithFilesThatCannotBeRead(t *testing.T) {
	ca := testpki.NewCA(t)
	a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
	b, f := peerHost("b", ca, ca.Server("b"), ca.Client("b"), "")
	b.Client.ReadFile = func(name string) ([]byte, error) {
		if name == "/etc/pki/libvirt/servercert.pem" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return f.read(name)
	}
	b.Daemon.ReadFile = b.Client.ReadFile
	m := cross(t, a, b)
	want := "a -> a: connected\na -> b: \nb -> a: \nb -> b: \n"
	if got := outcomes(m); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := fmt.Sprint(m.Unread); got != "[[] [/etc/pki/libvirt/servercert.pem]]" {
		t.Errorf("unread: %s", got)
	}
}

// TestMatrixIsWhatRealLibvirtDoes runs a daemon for each of several hosts, and virsh as each of them against each.
func TestMatrixIsWhatRealLibvirtDoes(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh")
	ca := testpki.NewCA(t)
	old := testpki.NewCA(t, testpki.Expired())
	foreign := testpki.NewCA(t, testpki.CN("Foreign CA"))
	loop := []string{"localhost", "127.0.0.1"}
	server := func(c *testpki.CA) *testpki.Identity { return c.Server(loop[0], testpki.Names(loop...)) }
	type real struct {
		ca             *testpki.CA
		server, client *testpki.Identity
		conf           string
		behind         []byte // the certificate in the server's file
	}
	stranger := testpki.NewCA(t, testpki.CN("Stranger"), testpki.Expired()).CertPEM()
	all := []real{
		{ca, server(ca), ca.Client("a"), `tls_allowed_dn_list = ["CN=a", "CN=c", "CN=d", "CN=e", "CN=f"]`, nil},
		{ca, ca.Server("elsewhere.example.com"), ca.Client("b"), "", nil}, // a name missing from the SANs; not on a's list
		{old, server(old), old.Client("c"), "", nil},                      // an expired CA
		{foreign, server(foreign), foreign.Client("d"), "", nil},          // a foreign CA
		{ca, server(ca), ca.Client("e", testpki.Expired()), "", nil},      // an expired client certificate
		{ca, server(ca), ca.Client("f"), "", stranger},                    // an expired CA, which is not sent, behind the certificate
	}
	var hosts []Host
	var dirs []string
	var daemons []*peer.Libvirtd
	for i, r := range all {
		dir := peer.Dir(t)
		testpki.WriteFlat(t, dir, r.ca, r.server, r.client)
		if err := os.WriteFile(filepath.Join(dir, "servercert.pem"), append(r.server.CertPEM(), r.behind...), 0o644); err != nil {
			t.Fatal(err)
		}
		var lines []string
		if r.conf != "" {
			lines = []string{r.conf}
		}
		d := peer.Start(t, peer.Options{Dir: dir, Conf: lines})
		text, err := os.ReadFile(d.ConfFile)
		if err != nil {
			t.Fatal(err)
		}
		daemons, dirs = append(daemons, d), append(dirs, dir)
		f := files{}
		for _, n := range []string{"cacert", "servercert", "serverkey", "clientcert", "clientkey"} {
			b, err := os.ReadFile(filepath.Join(dir, n+".pem"))
			if err != nil {
				t.Fatal(err)
			}
			f[dir+"/"+n+".pem"] = b
			place := map[string]string{"clientcert": "/etc/pki/libvirt/", "clientkey": "/etc/pki/libvirt/private/", "cacert": "/etc/pki/CA/"}[n]
			if place != "" {
				f[place+n+".pem"] = b
			}
		}
		h := hostOf(fmt.Sprintf("h%d", i), f, string(text))
		h.URI = d.URIFor("localhost")
		hosts = append(hosts, h)
	}
	m := cross(t, hosts...)
	for _, c := range m.Cells {
		if daemons[c.Server].Ready == (c.Outcome == finding.DaemonDown) && c.Outcome != finding.ClientLocal {
			t.Errorf("h%d: the daemon is up: %v, predicted: %s", c.Server, daemons[c.Server].Ready, c.Outcome)
		}
		d := daemons[c.Server]
		r := peer.Virsh(t, d.URIFor("localhost", "pkipath="+dirs[c.Client]))
		connected := r.Exit == 0
		said := strings.Join(peer.Messages(r.Stderr), "\n")
		name := fmt.Sprintf("h%d -> h%d", c.Client, c.Server)
		if connected != (c.Outcome == finding.Connected) {
			t.Errorf("%s: virsh connects: %v, predicted %s [%s]\n%s", name, connected, c.Outcome, c.Cause.Rule, said)
			continue
		}
		// Which file has the client's fault is a matter of where the files lie.
		want := strings.ReplaceAll(c.LibvirtMessage, "/etc/pki/CA/", dirs[c.Client]+"/")
		want = strings.ReplaceAll(want, "/etc/pki/libvirt/", dirs[c.Client]+"/")
		if !connected && !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: predicted %s [%s] with %q, virsh says\n%s", name, c.Outcome, c.Cause.Rule, want, r.Stderr)
		}
	}
	seen := map[finding.Outcome]bool{}
	for _, c := range m.Cells {
		seen[c.Outcome] = true
	}
	for _, o := range []finding.Outcome{finding.Connected, finding.DaemonDown, finding.ClientLocal, finding.ClientRejectsServer, finding.ServerRejectsClient} {
		if !seen[o] {
			t.Errorf("no connection comes to %s:\n%s", o, outcomes(m))
		}
	}
}

// BenchmarkMatrix judges n x n connections: with keys, and without.
func BenchmarkMatrix(b *testing.B) {
	ca := testpki.NewCA(b)
	for _, n := range []int{50, 200} {
		var proven, judged []Host
		for i := range n {
			name := fmt.Sprintf("kvm%03d", i)
			h, _ := peerHost(name, ca, ca.Server(name), ca.Client(name), "")
			proven = append(proven, h)
			withhold(&h)
			judged = append(judged, h)
		}
		for _, c := range []struct {
			name  string
			hosts []Host
		}{{"proven", proven}, {"judged", judged}} {
			b.Run(fmt.Sprintf("%s-%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					m, err := Cross(context.Background(), c.hosts, 2, nil)
					if err != nil || len(m.Cells) != n*n || m.Cells[n].Proven != (c.name == "proven") {
						b.Fatalf("%v, %d cells", err, len(m.Cells))
					}
				}
				b.ReportMetric(float64(n*n)*float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
			})
		}
	}
}
