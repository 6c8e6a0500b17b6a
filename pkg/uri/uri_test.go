package uri

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

func ptr[T any](v T) *T { return &v }

// latin1 turns the vectors' spelling of bytes back into bytes.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func TestReferencesAreTakenApartAsLibvirtDoes(t *testing.T) {
	f, err := os.Open("testdata/reference.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); n++ {
		var v struct {
			URI  string
			Want *struct {
				Scheme, Server, User  *string
				Port                  int
				Path, Query, Fragment *string
				Params                [][2]string
				Format                string
				FormatParams          *string
			}
		}
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		text := latin1(v.URI)
		r, err := ParseReference(text)
		if v.Want == nil {
			if err == nil {
				t.Errorf("%q is accepted, libvirt refuses it", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q is refused, libvirt accepts it", text)
			continue
		}
		w := v.Want
		part := func(p *string) string {
			if p == nil {
				return "none"
			}
			return fmt.Sprintf("%q", latin1(*p))
		}
		ours := func(p *string) string {
			if p == nil {
				return "none"
			}
			return fmt.Sprintf("%q", *p)
		}
		scheme := &r.Scheme
		if r.Scheme == "" {
			scheme = nil
		}
		params := ptr(formatParams(r.Params))
		if len(r.Params) == 0 {
			params = nil
		}
		got := []any{ours(scheme), ours(r.Server), ours(r.User), r.Port, ours(r.Path), ours(r.Query), ours(r.Fragment), ours(params), r.String()}
		want := []any{part(w.Scheme), part(w.Server), part(w.User), w.Port, part(w.Path), part(w.Query), part(w.Fragment), part(w.FormatParams), latin1(w.Format)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -libvirt +ours\n%s", text, diff)
		}
		if len(r.Params) != len(w.Params) {
			t.Errorf("%q: %d parameters, libvirt has %d", text, len(r.Params), len(w.Params))
			continue
		}
		for i, p := range w.Params {
			if r.Params[i] != (Param{latin1(p[0]), latin1(p[1])}) {
				t.Errorf("%q: parameter %d is %q, libvirt has %q", text, i, r.Params[i], p)
			}
		}
	}
	if n < 250 {
		t.Fatalf("%d vectors, want at least 250", n)
	}
}

func mustParse(t *testing.T, text string, o Options) URI {
	t.Helper()
	u, err := Parse(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestFilesFollowTheCallerAndPkipath(t *testing.T) {
	home := map[string]bool{"/home/u/.pki/libvirt/cacert.pem": true, "/home/u/.pki/libvirt/clientkey.pem": true}
	whole := map[string]bool{"/home/u/.pki/libvirt/clientcert.pem": true, "/home/u/.pki/libvirt/clientkey.pem": true}
	in := func(m map[string]bool) func(string) bool { return func(p string) bool { return m[p] } }
	system := Chosen{"/etc/pki/CA/cacert.pem", "/etc/pki/CA/cacrl.pem", "/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"}
	half := system
	half.CA = "/home/u/.pki/libvirt/cacert.pem"
	pair := system
	pair.Cert, pair.Key = "/home/u/.pki/libvirt/clientcert.pem", "/home/u/.pki/libvirt/clientkey.pem"
	for _, c := range []struct {
		name, uri string
		root      bool
		exists    func(string) bool
		want      Chosen
	}{
		{"root has the system's only", "qemu://h/system", true, in(home), system},
		{"a user without own files has the system's", "qemu://h/system", false, nil, system},
		{"half a pair is passed over, the CA counts on its own", "qemu://h/system", false, in(home), half},
		{"a whole pair is taken", "qemu://h/system", false, in(whole), pair},
		{"pkipath is flat and has no fallback", "qemu://h/system?pkipath=/p", false, in(whole),
			Chosen{"/p/cacert.pem", "/p/cacrl.pem", "/p/clientcert.pem", "/p/clientkey.pem"}},
		{"a slash at the end is kept", "qemu://h/system?pkipath=/p/", true, nil,
			Chosen{"/p//cacert.pem", "/p//cacrl.pem", "/p//clientcert.pem", "/p//clientkey.pem"}},
		{"an empty pkipath is the root directory", "qemu://h/system?pkipath=", true, nil,
			Chosen{"/cacert.pem", "/cacrl.pem", "/clientcert.pem", "/clientkey.pem"}},
	} {
		f, ok := mustParse(t, c.uri, Options{Root: c.root, Home: "/home/u"}).Files()
		if got := f.Choose(c.exists); !ok || got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if _, ok := mustParse(t, "qemu+ssh://h/system", Options{}).Files(); ok {
		t.Error("ssh has credential files")
	}
}

func TestSocketsAreChosenByModeUserAndPresence(t *testing.T) {
	there := func(paths ...string) func(string) bool {
		return func(p string) bool { return contains(paths, p) }
	}
	for _, c := range []struct {
		name, uri string
		o         Options
		exists    func(string) bool
		want      string
	}{
		{"nothing is there: the old daemon's", "qemu:///system", Options{Root: true}, nil, "/var/run/libvirt/libvirt-sock"},
		{"nothing is there, built for modular daemons", "qemu:///system", Options{Root: true, DirectDefault: true}, nil, "/var/run/libvirt/virtqemud-sock"},
		{"the modular daemon's is there", "qemu:///system", Options{Root: true},
			there("/var/run/libvirt/virtqemud-sock", "/var/run/libvirt/libvirt-sock"), "/var/run/libvirt/virtqemud-sock"},
		{"only the old daemon's is there", "qemu:///system", Options{Root: true, DirectDefault: true}, there("/var/run/libvirt/libvirt-sock"), "/var/run/libvirt/libvirt-sock"},
		{"mode=legacy does not look", "qemu:///system?mode=legacy", Options{Root: true}, there("/var/run/libvirt/virtqemud-sock"), "/var/run/libvirt/libvirt-sock"},
		{"read-only has a socket of its own", "qemu:///system", Options{ReadOnly: true}, nil, "/var/run/libvirt/libvirt-sock-ro"},
		{"a session is in the user's runtime directory, read-only too", "qemu:///session", Options{RuntimeDir: "/run/user/7", ReadOnly: true}, nil, "/run/user/7/libvirt/libvirt-sock"},
		{"without a runtime directory it is the cache", "qemu:///session", Options{Home: "/home/u"}, nil, "/home/u/.cache/libvirt/libvirt-sock"},
		{"root's session is the system's", "qemu:///session", Options{Root: true}, nil, "/var/run/libvirt/libvirt-sock"},
		{"no URI and a user: the user's", "", Options{RuntimeDir: "/r"}, nil, "/r/libvirt/libvirt-sock"},
		{"no URI and root", "", Options{Root: true}, nil, "/var/run/libvirt/libvirt-sock"},
		{"remote_mode of libvirt.conf", "xen:///system", Options{Root: true, Settings: Fixed{"remote_mode": {"direct"}}}, nil, "/var/run/libvirt/virtxend-sock"},
		{"the URI's mode goes before it", "xen:///system?mode=legacy", Options{Root: true, Settings: Fixed{"remote_mode": {"direct"}}}, nil, "/var/run/libvirt/libvirt-sock"},
		{"an abstract socket", "qemu:///system?socket=@x", Options{}, nil, "@x"},
	} {
		s, ok := mustParse(t, c.uri, c.o).Sockets()
		if got := s.Choose(c.exists); !ok || got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNewerVersionsTellVirtSSHHelperModeAndSocket(t *testing.T) {
	// Recorded from virsh 11.3.0 (Debian 13) and 12.8.0 (Debian sid).
	for uri, want := range map[string]string{
		"test+ssh://h/default?mode=legacy&socket=/s%20x&proxy=native&foo=1":           `sh -c 'virt-ssh-helper '''\''test:///default?mode=legacy&socket=%2Fs%20x&foo=1'\'''''`,
		"test+ssh://h/default?SOCKET=/s&MODE=auto&proxy=native&mode=legacy&netcatx=1": `sh -c 'virt-ssh-helper '''\''test:///default?SOCKET=%2Fs&MODE=auto&mode=legacy&netcatx=1'\'''''`,
		"test+ssh://h/default?name=foo:///x&mode=direct&socket=/s&proxy=native":       `sh -c 'virt-ssh-helper 'foo:///x''`,
		"remote+ssh://h/default?mode=legacy&socket=/x&proxy=native":                   `sh -c 'virt-ssh-helper '''\'''\'''''`,
		"test+libssh2://h/default?socket=/x&proxy=native":                             `sh -c 'virt-ssh-helper '''\''test:///default?socket=%2Fx'\'''''`,
	} {
		u := mustParse(t, uri, Options{Root: true, Libvirt: Version{11, 3}})
		if got, _ := u.RemoteCommand(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", uri, got, want)
		}
		if strings.Contains(u.RemoteName(), "socket") || strings.Contains(u.RemoteName(), "mode") {
			t.Errorf("%s: the daemon is sent %s", uri, u.RemoteName())
		}
	}
}

func TestArgvIsExtsFrom12_5On(t *testing.T) {
	const text = "test+ext:///default?command=/c&argv=one&ARGV=two%20words&argv="
	u := mustParse(t, text, Options{Libvirt: Version{12, 8}})
	argv, _ := u.Argv()
	if diff := cmp.Diff([]string{"/c", "one", "two words", ""}, argv); diff != "" || u.RemoteName() != "test:///default" {
		t.Errorf("%s %s", diff, u.RemoteName())
	}
	u = mustParse(t, text, Options{Libvirt: Version{11, 3}})
	argv, _ = u.Argv()
	if diff := cmp.Diff([]string{"/c"}, argv); diff != "" || u.RemoteName() != "test:///default?argv=one&ARGV=two%20words&argv=" {
		t.Errorf("%s %s", diff, u.RemoteName())
	}
}

func TestLoginOfLibssh(t *testing.T) {
	exists := func(p string) bool { return p == "/home/u/.ssh/id_ed25519" || p == "/home/u/.ssh/id_rsa" }
	all := []string{"agent", "privkey", "password", "keyboard-interactive"}
	for _, c := range []struct {
		uri    string
		exists func(string) bool
		want   Login
	}{
		{"qemu+libssh://h/system", exists, Login{"root", []string{"/home/u/.ssh/id_ed25519"}, all, "/home/u/.config/libvirt/known_hosts", VerifyNormal}},
		{"qemu+libssh2://h/system", nil, Login{"root", nil, []string{"agent", "password", "keyboard-interactive"}, "/home/u/.config/libvirt/known_hosts", VerifyNormal}},
		{"qemu+libssh2://a@h/system?keyfile=/k&known_hosts=/root/.ssh/known_hosts&known_hosts_verify=AUTO", nil,
			Login{"a", []string{"/k"}, all, "/root/.ssh/known_hosts", VerifyAuto}},
		{"qemu+libssh://h/system?sshauth=PrivKey,agent&known_hosts_verify=ignore", nil,
			Login{"root", nil, []string{"privkey", "agent"}, "/home/u/.config/libvirt/known_hosts", VerifyIgnore}},
	} {
		got, ok := mustParse(t, c.uri, Options{Home: "/home/u"}).Login(c.exists)
		if diff := cmp.Diff(c.want, got); !ok || diff != "" {
			t.Errorf("%s: -want +got\n%s", c.uri, diff)
		}
	}
	if _, ok := mustParse(t, "qemu+ssh://h/system", Options{}).Login(nil); ok {
		t.Error("the ssh binary has a login of ours")
	}
}

func TestAliasesAndDefaults(t *testing.T) {
	conf := Fixed{"uri_aliases": {"hail=qemu+ssh://root@hail.cloud.example.com/system", "sleet=qemu+ssh://root@sleet.cloud.example.com/system",
		"=x", "a=hail", "bad", "never=test:///x"}}
	for _, c := range []struct {
		name, text string
		o          Options
		want       string // resolved, or the error
	}{
		{"an alias is replaced", "hail", Options{Settings: conf}, "qemu+ssh://root@hail.cloud.example.com/system"},
		{"the next one too", "sleet", Options{Settings: conf}, "qemu+ssh://root@sleet.cloud.example.com/system"},
		{"what it gives is not looked up again", "a", Options{Settings: conf}, "no connection driver available for URI 'a' does not include a driver name"},
		{"a malformed entry stops what stands behind it", "never", Options{Settings: conf},
			"configuration file syntax error: Malformed 'uri_aliases' config entry 'bad', expected 'alias=uri://host/path'"},
		{"and real URIs", "qemu:///system", Options{Settings: conf},
			"configuration file syntax error: Malformed 'uri_aliases' config entry 'bad', expected 'alias=uri://host/path'"},
		{"unless aliases are off", "qemu:///system", Options{Settings: conf, NoAliases: true}, "qemu:///system"},
		{"a character that is not allowed", "qemu:///system", Options{Settings: Fixed{"uri_aliases": {"la.b=test:///default"}}},
			"configuration file syntax error: Malformed 'uri_aliases' config entry 'la.b=test:///default', aliases may only contain 'a-Z, 0-9, _, -'"},
		{"case counts", "HAIL", Options{Settings: conf},
			"configuration file syntax error: Malformed 'uri_aliases' config entry 'bad', expected 'alias=uri://host/path'"},
		{"the environment's default", "", Options{Default: "test+tcp://h/default", Settings: Fixed{"uri_default": {"lxc:///"}}}, "test+tcp://h/default"},
		{"libvirt.conf's default", "", Options{Settings: Fixed{"uri_default": {"lxc:///"}}}, "lxc:///"},
		{"an alias as default", "", Options{Default: "hail", Settings: conf}, "qemu+ssh://root@hail.cloud.example.com/system"},
		{"no URI at all", "", Options{}, ""},
		{"a default without driver", "", Options{Default: "bogus"}, "no connection driver available for URI '(null)' does not include a driver name"},
		{"xen is a name only where the caller says it", "", Options{Default: "xen"}, "no connection driver available for URI '(null)' does not include a driver name"},
		{"xen", "Xen", Options{}, "xen:///system"},
	} {
		u, err := Parse(c.text, c.o)
		got := u.Resolved()
		var e *Error
		if errors.As(err, &e) {
			got = e.LibvirtMessage
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	u := mustParse(t, "hail", Options{Settings: conf})
	if of, ok := u.AliasOf(); !ok || of != "qemu+ssh://root@hail.cloud.example.com/system" || u.Text() != "hail" {
		t.Errorf("alias of %q, %v", of, ok)
	}
	if _, ok := mustParse(t, "lxc:///", Options{}).AliasOf(); ok {
		t.Error("a URI is said to be an alias")
	}
}

// wrongType is a libvirt.conf in which one setting has the wrong type.
type wrongType string

func (w wrongType) complaint(key, kind string) error {
	if key == string(w) {
		return fmt.Errorf("internal error: /c/libvirt.conf: expected a %s for '%s' parameter", kind, key)
	}
	return nil
}
func (w wrongType) String(key string) (string, bool, error) {
	return "", false, w.complaint(key, "string")
}
func (w wrongType) Strings(key string) ([]string, bool, error) {
	return nil, false, w.complaint(key, "string list")
}

func TestASettingOfWrongTypeStopsOnlyWhatNeedsIt(t *testing.T) {
	for _, c := range []struct {
		key, uri, want string
	}{
		{"uri_aliases", "qemu:///system", "string list"},
		{"uri_aliases", "", ""},
		{"uri_default", "", "string"},
		{"uri_default", "qemu:///system", ""},
		{"remote_mode", "test+tcp://h/", "string"},
		{"remote_mode", "test+tcp://h/?mode=auto", ""},
		{"remote_mode", "test:///default", ""},
		{"remote_proxy", "test+tls://h/", "string"},
		{"remote_proxy", "test+tls://h/?proxy=auto", ""},
		{"tls_priority", "test+tls://h/", "string"},
		{"tls_priority", "test+tls://h/?tls_priority=NORMAL", ""},
		{"tls_priority", "test+tcp://h/", ""},
	} {
		_, err := Parse(c.uri, Options{Settings: wrongType(c.key)})
		var e *Error
		if c.want == "" {
			if err != nil {
				t.Errorf("%s, %q: %v", c.key, c.uri, err)
			}
		} else if !errors.As(err, &e) || e.Outcome != finding.ClientConfError ||
			e.LibvirtMessage != "internal error: /c/libvirt.conf: expected a "+c.want+" for '"+c.key+"' parameter" {
			t.Errorf("%s, %q: %v", c.key, c.uri, err)
		}
	}
}

func TestPriorityOfURIGoesBeforeLibvirtConf(t *testing.T) {
	conf := Options{Settings: Fixed{"tls_priority": {"SECURE256"}}}
	for uri, want := range map[string]string{"test+tls://h/?tls_priority=NORMAL:%2BX:+Y": "NORMAL:+X:+Y", "test+tls://h/": "SECURE256", "test+tls://h/?tls_priority=": ""} {
		if got, ok := mustParse(t, uri, conf).Priority(); !ok || got != want {
			t.Errorf("%s: %q", uri, got)
		}
	}
	if _, ok := mustParse(t, "test+tcp://h/?tls_priority=NORMAL", conf).Priority(); ok {
		t.Error("tcp has a priority")
	}
}

// Every rule has a good and a bad sample: the bad one gives it, the good one does not.
func TestRulesAreToldByTheirSamples(t *testing.T) {
	found := func(sample, id string) bool {
		o := Options{Home: "/home/u"}
		text := sample
		switch {
		case strings.HasPrefix(sample, "uri_aliases = "):
			var list []string
			if err := json.Unmarshal([]byte(strings.TrimPrefix(sample, "uri_aliases = ")), &list); err != nil {
				t.Fatal(err)
			}
			text, o.Settings = "qemu:///system", Fixed{"uri_aliases": list}
		case sample == "remote_mode = 1":
			text, o.Settings = "qemu:///system", wrongType("remote_mode")
		case strings.HasPrefix(sample, "remote_mode = "):
			text, o.Settings = "qemu:///system", Fixed{"remote_mode": {"legacy"}}
		case id == "uri-read-only-session":
			o.ReadOnly = true
		}
		u, err := Parse(text, o)
		var e *Error
		if errors.As(err, &e) {
			if f := e.Finding(); f.Rule != e.Rule || f.Remedy == "" || len(e.Hints()) == 0 || f.Severity != finding.Error {
				t.Errorf("%s: finding %+v, hints %q", sample, f, e.Hints())
			}
			return e.Rule == id
		}
		for _, f := range u.Findings() {
			if f.Rule == id {
				return true
			}
		}
		return false
	}
	ids := map[string]bool{}
	for _, r := range Rules() {
		if ids[r.ID] || r.Title == "" || r.Text == "" || r.Source == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("rule %s is doubled or lacks something", r.ID)
		}
		ids[r.ID] = true
		if !found(r.Bad, r.ID) {
			t.Errorf("%s is not found in %q", r.ID, r.Bad)
		}
		if found(r.Good, r.ID) {
			t.Errorf("%s is found in %q", r.ID, r.Good)
		}
	}
	if _, err := finding.NewCatalogue(Rules()); err != nil {
		t.Error(err)
	}
}

func TestGoodURIsHaveNoFindings(t *testing.T) {
	for _, s := range []string{"qemu:///system", "qemu:///session", "qemu+ssh://rjones@towada/system", "xen://towada/system",
		"qemu+tls://[2001:db8::1]/system", "qemu+tls://[2001:db8::1]:16515/system?pkipath=/tmp/pki/client", "test+tls://h/default?tls_priority=NORMAL:-VERS-SSL3.0",
		"qemu+unix:///system?socket=/opt/libvirt/run/libvirt/libvirt-sock", "qemu+ssh://h/system?keyfile=/root/.ssh/example_key",
		"qemu+libssh2://user@host/system?known_hosts=/home/user/.ssh/known_hosts", "qemu+ssh://h/system?netcat=/opt/netcat/bin/nc",
		"qemu+libssh://user@host/system?sshauth=privkey,agent", "test+ext:///default?command=/opt/tunnel"} {
		if fs := mustParse(t, s, Options{}).Findings(); len(fs) > 0 {
			t.Errorf("%s: %+v", s, fs)
		}
	}
}

func TestParametersAreToldWithWhatTheyDo(t *testing.T) {
	messages := func(s string) string {
		var m []string
		for _, f := range mustParse(t, s, Options{}).Findings() {
			m = append(m, f.Rule+": "+f.Message)
		}
		return strings.Join(m, "\n")
	}
	for _, c := range []struct{ uri, want string }{
		{"qemu+libssh://u@h/system?no_verify=1", "uri-parameter-without-effect: no_verify does nothing for the transport libssh"},
		{"qemu+tls://h/system?pkipath=/a&PkiPath=/b", "uri-parameter-repeated: pkipath stands more than once: the last one wins"},
		{"qemu+tls://h/system?pki_path=/a", `uri-parameter-unknown: the remote driver does not know "pki_path" and sends it on to the daemon; is pkipath meant?`},
		{"qemu+tls://h/system?pkipat=/a", `uri-parameter-unknown: the remote driver does not know "pkipat" and sends it on to the daemon; is pkipath meant?`},
		{"qemu+tls://h/system?foo=/a", `uri-parameter-unknown: the remote driver does not know "foo" and sends it on to the daemon`},
		{"qemu+tls://h:99999/system", "uri-port-wraps: port 99999 is more than 65535: the C library connects to port 34463"},
		{"qemu+tls://:5/system", "uri-port-without-effect: a port without a host is dropped: localhost:16514 is used\n" +
			"uri-host-defaulted: no host is named: libvirt connects to localhost:16514"},
	} {
		if got := messages(c.uri); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.uri, got, c.want)
		}
	}
}

func TestHintsOfUnparsableURIs(t *testing.T) {
	for uri, want := range map[string]string{
		"test://h/?pkipath=/my client": "write the byte 0x20 at position 22 as %20",
		"test://h:/":                   `"" is no port number: leave the colon out, or write digits`,
		"test://h:x/":                  `"x" is no port number: leave the colon out, or write digits`,
		"test://h:99999999999/":        `"99999999999" is no port number: 1 to 65535`,
		"test://::1/":                  "put an IPv6 address in brackets: [::1]",
		"test://h/%zz":                 "write the % at position 10 as %25",
		"://h/":                        "begin with a driver: qemu://h/",
		"test://h/?x=[a]":              "write [ and ] as %5B and %5D, except around an IPv6 address",
	} {
		_, err := Parse(uri, Options{})
		var e *Error
		if !errors.As(err, &e) || len(e.Hints()) != 1 || e.Hints()[0] != want {
			t.Errorf("%s: %v %q, want %q", uri, err, e.Hints(), want)
		}
		if want := fmt.Sprintf("URI %q: internal error: Unable to parse URI %s", uri, uri); err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

func TestPortsAndHostsThatAreUsed(t *testing.T) {
	for _, c := range []struct {
		uri, host string
		port      int
		tcp       uint16
		address   string
	}{
		{"qemu://h/system", "h", 16514, 16514, "h:16514"},
		{"qemu+tcp://h:0/system", "h", 16509, 16509, "h:16509"},
		{"qemu+ssh://h/system", "h", 0, 0, "h:0"},
		{"qemu+libssh://h/system", "h", 22, 22, "h:22"},
		{"qemu+tls:///system", "localhost", 16514, 16514, "localhost:16514"},
		{"qemu+tls://[::1]:99999/system", "::1", 99999, 34463, "::1:99999"},
		{"qemu:///system", "", 0, 0, ":0"},
	} {
		u := mustParse(t, c.uri, Options{})
		if u.Host() != c.host || u.Port() != c.port || u.TCPPort() != c.tcp || u.Address() != c.address {
			t.Errorf("%s: %s %d %d %s", c.uri, u.Host(), u.Port(), u.TCPPort(), u.Address())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range strings.Split(virshURIs, "\n") {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, root bool) {
		r, err := ParseReference(text)
		if err != nil {
			if _, err := Parse(text, Options{Root: root}); err == nil && text != "" && !strings.EqualFold(text, "xen") && text != "xen://" {
				t.Fatalf("%q is no reference and yet a URI", text)
			}
			return
		}
		if survivesFormatting(r) {
			again, err := ParseReference(r.String())
			if diff := cmp.Diff(r, again); err != nil || diff != "" {
				t.Fatalf("%q formats as %q: %v\n%s", text, r.String(), err, diff)
			}
		}
		u, err := Parse(text, Options{Root: root, Libvirt: Version{12, 8}})
		if err != nil {
			return
		}
		u.Files()
		u.Sockets()
		u.Argv()
		u.Login(func(string) bool { return true })
	})
}

// survivesFormatting reports whether virURIFormat, which writes "//" always and the server as it is, loses nothing.
func survivesFormatting(r Reference) bool {
	if r.Scheme == "" || r.Path != nil && !strings.HasPrefix(*r.Path, "/") {
		return false
	}
	if r.User != nil && (*r.User == "" || strings.HasPrefix(*r.User, "@")) {
		return false
	}
	if r.Server == nil {
		return true
	}
	name := strings.Trim(lower(*r.Server), "abcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
	return *r.Server != "" && (name || strings.Trim(*r.Server, "0123456789abcdef:") == "")
}

func ExampleParse() {
	u, err := Parse("qemu://server7/system?no_verify=1&foo=bar", Options{Root: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(u.Driver(), u.Transport(), u.Address(), u.RemoteName())
	for _, f := range u.Findings() {
		fmt.Println(f.Rule)
	}
	// Output:
	// qemu tls server7:16514 qemu:///system?foo=bar
	// uri-parameter-unknown
	// uri-not-verified
}
