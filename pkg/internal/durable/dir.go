package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// A Step is one system call that is about to be made.
type Step struct {
	Op   string // mkdir, open, chown, chmod, write, fsync, link, rename, remove, fsync-dir, syncfs
	Path string
}

// A Dir is a directory below which files are published. Names are relative to it, with slashes.
type Dir struct {
	root *os.Root
	// Hook, when set, is called before each step; what it gives fails the step. Tests use it to fail or stop anywhere.
	Hook func(Step) error
	// unsynced says that the files of this Dir are synchronised all at once later.
	unsynced bool
	// handles are the open directories of a stage; nil: this is none.
	handles *handles
}

// Open opens an existing directory. It follows symbolic links in path itself, not below it.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, &Error{Op: "open", Path: path, Err: cause(err), directory: true}
	}
	return &Dir{root: root}, nil
}

// Below opens a directory of this one. What is then published there stays below it, whatever symbolic links there are.
func (d *Dir) Below(name string) (*Dir, error) {
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, &Error{Op: "open", Path: d.Path(name), Err: cause(err)}
	}
	return &Dir{root: root}, nil
}

// Unsynced says that what is done in the directory from now on is made durable by the caller, later.
func (d *Dir) Unsynced() { d.unsynced = true }

// SyncAll makes durable what was written into directories that are Unsynced. Each file system is synchronised once, however
// many of them are on it.
func SyncAll(dirs []*Dir) error {
	done := map[uint64]bool{}
	for _, d := range dirs {
		info, err := d.root.Stat(".")
		if err != nil {
			return &Error{Op: "syncfs", Path: d.Path("."), Err: cause(err)}
		}
		if on, ok := fileSystem(info); ok {
			if done[on] {
				continue
			}
			done[on] = true
		}
		if err := syncTree(d.root); err != nil {
			return &Error{Op: "syncfs", Path: d.Path("."), Err: cause(err)}
		}
	}
	return nil
}

// Within opens an existing directory, as Open does, for one use.
func Within(path string, use func(*Dir) error) error {
	d, err := Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return use(d)
}

// Close lets go of the directory.
func (d *Dir) Close() error {
	if d.handles != nil {
		d.handles.close()
	}
	return d.root.Close()
}

// Root gives the directory for reading.
func (d *Dir) Root() *os.Root { return d.root }

// Path gives the path of a name for messages.
func (d *Dir) Path(name string) string { return filepath.Join(d.root.Name(), filepath.FromSlash(name)) }

// step announces one system call, makes it, and names it in the error.
func (d *Dir) step(op, name string, call func() error) error {
	var err error
	if d.Hook != nil {
		err = d.Hook(Step{Op: op, Path: d.Path(name)})
	}
	if err == nil {
		err = call()
	}
	if err != nil {
		return &Error{Op: op, Path: d.Path(name), Err: cause(err)}
	}
	return nil
}

// cause takes operation and path away from an error of package os: Error has its own, without the temporary name.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// An Owner is who owns a file: numbers, -1 to leave one as it is.
type Owner struct{ UID, GID int }

// Mkdir makes a directory that may already be there, whose parent must be. A new one has its mode before it can be
// found open: mkdir 0700, chown, chmod. It reports whether it was made; one that was there is left alone.
func (d *Dir) Mkdir(name string, mode fs.FileMode, owner *Owner) (made bool, err error) {
	if d.handles != nil {
		if made, err = d.mkdir(name, mode, owner); !errors.Is(err, fs.ErrExist) {
			return made, err
		}
	}
	info, err := d.root.Lstat(name)
	if err == nil {
		if info.Mode()&fs.ModeSymlink != 0 {
			// os.Root follows it only below the root.
			if info, err = d.root.Stat(name); err != nil {
				return false, &Error{Op: "mkdir", Path: d.Path(name), Err: cause(err)}
			}
		}
		if !info.IsDir() {
			return false, &Error{Op: "mkdir", Path: d.Path(name), Err: syscall.ENOTDIR}
		}
		return false, nil
	}
	err = d.step("mkdir", name, func() error { return d.root.Mkdir(name, 0o700) })
	if errors.Is(err, fs.ErrExist) {
		return false, nil // another process was faster
	}
	if err != nil {
		return false, err
	}
	if owner != nil && (owner.UID >= 0 || owner.GID >= 0) {
		if err := d.step("chown", name, func() error { return d.root.Lchown(name, owner.UID, owner.GID) }); err != nil {
			return true, err
		}
	}
	if err := d.step("chmod", name, func() error { return d.root.Chmod(name, mode.Perm()) }); err != nil {
		return true, err
	}
	return true, d.SyncDir(path.Dir(name))
}

// SyncDir makes the names in a directory durable.
func (d *Dir) SyncDir(name string) error {
	if d.unsynced {
		return nil
	}
	return d.step("fsync-dir", name, func() error {
		f, err := d.root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}

// Temporary names are recognisable, so that what a killed process left can be removed: a dot, the final name, a mark,
// sixteen hexadecimal digits.
const (
	fileMark    = ".virt-pki-tmp-"
	stagingMark = ".virt-pki-stage-"
)

func temporary(name, mark string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails, since Go 1.24
	dir, base := path.Split(name)
	return dir + "." + base + mark + hex.EncodeToString(b[:])
}

// IsLeftover reports whether a file's or directory's name is that of an unfinished file or staging tree.
func IsLeftover(name string) bool {
	base := path.Base(filepath.ToSlash(name))
	for _, mark := range []string{fileMark, stagingMark} {
		i := strings.LastIndex(base, mark)
		if i < 1 || base[0] != '.' {
			continue
		}
		digits := base[i+len(mark):]
		if len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == "" {
			return true
		}
	}
	return false
}

// RemoveLeftovers removes what killed processes left in one directory, and gives the names. Only the holder of the lock
// of that directory may call it: the files of a process at work look the same.
func (d *Dir) RemoveLeftovers(name string) ([]string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, &Error{Op: "open", Path: d.Path(name), Err: cause(err)}
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return nil, &Error{Op: "open", Path: d.Path(name), Err: cause(err)}
	}
	var removed []string
	for _, e := range entries {
		if !IsLeftover(e.Name()) {
			continue
		}
		full := path.Join(name, e.Name())
		if err := d.step("remove", full, func() error { return d.root.RemoveAll(full) }); err != nil {
			return removed, err
		}
		removed = append(removed, full)
	}
	return removed, nil
}
