package peer

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Place is where and how a program runs. The zero value is this machine, as the user of the test, in /, with an empty
// home and nothing of the developer's environment but PATH.
type Place struct {
	// Machine is a pretended machine; nil: this one.
	Machine *Machine
	// Root is the directory of a root made by scripts/libvirt-root, see NeedRootFS; empty: this system's own programs.
	Root string
	// User is whom to run as, for example "nobody"; empty: the test's own user. Another user needs root.
	User string
	// Home is $HOME; empty: a fresh empty directory.
	Home string
	// Dir is the working directory; empty: /.
	Dir string
	// Env holds further variables, NAME=VALUE; they win over those set here.
	Env []string
	// Timeout bounds Run; 0: 20 seconds.
	Timeout time.Duration
}

// A Result is what a program came to.
type Result struct {
	Stdout, Stderr string
	// Exit is the exit status, 128 + the signal's number when a signal ended the program, and -1 when it was cut off.
	Exit int
	// TimedOut says that the program did not end within the time limit.
	TimedOut bool
}

// String shows the result whole, for a test's message.
func (r Result) String() string {
	end := fmt.Sprintf("exit status %d", r.Exit)
	if r.TimedOut {
		end = "cut off: it did not end in time"
	}
	return fmt.Sprintf("%s\nstdout: %q\nstderr: %q", end, r.Stdout, r.Stderr)
}

// Run runs a program here to its end, see Place.Run.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Place{}.Run(t, args...)
}

// Run runs a program to its end with nothing on standard input.
func (p Place) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return p.RunInput(t, "", args...)
}

// RunInput runs a program to its end with input on standard input. Only a program that cannot be started at all fails
// the test; what it does is a result.
func (p Place) RunInput(t testing.TB, input string, args ...string) Result {
	t.Helper()
	timeout := p.Timeout
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := p.command(ctx, t, args)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	}
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), TimedOut: ctx.Err() != nil}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && !r.TimedOut && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("running %q: %v", args, err)
	}
	r.Exit = -1
	if !r.TimedOut {
		r.Exit = exitStatus(cmd.ProcessState)
	}
	return r
}

// Must runs a program that has to succeed and gives its standard output; its failure fails the test.
func (p Place) Must(t testing.TB, args ...string) string {
	t.Helper()
	r := p.Run(t, args...)
	if r.Exit != 0 {
		t.Fatalf("%s: %v", strings.Join(args, " "), r)
	}
	return r.Stdout
}

//go:embed open-root.sh
var openRoot string

// command builds the chain of programs that ends in args: each step execs the next one, so that the process we wait
// for, signal and read the status of is the program itself.
func (p Place) command(ctx context.Context, t testing.TB, args []string) *exec.Cmd {
	t.Helper()
	if p.Root == "" {
		Need(t, args[0])
	}
	var chain []string
	if p.Machine != nil {
		ns := fmt.Sprintf("/proc/%d/ns/", p.Machine.pid)
		chain = append(chain, "nsenter", "--mount="+ns+"mnt", "--net="+ns+"net", "--")
	}
	if p.Root != "" {
		NeedNamespaces(t)
		chain = append(chain, "unshare", "-m", "--propagation", "private", "--", "sh", "-c", openRoot, "open-root", p.Root)
	}
	if p.User != "" && !p.isUser(t) {
		NeedRoot(t)
		Need(t, "setpriv")
		uid, gid := ids(t, p.User)
		// The kernel forgets the parent-death signal when the user changes; setpriv sets it again.
		chain = append(chain, "setpriv", "--reuid="+strconv.Itoa(uid), "--regid="+strconv.Itoa(gid), "--clear-groups",
			"--pdeathsig", "keep", "--")
	}
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	chain = append(append(chain, "env", "-C", dir, "--"), args...)

	file := lookPath(chain[0])
	if file == "" {
		t.Fatalf("no %s", chain[0])
	}
	cmd := exec.CommandContext(ctx, file, chain[1:]...)
	cmd.Env = p.environment(t)
	cmd.SysProcAttr = ownSession()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// isUser reports whether p.User is the user of the test.
func (p Place) isUser(t testing.TB) bool {
	t.Helper()
	uid, _ := ids(t, p.User)
	return uid == os.Geteuid()
}

// isSuperuser reports whether programs run as root here: libvirt then has system, otherwise session paths.
func (p Place) isSuperuser(t testing.TB) bool {
	t.Helper()
	if p.User == "" {
		return os.Geteuid() == 0
	}
	uid, _ := ids(t, p.User)
	return uid == 0
}

// environment is complete: nothing of the developer's (SSH_AUTH_SOCK, LIBVIRT_DEFAULT_URI, DISPLAY, a proxy) gets in.
func (p Place) environment(t testing.TB) []string {
	t.Helper()
	home := p.Home
	if home == "" {
		home = Dir(t)
		Own(t, home, p.User)
	}
	return append([]string{"PATH=" + searchPath, "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + home,
		"XDG_CONFIG_HOME=" + home + "/.config", "XDG_CACHE_HOME=" + home + "/.cache", "XDG_RUNTIME_DIR=" + home + "/run"},
		p.Env...)
}

// exitStatus gives the status as a shell would.
func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
