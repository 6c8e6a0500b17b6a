package ca

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// shared opens an authority once more, with its inventory in a database.
func shared(t *testing.T, dir, source string) *Authority {
	t.Helper()
	a, err := OpenShared(context.Background(), dir, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if err := a.Unlock(nil); err != nil {
		t.Fatal(err)
	}
	return a
}

func clientOrder(t *testing.T, name string) Order {
	t.Helper()
	subject, err := dn.Parse("CN=" + name)
	if err != nil {
		t.Fatal(err)
	}
	return Order{Request: certs.Request{Role: certs.Client, Subject: subject}, Host: name, Layout: "libvirt"}
}

func TestOperatorsShareAnInventoryInPostgreSQL(t *testing.T) {
	ctx := context.Background()
	dir := listAuthority(t).Dir()
	source := peer.StartPostgreSQL(t).Database(t, "inventory")
	const operators, each = 8, 12
	var group sync.WaitGroup
	for i := range operators {
		a := shared(t, dir, source)
		order := clientOrder(t, fmt.Sprintf("operator%d", i))
		group.Go(func() {
			for range each {
				p, err := a.Prepare(listTime, order)
				if err == nil {
					_, err = a.Issue(ctx, p)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			if _, err := a.MakeList(ctx, listTime, 0); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	a := shared(t, dir, source)
	entries, err := a.Inventory().List(ctx, inventory.Filter{})
	serials := map[string]bool{}
	for _, e := range entries {
		serials[e.Serial] = true
	}
	last, err2 := a.Inventory().LastList(ctx, a.ID())
	if err != nil || err2 != nil || len(entries) != operators*each || len(serials) != operators*each || last.Number.Int64() != operators {
		t.Errorf("%d entries, %d serial numbers, list %v; %v, %v", len(entries), len(serials), last.Number, err, err2)
	}
}

// A database that goes away at any moment of an issue leaves no certificate that it does not know: what was given out is there
// when it is back.
func TestALostDatabaseLeavesNoUnknownCertificate(t *testing.T) {
	ctx := context.Background()
	dir := listAuthority(t).Dir()
	server := peer.StartPostgreSQL(t)
	a := shared(t, dir, server.Database(t, "inventory"))
	order := clientOrder(t, "alice")
	given := map[string]bool{}
	failed := 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 40 {
			server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'inventory'")
		}
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		p, err := a.Prepare(listTime, order)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := a.Issue(ctx, p)
		var lost *inventory.StoreError
		switch {
		case err == nil:
			given[issued.Entry.Serial] = true
		case errors.As(err, &lost) && lost.Trouble == inventory.Unreachable:
			failed++
		default:
			t.Errorf("%v", err)
		}
	}
	server.Stop()
	p, err := a.Prepare(listTime, order)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(ctx, p); err == nil || !strings.Contains(err.Error(), "the inventory's database cannot be reached") {
		t.Errorf("the server is gone: %v", err)
	}
	server.Restart(t)
	entries, err := a.Inventory().List(ctx, inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, e := range entries {
		known[e.Serial] = true
	}
	for serial := range given {
		if !known[serial] {
			t.Errorf("%s was given out, and the inventory does not know it", serial)
		}
	}
	if len(given) == 0 {
		t.Error("nothing was issued")
	}
	t.Logf("%d given out, %d refused, %d known", len(given), failed, len(known))
}
