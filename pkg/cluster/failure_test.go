package cluster

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// A disk is a small file system of its own on a pretended machine, on which the test binary runs as a program. (Through
// /proc/PID/root, as tests otherwise reach such a machine, SQLite does not find its way.)
type disk struct {
	peer.Place
	// outside is the path by which the test reaches it.
	outside string
}

// on is where the machine has the disk.
const on = "/run/disk"

func newDisk(t *testing.T) disk {
	t.Helper()
	m := peer.NewMachine(t)
	d := disk{peer.Place{Machine: m}, m.Path(on)}
	d.Must(t, "mkdir", on)
	d.Must(t, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", on)
	return d
}

// program runs the test binary there, see the function of that name.
func (d disk) program(t *testing.T, what string, args ...string) peer.Result {
	t.Helper()
	exe, err := crash.Program()
	if err != nil {
		t.Fatal(err)
	}
	p := d.Place
	p.Env = []string{"VIRT_PKI_TEST_PROGRAM=" + what}
	return p.Run(t, append([]string{exe}, args...)...)
}

// remount makes the disk read-only ("ro") or not ("rw").
func (d disk) remount(t *testing.T, how string) {
	t.Helper()
	d.Must(t, "mount", "-o", "remount,"+how, on)
}

// fill leaves that many KiB free, or what there is.
func (d disk) fill(t *testing.T, free int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.outside, "ballast"), make([]byte, (1024-free)<<10), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// empty checks that nothing is in dir but what is named.
func empty(t *testing.T, dir string, but ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(but, e.Name()) {
			t.Errorf("left: %s", filepath.Join(dir, e.Name()))
		}
	}
}

func TestAFullDiskIsSaidAndNothingIsLeft(t *testing.T) {
	d := newDisk(t)
	dir, a := cluster(t)
	peer.Need(t, "cp")
	copied := filepath.Join(peer.Dir(t), "cluster") // where the machine sees it
	if out, err := exec.Command("cp", "-a", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a.Close()
	a = open(t, copied)
	for _, tt := range []struct {
		what   string
		args   []string
		places int // where it can be full
	}{
		{"make", []string{on + "/new/cluster"}, 5},
		{"add", []string{copied, on + "/new", "bob"}, 2},
		{"add-flat", []string{copied, on + "/new", "bob"}, 2},
	} {
		t.Run(tt.what, func(t *testing.T) {
			seen := map[string]bool{}
			for free := 0; ; free += 4 { // more and more is free: each step that writes meets the full disk
				d.fill(t, free)
				r := d.program(t, tt.what, tt.args...)
				if r.Exit == 0 {
					break
				}
				message, hint, _ := strings.Cut(r.Stderr, "\n")
				if !strings.Contains(message, "no space left on device") && !strings.Contains(message, "no space left for the inventory") ||
					strings.Contains(r.Stderr, "virt-pki-") || strings.Contains(r.Stderr, "/.") || !strings.Contains(hint, "df -h ") {
					t.Fatalf("%d KiB free: %v", free, r)
				}
				if !seen[message] {
					t.Log(message)
				}
				seen[message] = true
				empty(t, d.outside, "ballast")
			}
			if len(seen) < tt.places {
				t.Errorf("only %d places where it can be full", len(seen))
			}
			if err := os.RemoveAll(filepath.Join(d.outside, "new")); err != nil {
				t.Fatal(err)
			}
		})
	}
	// What was issued and could not be written is given up.
	if got := crash.States(t, a); !strings.HasPrefix(got, "3 published, ") || strings.Contains(got, "issued") {
		t.Errorf("inventory: %s", got)
	}
}

func TestAReadOnlyFileSystemIsSaid(t *testing.T) {
	d := newDisk(t)
	out := peer.Dir(t)
	if r := d.program(t, "make", on+"/cluster"); r.Exit != 0 {
		t.Fatal(r)
	}
	d.remount(t, "ro")
	readOnly := `" is mounted read-only: choose another directory`
	for _, tt := range []struct {
		what       string
		args       []string
		want, hint string
	}{
		{"make", []string{on + "/new"}, `making "/run/disk/new": mkdir "/run/disk/new": read-only file system`, readOnly},
		{"make", []string{on + "/a/b/new"}, `making "/run/disk/a/b/new": mkdir "/run/disk/a": read-only file system`, readOnly},
		// An authority on a read-only medium can be read and planned with, and cannot issue.
		{"add", []string{on + "/cluster", out + "/new", "bob"}, "the inventory cannot be written", "findmnt -T "},
		{"add-flat", []string{on + "/cluster", out + "/new", "bob"}, "the inventory cannot be written", "findmnt -T "},
	} {
		if r := d.program(t, tt.what, tt.args...); r.Exit != 1 || !strings.Contains(r.Stderr, tt.want) || !strings.Contains(r.Stderr, tt.hint) {
			t.Errorf("%s %q: %v", tt.what, tt.args, r)
		}
	}
	empty(t, out)
	empty(t, d.outside, "cluster")
}

func TestAMountPointIsNotReplaced(t *testing.T) {
	d := newDisk(t)
	r := d.program(t, "make", on)
	if want := "making \"/run/disk\": rename \"/run/disk\": device or resource busy\n" +
		"hint: \"/run/disk\" is a mount point, which cannot be replaced: choose a directory below it\n"; r.Exit != 1 || r.Stderr != want {
		t.Errorf("%v\nwant %s", r, want)
	}
	empty(t, d.outside)
	for _, line := range crash.Tree(t, filepath.Dir(d.outside)) {
		if strings.Contains(line, "virt-pki-") {
			t.Errorf("left: %s", line)
		}
	}
}

func TestAnotherUsersDirectoryIsNotWrittenTo(t *testing.T) {
	peer.NeedRoot(t)
	peer.Need(t, "setpriv")
	top := peer.Dir(t)
	exe := filepath.Join(top, "program") // nobody cannot enter where go test puts the binary
	binary, err := crash.Program()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", binary, exe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(exe, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"closed", "open"} {
		if err := os.Mkdir(filepath.Join(top, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(top, "secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	peer.Own(t, filepath.Join(top, "open"), "nobody")
	nobody := peer.Place{User: "nobody"}
	run := func(args ...string) peer.Result {
		p := nobody
		p.Env = []string{"VIRT_PKI_TEST_PROGRAM=" + args[0]}
		return p.Run(t, append([]string{exe}, args[1:]...)...)
	}
	if r := run("make", top+"/open/cluster"); r.Exit != 0 {
		t.Fatalf("where nobody may write: %v", r)
	}
	for _, tt := range []struct{ what, dir, out, want string }{
		{"make", top + "/closed/cluster", "", `permission denied`},
		{"make", top + "/closed/a/b/cluster", "", `permission denied`},
		{"make", top + "/secret/cluster", "", `permission denied`},
		{"add", top + "/open/cluster", top + "/closed/out", `permission denied`},
		{"add-flat", top + "/open/cluster", top + "/secret/out", `permission denied`},
	} {
		args := []string{tt.what, tt.dir}
		if tt.out != "" {
			args = append(args, tt.out, "bob")
		}
		r := run(args...)
		if r.Exit != 1 || !strings.Contains(r.Stderr, tt.want) || !strings.Contains(r.Stderr, "hint: you may not write in") {
			t.Errorf("%v: %v", args, r)
		}
	}
	empty(t, top+"/closed")
	empty(t, top+"/secret")
}
