package peer

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verdict records how a test function ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper()       {}
func (v *verdict) Skip(a ...any) { v.skipped = fmt.Sprint(a...); runtime.Goexit() }
func (v *verdict) Fatalf(f string, a ...any) {
	v.failed = fmt.Sprintf(f, a...)
	runtime.Goexit()
}

func judge(t *testing.T, f func(testing.TB)) *verdict {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(v)
	}()
	<-done
	return v
}

func TestAMissingProgramSkipsOrFails(t *testing.T) {
	need := func(tb testing.TB) { Need(tb, "sh", "no-such-program", "nor-this") }
	t.Setenv("VIRT_PKI_REQUIRE_PEERS", "")
	if v := judge(t, need); v.skipped != "not installed: no-such-program, nor-this" || v.failed != "" {
		t.Errorf("%+v", v)
	}
	t.Setenv("VIRT_PKI_REQUIRE_PEERS", "1")
	if v := judge(t, need); v.skipped != "" || v.failed != "VIRT_PKI_REQUIRE_PEERS=1, but not installed: no-such-program, nor-this" {
		t.Errorf("%+v", v)
	}
	if v := judge(t, func(tb testing.TB) { Need(tb, "sh") }); v.skipped != "" || v.failed != "" {
		t.Errorf("a program that is there: %+v", v)
	}
}

func TestAMissingRootSkipsOrFails(t *testing.T) {
	Need(t, "virsh", "libvirtd")
	t.Setenv("VIRT_PKI_ROOTS", "/nonexistent")
	need := func(tb testing.TB) { NeedRootFS(tb, "sid") }
	why := "no root with libvirt in /nonexistent/sid: make it with scripts/libvirt-root sid /nonexistent/sid"
	t.Setenv("VIRT_PKI_REQUIRE_PEERS", "0")
	if v := judge(t, need); v.skipped != why {
		t.Errorf("%+v", v)
	}
	t.Setenv("VIRT_PKI_REQUIRE_PEERS", "1")
	if v := judge(t, need); v.failed != "VIRT_PKI_REQUIRE_PEERS=1, but "+why {
		t.Errorf("%+v", v)
	}
	why = "no root with libvirt in /nonexistent/trixie: make it with scripts/libvirt-root trixie /nonexistent/trixie"
	if v := judge(t, func(tb testing.TB) { Roots(tb) }); v.failed != "VIRT_PKI_REQUIRE_PEERS=1, but "+why {
		t.Errorf("all roots: %+v", v)
	}
	t.Setenv("VIRT_PKI_REQUIRE_PEERS", "")
	var got []Root
	if v := judge(t, func(tb testing.TB) { got = Roots(tb) }); v.failed+v.skipped != "" || len(got) != 1 || got[0].Name != "host" {
		t.Errorf("all roots, none required: %v, %+v", got, v)
	}
}

func TestResultsOfProgramsThatEndInDifferentWays(t *testing.T) {
	for _, c := range []struct {
		name string
		sh   string
		want Result
	}{
		{"success", "echo out; echo err >&2", Result{Stdout: "out\n", Stderr: "err\n"}},
		{"a status", "exit 6", Result{Exit: 6}},
		{"a signal", "kill -ABRT $$", Result{Exit: 134}},
		{"input is at its end", "cat; read x || echo end", Result{Stdout: "end\n"}},
		{"nothing of our environment", "echo $VIRT_PKI_REQUIRE_PEERS$SSH_AUTH_SOCK; pwd", Result{Stdout: "\n/\n"}},
		{"too long, with a child that holds the pipe", "echo begun; sleep 60 & sleep 60", Result{Stdout: "begun\n", Exit: -1, TimedOut: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var here Place
			if c.want.TimedOut {
				here.Timeout = 2 * time.Second
			}
			got := here.Run(t, "sh", "-c", c.sh)
			if got != c.want {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
	if r := (Place{Env: []string{"LC_ALL=C", "X=y"}}).RunInput(t, "in", "sh", "-c", "cat; echo $LC_ALL$X"); r.Stdout != "inCy\n" {
		t.Error(r)
	}
}

// TestNothingOutlivesAKilledTestBinary runs this test binary as a second process that starts programs in all the ways
// there are, and kills it.
func TestNothingOutlivesAKilledTestBinary(t *testing.T) {
	if dir := os.Getenv("PEER_TEST_VICTIM"); dir != "" {
		tmp = dir
		m := NewMachine(t)
		nobody := Place{User: "nobody"}
		for _, p := range []Place{{}, nobody, {Machine: m}, {Root: NeedRootFS(t, "trixie"), User: "nobody", Machine: m}} {
			fmt.Println("pid", p.Start(t, "sleep", "300").Pid())
		}
		fmt.Println("pid", m.pid)
		fmt.Println("pid done")
		time.Sleep(5 * time.Minute)
		return
	}
	NeedNamespaces(t)
	NeedRootFS(t, "trixie")
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingOutlivesAKilledTestBinary$", "-test.v")
	cmd.Env = append(os.Environ(), "PEER_TEST_VICTIM="+Dir(t))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var pids []int
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "pid done" {
		var pid int
		if n, _ := fmt.Sscanf(lines.Text(), "pid %d", &pid); n == 1 {
			pids = append(pids, pid)
		}
	}
	if len(pids) != 5 {
		cmd.Process.Kill()
		t.Fatalf("the second process started %d programs, want 5", len(pids))
	}
	time.Sleep(200 * time.Millisecond) // until the chains have reached their last program
	cmd.Process.Kill()
	for _, pid := range pids {
		if !within(10*time.Second, func() bool { return gone(pid) }) {
			t.Errorf("process %d lives on", pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// gone reports whether a process has ended (a zombie has, nobody reaps it here).
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

func TestNothingIsLeftBehindByAProgramThatEnds(t *testing.T) {
	r := Run(t, "sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!")
	b := Place{}.Start(t, "sh", "-c", "sleep 300 & echo $!; wait")
	if !b.WaitLog("\n", 10*time.Second) {
		t.Fatal("the program did not begin")
	}
	if exit, ok := b.Wait(50 * time.Millisecond); ok || exit != -1 {
		t.Errorf("it ended by itself: %d", exit)
	}
	if exit := b.Stop(); exit != 143 || b.Stop() != exit || b.Running() {
		t.Errorf("ended with status %d, then %d", exit, b.Stop())
	}
	for _, text := range []string{r.Stdout, b.Log()} {
		pid, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || !within(10*time.Second, func() bool { return gone(pid) }) {
			t.Errorf("process %q lives on: %v", text, err)
		}
	}
}

func TestSettingsAreReadAsLibvirtReadsThem(t *testing.T) {
	conf := "# tls_port = \"1\"\ntls_port = \"2\" # two\ntls_port=\"3\"\n  a='b c'\nn = 5\n"
	for key, want := range map[string]string{"tls_port": "2", "a": "b c", "n": "5", "port": "", "x": ""} {
		if got := setting(conf, key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestAFreePortIsGivenOnce(t *testing.T) {
	port := FreePort(t, "127.0.0.1")
	l, err := net.Listen("unix", fmt.Sprintf("@virt-pki-test-port-%d", port))
	if err == nil {
		l.Close()
		t.Errorf("port %d could be claimed by another test as well", port)
	}
	seen := map[int]bool{}
	for range 500 {
		p := FreePort(t, "127.0.0.1")
		if seen[p] {
			t.Fatalf("port %d was given twice", p)
		}
		seen[p] = true
	}
}
