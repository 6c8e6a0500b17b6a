package cluster

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/crash"
)

// numberAt gives the number of the list in a file, nil where there is no file; what is no list fails the test.
func numberAt(t *testing.T, when, file string) *big.Int {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	lists, err := crl.ParsePEM(text)
	if err != nil || len(lists) != 1 {
		t.Fatalf("%s: %s: %d lists, %v", when, file, len(lists), err)
	}
	return lists[0].Number
}

// Killed before every system call that changes a file: afterwards nothing is half written, no number of a list comes twice or
// goes back, and the same once more completes it.
func TestRevokeAndPublishKilledAtEveryWrite(t *testing.T) {
	ctx := context.Background()
	dir, a := clusterIn(t, crash.QuickDir(t))
	lists := []string{filepath.Join(dir, AuthorityName, "cacrl.pem")}
	for _, s := range spotsIn(t, dir) {
		lists = append(lists, s.Shown(s.Paths(certs.Client).CRL))
	}
	for _, verb := range []string{"revoke", "list"} {
		var calls []string
		seen := map[string]*big.Int{}
		for n := 1; ; n++ {
			when := fmt.Sprintf("%s killed before change %d", verb, n)
			client := fmt.Sprintf("%s%d", verb, n)
			issueDirectly(t, a, client)
			reached, call := traced(t, n, crash.Self("kept", verb, dir, client))
			if !reached {
				break
			}
			when += " (" + call + ")"
			calls = append(calls, strings.Fields(call)[0])
			check := func(when string) {
				t.Helper()
				for _, file := range lists {
					number := numberAt(t, when, file)
					if old := seen[file]; old != nil && (number == nil || number.Cmp(old) < 0) {
						t.Errorf("%s: %s has number %v after %v", when, file, number, old)
					}
					seen[file] = number
				}
				crash.Accounted(t, dir, a)
			}
			check(when)
			if verb == "list" { // dates rise by a second with each
				time.Sleep(20 * time.Millisecond)
			}
			if out, err := crash.Self("kept", verb, dir, client).CombinedOutput(); err != nil {
				t.Fatalf("%s: once more: %v: %s", when, err, out)
			}
			check(when + ", once more")
			if verb == "revoke" {
				entries, err := a.Inventory().ByHost(ctx, client)
				if err != nil || len(entries) != 1 || entries[0].Revoked == nil {
					t.Errorf("%s: once more: %+v, %v", when, entries, err)
				}
			} else {
				for _, file := range lists[1:] {
					if seen[file].Cmp(seen[lists[0]]) != 0 {
						t.Errorf("%s: once more: %s has number %v, the authority %v", when, file, seen[file], seen[lists[0]])
					}
				}
			}
		}
		slices.Sort(calls)
		t.Logf("%s: %d changes, %v", verb, len(calls), slices.Compact(calls))
		if len(calls) < 6 {
			t.Errorf("%s: only %d changes", verb, len(calls))
		}
	}
}

// A backup that is killed leaves none, or a whole one; a restoration no directory, or a whole authority.
func TestExportAndImportKilledAtEveryWrite(t *testing.T) {
	dir, a := clusterIn(t, crash.QuickDir(t))
	top := crash.QuickDir(t)
	file := filepath.Join(top, "whole.age")
	if err := runKept([]string{"export", dir, file}); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"export", "import"} {
		changes := 0
		for n := 1; ; n++ {
			above := crash.QuickDir(t)
			made := filepath.Join(above, "made")
			args := []string{"kept", verb, dir, made}
			if verb == "import" {
				args = []string{"kept", verb, made, file}
			}
			reached, call := traced(t, n, crash.Self(args[0], args[1:]...))
			if !reached {
				break
			}
			changes++
			when := fmt.Sprintf("%s killed before change %d (%s)", verb, n, call)
			crash.Closed(t, when, above)
			if _, err := os.Lstat(made); err != nil { // not published: once more
				if out, err := crash.Self(args[0], args[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%s: once more: %v: %s", when, err, out)
				}
			}
			if verb == "export" {
				f, err := os.Open(made)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ca.ReadBackup(context.Background(), f, backup.Key{Passphrase: []byte("x")}); err != nil {
					t.Errorf("%s: once more: %v", when, err)
				}
				f.Close()
				continue
			}
			crash.NoLeftovers(t, when, above)
			b, err := opened(made)
			if err != nil {
				t.Fatalf("%s: once more: %v", when, err)
			}
			if got, want := crash.States(t, b), crash.States(t, a); got != want {
				t.Errorf("%s: once more: %s, want %s", when, got, want)
			}
			b.Close()
		}
		t.Logf("%s: %d changes", verb, changes)
		if changes < 5 {
			t.Errorf("%s: only %d changes", verb, changes)
		}
	}
}

func issueDirectly(t *testing.T, a *ca.Authority, client string) {
	t.Helper()
	ctx := context.Background()
	p, err := a.Prepare(time.Now(), ca.Order{Request: certs.Request{Role: certs.Client, Subject: name(t, "CN="+client)}, Host: client, Layout: "libvirt"})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Inventory().MarkPublished(ctx, issued.Entry.Key); err != nil {
		t.Fatal(err)
	}
}
