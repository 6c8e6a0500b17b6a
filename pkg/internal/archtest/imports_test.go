package archtest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
)

// allowed says which packages of ours a package may import besides finding, which all may. Imports go downwards only.
var allowed = map[string][]string{
	"pkg/finding":   {},
	"pkg/uri":       {},
	"pkg/priority":  {},
	"templates":     {},
	"pkg/unit":      {},
	"pkg/dn":        {"pkg/internal/der"},
	"pkg/dnmatch":   {},
	"pkg/certs":     {"pkg/dn", "pkg/internal/der"},
	"pkg/crl":       {"pkg/certs", "pkg/dn", "pkg/internal/signature", "pkg/internal/der"},
	"pkg/chain":     {"pkg/certs", "pkg/crl", "pkg/dn", "pkg/internal/signature"},
	"pkg/inventory": {"pkg/certs", "pkg/internal/hint"},
	"pkg/backup":    {"pkg/internal/archive"},
	"pkg/selinux":   {},
	"pkg/layout":    {"pkg/certs", "pkg/selinux", "pkg/internal/durable", "pkg/internal/hint"},
	"pkg/conf":      {"pkg/dnmatch", "pkg/priority"},
	"pkg/verify":    {"pkg/certs", "pkg/crl", "pkg/dnmatch", "pkg/dn", "pkg/internal/signature", "pkg/internal/der"},
	// A CA's key in a PKCS#11 token: what kinds of keys there are.
	"pkg/token": {"pkg/certs"},
	// A CA's key on another machine.
	"pkg/remote": {"pkg/internal/hint"},
	"pkg/ca": {"pkg/certs", "pkg/verify", "pkg/inventory", "pkg/internal/durable", "pkg/internal/workers",
		// What certs takes and gives: names.
		"pkg/dn",
		// Where the key may be besides its directory.
		"pkg/token", "pkg/remote",
		// Revocation lists, which the authority numbers, signs and keeps; who signed a certificate that is to be revoked.
		"pkg/crl", "pkg/internal/signature",
		// What an authority is kept safe in.
		"pkg/backup"},
	"pkg/gnutls": {},
	"pkg/handshake": {"pkg/certs", "pkg/priority", "pkg/dnmatch", "pkg/verify",
		// Where crypto/tls cannot do what a priority says, the library of this machine makes the TLS.
		"pkg/gnutls",
		// What verify takes and certs gives.
		"pkg/crl", "pkg/dn"},
	// A host's tree onto its machine: keys, certificates and lists are compared with what is there.
	"pkg/installation": {"pkg/certs", "pkg/crl", "pkg/layout", "pkg/verify", "pkg/internal/durable"},
	// How a daemon is brought to take up new credentials, from its configuration and where they are.
	"pkg/reload": {"pkg/certs", "pkg/conf", "pkg/layout"},
	// Lists of an authority into the places that trust it; a drill issues, connects and revokes.
	"pkg/revocation": {"pkg/ca", "pkg/certs", "pkg/crl", "pkg/dn", "pkg/handshake", "pkg/inventory", "pkg/layout", "pkg/verify", "pkg/internal/durable"},
	// What lies in files, and what the inventory of an authority learns from it.
	"pkg/scan": {"pkg/ca", "pkg/certs", "pkg/crl", "pkg/inventory", "pkg/layout", "pkg/internal/durable"},
	// What ends when, and what stops working then.
	"pkg/expiry": {"pkg/certs", "pkg/crl", "pkg/inventory", "pkg/layout", "pkg/scan", "pkg/internal/hint"},
	// Identities as they lie, or are about to, connected in memory.
	"pkg/proof": {"pkg/certs", "pkg/handshake", "pkg/layout", "pkg/verify", "pkg/internal/durable", "pkg/internal/workers"},
	// New certificates in the place of old ones, wherever they lie.
	"pkg/renewal": {"pkg/ca", "pkg/certs", "pkg/inventory", "pkg/layout", "pkg/proof", "pkg/internal/durable", "pkg/internal/steps"},
	// The CA itself, stage by stage; a stage of its renews all certificates.
	"pkg/rotation": {"pkg/ca", "pkg/certs", "pkg/crl", "pkg/inventory", "pkg/layout", "pkg/proof", "pkg/renewal", "pkg/internal/durable", "pkg/internal/steps"},
	"pkg/cluster": {"pkg/ca", "pkg/crl", "pkg/inventory", "pkg/layout", "pkg/verify", "pkg/handshake", "pkg/dnmatch", "pkg/priority",
		// When a certificate is due; what proves that it works.
		"pkg/expiry", "pkg/proof",
		// What ca and verify take and give: requests, roles, names. One stage for the trees of all hosts, synced once.
		"pkg/certs", "pkg/dn", "pkg/internal/durable", "pkg/internal/workers", "pkg/internal/hint", "pkg/internal/steps"},
	"pkg/probe": {"pkg/handshake", "pkg/uri", "pkg/conf",
		// What handshake takes and gives: the versions and credentials of both ends, and how tls_priority reads.
		"pkg/certs", "pkg/verify", "pkg/priority",
		// The program that does what crypto/tls cannot, and its troubles.
		"pkg/gnutls"},

	"pkg/preflight": {"pkg/chain", "pkg/conf", "pkg/uri", "pkg/verify", "pkg/handshake", "pkg/priority", "pkg/certs", "pkg/crl", "pkg/dn", "pkg/dnmatch",
		// What a prediction shares with a real attempt: name look-up, libvirt.conf, and the rules of the stages.
		"pkg/probe", "pkg/internal/workers",
		// How systemd runs the daemon.
		"pkg/unit",
		// As for probe.
		"pkg/gnutls"},
	"pkg/bundle": {"pkg/certs", "pkg/crl", "pkg/layout", "pkg/selinux", "pkg/conf", "pkg/verify", "pkg/internal/durable", "pkg/internal/archive"},

	"pkg/internal/archive":   {},
	"pkg/internal/der":       {},
	"pkg/internal/durable":   {},
	"pkg/internal/hint":      {},
	"pkg/internal/workers":   {},
	"pkg/internal/steps":     {"pkg/internal/durable"},
	"pkg/internal/signature": {},

	"cmd/virt-pki": {"pkg/finding", "pkg/dn", "pkg/uri", "pkg/priority", "pkg/dnmatch", "pkg/certs", "pkg/crl", "pkg/inventory",
		"pkg/layout", "pkg/selinux", "pkg/conf", "pkg/verify", "pkg/ca", "pkg/handshake", "pkg/cluster", "pkg/probe", "pkg/preflight", "pkg/unit", "templates",
		"pkg/chain", "pkg/backup", "pkg/rotation", "pkg/renewal", "pkg/expiry", "pkg/scan", "pkg/revocation", "pkg/reload", "pkg/installation",
		// Where the CA's key may be.
		"pkg/token", "pkg/remote",
		"pkg/bundle",
		// What does the TLS that Go does not.
		"pkg/gnutls",
		// What is to be quick to start, see its doc.go.
		"cmd/virt-pki/early"},
	"cmd/virt-pki/early": {"pkg/certs"},
	// Each with the package in which the other end of its protocol is.
	"cmd/virt-pki-gnutls": {"pkg/priority", "pkg/gnutls"},
	"cmd/virt-pki-pkcs11": {"pkg/token"},
	"bench":               {},

	// For tests only, see testOnly.
	"pkg/internal/archtest": {},
	// What must hold of the files and the inventory that a killed program leaves.
	"pkg/internal/crash":       {"pkg/ca", "pkg/certs", "pkg/inventory", "pkg/layout", "pkg/internal/durable", "pkg/internal/hint"},
	"pkg/internal/gnutls":      {},
	"pkg/internal/peer":        {},
	"pkg/internal/testcluster": {"pkg/ca", "pkg/certs", "pkg/cluster", "pkg/dn", "pkg/layout"},
	"pkg/internal/testpki":     {},
	"pkg/internal/vectors":     {},
}

