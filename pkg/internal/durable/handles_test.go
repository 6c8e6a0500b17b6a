package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// stage begins a tree called "tree" in a new directory.
func stage(t *testing.T) (*Staging, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := open(t, dir).Stage("tree")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Discard)
	return s, filepath.Join(dir, "tree")
}

func TestAStageTakesTheseSteps(t *testing.T) {
	s, _ := stage(t)
	var steps []string
	s.Hook = func(s Step) error { steps = append(steps, s.Op); return nil }
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	for _, c := range []struct {
		what string
		do   func() error
		want string
	}{
		{"a directory has its mode at once", func() error { _, err := s.Mkdir("a", 0o755, nil); return err }, "mkdir"},
		{"where the umask lets it", func() error { _, err := s.Mkdir("b", 0o775, nil); return err }, "mkdir chmod"},
		{"a directory that is there", func() error { _, err := s.Mkdir("a", 0o700, nil); return err }, ""},
		{"a key has its name at once", func() error { return s.Write(File{Name: "a/key", Data: []byte("k"), Mode: 0o600}) }, "open write close"},
		{"a certificate", func() error { return s.Write(File{Name: "a/cert", Data: []byte("c"), Mode: 0o644}) }, "open chmod write close"},
		{"a certificate that is replaced", func() error { return s.Write(File{Name: "a/cert", Data: []byte("d"), Mode: 0o644, Replace: true}) },
			"open open chmod write close rename"},
	} {
		steps = nil
		if err := c.do(); err != nil || strings.Join(steps, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", c.what, steps, err, c.want)
		}
	}
}

func TestModesInAStageDoNotDependOnTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		func() {
			defer syscall.Umask(syscall.Umask(umask))
			s, place := stage(t)
			if _, err := s.Mkdir("d", 0o755, nil); err != nil {
				t.Fatal(err)
			}
			for name, mode := range map[string]fs.FileMode{"d/key": 0o600, "d/cert": 0o644, "d/group": 0o640} {
				if err := s.Write(File{Name: name, Data: []byte("x"), Mode: mode}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Publish(0o700, nil); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(place, "d"))
			if err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("umask %03o: %v, %v", umask, info.Mode(), err)
			}
			for name, want := range map[string]string{"d/key": "x 0600", "d/cert": "x 0644", "d/group": "x 0640"} {
				if got := content(t, filepath.Join(place, name)); got != want {
					t.Errorf("umask %03o: %s is %s", umask, name, got)
				}
			}
		}()
	}
}

func TestAStageFollowsNoSymbolicLink(t *testing.T) {
	s, _ := stage(t)
	outside := t.TempDir()
	hidden := s.Root().Name()
	for name, target := range map[string]string{"dir": outside, "file": filepath.Join(outside, "file")} {
		if err := os.Symlink(target, filepath.Join(hidden, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dir/key", "file", "../key", "dir/../../key", "/etc/key"} {
		if err := s.Write(File{Name: name, Data: []byte("x"), Mode: 0o600}); err == nil {
			t.Errorf("%s was written", name)
		}
		if _, err := s.ReadFile(name); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := s.Mkdir("dir/sub", 0o700, nil); err == nil {
		t.Error("a directory behind a symbolic link was made")
	}
	if got := names(t, outside); got != "" {
		t.Errorf("outside there is %q", got)
	}
}

func TestAFileInAStageIsNotOverwritten(t *testing.T) {
	s, place := stage(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Write(File{Name: "key", Data: []byte("first"), Mode: 0o600}))
	if err := s.Write(File{Name: "key", Data: []byte("second"), Mode: 0o600}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	p, err := s.Prepare(File{Name: "given up", Data: []byte("x"), Mode: 0o600})
	must(err)
	p.Discard()
	must(s.Publish(0o700, nil))
	if got := content(t, filepath.Join(place, "key")); got != "first 0600" || names(t, place) != "key" {
		t.Errorf("the key is %s, there is %s", got, names(t, place))
	}
}

// TestManyDirectoriesAtOnce has goroutines write more directories than are kept open.
func TestManyDirectoriesAtOnce(t *testing.T) {
	s, place := stage(t)
	var group sync.WaitGroup
	errs := make(chan error, 8)
	for w := range 8 {
		group.Go(func() {
			for i := range 20 {
				name := ""
				for _, part := range []string{fmt.Sprintf("host%d-%d", w, i), "etc", "pki"} {
					name = strings.TrimPrefix(name+"/"+part, "/")
					if _, err := s.Mkdir(name, 0o755, nil); err != nil {
						errs <- err
						return
					}
				}
				err := s.Write(File{Name: name + "/key", Data: []byte(name), Mode: 0o600})
				if text, err2 := s.FS().ReadFile(name + "/key"); err != nil || err2 != nil || string(text) != name {
					errs <- fmt.Errorf("%q, %w", text, errors.Join(err, err2))
					return
				}
			}
		})
	}
	s.SyncAhead()
	group.Wait()
	if len(errs) > 0 {
		t.Fatal(<-errs)
	}
	if n := len(s.handles.open); n > maxHandles {
		t.Errorf("%d directories are open", n)
	}
	if there, err := s.Has("nobody/etc"); there || err != nil {
		t.Errorf("nobody: %v, %v", there, err)
	}
	if err := s.Publish(0o700, nil); err != nil {
		t.Fatal(err)
	}
	for w := range 8 {
		for i := range 20 {
			name := fmt.Sprintf("host%d-%d/etc/pki", w, i)
			if got := content(t, filepath.Join(place, name, "key")); got != name+" 0600" {
				t.Errorf("%s is %s", name, got)
			}
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if target, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(target, place) {
			t.Errorf("%s is still open", target)
		}
	}
	if err != nil {
		t.Log("open files were not looked at:", err)
	}
}
