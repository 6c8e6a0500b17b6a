package layout

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceFileKeepsModeLinkAndTheOldContent(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.conf"), filepath.Join(dir, "link.conf")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.conf", link); err != nil {
		t.Fatal(err)
	}
	kept, err := ReplaceFile(link, []byte("new"), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "new", kept: "old"} {
		b, err := os.ReadFile(name)
		if err != nil || string(b) != want {
			t.Errorf("%s holds %q (%v), want %q", name, b, err, want)
		}
		if st, _ := os.Stat(name); st.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %o", name, st.Mode().Perm())
		}
	}
	if st, _ := os.Lstat(link); st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
	if _, err := ReplaceFile(filepath.Join(dir, "nosuch"), nil, true); err == nil {
		t.Error("a file that is not there was made")
	}
}
