package unit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// A tree of a test: path to text; "-> TARGET" is a symbolic link.
type layoutOf map[string]string

// write makes the tree on disk and gives its root.
func (l layoutOf) write(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range l {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func (l layoutOf) tree(t testing.TB) *Tree {
	t.Helper()
	return New(os.DirFS(l.write(t)))
}

const (
	etc = "etc/systemd/system/"
	usr = "usr/lib/systemd/system/"
	run = "run/systemd/system/"
)

func TestStateIsThatOfSystemctl(t *testing.T) {
	const installs = "[Socket]\nListenStream=1\n[Install]\nWantedBy=sockets.target\n"
	for _, c := range []struct {
		name string
		l    layoutOf
		want State
	}{
		{"nothing there", layoutOf{usr + "b.socket": installs}, NotFound},
		{"not enabled", layoutOf{usr + "a.socket": installs}, Disabled},
		{"without [Install]", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n"}, Static},
		{"enabled", layoutOf{usr + "a.socket": installs, etc + "sockets.target.wants/a.socket": "-> /usr/lib/systemd/system/a.socket"}, Enabled},
		{"enabled by a target of one's own", layoutOf{usr + "a.socket": installs, etc + "my.target.requires/a.socket": "-> /usr/lib/systemd/system/a.socket"}, Enabled},
		{"enabled without [Install]", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n",
			etc + "sockets.target.wants/a.socket": "-> /usr/lib/systemd/system/a.socket"}, Enabled},
		{"enabled until the next boot", layoutOf{usr + "a.socket": installs, run + "sockets.target.wants/a.socket": "-> /usr/lib/systemd/system/a.socket"}, EnabledRuntime},
		{"wanted by the vendor", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n", usr + "sockets.target.wants/a.socket": "-> ../a.socket"}, Static},
		{"masked", layoutOf{usr + "a.socket": installs, etc + "a.socket": "-> /dev/null"}, Masked},
		{"masked until the next boot", layoutOf{usr + "a.socket": installs, run + "a.socket": "-> /dev/null"}, MaskedRuntime},
		{"masked by an empty file", layoutOf{usr + "a.socket": installs, etc + "a.socket": ""}, Masked},
		{"masked though enabled", layoutOf{usr + "a.socket": installs, etc + "a.socket": "-> /dev/null",
			etc + "sockets.target.wants/a.socket": "-> /usr/lib/systemd/system/a.socket"}, Masked},
		{"a file of one's own before the vendor's", layoutOf{usr + "a.socket": installs, etc + "a.socket": "[Socket]\nListenStream=2\n"}, Static},
		{"linked", layoutOf{"opt/a.socket": installs, etc + "a.socket": "-> /opt/a.socket"}, Linked},
		{"linked and enabled", layoutOf{"opt/a.socket": installs, etc + "a.socket": "-> /opt/a.socket",
			etc + "sockets.target.wants/a.socket": "-> /opt/a.socket"}, Enabled},
		{"only Also=", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n[Install]\nAlso=b.socket\n", usr + "b.socket": installs}, Indirect},
		{"Also= cannot be emptied", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n[Install]\nAlso=b.socket\nAlso=\n", usr + "b.socket": installs}, Indirect},
		{"an alias of itself", layoutOf{usr + "a.socket": installs, etc + "a.socket": "-> /usr/lib/systemd/system/a.socket"}, Bad},
		{"of a generator", layoutOf{"run/systemd/generator/a.socket": installs}, Generated},
		{"in /usr/local", layoutOf{"usr/local/lib/systemd/system/a.socket": installs}, Disabled},
		{"an alias", layoutOf{usr + "b.socket": installs, etc + "a.socket": "-> /usr/lib/systemd/system/b.socket"}, Alias},
		{"an [Install] in a drop-in", layoutOf{usr + "a.socket": "[Socket]\nListenStream=1\n", etc + "a.socket.d/x.conf": "[Install]\nWantedBy=sockets.target\n"}, Disabled},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := c.l.write(t)
			if got := New(os.DirFS(root)).State("a.socket"); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			if got := systemctl(t, root, "a.socket"); got != "" && got != string(c.want) {
				t.Errorf("systemctl says %s, the table %s", got, c.want)
			}
		})
	}
}

// systemctl asks the real program for the state of a unit below a root; empty where it is not installed.
func systemctl(t *testing.T, root string, name string) string {
	t.Helper()
	if _, err := os.Stat("/usr/bin/systemctl"); err != nil && !peer.Required() {
		return ""
	}
	r := peer.Place{}.Run(t, "systemctl", "--root="+root, "is-enabled", name)
	if strings.Contains(r.Stderr, "No such file or directory") || strings.Contains(r.Stderr, "does not exist") {
		return string(NotFound)
	}
	if s := strings.TrimSpace(r.Stdout); s != "" {
		return s
	}
	return string(Bad)
}

// chance makes a tree by chance, of what systemd 252 knows (.upholds is newer): units, templates, instances, masks, aliases, linked files, links of systemctl enable and of generators.
func chance(r *rand.Rand) (l layoutOf, units []string) {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	units = []string{"a.socket", "a-tls.socket", "a.service", "b@.socket", "b@x.socket", "b@y.socket", "z.socket"}
	files := []string{"a.socket", "a-tls.socket", "a.service", "b@.socket", "b@.socket"}
	dirs := []string{etc, usr, run, "usr/local/lib/systemd/system/", "run/systemd/generator/", "run/systemd/generator.late/", "run/systemd/generator.early/",
		"run/systemd/transient/", "etc/systemd/system.control/", "etc/systemd/system.attached/", "run/systemd/system.control/"}
	install := func() string {
		text := "[Unit]\nDescription=x\n"
		for range r.IntN(3) {
			text += "[Install]\n" + pick("WantedBy=sockets.target", "Also=a.socket", "Alias=z.socket", "Alias=z.service", "RequiredBy=x.service",
				"DefaultInstance=x", "WantedBy=", "Also=", "WantedBy=sockets.target x.target", "Alias=b@.socket", "Alias=q@.socket") + "\n"
		}
		return text
	}
	l = layoutOf{}
	for range 1 + r.IntN(8) {
		dir := pick(dirs...)
		if r.IntN(2) == 0 {
			dir = pick(etc, usr, run)
		}
		switch r.IntN(10) {
		case 0, 1, 2:
			l[usr+pick(files...)] = install()
		case 3:
			l[dir+pick(units...)] = install()
		case 4:
			l[dir+pick(units...)] = pick("-> /dev/null", "-> /dev/null", "")
		case 5, 6, 7:
			u := pick(units...)
			l[dir+pick("sockets.target.wants/", "x.service.requires/")+u] = "-> /usr/lib/systemd/system/" + pick(u, templateOf(u), pick(units...))
		case 8: // an alias
			if r.IntN(3) == 0 {
				l[dir+pick("q@", "b@", "c@")+".socket"] = "-> " + pick("/usr/lib/systemd/system/", "") + pick("b@", "c@") + ".socket"
			} else {
				kind := path.Ext(pick(units...))
				l[dir+pick("z", "q", "a", "a-tls")+kind] = "-> " + pick("/usr/lib/systemd/system/", "") + pick("a", "a-tls", "z") + kind
			}
		case 9: // a linked file
			u := pick(files...)
			l["opt/"+u] = install()
			l[dir+u] = "-> /opt/" + u
		}
	}
	return l, units
}

// chances is how many trees are made; VIRT_PKI_TREES says how many else.
func chances(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("VIRT_PKI_TREES")); err == nil {
		return n
	}
	return usual
}

// TestStatesOfTreesByChance compares random trees with systemctl.
func TestStatesOfTreesByChance(t *testing.T) {
	peer.Need(t, "systemctl")
	r := rand.New(rand.NewPCG(5, 6))
	trees := chances(40)
	seen, wrong := map[string]int{}, 0
	for range trees {
		l, units := chance(r)
		root := l.write(t)
		tree := New(os.DirFS(root))
		listed := listUnits(t, root)
		for _, u := range units {
			want := systemctl(t, root, u)
			seen[want]++
			if got := tree.State(u); string(got) != want {
				wrong++
				t.Errorf("%s: %s, systemctl says %q; tree:\n%s", u, got, want, fmt.Sprint(l))
			}
			if preset, ok := listed[u]; ok {
				if got := tree.Preset(u); string(got) != preset {
					t.Errorf("preset of %s: %q, systemctl says %q", u, got, preset)
				}
			}
		}
	}
	t.Log(trees, "trees", seen, wrong, "wrong")
}

// listUnits gives what systemctl list-unit-files says of presets.
func listUnits(t *testing.T, root string) map[string]string {
	t.Helper()
	r := peer.Place{}.Run(t, "systemctl", "--root="+root, "list-unit-files", "--no-legend", "--no-pager")
	out := map[string]string{}
	for line := range strings.Lines(r.Stdout) {
		if w := strings.Fields(line); len(w) == 3 {
			if out[w[0]] = w[2]; w[2] == "-" {
				out[w[0]] = ""
			}
		}
	}
	return out
}
