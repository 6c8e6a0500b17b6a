package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Dir {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// content gives the file's text and mode as "text 0600", or "absent".
func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	info, err2 := os.Lstat(name)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return fmt.Sprintf("%s %04o", b, info.Mode().Perm())
}

// names lists a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestWriteGivesContentAndModeWhateverTheUmask(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644} {
		name := fmt.Sprintf("f%o", mode)
		if err := d.Write(File{Name: name, Data: []byte("x"), Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if got, want := content(t, filepath.Join(dir, name)), fmt.Sprintf("x %04o", mode); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := names(t, dir); got != "f600 f640 f644" {
		t.Errorf("the directory holds %s", got)
	}
}

func TestWriteTakesTheseSteps(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	var steps []string
	d.Hook = func(s Step) error { steps = append(steps, s.Op); return nil }
	if err := d.Write(File{Name: "key", Data: []byte("x"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, " "); got != "open write fsync close link remove fsync-dir" {
		t.Errorf("a new file: %s", got)
	}
	steps = nil
	if err := d.Write(File{Name: "key", Data: []byte("y"), Mode: 0o644, Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, " "); got != "open chmod write fsync close rename fsync-dir" {
		t.Errorf("a replaced file: %s", got)
	}
}

func TestWhatIsThereIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	there := filepath.Join(dir, "there")
	outside := filepath.Join(t.TempDir(), "outside")
	for _, f := range []string{there, outside} {
		if err := os.WriteFile(f, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "linkdir")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		replace bool
		is      error
		want    string
	}{
		{"there", false, fs.ErrExist, `open "DIR/there": file already exists`},
		{"link", false, ErrSymlink, `open "DIR/link": it is a symbolic link`},
		{"link", true, ErrSymlink, `open "DIR/link": it is a symbolic link`},
		{"dir", true, ErrNotRegular, `open "DIR/dir": it is not a regular file`},
		{"missing/x", true, fs.ErrNotExist, `open "DIR/missing/x": no such file or directory`},
		{"there/x", true, syscall.ENOTDIR, `open "DIR/there/x": not a directory`},
		{"linkdir/x", true, nil, `open "DIR/linkdir/x": path escapes from parent`},
		{"../x", true, nil, `open "` + filepath.Dir(dir) + `/x": path escapes from parent`},
	} {
		err := d.Write(File{Name: c.name, Data: []byte("new"), Mode: 0o600, Replace: c.replace})
		if err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != c.want || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
		var e *Error
		if c.is != nil && (!errors.As(err, &e) || len(e.Hints()) != 1) {
			t.Errorf("%s: no hint", c.name)
		}
	}
	if content(t, there) != "old 0600" || content(t, outside) != "old 0600" || names(t, dir) != "dir link linkdir there" {
		t.Error("something was changed")
	}
}

// TestAFileThatAppearsMeanwhileStays has another process win the race for a name.
func TestAFileThatAppearsMeanwhileStays(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	d.Hook = func(s Step) error {
		if s.Op == "link" {
			return os.WriteFile(s.Path, []byte("theirs"), 0o600)
		}
		return nil
	}
	err := d.Write(File{Name: "key", Data: []byte("ours"), Mode: 0o600})
	if !errors.Is(err, fs.ErrExist) || content(t, filepath.Join(dir, "key")) != "theirs 0600" || names(t, dir) != "key" {
		t.Errorf("%v, %s, %s", err, content(t, filepath.Join(dir, "key")), names(t, dir))
	}
}

func TestAReplacedFileKeepsOwnerAndGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files away")
	}
	dir := t.TempDir()
	d := open(t, dir)
	name := filepath.Join(dir, "key")
	if err := d.Write(File{Name: "key", Data: []byte("a"), Mode: 0o640, Owner: &Owner{UID: -1, GID: 107}}); err != nil {
		t.Fatal(err)
	}
	ids := func() string {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		u, g := owner(info)
		return fmt.Sprint(u, ":", g, " ", content(t, name))
	}
	if got := ids(); got != "0:107 a 0640" {
		t.Errorf("made as %s", got)
	}
	if err := d.Write(File{Name: "key", Data: []byte("b"), Mode: 0o640, Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := ids(); got != "0:107 b 0640" {
		t.Errorf("replaced as %s", got)
	}
	if err := d.Write(File{Name: "key", Data: []byte("c"), Mode: 0o600, Replace: true, Owner: &Owner{UID: 0, GID: 0}}); err != nil {
		t.Fatal(err)
	}
	if got := ids(); got != "0:0 c 0600" {
		t.Errorf("replaced with an owner as %s", got)
	}
}

// TestAFailureAtAnyStepLeavesOldOrNew fails each step in turn.
func TestAFailureAtAnyStepLeavesOldOrNew(t *testing.T) {
	full := fmt.Errorf("simulated: %w", syscall.ENOSPC)
	for _, replace := range []bool{false, true} {
		before := "absent"
		if replace {
			before = "old 0600"
		}
		for at := 0; ; at++ {
			dir := t.TempDir()
			name := filepath.Join(dir, "key")
			if replace {
				if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := open(t, dir)
			n, failed := 0, ""
			d.Hook = func(s Step) error {
				if n++; n-1 == at {
					failed = s.Op
					return full
				}
				return nil
			}
			err := d.Write(File{Name: "key", Data: []byte("new"), Mode: 0o644, Replace: replace})
			if failed == "" {
				if err != nil || content(t, name) != "new 0644" {
					t.Errorf("without a failure: %v, %s", err, content(t, name))
				}
				break
			}
			got := content(t, name)
			if failed == "fsync-dir" || failed == "remove" { // it is published by then
				if got != "new 0644" {
					t.Errorf("%s fails: %s", failed, got)
				}
			} else if got != before {
				t.Errorf("%s fails: %s, want %s", failed, got, before)
			}
			if failed == "remove" {
				continue // a leftover cannot be removed, and the file is good
			}
			at := name
			if failed == "fsync-dir" {
				at = dir
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != failed || e.Path != at || len(e.Hints()) != 1 ||
				!strings.HasPrefix(e.Hints()[0], "free space") {
				t.Errorf("%s fails: error %v", failed, err)
			}
			for _, n := range strings.Fields(names(t, dir)) {
				if n != "key" {
					t.Errorf("%s fails: %s stays", failed, n)
				}
			}
		}
	}
}

// TestKilledAtAnyStep ends a process at each step of a key, a replaced certificate and a staged tree.
func TestKilledAtAnyStep(t *testing.T) {
	if at := os.Getenv("DURABLE_KILL_AT"); at != "" {
		killed(t, os.Getenv("DURABLE_DIR"), at)
		return
	}
	for at := 0; at < 100; at++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cert"), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAtAnyStep$")
		cmd.Env = append(os.Environ(), "DURABLE_KILL_AT="+strconv.Itoa(at), "DURABLE_DIR="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		dead := errors.As(err, &exit) && exit.ExitCode() == 42
		if err != nil && !dead {
			t.Fatalf("step %d: %v\n%s", at, err, out)
		}
		if got := content(t, filepath.Join(dir, "key")); got != "absent" && got != "secret 0600" {
			t.Errorf("step %d: the key is %s", at, got)
		}
		if got := content(t, filepath.Join(dir, "cert")); got != "old 0644" && got != "new 0644" {
			t.Errorf("step %d: the certificate is %s", at, got)
		}
		if got := content(t, filepath.Join(dir, "tree", "a", "key")); got != "absent" && got != "secret 0600" {
			t.Errorf("step %d: the key in the tree is %s", at, got)
		}
		if names(t, dir); content(t, filepath.Join(dir, "tree", "a", "key")) != "absent" &&
			content(t, filepath.Join(dir, "tree", "b")) != "public 0644" {
			t.Errorf("step %d: a part of the tree", at)
		}
		// What is left behind is closed to others and can be cleared away.
		err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !IsLeftover(name) {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 && !strings.Contains(name, "cert") && !strings.Contains(name, "stage") {
				t.Errorf("step %d: %s has mode %v", at, name, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		d := open(t, dir)
		if _, err := d.RemoveLeftovers("."); err != nil {
			t.Error(err)
		}
		for _, n := range strings.Fields(names(t, dir)) {
			if n != "key" && n != "cert" && n != "tree" {
				t.Errorf("step %d: %s stays", at, n)
			}
		}
		if !dead {
			if got := names(t, dir); got != "cert key tree" {
				t.Errorf("unharmed: %s", got)
			}
			if at < 20 {
				t.Errorf("only %d steps", at)
			}
			return
		}
	}
	t.Error("it never ends")
}

// killed is the process that is ended.
func killed(t *testing.T, dir, when string) {
	at, err := strconv.Atoi(when)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	n := 0
	d.Hook = func(Step) error {
		if n == at {
			os.Exit(42)
		}
		n++
		return nil
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Write(File{Name: "key", Data: []byte("secret"), Mode: 0o600}))
	must(d.Write(File{Name: "cert", Data: []byte("new"), Mode: 0o644, Replace: true}))
	s, err := d.Stage("tree")
	must(err)
	_, err = s.Mkdir("a", 0o755, nil)
	must(err)
	must(s.Write(File{Name: "a/key", Data: []byte("secret"), Mode: 0o600}))
	must(s.Write(File{Name: "b", Data: []byte("public"), Mode: 0o644}))
	must(s.Publish(0o755, nil))
}

func TestStagePublishesAWholeTree(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	var steps []string
	d.Hook = func(s Step) error { steps = append(steps, s.Op); return nil }
	s, err := d.Stage("tree")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		host := fmt.Sprintf("host%d", i)
		if _, err := s.Mkdir(host, 0o750, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(File{Name: host + "/key", Data: []byte(host), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if names(t, dir) == "tree" || !IsLeftover(names(t, dir)) {
		t.Errorf("before publication there is %s", names(t, dir))
	}
	if err := s.Publish(0o711, nil); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "tree"))
	if err != nil || info.Mode().Perm() != 0o711 || content(t, filepath.Join(dir, "tree/host2/key")) != "host2 0600" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := strings.Join(steps, " "); strings.Count(got, "sync") != 2 || !strings.HasSuffix(got, "syncfs rename fsync-dir") {
		t.Errorf("steps: %s", got)
	}
	s.Discard()
	if names(t, dir) != "tree" {
		t.Error("Discard after Publish took something away")
	}
	if _, err := d.Stage("tree"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a tree that is there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err = d.Stage("empty")
	if err != nil {
		t.Fatal(err)
	}
	s.Discard()
	if names(t, dir) != "empty tree" {
		t.Errorf("after Discard there is %s", names(t, dir))
	}
	if s, err = d.Stage("empty"); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(File{Name: "key", Data: []byte("k"), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(0o700, nil); err != nil {
		t.Errorf("over an empty directory: %v", err)
	}
	if got := names(t, filepath.Join(dir, "empty")); got != "key" {
		t.Errorf("the empty directory now holds %q", got)
	}
	if s, err = d.Stage("later"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "later/full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(0o700, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a directory that was filled meanwhile: %v", err)
	}
	if got := names(t, dir); got != "empty later tree" {
		t.Errorf("after a publication that failed there is %q", got)
	}
}

func TestMkdir(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if made, err := d.Mkdir("a", 0o751, nil); !made || err != nil {
		t.Errorf("made %v, %v", made, err)
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("%v, %v", info, err)
	}
	if made, err := d.Mkdir("a", 0o700, nil); made || err != nil {
		t.Errorf("again: made %v, %v", made, err)
	}
	if _, err := d.Mkdir("x/y", 0o700, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a parent: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Mkdir("f", 0o700, nil); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
}

func TestIsLeftover(t *testing.T) {
	for name, want := range map[string]bool{
		".key.pem.virt-pki-tmp-0123456789abcdef": true, "d/.tree.virt-pki-stage-0123456789abcdef": true,
		"key.pem.virt-pki-tmp-0123456789abcdef": false, ".key.pem.virt-pki-tmp-0123": false, ".key.pem.virt-pki-tmp-0123456789abcdeX": false,
		".virt-pki-tmp-0123456789abcdef": false, "key.pem": false, "": false,
	} {
		if IsLeftover(name) != want {
			t.Errorf("IsLeftover(%q) = %v", name, !want)
		}
	}
	if !IsLeftover(temporary("d/key", fileMark)) || !IsLeftover(temporary("tree", stagingMark)) {
		t.Error("our own names are not recognised")
	}
}

func TestAFullDiskIsSaidSo(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	err := &Error{Op: "write", Path: "/srv/pki/key.pem", Err: syscall.ENOSPC}
	if err.Error() != `write "/srv/pki/key.pem": no space left on device` ||
		err.Hints()[0] != `free space or quota on the file system of "/srv/pki": df -h "/srv/pki"` {
		t.Errorf("%v, %q", err, err.Hints())
	}
	if err := (&Error{Op: "rename", Path: "/x/y", Err: syscall.EBUSY}); err.Hints()[0] !=
		`"/x/y" is a mount point, which cannot be replaced: choose a directory below it` {
		t.Errorf("%q", err.Hints())
	}
	if err := (&Error{Op: "open", Path: "/x/y", Err: syscall.EROFS}); !strings.Contains(err.Hints()[0], "read-only") {
		t.Errorf("%q", err.Hints())
	}
}

func TestTheDirectoryToMakeIsTheOneThatIsMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Open(missing)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v", err)
	}
	if want := fmt.Sprintf("make the directory first: mkdir -p %q", missing); len(e.Hints()) != 1 || e.Hints()[0] != want {
		t.Errorf("%q, want %q", e.Hints(), want)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	h, err := LockDir(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the lock left %v (%v)", left, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer cancel()
	_, err = LockDir(ctx, dir)
	if !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) ||
		err.Error() != fmt.Sprintf("lock %q: another process holds the lock (context deadline exceeded)", dir) {
		t.Errorf("a lock that is held: %v", err)
	}
	go func() { time.Sleep(40 * time.Millisecond); h.Release() }()
	h2, err := LockDir(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := h2.Release(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(context.Background(), file); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
}

func TestWriteFileAndOpenFailInPlainWords(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600, false); err != nil || content(t, filepath.Join(dir, "a")) != "x 0600" {
		t.Error(err)
	}
	err := WriteFile(filepath.Join(dir, "no", "a"), nil, 0o600, false)
	if err == nil || err.Error() != fmt.Sprintf("open %q: no such file or directory", filepath.Join(dir, "no")) {
		t.Error(err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(filepath.Join(dir, "b"), nil, 0o600, false); !errors.Is(err, fs.ErrPermission) {
			t.Error(err)
		}
	}
}
