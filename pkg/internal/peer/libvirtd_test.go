package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEveryLibvirtServesEveryLibvirt starts a daemon of each version and connects with virsh of each version.
func TestEveryLibvirtServesEveryLibvirt(t *testing.T) {
	roots := Roots(t)
	pki := Credentials(t)
	for _, server := range roots {
		t.Run("libvirtd of "+server.Name, func(t *testing.T) {
			d := Start(t, Options{Dir: pki, Place: Place{Root: server.Dir}}).MustBeReady(t)
			for _, client := range roots {
				r := Place{Root: client.Dir}.Virsh(t, d.URI("pkipath="+pki))
				if r.Exit != 0 || strings.TrimSpace(r.Stdout) == "" || r.Stderr != "" {
					t.Errorf("virsh %s to libvirtd %s: %v\n%s", client.Libvirt, server.Libvirt, r, d.Log())
				}
			}
			if exit := d.Stop(); exit != 0 {
				t.Errorf("stopped with exit status %d", exit)
			}
		})
	}
}

func TestVersionsAreThoseOfTheRoots(t *testing.T) {
	pki := Credentials(t)
	for _, root := range Roots(t) {
		log := Start(t, Options{Dir: pki, LogLevel: 1, Place: Place{Root: root.Dir}}).MustBeReady(t).Log()
		if want := "libvirt version: " + root.Libvirt + ", "; !strings.Contains(log, want) {
			t.Errorf("the daemon of %s does not say %q", root.Name, want)
		}
		if root.Package != "" && !strings.Contains(log, "package: "+root.Package+" (") {
			t.Errorf("the daemon of %s is not of package %s", root.Name, root.Package)
		}
		if root.Name == "trixie" && root.Libvirt != "11.3.0" {
			t.Errorf("trixie has libvirt %s", root.Libvirt)
		}
	}
}

func TestADaemonThatRefusesIsAResult(t *testing.T) {
	pki := Credentials(t)
	other := Start(t, Options{Dir: pki}).MustBeReady(t)
	for _, c := range []struct {
		name string
		o    Options
		exit int
		log  string
	}{
		{"a setting of the wrong type", Options{Dir: pki, Conf: []string{"listen_tls = \"yes\""}}, 1,
			"internal error: {conf}: expected a bool for 'listen_tls' parameter\n" +
				"Can't load config file: internal error: {conf}: expected a bool for 'listen_tls' parameter: {conf}"},
		{"a certificate that does not exist", Options{Dir: pki, Cert: "/nonexistent/cert.pem"}, 6,
			"Cannot read certificate '/nonexistent/cert.pem': No such file or directory"},
		{"a port that is taken", Options{Dir: pki, Port: other.Port}, 6,
			"Unable to bind to port: Address already in use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Start(t, c.o)
			log := strings.Join(d.Messages(), "\n")
			if want := strings.ReplaceAll(c.log, "{conf}", d.ConfFile); d.Ready || d.Exit != c.exit || log != want {
				t.Errorf("ready %v, exit status %d, want %d, log:\n%s\nwant:\n%s", d.Ready, d.Exit, c.exit, log, want)
			}
		})
	}
}

func TestConfLinesReplaceAndDrop(t *testing.T) {
	pki := Credentials(t)
	d := Start(t, Options{Dir: pki, Conf: []string{`tls_allowed_dn_list = ["O=virt-pki,CN=other"]`, "-auth_tcp"}}).MustBeReady(t)
	conf, err := os.ReadFile(d.ConfFile)
	if err != nil || strings.Contains(string(conf), "auth_tcp") {
		t.Errorf("auth_tcp was not dropped: %v\n%s", err, conf)
	}
	r := Virsh(t, d.URI("pkipath="+pki))
	if r.Exit != 1 || !strings.Contains(r.Stderr, "Unable to read TLS confirmation") {
		t.Errorf("a client that the DN list does not let in: %v", r)
	}
	if text := "Client's Distinguished Name is not on the list of allowed clients"; !d.WaitLog(text, 10*time.Second) {
		t.Errorf("the log lacks %q: %q", text, d.Messages())
	}
}

func TestACompleteConfigurationIsTakenAsItIs(t *testing.T) {
	pki := Credentials(t)
	port := FreePort(t, "127.0.0.1")
	file := filepath.Join(pki, "my.conf")
	text := fmt.Sprintf("listen_addr = \"127.0.0.1\"\ntls_port = \"%d\" # mine\nca_file = '%s/cacert.pem'\n"+
		"cert_file = \"%[2]s/servercert.pem\"\nkey_file = \"%[2]s/serverkey.pem\"\nauth_unix_rw = \"none\"\n", port, pki)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d := Start(t, Options{ConfFile: file, Conf: []string{`unix_sock_dir = "` + Dir(t) + `"`}}).MustBeReady(t)
	if d.Port != port {
		t.Errorf("port %d, want %d", d.Port, port)
	}
	if r := Virsh(t, d.URI("pkipath="+pki)); r.Exit != 0 {
		t.Error(r)
	}
}

