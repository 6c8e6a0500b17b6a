package cluster_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// BenchmarkMake makes clusters of 500 hosts, from the plan to the rename, with everything that virt-pki init does.
func BenchmarkMake(b *testing.B) {
	const hosts = 500
	subject, err := dn.Parse("CN=Example CA")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		spec := cluster.Spec{Dir: filepath.Join(dir, fmt.Sprint(i)), Kinds: []layout.Kind{layout.Libvirt}, Now: now}
		for h := range hosts {
			m, err := cluster.ParseMember(certs.Server, fmt.Sprintf("kvm%d.example.com,10.0.%d.%d", h, h/250, h%250+1))
			if err != nil {
				b.Fatal(err)
			}
			spec.Members = append(spec.Members, m)
		}
		admin, err := cluster.ParseMember(certs.Client, "admin")
		if err != nil {
			b.Fatal(err)
		}
		spec.Members = append(spec.Members, admin)
		cs := ca.Spec{Subject: subject, Now: now}
		double, err := cs.Rehearse()
		if err != nil {
			b.Fatal(err)
		}
		plan, err := spec.Plan(double)
		if err != nil {
			b.Fatal(err)
		}
		made, err := plan.Make(context.Background(), func(ctx context.Context, dir string) (*ca.Authority, error) {
			return ca.Create(ctx, dir, cs)
		}, cluster.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(made.Identities); n != hosts+1 || made.Proof.Handshakes != hosts {
			b.Fatalf("%d identities, %d handshakes", n, made.Proof.Handshakes)
		}
	}
}
