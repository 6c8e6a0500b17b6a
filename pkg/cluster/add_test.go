package cluster

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// cluster makes a cluster of one server and gives its directory and authority.
func cluster(t testing.TB) (string, *ca.Authority) {
	t.Helper()
	return clusterIn(t, t.TempDir())
}

func clusterIn(t testing.TB, above string) (string, *ca.Authority) {
	t.Helper()
	dir := filepath.Join(above, "cluster")
	makeAll(t, Spec{Dir: dir, Now: time.Now(), Members: []Member{member(t, certs.Server, "kvm1")}}, caSpec(t), Options{})
	return dir, open(t, dir)
}

func TestAddPutsTreesBesideTheOthers(t *testing.T) {
	dir, a := cluster(t)
	s := treeSpec(t, dir, layout.Libvirt, layout.QEMU)
	s.QEMUGroup = "kvm"
	made, err := add(t, s, a)
	if err != nil {
		t.Fatal(err)
	}
	if len(made.Identities) != 7 || made.Proof.Pairs != 2*2+2*2 || len(made.Closed) != 4 {
		t.Errorf("%d identities, %d pairs, closed %q", len(made.Identities), made.Proof.Pairs, made.Closed)
	}
	for _, f := range append(made.Closed, made.Identities[0].Files[0].Path) {
		if _, err := os.Lstat(f); err != nil {
			t.Error(err)
		}
	}
	if got := crash.States(t, a); got != "8 published" {
		t.Errorf("inventory: %s", got)
	}
	if n := crash.Accounted(t, dir, a); n != 1+2+6+4+4 {
		t.Errorf("%d certificates", n)
	}
}

func TestAddMakesANewDirectoryForOthers(t *testing.T) {
	_, a := cluster(t)
	s := treeSpec(t, filepath.Join(t.TempDir(), "a", "b"))
	if _, err := add(t, s, a); err != nil {
		t.Fatal(err)
	}
	if got := crash.Tree(t, filepath.Dir(s.Dir))[:3]; fmt.Sprint(got) != "[0755 ./ 0700 b/ 0755 b/admin/]" {
		t.Errorf("%v", got)
	}
}

