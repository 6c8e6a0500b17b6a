package cluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// name reads a DN.
func name(t testing.TB, text string) dn.Name {
	t.Helper()
	n, err := dn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// member reads a member as on the command line.
func member(t testing.TB, role certs.Role, text string) Member {
	t.Helper()
	m, err := ParseMember(role, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// flatSpec is a server and a client in one flat directory.
func flatSpec(t testing.TB, dir string) Spec {
	t.Helper()
	return Spec{Dir: dir, Kinds: []layout.Kind{layout.PkiPath}, Now: time.Now(), Members: []Member{
		member(t, certs.Server, "localhost,127.0.0.1,::1"), member(t, certs.Client, "admin")}}
}

// treeSpec is two hosts and a client in trees.
func treeSpec(t testing.TB, dir string, kinds ...layout.Kind) Spec {
	t.Helper()
	return Spec{Dir: dir, Kinds: kinds, Base: name(t, "C=GB,O=Acme"), Now: time.Now(), Members: []Member{
		member(t, certs.Peer, "kvm1.example.com,192.0.2.1"), member(t, certs.Server, "kvm2.example.com,localhost,127.0.0.1"),
		member(t, certs.Client, "admin")}}
}

// caSpec is the CA of the tests.
func caSpec(t testing.TB) ca.Spec {
	t.Helper()
	return ca.Spec{Subject: name(t, "O=Acme,CN=Acme CA"), Now: time.Now()}
}

// founded makes a Found of a ca.Spec.
func founded(cs ca.Spec) Found {
	cs.Staged = true
	return func(ctx context.Context, dir string) (*ca.Authority, error) { return ca.Create(ctx, dir, cs) }
}

// plan plans with a double of the CA.
func plan(t testing.TB, s Spec, cs ca.Spec) *Plan {
	t.Helper()
	double, err := cs.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(double)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// makeAll makes a cluster.
func makeAll(t testing.TB, s Spec, cs ca.Spec, o Options) Made {
	t.Helper()
	made, err := plan(t, s, cs).Make(context.Background(), founded(cs), o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// open opens and unlocks a cluster's authority.
func open(t testing.TB, dir string) *ca.Authority {
	t.Helper()
	a, err := ca.Open(context.Background(), filepath.Join(dir, AuthorityName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	return a
}

// add plans and adds.
func add(t testing.TB, s Spec, a *ca.Authority) (Made, error) {
	t.Helper()
	p, err := s.Plan(a)
	if err != nil {
		return Made{}, err
	}
	return p.Add(context.Background(), Options{})
}
