package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/renewal"
	"github.com/virt-pki/virt-pki/pkg/revocation"
)

// A wire is the way to a database, which can be cut.
type wire struct {
	URL string // of the database, by this way

	listener net.Listener
	target   string
	mu       sync.Mutex
	left     int // messages until it is cut; below zero: it holds
	messages int // since it was last mended
	conns    map[net.Conn]bool
}

const postgresSocket = ".s.PGSQL.5432"

// newWire makes a way to a database that listens on a UNIX socket.
func newWire(t *testing.T, source string) *wire {
	t.Helper()
	u, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: filepath.Join(u.Query().Get("host"), postgresSocket), left: -1, conns: map[net.Conn]bool{}}
	dir := peer.Dir(t)
	u.RawQuery = "host=" + dir
	w.URL = u.String()
	if w.listener, err = net.Listen("unix", filepath.Join(dir, postgresSocket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.listener.Close()
		w.cut()
	})
	go func() {
		for {
			c, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

// mend lets everything through again: all of it, or so many messages of the client. An odd moment comes after a message has
// gone out and before its answer is back, when nobody can know whether it was done.
func (w *wire) mend(left int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.messages = left, 0
}

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}

// end is cut for who holds the lock.
func (w *wire) end() {
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

// isCut reports whether the end was reached.
func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left == 0
}

func (w *wire) serve(client net.Conn) {
	server, err := net.Dial("unix", w.target)
	w.mu.Lock()
	refused := err != nil || w.left == 0
	if !refused {
		w.conns[client], w.conns[server] = true, true
	}
	w.mu.Unlock()
	if refused {
		client.Close()
		return
	}
	go func() {
		_, _ = io.Copy(client, server)
		client.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			server.Close()
			return
		}
		if w.pass(client, server, buffer[:n]) {
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			client.Close()
			return
		}
	}
}

// pass decides about a message, and reports whether the way is cut. The lock is held until all is closed, so that who mends it
// finds nothing of before.
func (w *wire) pass(client, server net.Conn, message []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	odd := w.messages%2 == 1
	w.messages++
	switch {
	case w.left < 0 || w.left > 1:
		w.left = max(w.left-1, -1)
		return false
	case w.left == 1 && odd: // the server gets it, and the answer is lost
		client.Close()
		_, _ = server.Write(message)
		time.Sleep(2 * time.Millisecond)
	}
	w.left = 0
	w.end()
	return true
}

