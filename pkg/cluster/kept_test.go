package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/revocation"
)

// runKept is a process that does one thing with an authority: "revoke" a name, "list" (make one and post it), "export" and
// "import". The arguments are the verb, the cluster and what the verb needs.
func runKept(args []string) error {
	ctx := context.Background()
	verb, dir := args[0], args[1]
	key := backup.Key{Passphrase: []byte("x")}
	if verb == "import" {
		f, err := os.Open(args[2])
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = ca.Restore(ctx, dir, f, ca.Import{Key: key})
		return err
	}
	a, err := opened(filepath.Join(dir, AuthorityName))
	if err != nil {
		return err
	}
	defer a.Close()
	switch verb {
	case "revoke":
		entries, err := a.Inventory().ByHost(ctx, args[2])
		if err != nil {
			return err
		}
		var keys []inventory.Key
		for _, e := range entries {
			if e.Revoked == nil {
				keys = append(keys, e.Key)
			}
		}
		return a.Inventory().RevokeAll(ctx, keys, time.Now(), 1)
	case "list":
		list, err := a.MakeList(ctx, time.Now(), 0)
		if err != nil {
			return err
		}
		issuer, err := certs.Import(a.CertDER())
		if err != nil {
			return err
		}
		spots, err := Spots(dir)
		if err != nil {
			return err
		}
		_, err = revocation.Publish(spots, issuer, list.List, false)
		return err
	case "export":
		_, err := a.Export(ctx, args[2], ca.Export{Seal: backup.Seal{Passphrase: key.Passphrase, WorkFactor: 1}, Now: time.Now()})
		return err
	case "move":
		_, err := ca.MoveInventory(ctx, filepath.Join(dir, AuthorityName), args[2])
		return err
	}
	return fmt.Errorf("what is %q?", verb)
}

// A disk that is full or read-only is said by revoke and by publishing, nothing changes, and the same once more completes it.
func TestRevokeAndPublishOnAFullOrReadOnlyDisk(t *testing.T) {
	d := newDisk(t)
	if r := d.program(t, "make", on+"/cluster"); r.Exit != 0 {
		t.Fatal(r)
	}
	list := filepath.Join(d.outside, "cluster", AuthorityName, "cacrl.pem")
	before := func() string {
		text, err := os.ReadFile(list)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	d.remount(t, "ro")
	for _, verb := range []string{"revoke", "list"} {
		r := d.program(t, "kept", verb, on+"/cluster", "admin")
		if r.Exit != 1 || !strings.Contains(r.Stderr, "the inventory cannot be written") || !strings.Contains(r.Stderr, "hint: ") {
			t.Errorf("%s, read-only: %v", verb, r)
		}
	}
	d.remount(t, "rw")
	for _, verb := range []string{"revoke", "list"} {
		refused := 0
		for free := 0; ; free += 8 {
			was := before()
			d.fill(t, free)
			r := d.program(t, "kept", verb, on+"/cluster", "admin")
			if r.Exit == 0 {
				break
			}
			refused++
			if !strings.Contains(r.Stderr, "no space left") || !strings.Contains(r.Stderr, "hint: ") {
				t.Fatalf("%s, %d KiB free: %v", verb, free, r)
			}
			// A list that was made and could not be put everywhere is there, whole.
			if now := before(); now != was && !strings.HasSuffix(now, "-----END X509 CRL-----\n") {
				t.Errorf("%s, %d KiB free: the list is %q", verb, free, now)
			}
			crash.NoLeftovers(t, verb, filepath.Join(d.outside, "cluster"))
		}
		if refused == 0 {
			t.Errorf("%s: it never was full", verb)
		}
		t.Logf("%s: refused %d times", verb, refused)
	}
	d.fill(t, 900)
	if r := d.program(t, "kept", "list", on+"/cluster", "admin"); r.Exit != 0 {
		t.Error(r)
	}
}
