package unit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestPresetsAreThoseOfSystemctl(t *testing.T) {
	const installs = "[Install]\nWantedBy=sockets.target\n"
	const sys, etcPreset, runPreset = "usr/lib/systemd/system-preset/", "etc/systemd/system-preset/", "run/systemd/system-preset/"
	for _, c := range []struct {
		name string
		l    layoutOf
		want Preset
	}{
		{"what nothing is said of is enabled", layoutOf{}, PresetEnabled},
		{"disabled by its name", layoutOf{sys + "90-x.preset": "disable a.socket\n"}, PresetDisabled},
		{"disabled with all", layoutOf{sys + "99-default.preset": "disable *\n"}, PresetDisabled},
		{"the first line counts", layoutOf{sys + "90-x.preset": "enable a.*\ndisable *\n"}, PresetEnabled},
		{"files are read in the order of their names", layoutOf{sys + "90-x.preset": "disable *\n", etcPreset + "99-y.preset": "enable a.socket\n"}, PresetDisabled},
		{"a file hides its like", layoutOf{sys + "90-x.preset": "disable *\n", etcPreset + "90-x.preset": "enable a.socket\n"}, PresetEnabled},
		{"a file that is masked", layoutOf{sys + "90-x.preset": "disable *\n", etcPreset + "90-x.preset": "-> /dev/null"}, PresetEnabled},
		{"of /run", layoutOf{sys + "90-x.preset": "enable *\n", runPreset + "80-x.preset": "disable a.socket\n"}, PresetDisabled},
		{"a name without .preset", layoutOf{sys + "90-x.conf": "disable *\n"}, PresetEnabled},
		{"comments and white space", layoutOf{sys + "90-x.preset": "# disable *\n; disable *\n   disable\t  a.socket  \n"}, PresetDisabled},
		{"words that are none", layoutOf{sys + "90-x.preset": "disabled *\nDISABLE *\ndisable\n"}, PresetEnabled},
		{"blanks that are none for systemd", layoutOf{sys + "90-x.preset": "enable \u00a0\nenable \v\ndisable a.socket\n"}, PresetDisabled},
		{"a set", layoutOf{sys + "90-x.preset": "disable [!b].socket\n"}, PresetDisabled},
		{"several names in a line that may have one", layoutOf{sys + "90-x.preset": "enable a.socket b\ndisable a.socket\n"}, PresetDisabled},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.l[usr+"a.socket"] = installs
			root := c.l.write(t)
			if got := New(os.DirFS(root)).Preset("a.socket"); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			if peer.Required() || exists("/usr/bin/systemctl") {
				if got := listUnits(t, root)["a.socket"]; got != string(c.want) {
					t.Errorf("systemctl says %q, the table %s", got, c.want)
				}
			}
		})
	}
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// TestTheFirstBootEnablesWhatPresetsSay compares the links of random trees with those that systemctl preset-all makes.
func TestTheFirstBootEnablesWhatPresetsSay(t *testing.T) {
	peer.Need(t, "systemctl")
	r := rand.New(rand.NewPCG(7, 8))
	made, failed := 0, 0
	for range chances(40) {
		l, units := chance(r)
		text := ""
		for range r.IntN(4) {
			text += []string{"enable ", "disable "}[r.IntN(2)] + append(units, "*", "a*", "*.socket", "b@.socket x y")[r.IntN(len(units)+4)] + "\n"
		}
		l["usr/lib/systemd/system-preset/50-x.preset"] = text
		root := l.write(t)
		tree := New(os.DirFS(root))
		before := linksBelow(t, root)
		after := tree.AfterFirstBoot()
		want := map[string]string{}
		for n, target := range before {
			want[n] = target
		}
		for n, target := range after.fsys.(overlay).links {
			want[n] = target
		}
		if r := (peer.Place{}).Run(t, "systemctl", "--root="+root, "preset-all", "--preset-mode=enable-only"); r.Exit != 0 {
			failed++
			continue // it makes nothing then: a broken unit, a link in the way
		}
		got := linksBelow(t, root)
		made += len(got) - len(before)
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("(-systemctl +ours)\n%s\npresets: %q; tree:\n%s", d, text, fmt.Sprint(l))
			continue
		}
		again := New(os.DirFS(root))
		for _, u := range units {
			if a, b := after.State(u), again.State(u); a != b {
				t.Errorf("%s is %s with the links that are thought of, %s with them on disk", u, a, b)
			}
		}
	}
	t.Log(made, "links made by systemctl;", failed, "trees that it refuses")
	if made == 0 {
		t.Error("nothing was enabled")
	}
}

// linksBelow lists the links in a tree's directories of units.
func linksBelow(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*/systemd/system/*", "*/systemd/system/*/*"} {
		names, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, n := range names {
			if target, err := os.Readlink(n); err == nil {
				rel, _ := filepath.Rel(root, n)
				out[rel] = target
			}
		}
	}
	return out
}

func TestFirstBootIsThatOfMachineID(t *testing.T) {
	with := layoutOf{"usr/lib/systemd/systemd": "x"}
	for _, c := range []struct {
		name string
		l    layoutOf
		want bool
	}{
		{"no machine-id", layoutOf{}, true},
		{"not initialised", layoutOf{"etc/machine-id": "uninitialized\n"}, true},
		{"empty", layoutOf{"etc/machine-id": ""}, false},
		{"a machine that was booted", layoutOf{"etc/machine-id": strings.Repeat("a", 32) + "\n"}, false},
	} {
		c.l["usr/lib/systemd/systemd"] = with["usr/lib/systemd/systemd"]
		if got := c.l.tree(t).FirstBoot(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if (layoutOf{usr + "a.service": ""}).tree(t).FirstBoot() {
		t.Error("a tree without a systemd is no image")
	}
}

// TestUnitsThatNameEachOtherWithoutAnEnd has an instance whose template names further ones of itself.
func TestUnitsThatNameEachOtherWithoutAnEnd(t *testing.T) {
	tree := layoutOf{
		usr + "a@.service":                          "[Install]\nWantedBy=x.target\nAlso=a@%i0.service a@%i1.service\n",
		"usr/lib/systemd/system-preset/50-x.preset": "enable a@.service 1\ndisable *\n",
	}.tree(t)
	if s := tree.AfterFirstBoot().State("a@1.service"); s != Enabled {
		t.Errorf("a@1.service is %s", s)
	}
}

func TestDropInsOfALongNameAreFew(t *testing.T) {
	name := strings.Repeat("a-", 110) + "b@i.socket"
	if n := len(dropInNames(name)); n > 3*111 {
		t.Errorf("%d names", n)
	}
	long := strings.Repeat("a", 260) + ".service"
	if _, err := (layoutOf{usr + "b.service": ""}).tree(t).Load(long); err == nil || err.Error() != fmt.Sprintf("there is no unit %q", long) {
		t.Error(err)
	}
}

func FuzzPresets(f *testing.F) {
	f.Add("enable a@.socket 1 2\ndisable *\n", "a@1.socket")
	f.Add("enable \u00a0\nenable [\ndisable \\\nignore [!a]\n", "a.socket")
	f.Fuzz(func(t *testing.T, text, name string) {
		var rules []presetRule
		for line := range strings.Lines(text) {
			if r, ok := presetLine(strings.Trim(line, whitespace)); ok {
				rules = append(rules, r)
			}
		}
		r, instances := presetFor(rules, name)
		if r.preset == NoPreset || len(instances) > 0 && !isTemplate(name) {
			t.Errorf("%q of %q: %+v, %q", name, text, r, instances)
		}
	})
}
