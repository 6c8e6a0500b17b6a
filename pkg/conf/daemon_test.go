package conf

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// Recorded from libvirtd 9.0.0 (Debian 12), 11.3.0 (Debian 13) and 12.8.0 (sid).
func TestDaemonsEndWithTheRecordedMessage(t *testing.T) {
	listen := Run{Listen: true}
	at := func(r Release) Run { return Run{Listen: true, Libvirt: r} }
	load := func(m string) string { return "1 Can't load config file: " + m + ": F" }
	for _, c := range []struct {
		name, src string
		run       Run
		want      string
	}{
		{"nothing set", "", listen, ""},
		{"the first in libvirt's order, not the file's", "ovs_timeout=\"x\"\nlisten_tls=2\nlisten_tcp=2\n", listen,
			load("internal error: F: value for 'listen_tcp' parameter must be 0 or 1")},
		{"loading goes before everything", "host_uuid=\"x\"\nlog_level=9\nkeepalive_count=-1\n", listen,
			load("internal error: F: expected an unsigned integer for 'keepalive_count' parameter")},
		{"then the UUID", "log_level=9\nhost_uuid=\"x\"\n", listen, "1 invalid host UUID: x|Can't setup host uuid"},
		{"then logging", "access_drivers=[\"x\"]\nlog_filters=\"9:x\"\n", listen,
			"1 libvirt:  error : invalid argument: Invalid priority '9' for filter '9:x'"},
		{"then access", "max_clients=1\naccess_drivers=[\"x\"]\n", listen,
			"1 internal error: Cannot find security driver 'x'|Can't initialize access manager"},
		{"then limits", "unix_sock_ro_perms=\"x\"\nmax_clients=1\n", listen,
			"3 internal error: The overall maximum number of clients must not be less than the number of clients waiting for authentication"},
		{"then modes", "ca_file=\"x\"\nunix_sock_rw_perms=\"rwx\"\n", listen, "6 Failed to parse mode 'rwx'"},
		{"CA alone", "ca_file=\"/x\"\n", listen, "6 unsupported configuration: No server certificate path set to match server key"},
		{"CA alone, not listening", "ca_file=\"/x\"\n", Run{}, ""},
		{"CA alone, sockets passed without TLS", "ca_file=\"/x\"\n", Run{SocketActivated: true}, ""},
		{"CA alone, TLS socket passed", "ca_file=\"/x\"\n", Run{SocketActivated: true, TLSSocket: true},
			"6 unsupported configuration: No server certificate path set to match server key"},
		{"certificate alone", "cert_file=\"/x\"\n", listen, "6 unsupported configuration: No CA certificate path set to match server key/cert"},
		{"no key", "ca_file=\"/x\"\ncert_file=\"/y\"\n", listen, "6 unsupported configuration: No server key path set to match server cert"},
		{"no key, 11.3", "ca_file=\"/x\"\ncert_file=\"/y\"\n", at(Release11_3), "6 unsupported configuration: No server key path set to match server cert"},
		{"CA alone, 12.8", "ca_file=\"/x\"\n", at(Release12_8),
			"6 unsupported configuration: No server certificate path(s) set to match server key(s)"},
		{"no key, 12.8", "ca_file=\"/x\"\ncert_file=\"/y\"\n", at(Release12_8),
			load("unsupported configuration: Number of certificates (1) must match number of keys (0)")},
		{"no certificate, 12.8", "ca_file=\"/x\"\nkey_file=\"/y\"\n", at(Release12_8),
			load("unsupported configuration: Number of certificates (0) must match number of keys (1)")},
		{"no CA, 12.8", "cert_file=\"/x\"\nkey_file=\"/y\"\n", at(Release12_8),
			"6 unsupported configuration: No CA certificate path set to match server key(s)/cert(s)"},
		{"one and several, 12.8", "ca_file=\"/x\"\ncert_file=\"/x\"\ncert_files=[]\nkey_file=\"/y\"\n", at(Release12_8),
			load("unsupported configuration: cert_file/key_file are mutually exclusive with cert_files/key_files")},
		{"one certificate and several keys, 12.8", "ca_file=\"/x\"\ncert_file=\"/x\"\nkey_files=[\"/y\"]\n", at(Release12_8), ""},
		{"a bare string, 12.8", "ca_file=\"/x\"\ncert_files=\"/x\"\nkey_files=\"/y\"\n", at(Release12_8),
			load("internal error: F: expected a string list for 'key_files' parameter")},
		{"lists for one, 12.8", "ca_file=\"/x\"\ncert_file=[\"/x\"]\nkey_file=[\"/y\"]\n", at(Release12_8),
			load("internal error: F: expected a string for 'key_file' parameter")},
		{"no identity at all, 12.8", "ca_file=\"/x\"\ncert_files=[]\nkey_files=[]\n", at(Release12_8), ""},
		{"several, 9.0", "ca_file=\"/x\"\ncert_files=[\"/x\"]\nkey_files=[\"/y\"]\n", listen,
			"6 unsupported configuration: No server certificate path set to match server key"},
		{"a group that is not there", "unix_sock_group=\"nosuch\"\n", Run{GroupExists: func(string) bool { return false }},
			"6 invalid argument: Failed to parse group 'nosuch'"},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := ""
		if _, err := ReadDaemon(f, Libvirtd, c.run); err != nil {
			r := err.(Refusal)
			got = fmt.Sprintf("%d %s", r.ExitStatus(), strings.Join(r.LogLines(), "|"))
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// Settings that do not go together are found only by a daemon that listens: none of these comes to serve, for want of
// certificates.
func TestLibvirtdJudgesTLSFilesAlike(t *testing.T) {
	peer.Need(t, "libvirtd")
	dir := peer.Dir(t)
	for i, keys := range []string{"ca", "cert", "key", "ca cert", "ca key", "cert key"} {
		src := fmt.Sprintf("unix_sock_dir = \"%s\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\ntls_port = \"0\"\nlisten_addr = \"127.0.0.1\"\n", dir)
		for _, k := range strings.Fields(keys) {
			src += fmt.Sprintf("%s_file = \"/nonexistent/%s.pem\"\n", k, k)
		}
		file := filepath.Join(dir, fmt.Sprintf("%d.conf", i))
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		run := runHere()
		run.Listen = true
		wantExit, want := predict([]byte(src), file, Libvirtd, run)
		exit, got := libvirtd(t, dir, file, filepath.Join(dir, "pid"), "--listen")
		if exit != wantExit || len(got) == 0 || !slices.Equal(got[len(got)-1:], want) {
			t.Errorf("%s: libvirtd %d %q, here %d %q", keys, exit, got, wantExit, want)
		}
	}
}

func TestClientMessagesAreThoseOfVirsh(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"uri_aliases=\"x\"", "internal error: F: expected a string list for 'uri_aliases' parameter"},
		{"uri_aliases=[1]", "configuration file syntax error: F: expected a string list for 'uri_aliases' parameter"},
		{"uri_aliases=[\"x\"]", "configuration file syntax error: Malformed 'uri_aliases' config entry 'x', expected 'alias=uri://host/path'"},
		{"uri_aliases=[\"la.b=x\"]", "configuration file syntax error: Malformed 'uri_aliases' config entry 'la.b=x', aliases may only contain 'a-Z, 0-9, _, -'"},
		{"uri_aliases=[\"=x\"]", ""},
		{"uri_default=1\nuri_aliases=1", "internal error: F: expected a string for 'uri_default' parameter|internal error: F: expected a string list for 'uri_aliases' parameter"},
		{"remote_mode=\"bogus\"", "invalid argument: Unknown remote mode 'bogus'"},
		{"remote_proxy=\"\"", "invalid argument: Unnkown proxy type ''"},
		{"tls_priority=1", "internal error: F: expected a string for 'tls_priority' parameter"},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range ReadClient(f, Client).Problems {
			got = append(got, p.Message)
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q, want %q", c.src, got, c.want)
		}
	}
}

// Recorded from the qemu driver of libvirt 9.0.0 (Debian 12).
func TestQEMUDriverMessages(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"default_tls_x509_cert_dir=\"/nosuch\"\nvnc_tls_x509_cert_dir=\"/n2\"", "configuration file syntax error: default_tls_x509_cert_dir directory '/nosuch' does not exist"},
		{"nbd_tls_x509_cert_dir=\"/n1\"\nbackup_tls_x509_cert_dir=\"/n2\"", "configuration file syntax error: backup_tls_x509_cert_dir directory '/n2' does not exist"},
		{"remote_display_port_min=1", "internal error: F: remote_display_port_min: port must be greater than or equal to 5900"},
		{"remote_display_port_max=70000", "internal error: F: remote_display_port_max: port must be between the minimal port and 65535"},
		{"migration_port_min=1\nmigration_port_max=0", "internal error: F: migration_port_max: port must be between the minimal port 1 and 65535"},
		{"max_core=\"x\"", "unsupported configuration: Unknown core size 'x'"},
		{"max_core=-1", "internal error: F: expected an unsigned integer for 'max_core' parameter"},
		{"hugetlbfs_mount=1", "internal error: F: expected a string or string list for 'hugetlbfs_mount' parameter"},
		{"namespaces=[\"x\"]\ncgroup_controllers=[\"y\"]", "configuration file syntax error: Unknown cgroup controller 'y'"},
		{"capability_filters=1\nuser=1\nvnc_tls=\"1\"", "internal error: F: expected a bool for 'vnc_tls' parameter"},
		{"default_tls_priority=1", ""},
	} {
		f, err := Parse([]byte(c.src), "F")
		if err != nil {
			t.Fatal(err)
		}
		_, err = ReadQEMU(f, Release{}, func(string) bool { return false })
		if errText(err) != c.want {
			t.Errorf("%s: %v, want %s", c.src, err, c.want)
		}
		var e *FatalError
		if errors.As(err, &e) && (e.Exit != 0 || len(e.LogLines()) != 3) {
			t.Errorf("%s: %d %q", c.src, e.Exit, e.LogLines())
		}
	}
}

