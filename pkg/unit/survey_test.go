package unit

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sort"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func sorted(s []string) []string { sort.Strings(s); return s }

// host is a machine with the units of a distribution, in its words as far as they matter: the service wants the three UNIX
// sockets, the others are bound to the main one.
func host(more layoutOf, daemons ...string) layoutOf {
	l := layoutOf{}
	for _, d := range daemons {
		file := "/etc/default/" + d
		l[usr+d+".service"] = "[Unit]\nWants=" + d + ".socket\nWants=" + d + "-ro.socket " + d + "-admin.socket\n[Service]\nType=notify\n" +
			"Environment=" + strings.ToUpper(d) + "_ARGS=\"--timeout 120\"\nEnvironmentFile=-" + file + "\nExecStart=/usr/sbin/" + d + " $" +
			strings.ToUpper(d) + "_ARGS\n[Install]\nWantedBy=multi-user.target\n"
		for suffix, listen := range map[string]string{"": "/run/libvirt/libvirt-sock", "-ro": "/run/libvirt/libvirt-sock-ro",
			"-admin": "/run/libvirt/libvirt-admin-sock", "-tcp": "16509", "-tls": "16514"} {
			bound := ""
			if suffix != "" {
				bound = "[Unit]\nBindsTo=" + d + ".socket\n"
			}
			l[usr+d+suffix+".socket"] = bound + "[Socket]\nListenStream=" + listen + "\nService=" + d + ".service\n[Install]\nWantedBy=sockets.target\n"
		}
	}
	maps.Copy(l, more)
	return l
}

// enable makes the links of systemctl enable.
func enable(l layoutOf, units ...string) layoutOf {
	for _, u := range units {
		target := "sockets.target.wants/"
		if strings.HasSuffix(u, ".service") {
			target = "multi-user.target.wants/"
		}
		l[etc+target+u] = "-> /usr/lib/systemd/system/" + u
	}
	return l
}

// mask makes those of systemctl mask.
func mask(l layoutOf, units ...string) layoutOf {
	for _, u := range units {
		l[etc+u] = "-> /dev/null"
	}
	return l
}

