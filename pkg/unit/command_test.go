package unit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// TestSubstitutionIsThatOfSystemd replays what the real one did, see testdata/README.md.
func TestSubstitutionIsThatOfSystemd(t *testing.T) {
	b, err := os.ReadFile("testdata/systemd-252.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		var c struct {
			Text                                string
			Environment, Argv, Variables, Words []string
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		n++
		want, got := map[string]string{}, map[string]string{}
		for _, a := range c.Environment {
			if k, v, _ := strings.Cut(a, "="); validName(k) {
				want[k] = v
			}
		}
		for _, a := range ParseEnvironment([]byte(c.Text), "e") {
			got[a.Name] = a.Value
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", c.Text, d)
		}
		var cmd Command
		for _, a := range c.Variables {
			k, v, _ := strings.Cut(a, "=")
			cmd.Environment = append(cmd.Environment, Assignment{Name: k, Value: v})
		}
		for _, w := range c.Argv {
			cmd.add(w, false)
		}
		if d := cmp.Diff(c.Words, append([]string{}, cmd.Args...)); d != "" {
			t.Errorf("%q with %q: %s", c.Argv, c.Variables, d)
		}
	}
	if n < 200 {
		t.Errorf("only %d cases", n)
	}
}

const service = "[Unit]\nWants=libvirtd.socket\n[Service]\nType=notify\nEnvironment=LIBVIRTD_ARGS=\"--timeout 120\"\n" +
	"EnvironmentFile=-/etc/default/libvirtd\nExecStart=/usr/sbin/libvirtd $LIBVIRTD_ARGS\n[Install]\nWantedBy=multi-user.target\n"