// The database goes away at every message of everything that is done with an authority: what was being done says so and nothing
// is half done; when the database is back, the same once more completes it.
func TestPostgreSQLGoneAtEveryMessage(t *testing.T) {
	ctx := context.Background()
	server := peer.StartPostgreSQL(t)
	direct := server.Database(t, "inventory")
	way := newWire(t, direct)
	dir := filepath.Join(crash.QuickDir(t), "cluster")
	makeAll(t, treeSpec(t, dir), caSpec(t), Options{})
	authority := filepath.Join(dir, AuthorityName)
	if _, err := ca.MoveInventory(ctx, authority, direct); err != nil {
		t.Fatal(err)
	}
	unlocked := func(source string) (*ca.Authority, error) {
		a, err := ca.OpenShared(ctx, authority, source)
		if err != nil {
			return nil, err
		}
		return a, a.Unlock(nil)
	}
	sure, err := unlocked(direct)
	if err != nil {
		t.Fatal(err)
	}
	defer sure.Close()
	issue := func(a *ca.Authority, n int) error {
		s := Spec{Dir: dir, Now: time.Now(), Members: []Member{{Name: fmt.Sprintf("client%d", n), Role: certs.Client}}}
		p, err := s.Plan(a)
		if err == nil {
			_, err = p.Add(ctx, Options{})
		}
		var there *ExistsError
		if errors.As(err, &there) { // the first run came to its end, but for the database's last answer
			return nil
		}
		return err
	}
	var numbers []*big.Int
	for _, op := range []struct {
		name string
		do   func(a *ca.Authority, n int) error
		// after checks what must hold when it has been done once more.
		after func(n int) error
	}{
		{"issue", issue, func(n int) error {
			entries, err := sure.Inventory().List(ctx, inventory.Filter{Host: fmt.Sprintf("client%d", n), States: []inventory.State{inventory.Published}})
			if err == nil && len(entries) != 1 {
				err = fmt.Errorf("%d are published", len(entries))
			}
			return err
		}},
		{"renew", func(a *ca.Authority, n int) error {
			_, err := renewal.Run(ctx, a, renewal.Request{Spots: spotsIn(t, dir), Select: func(e inventory.Entry) bool { return e.Host == "admin" }, Now: time.Now()})
			return err
		}, func(int) error {
			crash.Pairs(t, "renewed", spotsIn(t, dir))
			entries, err := sure.Inventory().List(ctx, inventory.Filter{Host: "admin", States: []inventory.State{inventory.Published}})
			if err == nil && len(entries) != 1 {
				err = fmt.Errorf("%d are published", len(entries))
			}
			return err
		}},
		{"revoke", func(a *ca.Authority, n int) error {
			entries, err := a.Inventory().ByHost(ctx, fmt.Sprintf("client%d", n))
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
		}, func(n int) error {
			entries, err := sure.Inventory().ByHost(ctx, fmt.Sprintf("client%d", n))
			for _, e := range entries {
				if e.Revoked == nil {
					err = fmt.Errorf("%s is not revoked", e.Serial)
				}
			}
			return err
		}},
		{"publish", func(a *ca.Authority, n int) error {
			list, err := a.MakeList(ctx, time.Now(), 0)
			if err != nil {
				return err
			}
			issuer, err := certs.Import(a.CertDER())
			if err != nil {
				return err
			}
			numbers = append(numbers, list.Number)
			_, err = revocation.Publish(spotsIn(t, dir), issuer, list.List, false)
			return err
		}, func(int) error {
			if n := len(numbers); n > 1 && numbers[n-1].Cmp(numbers[n-2]) <= 0 {
				return fmt.Errorf("number %v after %v", numbers[n-1], numbers[n-2])
			}
			return nil
		}},
	} {
		cuts := 0
		for n := 1; ; n++ {
			when := fmt.Sprintf("%s, the database gone at message %d", op.name, n)
			way.mend(n)
			a, err := unlocked(way.URL)
			if err == nil {
				err = op.do(a, n)
				a.Close()
			}
			if err == nil && !way.isCut() {
				break
			}
			cuts++
			var lost *inventory.StoreError
			switch {
			case err == nil: // cut when all was done
			case !errors.As(err, &lost) || lost.Trouble != inventory.Unreachable || len(lost.Hints()) == 0 || strings.Contains(err.Error(), "panic"):
				t.Errorf("%s: %v", when, err)
			}
			crash.Accounted(t, dir, sure)
			way.mend(-1)
			again, err := unlocked(way.URL)
			if err != nil {
				t.Fatalf("%s: afterwards: %v", when, err)
			}
			err = op.do(again, n)
			again.Close()
			if err == nil {
				err = op.after(n)
			}
			if err != nil {
				t.Errorf("%s: afterwards: %v", when, err)
			}
			crash.NoLeftovers(t, when, dir)
			crash.Accounted(t, dir, sure)
		}
		if cuts < 5 {
			t.Errorf("%s: only %d moments", op.name, cuts)
		}
		t.Logf("%s: %d moments", op.name, cuts)
	}
}

// A move of the inventory that loses its database leaves a whole inventory where the authority says that it is.
func TestMovingTheInventoryLosesNothing(t *testing.T) {
	ctx := context.Background()
	way := newWire(t, peer.StartPostgreSQL(t).Database(t, "inventory"))
	dir := filepath.Join(crash.QuickDir(t), "cluster")
	makeAll(t, treeSpec(t, dir), caSpec(t), Options{})
	authority := filepath.Join(dir, AuthorityName)
	check := func(when string, shared bool) {
		t.Helper()
		a := open(t, dir)
		defer a.Close()
		if got := crash.States(t, a); got != "4 published" {
			t.Errorf("%s: %s", when, got)
		}
		crash.Accounted(t, dir, a)
		if inventory.IsPostgres(a.Inventory().Path()) != shared {
			t.Errorf("%s: it is in %s", when, a.Inventory().Path())
		}
	}
	for _, back := range []bool{false, true} {
		to, return_ := way.URL, ""
		if back {
			to, return_ = "", way.URL
			if _, err := ca.MoveInventory(ctx, authority, way.URL); err != nil {
				t.Fatal(err)
			}
		}
		cuts := 0
		for n := 1; ; n++ {
			when := fmt.Sprintf("to %q, gone at message %d", to, n)
			way.mend(n)
			_, err := ca.MoveInventory(ctx, authority, to)
			cut := way.isCut()
			way.mend(-1)
			if err != nil && !cut {
				t.Fatalf("%s: %v", when, err)
			}
			if err == nil && !cut {
				check(when, !back)
				break
			}
			cuts++
			if _, err := ca.MoveInventory(ctx, authority, to); err != nil {
				t.Errorf("%s: once more: %v", when, err)
			}
			check(when+", once more", !back)
			if _, err := ca.MoveInventory(ctx, authority, return_); err != nil {
				t.Fatalf("%s: back: %v", when, err)
			}
			check(when+", back", back)
		}
		if cuts < 5 {
			t.Errorf("only %d moments", cuts)
		}
		if !back {
			if _, err := ca.MoveInventory(ctx, authority, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}