// testOnly are the packages that nothing but tests may import.
var testOnly = []string{"pkg/internal/archtest", "pkg/internal/crash", "pkg/internal/gnutls", "pkg/internal/peer",
	"pkg/internal/testcluster", "pkg/internal/testpki", "pkg/internal/vectors"}

// doors says through which packages a dependency comes in; the longest prefix of the import path counts. A dependency
// with no packages is for tests. docs/architecture.md gives each one's reason.
var doors = map[string][]string{
	"filippo.io/age":                     {"pkg/backup"},
	"github.com/BurntSushi/toml":         {"pkg/cluster"},
	"github.com/cloudflare/cfssl":        {"pkg/ca"},
	"github.com/cloudflare/cfssl/auth":   {"pkg/remote"}, // the HMAC of its API
	"github.com/cloudflare/cfssl/certdb": {},             // the accessor for its tables, which the inventory's tests work with
	"github.com/ebitengine/purego":       {"pkg/internal/gnutls", "cmd/virt-pki-gnutls", "cmd/virt-pki-pkcs11"},
	"github.com/gobwas/glob":             {"pkg/dnmatch"},
	"github.com/gofrs/flock":             {"pkg/internal/durable"},
	"github.com/jackc/pgx/v5":            {"pkg/inventory"},
	"github.com/jmoiron/sqlx":            {"pkg/inventory"},
	"github.com/urfave/cli/v2":           {"cmd/virt-pki"},
	"github.com/xdg-go/scram":            {"pkg/probe"}, // SASL's SCRAM-SHA-*
	"github.com/youmark/pkcs8":           {"pkg/certs"},
	"modernc.org/sqlite":                 {"pkg/inventory"},
	"golang.org/x/crypto":                {"pkg/certs"}, // scrypt, for keys encrypted by others
	"golang.org/x/crypto/ssh":            {"pkg/probe"}, // the transports libssh and libssh2
	// A DER reader and builder, no more than a part of the standard library that lives elsewhere.
	"golang.org/x/crypto/cryptobyte": {"pkg/crl", "pkg/verify", "pkg/chain", "pkg/internal/signature"},
	// Names into punycode: of hosts to issue for, and of hosts to match as GnuTLS does.
	"golang.org/x/net/idna": {"pkg/ca", "pkg/verify"},
	"golang.org/x/sys":      {"pkg/internal/durable", "pkg/layout", "pkg/internal/peer"},
	"golang.org/x/term":     {"cmd/virt-pki"},
	// verify: the tables with which IDNA is done as libidn2 does it; chain: names compared after NFKC.
	"golang.org/x/text": {"pkg/verify", "pkg/chain"},

	"github.com/google/go-cmp":        {},
	"github.com/rogpeppe/go-internal": {},
}

