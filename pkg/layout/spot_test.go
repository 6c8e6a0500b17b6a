package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// write makes files, and the directories above them.
func write(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALayoutIsThereWhenItsCAFileIs(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/pki/CA/cacert.pem", "etc/pki/qemu/server-cert.pem", "etc/pki/libvirt-vnc/ca-cert.pem", "cacert.pem",
		"home/alice/.pki/libvirt/cacert.pem", "home/bob/.pki/libvirt/clientcert.pem", "home/notes", "root/.pki/libvirt/cacert.pem",
		"host/etc/pki/CA/cacert.pem")
	outside := t.TempDir()
	write(t, outside, "ca-cert.pem")
	if err := os.Symlink(outside, filepath.Join(root, "etc/pki/libvirt-nbd")); err != nil {
		t.Fatal(err)
	}
	if _, err := Spots(root); err == nil { // what a link leads to outside cannot be looked at
		t.Error("a link was followed out of the tree")
	}
	if err := os.Remove(filepath.Join(root, "etc/pki/libvirt-nbd")); err != nil {
		t.Fatal(err)
	}
	spots, err := Spots(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range spots {
		got = append(got, string(s.Kind)+" "+strings.TrimPrefix(s.Shown(s.Paths(certs.Client).CA), root))
	}
	want := "pkipath /cacert.pem\nlibvirt /etc/pki/CA/cacert.pem\nlibvirt-vnc /etc/pki/libvirt-vnc/ca-cert.pem\n" +
		"user /root/.pki/libvirt/cacert.pem\nuser /home/alice/.pki/libvirt/cacert.pem"
	if strings.Join(got, "\n") != want {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	if text, err := spots[0].Read("/cacert.pem"); err != nil || string(text) != "cacert.pem" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := spots[0].Read("/no.pem"); !errors.Is(err, fs.ErrNotExist) || err.Error() != `reading "`+root+`/no.pem": no such file or directory` {
		t.Errorf("%v", err)
	}
	if _, err := spots[0].Read("/etc"); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsReplacedIsKeptBesideAndAKeyForItsOwnerOnly(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/cert.pem", "etc/key.pem")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err := durable.Within(root, func(d *durable.Dir) error {
		for _, c := range []struct {
			name string
			part Part
			want string
			mode fs.FileMode
		}{
			{"/etc/cert.pem", Cert, "/etc/cert.pem.old-20260102T030405Z", 0o644},
			{"/etc/cert.pem", Cert, "/etc/cert.pem.old-20260102T030405Z.1", 0o644},
			{"/etc/key.pem", Key, "/etc/key.pem.old-20260102T030405Z", 0o600},
		} {
			text, info, err := ReadIn(d, c.name)
			if err != nil {
				return err
			}
			kept, err := KeepBeside(d, c.name, c.part, text, info, now)
			if err != nil || kept != c.want {
				t.Errorf("%s is kept as %s, want %s (%v)", c.name, kept, c.want, err)
			}
			copied, info, err := ReadIn(d, kept)
			if err != nil || string(copied) != string(text) || info.Mode() != c.mode {
				t.Errorf("%s: %q, %v, %v", kept, copied, info.Mode(), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
