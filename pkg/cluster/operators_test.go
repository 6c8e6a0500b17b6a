package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// opened opens an authority, with its inventory where it says, and unlocks it.
func opened(dir string) (*ca.Authority, error) {
	a, err := ca.Open(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	return a, a.Unlock(nil)
}

// runOperator is a process that issues: the arguments are the authority, a name and how many. It prints the serial numbers, and
// revokes every tenth.
func runOperator(args []string) error {
	ctx := context.Background()
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	a, err := opened(args[0])
	if err != nil {
		return err
	}
	defer a.Close()
	for n := range count {
		host := fmt.Sprintf("%s-%d", args[1], n)
		subject, err := dn.Parse("CN=" + host)
		if err != nil {
			return err
		}
		p, err := a.Prepare(time.Now(), ca.Order{Request: certs.Request{Role: certs.Client, Subject: subject}, Host: host, Layout: "libvirt"})
		if err != nil {
			return err
		}
		issued, err := a.Issue(ctx, p)
		if err != nil {
			return err
		}
		if err := a.Inventory().MarkPublished(ctx, issued.Entry.Key); err != nil {
			return err
		}
		if n%10 == 0 {
			if err := a.Inventory().Revoke(ctx, issued.Entry.Key, time.Now(), 1); err != nil {
				return err
			}
		}
		fmt.Println(issued.Entry.Serial)
	}
	return nil
}

// runPublisher is a process that makes revocation lists until a file is there: the arguments are the authority and the file. It
// prints number, date and length of each.
func runPublisher(args []string) error {
	a, err := opened(args[0])
	if err != nil {
		return err
	}
	defer a.Close()
	for {
		_, ended := os.Stat(args[1])
		list, err := a.MakeList(context.Background(), time.Now(), 0)
		var clock *inventory.ClockError
		if errors.As(err, &clock) { // more than sixty within a minute
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		fmt.Println(list.Number, list.ThisUpdate.Unix(), list.Len())
		if ended == nil {
			return nil
		}
		time.Sleep(150 * time.Millisecond)
	}
}

// Eight processes issue a hundred certificates each while two publish revocation lists: every certificate is known, no serial
// number and no number of a list is there twice, and no list says less than one before.
func TestEightProcessesIssueAtOnce(t *testing.T) {
	for _, where := range []string{"SQLite", "PostgreSQL"} {
		t.Run(where, func(t *testing.T) {
			dir, a := clusterIn(t, crash.QuickDir(t))
			authority := filepath.Join(dir, AuthorityName)
			if where == "PostgreSQL" {
				a.Close()
				if _, err := ca.MoveInventory(context.Background(), authority, peer.StartPostgreSQL(t).Database(t, "inventory")); err != nil {
					t.Fatal(err)
				}
				a = open(t, dir)
			}
			before := map[string]bool{}
			for _, e := range entriesOf(t, a) {
				before[e.Serial] = true
			}
			const processes, each = 8, 100
			ended := filepath.Join(t.TempDir(), "ended")
			start := func(cmd *exec.Cmd) (*exec.Cmd, *bytes.Buffer) {
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return cmd, &out
			}
			var operators, publishers []*exec.Cmd
			var serials, lists []*bytes.Buffer
			for range 2 {
				cmd, out := start(crash.Self("publish", authority, ended))
				publishers, lists = append(publishers, cmd), append(lists, out)
			}
			for n := range processes {
				cmd, out := start(crash.Self("operate", authority, fmt.Sprintf("operator%d", n), strconv.Itoa(each)))
				operators, serials = append(operators, cmd), append(serials, out)
			}
			for n, cmd := range operators {
				if err := cmd.Wait(); err != nil {
					t.Errorf("operator %d: %v: %s", n, err, serials[n])
				}
			}
			if err := os.WriteFile(ended, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for n, cmd := range publishers {
				if err := cmd.Wait(); err != nil {
					t.Errorf("publisher %d: %v: %s", n, err, lists[n])
				}
			}
			if t.Failed() {
				t.FailNow()
			}
			known := map[string]bool{}
			for _, e := range entriesOf(t, a) {
				if before[e.Serial] {
					continue
				}
				if e.State != inventory.Published {
					t.Errorf("%s is %s", e.Serial, e.State)
				}
				known[e.Serial] = true
			}
			given := map[string]bool{}
			for _, out := range serials {
				for _, serial := range strings.Fields(out.String()) {
					if given[serial] || !known[serial] {
						t.Errorf("%s: twice %v, known %v", serial, given[serial], known[serial])
					}
					given[serial] = true
				}
			}
			if len(given) != processes*each || len(known) != processes*each {
				t.Errorf("%d given out, %d known", len(given), len(known))
			}
			// By number, dates rise strictly and lengths never fall.
			type made struct {
				number, date int64
				length       int
			}
			byNumber, last := map[int64]made{}, int64(0)
			for _, out := range lists {
				previous := int64(0)
				for line := range strings.Lines(out.String()) {
					var m made
					if _, err := fmt.Sscan(line, &m.number, &m.date, &m.length); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					if _, twice := byNumber[m.number]; twice || m.number <= previous {
						t.Errorf("list %d after %d", m.number, previous)
					}
					byNumber[m.number], previous, last = m, m.number, max(last, m.number)
				}
			}
			var previousList made
			for n := int64(1); n <= last; n++ {
				m, ok := byNumber[n]
				if !ok {
					t.Errorf("nobody has made list %d", n)
					continue
				}
				if m.date <= previousList.date || m.length < previousList.length {
					t.Errorf("list %d says less, or is no later, than the one before: %v, %v", n, m, previousList)
				}
				previousList = m
			}
			if len(byNumber) < 4 || previousList.length != processes*each/10 {
				t.Errorf("%d lists, the last of %d", len(byNumber), previousList.length)
			}
			own, _, err := a.CRL()
			if err != nil || own.Number.Cmp(big.NewInt(last)) != 0 {
				t.Errorf("the authority's file has list %v of %d, %v", own.Number, last, err)
			}
			t.Logf("%d certificates, %d lists", len(known), len(byNumber))
		})
	}
}

func entriesOf(t *testing.T, a *ca.Authority) []inventory.Entry {
	t.Helper()
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
