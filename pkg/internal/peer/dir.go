package peer

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// tmp is not $TMPDIR: roots share /tmp with outside.
var tmp = "/tmp"

// Dir makes an empty directory below /tmp that is removed with the test. Its path is short enough for the UNIX sockets
// libvirt puts into it (107 bytes), everyone may enter it, and it is seen from roots and pretended machines.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(tmp, "virt-pki-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing a test's directory: %v", err)
		}
	})
	return dir
}

// Own gives a tree to a user, so that a program run as that user (Place.User) can read and write it. An empty name
// leaves it as it is.
func Own(t testing.TB, tree, name string) {
	t.Helper()
	if name == "" {
		return
	}
	uid, gid := ids(t, name)
	err := filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ids looks a user up.
func ids(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return uid, gid
}
