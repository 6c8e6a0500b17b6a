package crash

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

// Main runs the tests of a package, named by its import path, or the test binary as a program of them: then it is called with a
// verb, the arguments, and what is to be called before each step.
func Main(m *testing.M, pkg string, program func(what string, args []string, step func(string)) error) {
	within = pkg
	if what := os.Getenv("VIRT_PKI_TEST_PROGRAM"); what != "" {
		os.Exit(run(program, what, os.Args[1:]))
	}
	status := m.Run()
	for _, dir := range buildDirs {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

// run runs the program. With VIRT_PKI_TEST_STEP=N it kills itself before step N, and it says on standard output which steps it
// takes.
func run(program func(string, []string, func(string)) error, what string, args []string) int {
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
	if err := program(what, args, step); err != nil {
		fmt.Fprintln(os.Stderr, err)
		for _, h := range hint.Of(err) {
			fmt.Fprintln(os.Stderr, "hint:", h)
		}
		return 1
	}
	return 0
}

// buildDirs are removed when the tests have ended.
var buildDirs []string

// within is the package of the tests, as Main was told.
var within string

// Program is the test binary. Under the race detector, which would make hundreds of short-lived processes slow and
// sees nothing of them, it is built once more without.
var Program = sync.OnceValues(func() (string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" }) {
		return os.Executable()
	}
	return Build("program", "test", "-c", "-race=false", "-o", "program", within)
})

// Build runs the go command in a new directory, where pretended machines and roots see it, and gives the path of what it
// makes there.
func Build(name string, args ...string) (string, error) {
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

// Self gives the test binary as a program that has not been started yet.
func Self(what string, args ...string) *exec.Cmd {
	path, err := Program()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "VIRT_PKI_TEST_PROGRAM="+what)
	return cmd
}

// QuickDir is a directory in memory where there is one: what a killed process leaves is the same there, and hundreds of
// runs do not wait for the disk.
func QuickDir(t testing.TB) string {
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

// Killed runs the program and kills it before step n; it reports whether it got so far.
func Killed(t testing.TB, n int, what string, args ...string) bool {
	t.Helper()
	cmd := Self(what, args...)
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
