package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

func everything(inventory.Entry) bool { return true }

// spotsIn lists the layouts of a cluster.
func spotsIn(t testing.TB, dir string) []layout.Spot {
	t.Helper()
	spots, err := Spots(dir)
	if err != nil || len(spots) == 0 {
		t.Fatalf("%v, %v", spots, err)
	}
	return spots
}

// pairs checks that in each spot certificate and key belong together, and gives the certificates in force by file.
func pairs(t testing.TB, when string, dir string) map[string]*certs.Certificate {
	t.Helper()
	out := map[string]*certs.Certificate{}
	for _, s := range spotsIn(t, dir) {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			p := s.Paths(role)
			text, err := os.ReadFile(s.Shown(p.Cert))
			if os.IsNotExist(err) {
				continue
			}
			key, err2 := os.ReadFile(s.Shown(p.Key))
			cert, err3 := certs.ImportPEM(text)
			signer, err4 := certs.ParseKey(key, nil)
			if err := errors.Join(err, err2, err3, err4); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if !certs.SameKey(signer.Public(), cert.PublicKey) {
				t.Errorf("%s: %s: the key is another's", when, s.Shown(p.Cert))
			}
			out[s.Shown(p.Cert)] = cert
		}
	}
	return out
}

func count(t testing.TB, a *ca.Authority) map[inventory.State]int {
	t.Helper()
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	n := map[inventory.State]int{}
	for _, e := range entries {
		n[e.State]++
	}
	return n
}

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
			makeAll(t, treeSpec(t, dir, layout.Libvirt, layout.QEMU), caSpec(t), Options{})
			a := open(t, dir)
			if err := os.Chmod(dir+"/kvm1.example.com/etc/pki/qemu/server-key.pem", 0o640); err != nil { // as root:kvm would have it
				t.Fatal(err)
			}
			before := pairs(t, "before", dir)
			result, err := renewal.Run(ctx, a, renewal.Request{Spots: spotsIn(t, dir), Select: everything, SameKey: c.same, Key: c.key, Now: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			after := pairs(t, "after", dir)
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
			if n := count(t, a); n[inventory.Published] != 7 || n[inventory.Superseded] != 7 || n[inventory.Issued] != 0 {
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
			accounted(t, dir, a)
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
	makeAll(t, treeSpec(t, dir, layout.Libvirt), caSpec(t), Options{})
	a := open(t, dir)
	before := pairs(t, "before", dir)
	r := renewal.Request{Spots: spotsIn(t, dir), Select: everything, Now: time.Now(), DryRun: true}
	if result, err := renewal.Run(ctx, a, r); err != nil || len(result.Renewed) != 4 {
		t.Errorf("%+v, %v", result, err)
	}
	if n := count(t, a); n[inventory.Published] != 4 || len(n) != 1 {
		t.Errorf("a dry run: %v", n)
	}
	r.DryRun = false
	r.Select = func(e inventory.Entry) bool { return e.Host == "admin" }
	if result, err := renewal.Run(ctx, a, r); err != nil || len(result.Renewed) != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	for file, cert := range pairs(t, "one", dir) {
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
	r.Spots, r.Select = spotsIn(t, dir), everything
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
	pairs(t, "mended", dir)
}

func TestACertificateOnRequestKeepsItsKey(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "cluster")
	makeAll(t, treeSpec(t, dir, layout.Libvirt), caSpec(t), Options{})
	a := open(t, dir)
	key := dir + "/admin/etc/pki/libvirt/private/clientkey.pem"
	if err := os.Remove(key); err != nil { // it is on the client's machine only
		t.Fatal(err)
	}
	result, err := renewal.Run(ctx, a, renewal.Request{Spots: spotsIn(t, dir), Select: func(e inventory.Entry) bool { return e.Host == "admin" }, Now: time.Now()})
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
	a, err := ca.Open(ctx, filepath.Join(dir, AuthorityName))
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Unlock(nil); err != nil {
		return err
	}
	spots, err := Spots(dir)
	if err != nil {
		return err
	}
	mark, err := os.Stat(filepath.Join(dir, AuthorityName, "authority.json"))
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
		dir := filepath.Join(quickDir(t), "cluster")
		s := treeSpec(t, dir, layout.Libvirt)
		s.Members = s.Members[:1]
		makeAll(t, s, caSpec(t), Options{})
		old := pairs(t, when, dir)
		// What was made up to now is due.
		later := time.Now().Add(2 * time.Second).Truncate(time.Second)
		if err := os.Chtimes(filepath.Join(dir, AuthorityName, "authority.json"), later, later); err != nil {
			t.Fatal(err)
		}
		if !killed(t, n, "renew", dir) {
			if n < 20 {
				t.Errorf("only %d steps", n)
			}
			return
		}
		closed(t, when, filepath.Dir(dir), "clientkey.pem")
		a := open(t, dir)
		accountedFirst(t, when, dir, a)
		if killed(t, 0, "renew", dir) {
			t.Fatal("killed")
		}
		for file, cert := range pairs(t, when+", and repeated", dir) {
			if bytes.Equal(cert.Raw, old[file].Raw) {
				t.Errorf("%s, and repeated: %s is still the old one", when, file)
			}
		}
		noLeftovers(t, when+", and repeated", dir)
		if c := count(t, a); c[inventory.Published] != 2 {
			t.Errorf("%s, and repeated: %v", when, c)
		}
		a.Close()
	}
}

// accountedFirst checks that the inventory knows every certificate in the layouts.
func accountedFirst(t *testing.T, when, dir string, a *ca.Authority) {
	t.Helper()
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spotsIn(t, dir) {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			text, err := os.ReadFile(s.Shown(s.Paths(role).Cert))
			if err != nil || !slices.ContainsFunc(entries, func(e inventory.Entry) bool { return bytes.Equal(e.PEM, text) }) {
				t.Errorf("%s: %s is not in the inventory (%v)", when, s.Shown(s.Paths(role).Cert), err)
			}
		}
	}
}

