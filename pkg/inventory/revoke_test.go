package inventory

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudflare/cfssl/certdb"
	certsql "github.com/cloudflare/cfssl/certdb/sql"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// everywhere runs a test on an inventory of each kind.
func everywhere(t *testing.T, test func(t *testing.T, inv *Inventory)) {
	t.Run("sqlite", func(t *testing.T) { test(t, create(t)) })
	t.Run("postgres", func(t *testing.T) {
		inv, err := Create(context.Background(), peer.StartPostgreSQL(t).Database(t, "inventory"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inv.Close() })
		test(t, inv)
	})
}

func TestBothDatabasesKeepTheSame(t *testing.T) {
	ctx := context.Background()
	everywhere(t, func(t *testing.T, inv *Inventory) {
		var all []Entry
		for i := range int64(45) { // more than one statement takes
			e := entry(i+1, fmt.Sprintf("kvm%d", i%3))
			e.Created = day.Add(time.Duration(i) * time.Second)
			all = append(all, e)
		}
		all[1].Names, all[1].Addresses, all[1].Subject = nil, nil, `CN=Zoë "the\, one"`
		if err := inv.Record(ctx, all...); err != nil {
			t.Fatal(err)
		}
		got, err := inv.List(ctx, Filter{})
		if diff := cmp.Diff(all, got, cmpopts.EquateComparable(netip.Addr{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if es, err := inv.ByHost(ctx, "kvm1"); err != nil || len(es) != 15 {
			t.Errorf("by host: %d, %v", len(es), err)
		}
		if es, err := inv.BySerial(ctx, "0A"); err != nil || len(es) != 1 || es[0].Serial != "A" {
			t.Errorf("by serial: %+v, %v", es, err)
		}
		if err := inv.Record(ctx, entry(100, "x"), entry(2, "y")); !errors.Is(err, ErrDuplicateSerial) {
			t.Errorf("a duplicate: %v", err)
		}
		if _, err := inv.BySerial(ctx, "64"); !errors.Is(err, ErrNotFound) {
			t.Errorf("the rest of a batch with a duplicate: %v", err)
		}
		if err := inv.MarkPublished(ctx, all[0].Key, all[1].Key); err != nil {
			t.Fatal(err)
		}
		if err := inv.MarkSuperseded(ctx, all[0].Key); err != nil {
			t.Fatal(err)
		}
		var state *StateError
		if err := inv.Abandon(ctx, all[2].Key, all[0].Key); !errors.As(err, &state) {
			t.Errorf("a superseded one abandoned: %v", err)
		}
		if es, err := inv.List(ctx, Filter{States: []State{Issued, Abandoned}}); err != nil || len(es) != 43 {
			t.Errorf("by state: %d, %v", len(es), err)
		}
		again, err := Open(ctx, inv.openPath())
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	})
}

// openPath is what Open takes; the tests' databases have no password.
func (inv *Inventory) openPath() string { return inv.path }

func TestARevocationIsNeverOverwritten(t *testing.T) {
	ctx := context.Background()
	everywhere(t, func(t *testing.T, inv *Inventory) {
		a, b, c := entry(1, "a"), entry(2, "b"), entry(3, "c")
		if err := inv.Record(ctx, a, b, c); err != nil {
			t.Fatal(err)
		}
		at := day.Add(90*time.Minute + 300*time.Millisecond)
		if err := inv.Revoke(ctx, a.Key, at, 1); err != nil {
			t.Fatal(err)
		}
		err := inv.Revoke(ctx, a.Key, at.Add(time.Hour), 4)
		var revoked *RevokedError
		if !errors.As(err, &revoked) || revoked.Revocation != (Revocation{day.Add(90 * time.Minute), 1}) ||
			!strings.HasSuffix(err.Error(), "certificate 1 has been revoked already, on 2026-11-25T11:30:00Z") {
			t.Errorf("%v", err)
		}
		// All or none.
		if err := inv.RevokeAll(ctx, []Key{b.Key, a.Key}, at, 5); !errors.As(err, &revoked) {
			t.Errorf("%v", err)
		}
		if err := inv.Revoke(ctx, Key{"FF", a.Authority}, at, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown one: %v", err)
		}
		for _, reason := range []int{-1, 7, 8, 11} {
			if err := inv.Revoke(ctx, c.Key, at, reason); err == nil {
				t.Errorf("reason %d", reason)
			}
		}
		es, err := inv.Revoked(ctx, a.Authority)
		if err != nil || len(es) != 1 || es[0].Serial != "1" || *es[0].Revoked != revoked.Revocation {
			t.Errorf("%+v, %v", es, err)
		}
		if es, err := inv.Revoked(ctx, "cd"); err != nil || len(es) != 0 {
			t.Errorf("another authority's: %+v, %v", es, err)
		}
		if es, err := inv.List(ctx, Filter{InForce: true}); err != nil || len(es) != 2 {
			t.Errorf("in force: %+v, %v", es, err)
		}
		// cfssl's tools see it as their own.
		var record []certdb.CertificateRecord
		if record, err = certsql.NewAccessor(inv.db).GetCertificate("1", a.Authority); err != nil || len(record) != 1 ||
			record[0].Status != "revoked" || record[0].Reason != 1 || !record[0].RevokedAt.Equal(revoked.Revocation.At) {
			t.Errorf("cfssl: %+v, %v", record, err)
		}
		if err := certsql.NewAccessor(inv.db).RevokeCertificate("2", a.Authority, 5); err != nil {
			t.Fatal(err)
		}
		if es, err := inv.Revoked(ctx, ""); err != nil || len(es) != 2 || es[1].Revoked.Reason != 5 {
			t.Errorf("revoked by cfssl: %+v, %v", es, err)
		}
	})
}

func TestWhatEndsWhen(t *testing.T) {
	ctx := context.Background()
	everywhere(t, func(t *testing.T, inv *Inventory) {
		var es []Entry
		for i := range int64(10) {
			e := entry(i+1, "h")
			e.NotAfter = day.AddDate(0, 0, int(i))
			es = append(es, e)
		}
		if err := inv.Record(ctx, es...); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(inv.MarkPublished(ctx, es[0].Key), inv.MarkSuperseded(ctx, es[0].Key), inv.Abandon(ctx, es[1].Key),
			inv.Revoke(ctx, es[2].Key, day, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := inv.List(ctx, Filter{InForce: true, EndsBefore: day.AddDate(0, 0, 5)})
		if err != nil || len(got) != 2 || got[0].Serial != "4" || got[1].Serial != "5" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestListNumbersAndDatesRise(t *testing.T) {
	ctx := context.Background()
	everywhere(t, func(t *testing.T, inv *Inventory) {
		a := entry(0x1F, "a")
		if err := inv.Record(ctx, a); err != nil {
			t.Fatal(err)
		}
		if _, err := inv.LastList(ctx, a.Authority); !errors.Is(err, ErrNotFound) {
			t.Errorf("no list yet: %v", err)
		}
		next := func(now time.Time, atLeast *big.Int) string {
			t.Helper()
			l, err := inv.NextList(ctx, a.Authority, now, time.Hour, atLeast)
			if err != nil {
				return err.Error()
			}
			var keys []string
			for _, r := range l.Revoked {
				keys = append(keys, fmt.Sprintf("%s/%d", r.Serial, r.Reason))
			}
			return fmt.Sprintf("%v %s %s %v", l.Number, l.ThisUpdate.Format("15:04:05"), l.NextUpdate.Format("15:04:05"), keys)
		}
		large, _ := new(big.Int).SetString("700000000000000000000000000000000000000", 10)
		for _, c := range []struct {
			name    string
			now     time.Time
			atLeast *big.Int
			want    string
		}{
			{"the first", day.Add(400 * time.Millisecond), nil, "1 10:00:00 11:00:00 []"},
			{"the same second", day.Add(500 * time.Millisecond), nil, "2 10:00:01 11:00:01 []"},
			{"half a minute back", day.Add(-30 * time.Second), nil, "3 10:00:02 11:00:02 []"},
			{"an hour on", day.Add(time.Hour), big.NewInt(2), "4 11:00:00 12:00:00 []"},
			{"a high number of another program's list", day.Add(2 * time.Hour), large, "700000000000000000000000000000000000000 12:00:00 13:00:00 []"},
			{"and on from there", day.Add(3 * time.Hour), nil, "700000000000000000000000000000000000001 13:00:00 14:00:00 []"},
		} {
			if got := next(c.now, c.atLeast); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
		var clock *ClockError
		if _, err := inv.NextList(ctx, a.Authority, day, time.Hour, nil); !errors.As(err, &clock) ||
			!strings.HasSuffix(err.Error(), "the last revocation list is of 2026-11-25T13:00:00Z, and the clock says 2026-11-25T10:00:00Z") {
			t.Errorf("%v", err)
		}
		if err := inv.Revoke(ctx, a.Key, day, 4); err != nil {
			t.Fatal(err)
		}
		if got, want := next(day.Add(4*time.Hour), nil), "700000000000000000000000000000000000002 14:00:00 15:00:00 [1F/4]"; got != want {
			t.Errorf("with a revocation: %s", got)
		}
		if l, err := inv.NextList(ctx, "cd", day, time.Hour, nil); err != nil || l.Number.Int64() != 1 || len(l.Revoked) != 0 {
			t.Errorf("another authority's: %+v, %v", l, err)
		}
		if s, err := inv.LastList(ctx, "cd"); err != nil || s.Number.Int64() != 1 || !s.ThisUpdate.Equal(day) || !s.NextUpdate.Equal(day.Add(time.Hour)) {
			t.Errorf("the last: %+v, %v", s, err)
		}
	})
}

// Eight openings of one inventory, as eight processes would have, revoke and number lists at a time.
func TestListsMadeAtTheSameTimeNeverTakeARevocationBack(t *testing.T) {
	ctx := context.Background()
	everywhere(t, func(t *testing.T, inv *Inventory) {
		const workers, each = 8, 10
		for i := range int64(workers * each) {
			if err := inv.Record(ctx, entry(i+1, "h")); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var lists []NumberedList
		var group sync.WaitGroup
		for w := range int64(workers) {
			group.Go(func() {
				own, err := Open(ctx, inv.openPath())
				if err != nil {
					t.Error(err)
					return
				}
				defer own.Close()
				for i := range int64(each) {
					k := NewKey(big.NewInt(w*each+i+1), []byte{0xab, 1})
					if err := own.Revoke(ctx, k, day, 1); err != nil {
						t.Error(err)
					}
					// The clock runs, or the lists of one second would be too many.
					l, err := own.NextList(ctx, k.Authority, day.Add(time.Duration(i)*time.Hour), time.Hour, nil)
					var clock *ClockError
					if errors.As(err, &clock) { // another worker is ahead of this one's pretended clock
						continue
					}
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					lists = append(lists, l)
					mu.Unlock()
				}
			})
		}
		group.Wait()
		slices.SortFunc(lists, func(a, b NumberedList) int { return a.Number.Cmp(b.Number) })
		if len(lists) < each {
			t.Errorf("only %d lists", len(lists))
		}
		for i := 1; i < len(lists); i++ {
			a, b := lists[i-1], lists[i]
			if a.Number.Cmp(b.Number) >= 0 || !b.ThisUpdate.After(a.ThisUpdate) || len(b.Revoked) < len(a.Revoked) {
				t.Errorf("list %v of %v (%d revoked) is followed by %v of %v (%d revoked)", a.Number, a.ThisUpdate, len(a.Revoked),
					b.Number, b.ThisUpdate, len(b.Revoked))
			}
		}
	})
}

func TestSeveralProcessesShareAPostgreSQL(t *testing.T) {
	source := peer.StartPostgreSQL(t).Database(t, "inventory") // empty: they also compete for the migrations
	recordAsProcesses(t, source)
}

func TestADatabaseThatIsGoneIsSaidSo(t *testing.T) {
	ctx := context.Background()
	server := peer.StartPostgreSQL(t)
	source := server.Database(t, "inventory")
	inv, err := Open(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	defer inv.Close()
	if err := inv.Record(ctx, entry(1, "a")); err != nil {
		t.Fatal(err)
	}
	unreachable := func(what string, err error) {
		t.Helper()
		var se *StoreError
		if !errors.As(err, &se) || se.Trouble != Unreachable || len(se.Hints()) != 1 ||
			!strings.Contains(err.Error(), "the inventory's database cannot be reached") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// In the middle of a transaction: it is not known to have happened, and a repetition tells.
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := insert(ctx, tx, insertCertificates, certificateColumns, first(rows([]Entry{entry(2, "b")}))); err != nil {
		t.Fatal(err)
	}
	server.SQL(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'inventory'")
	unreachable("commit", inv.wrap(doingRecord, tx.Commit()))
	_ = tx.Rollback()
	if _, err := inv.BySerial(ctx, "2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("half a record: %v", err)
	}
	server.Stop()
	unreachable("record", inv.Record(ctx, entry(2, "b")))
	unreachable("list", second(inv.List(ctx, Filter{})))
	unreachable("open", second(Open(ctx, source)))
	server.Restart(t)
	if err := inv.Record(ctx, entry(2, "b")); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	if es, err := inv.List(ctx, Filter{}); err != nil || len(es) != 2 {
		t.Errorf("%d, %v", len(es), err)
	}
	unreachable("no such database", second(Open(ctx, server.URL("nosuch"))))
}

func first(a, _ []any, _ error) []any { return a }

func TestAForeignDatabaseOfPostgreSQL(t *testing.T) {
	ctx := context.Background()
	server := peer.StartPostgreSQL(t)
	source := server.Database(t, "shared")
	server.SQL(t, "shared", "CREATE TABLE stock (n int)")
	inv, err := Open(ctx, source) // other tables are no harm
	if err != nil {
		t.Fatal(err)
	}
	inv.Close()
	server.SQL(t, "shared", "UPDATE virt_pki_schema SET version = 99 WHERE version = (SELECT max(version) FROM virt_pki_schema)")
	var newer *NewerError
	if _, err := Open(ctx, source); !errors.As(err, &newer) || newer.Schema != 99 {
		t.Errorf("%v", err)
	}
	other := server.Database(t, "other")
	server.SQL(t, "other", "CREATE TABLE certificates (n int)")
	if _, err := Open(ctx, other); !errors.Is(err, ErrNotInventory) {
		t.Errorf("%v", err)
	}
	ms, err := postgres.migrations()
	if err != nil {
		t.Fatal(err)
	}
	made := server.Database(t, "cfssl")
	server.SQL(t, "cfssl", ms[0].sql+ms[1].sql+`;INSERT INTO certificates (serial_number, authority_key_identifier, status, pem) VALUES ('5','cd','good','x')`)
	if inv, err = Open(ctx, made); err != nil {
		t.Fatal(err)
	}
	defer inv.Close()
	if es, err := inv.List(ctx, Filter{}); err != nil || len(es) != 1 || es[0].State != Foreign {
		t.Errorf("a certdb of cfssl: %+v, %v", es, err)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:secret@h/d?sslmode=disable": "postgres://u@h/d?sslmode=disable",
		"postgres://h/d?user=u&password=secret":   "postgres://h/d?user=u",
		"postgres://u:se%zzcret@h/d":              "postgres://...",
		"postgresql://u@h":                        "postgresql://u@h",
	} {
		if got := withoutPassword(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for _, in := range []string{"postgres://u:secret@h:port/d", "postgres://u:secret%zz@h/d", "postgres://u:secret@h/d?sslmode=odd"} {
		if _, err := Open(context.Background(), in); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestCopyBetweenTheDatabases(t *testing.T) {
	ctx := context.Background()
	server := peer.StartPostgreSQL(t)
	from := create(t)
	a, b, c := entry(1, "a"), entry(2, "b"), entry(3, "c")
	if err := errors.Join(from.Record(ctx, a, b, c), from.MarkPublished(ctx, a.Key), from.Revoke(ctx, b.Key, day, 1),
		second(from.NextList(ctx, a.Authority, day, time.Hour, nil))); err != nil {
		t.Fatal(err)
	}
	if err := certsql.NewAccessor(from.db).InsertCertificate(certdb.CertificateRecord{Serial: "77", AKI: "cd", Status: "good", PEM: "x", Expiry: day}); err != nil {
		t.Fatal(err)
	}
	want, err := from.List(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(inv *Inventory) {
		t.Helper()
		got, err := inv.List(ctx, Filter{})
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if s, err := inv.LastList(ctx, a.Authority); err != nil || s.Number.Int64() != 1 || !s.ThisUpdate.Equal(day) {
			t.Errorf("%+v, %v", s, err)
		}
	}
	pg, err := Open(ctx, server.Database(t, "inventory"))
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	for range 2 { // the second time there is nothing to do
		if n, err := Copy(ctx, from, pg); err != nil || n != 4 {
			t.Errorf("%d copied, %v", n, err)
		}
		check(pg)
	}
	back, err := Create(ctx, filepath.Join(t.TempDir(), "back.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if n, err := Copy(ctx, pg, back); err != nil || n != 4 {
		t.Errorf("%d copied back, %v", n, err)
	}
	check(back)
	// What is known better there stays: a copy never takes back a revocation or a number.
	if err := errors.Join(pg.Revoke(ctx, c.Key, day, 4), second(pg.NextList(ctx, a.Authority, day.Add(time.Hour), time.Hour, nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(ctx, from, pg); err != nil {
		t.Error(err)
	}
	if e, err := pg.Get(ctx, c.Key); err != nil || e.Revoked == nil {
		t.Errorf("%+v, %v", e, err)
	}
	if s, err := pg.LastList(ctx, a.Authority); err != nil || s.Number.Int64() != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	// Nor does it put another certificate in one's place.
	other := create(t)
	x := entry(1, "a")
	x.PEM = []byte("another")
	if err := other.Record(ctx, x); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(ctx, other, pg); !errors.Is(err, ErrDuplicateSerial) {
		t.Errorf("another certificate of the serial: %v", err)
	}
}
