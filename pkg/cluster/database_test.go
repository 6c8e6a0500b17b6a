package cluster

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// The inventory of a new authority is in PostgreSQL from the start, and every command finds it there without being told.
func TestANewAuthorityKeepsItsInventoryInPostgreSQL(t *testing.T) {
	server := peer.StartPostgreSQL(t)
	source := server.Database(t, "pki")
	out := filepath.Join(peer.Dir(t), "c")
	authority := filepath.Join(out, AuthorityName)
	has := func(want string, args ...string) {
		t.Helper()
		if r := virtPKI(t, args...); r.Exit != 0 || !strings.Contains(r.Stdout, want) {
			t.Errorf("%q: %v", args, r)
		}
	}
	has("kvm1", "init", "--no-passphrase", "--out", out, "--server", "kvm1", "--client", "alice", "--db", source)
	has("bob", "issue", "client", "bob", "--no-passphrase", "--out", out, "--json")
	has("revoked client alice", "revoke", "alice", "--authority", authority)
	has("number 1, 1 certificate revoked", "crl", "publish", "--no-passphrase", "--out", out)
	has("client bob", "renew", "bob", "--no-passphrase", "--out", out)
	has("bob", "list", "--authority", authority)
	has("postgres://virtpki@/pki", "ca", "show", "--authority", authority)
	if got := server.SQL(t, "pki", "SELECT count(*) FROM certificates"); got != "4" {
		t.Errorf("%s certificates in the database", got)
	}
	// Gone: said, and nothing is made.
	server.Stop()
	gone := filepath.Join(peer.Dir(t), "gone")
	for _, args := range [][]string{
		{"init", "--no-passphrase", "--out", gone, "--server", "kvm1", "--db", source},
		{"issue", "client", "carol", "--no-passphrase", "--out", out},
		{"revoke", "bob", "--all", "--authority", authority},
		{"crl", "publish", "--no-passphrase", "--out", out},
		{"renew", "bob", "--no-passphrase", "--out", out},
		{"list", "--authority", authority},
	} {
		r := virtPKI(t, args...)
		if r.Exit != 3 || !strings.Contains(r.Stderr, "the inventory's database cannot be reached") || !strings.Contains(r.Stderr, "virt-pki: hint: ") || r.Stdout != "" {
			t.Errorf("%q: %v", args, r)
		}
	}
	if found, _ := filepath.Glob(gone + "*"); len(found) > 0 {
		t.Errorf("made: %v", found)
	}
	server.Restart(t)
	has("carol", "issue", "client", "carol", "--no-passphrase", "--out", out)
}
