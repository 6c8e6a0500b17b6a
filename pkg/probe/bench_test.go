package probe

import (
	"context"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// BenchmarkDial verifies one TLS URI against a real daemon, from reading the files to the good-bye.
func BenchmarkDial(b *testing.B) {
	peer.Need(b, "libvirtd")
	ca := testpki.NewCA(b)
	dir := peer.Dir(b)
	testpki.WriteFlat(b, dir, ca, ca.Server("localhost"), ca.Client("admin"))
	u := peer.Start(b, peer.Options{Dir: dir}).MustBeReady(b).URIFor("localhost", "pkipath="+dir)
	for b.Loop() {
		r, err := Dial(context.Background(), u, Options{URI: uri.Options{Settings: uri.Fixed{}}, At: time.Now()})
		if err != nil || r.Outcome != finding.Connected {
			b.Fatalf("%+v %v", r, err)
		}
	}
}

// BenchmarkVirsh is what it is measured against.
func BenchmarkVirsh(b *testing.B) {
	peer.Need(b, "libvirtd", "virsh")
	ca := testpki.NewCA(b)
	dir := peer.Dir(b)
	testpki.WriteFlat(b, dir, ca, ca.Server("localhost"), ca.Client("admin"))
	u := peer.Start(b, peer.Options{Dir: dir}).MustBeReady(b).URIFor("localhost", "pkipath="+dir)
	for b.Loop() {
		if r := peer.Virsh(b, u); r.Exit != 0 {
			b.Fatal(r)
		}
	}
}
