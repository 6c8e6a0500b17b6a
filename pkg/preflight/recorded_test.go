package preflight

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A scenario is one line of testdata/recorded/scenarios.jsonl.
type scenario struct {
	ID, Creds, RawConf, URI, User string
	Conf, Env                     []string
	DaemonEnv                     []string `json:"daemon_env"`
	Verdict                       finding.Outcome
	Daemon                        string
	Log                           []string
	Message                       string
	DaemonLog                     []string `json:"daemon_log"`
	Versions                      []struct {
		Client, Daemon string
		Verdict        finding.Outcome
		State          string
		Log            []string
		Message        string
		DaemonLog      []string `json:"daemon_log"`
	}
}

// expected is what is recorded for one pair of versions.
type expected struct {
	verdict   finding.Outcome
	started   bool
	log       []string
	message   string
	daemonLog []string
}

func (s scenario) expected(client, daemon string) expected {
	for _, v := range s.Versions {
		if v.Client == client && v.Daemon == daemon {
			return expected{v.Verdict, v.State == "started", v.Log, v.Message, v.DaemonLog}
		}
	}
	return expected{s.Verdict, s.Daemon == "started", s.Log, s.Message, s.DaemonLog}
}

// differences are the scenarios whose recorded result cannot be told from configuration and files, with the reason.
var differences = map[string]string{
	"uri-name-driver-not-loaded":         "the daemon's environment keeps it from its drivers (LIBVIRT_DRIVER_DIR)",
	"uri-remote-scheme":                  "the daemon's environment keeps it from its drivers (LIBVIRT_DRIVER_DIR)",
	"auth-tls-sasl-user-list":            "the daemon's environment names another SASL configuration (SASL_CONF_PATH)",
	"auth-tls-sasl-no-client-cert":       "the daemon's environment names another SASL configuration (SASL_CONF_PATH)",
	"auth-tls-sasl-plain-no-credentials": "the daemon's environment names another SASL configuration (SASL_CONF_PATH)",
}

// races are the scenarios of which virsh has two texts, with the rarer one: a daemon that drops the connection at once may
// be noticed before or after virsh has written.
var races = map[string]string{"prio-server-invalid": "authentication failed: TLS handshake failed Error in the pull function."}

