package ca

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// TestAStagedAuthorityLeavesSynchronisingToItsCaller makes one in a tree that is published later, and issues.
func TestAStagedAuthorityLeavesSynchronisingToItsCaller(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "hidden", "authority")
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	s := spec(t)
	s.Staged = true
	var steps []string
	s.Step = func(step string) { steps = append(steps, step) }
	a := create(t, dir, s)
	if got := strings.Join(steps, "\n"); strings.Contains(got, "sync") || !strings.Contains(got, "create "+inventoryFile) {
		t.Errorf("steps:\n%s", got)
	}
	got, _ := issue(t, a, order(t, certs.Server, "CN=kvm1", "kvm1"))
	if got.Entry.State != inventory.Published {
		t.Errorf("issued: %s", got.Entry.State)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(above, "cluster")
	if err := os.Rename(filepath.Dir(dir), place); err != nil {
		t.Fatal(err)
	}
	// From then on it is an authority like any other.
	b, err := Open(context.Background(), filepath.Join(place, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Inventory().Get(context.Background(), got.Entry.Key); err != nil || e.State != inventory.Published {
		t.Errorf("recorded: %s, %v", e.State, err)
	}
	if later, _ := issue(t, b, order(t, certs.Server, "CN=kvm2", "kvm2")); later.Entry.State != inventory.Issued {
		t.Errorf("issued later: %s", later.Entry.State)
	}
	entries, err := os.ReadDir(filepath.Join(place, "authority"))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), inventoryFile+"-") {
			t.Errorf("%s is left", e.Name())
		}
	}
	if err != nil {
		t.Error(err)
	}
}