func TestImportsGoDownwardsAndThroughTheirDoors(t *testing.T) {
	report(t, badImports(tree(t)))
}

// badImports lists the edges that the tables do not have. Tests may import whatever they like.
func badImports(files []source) []string {
	var problems []string
	for _, f := range files {
		own, known := allowed[f.pkg]
		if !known {
			problems = append(problems, fmt.Sprintf("%s: the package %s is not in archtest's table", f.name, f.pkg))
			continue
		}
		if f.test {
			continue
		}
		for _, path := range f.imports() {
			pkg, ours := strings.CutPrefix(path, module+"/")
			switch {
			case !strings.Contains(strings.Split(path, "/")[0], "."): // standard library
			case ours && slices.Contains(testOnly, f.pkg) && slices.Contains(testOnly, pkg):
			case ours && slices.Contains(testOnly, pkg):
				problems = append(problems, fmt.Sprintf("%s imports %s, which is for tests only", f.name, pkg))
			case ours && pkg != "pkg/finding" && !slices.Contains(own, pkg):
				problems = append(problems, fmt.Sprintf("%s: %s may not import %s", f.name, f.pkg, pkg))
			case !ours && !slices.Contains(doors[door(path)], f.pkg):
				problems = append(problems, fmt.Sprintf("%s: %s is no door for %s", f.name, f.pkg, path))
			}
		}
	}
	sort.Strings(problems)
	return problems
}

func TestEdgesAndDoorsOfTheTablesAreUsed(t *testing.T) {
	report(t, unused(tree(t)))
}

// unused lists the lines, edges and doors of the tables that no file makes use of: what may be imported is what is.
func unused(files []source) []string {
	used := map[string]bool{}
	for _, f := range files {
		used[f.pkg] = true
		for _, path := range f.imports() {
			pkg, ours := strings.CutPrefix(path, module+"/")
			switch {
			case f.test && !ours && len(doors[door(path)]) == 0:
				used[door(path)] = true
			case f.test:
			case ours:
				used[f.pkg+" "+pkg] = true
			default:
				used[f.pkg+" "+door(path)] = true
			}
		}
	}
	var problems []string
	for pkg, own := range allowed {
		if !used[pkg] {
			problems = append(problems, pkg+" is in the table of packages, but not in the tree")
		}
		for i, below := range own {
			if !used[pkg+" "+below] {
				problems = append(problems, fmt.Sprintf("%s may import %s, and does not", pkg, below))
			}
			if slices.Contains(own[:i], below) {
				problems = append(problems, fmt.Sprintf("%s may import %s, twice", pkg, below))
			}
		}
	}
	for dependency, at := range doors {
		if len(at) == 0 && !used[dependency] {
			problems = append(problems, dependency+" is for tests, and no test imports it")
		}
		for _, pkg := range at {
			if !used[pkg+" "+dependency] {
				problems = append(problems, fmt.Sprintf("%s is a door for %s, and does not import it", pkg, dependency))
			}
		}
	}
	sort.Strings(problems)
	return problems
}