func TestCommandOfAService(t *testing.T) {
	for _, c := range []struct {
		name string
		l    layoutOf
		args []string
		err  string
	}{
		{name: "the unit's own default", l: layoutOf{usr + "libvirtd.service": service}, args: []string{"--timeout", "120"}},
		{name: "the file wins over Environment=", l: layoutOf{usr + "libvirtd.service": service, "etc/default/libvirtd": "LIBVIRTD_ARGS=--listen\n"},
			args: []string{"--listen"}},
		{name: "an empty variable in the file", l: layoutOf{usr + "libvirtd.service": service, "etc/default/libvirtd": "LIBVIRTD_ARGS=\n"}},
		{name: "a drop-in resets the command", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service.d/x.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/libvirtd --listen --config '/etc/a b.conf'\n"},
			args: []string{"--listen", "--config", "/etc/a b.conf"}},
		{name: "a drop-in that does not reset it", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service.d/x.conf": "[Service]\nExecStart=/usr/sbin/libvirtd --listen\n"},
			err: "/etc/systemd/system/libvirtd.service.d/x.conf:2: Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services"},
		{name: "drop-ins in the order of their names", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service.d/20-b.conf": "[Service]\nEnvironment=LIBVIRTD_ARGS=b\n",
			usr + "libvirtd.service.d/30-c.conf": "[Service]\nEnvironment=LIBVIRTD_ARGS=c\n",
			etc + "libvirtd.service.d/10-a.conf": "[Service]\nEnvironment=LIBVIRTD_ARGS=a\n"}, args: []string{"c"}},
		{name: "a drop-in hides the one of its name in /usr", l: layoutOf{usr + "libvirtd.service": service,
			usr + "libvirtd.service.d/x.conf": "[Service]\nEnvironment=LIBVIRTD_ARGS=vendor\n",
			etc + "libvirtd.service.d/x.conf": "-> /dev/null"}, args: []string{"--timeout", "120"}},
		{name: "a file of one's own hides the vendor's", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service": "[Service]\nExecStart=/opt/libvirtd -l\n"}, args: []string{"-l"}},
		{name: "a drop-in for all services", l: layoutOf{usr + "libvirtd.service": service,
			etc + "service.d/x.conf": "[Service]\nEnvironment=LIBVIRTD_ARGS=all\n"}, args: []string{"all"}},
		{name: "a missing environment file without a dash", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service.d/x.conf": "[Service]\nEnvironmentFile=/etc/sysconfig/libvirtd\n"},
			err: `/etc/systemd/system/libvirtd.service.d/x.conf:2: the environment file "/etc/sysconfig/libvirtd" is not there`},
		{name: "environment files taken back", l: layoutOf{usr + "libvirtd.service": service, "etc/default/libvirtd": "LIBVIRTD_ARGS=--listen\n",
			etc + "libvirtd.service.d/x.conf": "[Service]\nEnvironmentFile=\n"}, args: []string{"--timeout", "120"}},
		{name: "environment files by a pattern", l: layoutOf{usr + "libvirtd.service": service, "etc/d/1.env": "LIBVIRTD_ARGS=1\n", "etc/d/2.env": "LIBVIRTD_ARGS=2\n",
			etc + "libvirtd.service.d/x.conf": "[Service]\nEnvironmentFile=/etc/d/*.env\n"}, args: []string{"2"}},
		{name: "an unset variable", l: layoutOf{usr + "libvirtd.service": service,
			etc + "libvirtd.service.d/x.conf": "[Service]\nUnsetEnvironment=LIBVIRTD_ARGS\n"}},
		{name: "no command at all", l: layoutOf{usr + "libvirtd.service": service, etc + "libvirtd.service.d/x.conf": "[Service]\nExecStart=\n"},
			err: "/usr/lib/systemd/system/libvirtd.service:1: the service has no ExecStart="},
		{name: "a quote that is not closed", l: layoutOf{usr + "libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd \"-l\n"},
			err: `/usr/lib/systemd/system/libvirtd.service:2: ExecStart= cannot be read: the quote " is not closed`},
		{name: "two commands in one", l: layoutOf{usr + "libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd ; /bin/true\n"},
			err: "/usr/lib/systemd/system/libvirtd.service:2: Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services"},
		{name: "a tree on links", l: layoutOf{"lib": "-> usr/lib", "usr/lib/systemd/system/libvirtd.service": service,
			"etc/default/libvirtd": "-> /etc/alternatives/libvirtd", "etc/alternatives/libvirtd": "LIBVIRTD_ARGS=linked\n"}, args: []string{"linked"}},
		{name: "links that lead out of the tree stay in it", l: layoutOf{usr + "libvirtd.service": service,
			"etc/default/libvirtd": "-> ../../../../../../etc/passwd", "etc/passwd": "LIBVIRTD_ARGS=inside\n"}, args: []string{"inside"}},
		{name: "a loop of links", l: layoutOf{usr + "libvirtd.service": service, "etc/default/libvirtd": "-> libvirtd"}, args: []string{"--timeout", "120"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := c.l.tree(t)
			f, err := tree.Load("libvirtd.service")
			if err != nil {
				t.Fatal(err)
			}
			cmd, err := tree.Command(f)
			text := ""
			if err != nil {
				text = err.Error()
				var ce *CommandError
				if !errors.As(err, &ce) {
					t.Errorf("%T", err)
				}
			} else if d := cmp.Diff(c.args, cmd.Args); d != "" {
				t.Error(d)
			}
			if text != c.err {
				t.Errorf("%q, not %q", text, c.err)
			}
		})
	}
}

