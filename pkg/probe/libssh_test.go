//go:build linux

package probe

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// sshPlace is a pretended machine with a libvirtd and several sshds, on which a user named guest has the password secret.
type sshPlace struct {
	t       *testing.T
	machine *peer.Machine
	dir     string // keys and known_hosts files
	socket  string
	home    string
	env     []string
	known   string
	// Ports of sshds: with keys only; with passwords; with questions asked by PAM; with questions that nobody asks; with
	// three host keys; with an RSA host key only.
	keys, password, pam, idle, three, rsa int
}

func newSSHPlace(t *testing.T) *sshPlace {
	peer.Need(t, "libvirtd", "virsh", "sshd", "ssh-keygen", "ssh-agent", "nc")
	p := &sshPlace{t: t, machine: peer.NewMachine(t), dir: peer.Dir(t), home: peer.Dir(t)}
	p.machine.AddUser(t, "guest", "secret")
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home}
	p.write("pam", "auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n")
	if err := os.WriteFile(p.machine.Path("/etc/pam.d/sshd"), []byte("auth required pam_unix.so nodelay\naccount required pam_permit.so\nsession required pam_permit.so\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	place := peer.Place{Machine: p.machine}
	d := peer.Start(t, peer.Options{Place: place, Conf: []string{"listen_tls = 0", "-unix_sock_dir"}, NoListen: true, DefaultPaths: true})
	p.socket = "/var/run/libvirt/libvirt-sock"
	if !d.Ready {
		t.Fatalf("libvirtd: %s", d.Log())
	}
	for _, k := range []struct{ name, kind, passphrase string }{
		{"id", "ed25519", ""}, {"other", "ed25519", ""}, {"rsa", "rsa", ""}, {"enc", "ed25519", "phrase"}, {"ec", "ecdsa", ""},
	} {
		peer.SSHKey(t, p.at(k.name), k.kind, k.passphrase)
	}
	var known strings.Builder
	start := func(o peer.SSHOptions) int {
		o.Place = place
		s := peer.StartSSHD(t, o)
		for _, name := range []string{"id", "rsa", "enc"} {
			s.Authorize(t, p.read(name+".pub"))
		}
		fmt.Fprintf(&known, "[localhost]:%d %s\n", s.Port, s.HostKeys[0])
		return s.Port
	}
	p.keys = start(peer.SSHOptions{})
	p.password = start(peer.SSHOptions{Lines: []string{"PasswordAuthentication yes"}})
	p.pam = start(peer.SSHOptions{Lines: []string{"UsePAM yes", "KbdInteractiveAuthentication yes"}})
	p.idle = start(peer.SSHOptions{Lines: []string{"KbdInteractiveAuthentication yes"}})
	p.three = start(peer.SSHOptions{HostKeys: []string{"ed25519", "ecdsa", "rsa"}})
	p.rsa = start(peer.SSHOptions{HostKeys: []string{"rsa"}})
	p.known = p.write("known", known.String())
	return p
}

func (p *sshPlace) at(name string) string { return filepath.Join(p.dir, name) }

func (p *sshPlace) write(name, text string) string {
	if err := os.WriteFile(p.at(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.at(name)
}

func (p *sshPlace) read(name string) string {
	b, err := os.ReadFile(p.at(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// hostKey is the first host key of the sshd at a port.
func (p *sshPlace) hostKey(port int) string {
	for _, line := range strings.Split(p.read("known"), "\n") {
		if key, ok := strings.CutPrefix(line, fmt.Sprintf("[localhost]:%d ", port)); ok {
			return key
		}
	}
	p.t.Fatalf("no key of port %d", port)
	return ""
}

func (p *sshPlace) options() Options {
	return Options{URI: uri.Options{Root: true, Home: p.home, ConfigHome: p.home + "/.config", Settings: uri.Fixed{}}, Env: p.env, Dialer: p.machine,
		Resolver: resolver{"localhost": {"127.0.0.1"}}, At: time.Now(), Clock: time.Now}
}

// virshSaid is the last thing virsh complains of.
func virshSaid(r peer.Result) string {
	text := "\n" + strings.TrimSpace(r.Stderr)
	return text[strings.LastIndex(text, "\nerror: ")+len("\nerror: "):]
}

// sameText compares messages. Which of its three texts libvirt has for a command that ended is a race within it: the
// status may have arrived, or only the end, or neither.
func sameText(virsh, ours string) bool {
	ended := func(s string) bool { return strings.Contains(s, "Remote command terminated with") || s == unknownError }
	return virsh == ours || ended(virsh) && ended(ours)
}

// TestVirshAgreesOverLibSSHAndLibSSH2 logs in with both libraries, with virsh and with Dial: both connect, or both fail
// with the same words.
func TestVirshAgreesOverLibSSHAndLibSSH2(t *testing.T) {
	p := newSSHPlace(t)
	key, other := p.hostKey(p.keys), strings.Join(strings.Fields(p.read("other.pub"))[:2], " ")
	file := func(name, format string, args ...any) string { return p.write(name, fmt.Sprintf(format, args...)) }
	name := fmt.Sprintf("[localhost]:%d", p.keys)
	auth := "[auth-ssh-localhost]\ncredentials=a\n[credentials-a]\n"
	id := "&keyfile=" + p.at("id")
	known := "&known_hosts=" + p.known
	good := known + id + "&sshauth=privkey"
	const connected, denied, refused = "", "libssh-login-refused", "libssh-host-key-unknown"
	type outcomes struct{ libssh, libssh2 string }
	both := func(cause string) outcomes { return outcomes{cause, cause} }
	for _, c := range []struct {
		name   string
		user   string
		port   int
		params string
		want   outcomes // causes; empty: connected
	}{
		{"a key", "", p.keys, known + id, both(connected)},
		{"a key, and nothing else", "", p.keys, good, both(connected)},
		{"no key anywhere", "", p.keys, known, both(denied)},
		{"no key, and a demand for one", "", p.keys, known + "&sshauth=privkey", both("libssh-no-key")},
		{"no method", "", p.keys, known + "&sshauth=", both(denied)},
		{"a password where only keys count", "", p.keys, known + "&sshauth=password", both(denied)},
		{"questions where only keys count", "", p.keys, known + "&sshauth=keyboard-interactive", both(denied)},
		{"both", "", p.keys, known + "&sshauth=password,keyboard-interactive", both(denied)},
		{"an agent that is not there", "", p.keys, known + "&sshauth=agent", both(denied)},
		{"questions where only keys count, and then a key", "", p.keys, known + id + "&sshauth=keyboard-interactive,privkey", both(connected)},
		{"somebody else's key", "", p.keys, known + "&sshauth=privkey&keyfile=" + p.at("other"), both(denied)},
		{"somebody else's key and an agent", "", p.keys, known + "&sshauth=agent,privkey&keyfile=" + p.at("other"), both(denied)},
		{"an encrypted key", "", p.keys, known + "&sshauth=privkey&keyfile=" + p.at("enc"), both("libssh-key-unreadable")},
		{"an RSA key", "", p.keys, known + "&sshauth=privkey&keyfile=" + p.at("rsa"), outcomes{connected, denied}},
		{"a key that is none", "", p.keys, known + "&sshauth=privkey&keyfile=" + p.known, both("libssh-key-unreadable")},
		{"a missing key", "", p.keys, known + "&keyfile=/nosuch", both("libssh-key-unreadable")},
		{"a directory for a key", "", p.keys, known + "&keyfile=/etc", both("libssh-key-unreadable")},
		{"an empty name for a key", "", p.keys, known + "&keyfile=", both("libssh-key-unreadable")},
		{"an unknown user", "nosuchuser@", p.keys, good, both(denied)},
		{"another user", "guest@", p.keys, good, both(connected)},
		{"no socket", "", p.keys, good + "&socket=/nosuch/sock", both("ssh-socket-missing")},
		{"netcat", "", p.keys, good + "&socket=" + p.socket, both(connected)},
		{"the helper", "", p.keys, good + "&proxy=native", both(connected)},
		{"a command that ends well and does nothing", "", p.keys, good + "&netcat=/bin/true", both("command-fails")},
		{"questions that nobody asks", "", p.idle, known + "&sshauth=keyboard-interactive", both(denied)},
		{"questions that nobody asks, and an agent", "", p.idle, known + "&sshauth=agent,keyboard-interactive", both(denied)},
		{"questions that nobody asks, and a key", "", p.idle, known + id + "&sshauth=keyboard-interactive,privkey", outcomes{connected, denied}},
		{"a password in auth.conf", "guest@", p.password, known + "&sshauth=password&authfile=" + file("auth1", "%spassword=secret\n", auth), both(connected)},
		{"auth.conf without the group", "guest@", p.password, known + "&sshauth=password&authfile=" + file("auth2", "[auth-ssh-localhost]\ncredentials=a\n"), both("auth-conf-unusable")},
		{"auth.conf without credentials", "guest@", p.password, known + "&sshauth=password&authfile=" + file("auth3", "[auth-ssh-localhost]\nx=y\n"), both("auth-conf-unusable")},
		{"auth.conf that is none", "guest@", p.password, known + "&sshauth=password&authfile=" + file("auth4", "bad\n"), both("auth-conf-unusable")},
		{"auth.conf that is missing", "guest@", p.password, known + "&sshauth=password&authfile=/nosuch", both("auth-conf-unusable")},
		{"a closed port", "", 1, good, both("connection-refused")},
		{"a closed port and a missing key", "", 1, known + "&keyfile=/nosuch", both("connection-refused")},
		{"a closed port and no key", "", 1, known + "&sshauth=privkey", both("libssh-no-key")},

		{"an unknown host", "", p.keys, id, both(refused)},
		{"an unknown host and no_verify", "", p.keys, id + "&no_verify=1", both(refused)},
		{"an unknown host that is not looked at", "", p.keys, id + "&known_hosts_verify=ignore", both(connected)},
		{"an unknown host that is stored", "", p.keys, id + "&known_hosts_verify=auto&known_hosts=" + p.at("new"), both(connected)},
		{"known under its name alone", "", p.keys, id + "&known_hosts=" + file("plain", "localhost %s\n", key), outcomes{refused, connected}},
		{"known as everything", "", p.keys, id + "&known_hosts=" + file("star", "* %s\n", key), outcomes{connected, refused}},
		{"known by a pattern", "", p.keys, id + "&known_hosts=" + file("glob", "!x,[local*]:%d %s\n", p.keys, key), outcomes{connected, refused}},
		{"known in capitals", "", p.keys, id + "&known_hosts=" + file("upper", "%s %s\n", strings.ToUpper(name), key), outcomes{connected, refused}},
		{"a line without a key", "", p.keys, id + "&known_hosts=" + file("garbage", "garbage\n%s %s\n", name, key), outcomes{connected, "libssh2-known-hosts-unreadable"}},
		{"the same and ignore", "", p.keys, id + "&known_hosts_verify=ignore&known_hosts=" + p.at("garbage"), outcomes{connected, "libssh2-known-hosts-unreadable"}},
		{"a key that is no base64", "", p.keys, id + "&known_hosts=" + file("base64", "%s ssh-ed25519 !!!\n%s %s\n", name, name, key), outcomes{refused, "libssh2-known-hosts-unreadable"}},
		{"a revoked key", "", p.keys, id + "&known_hosts=" + file("revoked", "@revoked %s %s\n", name, key), both(refused)},
		{"an authority, too", "", p.keys, id + "&known_hosts=" + file("authority", "@cert-authority * %s\n%s %s\n", other, name, key), both(connected)},
		{"line ends of Windows", "", p.keys, id + "&known_hosts=" + file("crlf", "%s %s\r\n", name, key), outcomes{refused, "libssh-host-key-changed"}},
		{"comments, blanks and several names", "", p.keys, id + "&known_hosts=" + file("comma", "# c\n\n  [other]:1,%s   %s comment\n", name, key), both(connected)},
		{"another key", "", p.keys, id + "&known_hosts=" + file("another", "%s %s\n", name, other), both("libssh-host-key-changed")},
		{"another key that is not looked at", "", p.keys, id + "&known_hosts_verify=ignore&known_hosts=" + p.at("another"), both(connected)},
		{"another key and auto", "", p.keys, id + "&known_hosts_verify=auto&known_hosts=" + p.at("another"), both("libssh-host-key-changed")},
		{"another key of another type", "", p.keys, id + "&known_hosts=" + file("type", "%s %s\n", name, strings.Join(strings.Fields(p.read("ec.pub"))[:2], " ")), both("libssh-host-key-changed")},
		{"two keys, the second is right", "", p.keys, id + "&known_hosts=" + file("two", "%s %s\n%s %s", name, other, name, key), both(connected)},
		{"hashed names", "", p.keys, id + "&known_hosts=" + p.hashed("hashed", name+" "+key+"\n"), both(connected)},
		{"a directory", "", p.keys, id + "&known_hosts=" + p.dir, both(refused)},
		{"three host keys, of which one is known", "", p.three, good, outcomes{connected, "libssh-host-key-changed"}},
		{"an RSA host key", "", p.rsa, good, outcomes{connected, "libssh-handshake"}},
	} {
		for _, lib := range []uri.Transport{uri.LibSSH, uri.LibSSH2} {
			want := c.want.libssh
			if lib == uri.LibSSH2 {
				want = c.want.libssh2
			}
			t.Run(c.name+", "+string(lib), func(t *testing.T) {
				text := fmt.Sprintf("test+%s://%slocalhost:%d/default?x=y%s", lib, c.user, c.port, c.params)
				os.Remove(p.at("new"))
				r, err := Dial(context.Background(), text, p.options())
				if err != nil || r.Cause != want || (r.Outcome == finding.Connected) != (want == connected) {
					t.Errorf("%s, want the cause %q, %v", summary(r), want, err)
				}
				v := peer.Place{Machine: p.machine, Home: p.home, Env: []string{"XDG_CONFIG_HOME=" + p.home + "/.config"}}.Virsh(t, text)
				if (v.Exit == 0) != (want == connected) || want != connected && !sameText(virshSaid(v), r.LibvirtMessage) {
					t.Errorf("\nvirsh: %v\n ours: %q", v, r.LibvirtMessage)
				}
			})
		}
	}
}

// TestVirshAgreesOnOpenSSHsConfiguration has libssh read an ssh_config, with virsh and with Dial.
func TestVirshAgreesOnOpenSSHsConfiguration(t *testing.T) {
	p := newSSHPlace(t)
	key, other := p.hostKey(p.keys), strings.Join(strings.Fields(p.read("other.pub"))[:2], " ")
	file := func(name, format string, args ...any) string { return p.write(name, fmt.Sprintf(format, args...)) }
	known := func(path string) string { return "&known_hosts=" + path }
	right := "UserKnownHostsFile " + p.known + "\n"
	changed := known(file("changed", "[localhost]:%d %s\n", p.keys, other))
	named := known(file("named", "[other]:%d %s\n[localhost.lan]:%d %s\n[localhost]:1 %s\nlocalhost %s\n", p.keys, key, p.keys, key, key, key))
	file("included", "%s", right)
	if err := os.MkdirAll(p.machine.Path("/etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := p.machine.Path(sshGlobalConfig)
	const connected, refused = "", "libssh-host-key-unknown"
	for _, c := range []struct{ name, config, params, want string }{
		{"where libvirt connects", "Host localhost\n HostName other.invalid\n ProxyCommand false\n User nosuchuser\n", known(p.known), refused},
		{"who libvirt is, and with which key", "User nosuchuser\nIdentityFile /nosuch\nPubkeyAuthentication no\nProxyJump nosuch\n", known(p.known), connected},
		{"HostName", "Host localhost\n HostName other\n", named, connected},
		{"HostName with the host in it", "HostName %h.lan\n", named, connected},
		{"Port", "Port 1\n", named, connected},
		{"the port 22", "Port 22\n", named, connected},
		{"no port", "Port x\n", known(p.known), connected},
		{"the port 0", "Port 0\n", known(p.known), connected},
		{"StrictHostKeyChecking NO", "stricthostkeychecking NO\n", "", connected},
		{"StrictHostKeyChecking off", "StrictHostKeyChecking off\n", "", refused},
		{"StrictHostKeyChecking accept-new", "StrictHostKeyChecking accept-new\n", "", refused},
		{"StrictHostKeyChecking no and a changed key", "StrictHostKeyChecking no\n", changed, connected},
		{"StrictHostKeyChecking no and a revoked key", "StrictHostKeyChecking no\n", known(file("revoked", "@revoked [localhost]:%d %s\n", p.keys, key)), connected},
		{"UserKnownHostsFile", right, changed, connected},
		{"UserKnownHostsFile, the first of two files", "UserKnownHostsFile " + p.known + " /nosuch\n", "", connected},
		{"UserKnownHostsFile, the second of two files", "UserKnownHostsFile /nosuch " + p.known + "\n", "", refused},
		{"UserKnownHostsFile that is missing", "UserKnownHostsFile /nosuch\n", known(p.known), refused},
		{"GlobalKnownHostsFile", "GlobalKnownHostsFile " + p.known + "\n", "", connected},
		{"quotes", "UserKnownHostsFile \"" + p.known + "\"\n", "", connected},
		{"an equals sign", "UserKnownHostsFile = " + p.known + "\n", "", connected},
		{"a line end of Windows, a comment", "USERKNOWNHOSTSFILE\t" + p.known + " # mine\r\n", "", connected},
		{"the first of two", right + "Host *\n UserKnownHostsFile /nosuch\n", "", connected},
		{"Host in capitals", "Host LOCALHOST\n " + right, "", connected},
		{"Host, several", "Host other localhost\n " + right, "", connected},
		{"Host, a list", "Host other,localhost\n " + right, "", connected},
		{"Host, a pattern", "Host local?ost\n " + right, "", connected},
		{"Host with an equals sign", "Host=localhost\n " + right, "", connected},
		{"Host, another", "Host other\n " + right, "", refused},
		{"Host, excluded first", "Host !localhost *\n " + right, "", refused},
		{"Host, excluded last", "Host * !localhost\n " + right, "", connected},
		{"Match all", "Match all\n " + right, "", connected},
		{"Match final", "Match final\n " + right, "", connected},
		{"Match host", "Match host localhost\n " + right, "", connected},
		{"Match host, another", "Match host other\n " + right, "", refused},
		{"Match host, not another", "Match !host other\n " + right, "", connected},
		{"Match originalhost", "Match originalhost localhost\n " + right, "", refused},
		{"Match host and user", "Match host localhost user root\n " + right, "", connected},
		{"Match host and another user", "Match host localhost user other\n " + right, "", refused},
		{"Match localuser", "Match localuser root\n " + right, "", connected},
		{"Match localuser, another", "Match localuser other\n " + right, "", refused},
		{"Match exec of what fails", "Match exec false\n " + right, "", refused},
		{"Match with what is unknown", "Match nonsense x\n " + right, "", "libssh-config-unusable"},
		{"Include", "Include " + p.at("included") + "\n", "", connected},
		{"Include, a pattern", "Include " + p.at("inc*") + "\n", "", connected},
		{"Include for another host", "Host other\n Include " + p.at("included") + "\n", "", refused},
		{"what is unknown", "nonsense x\nPort\nHost\nHost *\n" + right, "", connected},
		{"HostKeyAlgorithms", "HostKeyAlgorithms rsa-sha2-512\n", known(p.known), "libssh-handshake"},
		{"HostKeyAlgorithms, and no look at the key", "HostKeyAlgorithms rsa-sha2-512\n", known(p.known) + "&known_hosts_verify=ignore", "libssh-handshake"},
		{"HostKeyAlgorithms, some unknown", "HostKeyAlgorithms nosuch,ssh-ed25519\n", known(p.known), connected},
		{"HostKeyAlgorithms, all unknown", "HostKeyAlgorithms nosuch\n", known(p.known), connected},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(config, []byte(c.config), 0o644); err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("test+libssh://localhost:%d/default?sshauth=privkey&keyfile=%s%s", p.keys, p.at("id"), c.params)
			o := p.options()
			o.AccountName, o.AccountHome = "root", "/nonexistent"
			o.ReadFile = func(path string) ([]byte, error) {
				if path == sshGlobalConfig {
					return []byte(c.config), nil
				}
				return os.ReadFile(path)
			}
			r, err := Dial(context.Background(), text, o)
			if err != nil || r.Cause != c.want || (r.Outcome == finding.Connected) != (c.want == connected) {
				t.Errorf("%s, want the cause %q, %v", summary(r), c.want, err)
			}
			v := peer.Place{Machine: p.machine, Home: p.home, Env: []string{"XDG_CONFIG_HOME=" + p.home + "/.config"}}.Virsh(t, text)
			if (v.Exit == 0) != (c.want == connected) || c.want != connected && !sameText(virshSaid(v), r.LibvirtMessage) {
				t.Errorf("\nvirsh: %v\n ours: %q", v, r.LibvirtMessage)
			}
		})
	}
}

func TestWhatAppliesOfOpenSSHsConfigurationIsSaid(t *testing.T) {
	files := map[string]string{
		"/root/.ssh/config":   "Host kvm1\n StrictHostKeyChecking no\n Ciphers aes128-cbc\n UserKnownHostsFile ~/known\n",
		"/etc/ssh/ssh_config": "Include /etc/ssh/x/*.conf\nUserKnownHostsFile /other\n",
		"/etc/ssh/x/a.conf":   "Match exec \"test -e /x\"\n Port 1\nMatch all\n HostKeyAlgorithms +ssh-rsa\nInclude /etc/ssh/x/a.conf\n",
	}
	c := sshConfig{host: "kvm1", user: "root", home: "/root", glob: func(pattern string) ([]string, error) {
		var names []string
		for name := range files {
			if ok, _ := filepath.Match(pattern, name); ok {
				names = append(names, name)
			}
		}
		return names, nil
	}, read: func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}}
	c.load()
	wantApplied := []string{"/root/.ssh/config:2: StrictHostKeyChecking no has libssh take any key for the host's",
		"/root/.ssh/config:4: UserKnownHostsFile ~/known takes the place of known_hosts="}
	wantUnfollowed := []string{"/root/.ssh/config:3: ciphers",
		"/etc/ssh/x/a.conf:1: Match exec, whose command libssh runs and virt-pki does not", "/etc/ssh/x/a.conf:4: HostKeyAlgorithms +ssh-rsa"}
	if !slices.Equal(c.applied, wantApplied) || c.userKnownHosts != "/root/known" || !c.anyKey {
		t.Errorf("%q, %+v", c.applied, c)
	}
	if !slices.Equal(c.unfollowed, wantUnfollowed) {
		t.Errorf("%q", c.unfollowed)
	}
}

// hashed writes a known_hosts file with hashed names.
func (p *sshPlace) hashed(name, text string) string {
	path := p.write(name, text)
	if r := peer.Run(p.t, "ssh-keygen", "-q", "-H", "-f", path); r.Exit != 0 {
		p.t.Fatal(r)
	}
	return path
}

// TestPasswordsAndQuestions answers what the server asks, once and several times.
func TestPasswordsAndQuestions(t *testing.T) {
	p := newSSHPlace(t)
	for _, c := range []struct {
		name    string
		lib     uri.Transport
		port    int
		params  string
		answers []string // to be given in turn; nil: nobody answers
		prompts string
		want    string
	}{
		{"a password", uri.LibSSH, p.password, "&sshauth=password", []string{"secret"}, "Enter guest's password for localhost", "connected  "},
		{"a password, libssh2", uri.LibSSH2, p.password, "&sshauth=password", []string{"secret"}, "Enter guest's password for localhost", "connected  "},
		{"the second password", uri.LibSSH2, p.password, "", []string{"x", "secret"}, "Enter guest's password for localhost|Enter guest's password for localhost", "connected  "},
		{"a question", uri.LibSSH, p.pam, "", []string{"secret"}, "Password", "connected  "},
		{"a question, the second time", uri.LibSSH2, p.pam, "&sshauth=keyboard-interactive", []string{"x", "secret"}, "Password|Password", "connected  "},
		{"a passphrase", uri.LibSSH, p.keys, "&sshauth=privkey&keyfile=" + p.at("enc"), []string{"phrase"}, "Passphrase", "connected  "},
		{"a passphrase, libssh2", uri.LibSSH2, p.keys, "&keyfile=" + p.at("enc"), []string{"phrase"}, "Passphrase for key '" + p.at("enc") + "'", "connected  "},
		{"no answer", uri.LibSSH, p.password, "&sshauth=password", []string{}, "Enter guest's password for localhost",
			"transport-fails libssh-login-refused authentication failed: Password request failed"},
		{"always wrong", uri.LibSSH2, p.password, "&sshauth=password", []string{"a", "b", "c", "d", "e", "f", "g"}, strings.Repeat("Enter guest's password for localhost|", 5) + "Enter guest's password for localhost",
			"transport-fails libssh-login-refused authentication failed: authentication failed: Waiting for password response"},
		{"nobody there", uri.LibSSH2, p.password, "&sshauth=password", nil, "",
			"transport-fails libssh-login-refused authentication failed: authentication failed: Waiting for password response"},
		{"nobody there, libssh, with which virsh hangs", uri.LibSSH, p.password, "&sshauth=password", nil, "", "hangs libssh-login-refused "},
		{"nobody there for a question", uri.LibSSH2, p.pam, "", nil, "",
			"transport-fails libssh-login-refused authentication failed: keyboard interactive authentication failed: Unable to send keyboard-interactive request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := p.options()
			var prompts []string
			if c.answers != nil {
				left := c.answers
				o.Ask = func(prompt string, _ bool) (string, error) {
					prompts = append(prompts, prompt)
					if len(left) == 0 {
						return "", errors.New("cancelled")
					}
					a := left[0]
					left = left[1:]
					return a, nil
				}
			}
			r, err := Dial(context.Background(), fmt.Sprintf("test+%s://guest@localhost:%d/default?known_hosts=%s%s", c.lib, c.port, p.known, c.params), o)
			if got := summary(r); err != nil || got != c.want || strings.Join(prompts, "|") != c.prompts {
				t.Errorf("%s %v, prompts %q\nwant %s, prompts %q", got, err, prompts, c.want, c.prompts)
			}
		})
	}
	t.Run("a host key is accepted", func(t *testing.T) {
		o := p.options()
		o.Ask = func(string, bool) (string, error) { return "Y", nil }
		r, err := Dial(context.Background(), fmt.Sprintf("test+libssh://localhost:%d/default?known_hosts=/nosuch&keyfile=%s", p.keys, p.at("id")), o)
		if err != nil || r.Outcome != finding.Connected || len(r.Findings) == 0 || !strings.HasPrefix(r.Server.HostKey, "SHA256:") {
			t.Errorf("%s %v %+v", summary(r), err, r.Findings)
		}
	})
}

// TestAgents logs in with a real ssh-agent.
func TestAgents(t *testing.T) {
	p := newSSHPlace(t)
	sock := p.at("agent")
	peer.Place{}.Start(t, "ssh-agent", "-D", "-a", sock)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(sock); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no ssh-agent")
		}
	}
	add := func(args ...string) {
		if r := (peer.Place{Env: []string{"SSH_AUTH_SOCK=" + sock}}).Run(t, append([]string{"ssh-add", "-q"}, args...)...); r.Exit != 0 {
			t.Fatal(r)
		}
	}
	for _, c := range []struct {
		name string
		do   func()
		sock string
		want [2]bool // libssh, libssh2
	}{
		{"without keys", func() {}, sock, [2]bool{}},
		{"with somebody else's key", func() { add(p.at("other")) }, sock, [2]bool{}},
		{"with the right key as its second", func() { add(p.at("id")) }, sock, [2]bool{true, true}},
		{"with an RSA key only", func() { add("-D"); add(p.at("rsa")) }, sock, [2]bool{true, false}},
		{"that is not there", func() {}, "/nosuch", [2]bool{}},
	} {
		c.do()
		for i, lib := range []uri.Transport{uri.LibSSH, uri.LibSSH2} {
			t.Run(c.name+", "+string(lib), func(t *testing.T) {
				text := fmt.Sprintf("test+%s://localhost:%d/default?sshauth=agent&known_hosts=%s", lib, p.keys, p.known)
				o := p.options()
				o.Env = append(o.Env, "SSH_AUTH_SOCK="+c.sock)
				o.Dialer = agentDialer{p.machine}
				r, err := Dial(context.Background(), text, o)
				v := peer.Place{Machine: p.machine, Env: []string{"SSH_AUTH_SOCK=" + c.sock}}.Virsh(t, text)
				if err != nil || (r.Outcome == finding.Connected) != c.want[i] || (v.Exit == 0) != c.want[i] || v.Exit != 0 && virshSaid(v) != r.LibvirtMessage {
					t.Errorf("%s %v\nvirsh: %v", summary(r), err, v)
				}
			})
		}
	}
}

// agentDialer reaches UNIX sockets here and addresses on the machine.
type agentDialer struct{ *peer.Machine }

func (d agentDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return d.Machine.DialContext(ctx, network, address)
}

func TestServersThatAreNoSSHServers(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known")
	for _, lib := range []uri.Transport{uri.LibSSH, uri.LibSSH2} {
		text := map[uri.Transport]string{uri.LibSSH: "Socket error: disconnected", uri.LibSSH2: "Failed getting banner"}[lib]
		for _, c := range []struct {
			name  string
			serve func(net.Conn)
			want  string
		}{
			{"closes at once", func(net.Conn) {}, "transport-fails libssh-handshake no connection driver available for SSH session handshake failed: " + text},
			{"says hello", func(c net.Conn) { _, _ = c.Write([]byte("hello\n")) }, "transport-fails libssh-handshake no connection driver available for SSH session handshake failed: " + text},
			{"says nothing", drain, "hangs peer-silent "},
			{"greets and says nothing", func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n")); drain(c) }, "hangs peer-silent "},
			{"greets without end", func(c net.Conn) {
				for {
					if _, err := c.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			}, "*"},
			{"sends a huge packet", func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-x\r\n\xff\xff\xff\xff")); drain(c) }, "*"},
		} {
			t.Run(c.name+", "+string(lib), func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				r, err := Dial(context.Background(), fmt.Sprintf("test+%s://127.0.0.1:%d/default?sshauth=agent&known_hosts=%s", lib, listen(t, c.serve), known),
					Options{URI: uri.Options{Settings: uri.Fixed{}}, Limits: Limits{Command: shortLimit}})
				if got := summary(r); err != nil || c.want != "*" && got != c.want || r.Outcome == finding.Connected {
					t.Errorf("%s %v\nwant %s", got, err, c.want)
				}
				if d := time.Since(begin); d > 6*shortLimit {
					t.Errorf("it took %v", d)
				}
			})
		}
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("[h]:1 ssh-ed25519 AAAA\n", "h", 1)
	f.Add("|1|x|y h\n!a,*?* k v", "a", 22)
	f.Fuzz(func(t *testing.T, text, host string, port int) {
		for _, k := range libsshKnownHosts([]byte(text), host, port).keys {
			if _, err := base64.StdEncoding.DecodeString(k); err != nil {
				t.Errorf("%q: %v", k, err)
			}
		}
		if k, line, ok := libssh2KnownHosts([]byte(text), host, port); !ok && (line == 0 || len(k.keys) > 0) {
			t.Errorf("%v %d", k, line)
		}
	})
}

func FuzzSSHConfig(f *testing.F) {
	f.Add("Host a !b *\n Port=1\nMatch host x user \"y z\"\nInclude /*\nUserKnownHostsFile ~/%h\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := sshConfig{host: "h", user: "root", home: "/root", read: func(string) ([]byte, error) { return []byte(text), nil },
			glob: func(p string) ([]string, error) { return []string{p}, nil }}
		c.load()
		if c.port < 0 || c.port > 65535 {
			t.Error(c.port)
		}
	})
}

func FuzzAuthConf(f *testing.F) {
	f.Add("[auth-libvirt-default]\ncredentials=a\n[credentials-a]\npassword=x\\s\n# c\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := &authConf{path: "f"}
		if reason := c.parse(text); reason == "" {
			if _, ok, err := c.lookup("libvirt", "h", "password"); ok && err != nil {
				t.Error(err)
			}
		}
	})
}
