package renewal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/testcluster"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

// TestMain runs the test binary as the program of the tests when they ask for it.
func TestMain(m *testing.M) {
	crash.Main(m, "github.com/virt-pki/virt-pki/pkg/renewal", func(_ string, args []string, step func(string)) error { return runRenew(args[0], step) })
}

func everything(inventory.Entry) bool { return true }

func TestRenewReplacesInPlace(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name    string
		same    bool
		key     certs.KeyAlgorithm
		want    certs.KeyAlgorithm
		backups int
	}{
		{"new keys", false, "", certs.ECDSAP256, 2},
		{"the same keys", true, "", certs.ECDSAP256, 1},
		{"new keys of another kind", false, certs.Ed25519, certs.Ed25519, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cluster")
			a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt, layout.QEMU))
			if err := os.Chmod(dir+"/kvm1.example.com/etc/pki/qemu/server-key.pem", 0o640); err != nil { // as root:kvm would have it
				t.Fatal(err)
			}
			before := crash.Pairs(t, "before", testcluster.Spots(t, dir))
			result, err := renewal.Run(ctx, a, renewal.Request{Spots: testcluster.Spots(t, dir), Select: everything, SameKey: c.same, Key: c.key, Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			after := crash.Pairs(t, "after", testcluster.Spots(t, dir))
			if len(after) != len(before) || len(after) != 8 || len(result.Renewed) != 7 || len(result.Elsewhere)+len(result.Settled) != 0 {
				t.Fatalf("%d certificates, %d before; %+v", len(after), len(before), result)
			}
			for file, old := range before {
				cert := after[file]
				if bytes.Equal(old.Raw, cert.Raw) || !bytes.Equal(old.Subject.DER(), cert.Subject.DER()) ||
					certs.SameKey(old.PublicKey, cert.PublicKey) != c.same || fmt.Sprint(old.AltNames) != fmt.Sprint(cert.AltNames) ||
					fmt.Sprint(old.ExtKeyUsage.Purposes) != fmt.Sprint(cert.ExtKeyUsage.Purposes) {
					t.Errorf("%s: not what it was, with a new serial number", file)
				}
				if algorithm, _ := certs.AlgorithmOf(cert.PublicKey); algorithm != c.want {
					t.Errorf("%s: %s", file, algorithm)
				}
			}
			if info, err := os.Stat(dir + "/kvm1.example.com/etc/pki/qemu/server-key.pem"); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if n := crash.Count(t, a); n[inventory.Published] != 7 || n[inventory.Superseded] != 7 || n[inventory.Issued] != 0 {
				t.Errorf("%v", n)
			}
			backups := 0
			for _, r := range result.Renewed {
				backups += len(r.Backups)
				for _, b := range r.Backups {
					info, err := os.Stat(b)
					original, err2 := os.Stat(strings.Split(b, ".old-")[0])
					if err != nil || err2 != nil {
						t.Fatalf("%s: %v, %v", b, err, err2)
					}
					want := original.Mode()
					if strings.Contains(b, "key.pem") {
						want = 0o600
					}
					if info.Mode() != want {
						t.Errorf("%s: mode %v", b, info.Mode())
					}
				}
				if e, err := a.Inventory().Get(ctx, r.New.Key); err != nil || e.Host != r.Old.Host || e.Layout != r.Old.Layout || e.Role != r.Old.Role {
					t.Errorf("%+v, %v", e, err)
				}
			}
			if backups != c.backups*8 {
				t.Errorf("%d backups", backups)
			}
			crash.Accounted(t, dir, a)
			// What is superseded can still be revoked.
			if err := a.Inventory().Revoke(ctx, result.Renewed[0].Old.Key, time.Now(), 4); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRenewChoosesAndLeavesAlone(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt))
	before := crash.Pairs(t, "before", testcluster.Spots(t, dir))
	r := renewal.Request{Spots: testcluster.Spots(t, dir), Select: everything, Now: time.Now(), DryRun: true}
	if result, err := renewal.Run(ctx, a, r); err != nil || len(result.Renewed) != 4 {
		t.Errorf("%+v, %v", result, err)
	}
	if n := crash.Count(t, a); n[inventory.Published] != 4 || len(n) != 1 {
		t.Errorf("a dry run: %v", n)
	}
	r.DryRun = false
	r.Select = func(e inventory.Entry) bool { return e.Host == "admin" }
	if result, err := renewal.Run(ctx, a, r); err != nil || len(result.Renewed) != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	for file, cert := range crash.Pairs(t, "one", testcluster.Spots(t, dir)) {
		if same := bytes.Equal(cert.Raw, before[file].Raw); same == strings.Contains(file, "/admin/") {
			t.Errorf("%s: the same: %v", file, same)
		}
	}
	// What is not here is named; what is revoked is not renewed.
	if err := os.RemoveAll(dir + "/kvm2.example.com"); err != nil {
		t.Fatal(err)
	}
	kvm1, err := a.Inventory().ByHost(ctx, "kvm1.example.com")
	if err != nil || len(kvm1) != 2 {
		t.Fatal(kvm1, err)
	}
	if err := a.Inventory().Revoke(ctx, kvm1[0].Key, time.Now(), 1); err != nil {
		t.Fatal(err)
	}
	r.Spots, r.Select = testcluster.Spots(t, dir), everything
	result, err := renewal.Run(ctx, a, r)
	if err != nil || len(result.Renewed) != 2 || len(result.Elsewhere) != 1 || result.Elsewhere[0].Host != "kvm2.example.com" {
		t.Errorf("%+v, %v", result, err)
	}
	// A key that is not the certificate's cannot be kept, and is mended by a new one.
	key := dir + "/admin/etc/pki/libvirt/private/clientkey.pem"
	other, err := os.ReadFile(dir + "/kvm1.example.com/etc/pki/libvirt/private/clientkey.pem")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, other, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Select = func(e inventory.Entry) bool { return e.Host == "admin" }
	r.SameKey = true
	var ks *renewal.KeyStateError
	if _, err := renewal.Run(ctx, a, r); !errors.As(err, &ks) || err.Error() != fmt.Sprintf("%q: the key is not that of the certificate beside it", key) {
		t.Errorf("%v", err)
	}
	r.SameKey = false
	if _, err := renewal.Run(ctx, a, r); err != nil {
		t.Error(err)
	}
	crash.Pairs(t, "mended", testcluster.Spots(t, dir))
}

