package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// TestMain runs the test binary as a program of the tests when they ask for it.
func TestMain(m *testing.M) {
	if what := os.Getenv("VIRT_PKI_TEST_PROGRAM"); what != "" {
		os.Exit(program(what, os.Args[1:]))
	}
	status := m.Run()
	for _, dir := range buildDirs {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// buildDirs are removed when the tests have ended.
var buildDirs []string

// testProgram is the test binary. Under the race detector, which would make hundreds of short-lived processes slow and
// sees nothing of them, it is built once more without.
var testProgram = sync.OnceValues(func() (string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" }) {
		return os.Executable()
	}
	return goBuild("program", "test", "-c", "-race=false", "-o", "program", "github.com/virt-pki/virt-pki/pkg/cluster")
})

// goBuild runs the go command in a new directory, where pretended machines and roots see it, and gives the path of what it
// makes there.
func goBuild(name string, args ...string) (string, error) {
	dir, err := os.MkdirTemp("/tmp", "virt-pki-bin-")
	if err != nil {
		return "", err
	}
	buildDirs = append(buildDirs, dir)
	for i, a := range args {
		if a == name && i > 0 && args[i-1] == "-o" {
			args[i] = filepath.Join(dir, name)
		}
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %q: %w: %s", args, err, out)
	}
	return filepath.Join(dir, name), os.Chmod(dir, 0o755)
}

// self gives the test binary as a program that has not been started yet.
func self(what string, args ...string) *exec.Cmd {
	path, err := testProgram()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "VIRT_PKI_TEST_PROGRAM="+what)
	return cmd
}