func TestARealDaemonTakesWhatWasRenewed(t *testing.T) {
	peer.NeedNamespaces(t)
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	base := peer.Dir(t)
	out, admin := filepath.Join(base, "cluster"), filepath.Join(base, "admin")
	authority := filepath.Join(out, "authority")
	must(t, "init", "--no-passphrase", "--out", out, "--server", "localhost,127.0.0.1")
	must(t, "issue", "client", "admin", "--no-passphrase", "--pkipath", admin, "--authority", authority)
	machine := peer.NewMachine(t)
	copyTree(t, filepath.Join(out, "localhost/etc/pki"), machine.Path("/etc/pki"))
	place := peer.Place{Machine: machine}
	daemon := peer.Start(t, peer.Options{Place: place, DefaultPaths: true}).MustBeReady(t)
	letIn(t, "before", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	must(t, "renew", "--all", "--no-passphrase", "--authority", authority, "--root", machine.Path("/"), "--pkipath", admin)
	letIn(t, "the client renewed, the daemon as before", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatalf("%v", r)
	}
	letIn(t, "reloaded", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	daemon.Stop()
	daemon = peer.Start(t, peer.Options{Place: place, DefaultPaths: true}).MustBeReady(t)
	letIn(t, "started anew", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
	// The old client certificate, stolen from a backup, is revoked by its file.
	old, err := filepath.Glob(admin + "/clientcert.pem.old-*")
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	must(t, "revoke", old[0], "--reason", "superseded", "--authority", authority)
	stolen := filepath.Join(base, "stolen")
	copyTree(t, admin, stolen)
	keys, err := filepath.Glob(admin + "/clientkey.pem.old-*")
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for from, to := range map[string]string{old[0]: "clientcert.pem", keys[0]: "clientkey.pem"} {
		if text, err := os.ReadFile(from); err != nil || os.WriteFile(filepath.Join(stolen, to), text, 0o600) != nil {
			t.Fatal(err)
		}
	}
	letIn(t, "the old one, before", place.Virsh(t, daemon.URI("pkipath="+stolen)), true)
	must(t, "crl", "publish", "--no-passphrase", "--root", machine.Path("/"), "--authority", authority)
	if r := daemon.Admin(t, "server-update-tls", "libvirtd"); r.Exit != 0 {
		t.Fatalf("%v", r)
	}
	letIn(t, "the old one, revoked", place.Virsh(t, daemon.URI("pkipath="+stolen)), false)
	letIn(t, "the new one", place.Virsh(t, daemon.URI("pkipath="+admin)), true)
}
