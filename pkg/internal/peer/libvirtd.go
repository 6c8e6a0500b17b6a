package peer

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Options say how to start a libvirtd. With Dir alone it is a daemon that serves TLS with the credentials in Dir, on a
// free port of 127.0.0.1, to everyone they let in.
type Options struct {
	// Place is where the daemon runs. As another user than root it is a session daemon.
	Place
	// Dir holds cacert.pem, servercert.pem, serverkey.pem and, if there is one, cacrl.pem.
	Dir string
	// CA, Cert, Key and CRL name files that are not in Dir.
	CA, Cert, Key, CRL string
	// DefaultPaths leaves the files to libvirtd, which takes them from /etc/pki, or from the user's ~/.pki/libvirt.
	DefaultPaths bool
	// Conf holds lines of libvirtd.conf, "key = value", that replace the default line of their key; "-key" drops it.
	Conf []string
	// ConfFile is a complete configuration instead of the default lines; those of Conf are put before it (libvirt takes
	// the first of two).
	ConfFile string
	// Addr is the address to listen on; empty: 127.0.0.1.
	Addr string
	// Port is the TLS port; 0: a free one.
	Port int
	// NoListen leaves --listen out: libvirtd then serves its UNIX sockets only, whatever listen_tls says.
	NoListen bool
	// LogLevel is 1 (debug) to 4 (errors); 0: 3, warnings.
	LogLevel int
}

// Libvirtd is a private libvirtd.
type Libvirtd struct {
	// Ready says that it came up and serves. If not, Exit and Log tell why.
	Ready bool
	// Exit is the exit status of a daemon that ended while starting (1 configuration, 6 network or TLS set-up), else -1.
	Exit int
	Addr string
	Port int
	// Run is the daemon's own directory, ConfFile its configuration, Socket its UNIX socket.
	Run, ConfFile, Socket string

	place   Place
	process *Process
	admin   string // admin socket
	mode    string // system or session
}

// Start starts a libvirtd and waits until it serves or has ended. A daemon that refuses does not fail the test: see
// Libvirtd.Ready and Libvirtd.MustBeReady. It has no drivers but the built-in test driver, hence no side effects.
func Start(t testing.TB, o Options) *Libvirtd {
	t.Helper()
	for try := 0; ; try++ {
		d := start(t, o)
		// Another process took the port after we had found it free.
		if d.Ready || o.Port != 0 || o.ConfFile != "" || try == 3 || !strings.Contains(d.Log(), "Address already in use") {
			return d
		}
		d.Stop()
	}
}

