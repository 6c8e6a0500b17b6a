package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func TestAPlanWritesNothing(t *testing.T) {
	above := t.TempDir()
	p := plan(t, treeSpec(t, filepath.Join(above, "cluster"), layout.Libvirt, layout.QEMU), caSpec(t))
	if got := p.Identities(); len(got) != 7 {
		t.Errorf("%d identities", len(got))
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestAPlanShowsWhatWouldBeMade(t *testing.T) {
	type line struct {
		Member, Role, Layout, Subject, Names, Files string
	}
	s := treeSpec(t, "/srv/cluster", layout.Libvirt, layout.QEMU)
	s.QEMUGroup = "kvm"
	var got []line
	for _, id := range plan(t, s, caSpec(t)).Identities() {
		l := line{id.Member, id.Role.String(), string(id.Layout), id.Subject, strings.Join(id.Names, " "), ""}
		for _, f := range id.Files {
			l.Files += strings.TrimPrefix(f.Path, "/srv/cluster/"+id.Member) + " "
		}
		got = append(got, l)
		if id.Key != certs.ECDSAP256 || time.Until(id.NotAfter) < 364*24*time.Hour {
			t.Errorf("%s: key %s until %v", id.Member, id.Key, id.NotAfter)
		}
	}
	libvirt := func(side string) string {
		return "/etc/pki/CA/cacert.pem /etc/pki/libvirt/private/" + side + "key.pem /etc/pki/libvirt/" + side + "cert.pem "
	}
	const (
		kvm1   = "kvm1.example.com 192.0.2.1"
		kvm2   = "kvm2.example.com localhost 127.0.0.1"
		server = "/etc/pki/qemu/server-key.pem /etc/pki/qemu/server-cert.pem "
		client = "/etc/pki/qemu/client-key.pem /etc/pki/qemu/client-cert.pem "
		trust  = "/etc/pki/qemu/ca-cert.pem "
	)
	want := []line{
		// libvirt gets a key for each role, QEMU one certificate for both.
		{"kvm1.example.com", "server", "libvirt", "C=GB,O=Acme,CN=kvm1.example.com", kvm1, libvirt("server")},
		{"kvm1.example.com", "client", "libvirt", "C=GB,O=Acme,CN=kvm1.example.com", "", libvirt("client")},
		{"kvm1.example.com", "peer", "qemu", "C=GB,O=Acme,CN=kvm1.example.com", kvm1, trust + server + client},
		{"kvm2.example.com", "server", "libvirt", "C=GB,O=Acme,CN=kvm2.example.com", kvm2, libvirt("server")},
		{"kvm2.example.com", "server", "qemu", "C=GB,O=Acme,CN=kvm2.example.com", kvm2, trust + server},
		{"admin", "client", "libvirt", "C=GB,O=Acme,CN=admin", "", libvirt("client")},
		{"admin", "client", "qemu", "C=GB,O=Acme,CN=admin", "", trust + client},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAPlanJudgesEverythingBeforeAnythingIsMade(t *testing.T) {
	limited := caSpec(t)
	if err := limited.Constraints.ParseConstraint("example.com", false); err != nil {
		t.Fatal(err)
	}
	strict := caSpec(t)
	strict.Policy = ca.Policy{Libvirt: ca.Since(verify.V9_0), StrictKeyUsage: true}
	two := treeSpec(t, "x")
	two.Members[0].Names, two.Members[1].Names = []string{"a.example.org"}, []string{"b.example.org", "localhost"}
	ended := treeSpec(t, "x")
	ended.NotAfter = ended.Now.Add(-time.Hour)
	for _, tt := range []struct {
		name string
		spec Spec
		ca   ca.Spec
		as   any
		want []string
	}{
		{"names outside the CA's constraints, all of them", two, limited, new(*ca.ConstraintError),
			[]string{`"a.example.org"`, `"b.example.org"`, "example.com"}},
		{"key usage that the oldest libvirt refuses", treeSpec(t, "x"), strict, new(*ca.VersionError),
			[]string{"libvirt 9.0", "does not permit key encipherment"}},
		{"a certificate that would have ended", ended, caSpec(t), new(*ca.ValidityError), nil},
	} {
		double, err := tt.ca.Rehearse()
		if err != nil {
			t.Fatal(err)
		}
		_, err = tt.spec.Plan(double)
		if err == nil || !errors.As(err, tt.as) {
			t.Errorf("%s: %v, want a %T", tt.name, err, tt.as)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v: want %s", tt.name, err, w)
			}
		}
		if len(hint.Of(err)) == 0 {
			t.Errorf("%s: no hint", tt.name)
		}
	}
}

func TestFilesComeInAnOrderInWhichAReaderFindsNoHalf(t *testing.T) {
	for _, kind := range layout.Kinds() {
		var s Spec
		if kind == layout.PkiPath {
			s = flatSpec(t, t.TempDir()+"/x")
		} else {
			s = treeSpec(t, t.TempDir()+"/x", kind)
		}
		p := plan(t, s, caSpec(t))
		for _, indices := range p.members() {
			issued := make([]ca.Issued, len(p.wants))
			for _, i := range indices {
				key, err := certs.GenerateKey(certs.ECDSAP256)
				if err != nil {
					t.Fatal(err)
				}
				issued[i] = ca.Issued{DER: []byte("certificate"), Key: key}
			}
			files, err := p.files(indices, issued, []byte("bundle"))
			if err != nil {
				t.Fatal(err)
			}
			rank := map[layout.Part]int{layout.Directory: 0, layout.CACert: 1, layout.Key: 2, layout.Cert: 2}
			last, key := 0, layout.File{}
			for _, f := range files {
				if rank[f.Part] < last {
					t.Errorf("%s: %s comes late", kind, f.Path)
				}
				last = rank[f.Part]
				if f.Part == layout.Cert && (key.Part != layout.Key || key.Role != f.Role) {
					t.Errorf("%s: %s comes before its key", kind, f.Path)
				}
				key = f
			}
		}
	}
}