// quickDir is a directory in memory where there is one: what a killed process leaves is the same there, and hundreds of
// runs do not wait for the disk.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "virt-pki-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// program is what the test binary does as a program: "make", "make-flat", "adopt", "add", "add-flat" with the arguments
// DIR, or DIR OUT CLIENT. With VIRT_PKI_TEST_STEP=N it kills itself before step N, and it says on standard output which
// steps it takes.
func program(what string, args []string) int {
	syscall.Umask(0) // what is closed must be so by intent
	kill, _ := strconv.Atoi(os.Getenv("VIRT_PKI_TEST_STEP"))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	n := 0
	step := func(s string) {
		if n++; n == kill {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		fmt.Fprintf(out, "%d %s\n", n, s)
	}
	if err := run(what, args, step); err != nil {
		fmt.Fprintln(os.Stderr, err)
		for _, h := range hint.Of(err) {
			fmt.Fprintln(os.Stderr, "hint:", h)
		}
		return 1
	}
	return 0
}

func run(what string, args []string, step func(string)) error {
	switch what {
	case "renew":
		return runRenew(args[0], step)
	case "kept":
		return runKept(args)
	case "operate":
		return runOperator(args)
	case "publish":
		return runPublisher(args)
	case "apply":
		return runApply(args[0], step)
	}
	if what == "rotate" {
		return runRotate(args[0], args[1], step)
	}
	ctx := context.Background()
	s := Spec{Dir: args[0], Now: time.Now(), Members: []Member{{Name: "kvm1", Role: certs.Peer}, {Name: "admin", Role: certs.Client}}}
	s.Kinds = []layout.Kind{layout.Libvirt, layout.QEMU}
	if strings.HasSuffix(what, "-flat") {
		s.Kinds, s.Members = []layout.Kind{layout.PkiPath}, []Member{{Name: "kvm1", Role: certs.Server}, {Name: "admin", Role: certs.Client}}
	}
	o := Options{Step: step}
	if strings.HasPrefix(what, "add") {
		s.Dir, s.Members = args[1], []Member{{Name: args[2], Role: certs.Client}}
		if what == "add" {
			s.Kinds = nil
		}
		a, err := ca.Open(ctx, filepath.Join(args[0], AuthorityName))
		if err != nil {
			return err
		}
		defer a.Close()
		if err := a.Unlock(nil); err != nil {
			return err
		}
		p, err := s.Plan(a)
		if err != nil {
			return err
		}
		_, err = p.Add(ctx, o)
		return err
	}
	subject, err := dn.Parse("CN=Acme CA")
	if err != nil {
		return err
	}
	cs := ca.Spec{Subject: subject, Now: s.Now, Step: step}
	double, err := cs.Rehearse()
	if err != nil {
		return err
	}
	found := founded(cs)
	if what == "adopt" {
		ad := ca.Adoption{Now: s.Now, Step: step}
		if ad.Cert, err = os.ReadFile(args[1] + "/cacert.pem"); err != nil {
			return err
		}
		if ad.Key, err = os.ReadFile(args[1] + "/private/cakey.pem"); err != nil {
			return err
		}
		if double, err = ad.Rehearse(); err != nil {
			return err
		}
		found = func(ctx context.Context, dir string) (*ca.Authority, error) { return ca.Adopt(ctx, dir, ad) }
	}
	p, err := s.Plan(double)
	if err != nil {
		return err
	}
	_, err = p.Make(ctx, found, o)
	return err
}

// killed runs the program and kills it before step n; it reports whether it got so far.
func killed(t *testing.T, n int, what string, args ...string) bool {
	t.Helper()
	cmd := self(what, args...)
	cmd.Env = append(cmd.Env, "VIRT_PKI_TEST_STEP="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("%s, step %d: %v: %s", what, n, err, out)
	}
	return false
}

// closed checks that nobody but the owner can read a key below top: by the key's mode or by that of a directory above it.
// open are base names whose mode is to let others in (libvirt wants it for the system's client key); only a directory
// protects them.
func closed(t *testing.T, when, top string, open ...string) {
	t.Helper()
	walk(t, top, func(path string, text []byte, info fs.FileInfo) {
		if !strings.Contains(string(text), "PRIVATE KEY") {
			return
		}
		byMode := info.Mode().Perm()&0o077 == 0
		mayBeOpen := false
		for _, base := range open {
			name := filepath.Base(path)
			mayBeOpen = mayBeOpen || name == base || strings.HasPrefix(name, "."+base+".virt-pki-tmp-")
		}
		if !byMode && !mayBeOpen {
			t.Errorf("%s: %s has mode %04o", when, path, info.Mode().Perm())
		}
		byDirectory := false
		for dir := filepath.Dir(path); len(dir) > len(top); dir = filepath.Dir(dir) {
			st, err := os.Lstat(dir)
			if err != nil {
				t.Fatal(err)
			}
			byDirectory = byDirectory || st.Mode().Perm()&0o077 == 0
		}
		if !byDirectory {
			t.Errorf("%s: %s lies open to others", when, path)
		}
	})
}

// noLeftovers checks that nothing unfinished lies below top.
func noLeftovers(t *testing.T, when, top string) {
	t.Helper()
	for _, line := range tree(t, top) {
		name := filepath.Base(strings.TrimSuffix(line[5:], "/"))
		if durable.IsLeftover(name) || strings.HasSuffix(name, ".new") || strings.HasSuffix(name, "-journal") {
			t.Errorf("%s: left: %s", when, line[5:])
		}
	}
}

func TestMakeKilledAtEveryStep(t *testing.T) {
	_, a := cluster(t)
	for _, what := range []string{"make", "make-flat", "adopt"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			reached := 0
			for n := 1; ; n++ {
				when := fmt.Sprintf("%s killed before step %d", what, n)
				top := quickDir(t)
				dir := filepath.Join(top, "made", "cluster")
				if !killed(t, n, what, dir, a.Dir()) {
					break
				}
				reached = n
				closed(t, when, top, "clientkey.pem")
				_, err := os.Lstat(dir)
				whole := err == nil // the rename was done
				if whole {
					accounted(t, dir, open(t, dir))
				} else if out, err := self(what, dir, a.Dir()).CombinedOutput(); err != nil {
					t.Fatalf("%s: the second run: %v: %s", when, err, out)
				}
				noLeftovers(t, when, top)
				b := open(t, dir)
				want := map[string]string{"make": "5 published", "adopt": "5 published", "make-flat": "2 published"}[what]
				if got := states(t, b); got != want {
					t.Errorf("%s: inventory: %s, want %s", when, got, want)
				}
				if n, want := accounted(t, dir, b), map[string]int{"make": 11, "adopt": 11, "make-flat": 4}[what]; n != want {
					t.Errorf("%s: %d certificates, want %d", when, n, want)
				}
				b.Close()
			}
			if reached < 40 {
				t.Errorf("only %d steps", reached)
			}
			t.Logf("%d steps", reached)
		})
	}
}