// door gives the key of doors that an import path belongs to.
func door(path string) string {
	for p := path; p != "."; p = p[:max(strings.LastIndex(p, "/"), 0)] {
		if _, ok := doors[p]; ok || p == "" {
			return p
		}
	}
	return ""
}

func TestBadImportsAreFound(t *testing.T) {
	for _, c := range []struct{ name, file, path, want string }{
		{"downwards", "pkg/certs/x.go", module + "/pkg/dn", ""},
		{"finding, by all", "pkg/dn/x.go", module + "/pkg/finding", ""},
		{"the standard library", "pkg/dn/x.go", "encoding/asn1", ""},
		{"upwards", "pkg/dn/x.go", module + "/pkg/certs", "pkg/dn/x.go: pkg/dn may not import pkg/certs"},
		{"upwards in a test", "pkg/dn/x_test.go", module + "/pkg/certs", ""},
		{"the command", "pkg/dn/x.go", module + "/cmd/virt-pki", "pkg/dn/x.go: pkg/dn may not import cmd/virt-pki"},
		{"through its door", "pkg/dnmatch/x.go", "github.com/gobwas/glob", ""},
		{"through another's door", "pkg/conf/x.go", "github.com/gobwas/glob", "pkg/conf/x.go: pkg/conf is no door for github.com/gobwas/glob"},
		{"the more particular door counts", "pkg/crl/x.go", "github.com/cloudflare/cfssl/certdb/sql",
			"pkg/crl/x.go: pkg/crl is no door for github.com/cloudflare/cfssl/certdb/sql"},
		{"the part of a name is no prefix", "pkg/dnmatch/x.go", "github.com/gobwas/globular",
			"pkg/dnmatch/x.go: pkg/dnmatch is no door for github.com/gobwas/globular"},
		{"an unknown dependency", "pkg/ca/x.go", "example.com/x", "pkg/ca/x.go: pkg/ca is no door for example.com/x"},
		{"test support outside tests", "cmd/virt-pki/x.go", module + "/pkg/internal/peer",
			"cmd/virt-pki/x.go imports pkg/internal/peer, which is for tests only"},
		{"a new package", "pkg/util/x.go", "fmt", "pkg/util/x.go: the package pkg/util is not in archtest's table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := badImports([]source{parse(t, "", c.file, "package p\nimport _ \""+c.path+"\"\n")})
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestUnusedLinesOfTheTablesAreFound(t *testing.T) {
	all := strings.Join(unused([]source{
		parse(t, "", "pkg/dn/x.go", "package dn\nimport _ \"bytes\"\n"),
		parse(t, "", "pkg/dn/x_test.go", "package dn\nimport _ \""+module+"/pkg/internal/der\"\n"),
		parse(t, "", "pkg/dnmatch/x_test.go", "package dnmatch\nimport _ \"github.com/gobwas/glob\"\n"),
		parse(t, "", "pkg/certs/x.go", "package certs\nimport _ \""+module+"/pkg/dn\"\n"),
	}), "\n") + "\n"
	for _, c := range []struct {
		name, line string
		told       bool
	}{
		{"an edge that only a test has", "pkg/dn may import pkg/internal/der, and does not\n", true},
		{"an edge that is there", "pkg/certs may import pkg/dn, and does not\n", false},
		{"a door that only a test goes through", "pkg/dnmatch is a door for github.com/gobwas/glob, and does not import it\n", true},
		{"a package that is gone", "pkg/uri is in the table of packages, but not in the tree\n", true},
		{"a package that is there", "pkg/dn is in the table of packages, but not in the tree\n", false},
		{"a dependency of tests that none imports", "github.com/google/go-cmp is for tests, and no test imports it\n", true},
	} {
		if strings.Contains(all, c.line) != c.told {
			t.Errorf("%s: told %v, want %v, in:\n%s", c.name, !c.told, c.told, all)
		}
	}
}

// TestTheTableHasNoCircle makes sure that "downwards" means something: a package does not reach itself.
func TestTheTableHasNoCircle(t *testing.T) {
	var visit func(pkg string, above []string)
	visit = func(pkg string, above []string) {
		if slices.Contains(above, pkg) {
			t.Fatalf("a circle: %s", strings.Join(append(above, pkg), " -> "))
		}
		for _, below := range allowed[pkg] {
			if _, ok := allowed[below]; !ok {
				t.Errorf("%s may import %s, which has no line in the table", pkg, below)
			}
			visit(below, append(slices.Clone(above), pkg))
		}
	}
	for pkg := range allowed {
		visit(pkg, nil)
	}
}
