package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

func openDir(t *testing.T, dir string) *durable.Dir {
	t.Helper()
	d, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// tree lists what lies below a directory: path, mode, content.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %04o", strings.TrimPrefix(name, dir), info.Mode().Perm())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var both = Contents{CA: []byte("ca"), Identities: []Identity{
	{Role: certs.Server, Cert: []byte("server cert"), Key: []byte("server key")},
	{Role: certs.Client, Cert: []byte("client cert"), Key: []byte("client key")},
}}

func TestWriteMakesTheSystemsTree(t *testing.T) {
	dir := t.TempDir()
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	w, err := Write(openDir(t, dir), Place{Kind: Libvirt}.Fill(both), WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := lines(`
		/etc 0755
		/etc/pki 0755
		/etc/pki/CA 0755
		/etc/pki/CA/cacert.pem 0644 ca
		/etc/pki/libvirt 0755
		/etc/pki/libvirt/clientcert.pem 0644 client cert
		/etc/pki/libvirt/private 0755
		/etc/pki/libvirt/private/clientkey.pem 0644 client key
		/etc/pki/libvirt/private/serverkey.pem 0600 server key
		/etc/pki/libvirt/servercert.pem 0644 server cert`)
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(w.Files) != 5 || len(w.Directories) != 5 || w.Unchanged != nil || w.Closed != nil {
		t.Errorf("%+v", w)
	}
	// What Write makes, Audit approves of.
	if r := Audit(openDir(t, dir).Root().FS(), Place{Kind: Libvirt}, -1, nil); len(r.Findings) > 0 {
		t.Errorf("Audit: %v", r.Findings)
	}
	w, err = Write(openDir(t, dir), Place{Kind: Libvirt}.Fill(both), WriteOptions{})
	if err != nil || len(w.Unchanged) != 5 || w.Files != nil || w.Directories != nil {
		t.Errorf("again: %+v, %v", w, err)
	}
}

func TestWriteRefusesToOverwriteAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	place := Place{Kind: PkiPath, Dir: "/p"}
	if _, err := Write(d, place.Fill(both), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	other := Contents{CA: []byte("ca"), CRL: []byte("crl"), Identities: []Identity{{Role: certs.Client, Cert: []byte("NEW"), Key: []byte("NEW KEY")}}}
	for _, o := range []WriteOptions{{}, {Replace: true}, {ReplaceKeys: true}} {
		_, err := Write(d, place.Fill(other), o)
		var c *ConflictError
		if !errors.As(err, &c) || !errors.Is(err, fs.ErrExist) || len(c.Hints()) != 1 || c.Keys == o.ReplaceKeys {
			t.Errorf("%+v: %v", o, err)
		}
		if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
			t.Errorf("%+v changed something\n%s", o, diff)
		}
	}
	_, err := Write(d, place.Fill(other), WriteOptions{})
	if want := fmt.Sprintf("already there with other content: %[1]s/p/clientkey.pem, %[1]s/p/clientcert.pem", dir); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, err := Write(d, place.Fill(other), WriteOptions{Replace: true, ReplaceKeys: true}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); !slices.Contains(got, "/p/clientkey.pem 0600 NEW KEY") || !slices.Contains(got, "/p/cacrl.pem 0600 crl") {
		t.Errorf("replaced: %q", got)
	}
}

func TestWriteGoesThroughNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "p")); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(openDir(t, dir), Place{Kind: PkiPath, Dir: "/p"}.Fill(both), WriteOptions{}); err == nil {
		t.Error("it wrote through a directory that is a link out of the root")
	}
	dir2 := t.TempDir()
	if err := os.Symlink(filepath.Join(outside, "key"), filepath.Join(dir2, "serverkey.pem")); err != nil {
		t.Fatal(err)
	}
	_, err := Write(openDir(t, dir2), Place{Kind: PkiPath, Dir: "/"}.Fill(both), WriteOptions{Replace: true, ReplaceKeys: true})
	if !errors.Is(err, durable.ErrSymlink) {
		t.Errorf("a key that is a link: %v", err)
	}
	if got := tree(t, outside); got != nil {
		t.Errorf("outside there is %q", got)
	}
	if got := tree(t, dir2); len(got) != 1 {
		t.Errorf("something was left: %q", got)
	}
}

// TestWriteFailsWhole fails each step; no file may be there that was not there before, unless all got that far.
func TestWriteFailsWhole(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		d := openDir(t, dir)
		n, failed := 0, ""
		d.Hook = func(s durable.Step) error {
			if s.Op == "open" || s.Op == "link" {
				if info, err := os.Lstat(filepath.Join(dir, "serverkey.pem")); err == nil && info.Mode().Perm() != 0o600 {
					t.Errorf("the key has mode %v", info.Mode())
				}
			}
			if n++; n-1 == at {
				failed = s.Op
				return syscall.ENOSPC
			}
			return nil
		}
		_, err := Write(d, Place{Kind: PkiPath, Dir: "/"}.Fill(both), WriteOptions{})
		if failed == "" {
			if err != nil || len(tree(t, dir)) != 5 {
				t.Errorf("unharmed: %v, %q", err, tree(t, dir))
			}
			return
		}
		if failed == "remove" {
			continue // nothing can remove the temporary name then
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s fails: %v", failed, err)
		}
		for _, l := range tree(t, dir) {
			if strings.Contains(l, "virt-pki") || failed != "link" && failed != "fsync-dir" {
				t.Errorf("%s fails: %s is there", failed, l)
			}
		}
		d.Hook = nil
		if _, err := Write(d, Place{Kind: PkiPath, Dir: "/"}.Fill(both), WriteOptions{}); err != nil || len(tree(t, dir)) != 5 {
			t.Errorf("%s failed, and again: %v, %q", failed, err, tree(t, dir))
		}
	}
}

func TestWriteKnowsQEMUsGroup(t *testing.T) {
	files := Place{Kind: QEMU, Group: "kvm"}.Fill(both)
	dir := t.TempDir()
	w, err := Write(openDir(t, dir), files, WriteOptions{})
	if err != nil || len(w.Closed) != 2 || !slices.Contains(tree(t, dir), "/etc/pki/qemu/server-key.pem 0600 server key") {
		t.Errorf("without owners: %+v, %v", w, err)
	}
	_, err = Write(openDir(t, t.TempDir()), files, WriteOptions{SetOwners: true, LookupGroup: func(string) (int, error) { return 0, errors.New("no such group") }})
	if os.Getuid() == 0 && (err == nil || err.Error() != `writing "/etc/pki/qemu/server-key.pem": looking up the group "kvm": no such group`) {
		t.Errorf("an unknown group: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	dir = t.TempDir()
	w, err = Write(openDir(t, dir), files, WriteOptions{SetOwners: true, LookupGroup: func(string) (int, error) { return 107, nil }})
	info, err2 := os.Stat(filepath.Join(dir, "etc/pki/qemu/server-key.pem"))
	if err != nil || err2 != nil || w.Closed != nil {
		t.Fatalf("%+v, %v, %v", w, err, err2)
	}
	if uid, gid, _ := owners(info); uid != 0 || gid != 107 || info.Mode().Perm() != 0o640 {
		t.Errorf("the key is %d:%d %v", uid, gid, info.Mode())
	}
}