func start(t testing.TB, o Options) *Libvirtd {
	t.Helper()
	Need(t, "virt-admin")
	d := &Libvirtd{Exit: -1, Addr: o.Addr, Port: o.Port, Run: Dir(t), place: o.Place, mode: "session"}
	if d.Addr == "" {
		d.Addr = "127.0.0.1"
	}
	if d.Port == 0 {
		d.Port = FreePort(t, "127.0.0.1")
	}
	if d.place.Home == "" {
		d.place.Home = filepath.Join(d.Run, "home")
	}
	runtime := filepath.Join(d.Run, "rt") // of a session daemon
	for _, dir := range []string{filepath.Join(d.Run, "home"), filepath.Join(d.Run, "no-drivers"), runtime} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.ConfFile = filepath.Join(d.Run, "libvirtd.conf")
	conf := d.configuration(t, o)
	if err := os.WriteFile(d.ConfFile, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	Own(t, d.Run, o.User)

	sockets := filepath.Join(runtime, "libvirt")
	if o.isSuperuser(t) {
		d.mode, sockets = "system", "/run/libvirt"
	}
	d.admin = filepath.Join(sockets, "libvirt-admin-sock")
	if dir := setting(conf, "unix_sock_dir"); dir != "" {
		sockets = dir
		d.admin = filepath.Join(sockets, "libvirt-admin-sock")
		if d.mode == "session" {
			d.admin = "" // a session daemon with unix_sock_dir makes no admin socket
		}
	} else if d.mode == "system" && o.Machine == nil {
		t.Fatal("a system libvirtd without unix_sock_dir would use this machine's /run/libvirt: give it a Machine")
	}
	d.Socket = filepath.Join(sockets, "libvirt-sock")

	level := fmt.Sprintf("%d:stderr", logLevel(o))
	place := d.place
	place.Env = append([]string{"XDG_RUNTIME_DIR=" + runtime, "LIBVIRT_LOG_OUTPUTS=" + level,
		"LIBVIRT_DRIVER_DIR=" + filepath.Join(d.Run, "no-drivers")}, o.Env...)
	args := []string{"libvirtd", "-f", d.ConfFile, "-p", filepath.Join(d.Run, "pid")}
	if !o.NoListen {
		args = append(args, "--listen")
	}
	d.process = place.Start(t, args...)
	d.await(t)
	return d
}

func logLevel(o Options) int {
	if o.LogLevel == 0 {
		return 3
	}
	return o.LogLevel
}

// configuration composes libvirtd.conf and takes the port from it.
func (d *Libvirtd) configuration(t testing.TB, o Options) string {
	t.Helper()
	given := map[string]bool{}
	var lines []string
	for _, line := range o.Conf {
		key := strings.TrimPrefix(line, "-")
		key, _, _ = strings.Cut(key, "=")
		given[strings.TrimSpace(key)] = true
		if !strings.HasPrefix(line, "-") {
			lines = append(lines, line)
		}
	}
	if o.ConfFile != "" {
		text, err := os.ReadFile(o.ConfFile)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	} else {
		for _, s := range d.defaults(t, o) {
			if !given[s[0]] {
				lines = append(lines, s[0]+" = "+s[1])
			}
		}
	}
	conf := strings.Join(lines, "\n") + "\n"
	d.Port = 16514
	if port, err := strconv.Atoi(setting(conf, "tls_port")); err == nil {
		d.Port = port
	}
	return conf
}

// defaults are the settings of a test's daemon: key and value, as in the file.
func (d *Libvirtd) defaults(t testing.TB, o Options) [][2]string {
	t.Helper()
	level := fmt.Sprintf("%d:stderr", logLevel(o))
	settings := [][2]string{{"listen_tls", "1"}, {"listen_tcp", "0"}, {"listen_addr", quote(d.Addr)},
		{"tls_port", quote(strconv.Itoa(d.Port))}, {"auth_unix_ro", quote("none")}, {"auth_unix_rw", quote("none")},
		{"auth_tcp", quote("none")}, {"auth_tls", quote("none")}, {"log_level", strconv.Itoa(logLevel(o))},
		{"log_outputs", quote(level)}}
	if o.isSuperuser(t) {
		settings = append(settings, [2]string{"unix_sock_dir", quote(d.Run)})
	}
	if o.DefaultPaths {
		return settings
	}
	file := func(explicit, name string) string {
		if explicit == "" && o.Dir != "" {
			return filepath.Join(o.Dir, name)
		}
		return explicit
	}
	crl := file(o.CRL, "cacrl.pem")
	if _, err := os.Stat(crl); err != nil && o.CRL == "" {
		crl = "" // 12.8 refuses to start when a CRL that is named does not exist
	}
	for _, f := range [][2]string{{"ca_file", file(o.CA, "cacert.pem")}, {"cert_file", file(o.Cert, "servercert.pem")},
		{"key_file", file(o.Key, "serverkey.pem")}, {"crl_file", crl}} {
		if f[1] != "" {
			settings = append(settings, [2]string{f[0], quote(f[1])})
		}
	}
	return settings
}

func quote(s string) string { return `"` + s + `"` }

// setting looks a scalar up in a configuration; the first of several counts, as for libvirt.
func setting(conf, key string) string {
	m := regexp.MustCompile(`(?m)^\s*` + key + `\s*=\s*["']?([^"'\n#]*?)["']?\s*(?:#.*)?$`).FindStringSubmatch(conf)
	if m == nil {
		return ""
	}
	return m[1]
}

// await waits until the daemon answers on its admin socket, which it does only when its event loop runs: neither a
// socket file nor an open port proves that it will serve (own certificates are checked between the two).
func (d *Libvirtd) await(t testing.TB) {
	t.Helper()
	begin := time.Now()
	d.Ready = within(20*time.Second, func() bool {
		if exit, ended := d.process.Wait(0); ended {
			d.Exit = exit
			return true
		}
		if d.admin == "" {
			_, err := os.Stat(d.Socket)
			return err == nil && time.Since(begin) > time.Second
		}
		admin := d.admin
		if d.place.Machine != nil {
			admin = d.place.Machine.Path(admin)
		}
		if _, err := os.Stat(admin); err != nil {
			return false
		}
		return d.Admin(t, "srv-list").Exit == 0
	}) && d.Exit == -1
}

// MustBeReady fails the test if the daemon did not come up, and gives the daemon.
func (d *Libvirtd) MustBeReady(t testing.TB) *Libvirtd {
	t.Helper()
	if !d.Ready {
		t.Fatalf("libvirtd did not start, exit status %d:\n%s", d.Exit, d.Log())
	}
	return d
}

// Admin runs virt-admin against the daemon ("server-update-tls", "libvirtd").
func (d *Libvirtd) Admin(t testing.TB, args ...string) Result {
	t.Helper()
	p := Place{Machine: d.place.Machine, User: d.place.User, Home: d.place.Home, Timeout: 3 * time.Second}
	uri := "libvirtd:///" + d.mode + "?socket=" + d.admin
	return p.Run(t, append([]string{"virt-admin", "-c", uri}, args...)...)
}

// URI is the URI of the daemon's test driver over TLS, with parameters ("pkipath=/tmp/x", "no_verify=1"), which must be
// escaped already.
func (d *Libvirtd) URI(params ...string) string {
	return d.URIFor(d.Addr, params...)
}

// URIFor is as URI, with another name for the host.
func (d *Libvirtd) URIFor(host string, params ...string) string {
	uri := "test+tls://" + net.JoinHostPort(host, strconv.Itoa(d.Port)) + "/default"
	if len(params) > 0 {
		uri += "?" + strings.Join(params, "&")
	}
	return uri
}

// Log is what the daemon has logged so far.
func (d *Libvirtd) Log() string { return d.process.Log() }

// WaitLog waits until text stands in the log, and reports whether it does.
func (d *Libvirtd) WaitLog(text string, limit time.Duration) bool {
	return d.process.WaitLog(text, limit)
}

// logLine is a line of libvirt's log: time, thread, priority, function and line, text.
var logLine = regexp.MustCompile(`^\S+ \S+: \d+: (?:debug|info|warning|error) : (?:\w+:\d+ : )?(.*)$`)

// Messages are those of the daemon's log, see the function of that name.
func (d *Libvirtd) Messages() []string { return Messages(d.Log()) }

// Messages are the texts of a libvirt log (a daemon's, or what virsh wrote to standard error) without time, thread and
// function, which vary: one a line, in order. The two lines in which libvirt names its version and the host are left out.
func Messages(log string) []string {
	var texts []string
	for _, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		if m := logLine.FindStringSubmatch(line); m != nil {
			line = m[1]
		}
		if strings.HasPrefix(line, "libvirt version: ") || strings.HasPrefix(line, "hostname: ") || line == "" {
			continue
		}
		texts = append(texts, line)
	}
	return texts
}

// Pid is the daemon's process id.
func (d *Libvirtd) Pid() int { return d.process.Pid() }

// Wait waits for the daemon to end by itself, see Process.Wait.
func (d *Libvirtd) Wait(limit time.Duration) (exit int, ok bool) { return d.process.Wait(limit) }

// Stop ends the daemon before the test ends, and gives its exit status.
func (d *Libvirtd) Stop() int {
	d.Ready = false
	return d.process.Stop()
}
