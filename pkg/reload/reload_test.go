package reload

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

func TestTheConfigurationDecidesHowADaemonIsReloaded(t *testing.T) {
	const own = `ca_file = "/own/ca.pem"
cert_file = "/own/cert.pem"
key_file = "/own/key.pem"
crl_file = "/own/crl.pem"
`
	system := []layout.Place{{Kind: layout.Libvirt}}
	user := []layout.Place{{Kind: layout.User, Dir: "/home/a"}, {Kind: layout.Libvirt}}
	const certFile, keyFile = "/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem"
	for _, c := range []struct {
		name   string
		text   string
		kind   conf.Kind
		run    conf.Run
		admin  string
		places []layout.Place
		there  []string
		want   Plan
	}{
		{name: "the default places", text: "listen_tls = 1\n", places: system, there: []string{certFile, keyFile},
			want: Plan{Way: UpdateTLS, Command: []string{"virt-admin", "-c", "libvirtd:///system", "server-update-tls", "libvirtd"}, Certs: []string{certFile}}},
		{name: "a list and further identities", text: "listen_tls = 0\n", places: system, there: []string{"/etc/pki/CA/cacrl.pem", "/etc/pki/libvirt/servercert0.pem", "/etc/pki/libvirt/servercert1.pem"},
			want: Plan{Way: UpdateTLS, Command: []string{"virt-admin", "-c", "libvirtd:///system", "server-update-tls", "libvirtd"},
				Certs: []string{certFile, "/etc/pki/libvirt/servercert0.pem", "/etc/pki/libvirt/servercert1.pem"}, CRL: "/etc/pki/CA/cacrl.pem",
				Notes: []string{"listen_tls is 0: the daemon serves TLS only where systemd passes it the -tls.socket"}}},
		{name: "virtproxyd, with another URI", text: "", kind: conf.Virtproxyd, admin: "virtproxyd+ssh:///x", places: system,
			want: Plan{Way: UpdateTLS, Command: []string{"virt-admin", "-c", "virtproxyd+ssh:///x", "server-update-tls", "virtproxyd"}, Certs: []string{certFile},
				Notes: []string{"listen_tls is 0: the daemon serves TLS only where systemd passes it the -tls.socket"}}},
		{name: "a session daemon with half a pair of its user's", text: "listen_tls = 1\n", run: conf.Run{Session: true}, places: user,
			there: []string{"/home/a/.pki/libvirt/servercert.pem", "/home/a/.pki/libvirt/cacrl.pem"},
			want: Plan{Way: UpdateTLS, Command: []string{"virt-admin", "-c", "libvirtd:///session", "server-update-tls", "libvirtd"}, Certs: []string{certFile},
				CRL: "/home/a/.pki/libvirt/cacrl.pem"}},
		{name: "a list alone is not read", text: "listen_tls = 1\ntls_no_sanity_certificate = 1\ncrl_file = \"/own/crl.pem\"\n", places: system,
			want: Plan{Way: UpdateTLS, Command: []string{"virt-admin", "-c", "libvirtd:///system", "server-update-tls", "libvirtd"}, Certs: []string{certFile},
				Notes: []string{"the daemon checks its certificates on this reload, whatever tls_no_sanity_certificate says",
					`crl_file = "/own/crl.pem" is not read without ca_file, cert_file and key_file: the list is /etc/pki/CA/cacrl.pem`}}},
		{name: "files of its own", text: "listen_tls = 1\n" + own, places: system, there: []string{certFile, keyFile},
			want: Plan{Way: Restart, Command: []string{"systemctl", "restart", "libvirtd.service"}, Certs: []string{"/own/cert.pem"}, CRL: "/own/crl.pem"}},
		{name: "a session daemon with files of its own", text: "listen_tls = 1\n" + own, run: conf.Run{Session: true}, places: user,
			want: Plan{Way: Restart, Certs: []string{"/own/cert.pem"}, CRL: "/own/crl.pem"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.kind == 0 {
				c.kind = conf.Libvirtd
			}
			f, err := conf.Parse([]byte(c.text), "libvirtd.conf")
			if err != nil {
				t.Fatal(err)
			}
			d, err := conf.ReadDaemon(f, c.kind, c.run)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decide(d, c.admin, c.places, func(path string) bool { return slices.Contains(c.there, path) })
			if err != nil {
				t.Fatal(err)
			}
			if got.Why == "" || !strings.HasPrefix(got.Defaults.CA, "/etc/pki/CA/") {
				t.Errorf("why %q, default places %+v", got.Why, got.Defaults)
			}
			got.Why, got.Defaults = "", layout.Paths{}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