func TestACertificateOnRequestKeepsItsKey(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	a := testcluster.Make(t, testcluster.Spec(t, dir, layout.Libvirt))
	key := dir + "/admin/etc/pki/libvirt/private/clientkey.pem"
	if err := os.Remove(key); err != nil { // it is on the client's machine only
		t.Fatal(err)
	}
	result, err := renewal.Run(ctx, a, renewal.Request{Spots: testcluster.Spots(t, dir), Select: func(e inventory.Entry) bool { return e.Host == "admin" }, Now: time.Now()})
	if err != nil || len(result.Renewed) != 1 || !result.Renewed[0].KeyKept || result.Renewed[0].New.KeyID != result.Renewed[0].Old.KeyID {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a key was made")
	}
}

// runRenew is the program "renew" of the tests: it renews everything in a cluster that is older than a mark.
func runRenew(dir string, step func(string)) error {
	ctx := context.Background()
	a, spots, err := testcluster.Reopen(dir)
	if err != nil {
		return err
	}
	defer a.Close()
	mark, err := os.Stat(filepath.Join(dir, cluster.AuthorityName, "authority.json"))
	if err != nil {
		return err
	}
	_, err = renewal.Run(ctx, a, renewal.Request{Spots: spots, Now: time.Now(), Step: step,
		Select: func(e inventory.Entry) bool { return e.Created.Before(mark.ModTime()) }})
	return err
}

func TestRenewKilledAtEveryStep(t *testing.T) {
	for n := 1; ; n++ {
		when := fmt.Sprintf("renew killed before step %d", n)
		dir := filepath.Join(crash.QuickDir(t), "cluster")
		s := testcluster.Spec(t, dir, layout.Libvirt)
		s.Members = s.Members[:1]
		testcluster.Make(t, s).Close()
		old := crash.Pairs(t, when, testcluster.Spots(t, dir))
		// What was made up to now is due.
		later := time.Now().Add(2 * time.Second).Truncate(time.Second)
		if err := os.Chtimes(filepath.Join(dir, cluster.AuthorityName, "authority.json"), later, later); err != nil {
			t.Fatal(err)
		}
		if !crash.Killed(t, n, "renew", dir) {
			if n < 20 {
				t.Errorf("only %d steps", n)
			}
			return
		}
		crash.Closed(t, when, filepath.Dir(dir), "clientkey.pem")
		a := testcluster.Open(t, dir)
		crash.Known(t, when, testcluster.Spots(t, dir), a)
		if crash.Killed(t, 0, "renew", dir) {
			t.Fatal("killed")
		}
		for file, cert := range crash.Pairs(t, when+", and repeated", testcluster.Spots(t, dir)) {
			if bytes.Equal(cert.Raw, old[file].Raw) {
				t.Errorf("%s, and repeated: %s is still the old one", when, file)
			}
		}
		crash.NoLeftovers(t, when+", and repeated", dir)
		if c := crash.Count(t, a); c[inventory.Published] != 2 {
			t.Errorf("%s, and repeated: %v", when, c)
		}
		a.Close()
	}
}
