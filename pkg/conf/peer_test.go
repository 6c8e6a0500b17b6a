package conf

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// predict gives what the package says of a file: the exit status and the lines, 0 if the daemon would go on.
func predict(b []byte, name string, k Kind, run Run) (int, []string) {
	if _, r := Judge(b, name, k, run); r != nil {
		return r.ExitStatus(), r.LogLines()
	}
	return 0, nil
}

// logPrefix is what stands before a message in the daemon's log.
var logPrefix = regexp.MustCompile(`^\d{4}-\S+ \S+: \d+: error : \w+:\d+ : `)

// libvirtd runs the real daemon on a file and gives exit status and error lines. It must not be let start: pid is a pid
// file that cannot be made, or a file with sockets in a directory that does not exist.
func libvirtd(t *testing.T, dir, file, pid string, args ...string) (int, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "libvirtd", append([]string{"-f", file, "-p", pid}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
		"XDG_CONFIG_HOME=" + dir, "XDG_CACHE_HOME=" + dir, "LIBVIRT_DRIVER_DIR=" + dir}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("libvirtd started with %s", file)
	}
	if err == nil {
		t.Fatalf("libvirtd ended well with %s:\n%s", file, out)
	}
	var lines []string
	for _, l := range strings.Split(string(out), "\n") {
		if m := logPrefix.FindString(l); m != "" {
			lines = append(lines, l[len(m):])
		} else if strings.HasPrefix(l, "libvirt:  error : ") {
			lines = append(lines, l)
		}
	}
	return cmd.ProcessState.ExitCode(), lines
}

func runHere() Run {
	return Run{Session: os.Geteuid() != 0, GroupExists: func(name string) bool {
		_, err := user.LookupGroup(name)
		return err == nil
	}}
}

// judge compares one file. First the daemon is stopped at its pid file, behind everything that the file alone decides
// but limits and sockets; if it came so far, a second time at a socket directory that does not exist.
func judge(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	const pidFails = "Failed to open pid file '/nonexistent/virt-pki/pid': No such file or directory"
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	wantExit, want := predict(b, file, Libvirtd, runHere())
	exit, got := libvirtd(t, dir, file, "/nonexistent/virt-pki/pid")
	if !slices.Equal(got, []string{pidFails}) {
		if exit != wantExit || !slices.Equal(got, want) {
			t.Errorf("%s\nlibvirtd: %d %q\nhere:     %d %q", describe(b), exit, got, wantExit, want)
		}
		return
	}
	const sockets = "unix_sock_dir = \"/nonexistent/virt-pki\"\n"
	b = append([]byte(sockets), b...)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b, file); err != nil { // an empty line in front can be read, the file alone not
		t.Errorf("%s: libvirtd reads it, here: %v", describe(b), err)
		return
	}
	wantExit, want = predict(b, file, Libvirtd, runHere())
	if wantExit == 0 {
		wantExit = ExitNetwork
		want = []string{"Failed to bind socket to '/nonexistent/virt-pki/libvirt-sock': No such file or directory"}
	}
	exit, got = libvirtd(t, dir, file, filepath.Join(dir, name+".pid"))
	if exit != wantExit || !slices.Equal(got, want) {
		t.Errorf("%s\nlibvirtd: %d %q\nhere:     %d %q", describe(b), exit, got, wantExit, want)
	}
}

// judgeAll compares files, two at a time.
func judgeAll(t *testing.T, files [][]byte) {
	t.Helper()
	peer.Need(t, "libvirtd")
	dir := t.TempDir()
	work := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range work {
				judge(t, dir, fmt.Sprintf("%d.conf", i), files[i])
			}
		})
	}
	for i := range files {
		work <- i
	}
	close(work)
	wg.Wait()
}

func TestLibvirtdJudgesTheGrammarAlike(t *testing.T) {
	var files [][]byte
	for _, c := range grammarCases {
		files = append(files, []byte(c.src))
	}
	judgeAll(t, files)
}

// The daemon's verdict, exit status and text on generated files, valid ones and others.
func TestLibvirtdJudgesGeneratedFilesAlike(t *testing.T) {
	g := newGenerator(seed())
	n := 600
	if testing.Short() {
		n = 50
	}
	var files [][]byte
	outcomes := map[int]int{}
	for range n {
		b := g.file()
		exit, _ := predict(b, "F", Libvirtd, runHere())
		outcomes[exit]++
		files = append(files, b)
	}
	t.Logf("files by predicted exit status: %v", outcomes)
	if outcomes[0] < n/10 || outcomes[1] < n/10 {
		t.Errorf("a lopsided set: %v", outcomes)
	}
	judgeAll(t, files)
}

// seed is that of the generated files; CONF_TEST_SEED asks for others.
func seed() uint64 {
	n, err := strconv.ParseUint(os.Getenv("CONF_TEST_SEED"), 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// One fault after the other: every setting with values of every type.
func TestLibvirtdJudgesEveryTypeAlike(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	var files [][]byte
	for _, s := range Settings(Libvirtd, Release{}) {
		for _, v := range []string{`"x"`, "-1", "2", "4294967296", "[]", `["x",1]`} {
			if s.Key == "log_outputs" && v == `"x"` {
				continue
			}
			files = append(files, []byte(s.Key+" = "+v+"\n"))
		}
		for _, v := range special[s.Key] {
			files = append(files, []byte(s.Key+" = "+v+"\n"))
		}
	}
	judgeAll(t, files)
}
