package preflight

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// TestVirtproxydComesToWhatIsPredicted runs a real virtproxyd as its units would, with passed sockets. Debian builds libvirt without it, so it
// is no peer that has to be there: VIRT_PKI_VIRTPROXYD names one, which scripts/virtproxyd makes from Debian's source.
func TestVirtproxydComesToWhatIsPredicted(t *testing.T) {
	program := os.Getenv("VIRT_PKI_VIRTPROXYD")
	if program == "" {
		var err error
		if program, err = exec.LookPath("virtproxyd"); err != nil {
			t.Skip("no virtproxyd: Debian has none; scripts/virtproxyd makes one, and VIRT_PKI_VIRTPROXYD names it")
		}
	}
	pki := peer.Credentials(t)
	files := fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", pki+"/cacert.pem", pki+"/servercert.pem", pki+"/serverkey.pem")
	for _, c := range []struct {
		name    string
		args    string
		sockets []string // enabled
		rename  string   // FileDescriptorName= of the -tls socket
		conf    string   // besides the files
		pki     string   // instead of the files
		starts  bool
		tls     bool
		message string
	}{
		{name: "nothing said: no TLS, with sockets or without", starts: true},
		{name: "listen_tls without sockets", conf: "listen_tls = 1\n", starts: true, tls: true},
		{name: "listen_tcp without sockets", conf: "listen_tcp = 1\nauth_tcp = \"none\"\n", starts: true},
		{name: "the -tls socket", sockets: []string{"", "-tls"}, starts: true, tls: true},
		{name: "the -tls socket, and listen_tls = 0", sockets: []string{"", "-tls"}, conf: "listen_tls = 0\n", starts: true, tls: true},
		{name: "the UNIX socket alone, and listen_tls", sockets: []string{""}, conf: "listen_tls = 1\n", starts: true},
		{name: "--listen", args: "--listen", message: ": unrecognized option '--listen'"},
		{name: "-l", args: "-l", message: ": invalid option -- 'l'"},
		{name: "--timeout that is no number", args: "--timeout x", message: "Invalid value for timeout"},
		{name: "a word", args: "x", message: "unexpected, non-option, command line arguments"},
		{name: "another name of the -tls socket", sockets: []string{"", "-tls"}, rename: "libvirtd-tls.socket", message: "internal error: Some activation file descriptors are unclaimed"},
		{name: "the -tls socket without certificates", sockets: []string{"", "-tls"}, pki: "ca_file = \"/nosuch/ca.pem\"\n", message: "Cannot read CA certificate '/nosuch/ca.pem': No such file or directory"},
		{name: "no TLS, so that nobody looks for certificates", pki: "ca_file = \"/nosuch/ca.pem\"\n", starts: true},
		{name: "listen_tls without a key", conf: "listen_tls = 1\n", pki: "key_file = \"/nosuch/key.pem\"\n", message: "Cannot read private key '/nosuch/key.pem': No such file or directory"},
		{name: "a wrong type", conf: "listen_tls = \"1\"\n"},
		{name: "a value that is out of range", conf: "listen_tls = 1\nmax_workers = 0\n"},
		{name: "a name of authentication that is none", conf: "auth_tls = \"x\"\n"},
		{name: "a syntax error", conf: "listen_tls\n"},
		{name: "a port that is none", conf: "listen_tls = 1\ntls_port = \"nosuchservice\"\n"},
		{name: "an unknown setting", conf: "nosuch = 1\n", starts: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := peer.Dir(t)
			own, passedPort := peer.FreePort(t, "127.0.0.1"), 0
			text := fmt.Sprintf("unix_sock_dir = %q\nauth_unix_rw = \"none\"\nlisten_addr = \"127.0.0.1\"\n", dir)
			if !strings.Contains(c.conf, "tls_port") {
				text += fmt.Sprintf("tls_port = \"%d\"\ntcp_port = \"%d\"\n", own, peer.FreePort(t, "127.0.0.1"))
			}
			for line := range strings.Lines(files) {
				if key, _, _ := strings.Cut(line, " "); !strings.HasPrefix(c.pki, key) {
					text += line
				}
			}
			text += c.pki + c.conf
			confFile := filepath.Join(dir, "virtproxyd.conf")
			if err := os.WriteFile(confFile, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}

			// The sockets that systemd would pass.
			var names []string
			var passed []*os.File
			more := map[string]string{"etc/default/virtproxyd": "VIRTPROXYD_ARGS=\"" + c.args + "\"\n"}
			var enabled []string
			for _, s := range c.sockets {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				f, err := l.(*net.TCPListener).File()
				port := l.Addr().(*net.TCPAddr).Port
				l.Close()
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				name := "virtproxyd" + s + ".socket"
				if s == "-tls" {
					passedPort = port
					more[etcUnits+name+".d/p.conf"] = fmt.Sprintf("[Socket]\nListenStream=\nListenStream=127.0.0.1:%d\n", port)
					if c.rename != "" {
						name = c.rename
						more[etcUnits+"virtproxyd-tls.socket.d/q.conf"] = "[Socket]\nFileDescriptorName=" + name + "\n"
					}
				}
				names, passed, enabled = append(names, name), append(passed, f), append(enabled, s+".socket")
			}
			if len(c.sockets) == 0 {
				more = masked("virtproxyd", more)
				enabled = []string{".service"}
			}
			tree := unitsOf("virtproxyd", more, enabled...)
			s := Daemon{Machine: Machine{Root: os.Geteuid() == 0, ReadFile: func(name string) ([]byte, error) { return os.ReadFile(name) }, Libvirt: verify.V9_0},
				Kind: conf.Virtproxyd, Conf: []byte(text), ConfFile: confFile, At: time.Now(), Units: tree.Survey(nil), Resolver: hosts{}}.Start(t.Context())
			if c.starts != s.Starts || c.tls != (s.Starts && s.ListensTLS) || !strings.Contains(s.LibvirtMessage, c.message) {
				t.Errorf("predicted: starts %v, TLS %v, %q", s.Starts, s.ListensTLS, s.LibvirtMessage)
			}
			if s.TLSPort() != 0 && s.Starts && s.ListensTLS && passedPort != 0 && int(s.TLSPort()) != passedPort {
				t.Errorf("predicted port %d", s.TLSPort())
			}

			run := exec.Command("sh", append([]string{"-c", `test -z "$LISTEN_FDS" || { LISTEN_PID=$$; export LISTEN_PID; }; exec "$0" "$@"`,
				program, "-f", confFile, "-p", filepath.Join(dir, "pid")}, strings.Fields(c.args)...)...)
			run.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "LIBVIRT_DRIVER_DIR=" + dir, "LIBVIRT_LOG_OUTPUTS=3:stderr"}
			run.ExtraFiles = passed
			if len(names) > 0 {
				run.Env = append(run.Env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
			}
			log := filepath.Join(dir, "log")
			out, err := os.Create(log)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			run.Stdout, run.Stderr = out, out
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { run.Wait(); close(done) }()
			port := own
			if passedPort != 0 {
				port = passedPort
			}
			ended, listens := false, false
			for limit := time.Now().Add(900 * time.Millisecond); time.Now().Before(limit) && !ended && !listens; {
				select {
				case <-done:
					ended = true
				case <-time.After(30 * time.Millisecond):
					conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 300 * time.Millisecond}, "tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true})
					if err == nil {
						conn.Close()
						listens = true
					}
				}
			}
			if !ended {
				run.Process.Kill()
				<-done
			}
			said, err := os.ReadFile(log)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if ended == s.Starts || listens != (s.Starts && s.ListensTLS) {
				t.Errorf("it ended: %v, serves TLS: %v, and says: %s", ended, listens, said)
			}
			if ended && (run.ProcessState.ExitCode() != s.Exit || s.LibvirtMessage == "" ||
				!strings.Contains(string(said), strings.TrimPrefix(s.LibvirtMessage, "/usr/sbin/virtproxyd"))) {
				t.Errorf("exit status %d, predicted %d; it does not say %q but: %s", run.ProcessState.ExitCode(), s.Exit, s.LibvirtMessage, said)
			}
		})
	}
}
