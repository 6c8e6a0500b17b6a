package testcluster

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Name reads a DN.
func Name(t testing.TB, text string) dn.Name {
	t.Helper()
	n, err := dn.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Spec is two hosts, one of them a peer, and a client in trees.
func Spec(t testing.TB, dir string, kinds ...layout.Kind) cluster.Spec {
	t.Helper()
	s := cluster.Spec{Dir: dir, Kinds: kinds, Base: Name(t, "C=GB,O=Acme"), Now: time.Now()}
	for _, m := range []struct {
		role certs.Role
		text string
	}{{certs.Peer, "kvm1.example.com,192.0.2.1"}, {certs.Server, "kvm2.example.com,localhost,127.0.0.1"}, {certs.Client, "admin"}} {
		member, err := cluster.ParseMember(m.role, m.text)
		if err != nil {
			t.Fatal(err)
		}
		s.Members = append(s.Members, member)
	}
	return s
}

// Make makes a cluster with a CA of its own, and opens its authority.
func Make(t testing.TB, s cluster.Spec) *ca.Authority {
	t.Helper()
	cs := ca.Spec{Subject: Name(t, "O=Acme,CN=Acme CA"), Now: time.Now(), Staged: true}
	double, err := cs.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(double)
	if err != nil {
		t.Fatal(err)
	}
	found := func(ctx context.Context, dir string) (*ca.Authority, error) { return ca.Create(ctx, dir, cs) }
	if _, err := p.Make(context.Background(), found, cluster.Options{}); err != nil {
		t.Fatal(err)
	}
	return Open(t, s.Dir)
}

// Open opens and unlocks a cluster's authority.
func Open(t testing.TB, dir string) *ca.Authority {
	t.Helper()
	a, err := unlocked(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// Reopen opens and unlocks a cluster's authority, and lists the layouts: what a program of the tests begins with. The caller
// closes the authority.
func Reopen(dir string) (*ca.Authority, []layout.Spot, error) {
	spots, err := cluster.Spots(dir)
	if err != nil {
		return nil, nil, err
	}
	a, err := unlocked(dir)
	return a, spots, err
}

func unlocked(dir string) (*ca.Authority, error) {
	a, err := ca.Open(context.Background(), filepath.Join(dir, cluster.AuthorityName))
	if err != nil {
		return nil, err
	}
	if err := a.Unlock(nil); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Add adds to a cluster.
func Add(t testing.TB, s cluster.Spec, a *ca.Authority) (cluster.Made, error) {
	t.Helper()
	p, err := s.Plan(a)
	if err != nil {
		return cluster.Made{}, err
	}
	return p.Add(context.Background(), cluster.Options{})
}

// Spots lists the layouts of a cluster.
func Spots(t testing.TB, dir string) []layout.Spot {
	t.Helper()
	spots, err := cluster.Spots(dir)
	if err != nil || len(spots) == 0 {
		t.Fatalf("%v, %v", spots, err)
	}
	return spots
}