func scenarios(t testing.TB) []scenario {
	t.Helper()
	f, err := os.Open("testdata/recorded/scenarios.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []scenario
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s scenario
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// workshop makes credentials; scenarios with the same ones share a directory.
type workshop struct {
	t    testing.TB
	base string
	mu   sync.Mutex
	made map[string]*sync.Once
}

func newWorkshop(t testing.TB) *workshop {
	t.Helper()
	peer.Need(t, "bash", "certtool", "openssl")
	w := &workshop{t: t, base: peer.Dir(t), made: map[string]*sync.Once{}}
	if err := os.Mkdir(filepath.Join(w.base, "keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// dir gives the directory of a scenario's credentials. What the script puts into /etc goes below its directory root.
func (w *workshop) dir(s scenario) (string, error) {
	dir := filepath.Join(w.base, fmt.Sprintf("%x", sha256.Sum256([]byte(s.Creds)))[:12])
	w.mu.Lock()
	once, ok := w.made[dir]
	if !ok {
		once = &sync.Once{}
		w.made[dir] = once
	}
	w.mu.Unlock()
	var failure error
	once.Do(func() {
		for _, d := range []string{"ca", "server/libvirtd-" + tlsPort, "client", "home/.config/libvirt", "home/run", "root/etc/sasl2", "root/etc/pki/CA", "root/etc/pki/libvirt/private"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				failure = err
				return
			}
		}
		if failure = os.WriteFile(filepath.Join(dir, "root/etc/sasl2/libvirt.conf"), []byte("mech_list: gssapi\n"), 0o644); failure != nil {
			return
		}
		library, err := filepath.Abs("testdata/recorded/credentials.sh")
		if err != nil {
			failure = err
			return
		}
		script := strings.NewReplacer("{dir}", dir, "/etc/", dir+"/root/etc/", "{port}", tlsPort, "{tcpport}", tcpPort).Replace(s.Creds)
		cmd := exec.Command("bash", "-c", "set -e; umask 022; . "+library+"\n"+script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "KEYS="+filepath.Join(w.base, "keys"))
		if out, err := cmd.CombinedOutput(); err != nil {
			failure = fmt.Errorf("making credentials: %w: %s", err, out)
		}
	})
	return dir, failure
}

const tlsPort, tcpPort = "20114", "20109"

// standard are the lines of libvirtd.conf with which the scenarios were recorded, where they do not say otherwise.
func standard(s scenario, dir string, root bool) []string {
	addr := "127.0.0.1"
	for _, e := range s.DaemonEnv {
		if v, ok := strings.CutPrefix(e, "LISTEN_ADDR="); ok {
			addr = v
		}
	}
	lines := []string{"listen_tls = 1", "listen_tcp = 0", fmt.Sprintf("listen_addr = %q", addr), `tls_port = "{port}"`,
		`ca_file = "{dir}/server/cacert.pem"`, `cert_file = "{dir}/server/servercert.pem"`, `key_file = "{dir}/server/serverkey.pem"`}
	if _, err := os.Stat(filepath.Join(dir, "server/cacrl.pem")); err == nil {
		lines = append(lines, `crl_file = "{dir}/server/cacrl.pem"`)
	}
	if root {
		lines = append(lines, `unix_sock_dir = "{run}"`)
	}
	return append(lines, `auth_unix_ro = "none"`, `auth_unix_rw = "none"`, `auth_tcp = "none"`, `auth_tls = "none"`, `log_outputs = "3:stderr"`)
}

// configuration gives the scenario's libvirtd.conf.
func configuration(s scenario, dir string, fill func(string) string) string {
	if s.RawConf != "" {
		return fill(s.RawConf)
	}
	var out []string
	dropped := map[string]bool{}
	for _, line := range s.Conf {
		if key, ok := strings.CutPrefix(line, "-"); ok {
			dropped[key] = true
			continue
		}
		key, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		dropped[strings.TrimSpace(key)] = true
		out = append(out, line)
	}
	for _, line := range standard(s, dir, s.User == "") {
		key, _, _ := strings.Cut(line, " ")
		if !dropped[key] {
			out = append(out, line)
		}
	}
	return fill(strings.Join(out, "\n") + "\n")
}

// hosts resolves names as the recorded machine did: localhost, and what the scenario puts into /etc/hosts.
type hosts map[string][]netip.Addr

func (h hosts) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a := h[strings.ToLower(host)]; a != nil {
		return a, nil
	}
	if strings.HasSuffix(host, ".invalid") {
		return nil, &net.DNSError{Err: "temporary", Name: host, IsTemporary: true}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func hostsOf(dir string) hosts {
	h := hosts{"localhost": {netip.MustParseAddr("127.0.0.1")}}
	text, err := os.ReadFile(filepath.Join(dir, "root/etc/hosts"))
	if err != nil {
		return h
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		for i, name := range fields {
			if a, err := netip.ParseAddr(fields[0]); err == nil && i > 0 && !slices.Contains(h[name], a) {
				h[name] = append(h[name], a)
			}
		}
	}
	return h
}

// predict runs one scenario for a pair of versions.
func predict(t testing.TB, s scenario, dir string, client, daemon verify.Version, memory *verify.Memory) (*Server, Connection) {
	t.Helper()
	run := filepath.Join(dir, "server/libvirtd-"+tlsPort)
	fill := strings.NewReplacer("{dir}", dir, "{port}", tlsPort, "{tcpport}", tcpPort, "{run}", run).Replace
	read := func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, "client", name) // virsh was run there
		} else if strings.HasPrefix(name, "/etc/") {
			name = filepath.Join(dir, "root", name)
		}
		if st, err := os.Stat(name); err == nil && s.User != "" && st.Mode().Perm()&0o400 == 0 {
			return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EACCES} // the test may be root's
		}
		return os.ReadFile(name)
	}
	exists := func(name string) bool {
		if strings.HasPrefix(name, "/usr/") || strings.HasPrefix(name, "/run/") {
			return name == "/usr/lib/sasl2" // the recorded machine had no mechanism of its list, no drivers and no D-Bus
		}
		_, err := os.Stat(strings.Replace(name, "/etc/", dir+"/root/etc/", 1))
		return err == nil
	}
	m := Machine{Root: s.User == "", Home: dir + "/home", ConfigHome: dir + "/home/.config", RuntimeDir: dir + "/home/run", ReadFile: read, Exists: exists}
	now := time.Now()
	resolver := hostsOf(dir)
	own := func(a netip.Addr) bool { return a.IsLoopback() }
	d := Daemon{Machine: m, Kind: conf.Libvirtd, Conf: []byte(configuration(s, dir, fill)), ConfFile: run + "/libvirtd.conf",
		Run: conf.Run{Listen: !slices.Contains(s.DaemonEnv, "NO_LISTEN=1"), GroupExists: func(g string) bool { return g != "nosuchgroup" }},
		At:  now, Memory: memory, Resolver: resolver, Own: own}
	d.Libvirt = daemon
	server := d.Start(t.Context())
	o := uri.Options{}
	for _, e := range s.Env {
		if v, ok := strings.CutPrefix(e, "LIBVIRT_DEFAULT_URI="); ok {
			o.Default = fill(v)
		}
	}
	c := Client{Machine: m, URI: o, At: now, Memory: memory, Resolver: resolver, SameMachine: true}
	c.Libvirt = client
	got, err := server.Connect(t.Context(), fill(s.URI), c)
	if err != nil {
		t.Fatal(err)
	}
	return server, got
}

// compare says how a prediction differs from what was recorded.
func compare(s scenario, dir string, want expected, server *Server, got Connection) []string {
	norm := strings.NewReplacer(dir, "{dir}", tlsPort, "{port}", tcpPort, "{tcpport}").Replace
	var out []string
	differ := func(what string, got, want any) {
		out = append(out, fmt.Sprintf("%s: predicted %q, recorded %q", what, got, want))
	}
	if server.Starts != want.started {
		differ("the daemon starts", fmt.Sprint(server.Starts), fmt.Sprint(want.started))
	}
	if !server.Starts && !want.started && !slices.ContainsFunc(want.log, func(l string) bool {
		return strings.Contains(l, norm(server.LibvirtMessage))
	}) {
		differ("the daemon's log", norm(server.LibvirtMessage), want.log)
	}
	if got.Outcome != want.verdict {
		differ("outcome", got.Outcome, want.verdict)
		return out
	}
	if norm(got.LibvirtMessage) != want.message && got.Outcome != finding.Connected && races[s.ID] != want.message {
		differ("virsh's message", norm(got.LibvirtMessage), want.message)
	}
	if got.Outcome == finding.ServerRejectsClient && !slices.Contains(want.daemonLog, norm(got.DaemonMessage)) {
		differ("the daemon's log about the client", norm(got.DaemonMessage), want.daemonLog)
	}
	if (got.Cause == "") != (got.Outcome == finding.Connected) {
		differ("cause", got.Cause, got.Outcome)
	}
	return out
}

// TestPredictionsEqualWhatRealDaemonsAndClientsDid compares outcome and messages with every recorded scenario, for three
// versions of libvirt on both ends and two mixtures.
func TestPredictionsEqualWhatRealDaemonsAndClientsDid(t *testing.T) {
	w := newWorkshop(t)
	memory := &verify.Memory{}
	all := scenarios(t)
	if len(all) < 250 {
		t.Fatalf("only %d scenarios", len(all))
	}
	pairs := []struct {
		client, daemon verify.Version
	}{{verify.V9_0, verify.V9_0}, {verify.V11_3, verify.V11_3}, {verify.V12_8, verify.V12_8}, {verify.V9_0, verify.V12_8}, {verify.V12_8, verify.V9_0}}
	mixed := func(s scenario) bool { // the classes that were recorded with different versions on the two ends
		for _, p := range []string{"alg-", "date-", "trust-", "crl-", "host-", "ca-", "bc-", "chain-", "dn-", "eku-", "ku-", "file-", "prio-", "rot-", "sw-"} {
			if strings.HasPrefix(s.ID, p) {
				return true
			}
		}
		return false
	}
	for i, s := range all {
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			dir, err := w.dir(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				if p.client != p.daemon && !mixed(s) {
					continue
				}
				server, got := predict(t, s, dir, p.client, p.daemon, memory)
				problems := compare(s, dir, s.expected(p.client.String(), p.daemon.String()), server, got)
				why, known := differences[s.ID]
				switch {
				case known && len(problems) == 0 && p.client == verify.V9_0 && p.daemon == verify.V9_0 && len(got.Unchecked) == 0:
					t.Errorf("listed as a difference (%s), and there is none", why)
				case !known:
					for _, d := range problems {
						t.Errorf("libvirt %s to %s: %s", p.client, p.daemon, d)
					}
				}
			}
		})
	}
}