func TestAddKilledAtEveryStep(t *testing.T) {
	for _, what := range []string{"add", "add-flat"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, a := clusterIn(t, quickDir(t))
			reached := 0
			for n := 1; ; n++ {
				when := fmt.Sprintf("%s killed before step %d", what, n)
				client := fmt.Sprintf("client%d", n)
				top := quickDir(t)
				out := filepath.Join(top, "out")
				if !killed(t, n, what, dir, out, client) {
					break
				}
				reached = n
				closed(t, when, top, "clientkey.pem")
				if _, err := os.Lstat(out); err == nil {
					accounted(t, out, a)
				}
				if text, err := self(what, dir, out, client).CombinedOutput(); err != nil {
					t.Fatalf("%s: the second run: %v: %s", when, err, text)
				}
				noLeftovers(t, when, top)
				closed(t, when, top, "clientkey.pem")
				if n := accounted(t, out, a); n != 2 {
					t.Errorf("%s: %d certificates", when, n)
				}
				// What lies there is published, all else is not.
				entries, err := a.Inventory().ByHost(context.Background(), client)
				if err != nil {
					t.Fatal(err)
				}
				published := 0
				for _, e := range entries {
					if e.State == inventory.Published {
						published++
						found := false
						walk(t, out, func(_ string, text []byte, _ fs.FileInfo) { found = found || string(text) == string(e.PEM) })
						if !found {
							t.Errorf("%s: published, but not there: %s", when, e.Serial)
						}
					}
				}
				if published != 1 {
					t.Errorf("%s: %d published of %d", when, published, len(entries))
				}
				// A third has nothing to do and does nothing.
				if text, err := self(what, dir, out, client).CombinedOutput(); err == nil || !strings.Contains(string(text), "there already") && !strings.Contains(string(text), "already there") {
					t.Errorf("%s: the third run: %v: %s", when, err, text)
				}
			}
			if reached < 20 {
				t.Errorf("only %d steps", reached)
			}
			t.Logf("%d steps", reached)
		})
	}
}

// The steps above do not reach into SQLite. A kill at any time does.
func TestAddKilledAtAnyTime(t *testing.T) {
	dir, a := clusterIn(t, quickDir(t))
	begun := time.Now()
	if out, err := self("add", dir, dir, "measure").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begun)
	cut := 0
	const runs = 30
	for n := range runs {
		client := fmt.Sprintf("client%d", n)
		cmd := self("add", dir, dir, client)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(whole * time.Duration(n) / runs)
		cmd.Process.Kill()
		if cmd.Wait() != nil {
			cut++
		}
		closed(t, client, filepath.Dir(dir), "clientkey.pem")
		accounted(t, dir, a)
		text, err := self("add", dir, dir, client).CombinedOutput()
		if err != nil && !strings.Contains(string(text), client+`": it is there already`) {
			t.Fatalf("%s: the second run: %v: %s", client, err, text)
		}
		entries, err := a.Inventory().List(context.Background(), inventory.Filter{Host: client, States: []inventory.State{inventory.Published}})
		if err != nil || len(entries) != 1 {
			t.Errorf("%s: %d are published, %v", client, len(entries), err)
		}
	}
	noLeftovers(t, "at the end", dir)
	if n := accounted(t, dir, a); n != 1+2+2*(runs+1) {
		t.Errorf("%d certificates", n)
	}
	t.Logf("%d of %d were cut short", cut, runs)
	if cut < 3 {
		t.Errorf("only %d of %d were cut short", cut, runs)
	}
}
