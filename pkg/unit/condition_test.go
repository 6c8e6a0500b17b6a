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

// TestConditionsComeToWhatSystemdAnalyzeSays compares conditions by chance about files of this machine.
func TestConditionsComeToWhatSystemdAnalyzeSays(t *testing.T) {
	peer.Need(t, "systemd-analyze")
	dir := layoutOf{"d/f": "x", "d/empty": "", "d/.hidden": "", "empty/.h": "", "l": "-> d", "dangling": "-> /nosuch", "a b": "x", "l2": "-> d/f", "backup/x~": ""}.write(t)
	if err := os.Chmod(filepath.Join(dir, "d/f"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree := New(os.DirFS("/"))
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	names := []string{"d", "d/f", "d/empty", "empty", "l", "dangling", "nosuch", "l/f", "l2", "a b", "d/*", "e*", "x*", "*/f", "d/.*", "backup", "d/[!e]", "d//f", "d/../l"}
	tally := map[Truth]int{}
	for range chances(40) {
		var lines []string
		for range 1 + r.IntN(4) {
			kind := pick("PathExists", "PathExistsGlob", "PathIsDirectory", "PathIsSymbolicLink", "DirectoryNotEmpty", "FileNotEmpty", "FileIsExecutable")
			value := dir + "/" + pick(names...)
			switch r.IntN(12) {
			case 0:
				kind, value = "User", pick("root", "0", "@system", "nobody", "65534")
			case 1:
				kind, value = "OSRelease", pick("ID=debian", "ID=fedora", `"ID=debian" VERSION_ID=`+pick("12", "0"), "ID", "NOSUCH=")
			case 2:
				kind, value = "KernelCommandLine", pick("nosuch", "console", "console=ttyS0", "quiet")
			case 3:
				kind, value = "Host", pick("*", "nosuch", "[!x]*", strings.Repeat("a", 32))
			}
			lines = append(lines, pick("Condition", "Condition", "Assert")+kind+"="+pick("", "", "|")+pick("", "", "!", "! ")+value)
		}
		f := &File{Name: "test.service"}
		for i, l := range lines {
			key, value, _ := strings.Cut(l, "=")
			f.Entries = append(f.Entries, Entry{"Unit", key, value, "t", i + 1})
		}
		conditions, asserts, problems := f.Conditions()
		for _, p := range problems {
			if !strings.Contains(lines[p.Line-1], "..") && !strings.Contains(lines[p.Line-1], "! ") {
				t.Errorf("%q: %+v", lines, p)
			}
		}
		c, _ := tree.Met(conditions)
		a, _ := tree.Met(asserts)
		if c == Unknown || a == Unknown {
			if !strings.Contains(fmt.Sprint(lines), "KernelCommandLine") {
				t.Errorf("%q is not known", lines)
			}
			continue // a container
		}
		for what, is := range map[string]Truth{"Conditions": c, "Asserts": a} {
			tally[is]++
			all := conditions
			if what == "Asserts" {
				all = asserts
			}
			if len(all) == 0 {
				continue
			}
			var args []string
			for _, l := range lines {
				if strings.HasPrefix(l, strings.TrimSuffix(what, "s")) {
					args = append(args, l)
				}
			}
			r := peer.Place{}.Run(t, append([]string{"systemd-analyze", "condition"}, args...)...)
			if yes, no := strings.Contains(r.Stderr+r.Stdout, what+" succeeded."), strings.Contains(r.Stderr+r.Stdout, what+" failed."); yes == no || yes != (is == Holds) {
				t.Errorf("%q: %v; systemd-analyze says: %s", args, is, r)
			}
		}
	}
	t.Log(tally)
}

func TestConditionsOfATree(t *testing.T) {
	for _, c := range []struct {
		name, unit string
		l          layoutOf
		want       Truth
		why        string
		problems   int
	}{
		{name: "none", want: Holds},
		{name: "a file that is there", unit: "ConditionPathExists=/etc/x", l: layoutOf{"etc/x": ""}, want: Holds},
		{name: "one that is not", unit: "ConditionPathExists=/etc/x", want: Fails, why: "ConditionPathExists=/etc/x"},
		{name: "one that is not to be", unit: "ConditionPathExists=!/etc/x", l: layoutOf{"etc/x": ""}, want: Fails, why: "ConditionPathExists=!/etc/x"},
		{name: "all have to hold", unit: "ConditionPathExists=/etc/x\nConditionPathExists=/etc/y", l: layoutOf{"etc/x": ""}, want: Fails, why: "ConditionPathExists=/etc/y"},
		{name: "one of those with a bar", unit: "ConditionPathExists=|/etc/x\nConditionPathExists=|/etc/y", l: layoutOf{"etc/y": ""}, want: Holds},
		{name: "none of those with a bar", unit: "ConditionPathExists=|/etc/x\nConditionPathExists=|!/etc/y", l: layoutOf{"etc/y": ""}, want: Fails,
			why: "ConditionPathExists=|/etc/x"},
		{name: "an empty assignment drops all", unit: "ConditionPathExists=/etc/x\nConditionHost=", want: Holds},
		{name: "specifiers", unit: "ConditionPathExists=/etc/%p", l: layoutOf{"etc/a": ""}, want: Holds},
		{name: "what a boot makes", unit: "ConditionPathExists=/run/x", want: Unknown, why: "ConditionPathExists=/run/x"},
		{name: "the machine", unit: "ConditionVirtualization=vm", want: Unknown, why: "ConditionVirtualization=vm"},
		{name: "one that fails beside one that is not known", unit: "ConditionVirtualization=vm\nConditionPathExists=/etc/x", want: Fails,
			why: "ConditionPathExists=/etc/x"},
		{name: "a host", unit: "ConditionHost=kvm*", l: layoutOf{"etc/hostname": "kvm1\n"}, want: Holds},
		{name: "a relative path", unit: "ConditionPathExists=x", want: Holds, problems: 1},
		{name: "in another section", unit: "[Socket]\nConditionPathExists=/etc/x", want: Holds},
		{name: "the first boot", unit: "ConditionFirstBoot=yes", l: layoutOf{"etc/machine-id": "uninitialized"}, want: Holds},
		{name: "of a later release", unit: "ConditionNosuch=yes", want: Holds},
	} {
		if c.l == nil {
			c.l = layoutOf{}
		}
		c.l[usr+"a.socket"] = "[Unit]\n" + c.unit + "\n"
		tree := c.l.tree(t)
		f, err := tree.Load("a.socket")
		if err != nil {
			t.Fatal(err)
		}
		conditions, _, problems := f.Conditions()
		got, by := tree.Met(conditions)
		why := ""
		if by != nil {
			why = fmt.Sprint(*by)
		}
		if got != c.want || why != c.why || len(problems) != c.problems {
			t.Errorf("%s: %v because of %q, %d problems", c.name, got, why, len(problems))
		}
	}
}

// TestAPatternThroughLinksThatLeadBack has 2^30 ways to one directory.
func TestAPatternThroughLinksThatLeadBack(t *testing.T) {
	tree := layoutOf{"d/a": "-> .", "d/b": "-> .", "d/f": "", usr + "x.service": ""}.tree(t)
	for last, want := range map[string]Truth{"f": Holds, "g": Fails, "*f": Holds} {
		c := Condition{Key: "ConditionPathExistsGlob", Value: "/d" + strings.Repeat("/*", 30) + "/" + last}
		if got := tree.Holds(c); got != want {
			t.Errorf("%s: %v, not %v", last, got, want)
		}
	}
}