func TestAddFillsAFlatDirectory(t *testing.T) {
	_, a := cluster(t)
	dir := filepath.Join(t.TempDir(), "flat")
	s := flatSpec(t, dir)
	all := s.Members
	s.Members = all[:1]
	if _, err := add(t, s, a); err != nil {
		t.Fatal(err)
	}
	want := []string{"0700 ./", "0600 cacert.pem", "0600 servercert.pem", "0600 serverkey.pem"}
	if d := cmp.Diff(want, crash.Tree(t, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	s.Members = all[1:]
	if _, err := add(t, s, a); err != nil {
		t.Fatal(err)
	}
	if n := crash.Accounted(t, dir, a); n != 3 {
		t.Errorf("%d certificates", n)
	}
}

func TestAddOverwritesNothing(t *testing.T) {
	dir, a := cluster(t)
	flat := filepath.Join(t.TempDir(), "flat")
	s := flatSpec(t, flat)
	if _, err := add(t, s, a); err != nil {
		t.Fatal(err)
	}
	_, other := cluster(t)
	write := func(path string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(dir + "/file")
	if err := os.Symlink("nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "half")
	write(half + "/serverkey.pem")
	foreign := filepath.Join(t.TempDir(), "foreign")
	write(foreign + "/cacert.pem")
	before := [][]string{crash.Tree(t, dir), crash.Tree(t, flat), crash.Tree(t, half), crash.Tree(t, foreign)}
	was := crash.States(t, a)

	trees := func(name string) Spec {
		return Spec{Dir: dir, Now: time.Now(), Members: []Member{{Name: name, Role: certs.Client}, {Name: "new", Role: certs.Client}}}
	}
	flatAt := func(dir string) Spec {
		s := flatSpec(t, dir)
		s.Members = s.Members[:1]
		return s
	}
	replace := "a private key that is replaced is lost: move the files away first, or choose another place"
	for _, tt := range []struct {
		name       string
		spec       Spec
		a          *ca.Authority
		want, hint string
	}{
		{"a tree of that name", trees("kvm1"), a, `making "` + dir + `/kvm1": it is there already`,
			"choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"a file of that name", trees("file"), a, `making "` + dir + `/file": it is there already`,
			"choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"a link of that name", trees("link"), a, `making "` + dir + `/link": it is there already`,
			"choose another directory, or move this one away; virt-pki overwrites no keys"},
		{"an identity in a flat directory", s, a, "already there with other content: " + flat + "/serverkey.pem, " + flat +
			"/servercert.pem, " + flat + "/clientkey.pem, " + flat + "/clientcert.pem", replace},
		{"a key alone", flatAt(half), a, "already there with other content: " + half + "/serverkey.pem", replace},
		{"another CA", flatAt(foreign), other, "already there with other content: " + foreign + "/cacert.pem",
			"move the files away first, or choose another place"},
	} {
		p, err := tt.spec.Plan(tt.a)
		if err != nil {
			t.Fatal(err)
		}
		// Not even when asked to.
		_, err = p.Add(context.Background(), Options{WriteOptions: layout.WriteOptions{Replace: true, ReplaceKeys: true}})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if got := strings.Join(hint.Of(err), "; "); got != tt.hint {
			t.Errorf("%s: hint %s, want %s", tt.name, got, tt.hint)
		}
	}
	for i, after := range [][]string{crash.Tree(t, dir), crash.Tree(t, flat), crash.Tree(t, half), crash.Tree(t, foreign)} {
		if d := cmp.Diff(before[i], after); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
	}
	if got := crash.States(t, a); got != was {
		t.Errorf("inventory: %s, was %s", got, was)
	}
}

func TestAddNeedsTheKey(t *testing.T) {
	dir, _ := cluster(t)
	a, err := ca.Open(context.Background(), filepath.Join(dir, AuthorityName))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	out := filepath.Join(t.TempDir(), "out")
	if _, err := add(t, treeSpec(t, out), a); !errors.Is(err, ca.ErrLocked) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// request makes a CSR.
func request(t testing.TB, names ...string) *ca.CSR {
	t.Helper()
	key, err := certs.GenerateKey(certs.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "kvm7"},
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 7)}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ca.ParseCSR(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestARequestIsCertifiedWithoutAKeyFile(t *testing.T) {
	dir, a := cluster(t)
	csr := request(t, "kvm7", "kvm7.example.com")
	for _, s := range []Spec{
		{Dir: dir, Now: time.Now(), Members: []Member{{Name: "kvm7", Role: certs.Server}}},
		{Dir: filepath.Join(t.TempDir(), "flat"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []Member{{Name: "kvm7", Role: certs.Server}}},
	} {
		p, err := s.PlanCSR(a, csr)
		if err != nil {
			t.Fatal(err)
		}
		var planned []string
		for _, f := range p.Identities()[0].Files {
			planned = append(planned, filepath.Base(f.Path))
		}
		if got := strings.Join(planned, " "); got != "cacert.pem servercert.pem" {
			t.Errorf("planned: %s", got)
		}
		made, err := p.Add(context.Background(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(made.Identities[0].Names, " "); got != "kvm7 kvm7.example.com 192.0.2.7" {
			t.Errorf("names: %s", got)
		}
		crash.Walk(t, p.spec.tree(s.Members[0]), func(path string, text []byte, _ fs.FileInfo) {
			if strings.Contains(string(text), "PRIVATE KEY") {
				t.Errorf("%s holds a key", path)
			}
		})
	}
	if got := crash.States(t, a); got != "3 published" {
		t.Errorf("inventory: %s", got)
	}
	// A peer has two certificates for libvirt and one for QEMU, all for the request's key.
	s := Spec{Dir: filepath.Join(t.TempDir(), "peer"), Now: time.Now(), Kinds: []layout.Kind{layout.Libvirt, layout.QEMU}, Members: []Member{{Name: "kvm7", Role: certs.Peer}}}
	both, err := s.PlanCSR(a, csr)
	if err != nil {
		t.Fatal(err)
	}
	made, err := both.Add(context.Background(), Options{})
	if err != nil || len(made.Identities) != 3 || len(made.Proof.Failures) > 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	found := 0
	crash.Walk(t, s.Dir, func(path string, text []byte, _ fs.FileInfo) {
		cert, err := certs.ImportPEM(text)
		if err == nil && certs.SameKey(cert.PublicKey, csr.Public) {
			found++
		}
		if strings.Contains(string(text), "PRIVATE KEY") {
			t.Errorf("%s holds a key", path)
		}
	})
	if found != 4 {
		t.Errorf("%d certificates of the request's key", found)
	}
	// A request is one member's.
	s.Members = append(s.Members, Member{Name: "kvm8", Role: certs.Peer})
	if _, err := s.PlanCSR(a, csr); err == nil || err.Error() != "a request is for one member" {
		t.Errorf("%v", err)
	}
	s = Spec{Dir: dir, Now: time.Now(), Members: []Member{{Name: "kvm8", Role: certs.Peer}}}
	// What is certified must be what clients look for.
	s.Members[0].Role = certs.Server
	p, err := s.PlanCSR(a, csr)
	if err != nil {
		t.Fatal(err)
	}
	if e, failures := p.readEnd(os.DirFS(dir), 0, certs.Server, a.Policy().Libvirt); len(e.Hosts) > 0 || len(failures) == 0 || failures[0].Outcome != finding.DaemonDown {
		t.Errorf("nothing is there, but: %+v, %+v", e, failures)
	}
}

func TestAddsOfSeveralProcessesLoseNothing(t *testing.T) {
	dir, a := cluster(t)
	flat := t.TempDir()
	const processes, each = 4, 4
	var group sync.WaitGroup
	for n := range processes {
		group.Go(func() {
			for i := range each {
				client := fmt.Sprintf("client%d-%d", n, i)
				if out, err := crash.Self("add", dir, dir, client).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", client, err, out)
				}
			}
			// All want the same: one gets it.
			out, err := crash.Self("add", dir, dir, "wanted").CombinedOutput()
			if err != nil && !strings.Contains(string(out), `wanted": it is there already`) {
				t.Errorf("%v: %s", err, out)
			}
			out, err = crash.Self("add-flat", dir, filepath.Join(flat, "flat"), "wanted").CombinedOutput()
			if err != nil && !strings.Contains(string(out), "already there with other content") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
	if got, want := crash.States(t, a), fmt.Sprintf("%d published", 1+processes*each+2); got != want {
		t.Errorf("inventory: %s, want %s", got, want)
	}
	if n := crash.Accounted(t, dir, a); n != 1+2+2*(processes*each+1) {
		t.Errorf("%d certificates", n)
	}
	if got := crash.Tree(t, filepath.Join(flat, "flat")); len(got) != 4 {
		t.Errorf("%v", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2+processes*each+1 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left: %s", e.Name())
		}
	}
}

// interrupted issues and puts the files in their place, but says nothing to the inventory, as an Add that is killed.
func interrupted(t testing.TB, s Spec, a *ca.Authority, put func(files []layout.File) []layout.File) ca.Issued {
	t.Helper()
	p, err := s.Plan(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.issue(context.Background(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := p.files(p.members()[0], b.issued, a.BundlePEM())
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := openDir(s.Dir, 0o700, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := layout.Write(d, put(files), layout.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.issued[0]
}

func TestAnInterruptedAddIsFinishedOnlyIfTheSameIsWanted(t *testing.T) {
	_, a := cluster(t)
	withoutCert := func(files []layout.File) (out []layout.File) {
		for _, f := range files {
			if f.Part != layout.Cert {
				out = append(out, f)
			}
		}
		return out
	}
	spec := func(client string) Spec {
		return Spec{Dir: filepath.Join(t.TempDir(), "flat"), Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(),
			Members: []Member{{Name: client, Role: certs.Client}}}
	}
	s := spec("alice")
	was := interrupted(t, s, a, withoutCert)

	// Another name, another key type, another subject, a request: none of them is what was begun.
	for i, change := range []func(*Spec){
		func(s *Spec) { s.Members[0].Name = "bob" },
		func(s *Spec) { s.Key = certs.Ed25519 },
		func(s *Spec) { s.Base = name(t, "O=Acme") },
	} {
		other := s
		other.Members = []Member{s.Members[0]}
		change(&other)
		var conflict *layout.ConflictError
		if _, err := add(t, other, a); !errors.As(err, &conflict) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	made, err := add(t, s, a)
	if err != nil {
		t.Fatal(err)
	}
	if got := made.Identities[0].Serial; got != was.Entry.Serial {
		t.Errorf("serial number %s, want that of the interrupted run, %s", got, was.Entry.Serial)
	}
	if text, err := os.ReadFile(s.Dir + "/clientcert.pem"); err != nil || string(text) != string(was.PEM()) {
		t.Errorf("%s, %v", text, err)
	}
	if e, err := a.Inventory().Get(context.Background(), was.Entry.Key); err != nil || e.State != inventory.Published {
		t.Errorf("%s, %v", e.State, err)
	}

	// Somebody's own key is not ours to use.
	s = spec("carol")
	interrupted(t, s, a, withoutCert)
	key, err := certs.GenerateKey(certs.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := certs.MarshalKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Dir+"/clientkey.pem", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := add(t, s, a); err == nil {
		t.Error("a foreign key was given a certificate")
	}
	// Work that lies elsewhere is left alone: it may be going on.
	s = spec("dave")
	interrupted(t, s, a, func(f []layout.File) []layout.File { return f })
	s.Dir = filepath.Join(t.TempDir(), "elsewhere")
	if _, err := add(t, s, a); err != nil {
		t.Error(err)
	}
	if got := crash.States(t, a); got != "2 issued, 3 published" {
		t.Errorf("inventory: %s", got)
	}
}
