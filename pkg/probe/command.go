package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// passedOn are the variables that libvirt hands to the command of the transport ssh (virCommandAddEnvPassCommon,
// virNetSocketNewConnectSSH); LC_ALL=C is added.
var passedOn = []string{"PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "KRB5CCNAME",
	"SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "OPENSSL_CONF", "DISPLAY", "XAUTHORITY", "GPG_TTY", "TERM"}

// commandEnv picks the environment of the command.
func (o Options) commandEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range passedOn {
		if v, ok := o.lookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (o Options) lookupEnv(name string) (string, bool) {
	for i := len(o.Env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(o.Env[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// errNotInPath is a command without a slash that PATH does not have.
var errNotInPath = errors.New("not in PATH")

// command runs the command of ssh or ext and speaks over its standard input and output.
func (a *attempt) command(ctx context.Context) (net.Conn, bool) {
	argv, _ := a.Target.Argv()
	end := a.stage(StageConnect)
	conn, err := startCommand(argv, a.o)
	end(err)
	if err == nil {
		a.Server.Address = argv[0]
		return conn, true
	}
	if errors.Is(err, errNotInPath) {
		a.fail(finding.TransportFails, "command-not-found", fmt.Sprintf("there is no command %q in PATH", argv[0]),
			fmt.Sprintf("Cannot find '%s' in path: No such file or directory", argv[0]))
		return nil, false
	}
	id := "command-fails"
	if errors.Is(err, fs.ErrNotExist) {
		id = "command-not-found"
	}
	a.fail(finding.TransportFails, id, fmt.Sprintf("the command %q cannot be run: %s", argv[0], strerror(err)),
		fmt.Sprintf("Cannot recv data: libvirt:  error : cannot execute binary %s: %s: Connection reset by peer", argv[0], strerror(err)))
	return nil, false
}

// maxComplaint is how much libvirt reads of a command's standard error.
const maxComplaint = 1024

// complaints gathers the beginning of what a command writes to standard error, and drops the rest.
type complaints struct {
	mu   sync.Mutex
	b    bytes.Buffer
	done chan struct{} // closed when there will be no more
}

func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := maxComplaint - c.b.Len(); room > 0 {
		c.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// text waits a moment for the command to say its last words, and gives what it said without blanks and line ends behind it
// (OpenSSH ends its lines with CR LF).
func (c *complaints) text() string {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
	}
	return c.soFar()
}

// soFar gives what it has said up to now.
func (c *complaints) soFar() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimRight(c.b.String(), " \t\r\n")
}

// complaint is what the command behind a connection said; ok is false for other connections.
func complaint(conn net.Conn) (string, bool) {
	if c, ok := conn.(interface{ said() string }); ok {
		return c.said(), true
	}
	return "", false
}

// withComplaint puts what the command said between the event and the system's reason, as virNetSocketReadWire does.
func withComplaint(err error, said string) error {
	var s *StreamError
	if !errors.As(err, &s) || s.Timeout() {
		return err
	}
	event, reason, ok := strings.Cut(s.LibvirtMessage, ": ")
	switch {
	case strings.HasPrefix(s.LibvirtMessage, "Cannot write data"):
		// The command had ended before anything was written.
		return &StreamError{"Cannot recv data: " + said + ": Connection reset by peer", s.Err}
	case !ok:
		return err
	}
	return &StreamError{event + ": " + said + ": " + reason, s.Err}
}

// commandRule finds the rule by what a command said. The texts are those of OpenSSH, of the shell, of netcat and of
// virt-ssh-helper.
func commandRule(t uri.Transport, said string) string {
	has := func(ws ...string) bool {
		for _, w := range ws {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("cannot execute binary"):
		return "command-not-found"
	case t == uri.Ext:
		return "command-fails"
	case has("REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return "ssh-host-key-changed"
	case has("Host key verification failed"):
		return "ssh-host-key-unknown"
	case has("Could not resolve hostname"):
		return "ssh-name-not-resolved"
	case has("ssh: connect to host", "Connection timed out during banner exchange"):
		return "ssh-not-reached"
	case has("Permission denied (", "Too many authentication failures", "Permission denied, please try again"):
		return "ssh-login-refused"
	case has("virt-ssh-helper: not found", "virt-ssh-helper: command not found", "virt-ssh-helper: cannot parse"):
		return "ssh-no-helper"
	case has(": not found", "command not found"):
		return "ssh-no-netcat"
	case has("Permission denied"):
		return "ssh-socket-permission"
	case has("No such file or directory", "Connection refused"):
		return "ssh-socket-missing"
	}
	return "command-fails"
}
