package unit

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// unset begins a command that has no directories of this user's.
var unset = []string{"env", "-u", "XDG_RUNTIME_DIR", "-u", "XDG_CONFIG_HOME", "-u", "XDG_DATA_HOME"}

// TestSearchPathsAreThoseOfSystemd asks systemd-analyze for them.
func TestSearchPathsAreThoseOfSystemd(t *testing.T) {
	peer.Need(t, "systemd-analyze")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want []place
	}{
		{"the system's", nil, nil, systemPlaces},
		{"a user's", []string{"HOME=/h"}, []string{"--user"}, User{Home: "/h"}.places()},
		{"a user's with directories of their own", []string{"HOME=/h", "XDG_CONFIG_HOME=/c", "XDG_DATA_HOME=/d", "XDG_RUNTIME_DIR=/r"}, []string{"--user"},
			User{Home: "/h", Config: "/c", Data: "/d", Runtime: "/r"}.places()},
	} {
		r := peer.Place{}.Run(t, slices.Concat(unset, c.env, []string{"systemd-analyze", "unit-paths"}, c.args)...)
		got := slices.DeleteFunc(strings.Fields(r.Stdout), func(s string) bool { return s == "/lib/systemd/system" && !exists("/lib/systemd") })
		var want []string
		for _, p := range c.want {
			want = append(want, p.path)
		}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("%s (-systemd +ours)\n%s", c.name, d)
		}
	}
}

// TestUnitsOfAUser compares states with systemctl --user, and looks at what a survey makes of them.
func TestUnitsOfAUser(t *testing.T) {
	const service = "[Service]\nExecStart=/usr/sbin/libvirtd -f %h/l.conf --listen\n[Install]\nWantedBy=default.target\n"
	user := "home/ann/.config/systemd/user/"
	for _, c := range []struct {
		name  string
		l     layoutOf
		state State
		rules string
	}{
		{name: "none", l: layoutOf{}, state: NotFound},
		{name: "not enabled", l: layoutOf{user + "libvirtd.service": service}, state: Disabled, rules: "daemon-not-started"},
		{name: "enabled", l: layoutOf{user + "libvirtd.service": service, user + "default.target.wants/libvirtd.service": "-> " + "/home/ann/.config/systemd/user/libvirtd.service"},
			state: Enabled, rules: "user-does-not-linger"},
		{name: "masked until the logout", l: layoutOf{user + "libvirtd.service": service, "run/user/7/systemd/user/libvirtd.service": ""}, state: Disabled, rules: "daemon-not-started"},
		{name: "masked in the user's configuration", l: layoutOf{"home/ann/.local/share/systemd/user/libvirtd.service": service, user + "libvirtd.service": "-> /dev/null"},
			state: Masked, rules: "daemon-masked"},
		{name: "of the user's data", l: layoutOf{"home/ann/.local/share/systemd/user/libvirtd.service": service}, state: Disabled, rules: "daemon-not-started"},
		{name: "a user who lingers", l: layoutOf{user + "libvirtd.service": service, user + "default.target.wants/libvirtd.service": "-> " + "/home/ann/.config/systemd/user/libvirtd.service",
			"var/lib/systemd/linger/ann": ""}, state: Enabled},
		{name: "of the administrator, for all", l: layoutOf{"usr/lib/systemd/user/libvirtd.service": service,
			"etc/systemd/user/default.target.wants/libvirtd.service": "-> /usr/lib/systemd/user/libvirtd.service"}, state: Enabled, rules: "user-does-not-linger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := c.l.write(t)
			tree := NewUser(os.DirFS(root), User{Home: "/home/ann", Name: "ann", Runtime: "/run/user/7"})
			if got := tree.State("libvirtd.service"); got != c.state {
				t.Errorf("%s, not %s", got, c.state)
			}
			if peer.Required() || exists("/usr/bin/systemctl") {
				if c.name != "of the administrator, for all" { // those are the machine's
					r := peer.Place{}.Run(t, slices.Concat(unset, []string{"HOME=" + root + "/home/ann", "XDG_RUNTIME_DIR=" + root + "/run/user/7",
						"systemctl", "--user", "is-enabled", "libvirtd.service"})...)
					got := cmpOr(strings.TrimSpace(r.Stdout), string(NotFound))
					if got != string(c.state) && !(c.state == Masked && got == "masked") {
						t.Errorf("systemctl says %s", r)
					}
				}
			}
			s := tree.Survey(nil)
			d := s.Remote()
			if d == nil {
				if c.rules != "" {
					t.Error("no daemon")
				}
				return
			}
			if d.Command != nil && cmp.Diff([]string{"-f", "/home/ann/l.conf", "--listen"}, d.Command.Args) != "" {
				t.Errorf("%q", d.Command.Args)
			}
			var rules []string
			for _, f := range s.Findings(d, nil) {
				if f.Rule == "timeout-without-sockets" {
					continue
				}
				rules = append(rules, f.Rule)
				if strings.Contains(f.Remedy, "systemctl ") && !strings.Contains(f.Remedy, "systemctl --user ") {
					t.Error(f.Remedy)
				}
			}
			if d := cmp.Diff(c.rules, strings.Join(rules, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}
