package unit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// A world is a directory in which libvirtd is run with arguments and passed sockets.
type world struct {
	dir, conf string
	port      int
}

func newWorld(t *testing.T) *world {
	peer.Need(t, "libvirtd")
	w := &world{dir: peer.Dir(t), port: peer.FreePort(t, "127.0.0.1")}
	pki := peer.Credentials(t)
	if err := os.Mkdir(filepath.Join(w.dir, "drivers"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.conf = filepath.Join(w.dir, "l.conf")
	text := fmt.Sprintf("unix_sock_dir = %q\nauth_unix_rw = \"none\"\nlisten_addr = \"127.0.0.1\"\ntls_port = \"%d\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n",
		w.dir, w.port, pki+"/cacert.pem", pki+"/servercert.pem", pki+"/serverkey.pem")
	if err := os.WriteFile(w.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

// run starts libvirtd with sockets of the given names and gives its exit status, or -1 where it goes on, its output, and
// whether it listens on its own port.
func (w *world) run(t *testing.T, args, sockets []string) (exit int, out string, listens bool) {
	t.Helper()
	// LISTEN_PID is the process itself, hence a shell that becomes the daemon.
	cmd := exec.Command("sh", append([]string{"-c", `test -z "$LISTEN_FDS" || { LISTEN_PID=$$; export LISTEN_PID; }; exec /usr/sbin/libvirtd "$@"`,
		"sh", "-p", filepath.Join(w.dir, "pid")}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "XDG_RUNTIME_DIR=" + w.dir, "LIBVIRT_DRIVER_DIR=" + w.dir + "/drivers",
		"LIBVIRT_LOG_OUTPUTS=3:stderr"}
	for _, name := range sockets {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		_ = name
	}
	if len(sockets) > 0 {
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+strings.Join(sockets, ":"))
	}
	var log lockedBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	// It serves when it answers on its port; without --listen nothing tells, and a daemon that is to end does so at once.
	limit := time.Now().Add(700 * time.Millisecond)
	for time.Now().Before(limit) {
		select {
		case <-done:
			return cmd.ProcessState.ExitCode(), log.String(), false
		case <-time.After(20 * time.Millisecond):
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.port)); err == nil {
			c.Close()
			listens = true
			break
		}
	}
	cmd.Process.Kill()
	<-done
	return -1, log.String(), listens
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestArgumentsAreReadAsLibvirtdReadsThem runs the real daemon with every command line of the table.
func TestArgumentsAreReadAsLibvirtdReadsThem(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args string // words; CONF is the configuration
		want Arguments
		err  string
	}{
		{args: "-f CONF"},
		{args: "-f CONF --listen", want: Arguments{Listen: true}},
		{args: "-f CONF -l", want: Arguments{Listen: true}},
		{args: "-f CONF --lis", want: Arguments{Listen: true}},
		{args: "-lf CONF", want: Arguments{Listen: true}},
		{args: "-lfCONF", want: Arguments{Listen: true}},
		{args: "--config=CONF --listen", want: Arguments{Listen: true}},
		{args: "--conf CONF -l -t 100", want: Arguments{Listen: true, Timeout: 100}},
		{args: "-f /nosuch -f CONF -l", want: Arguments{Listen: true}},
		{args: "-f CONF -l -t 5x", want: Arguments{Listen: true, Timeout: 5}},
		{args: "-f CONF -l -t +7", want: Arguments{Listen: true, Timeout: 7}},
		{args: "-f CONF -l -t 0x9", want: Arguments{Listen: true}},
		{args: "-f CONF -l -t 2147483", want: Arguments{Listen: true, Timeout: 2147483}},
		{args: "-f CONF -t 2147484", err: "Invalid value for timeout"},
		{args: "-f CONF --timeout=-5", err: "Invalid value for timeout"},
		{args: "-f CONF --timeout=", err: "Invalid value for timeout"},
		{args: "-f CONF --timeout x", err: "Invalid value for timeout"},
		{args: "-t 99999999999 -V", err: "Invalid value for timeout"},
		{args: "-f CONF --nosuch", err: "/usr/sbin/libvirtd: unrecognized option '--nosuch'"},
		{args: "-f CONF --nosuch=1", err: "/usr/sbin/libvirtd: unrecognized option '--nosuch=1'"},
		{args: "-f CONF -lx", err: "/usr/sbin/libvirtd: invalid option -- 'x'"},
		{args: "-f CONF --listen=1", err: "/usr/sbin/libvirtd: option '--listen' doesn't allow an argument"},
		{args: "-f CONF --lis=1", err: "/usr/sbin/libvirtd: option '--listen' doesn't allow an argument"},
		{args: "-f CONF --v", err: "/usr/sbin/libvirtd: option '--v' is ambiguous; possibilities: '--verbose' '--version'"},
		{args: "-f CONF --ver=1", err: "/usr/sbin/libvirtd: option '--ver=1' is ambiguous; possibilities: '--verbose' '--version'"},
		{args: "--config", err: "/usr/sbin/libvirtd: option '--config' requires an argument"},
		{args: "-l -f", err: "/usr/sbin/libvirtd: option requires an argument -- 'f'"},
		{args: "-f CONF extra", err: "/usr/sbin/libvirtd: unexpected, non-option, command line arguments"},
		{args: "-f CONF -- -l", err: "/usr/sbin/libvirtd: unexpected, non-option, command line arguments"},
		{args: "a --nosuch", err: "/usr/sbin/libvirtd: unrecognized option '--nosuch'"},
		{args: "-f CONF -", err: "/usr/sbin/libvirtd: unexpected, non-option, command line arguments"},
		{args: "extra -l -f CONF --version", want: Arguments{Listen: true, Prints: true}},
		{args: "--help --nosuch", want: Arguments{Prints: true}},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.Fields(strings.ReplaceAll(c.args, "CONF", w.conf))
			got, err := ParseArguments("libvirtd", "/usr/sbin/libvirtd", args)
			var ae *ArgumentError
			if errors.As(err, &ae) {
				if ae.Text != c.err {
					t.Errorf("%q, not %q", ae.Text, c.err)
				}
			} else if c.err != "" || got.Listen != c.want.Listen || got.Timeout != c.want.Timeout || got.Prints != c.want.Prints {
				t.Errorf("got %+v", got)
			} else if !got.Prints && (!got.Configured || got.Config != w.conf) {
				t.Errorf("the configuration is %q", got.Config)
			}
			exit, out, listens := w.run(t, args, nil)
			switch {
			case c.err != "":
				if exit != 1 || !strings.Contains(out, c.err+"\n") {
					t.Errorf("libvirtd ends with %d and says: %s", exit, out)
				}
			case c.want.Prints:
				if exit != 0 {
					t.Errorf("libvirtd ends with %d and says: %s", exit, out)
				}
			case exit != -1 || listens != c.want.Listen:
				t.Errorf("libvirtd ends with %d, listens %v, and says: %s", exit, listens, out)
			}
		})
	}
}

// TestPassedSocketsAreTakenAsLibvirtdTakesThem passes sockets to the real daemon under the names of units.
func TestPassedSocketsAreTakenAsLibvirtdTakesThem(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name    string
		args    string
		sockets []string
		rule    string // what the survey says; empty: the daemon goes on
		message string
	}{
		{name: "its own sockets", sockets: []string{"libvirtd.socket", "libvirtd-tls.socket"}},
		{name: "two of one name", sockets: []string{"libvirtd-tls.socket", "libvirtd-tls.socket"}},
		{name: "--listen with a UNIX socket's unit", args: "--listen", sockets: []string{"libvirtd.socket"}, rule: "listen-with-sockets", message: msgListen},
		{name: "--listen with the TLS socket", args: "-l", sockets: []string{"libvirtd-tls.socket"}, rule: "listen-with-sockets", message: msgListen},
		{name: "another name", sockets: []string{"libvirtd.socket", "my-tls.socket"}, rule: "socket-name-unknown", message: msgUnclaimed},
		{name: "the other daemon's name", sockets: []string{"virtproxyd-tls.socket"}, rule: "socket-name-unknown", message: msgUnclaimed},
		{name: "--listen is refused before another name", args: "--listen", sockets: []string{"my-tls.socket"}, rule: "listen-with-sockets", message: msgListen},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := layoutOf{usr + "libvirtd.service": "[Service]\nExecStart=/usr/sbin/libvirtd " + c.args + "\n[Install]\nWantedBy=multi-user.target\n"}
			for i, name := range c.sockets {
				unit := name
				if strings.HasPrefix(name, "virtproxyd") || i > 0 && name == c.sockets[0] {
					unit = fmt.Sprintf("other%d.socket", i)
				}
				l[usr+unit] = "[Socket]\nListenStream=1651" + strconv.Itoa(i) + "\nService=libvirtd.service\nFileDescriptorName=" + name +
					"\n[Install]\nWantedBy=sockets.target\n"
				enable(l, unit)
			}
			enable(l, "libvirtd.service")
			rule, message := "", ""
			s := l.tree(t).Survey(nil)
			for _, f := range s.Findings(s.Remote(), nil) {
				rule, message = f.Rule, f.LibvirtMessage
			}
			if rule != c.rule || message != c.message {
				t.Errorf("the survey says %q, %q", rule, message)
			}
			exit, out, listens := w.run(t, append([]string{"-f", w.conf}, strings.Fields(c.args)...), c.sockets)
			if listens {
				t.Error("it listens on the port of its configuration")
			}
			if c.rule == "" && exit != -1 || c.rule != "" && (exit != 6 || !strings.Contains(out, c.message)) {
				t.Errorf("libvirtd ends with %d and says: %s", exit, out)
			}
		})
	}
}
