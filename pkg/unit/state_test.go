package unit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	return strings.TrimSpace(r.Stdout)
}

// TestStatesOfTreesByChance compares random trees with systemctl.
func TestStatesOfTreesByChance(t *testing.T) {
	peer.Need(t, "systemctl")
	r := rand.New(rand.NewPCG(5, 6))
	units := []string{"a.socket", "a-tls.socket", "a.service"}
	texts := []string{"[Unit]\nDescription=x\n", "[Install]\nWantedBy=sockets.target\n", "[Install]\nAlso=a.socket\n",
		"[Install]\nWantedBy=multi-user.target\nAlias=z.socket\n", ""}
	for range 60 {
		l := layoutOf{}
		for range 1 + r.IntN(7) {
			u, v := units[r.IntN(len(units))], units[r.IntN(len(units))]
			dir := []string{etc, usr, run, "usr/local/lib/systemd/system/"}[r.IntN(4)]
			switch r.IntN(6) {
			case 0, 1:
				l[usr+u] = texts[r.IntN(4)]
			case 2:
				l[dir+u] = texts[r.IntN(len(texts))]
			case 3:
				l[dir+u] = "-> /dev/null"
			case 4, 5:
				l[dir+[]string{"sockets.target.wants/", "x.service.requires/"}[r.IntN(2)]+u] = "-> /usr/lib/systemd/system/" + v
			}
		}
		root := l.write(t)
		tree := New(os.DirFS(root))
		for _, u := range units {
			// Of a link to /dev/null in a .wants directory nobody speaks; of the others each one.
			if got, want := tree.State(u), systemctl(t, root, u); string(got) != want {
				t.Errorf("%s: %s, systemctl says %s; tree:\n%s", u, got, want, fmt.Sprint(l))
			}
		}
	}
}