func TestWithoutListenOnlyTheSocketIsServed(t *testing.T) {
	pki := Credentials(t)
	d := Start(t, Options{Dir: pki, NoListen: true}).MustBeReady(t)
	if listening(d.Pid(), d.Port) {
		t.Error("it listens")
	}
	if r := Virsh(t, "test+unix:///default?socket="+d.Socket); r.Exit != 0 {
		t.Error(r)
	}
	if r := Virsh(t, d.URI("pkipath="+pki)); r.Exit == 0 || !strings.Contains(r.Stderr, "Connection refused") {
		t.Error(r)
	}
}

func TestAnUnprivilegedUserHasASessionDaemonAndItsOwnCredentials(t *testing.T) {
	NeedRoot(t)
	pki := Credentials(t)
	for _, root := range Roots(t) {
		t.Run(root.Name, func(t *testing.T) {
			home := Dir(t)
			user := filepath.Join(home, ".pki", "libvirt")
			for _, name := range []string{"cacert", "servercert", "serverkey", "clientcert", "clientkey"} {
				copyFile(t, filepath.Join(pki, name+".pem"), filepath.Join(user, name+".pem"))
			}
			Own(t, home, "nobody")
			nobody := Place{User: "nobody", Home: home, Root: root.Dir}
			d := Start(t, Options{Place: nobody, DefaultPaths: true}).MustBeReady(t)
			if r := nobody.Virsh(t, d.URI()); r.Exit != 0 {
				t.Errorf("%v\n%s", r, d.Log())
			}
			if r := nobody.Run(t, "id", "-u"); r.Stdout != "65534\n" {
				t.Errorf("not nobody: %v", r)
			}
			if r := nobody.Run(t, "cat", "/proc/self/status"); !strings.Contains(r.Stdout, "CapEff:\t0000000000000000\n") {
				t.Errorf("nobody has capabilities: %v", r)
			}
		})
	}
}

func TestTheSystemLayoutOfAPretendedMachine(t *testing.T) {
	NeedNamespaces(t)
	pki := Credentials(t, "kvm1.example.com")
	for _, root := range Roots(t) {
		t.Run(root.Name, func(t *testing.T) {
			m := NewMachine(t)
			for from, to := range map[string]string{"cacert.pem": "CA/cacert.pem", "servercert.pem": "libvirt/servercert.pem",
				"serverkey.pem": "libvirt/private/serverkey.pem", "clientcert.pem": "libvirt/clientcert.pem",
				"clientkey.pem": "libvirt/private/clientkey.pem"} {
				copyFile(t, filepath.Join(pki, from), m.Path("/etc/pki/"+to))
			}
			m.AddHost(t, "127.0.0.1", "kvm1.example.com", "kvm1")
			hosts, err := os.ReadFile(m.Path("/etc/hosts"))
			if want := "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.0.1 kvm1.example.com kvm1\n"; string(hosts) != want {
				t.Errorf("/etc/hosts: %v %q", err, hosts)
			}
			here := Place{Machine: m, Root: root.Dir}
			d := Start(t, Options{Place: here, DefaultPaths: true, Conf: []string{"-unix_sock_dir"}}).MustBeReady(t)
			if r := here.Virsh(t, d.URIFor("kvm1.example.com")); r.Exit != 0 {
				t.Errorf("%v\n%s", r, d.Log())
			}
			want := "Certificate check failed Certificate [session] owner does not match the hostname kvm1\n" +
				"error: failed to connect to the hypervisor\nerror: authentication failed: Failed to verify peer's certificate"
			r := here.Virsh(t, d.URIFor("kvm1"))
			if got := strings.Join(Messages(r.Stderr), "\n"); r.Exit != 1 || got != want {
				t.Errorf("a name that the certificate lacks: exit status %d: %s\nwant: %s", r.Exit, got, want)
			}
			if r := d.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
				t.Error(r)
			}
			if _, err := os.Stat("/etc/pki/libvirt/private/serverkey.pem"); err == nil {
				t.Error("the real /etc was written")
			}
			if listening(os.Getpid(), d.Port) {
				t.Error("the daemon listens outside")
			}
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
