package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Tree lists what lies below dir, with modes: "0600 admin/etc/pki/...".
func Tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			rel += "/"
		}
		out = append(out, fmt.Sprintf("%04o %s", info.Mode().Perm(), rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(out, func(i, j int) bool { return out[i][5:] < out[j][5:] })
	return out
}

// Walk visits all regular files.
func Walk(t testing.TB, dir string, visit func(path string, text []byte, info fs.FileInfo)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			visit(path, text, info)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Closed checks that nobody but the owner can read a key below top: by the key's mode or by that of a directory above it.
// open are base names whose mode is to let others in (libvirt wants it for the system's client key); only a directory
// protects them.
func Closed(t testing.TB, when, top string, open ...string) {
	t.Helper()
	Walk(t, top, func(path string, text []byte, info fs.FileInfo) {
		if !strings.Contains(string(text), "PRIVATE KEY") {
			return
		}
		byMode := info.Mode().Perm()&0o077 == 0
		mayBeOpen := false
		for _, base := range open {
			name := filepath.Base(path)
			mayBeOpen = mayBeOpen || name == base || strings.HasPrefix(name, "."+base+".virt-pki-tmp-")
		}
		if !byMode && !mayBeOpen {
			t.Errorf("%s: %s has mode %04o", when, path, info.Mode().Perm())
		}
		byDirectory := false
		for dir := filepath.Dir(path); len(dir) > len(top); dir = filepath.Dir(dir) {
			st, err := os.Lstat(dir)
			if err != nil {
				t.Fatal(err)
			}
			byDirectory = byDirectory || st.Mode().Perm()&0o077 == 0
		}
		if !byDirectory {
			t.Errorf("%s: %s lies open to others", when, path)
		}
	})
}

// NoLeftovers checks that nothing unfinished lies below top.
func NoLeftovers(t testing.TB, when, top string) {
	t.Helper()
	for _, line := range Tree(t, top) {
		name := filepath.Base(strings.TrimSuffix(line[5:], "/"))
		if durable.IsLeftover(name) || strings.HasSuffix(name, ".new") || strings.HasSuffix(name, "-journal") {
			t.Errorf("%s: left: %s", when, line[5:])
		}
	}
}

// Accounted checks that every certificate below dir is in the inventory, and gives the number of them.
func Accounted(t testing.TB, dir string, a *ca.Authority) int {
	t.Helper()
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{string(a.BundlePEM()): true}
	for _, e := range entries {
		known[string(e.PEM)] = true
	}
	count := 0
	Walk(t, dir, func(path string, text []byte, _ fs.FileInfo) {
		if strings.HasPrefix(string(text), "-----BEGIN CERTIFICATE-----") {
			count++
			if !known[string(text)] {
				t.Errorf("%s: this certificate is not in the inventory", path)
			}
		}
	})
	return count
}

// States gives how many entries the inventory has of the states that a run passes through: "2 issued, 4 published".
func States(t testing.TB, a *ca.Authority) string {
	t.Helper()
	n := Count(t, a)
	var out []string
	for _, s := range []inventory.State{inventory.Issued, inventory.Published, inventory.Abandoned} {
		if n[s] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(out, ", ")
}

// Pairs checks that in each spot certificate and key belong together, and gives the certificates in force by file.
func Pairs(t testing.TB, when string, spots []layout.Spot) map[string]*certs.Certificate {
	t.Helper()
	out := map[string]*certs.Certificate{}
	for _, s := range spots {
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

// Count counts the inventory's entries by state.
func Count(t testing.TB, a *ca.Authority) map[inventory.State]int {
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

// Known checks that the inventory knows every certificate in the layouts.
func Known(t testing.TB, when string, spots []layout.Spot, a *ca.Authority) {
	t.Helper()
	entries, err := a.Inventory().List(context.Background(), inventory.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spots {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			text, err := os.ReadFile(s.Shown(s.Paths(role).Cert))
			if err != nil || !slices.ContainsFunc(entries, func(e inventory.Entry) bool { return bytes.Equal(e.PEM, text) }) {
				t.Errorf("%s: %s is not in the inventory (%v)", when, s.Shown(s.Paths(role).Cert), err)
			}
		}
	}
}

// CopyTree copies what is in a directory into another one, with owners and modes, as root lays a tree over a machine.
func CopyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