// TestUnitsAreReadAsTheRealSystemdReadsThem has systemd load units without running anything, and compares what it makes of
// commands, environments and addresses.
func TestUnitsAreReadAsTheRealSystemdReadsThem(t *testing.T) {
	const program = "/usr/lib/systemd/systemd"
	peer.Need(t, program)
	peer.NeedRoot(t) // to become another user: systemd --user refuses root
	dir := peer.Dir(t)
	units := filepath.Join(dir, "units")
	write := func(name, text string) {
		at := filepath.Join(units, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// l.service of one family, whose units are read from a single directory.
	write("l.service", "[Unit]\nDefaultDependencies=no\nWants=l.socket l-tls.socket l-t-x@a-b\\x2dc.socket\n[Service]\nEnvironment=\"A=x y\" B=z \\\n  # no comment in a value\n"+
		"Environment=C='1 \\x41'\nEnvironmentFile=-/nosuch/%n\nExecStart=/bin/false replaced\n")
	write("l.service.d/20.conf", "[Service]\nExecStart=\nExecStart=-/bin/echo --config \"/a b\" ${A} $A pre${A}x 'a;b' \\\n; a comment\n  $$ x%%y %n %N \\x41\\101 \"\" \\;\n")
	write("service.d/10.conf", "[Service]\nEnvironment=D=type\n")
	write("l.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/l-sock\nListenStream=127.0.0.1:4\n")
	write("l-tls.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=16514\nService=l.service\n")
	write("l-tls.socket.d/a.conf", "[Socket]\nListenStream=\nListenStream=[::1]:16600\nListenStream=nonsense\nListenStream=99999\nListenStream=0.0.0.0:16601\n")
	write("l-t-x@.socket", "[Unit]\nDefaultDependencies=no\n[Socket]\nService=l.service\nListenStream=/t/%i/%I/%p/%P/%j/%J/%n/%N/%f\n")
	write("l-t-x@.socket.d/c.conf", "[Socket]\nListenStream=/drop/template\n")
	write("l-t-x@a-b\\x2dc.socket.d/d.conf", "[Socket]\nListenStream=/drop/instance\n")
	write("l-t-@.socket.d/e.conf", "[Socket]\nListenStream=/drop/dash\n")
	write("l-t-@a-b\\x2dc.socket.d/f.conf", "[Socket]\nListenStream=/drop/dash-instance\n")
	write("l-t-.socket.d/g.conf", "[Socket]\nListenStream=/drop/never\n")
	write("l-.socket.d/a.conf", "[Socket]\nListenStream=1\n")
	write("l-.socket.d/b.conf", "[Socket]\nListenStream=2\n")
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(home, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	peer.Own(t, dir, "nobody")
	user := peer.Place{User: "nobody", Home: home, Env: []string{"SYSTEMD_UNIT_PATH=" + units, "XDG_RUNTIME_DIR=" + home + "/run",
		"XDG_CONFIG_HOME=" + home, "SYSTEMD_LOG_LEVEL=err"}}
	r := user.Run(t, program, "--test", "--user", "--no-pager", "--unit=l.service")
	real := dump(r.Stdout)
	if real["l.service"] == nil {
		t.Fatalf("systemd did not load the unit: %s", r)
	}

	tree := newTree(os.DirFS("/"), []place{{path: units}}, nil)
	f, err := tree.Load("l.service")
	if err != nil {
		t.Fatal(err)
	}
	c, err := tree.Command(f)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, a := range c.Environment {
		env = append(env, a.Name+"="+a.Value)
	}
	want := append([]string{}, real["l.service"]["Environment"]...)
	if d := cmp.Diff(sorted(want), env); d != "" {
		t.Error(d)
	}
	// The real one shows the words before variables are put in, each as a shell would take it.
	raw := &Command{}
	argv, _, _ := commandWords(f.List("Service", "ExecStart")[0].Value)
	for _, w := range argv[1:] {
		raw.add(f.expand(w), true)
	}
	line := "/bin/echo"
	for _, w := range raw.Args {
		line += " " + shellWord(w)
	}
	if d := cmp.Diff(real["l.service"]["Command Line"][0], line); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"l.socket", "l-tls.socket", "l-t-x@a-b\\x2dc.socket"} {
		f, err := tree.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		all, _ := streams(f)
		for _, s := range all {
			if s.Path == "" && !s.Addr.IsValid() && !s.Only4 {
				s.Text = fmt.Sprintf("[::]:%d", s.Port) // a port alone
			}
			got = append(got, s.Text)
		}
		if d := cmp.Diff(real[name]["ListenStream"], got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// dump reads what systemd --test prints: unit to property to values.
func dump(text string) map[string]map[string][]string {
	out := map[string]map[string][]string{}
	unit := ""
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `\\x2d`, `\x2d`)
		if name, ok := strings.CutPrefix(line, "-> Unit "); ok {
			unit = strings.TrimSuffix(name, ":")
			out[unit] = map[string][]string{}
			continue
		}
		if key, value, ok := strings.Cut(line, ": "); ok && unit != "" {
			out[unit][key] = append(out[unit][key], value)
		}
	}
	return out
}

// shellWord writes a word as systemd shows it.
func shellWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"\\`$'*?[;|&<>(){}~") {
		return s
	}
	for _, c := range []string{`\`, `"`, "`", "$"} {
		s = strings.ReplaceAll(s, c, `\`+c)
	}
	return `"` + s + `"`
}
