package peer

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Machine is a pretended machine: a mount namespace with its own /etc (this machine's to begin with, without
// credentials of libvirt and QEMU), an empty /root and /run, and a network of nothing but loopback. /tmp is shared. Many
// programs can run on it, see Place.Machine.
type Machine struct {
	pid int // of the process that keeps the namespaces
}

//go:embed machine.sh
var machineScript string

// NewMachine makes a pretended machine that lasts as long as the test. It needs root (see NeedNamespaces).
func NewMachine(t testing.TB) *Machine {
	t.Helper()
	NeedNamespaces(t)
	cmd := exec.Command(lookPath("unshare"), "-m", "-n", "--propagation", "private", "--",
		"sh", "-c", machineScript, "machine", Dir(t))
	cmd.Env = []string{"PATH=" + searchPath, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = ownSession()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe() // closed when the test ends, also by being killed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		stdin.Close()
		cmd.Wait()
		t.Fatalf("making a machine: %q %v: %s", line, err, stderr.String())
	}
	return &Machine{pid: cmd.Process.Pid}
}

// Path is the name by which the test itself reaches a file of the machine ("/etc/pki/CA/cacert.pem"); os functions work
// on it. The path "/" gives a directory fit for a --root option.
func (m *Machine) Path(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.pid), path)
}

// AddHost gives an address names in the machine's /etc/hosts.
func (m *Machine) AddHost(t testing.TB, addr string, names ...string) {
	t.Helper()
	f, err := os.OpenFile(m.Path("/etc/hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(f, addr, strings.Join(names, " "))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		t.Fatal(err)
	}
}

// AddUser makes a user of the machine who logs in with a password.
func (m *Machine) AddUser(t testing.TB, user, password string) {
	t.Helper()
	hash := strings.TrimSpace(OpenSSL(t, "passwd", "-6", password))
	for path, line := range map[string]string{
		"/etc/passwd": user + ":x:4711:4711::/:/bin/sh", "/etc/group": user + ":x:4711:", "/etc/shadow": user + ":" + hash + ":19000:0:99999:7:::",
	} {
		f, err := os.OpenFile(m.Path(path), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintln(f, line)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