func TestQEMUServices(t *testing.T) {
	f, err := Parse([]byte("default_tls_x509_cert_dir = \"/d\"\ndefault_tls_x509_secret_uuid = \"u\"\nvnc_tls = 1\nnbd_tls_x509_cert_dir = \"/n\"\n"), "F")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ReadQEMU(f, Release{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	standard := func(dir string) bool { return dir == "/etc/pki/libvirt-vnc" }
	for name, want := range map[string]string{"vnc": "/etc/pki/libvirt-vnc true false u", "spice": "/d false true u", "nbd": "/n false true "} {
		s, _ := c.Service(name)
		if got := fmt.Sprint(c.Dir(s, standard), " ", s.Enabled, " ", s.Verify, " ", s.SecretUUID); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestEffectiveTellsValueAndOrigin(t *testing.T) {
	f, err := Parse([]byte("tls_port = '1'\ntls_port = '2'\ncrl_file = \"/c\"\nauth_unix_rw = \"none\"\n"), "F")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind Kind
		run  Run
		want []string
	}{
		{Libvirtd, Run{Listen: true}, []string{`listen_tls 1 default `, `tls_port '1' F:1 `, `unix_sock_rw_perms "0777" default `,
			`auth_unix_rw "none" F:4 `, `auth_unix_ro "polkit" default `, `crl_file "/c" F:3 used only together with ca_file, cert_file and key_file`}},
		{Virtproxyd, Run{Session: true}, []string{`listen_tls 0 default `, `unix_sock_rw_perms "0700" default `, `auth_unix_ro "none" default `}},
		{Libvirtd, Run{}, []string{`listen_tls 1 default libvirtd runs without --listen`}},
		{Libvirtd, Run{SocketActivated: true}, []string{`tls_port '1' F:1 systemd passes the sockets; the .socket units decide`}},
	} {
		var got []string
		for _, e := range f.Effective(c.kind, c.run) {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Key, e.Value, e.Origin, e.Unused))
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%v %+v: no %q in\n%s", c.kind, c.run, w, strings.Join(got, "\n"))
			}
		}
	}
}

func TestRecordedDaemonsComeUpAsPredicted(t *testing.T) {
	b, err := os.ReadFile("testdata/daemon.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var c struct {
			ID, Conf string
			Exit     int
			Log      []string
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		run := Run{Listen: true, GroupExists: func(name string) bool { return name != "nosuchgroup" }}
		exit, log := predict([]byte(c.Conf), "F", Libvirtd, run)
		if c.Exit == ExitNetwork && exit == 0 && strings.Contains(strings.Join(c.Log, ""), "{dir}") {
			continue // what the files hold is not this package's business
		}
		seen++
		if exit != c.Exit || exit != 0 && log[len(log)-1] != c.Log[len(c.Log)-1] {
			t.Errorf("%s: predicted %d %q, recorded %d %q\n%s", c.ID, exit, log, c.Exit, c.Log, c.Conf)
		}
	}
	if seen < 80 {
		t.Errorf("only %d", seen)
	}
}
