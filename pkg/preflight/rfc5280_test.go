package preflight

import (
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func TestRFC5280IsSaidBesideLibvirt(t *testing.T) {
	ca := testpki.NewCA(t)
	between := ca.Intermediate("Between")
	list := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	const serverList, clientList = "/etc/pki/CA/cacrl.pem", "/etc/pki/CA/cacrl.pem"
	for _, c := range []struct {
		name           string
		ca             *testpki.CA // default: ca
		server, client *testpki.Identity
		// change has the files of both machines.
		change func(server, client files)
		conf   string
		uri    string
		strict bool
		want   string // outcome, opinions, and what stands beside them
	}{
		{name: "nothing is said of sound files",
			want: "connected, server accept, client accept\n"},
		{name: "nothing is said of sound files with an intermediate and the lists of both CAs",
			server: between.Server("kvm1"), client: between.Client("admin"),
			change: func(server, client files) {
				for _, f := range []files{server, client} {
					f["/etc/pki/CA/cacert.pem"] = append(ca.CertPEM(), between.CertPEM()...)
				}
				server[serverList] = append(list(ca.CRL(1)), list(between.CRL(1))...)
			},
			want: "connected, server accept, client accept\n"},
		{name: "a purpose that libvirt only warns of",
			server: ca.Server("kvm1", testpki.Purpose(false, testpki.OIDClientAuth)),
			want: "connected, server rfc5280-purpose, client accept\n" +
				"daemon: warning /etc/pki/libvirt/servercert.pem rfc5280-purpose\n" +
				"server: warning /etc/pki/libvirt/servercert.pem rfc5280-purpose\n"},
		{name: "a CA for other purposes is said of the CA file of who trusts it",
			ca: testpki.NewCA(t, testpki.Purpose(false, testpki.OIDCodeSigning)),
			want: "connected, server rfc5280-purpose, client rfc5280-purpose\n" +
				"daemon: warning /etc/pki/CA/cacert.pem rfc5280-purpose\n" +
				"client: warning /etc/pki/CA/cacert.pem rfc5280-purpose\n" +
				"server: warning /etc/pki/CA/cacert.pem rfc5280-purpose\n"},
		{name: "a list that says nothing of the certificate is said of the list",
			server: between.Server("kvm1"), client: between.Client("admin"),
			change: func(server, client files) {
				for _, f := range []files{server, client} {
					f["/etc/pki/CA/cacert.pem"] = append(ca.CertPEM(), between.CertPEM()...)
				}
				server[serverList] = list(testpki.NewCA(t, testpki.CN("Other")).CRL(1))
			},
			want: "connected, server accept, client rfc5280-revocation-unknown\n" +
				"daemon: warning /etc/pki/CA/cacrl.pem rfc5280-revocation-unknown\n" +
				"server: warning /etc/pki/CA/cacrl.pem rfc5280-revocation-unknown\n"},
		{name: "the daemon stops at an intermediate that is not in the CA file",
			server: between.Server("kvm1"),
			want:   "daemon-down\ndaemon: note /etc/pki/libvirt/servercert.pem rfc5280-accepts\n"},
		{name: "and so does the client",
			client: between.Client("admin"),
			want:   "client-local\nclient: note /etc/pki/libvirt/clientcert.pem rfc5280-accepts\n"},
		{name: "what both refuse is said once, by libvirt",
			server: ca.Server("kvm1", testpki.Expired()),
			want:   "daemon-down\n"},
		{name: "the wrong name is nothing to RFC 5280",
			server: ca.Server("kvm2"),
			want:   "client-rejects-server, server accept\n"},
		{name: "a name on no list neither",
			conf: `tls_allowed_dn_list = ["CN=nobody"]`,
			want: "server-rejects-client, server accept, client accept\n"},
		{name: "libvirt refuses a superfluous expired certificate that is sent along, RFC 5280 does not",
			server: between.Server("kvm1"),
			change: func(server, client files) {
				old := ca.Intermediate("Between", testpki.WithKey(between.Key), testpki.Expired())
				for _, f := range []files{server, client} {
					f["/etc/pki/CA/cacert.pem"] = append(ca.CertPEM(), between.CertPEM()...)
				}
				leaf, _ := pem.Decode(server["/etc/pki/libvirt/servercert.pem"])
				server["/etc/pki/libvirt/servercert.pem"] = append(pem.EncodeToMemory(leaf), old.CertPEM()...)
			},
			want: "client-rejects-server, server accept\nserver: note /etc/pki/libvirt/servercert.pem rfc5280-accepts\n"},
		{name: "who does not verify is told so, and nothing else",
			ca: testpki.NewCA(t, testpki.Purpose(false, testpki.OIDCodeSigning)), uri: "test+tls://kvm1/default?no_verify=1",
			conf: "tls_no_verify_certificate = 1",
			want: "connected, server rfc5280-purpose, client rfc5280-purpose\ndaemon: warning /etc/pki/CA/cacert.pem rfc5280-purpose\n"},
		{name: "with its rules alone its refusals are errors, and the outcome is libvirt's", strict: true,
			server: ca.Server("kvm1", testpki.Purpose(false, testpki.OIDClientAuth)),
			want: "connected, server rfc5280-purpose, client accept\n" +
				"daemon: error /etc/pki/libvirt/servercert.pem rfc5280-purpose\n" +
				"server: error /etc/pki/libvirt/servercert.pem rfc5280-purpose\n"},
		{name: "what both refuse, too", strict: true,
			server: ca.Server("kvm1", testpki.Expired()),
			want:   "daemon-down\ndaemon: error /etc/pki/libvirt/servercert.pem rfc5280-validity\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ca == nil {
				c.ca = ca
			}
			if c.server == nil {
				c.server = c.ca.Server("kvm1")
			}
			if c.client == nil {
				c.client = c.ca.Client("admin")
			}
			server, client := files{"/etc/pki/CA/cacert.pem": c.ca.CertPEM()}, files{"/etc/pki/CA/cacert.pem": c.ca.CertPEM()}
			server.identity("server", "", c.server)
			client.identity("client", "", c.client)
			if c.change != nil {
				c.change(server, client)
			}
			memory := &verify.Memory{}
			m := Machine{Root: true, Home: "/root", Libvirt: verify.V12_8, ReadFile: server.read}
			s := Daemon{Machine: m, Kind: conf.Libvirtd, Conf: []byte(c.conf), ConfFile: "libvirtd.conf", Run: conf.Run{Listen: true}, At: time.Now(),
				Memory: memory, Judge: &Judge{Strict: c.strict}}.Start(t.Context())
			if c.uri == "" {
				c.uri = "test+tls://kvm1/default"
			}
			m.ReadFile = client.read
			r, err := s.Connect(t.Context(), c.uri, Client{Machine: m, At: time.Now(), Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			got := string(r.Outcome)
			for _, o := range []struct {
				name string
				*Opinion
			}{{"server", r.RFC5280.Server}, {"client", r.RFC5280.Client}} {
				switch {
				case o.Opinion == nil:
				case o.Accepted:
					got += ", " + o.name + " accept"
				default:
					got += ", " + o.name + " " + o.Rule
				}
			}
			got += "\n"
			say := func(who string, f finding.Finding) {
				if strings.HasPrefix(f.Rule, "rfc5280-") {
					got += fmt.Sprintf("%s: %v %s %s\n", who, f.Severity, f.Subject, f.Rule)
				}
			}
			for _, f := range s.Findings {
				say("daemon", f)
			}
			for _, b := range r.beside {
				say(map[bool]string{true: "server", false: "client"}[b.OfServer], b.Finding)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got\n%s\n%+v", d, r.Findings)
			}
			// Who does not ask gets the same outcome.
			s.d.Judge = nil
			again, err := s.Connect(t.Context(), c.uri, Client{Machine: m, At: time.Now(), Memory: memory})
			if err != nil || again.Outcome != r.Outcome || again.Cause != r.Cause || again.LibvirtMessage != r.LibvirtMessage ||
				again.RFC5280 != (Opinions{}) {
				t.Errorf("without RFC 5280: %+v, %v", again, err)
			}
		})
	}
}

func TestRFC5280InTheMatrix(t *testing.T) {
	ca := testpki.NewCA(t)
	a, _ := peerHost("a", ca, ca.Server("a"), ca.Client("a"), "")
	b, _ := peerHost("b", ca, ca.Server("b", testpki.Purpose(false, testpki.OIDClientAuth)), ca.Client("b"), "")
	c, f := peerHost("c", ca, ca.Server("c"), ca.Client("c"), "")
	f["/etc/pki/CA/cacert.pem"] = append(ca.CertPEM(), testpki.NewCA(t, testpki.CN("Other")).CertPEM()...)
	judge, now := &Judge{}, time.Now()
	for _, h := range []*Host{&a, &b, &c} {
		h.Daemon.Judge, h.Daemon.At, h.Client.At = judge, now, now
	}
	m := cross(t, a, b, c)
	var got []string
	for i, fs := range m.Beside() {
		for _, f := range append(m.Own[i], fs...) {
			if strings.HasPrefix(f.Rule, "rfc5280-") {
				got = append(got, m.Hosts[i].Name+" "+f.Subject+" "+f.Rule)
			}
		}
	}
	if d := cmp.Diff([]string{"b /etc/pki/libvirt/servercert.pem rfc5280-purpose"}, got); d != "" {
		t.Error(d)
	}
	for _, c := range m.Cells {
		if want := c.Server != 1; c.Outcome != finding.Connected || c.RFC5280.Server.Accepted != want || !c.RFC5280.Client.Accepted {
			t.Errorf("%+v", c)
		}
	}
	// Two sets of CAs and six certificates: it is judged once each, and the daemons' own with them.
	if len(judge.known) > 12 {
		t.Errorf("%d questions", len(judge.known))
	}
}
