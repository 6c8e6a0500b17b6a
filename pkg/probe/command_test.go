//go:build unix

package probe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// script writes a shell script and gives its path.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func commandOptions() Options {
	return Options{URI: uri.Options{Root: true, Settings: uri.Fixed{}}, Env: []string{"PATH=" + os.Getenv("PATH"), "SECRET=x"},
		Limits: Limits{RPC: shortLimit, Command: time.Second}}
}

func TestWhatACommandSaysBecomesTheCause(t *testing.T) {
	dir := t.TempDir()
	const eof, reset = "End of file while reading data: %s: Input/output error", "Cannot recv data: %s: Connection reset by peer"
	for i, c := range []struct {
		transport, says string
		reads           bool // before it ends
		cause           string
	}{
		{"ssh", "Host key verification failed.", false, "ssh-host-key-unknown"},
		{"ssh", "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", false, "ssh-host-key-changed"},
		{"ssh", "u@h: Permission denied (publickey,password).", false, "ssh-login-refused"},
		{"ssh", "ssh: Could not resolve hostname h: Name or service not known", false, "ssh-name-not-resolved"},
		{"ssh", "ssh: connect to host h port 22: Connection refused", false, "ssh-not-reached"},
		{"ssh", "ssh: connect to host h port 22: No route to host", false, "ssh-not-reached"},
		{"ssh", "sh: 1: nc: not found", true, "ssh-no-netcat"},
		{"ssh", "bash: line 1: nc: command not found", true, "ssh-no-netcat"},
		{"ssh", "sh: 1: virt-ssh-helper: not found", true, "ssh-no-helper"},
		{"ssh", "nc: /nosuch/sock: No such file or directory", true, "ssh-socket-missing"},
		{"ssh", "virt-ssh-helper: cannot connect to '/s': Failed to connect socket to '/s': Connection refused", true, "ssh-socket-missing"},
		{"ssh", "virt-ssh-helper: cannot connect to '/s': Failed to connect socket to '/s': Permission denied", true, "ssh-socket-permission"},
		{"ssh", "", true, "command-fails"},
		{"ext", "Host key verification failed.", true, "command-fails"},
		{"ext", "oh dear", false, "command-fails"},
	} {
		text, want := "", reset
		if c.reads {
			text, want = "head -c 28 >/dev/null\n", eof
		} else {
			text = "sleep 0.05\n" // the question is sent before it ends
		}
		s := script(t, dir, fmt.Sprint("cmd", i), text+"printf '%s\\r\\n' \""+c.says+"\" >&2; exit 1")
		host := ""
		if c.transport == "ssh" {
			host = "h"
		}
		r, err := Dial(context.Background(), fmt.Sprintf("test+%s://%s/default?command=%s", c.transport, host, s), commandOptions())
		want = fmt.Sprintf("transport-fails %s "+want, c.cause, c.says)
		if got := summary(r); err != nil || got != want {
			t.Errorf("%q:\n got %s, %v\nwant %s", c.says, got, err, want)
		}
	}
}

func TestCommandsThatCannotBeRun(t *testing.T) {
	for command, want := range map[string]string{
		"nosuch-command": "transport-fails command-not-found Cannot find 'nosuch-command' in path: No such file or directory",
		"":               "transport-fails command-not-found Cannot find '' in path: No such file or directory",
		"/nosuch/ssh": "transport-fails command-not-found Cannot recv data: libvirt:  error : cannot execute binary /nosuch/ssh: " +
			"No such file or directory: Connection reset by peer",
		"/etc/passwd": "transport-fails command-fails Cannot recv data: libvirt:  error : cannot execute binary /etc/passwd: Permission denied: Connection reset by peer",
	} {
		r, err := Dial(context.Background(), "test+ext:///default?command="+command, commandOptions())
		if got := summary(r); err != nil || got != want {
			t.Errorf("%q:\n got %s, %v\nwant %s", command, got, err, want)
		}
	}
}

