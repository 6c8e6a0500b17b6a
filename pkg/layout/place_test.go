package layout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

func TestItemsAreWhatLibvirtAndItsValidatorLookFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		place Place
		roles []certs.Role
		want  string
	}{
		{"the system's, both roles", Place{Kind: Libvirt}, []certs.Role{certs.Server, certs.Client}, `
			directory /etc/pki 0755 root shared
			directory /etc/pki/CA 0755 root shared
			directory /etc/pki/libvirt 0755 root
			directory /etc/pki/libvirt/private 0755 root
			ca-certificate /etc/pki/CA/cacert.pem 0644 root
			crl /etc/pki/CA/cacrl.pem 0644 root
			key /etc/pki/libvirt/private/serverkey.pem 0600 root
			certificate /etc/pki/libvirt/servercert.pem 0644 root
			key /etc/pki/libvirt/private/clientkey.pem 0644 root
			certificate /etc/pki/libvirt/clientcert.pem 0644 root`},
		{"the system's client with a key of its own", Place{Kind: Libvirt, PrivateClientKey: true}, []certs.Role{certs.Client}, `
			directory /etc/pki 0755 root shared
			directory /etc/pki/CA 0755 root shared
			directory /etc/pki/libvirt 0755 root
			directory /etc/pki/libvirt/private 0755 root
			ca-certificate /etc/pki/CA/cacert.pem 0644 root
			crl /etc/pki/CA/cacrl.pem 0644 root
			key /etc/pki/libvirt/private/clientkey.pem 0600 root
			certificate /etc/pki/libvirt/clientcert.pem 0644 root`},
		{"a user's", Place{Kind: User, Dir: "/home/ann"}, []certs.Role{certs.Client}, `
			directory /home/ann/.pki 0700 shared
			directory /home/ann/.pki/libvirt 0700
			ca-certificate /home/ann/.pki/libvirt/cacert.pem 0600
			crl /home/ann/.pki/libvirt/cacrl.pem 0600
			key /home/ann/.pki/libvirt/clientkey.pem 0600
			certificate /home/ann/.pki/libvirt/clientcert.pem 0600`},
		{"a pkipath", Place{Kind: PkiPath, Dir: "/srv/pki"}, []certs.Role{certs.Server}, `
			directory /srv/pki 0700
			ca-certificate /srv/pki/cacert.pem 0600
			crl /srv/pki/cacrl.pem 0600
			key /srv/pki/serverkey.pem 0600
			certificate /srv/pki/servercert.pem 0600`},
		{"QEMU's, its group known", Place{Kind: QEMU, Group: "kvm"}, []certs.Role{certs.Server, certs.Client}, `
			directory /etc/pki 0755 root shared
			directory /etc/pki/qemu 0755 root
			ca-certificate /etc/pki/qemu/ca-cert.pem 0644 root
			crl /etc/pki/qemu/ca-crl.pem 0644 root
			key /etc/pki/qemu/server-key.pem 0640 root:kvm
			certificate /etc/pki/qemu/server-cert.pem 0644 root
			key /etc/pki/qemu/client-key.pem 0640 root:kvm
			certificate /etc/pki/qemu/client-cert.pem 0644 root`},
		{"QEMU's for VNC, its group unknown", Place{Kind: QEMUVNC}, []certs.Role{certs.Server}, `
			directory /etc/pki 0755 root shared
			directory /etc/pki/libvirt-vnc 0755 root
			ca-certificate /etc/pki/libvirt-vnc/ca-cert.pem 0644 root
			crl /etc/pki/libvirt-vnc/ca-crl.pem 0644 root
			key /etc/pki/libvirt-vnc/server-key.pem 0600 root
			certificate /etc/pki/libvirt-vnc/server-cert.pem 0644 root`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(lines(c.want), text(c.place.Items(c.roles...))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
		out = append(out, strings.TrimSpace(l))
	}
	return out
}

func text(items []Item) []string {
	var out []string
	for _, i := range items {
		s := fmt.Sprintf("%s %s %04o", i.Part, i.Path, i.Mode)
		if i.System {
			s += " root"
		}
		if i.Group != "" {
			s += ":" + i.Group
		}
		if i.Shared {
			s += " shared"
		}
		out = append(out, s)
	}
	return out
}

func TestFillPutsKeysBeforeTheirCertificates(t *testing.T) {
	got := Place{Kind: PkiPath, Dir: "/p"}.Fill(Contents{CA: []byte("ca"), Identities: []Identity{
		{Role: certs.Client, Cert: []byte("client cert"), Key: []byte("client key")},
		{Role: certs.Server, Cert: []byte("server cert")}, // its key lies elsewhere
	}})
	var names []string
	for _, f := range got {
		names = append(names, f.Path+" "+string(f.Data))
	}
	want := []string{"/p ", "/p/cacert.pem ca", "/p/clientkey.pem client key", "/p/clientcert.pem client cert", "/p/servercert.pem server cert"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFillWithoutIdentitiesIsTheTrustAlone(t *testing.T) {
	got := Place{Kind: User, Dir: "/home/ann"}.Fill(Contents{CA: []byte("ca"), CRL: []byte("crl")})
	var names []string
	for _, f := range got {
		names = append(names, f.Path)
	}
	want := []string{"/home/ann/.pki", "/home/ann/.pki/libvirt", "/home/ann/.pki/libvirt/cacert.pem", "/home/ann/.pki/libvirt/cacrl.pem"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseKindKnowsAllKinds(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(string(k)); err != nil || got != k {
			t.Errorf("ParseKind(%q) = %q, %v", k, got, err)
		}
	}
	if _, err := ParseKind("etc"); err == nil || !strings.HasPrefix(err.Error(), `no layout "etc": libvirt, user, pkipath, qemu`) {
		t.Errorf("got %v", err)
	}
}