// TestRealDaemonsAgree runs a sample of the scenarios again with the installed libvirtd and virsh.
func TestRealDaemonsAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("starts daemons")
	}
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	w := newWorkshop(t)
	const every, limit = 23, 40 * time.Second
	begun, done := time.Now(), 0
	for i, s := range scenarios(t) {
		_, known := differences[s.ID]
		if i%every != 0 || known || s.User != "" || s.RawConf != "" || s.Env != nil || s.DaemonEnv != nil || strings.Contains(s.Creds, "/etc/") {
			continue
		}
		if time.Since(begun) > limit {
			break
		}
		t.Run(s.ID, func(t *testing.T) {
			dir, err := w.dir(s)
			if err != nil {
				t.Fatal(err)
			}
			port := peer.FreePort(t, "127.0.0.1")
			fill := strings.NewReplacer("{dir}", dir, "{port}", fmt.Sprint(port), "{tcpport}", fmt.Sprint(peer.FreePort(t, "127.0.0.1")))
			var lines []string
			for _, l := range s.Conf {
				lines = append(lines, fill.Replace(l))
			}
			d := peer.Start(t, peer.Options{Dir: filepath.Join(dir, "server"), Conf: lines, Port: port})
			server, got := predict(t, s, dir, verify.V9_0, verify.V9_0, &verify.Memory{})
			if d.Ready != server.Starts {
				t.Fatalf("predicted that the daemon starts: %v; it did: %v\n%s", server.Starts, d.Ready, d.Log())
			}
			norm := strings.NewReplacer(tlsPort, fmt.Sprint(port)).Replace
			if !d.Ready && !strings.Contains(d.Log(), server.LibvirtMessage) {
				t.Errorf("predicted log %q, real:\n%s", server.LibvirtMessage, d.Log())
			}
			text := fill.Replace(s.URI)
			r := peer.Virsh(t, text, "hostname")
			if (r.Exit == 0) != (got.Outcome == finding.Connected) {
				t.Errorf("%s: predicted %s, virsh ended with %d: %s", text, got.Outcome, r.Exit, r.Stderr)
			}
			if got.LibvirtMessage != "" && !strings.Contains(r.Stderr, norm(got.LibvirtMessage)) {
				t.Errorf("%s: predicted %q, virsh said %q", text, norm(got.LibvirtMessage), r.Stderr)
			}
		})
		done++
	}
	if done < 5 {
		t.Errorf("only %d scenarios were run", done)
	}
}

// TestScenariosCanBeRead keeps the data honest where nothing else can be run.
func TestScenariosCanBeRead(t *testing.T) {
	known := map[finding.Outcome]bool{}
	for _, o := range finding.Outcomes() {
		known[o] = true
	}
	ids := map[string]bool{}
	for _, s := range scenarios(t) {
		if ids[s.ID] || !known[s.Verdict] || s.Creds == "" {
			t.Errorf("%s: twice, without credentials, or with an unknown verdict %q", s.ID, s.Verdict)
		}
		ids[s.ID] = true
	}
	for id := range differences {
		if !ids[id] {
			t.Errorf("%s is listed as a difference and does not exist", id)
		}
	}
	if b, err := os.ReadFile("testdata/recorded/README.md"); err != nil || !bytes.Contains(b, []byte("libvirt 9.0.0")) {
		t.Error("the origin of the recordings is not told")
	}
}