func TestACommandGetsWhatLibvirtGivesItAndIsEnded(t *testing.T) {
	dir := t.TempDir()
	s := script(t, dir, "ssh", `env > `+dir+`/env; for a; do printf '%s\n' "$a"; done > `+dir+`/argv; echo $$ > `+dir+`/pid; sleep 60 & sleep 60`)
	begin := time.Now()
	o := commandOptions()
	r, err := Dial(context.Background(), "test+ssh://u@h:7/default?no_tty=1&command="+s, o)
	if got := summary(r); err != nil || got != "hangs peer-silent " {
		t.Errorf("%s %v", got, err)
	}
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
	argv, err := os.ReadFile(filepath.Join(dir, "argv"))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := r.Target.Argv()
	if diff := cmp.Diff(strings.Join(want[1:], "\n")+"\n", string(argv)); diff != "" {
		t.Error(diff)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || !strings.Contains(string(env), "LC_ALL=C") || strings.Contains(string(env), "SECRET") {
		t.Errorf("environment %s, %v", env, err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	// Those it started may take a moment to go.
	for range 50 {
		if err = syscall.Kill(-n, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	if stat, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n)); readErr == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("the command is still there: %v, %s", err, stat)
	}
}

func TestACommandThatTalksWithoutEndTakesNoMemory(t *testing.T) {
	s := script(t, t.TempDir(), "ssh", `head -c 28 >/dev/null; head -c 50000000 /dev/zero >&2; exit 1`)
	r, err := Dial(context.Background(), "test+ssh://h/default?command="+s, commandOptions())
	if err != nil || r.Outcome != finding.TransportFails || len(r.LibvirtMessage) > maxComplaint+200 {
		t.Errorf("%s %v, a message of %d bytes", r.Outcome, err, len(r.LibvirtMessage))
	}
}

// TestVirshAgreesOverSSH logs in at a private sshd, with virsh and with Dial.
func TestVirshAgreesOverSSH(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "ssh", "ssh-keygen", "nc")
	peer.NeedRoot(t)
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(sshd); err != nil {
		peer.Need(t, "sshd")
	}
	// Where sshd's own service makes it, too.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	ca := testpki.NewCA(t)
	dir := flat(t, ca, ca.Server("localhost"), nil)
	d := peer.Start(t, peer.Options{Dir: dir}).MustBeReady(t)
	for _, k := range []string{"host", "id", "other"} {
		peer.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, k))
	}
	port := peer.FreePort(t, "127.0.0.1")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write("authorized", read("id.pub"))
	write("known", fmt.Sprintf("[localhost]:%d %s", port, read("host.pub")))
	write("changed", fmt.Sprintf("[localhost]:%d %s", port, read("other.pub")))
	write("conf", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nPidFile none\nAuthorizedKeysFile %s/authorized\nStrictModes no\n"+
		"UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n", port, dir, dir))
	daemon := peer.Place{}.Start(t, sshd, "-D", "-e", "-f", filepath.Join(dir, "conf"))
	if !daemon.WaitLog("Server listening", 5*time.Second) {
		t.Fatalf("sshd: %s", daemon.Log())
	}
	wrapper := func(known string) string {
		return script(t, dir, "ssh-"+known, fmt.Sprintf("exec ssh -F none -o UserKnownHostsFile=%s/%s -o GlobalKnownHostsFile=/dev/null \"$@\"", dir, known))
	}
	good := fmt.Sprintf("test+ssh://localhost:%d/default?no_tty=1&keyfile=%s/id&command=%s", port, dir, wrapper("known"))
	socket := "&socket=" + url.QueryEscape(d.Socket)
	for _, c := range []struct{ name, uri, cause string }{
		{"netcat", good + socket, ""},
		{"netcat by name", good + socket + "&netcat=" + netcat(t), ""},
		{"no socket", good + "&socket=/nosuch/sock", "ssh-socket-missing"},
		{"no netcat", good + socket + "&netcat=/nosuch/nc", "ssh-no-netcat"},
		{"the key of somebody else", strings.Replace(good, "/id&", "/other&", 1) + socket, "ssh-login-refused"},
		{"an unknown user", strings.Replace(good, "localhost", "nosuchuser@localhost", 1) + socket, "ssh-login-refused"},
		{"an unknown host key", strings.Replace(good, "ssh-known", filepath.Base(wrapper("nosuch")), 1) + socket, "ssh-host-key-unknown"},
		{"a changed host key", strings.Replace(good, "ssh-known", filepath.Base(wrapper("changed")), 1) + socket, "ssh-host-key-changed"},
		{"a closed port", strings.Replace(good, strconv.Itoa(port), "1", 1) + socket, "ssh-not-reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := commandOptions()
			o.Env = append(o.Env, "HOME="+dir)
			o.Limits = Limits{}
			r, err := Dial(context.Background(), c.uri, o)
			if err != nil || r.Cause != c.cause || (r.Outcome == finding.Connected) != (c.cause == "") {
				t.Errorf("%s, want the cause %q, %v", summary(r), c.cause, err)
			}
			v := peer.Virsh(t, c.uri)
			if (v.Exit == 0) != (c.cause == "") {
				t.Errorf("virsh: %v", v)
			}
			if lines := strings.Split(strings.TrimSpace(v.Stderr), "error: "); c.cause != "" {
				said := lines[len(lines)-1]
				// What ssh says of a changed key holds a fingerprint and fills more than libvirt reads.
				if c.cause != "ssh-host-key-changed" && said != r.LibvirtMessage && !strings.Contains(said, "client socket is closed") {
					t.Errorf("\nvirsh: %q\n ours: %q", said, r.LibvirtMessage)
				}
			}
		})
	}
}

func netcat(t *testing.T) string {
	t.Helper()
	p, err := exec.LookPath("nc")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
