package preflight

import (
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

const (
	etcUnits = "etc/systemd/system/"
	usrUnits = "usr/lib/systemd/system/"
)

// unitsOf makes the tree of a machine with the units of a daemon, of which some are enabled.
func unitsOf(daemon string, more map[string]string, enabled ...string) *unit.Tree {
	m := fstest.MapFS{}
	add := func(name, text string) {
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			m[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
			return
		}
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	args := strings.ToUpper(daemon) + "_ARGS"
	add(usrUnits+daemon+".service", "[Unit]\nWants="+daemon+".socket\n[Service]\nEnvironment="+args+"=\"--timeout 120\"\nEnvironmentFile=-/etc/default/"+daemon+
		"\nExecStart=/usr/sbin/"+daemon+" $"+args+"\n[Install]\nWantedBy=multi-user.target\n")
	for suffix, listen := range map[string]string{"": "/run/libvirt/libvirt-sock", "-tcp": "16509", "-tls": "16514"} {
		bound := ""
		if suffix != "" {
			bound = "[Unit]\nBindsTo=" + daemon + ".socket\n"
		}
		add(usrUnits+daemon+suffix+".socket", bound+"[Socket]\nListenStream="+listen+"\nService="+daemon+".service\n[Install]\nWantedBy=sockets.target\n")
	}
	for _, u := range enabled {
		add(etcUnits+"x.target.wants/"+daemon+u, "-> /usr/lib/systemd/system/"+daemon+u)
	}
	for name, text := range more {
		add(name, text)
	}
	return unit.New(m)
}

// masked are the links that --listen needs.
func masked(daemon string, more map[string]string) map[string]string {
	out := map[string]string{}
	for _, suffix := range []string{"", "-tcp", "-tls"} {
		out[etcUnits+daemon+suffix+".socket"] = "-> /dev/null"
	}
	maps.Copy(out, more)
	return out
}

func TestDaemonsAreRunAsTheirUnitsSay(t *testing.T) {
	const listen = "LIBVIRTD_ARGS=--listen\n"
	nginx := []Listening{{Addr: netip.IPv6Unspecified(), Port: 16514, Program: "nginx"}}
	active := func(words ...string) []unit.Running {
		var out []unit.Running
		for _, w := range words {
			name, a, _ := strings.Cut(w, "=")
			out = append(out, unit.Running{Name: name, Load: "loaded", Active: a})
		}
		return out
	}
	for _, c := range []struct {
		name    string
		kind    conf.Kind
		conf    string
		tree    *unit.Tree
		running []unit.Running
		ports   []Listening
		missing bool // the credentials

		cause   string // of a daemon that does not start
		exit    int
		ports2  string // TLS ports
		found   string // rules with severity above note, in order
		first   string // message of the first finding
		remedy  string // its remedy
		outcome finding.Outcome
		why     string
	}{
		{name: "the TLS socket is enabled", tree: unitsOf("libvirtd", nil, ".service", ".socket", "-tls.socket"), ports2: "16514",
			found: "conf-dn-list-missing", outcome: finding.Connected},
		{name: "nothing asks for TLS", tree: unitsOf("libvirtd", nil, ".service", ".socket"), found: "daemon-does-not-listen",
			first:   "systemd passes libvirtd its sockets, and libvirtd-tls.socket is disabled.",
			remedy:  "systemctl stop libvirtd.service; systemctl enable --now libvirtd-tls.socket; systemctl start libvirtd.service",
			outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "listen_tls = 1 alone", conf: "listen_tls = 1", tree: unitsOf("libvirtd", nil, ".service", ".socket"),
			found: "daemon-does-not-listen conf-dn-list-missing", first: "listen_tls = 1 is not enough: systemd passes libvirtd its sockets, and libvirtd-tls.socket is disabled.",
			outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "the socket is masked", tree: unitsOf("libvirtd", map[string]string{etcUnits + "libvirtd-tls.socket": "-> /dev/null"}, ".service", ".socket"),
			found: "daemon-does-not-listen", first: "systemd passes libvirtd its sockets, and libvirtd-tls.socket is masked.",
			outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "masked sockets and no --listen", conf: "listen_tls = 1", tree: unitsOf("libvirtd", masked("libvirtd", map[string]string{"etc/default/libvirtd": "LIBVIRTD_ARGS=\n"}), ".service"),
			found:  "daemon-does-not-listen conf-dn-list-missing",
			first:  "listen_tls = 1 is not enough: libvirtd is run without --listen, and systemd passes it no socket.",
			remedy: `write LIBVIRTD_ARGS="--listen" into /etc/default/libvirtd; systemctl restart libvirtd.service`, outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "masked sockets and --listen", conf: `tls_port = "16514"`, tree: unitsOf("libvirtd", masked("libvirtd", map[string]string{"etc/default/libvirtd": listen}), ".service"),
			ports2: "16514", found: "conf-dn-list-missing", outcome: finding.Connected},
		{name: "masked sockets and listen_tls = 0", conf: "listen_tls = 0", tree: unitsOf("libvirtd", masked("libvirtd", map[string]string{"etc/default/libvirtd": listen}), ".service"),
			found: "daemon-does-not-listen", first: "The daemon does not listen for TLS: listen_tls is 0.",
			remedy: "virt-pki conf set listen_tls 1 d.conf; systemctl restart libvirtd.service", outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "virtproxyd without sockets and without listen_tls", kind: conf.Virtproxyd,
			tree:  unitsOf("virtproxyd", masked("virtproxyd", map[string]string{"etc/default/virtproxyd": "VIRTPROXYD_ARGS=\n"}), ".service"),
			found: "daemon-does-not-listen", first: "The daemon does not listen for TLS: listen_tls is not set, which is 0 for virtproxyd.",
			outcome: finding.Network, why: "daemon-does-not-listen"},
		{name: "--listen beside sockets", conf: "listen_tls = 1", tree: unitsOf("libvirtd", map[string]string{"etc/default/libvirtd": listen}, ".service", ".socket"),
			cause: "listen-with-sockets", exit: 6, first: "libvirtd gets --listen, and is passed libvirtd.socket: it refuses both together", outcome: finding.DaemonDown,
			why: "listen-with-sockets", found: "listen-with-sockets conf-dn-list-missing"},
		{name: "a bad configuration comes before --listen", conf: "listen_tls = yes", tree: unitsOf("libvirtd", map[string]string{"etc/default/libvirtd": listen}, ".service", ".socket"),
			cause: "conf-syntax", exit: 1, outcome: finding.DaemonDown, why: "conf-syntax", found: "conf-syntax listen-with-sockets"},
		{name: "bad arguments come before a bad configuration", conf: "listen_tls = yes",
			tree:  unitsOf("libvirtd", map[string]string{"etc/default/libvirtd": "LIBVIRTD_ARGS=--lissten\n"}, ".service", ".socket"),
			cause: "daemon-arguments", exit: 1, outcome: finding.DaemonDown, why: "daemon-arguments", found: "daemon-arguments"},
		{name: "a strange socket comes after the credentials", missing: true, tree: unitsOf("libvirtd", map[string]string{
			usrUnits + "my.socket":                    "[Socket]\nListenStream=16514\nService=libvirtd.service\n[Install]\nWantedBy=x.target\n",
			etcUnits + "x.target.wants/my.socket":     "-> /usr/lib/systemd/system/my.socket",
			etcUnits + "libvirtd-tls.socket.d/p.conf": "[Socket]\nListenStream=\nListenStream=1\n"}, ".service", ".socket", "-tls.socket"),
			cause: "ca-file-missing", exit: 6, outcome: finding.DaemonDown, why: "ca-file-missing", found: "ca-file-missing socket-name-unknown conf-dn-list-missing"},
		{name: "a masked service", tree: unitsOf("libvirtd", map[string]string{etcUnits + "libvirtd.service": "-> /dev/null"}, ".socket"), cause: "daemon-masked",
			outcome: finding.DaemonDown, why: "daemon-masked", found: "daemon-masked"},
		{name: "nothing starts it", tree: unitsOf("libvirtd", nil), found: "daemon-not-started", outcome: finding.Network, why: "daemon-not-started"},
		{name: "enabled and not started", tree: unitsOf("libvirtd", nil, ".service", ".socket", "-tls.socket"),
			running: active("libvirtd.service=active", "libvirtd.socket=active", "libvirtd-tls.socket=failed"), found: "socket-not-started",
			outcome: finding.Network, why: "socket-not-started"},
		{name: "the unit's port, not the configuration's", conf: `tls_port = "16999"`, ports2: "16600",
			tree:  unitsOf("libvirtd", map[string]string{etcUnits + "libvirtd-tls.socket.d/p.conf": "[Socket]\nListenStream=\nListenStream=16600\n"}, ".service", "-tls.socket"),
			found: "conf-dn-list-missing conf-listen-activated", outcome: finding.Network, why: "listen-port-other"},
		{name: "an address of the unit", ports2: "127.0.0.1:16514",
			tree:  unitsOf("libvirtd", map[string]string{etcUnits + "libvirtd-tls.socket.d/p.conf": "[Socket]\nListenStream=\nListenStream=127.0.0.1:16514\n"}, ".service", "-tls.socket"),
			found: "conf-dn-list-missing", outcome: finding.Network, why: "listen-address-other"},
		{name: "listen_addr does not count with sockets", conf: `listen_addr = "127.0.0.1"`, ports2: "16514", tree: unitsOf("libvirtd", nil, ".service", "-tls.socket"),
			found: "conf-dn-list-missing conf-listen-activated", outcome: finding.Connected},
		{name: "the port is taken from the unit", ports: nginx, running: active("libvirtd.service=inactive", "libvirtd.socket=active", "libvirtd-tls.socket=failed"),
			tree:  unitsOf("libvirtd", nil, ".service", ".socket", "-tls.socket"),
			found: "port-taken", outcome: finding.Network, why: "port-taken", first: "libvirtd-tls.socket cannot listen on 16514: nginx on [::]:16514 has the port."},
		{name: "the port is taken from the daemon", ports: nginx, tree: unitsOf("libvirtd", masked("libvirtd", map[string]string{"etc/default/libvirtd": listen}), ".service"),
			cause: "port-taken", exit: 6, found: "port-taken conf-dn-list-missing", outcome: finding.DaemonDown, why: "port-taken",
			first: "Port 16514 is taken: nginx on [::]:16514."},
		{name: "half of it", ports: []Listening{{Addr: netip.IPv4Unspecified(), Port: 16514, Program: "nginx"}}, ports2: "16514",
			tree:  unitsOf("libvirtd", masked("libvirtd", map[string]string{"etc/default/libvirtd": listen}), ".service"),
			found: "conf-dn-list-missing port-taken", outcome: finding.Network, why: "listen-address-other"},
		{name: "the daemon's own port", ports: []Listening{{Addr: netip.IPv6Unspecified(), Port: 16514, Program: "systemd"}}, ports2: "16514",
			tree: unitsOf("libvirtd", nil, ".service", ".socket", "-tls.socket"), found: "conf-dn-list-missing", outcome: finding.Connected},
		{name: "an open socket unit", conf: `auth_unix_rw = "none"`, tree: unitsOf("libvirtd", nil, ".service", "-tls.socket"), ports2: "16514",
			found: "conf-dn-list-missing conf-socket-open", outcome: finding.Connected},
		{name: "a closed socket unit", conf: `auth_unix_rw = "none"`, ports2: "16514",
			tree:  unitsOf("libvirtd", map[string]string{etcUnits + "libvirtd.socket.d/m.conf": "[Socket]\nSocketMode=0660\n"}, ".service", "-tls.socket"),
			found: "conf-dn-list-missing", outcome: finding.Connected},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.missing {
				delete(w.files, "/etc/pki/CA/cacert.pem")
			}
			kind := c.kind
			if kind == 0 {
				kind = conf.Libvirtd
			}
			s := Daemon{Machine: w.machine(), Kind: kind, Conf: []byte(c.conf), ConfFile: "d.conf", At: time.Now(), Memory: &verify.Memory{},
				Units: c.tree.Survey(c.running), Ports: c.ports,
				Own: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.5") }}.Start(t.Context())
			if s.Starts != (c.cause == "") || s.Cause != c.cause || s.Exit != c.exit {
				t.Errorf("starts %v, cause %q, exit status %d", s.Starts, s.Cause, s.Exit)
			}
			if got := s.TLSPorts(); s.Starts && got != c.ports2 {
				t.Errorf("listens for TLS on %q, not %q", got, c.ports2)
			}
			var rules []string
			for _, f := range s.Findings {
				if f.Severity > finding.Note {
					rules = append(rules, f.Rule)
				}
			}
			if d := cmp.Diff(c.found, strings.Join(rules, " ")); d != "" {
				t.Error(d)
			}
			if c.first != "" && s.Findings[0].Message != c.first {
				t.Errorf("%q", s.Findings[0].Message)
			}
			if c.remedy != "" && s.Findings[0].Remedy != c.remedy {
				t.Errorf("the remedy is %q", s.Findings[0].Remedy)
			}
			r := Connection{}
			if !c.missing {
				r = w.connect(t, s, "test+tls://kvm1/default")
				if r.Outcome != c.outcome || r.Cause != c.why {
					t.Errorf("the connection is %q because of %q", r.Outcome, r.Cause)
				}
			}
		})
	}
}

func TestAFileThatIsNamedHasToBeThere(t *testing.T) {
	w := newWorld(t)
	s := Daemon{Machine: w.machine(), Kind: conf.Libvirtd, ConfFile: "/etc/nosuch.conf", ConfErr: fs.ErrNotExist, At: time.Now()}.Start(t.Context())
	const want = "Can't load config file: Failed to open file '/etc/nosuch.conf': No such file or directory: /etc/nosuch.conf"
	if s.Starts || s.Cause != "configuration-missing" || s.Exit != 1 || s.LibvirtMessage != want {
		t.Errorf("%+v", s)
	}
}

func TestARunningDaemonDoesNotKnowLaterChanges(t *testing.T) {
	start := time.Date(2026, 11, 25, 9, 30, 33, 0, time.UTC)
	for _, c := range []struct {
		name, conf, changed string
		since               time.Time
		want                string
	}{
		{name: "nothing changed", since: start},
		{name: "its configuration", changed: "d.conf", since: start, want: "d.conf: It was changed at 2026-11-25 09:31:33, and libvirtd runs since " +
			"2026-11-25 09:30:33: it does not know the change. | systemctl restart libvirtd.service"},
		{name: "its arguments", changed: "/etc/default/libvirtd", since: start, want: "/etc/default/libvirtd: It was changed at 2026-11-25 09:31:33, and libvirtd " +
			"runs since 2026-11-25 09:30:33: it does not know the change. | systemctl restart libvirtd.service"},
		{name: "its certificate", changed: "/etc/pki/libvirt/servercert.pem", since: start, want: "/etc/pki/libvirt/servercert.pem: It was changed at 2026-11-25 09:31:33, " +
			"and libvirtd runs since 2026-11-25 09:30:33: it does not know the change. | virt-admin -c libvirtd:///system server-update-tls libvirtd"},
		{name: "another certificate", changed: "/etc/pki/libvirt/clientcert.pem", since: start},
		{name: "configured files", changed: "/etc/pki/CA/cacert.pem", since: start,
			conf: `ca_file = "/etc/pki/CA/cacert.pem"; cert_file = "/etc/pki/libvirt/servercert.pem"; key_file = "/etc/pki/libvirt/private/serverkey.pem"`,
			want: "/etc/pki/CA/cacert.pem: It was changed at 2026-11-25 09:31:33, and libvirtd runs since 2026-11-25 09:30:33: it does not know the change. | " +
				"systemctl restart libvirtd.service"},
		{name: "it is not known since when it runs", changed: "d.conf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			running := []unit.Running{{Name: "libvirtd.service", Active: "active", Since: c.since}, {Name: "libvirtd.socket", Active: "active"},
				{Name: "libvirtd-tls.socket", Active: "active"}}
			s := Daemon{Machine: w.machine(), Kind: conf.Libvirtd, Conf: []byte(c.conf), ConfFile: "d.conf", At: time.Now(),
				Units: unitsOf("libvirtd", nil, ".service", "-tls.socket").Survey(running)}.Start(t.Context())
			got := ""
			for _, f := range s.Stale(func(name string) time.Time {
				if name == c.changed {
					return start.Add(time.Minute)
				}
				return start.Add(400 * time.Millisecond) // within the second it was started in
			}) {
				got = f.Subject + ": " + f.Message + " | " + f.Remedy
			}
			if got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestSettingsInTheFileOfAnotherDaemon(t *testing.T) {
	got := OtherDaemon([]byte("log_level = 1\n\ntls_allowed_dn_list = []\nlisten_tls = 1\n"), "/etc/libvirt/libvirtd.conf", conf.Virtproxyd, "/etc/libvirt/virtproxyd.conf")
	if len(got) != 1 || got[0].Subject != "/etc/libvirt/libvirtd.conf:3" || got[0].Message != "listen_tls, tls_allowed_dn_list are set in libvirtd.conf, "+
		"but it is virtproxyd that does TLS here, and it reads /etc/libvirt/virtproxyd.conf." {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "log_level = 1\nauth_unix_rw = \"none\"\n", "no grammar"} {
		if got := OtherDaemon([]byte(text), "virtqemud.conf", conf.Libvirtd, "libvirtd.conf"); got != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// opened counts how often a file is opened.
type opened struct {
	fs.FS
	of    string
	times int
}

func (o *opened) Open(name string) (fs.File, error) {
	if name == o.of {
		o.times++
	}
	return o.FS.Open(name)
}

func (o *opened) Stat(name string) (fs.FileInfo, error) { return fs.Stat(o.FS, name) }

func TestAServiceOfManyZonesIsReadOnce(t *testing.T) {
	const service = "etc/firewalld/services/mine.xml"
	zone := &fstest.MapFile{Data: []byte("<zone><interface name='x'/>" + strings.Repeat("<service name='mine'/>", 20) + "</zone>")}
	o := &opened{FS: fstest.MapFS{service: {Data: []byte("<service/>")}, "etc/firewalld/zones/a.xml": zone, "etc/firewalld/zones/b.xml": zone}, of: service}
	if got := Firewall(unit.New(o), 16514, nil); len(got) != 1 || o.times != 1 {
		t.Errorf("%d findings; read %d times", len(got), o.times)
	}
}

func TestFirewallsThatNameNeitherPortNorService(t *testing.T) {
	for _, c := range []struct {
		name string
		more map[string]string
		port uint16
		want string // subject
	}{
		{name: "none", port: 16514},
		{name: "a zone of firewalld without it", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><service name="ssh"/></zone>`}, port: 16514,
			want: "/etc/firewalld/zones/public.xml"},
		{name: "with the service", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><service name="libvirt-tls"/></zone>`}, port: 16514},
		{name: "with the service, on another port", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><service name="libvirt-tls"/></zone>`}, port: 16600,
			want: "/etc/firewalld/zones/public.xml"},
		{name: "with a range", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><port port="16500-16600" protocol="tcp"/></zone>`}, port: 16514},
		{name: "firewalld is installed and disabled", more: map[string]string{"etc/firewalld/firewalld.conf": "DefaultZone=public\n",
			usrUnits + "firewalld.service": "[Service]\nExecStart=/x\n[Install]\nWantedBy=x.target\n"}, port: 16514},
		{name: "a udp port of firewalld", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><port port="16514" protocol="udp"/></zone>`}, port: 16514,
			want: "/etc/firewalld/zones/public.xml"},
		{name: "a comment of firewalld", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><!-- libvirt-tls 16514 --></zone>`}, port: 16514,
			want: "/etc/firewalld/zones/public.xml"},
		{name: "a zone that is not in use", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone/>`, "etc/firewalld/zones/work.xml": `<zone><service name="libvirt-tls"/></zone>`},
			port: 16514, want: "/etc/firewalld/zones/public.xml"},
		{name: "a zone with an interface", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone/>`,
			"etc/firewalld/zones/work.xml": `<zone><interface name="eth1"/><service name="libvirt-tls"/></zone>`}, port: 16514},
		{name: "another default zone", more: map[string]string{"etc/firewalld/firewalld.conf": "DefaultZone=work\n",
			"usr/lib/firewalld/zones/work.xml": `<zone><service name="ssh"/></zone>`}, port: 16514, want: "/usr/lib/firewalld/zones/work.xml"},
		{name: "a trusted default zone", more: map[string]string{"etc/firewalld/firewalld.conf": "DefaultZone=trusted\n"}, port: 16514},
		{name: "a service of one's own", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><service name="mine"/></zone>`,
			"etc/firewalld/services/mine.xml": `<service><port port="16600" protocol="tcp"/></service>`}, port: 16600},
		{name: "libvirt-tls with another port", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><service name="libvirt-tls"/></zone>`,
			"etc/firewalld/services/libvirt-tls.xml": `<service><port port="16600" protocol="tcp"/></service>`}, port: 16514, want: "/etc/firewalld/zones/public.xml"},
		{name: "a rich rule", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><rule family="ipv4"><source address="10.0.0.0/8"/>` +
			`<port port="16514" protocol="tcp"/><accept/></rule></zone>`}, port: 16514},
		{name: "a rich rule that rejects", more: map[string]string{"etc/firewalld/zones/public.xml": `<zone><rule><port port="16514" protocol="tcp"/><reject/></rule></zone>`},
			port: 16514, want: "/etc/firewalld/zones/public.xml"},
		{name: "nftables that drops what is forwarded", more: map[string]string{"etc/nftables.conf": "table inet filter {\n chain forward {\n  type filter hook forward priority 0; policy drop;\n }\n" +
			" chain input { type filter hook input priority 0; policy accept; }\n}\n"}, port: 16514},
		{name: "nftables with a policy on its own line", more: map[string]string{"etc/nftables.conf": "table inet filter {\n chain forward {\n  type filter hook forward priority 0;\n }\n" +
			" chain input {\n  type filter hook input priority 0; policy drop;\n  tcp dport 22 accept\n }\n}\n"}, port: 16514, want: "/etc/nftables.conf"},
		{name: "nftables that drops the port", more: map[string]string{"etc/nftables.conf": "chain input { type filter hook input priority 0;\n tcp dport 16514 drop\n}\n"}, port: 16514,
			want: "/etc/nftables.conf"},
		{name: "nftables with a udp port", more: map[string]string{"etc/nftables.conf": "chain input { policy drop;\n udp dport 16514 accept\n}\n"}, port: 16514, want: "/etc/nftables.conf"},
		{name: "nftables with a policy and the port in one line", more: map[string]string{"etc/nftables.conf": "chain input { policy drop; tcp dport 16514 accept; reject; }\n"}, port: 16514},
		{name: "nftables that is disabled", more: map[string]string{"etc/nftables.conf": "policy drop;\n", usrUnits + "nftables.service": "[Service]\nExecStart=/x\n[Install]\nWantedBy=x.target\n"},
			port: 16514},
		{name: "iptables that drops what is forwarded", more: map[string]string{"etc/iptables/rules.v4": "*nat\n-A PREROUTING -j DROP\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n" +
			"-A FORWARD -j REJECT\n"}, port: 16514},
		{name: "iptables that rejects the port", more: map[string]string{"etc/iptables/rules.v4": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 16514 -j REJECT\n"}, port: 16514,
			want: "/etc/iptables/rules.v4"},
		{name: "iptables with several ports", more: map[string]string{"etc/iptables/rules.v4": ":INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,16514 -j ACCEPT\n"}, port: 16514},
		{name: "iptables with a udp port", more: map[string]string{"etc/iptables/rules.v4": ":INPUT DROP [0:0]\n-A INPUT -p udp --dport 16514 -j ACCEPT\n"}, port: 16514,
			want: "/etc/iptables/rules.v4"},
		{name: "ufw that lets all in", more: map[string]string{"etc/ufw/ufw.conf": "ENABLED=yes\n", "etc/default/ufw": "DEFAULT_INPUT_POLICY=\"ACCEPT\"\n"}, port: 16514},
		{name: "nftables as Debian ships it", more: map[string]string{"etc/nftables.conf": "table inet filter {\n chain input { type filter hook input priority filter; }\n}\n"}, port: 16514},
		{name: "nftables with a policy", more: map[string]string{"etc/nftables.conf": "table inet filter {\n chain input { policy drop; tcp dport 22 accept }\n}\n"}, port: 16514,
			want: "/etc/nftables.conf"},
		{name: "a comment does not open it", more: map[string]string{"etc/nftables.conf": "policy drop;\n# 16514\n"}, port: 16514, want: "/etc/nftables.conf"},
		{name: "nftables with a set", more: map[string]string{"etc/nftables.conf": "policy drop; tcp dport { 22, 16514 } accept\n"}, port: 16514},
		{name: "ufw that is off", more: map[string]string{"etc/ufw/ufw.conf": "ENABLED=no\n"}, port: 16514},
		{name: "ufw", more: map[string]string{"etc/ufw/ufw.conf": "ENABLED=yes\n", "etc/ufw/user.rules": "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n"}, port: 16514,
			want: "/etc/ufw/ufw.conf"},
		{name: "ufw with the port", more: map[string]string{"etc/ufw/ufw.conf": "ENABLED=yes\n", "etc/ufw/user.rules": "-A ufw-user-input -p tcp --dport 16514 -j ACCEPT\n"}, port: 16514},
		{name: "iptables", more: map[string]string{"etc/sysconfig/iptables": ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 16509 -j ACCEPT\n"}, port: 16514,
			want: "/etc/sysconfig/iptables"},
		{name: "iptables with a range", more: map[string]string{"etc/sysconfig/iptables": ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 16509:16514 -j ACCEPT\n"}, port: 16514},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, f := range Firewall(unitsOf("libvirtd", c.more), c.port, nil) {
				got = f.Subject
				if f.Rule != "firewall-unopened" || f.Severity != finding.Note || !strings.Contains(f.Remedy, "16600") && c.port == 16600 || strings.Contains(f.Remedy, "PORT") {
					t.Errorf("%+v", f)
				}
			}
			if got != c.want {
				t.Errorf("%q, not %q", got, c.want)
			}
		})
	}
}

func TestListeningSocketsAreReadFromProc(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		t.Skip("no /proc here")
	}
	all, err := ReadListening(os.DirFS("/proc"))
	if err != nil {
		t.Fatal(err)
	}
	name, _ := os.ReadFile("/proc/self/comm")
	for _, x := range all {
		if int(x.Port) == port && x.Addr == netip.MustParseAddr("127.0.0.1") {
			if x.Program != strings.TrimSpace(string(name)) {
				t.Errorf("it is %q's", x.Program)
			}
			return
		}
	}
	t.Errorf("port %d is not among %v", port, all)
}

func TestTheKernelsTableOfSockets(t *testing.T) {
	got := parseListening([]byte("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:4082 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0 100 0 0 10 0\n" +
		"   1: 0100007F:4083 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 124 1 0 100 0 0 10 0\n" +
		"   2: 00000000000000000000000001000000:4082 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 125 1 0\n" +
		"   3: junk\n   4: XX:1 0:0 0A 0 0 0 0 0 9 1\n"))
	want := []Listening{{Addr: netip.MustParseAddr("127.0.0.1"), Port: 16514, Inode: "123"}, {Addr: netip.MustParseAddr("::1"), Port: 16514, Inode: "125"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
}

// TestTakenPortsAreJudgedAsLibvirtdDoes takes the port from a real daemon, wholly and in part.
func TestTakenPortsAreJudgedAsLibvirtdDoes(t *testing.T) {
	peer.Need(t, "libvirtd", "python3")
	pki := peer.Credentials(t)
	for _, c := range []struct {
		name, take, addr string // addr: "-" is none
		starts           bool
	}{
		{name: "its address", take: "127.0.0.1", addr: "127.0.0.1"},
		{name: "all of IPv4", take: "0.0.0.0", addr: "127.0.0.1"},
		{name: "another address", take: "127.0.0.2", addr: "127.0.0.1", starts: true},
		{name: "one of all", take: "127.0.0.1", addr: "-", starts: true},
		{name: "all of all", take: "::", addr: "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.addr == "-" {
				peer.NeedNamespaces(t) // it would listen on all addresses of this machine
			}
			var place peer.Place
			port := 0
			if c.addr == "-" {
				place.Machine = peer.NewMachine(t)
				port = 16514
				p := place.Start(t, "python3", "-c", fmt.Sprintf(taker, c.take, port))
				if !p.WaitLog("ready", 5*time.Second) {
					t.Fatalf("the port could not be taken: %s", p.Log())
				}
			} else {
				l, err := net.Listen("tcp4", net.JoinHostPort(c.take, "0"))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				port = l.Addr().(*net.TCPAddr).Port
			}
			settings := []string{}
			text := fmt.Sprintf("tls_port = \"%d\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n", port, pki+"/cacert.pem", pki+"/servercert.pem", pki+"/serverkey.pem")
			if c.addr == "-" {
				settings = append(settings, "-listen_addr")
			} else {
				text += fmt.Sprintf("listen_addr = %q\n", c.addr)
			}
			d := peer.Start(t, peer.Options{Place: place, Dir: pki, Port: port, Addr: "127.0.0.1", Conf: settings})
			own := func(name string) ([]byte, error) { return os.ReadFile(name) }
			s := Daemon{Machine: Machine{Root: true, ReadFile: own, Libvirt: verify.V9_0}, Kind: conf.Libvirtd, Conf: []byte(text), ConfFile: filepath.Join(pki, "d.conf"),
				Run: conf.Run{Listen: true}, At: time.Now(), Own: func(netip.Addr) bool { return true }, Resolver: hosts{},
				Ports: []Listening{{Addr: netip.MustParseAddr(c.take), Port: uint16(port), Program: "other"}}}.Start(t.Context())
			if s.Starts != c.starts {
				t.Errorf("predicted: %v, %q", s.Starts, s.LibvirtMessage)
			}
			if d.Ready != c.starts || !c.starts && (d.Exit != s.Exit || !strings.Contains(d.Log(), s.LibvirtMessage) || s.LibvirtMessage == "") {
				t.Errorf("libvirtd is ready: %v, exit status %d, predicted %d and %q: %s", d.Ready, d.Exit, s.Exit, s.LibvirtMessage, d.Log())
			}
		})
	}
}

// taker is a program that takes a port.
const taker = `
import socket, time
a, p = %q, %d
s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET)
s.bind((a, p)); s.listen(); print('ready', flush=True); time.sleep(60)
`

func FuzzHostState(f *testing.F) {
	f.Add([]byte("   0: 0100007F:408A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"), uint16(16514))
	f.Add([]byte("-A INPUT -p tcp --dport 16509:16514 -j ACCEPT\n-A INPUT -j REJECT # libvirt-tls\n"), uint16(16514))
	f.Fuzz(func(t *testing.T, text []byte, port uint16) {
		for _, l := range parseListening(text) {
			if !l.Addr.IsValid() || l.Inode == "" {
				t.Errorf("%+v", l)
			}
		}
		opened := fmt.Sprintf("%s\n*filter\n-A INPUT -p tcp --dport %d -j ACCEPT\n", text, port)
		found := Firewall(unitsOf("libvirtd", map[string]string{"etc/iptables/rules.v4": opened, "etc/firewalld/zones/x.xml": "<zone target=\"ACCEPT\"/>",
			"etc/firewalld/firewalld.conf": "DefaultZone=x\n"}), port, nil)
		if len(found) > 0 {
			t.Errorf("%d is opened, and yet: %v", port, found)
		}
		for _, name := range []string{"etc/firewalld/zones/public.xml", "etc/nftables.conf", "etc/ufw/user.rules", "etc/sysconfig/iptables"} {
			Firewall(unitsOf("libvirtd", map[string]string{name: string(text), "etc/ufw/ufw.conf": "ENABLED=yes\n"}), port, nil)
		}
	})
}
