package scan_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/testcluster"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/scan"
)

// found scans a directory.
func found(t *testing.T, dir string) scan.Found {
	t.Helper()
	var f scan.Found
	if err := f.Scan(os.DirFS(dir), func(name string) string { return name }); err != nil {
		t.Fatal(err)
	}
	return f
}

// issue has a client's certificate issued, and not published.
func issue(t *testing.T, a *ca.Authority, client string) ca.Issued {
	t.Helper()
	p, err := a.Prepare(time.Now(), ca.Order{Request: certs.Request{Role: certs.Client, Subject: testcluster.Name(t, "CN="+client)}, Host: client, Layout: "libvirt"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func write(t *testing.T, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatLiesSeveralTimesIsFoundOnce(t *testing.T) {
	authority := testpki.NewCA(t)
	server := authority.Server("kvm1.example.com")
	fsys := fstest.MapFS{"a/etc/pki/libvirt/servercert.pem": {Data: server.CertPEM()}, "b/chain.pem": {Data: append(server.CertPEM(), authority.CertPEM()...)},
		"b/serverkey.pem": {Data: []byte("-----BEGIN CERTIFICATE-----\n")}, "b/notes.txt": {Data: authority.CertPEM()}}
	var f scan.Found
	if err := f.Scan(fsys, func(name string) string { return "/t/" + name }); err != nil {
		t.Fatal(err)
	}
	if len(f.Certificates) != 2 || strings.Join(f.Certificates[0].Files, " ") != "/t/a/etc/pki/libvirt/servercert.pem /t/b/chain.pem" {
		t.Fatalf("%+v", f.Certificates)
	}
	e := scan.Describe(f.Certificates[0])
	if e.Host != "kvm1.example.com" || e.Role != certs.Server || e.Layout != "libvirt" || e.State != inventory.Foreign || e.Serial == "" {
		t.Errorf("%+v", e)
	}
	if e := scan.Describe(f.Certificates[1]); e.Host != "CN=Test CA" || e.Role != 0 || e.Layout != "" {
		t.Errorf("%+v", e)
	}
}

func TestAnAuthorityFromABackupLearnsWhatCameAfterIt(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	testcluster.Make(t, testcluster.Spec(t, dir)).Close()
	restored := filepath.Join(t.TempDir(), "restored")
	crash.CopyTree(t, dir, restored)
	if err := os.Chmod(filepath.Join(restored, cluster.AuthorityName), 0o700); err != nil {
		t.Fatal(err)
	}

	// What the backup does not know: a certificate, and that another is revoked.
	a := testcluster.Open(t, dir)
	late := issue(t, a, "late")
	files := t.TempDir()
	write(t, files, "late.pem", late.PEM())
	admin, err := a.Inventory().ByHost(ctx, "admin")
	if err != nil || len(admin) != 1 {
		t.Fatal(admin, err)
	}
	if err := a.Inventory().Revoke(ctx, admin[0].Key, time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	list, err := a.MakeList(ctx, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	write(t, files, "cacrl.pem", list.PEM())
	stranger := testpki.NewCA(t)
	write(t, files, "stranger.pem", append(stranger.Client("eve").CertPEM(), stranger.CRL(99)...))

	b := testcluster.Open(t, restored)
	for _, dryRun := range []bool{true, false} {
		got, err := scan.Adopt(ctx, b, found(t, files), time.Now(), dryRun)
		if err != nil || len(got.Registered) != 1 || got.Registered[0].Key != late.Entry.Key || len(got.Revoked) != 1 || got.Revoked[0].Key != admin[0].Key ||
			got.Revoked[0].Revoked.Reason != 1 || got.Lists != 1 || got.Last.Number.Cmp(list.Number) != 0 {
			t.Errorf("dry run %v: %+v, %v", dryRun, got, err)
		}
	}
	if got, err := scan.Adopt(ctx, b, found(t, files), time.Now(), false); err != nil || len(got.Registered)+len(got.Revoked)+len(got.Published) > 0 {
		t.Errorf("once more: %+v, %v", got, err)
	}
	if next, err := b.MakeList(ctx, list.ThisUpdate.Add(time.Second), 0); err != nil || next.Number.Cmp(list.Number) <= 0 || next.Len() != 1 {
		t.Errorf("the next list: %+v, %v", next, err)
	}
}

func TestWhatWasNeverPublishedIsGivenUpUnlessItLiesThere(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	a := testcluster.Make(t, testcluster.Spec(t, dir))
	lies, lost := issue(t, a, "lies"), issue(t, a, "lost")
	files := t.TempDir()
	write(t, files, "clientcert.pem", lies.PEM())
	g := scan.GivingUp{Now: time.Now(), Older: time.Hour, Reason: 5}
	if got, err := scan.GiveUp(ctx, a, found(t, files), g); err != nil || len(got.Young) != 1 || len(got.Revoked) != 0 || len(got.Published) != 1 {
		t.Errorf("young: %+v, %v", got, err)
	}
	g.Now = g.Now.Add(2 * time.Hour)
	g.DryRun = true
	for range 2 {
		got, err := scan.GiveUp(ctx, a, found(t, files), g)
		if err != nil || len(got.Young) != 0 || len(got.Revoked) != 1 || got.Revoked[0].Key != lost.Entry.Key || len(got.Published) != 0 {
			t.Errorf("dry run %v: %+v, %v", g.DryRun, got, err)
		}
		g.DryRun = false
	}
	e, err := a.Inventory().Get(ctx, lost.Entry.Key)
	if err != nil || e.State != inventory.Abandoned || e.Revoked == nil || e.Revoked.Reason != 5 {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := a.Inventory().Get(ctx, lies.Entry.Key); err != nil || e.State != inventory.Published || e.Revoked != nil {
		t.Errorf("%+v, %v", e, err)
	}
}
