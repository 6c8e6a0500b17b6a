package layout

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLabelIsTheExtendedAttribute(t *testing.T) {
	const want = "system_u:object_r:admin_home_t:s0\x00"
	dir := t.TempDir()
	name, link := filepath.Join(dir, "f"), filepath.Join(dir, "l")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lsetxattr(name, "security.selinux", []byte(want), 0); err != nil {
		t.Skipf("this user or file system cannot label files: %v", err)
	}
	if got, err := Label(name); got != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Label(link); err == nil && got == want {
		t.Error("the label of a link is that of its target")
	}
}