// debian is what an installation of libvirt-daemon-system enables.
func debian(more layoutOf) layoutOf {
	return enable(host(more, "libvirtd"), "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
}

// proxy is a host with virtproxyd, whose service requires its UNIX sockets, as the units of libvirt 9.0.0 say.
func proxy(more layoutOf) layoutOf {
	l := host(more, "virtproxyd")
	l[usr+"virtproxyd.service"] = strings.ReplaceAll(l[usr+"virtproxyd.service"], "Wants=", "Requires=")
	return l
}

func all(d string) []string {
	return []string{d + ".socket", d + "-ro.socket", d + "-admin.socket", d + "-tcp.socket", d + "-tls.socket"}
}

// state is what systemctl show says about some units: "name=active" or "name=failed".
func state(words ...string) []Running {
	var out []Running
	for _, w := range words {
		name, active, _ := strings.Cut(w, "=")
		active, reload := strings.CutSuffix(active, "!")
		out = append(out, Running{Name: name, Load: "loaded", Active: active, NeedReload: reload})
	}
	return out
}

func TestWhatASurveySays(t *testing.T) {
	const listen = "LIBVIRTD_ARGS=\"--listen\"\n"
	for _, c := range []struct {
		name    string
		l       layoutOf
		running []Running
		remote  string
		passed  string // suffixes of passed sockets
		tls     string
		boots   bool
		rules   string // RULE SUBJECT, one a line
		remedy  string // of the first
	}{
		{name: "Debian as it is installed", l: debian(nil), remote: "libvirtd", passed: " -ro -admin", boots: true},
		{name: "with the TLS socket", l: enable(debian(nil), "libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin -tls", tls: "16514", boots: true},
		{name: "--listen beside the sockets", l: debian(layoutOf{"etc/default/libvirtd": "# args\n" + listen}), remote: "libvirtd", passed: " -ro -admin", boots: true,
			rules: "listen-with-sockets /etc/default/libvirtd:2",
			remedy: "take --listen out of /etc/default/libvirtd:2, then: systemctl stop libvirtd.service; systemctl enable --now libvirtd-tls.socket; " +
				"systemctl start libvirtd.service; or keep it, and: systemctl mask --now libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket " +
				"libvirtd-tcp.socket libvirtd-tls.socket"},
		{name: "disabling the sockets does not help, the service wants them", l: enable(host(layoutOf{"etc/default/libvirtd": listen}, "libvirtd"), "libvirtd.service"),
			remote: "libvirtd", passed: " -ro -admin", boots: true, rules: "listen-with-sockets /etc/default/libvirtd:1"},
		{name: "masking them does", l: mask(enable(host(layoutOf{"etc/default/libvirtd": listen}, "libvirtd"), "libvirtd.service"), all("libvirtd")...),
			remote: "libvirtd", boots: true},
		{name: "a daemon that listens by itself and ends by itself", remote: "libvirtd", boots: true,
			l:     mask(enable(host(layoutOf{"etc/default/libvirtd": "LIBVIRTD_ARGS='-l -t 60'"}, "libvirtd"), "libvirtd.service"), all("libvirtd")...),
			rules: "timeout-without-sockets /etc/default/libvirtd:1", remedy: "take --timeout out of /etc/default/libvirtd:1; systemctl restart libvirtd.service"},
		{name: "the TLS socket needs a masked one", l: mask(enable(host(nil, "libvirtd"), "libvirtd.service", "libvirtd-tls.socket"),
			"libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"), remote: "libvirtd", boots: true,
			rules:  "socket-needs-masked /usr/lib/systemd/system/libvirtd-tls.socket\ntimeout-without-sockets /usr/lib/systemd/system/libvirtd.service:6",
			remedy: "systemctl unmask libvirtd.socket; systemctl enable --now libvirtd-tls.socket"},
		{name: "nothing is enabled", l: host(nil, "libvirtd"), remote: "libvirtd", passed: " -ro -admin",
			rules:  "daemon-not-started /usr/lib/systemd/system/libvirtd.service",
			remedy: "systemctl stop libvirtd.service; systemctl enable --now libvirtd-tls.socket; systemctl start libvirtd.service"},
		{name: "nothing is enabled, and the sockets are masked", l: mask(host(layoutOf{"etc/default/libvirtd": listen}, "libvirtd"), all("libvirtd")...),
			remote: "libvirtd", rules: "daemon-not-started /usr/lib/systemd/system/libvirtd.service", remedy: "systemctl enable --now libvirtd.service"},
		{name: "a socket alone starts the daemon", l: enable(host(nil, "libvirtd"), "libvirtd.socket"), remote: "libvirtd", passed: " -ro -admin", boots: true},
		{name: "the TLS socket alone starts the main one", l: enable(host(nil, "libvirtd"), "libvirtd-tls.socket"), remote: "libvirtd",
			passed: " -ro -admin -tls", tls: "16514", boots: true},
		{name: "a masked service", l: mask(debian(nil), "libvirtd.service"), remote: "libvirtd", passed: " -ro -admin",
			rules: "daemon-masked /etc/systemd/system/libvirtd.service", remedy: "systemctl unmask libvirtd.service"},
		{name: "modular daemons beside an installed libvirtd", l: enable(host(nil, "libvirtd", "virtproxyd"), "virtproxyd.socket", "virtproxyd-tls.socket"),
			remote: "virtproxyd", passed: " -ro -admin -tls", tls: "16514", boots: true},
		{name: "both", l: enable(host(nil, "libvirtd", "virtproxyd"), "libvirtd.socket", "virtproxyd.socket", "virtproxyd-tls.socket"),
			remote: "virtproxyd", passed: " -ro -admin -tls", tls: "16514", boots: true,
			rules: "two-daemons /usr/lib/systemd/system/libvirtd.service",
			remedy: "keep one of them, for virtproxyd: systemctl disable --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket " +
				"libvirtd-tcp.socket libvirtd-tls.socket"},
		{name: "an enabled service of the monolithic daemon beside the modular ones", l: enable(host(nil, "libvirtd", "virtproxyd"), "libvirtd.service", "virtproxyd.socket",
			"virtproxyd-tls.socket"), remote: "virtproxyd", passed: " -ro -admin -tls", tls: "16514", boots: true,
			rules: "two-daemons /usr/lib/systemd/system/libvirtd.service"},
		{name: "virtproxyd has no --listen", l: enable(host(layoutOf{"etc/default/virtproxyd": "VIRTPROXYD_ARGS=--listen\n"}, "virtproxyd"), "virtproxyd.socket"),
			remote: "virtproxyd", passed: " -ro -admin", boots: true, rules: "daemon-arguments /etc/default/virtproxyd:1",
			remedy: "take --listen out of /etc/default/virtproxyd:1, virtproxyd has no such option; systemctl enable --now virtproxyd-tls.socket"},
		{name: "the variable of an older Debian", l: debian(layoutOf{"etc/default/libvirtd": "libvirtd_opts=\"-l\"\n"}), remote: "libvirtd", passed: " -ro -admin",
			boots: true, rules: "arguments-unread /etc/default/libvirtd:1", remedy: `write LIBVIRTD_ARGS="-l" into /etc/default/libvirtd`},
		{name: "the unit of an older Debian", l: mask(enable(host(layoutOf{"etc/default/libvirtd": "libvirtd_opts=\"-l\"\nLIBVIRTD_ARGS=-x\n",
			etc + "libvirtd.service.d/11.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/libvirtd $libvirtd_opts\n"}, "libvirtd"), "libvirtd.service"), all("libvirtd")...),
			remote: "libvirtd", boots: true, rules: "arguments-unread /etc/default/libvirtd:2", remedy: `write libvirtd_opts="-x" into /etc/default/libvirtd`},
		{name: "the file of Fedora on Debian", l: debian(layoutOf{"etc/sysconfig/libvirtd": listen}), remote: "libvirtd", passed: " -ro -admin",
			boots: true, rules: "arguments-unread /etc/sysconfig/libvirtd:1"},
		{name: "a port of one's own", l: enable(debian(layoutOf{etc + "libvirtd-tls.socket.d/p.conf": "[Socket]\nListenStream=\nListenStream=192.0.2.5:16600\n"}),
			"libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin -tls", tls: "192.0.2.5:16600", boots: true},
		{name: "a port that is added", l: enable(debian(layoutOf{etc + "libvirtd-tls.socket.d/p.conf": "[Socket]\nListenStream=16600\n"}),
			"libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin -tls", tls: "16514 16600", boots: true,
			rules: "socket-address-added /etc/systemd/system/libvirtd-tls.socket.d/p.conf:2"},
		{name: "a drop-in without a section", l: debian(layoutOf{etc + "libvirtd-tls.socket.d/p.conf": "ListenStream=16600\n"}), remote: "libvirtd",
			passed: " -ro -admin", boots: true, rules: "unit-line-ignored /etc/systemd/system/libvirtd-tls.socket.d/p.conf:1"},
		{name: "a socket unit of one's own", l: enable(debian(layoutOf{usr + "my-tls.socket": "[Socket]\nListenStream=16514\nService=libvirtd.service\n"}), "my-tls.socket"),
			remote: "libvirtd", passed: " -ro -admin my-tls.socket", boots: true, rules: "socket-name-unknown /usr/lib/systemd/system/my-tls.socket",
			remedy: "put its ListenStream= into a drop-in of libvirtd-tls.socket, and: systemctl disable --now my-tls.socket"},
		{name: "a name of one's own", l: enable(debian(layoutOf{etc + "libvirtd-tls.socket.d/n.conf": "[Socket]\nFileDescriptorName=tls\n"}), "libvirtd-tls.socket"),
			remote: "libvirtd", passed: " -ro -admin -tls", boots: true, rules: "socket-name-unknown /etc/systemd/system/libvirtd-tls.socket.d/n.conf:2",
			remedy: "take FileDescriptorName= out of /etc/systemd/system/libvirtd-tls.socket.d/n.conf:2; systemctl daemon-reload"},
		{name: "one more command", l: debian(layoutOf{etc + "libvirtd.service.d/l.conf": "[Service]\nExecStart=/usr/sbin/libvirtd --listen\n"}), remote: "libvirtd",
			passed: " -ro -admin", boots: true, rules: "service-cannot-start /etc/systemd/system/libvirtd.service.d/l.conf:2",
			remedy: "write an empty ExecStart= before the one at /etc/systemd/system/libvirtd.service.d/l.conf:2; systemctl daemon-reload"},
		{name: "--listen in a drop-in", l: debian(layoutOf{etc + "libvirtd.service.d/l.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/libvirtd --listen\n"}),
			remote: "libvirtd", passed: " -ro -admin", boots: true, rules: "listen-with-sockets /etc/systemd/system/libvirtd.service.d/l.conf:3"},
		{name: "enabled, not started, and the service runs", l: enable(debian(nil), "libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin", boots: true,
			running: state("libvirtd.service=active", "libvirtd.socket=active", "libvirtd-ro.socket=active", "libvirtd-admin.socket=active",
				"libvirtd-tls.socket=failed", "libvirtd-tcp.socket=inactive"),
			rules:  "socket-not-started /usr/lib/systemd/system/libvirtd-tls.socket",
			remedy: "systemctl stop libvirtd.service; systemctl start libvirtd-tls.socket; systemctl start libvirtd.service"},
		{name: "enabled, not started, and nothing runs", l: enable(debian(nil), "libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin", boots: true,
			running: state("libvirtd.service=inactive", "libvirtd.socket=inactive", "libvirtd-ro.socket=inactive", "libvirtd-admin.socket=inactive",
				"libvirtd-tls.socket=inactive"),
			rules: "socket-not-started /usr/lib/systemd/system/libvirtd-tls.socket", remedy: "systemctl start libvirtd-tls.socket"},
		{name: "started by hand", l: debian(nil), remote: "libvirtd", passed: " -ro -admin -tls", tls: "16514", boots: true,
			running: state("libvirtd.service=active", "libvirtd.socket=active", "libvirtd-tls.socket=active"),
			rules:   "socket-not-enabled /usr/lib/systemd/system/libvirtd-tls.socket", remedy: "systemctl enable libvirtd-tls.socket"},
		{name: "newer files than systemd has read", l: debian(nil), remote: "libvirtd", passed: " -ro -admin", boots: true,
			running: state("libvirtd.service=active!", "libvirtd.socket=active"), rules: "reload-needed /usr/lib/systemd/system/libvirtd.service",
			remedy: "systemctl daemon-reload"},
		{name: "a condition of the -tls socket", l: enable(debian(layoutOf{etc + "libvirtd-tls.socket.d/c.conf": "[Unit]\nConditionPathExists=/etc/pki/x\n"}), "libvirtd-tls.socket"),
			remote: "libvirtd", passed: " -ro -admin", boots: true, rules: "socket-condition-fails /etc/systemd/system/libvirtd-tls.socket.d/c.conf:2",
			remedy: "see to it that it holds, or take it back with ConditionPathExists= in a drop-in: systemctl edit libvirtd-tls.socket"},
		{name: "one that holds", l: enable(debian(layoutOf{etc + "libvirtd-tls.socket.d/c.conf": "[Unit]\nConditionPathExists=/etc/pki/x\n", "etc/pki/x": ""}),
			"libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin -tls", tls: "16514", boots: true},
		{name: "one of a socket that is not enabled", l: debian(layoutOf{etc + "libvirtd-tls.socket.d/c.conf": "[Unit]\nConditionPathExists=/etc/pki/x\n"}),
			remote: "libvirtd", passed: " -ro -admin", boots: true},
		{name: "one of the main socket, to which the others are bound", l: enable(debian(layoutOf{etc + "libvirtd.socket.d/c.conf": "[Unit]\nConditionPathExists=/etc/x\n"}),
			"libvirtd-tls.socket"), remote: "libvirtd", boots: true, rules: "socket-needs-masked /usr/lib/systemd/system/libvirtd-tls.socket\ntimeout-without-sockets /usr/lib/systemd/system/libvirtd.service:6",
			remedy: "see to it that it holds, or take it back with ConditionPathExists= in a drop-in: systemctl edit libvirtd.socket"},
		{name: "one of the service", l: debian(layoutOf{etc + "libvirtd.service.d/c.conf": "[Unit]\nAssertPathExists=/etc/x\n"}), remote: "libvirtd",
			passed: " -ro -admin", boots: true, rules: "unit-condition-fails /etc/systemd/system/libvirtd.service.d/c.conf:2"},
		{name: "systemd has left the socket out", l: enable(debian(nil), "libvirtd-tls.socket"), remote: "libvirtd", passed: " -ro -admin", boots: true,
			running: append(state("libvirtd.service=active", "libvirtd.socket=active"), Running{Name: "libvirtd-tls.socket", Active: "inactive", Skipped: true}),
			rules:   "socket-condition-fails /usr/lib/systemd/system/libvirtd-tls.socket"},
		{name: "virtproxyd, whose service requires the sockets", l: mask(enable(proxy(nil), "virtproxyd.service"), "virtproxyd-ro.socket"), remote: "virtproxyd",
			passed: " -admin", boots: true, rules: "service-cannot-start /usr/lib/systemd/system/virtproxyd.service",
			remedy: "systemctl unmask virtproxyd-ro.socket; systemctl start virtproxyd.service"},
		{name: "an image before its first boot, without presets", l: host(layoutOf{"usr/lib/systemd/systemd": ""}, "libvirtd"), remote: "libvirtd",
			passed: " -ro -admin -tcp -tls", tls: "16514", boots: true,
			rules: "enabled-at-first-boot /usr/lib/systemd/system/libvirtd-tls.socket\nenabled-at-first-boot /usr/lib/systemd/system/libvirtd-tcp.socket"},
		{name: "an image with Fedora's presets", l: host(layoutOf{"usr/lib/systemd/systemd": "", "usr/lib/systemd/system-preset/90-default.preset": "enable virtproxyd.socket\n",
			"usr/lib/systemd/system-preset/99-default-disable.preset": "disable *\n"}, "libvirtd", "virtproxyd"), remote: "virtproxyd", boots: true,
			passed: " -ro -admin"},
		{name: "the same after its first boot", l: host(layoutOf{"usr/lib/systemd/systemd": "", "etc/machine-id": strings.Repeat("a", 32)}, "libvirtd"), remote: "libvirtd",
			passed: " -ro -admin", rules: "daemon-not-started /usr/lib/systemd/system/libvirtd.service"},
		{name: "a generator's units", l: layoutOf{"run/systemd/generator/libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd --listen\n",
			"run/systemd/generator/multi-user.target.wants/libvirtd.service": "-> ../libvirtd.service"}, remote: "libvirtd", boots: true},
		{name: "an instance of a template that is linked", l: enable(layoutOf{usr + "libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd\n",
			usr + "net@.socket":                           "[Socket]\nListenStream=%i\nService=libvirtd.service\nFileDescriptorName=libvirtd-tls.socket\n",
			etc + "sockets.target.wants/net@16514.socket": "-> /usr/lib/systemd/system/net@.socket"}), remote: "libvirtd", boots: true,
			passed: "net@16514.socket", tls: "16514"},
		{name: "no units", l: layoutOf{"etc/libvirt/libvirtd.conf": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.l.tree(t).Survey(c.running)
			d := s.Remote()
			if d == nil {
				if c.remote != "" {
					t.Fatalf("no daemon, not %s", c.remote)
				}
				return
			}
			var passed, tls []string
			for _, x := range d.Passed() {
				name := x.Name
				if own, ok := strings.CutPrefix(name, d.Name); ok {
					name = strings.TrimSuffix(own, ".socket")
				}
				passed = append(passed, name)
			}
			for _, x := range d.Takes("-tls") {
				tls = append(tls, x.Text)
			}
			got := []string{d.Name, strings.Join(passed, " "), strings.Join(tls, " "), fmt.Sprint(d.Boots())}
			if diff := cmp.Diff([]string{c.remote, c.passed, c.tls, fmt.Sprint(c.boots)}, got); diff != "" {
				t.Error(diff)
			}
			var rules []string
			found := s.Findings(d, nil)
			for _, f := range found {
				rules = append(rules, f.Rule+" "+f.Subject)
			}
			if diff := cmp.Diff(c.rules, strings.Join(rules, "\n")); diff != "" {
				t.Error(diff)
			}
			if c.remedy != "" && (len(found) == 0 || found[0].Remedy != c.remedy) {
				t.Errorf("got %+v, want the remedy %q", found, c.remedy)
			}
		})
	}
}

func TestShowIsRead(t *testing.T) {
	got := ParseShow([]byte("Id=libvirtd.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=yes\nMainPID=412\n" +
		"ExecMainStartTimestamp=Wed 2026-11-25 09:30:33 UTC\n\n" +
		"Id=libvirtd-tls.socket\nLoadState=not-found\nActiveState=inactive\n\nnothing of the kind\n"))
	want := []Running{{Name: "libvirtd.service", Load: "loaded", Active: "active", Sub: "running", FileState: Enabled, NeedReload: true, PID: 412,
		Since: time.Date(2026, 11, 25, 9, 30, 33, 0, time.UTC)},
		{Name: "libvirtd-tls.socket", Load: "not-found", Active: "inactive"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestTheUnitsOfThisMachine surveys libvirt's own unit files, where they are installed.
func TestTheUnitsOfThisMachine(t *testing.T) {
	tree := New(os.DirFS("/"))
	s := tree.Survey(nil)
	d := s.Daemon("libvirtd")
	if d == nil {
		if peer.Required() {
			t.Fatal("libvirtd has no unit here")
		}
		t.Skip("libvirtd has no unit here")
	}
	if len(d.Sockets) != 5 || d.CommandErr != nil || d.ArgumentErr != nil || d.Command.Program != "/usr/sbin/libvirtd" || len(d.Problems) > 0 {
		t.Errorf("%+v", d)
	}
	if x := d.Socket("-tls"); x == nil || len(x.Streams) != 1 || x.Streams[0].Port != 16514 || x.Descriptor != "libvirtd-tls.socket" {
		t.Errorf("%+v", x)
	}
	for _, f := range s.Findings(d, nil) {
		if f.Severity == finding.Error {
			t.Errorf("%+v", f)
		}
	}
}

func TestArgumentsWithOpenRC(t *testing.T) {
	for _, c := range []struct {
		l    layoutOf
		want string
	}{
		{layoutOf{"etc/conf.d/libvirtd": "# x\nLIBVIRTD_OPTS=\"--listen\"\n"}, "true /etc/conf.d/libvirtd"},
		{layoutOf{"etc/conf.d/libvirtd": "#LIBVIRTD_OPTS=\"--listen\"\n"}, "false /etc/conf.d/libvirtd"},
		{layoutOf{"etc/default/libvirtd": ""}, ""},
	} {
		got := ""
		if a, file, err := c.l.tree(t).OpenRC("libvirtd"); err != nil {
			t.Error(err)
		} else if file != "" {
			got = fmt.Sprint(a.Listen) + " " + file
		}
		if got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

func TestEveryRuleIsComplete(t *testing.T) {
	for _, r := range Rules() {
		if r.Title == "" || r.Text == "" || r.Remedy == "" || r.Good == "" || r.Bad == "" || r.Source == "" {
			t.Errorf("%s is incomplete", r.ID)
		}
	}
}

// A counter counts how often the directory of units is read, and links in it.
type counter struct {
	fs.FS
	dirs, links int
}

func (c *counter) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(c.FS, name) }

func (c *counter) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == strings.TrimSuffix(usr, "/") {
		c.dirs++
	}
	return fs.ReadDir(c.FS, name)
}

func (c *counter) ReadLink(name string) (string, error) {
	if strings.HasPrefix(name, usr) {
		c.links++
	}
	return fs.ReadLink(c.FS, name)
}

// TestADirectoryIsNotReadForEachUnit has many sockets of one daemon, with many aliases.
func TestADirectoryIsNotReadForEachUnit(t *testing.T) {
	const n = 50
	l := layoutOf{usr + "libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd\n"}
	for i := range n {
		l[fmt.Sprintf("%sx%d.socket", usr, i)] = "[Socket]\nListenStream=1\nService=libvirtd.service\n"
		l[fmt.Sprintf("%sy%d.socket", usr, i)] = fmt.Sprintf("-> x%d.socket", i)
	}
	c := &counter{FS: os.DirFS(l.write(t))}
	d := New(c).Survey(nil).Daemon("libvirtd")
	if d == nil || len(d.Sockets) < n {
		t.Fatalf("%+v", d)
	}
	// Each unit that is loaded asks for its own link, three daemons for those of all.
	if c.dirs > 5 || c.links > 30*n {
		t.Errorf("the directory was read %d times, links in it %d times", c.dirs, c.links)
	}
}

func FuzzSurvey(f *testing.F) {
	f.Add("[Unit]\nConditionPathExistsGlob=|!/etc/*/x\nAssertHost=[a\n[Service]\nExecStart=/usr/sbin/libvirtd %i\n", "[Unit]\nBindsTo=libvirtd.socket\n[Socket]\nListenStream=%t/x\n"+
		"[Install]\nWantedBy=sockets.target\nAlso=%p@%i0.socket\n", "enable *\n", "libvirtd-%i.socket")
	f.Add("[Unit]\nConditionOSRelease=ID=\"x\nConditionUser=\nRequires=libvirtd-tls.socket\n", "[Socket]\nService=libvirtd.service\nListenStream=[::]:16514\n", "disable\n", "x@.socket")
	f.Fuzz(func(t *testing.T, service, socket, preset, alias string) {
		m := fstest.MapFS{"usr/lib/systemd/systemd": {}, "usr/lib/systemd/system-preset/x.preset": {Data: []byte(preset)}, "etc/os-release": {Data: []byte(preset)}}
		for name, text := range map[string]string{"libvirtd.service": service, "libvirtd.socket": socket, "libvirtd-tls.socket": socket, "libvirtd@.socket": socket} {
			m[usr+name] = &fstest.MapFile{Data: []byte(text)}
		}
		if fs.ValidPath(etc+alias) && len(alias) < 300 && !strings.Contains(alias, "/") {
			m[etc+alias] = &fstest.MapFile{Data: []byte(usr + "libvirtd@.socket"), Mode: fs.ModeSymlink}
		}
		s := New(m).Survey(nil)
		for _, d := range s.Daemons {
			for _, found := range s.Findings(d, nil) {
				if found.Message == "" || found.Severity == finding.Error && found.Remedy == "" {
					t.Errorf("%+v", found)
				}
			}
		}
	})
}
