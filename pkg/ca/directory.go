package ca

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The files of an authority.
const (
	certFile      = "cacert.pem"
	keyDirectory  = "private"
	keyFile       = "private/cakey.pem"
	inventoryFile = "inventory.db"
	policyName    = "authority.json"
)

// maxFile bounds what is read of a certificate, key or policy file.
const maxFile = 1 << 20

// A PathError says why a file or directory is not what an authority needs.
type PathError struct {
	Path, Problem string
	// Err is the cause; it may be nil.
	Err  error
	hint string
}

// Error gives the path and what is wrong.
func (e *PathError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Problem) }

// Unwrap gives the cause.
func (e *PathError) Unwrap() error { return e.Err }

// Hints gives what cures it.
func (e *PathError) Hints() []string { return oneHint(e.hint) }

// ErrExists says that there is something already where an authority was to be made.
var ErrExists = errors.New("the directory is not empty")

// A stage is a directory being filled beside its final place. Its life:
//
//	mkdir .NAME.new, flock    one process at a time; what a killed one left is removed
//	open O_EXCL, write, fsync for each file
//	fsync each directory
//	rename .NAME.new NAME     the only step that anybody sees; it fails on a directory that is not empty
//	fsync the parent
//
// A process that is killed before the rename leaves nothing in the final place.
type stage struct {
	final, path string
	lock        *os.File
	step        func(string) // called before each step, for tests; may be nil
}

// newStage begins.
func newStage(dir string, step func(string)) (*stage, error) {
	final, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	switch entries, err := os.ReadDir(final); {
	case err == nil && len(entries) > 0:
		return nil, &PathError{dir, "the directory is not empty", ErrExists,
			"choose another directory, or use the authority that is there: virt-pki ca show"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, &PathError{dir, "no directory can be made here: " + reason(err), err, ""}
	}
	parent := filepath.Dir(final)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, &PathError{parent, "no directory can be made here: " + reason(err), err, ""}
	}
	s := &stage{final: final, path: filepath.Join(parent, "."+filepath.Base(final)+".new"), step: step}
	for range 10 { // another process may finish while we look
		s.do("mkdir")
		if err := os.Mkdir(s.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, &PathError{parent, "no directory can be made here: " + reason(err), err, ""}
		}
		lock, err := os.OpenFile(s.path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &PathError{s.path, "it is in the way: " + reason(err), err, "remove it"}
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			lock.Close()
			return nil, &PathError{dir, "another process is making an authority here", err, "wait for it"}
		}
		// The directory may have been renamed to its final place before we had the lock.
		mine, err := lock.Stat()
		there, err2 := os.Lstat(s.path)
		if err == nil && err2 == nil && os.SameFile(mine, there) {
			s.lock = lock
			return s, s.clear()
		}
		lock.Close()
	}
	return nil, &PathError{dir, "other processes are making authorities here", nil, "wait for them"}
}

// clear removes what a killed process left.
func (s *stage) clear() error {
	entries, err := os.ReadDir(s.path)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.path, e.Name())))
	}
	return err
}

// do calls the hook.
func (s *stage) do(what string) {
	if s.step != nil {
		s.step(what)
	}
}

// mkdir makes a directory of mode 0700.
func (s *stage) mkdir(name string) error {
	s.do("mkdir " + name)
	return os.Mkdir(filepath.Join(s.path, name), 0o700)
}

// write makes a file that has its mode before it has content, and is on the disk when write returns.
func (s *stage) write(name string, content []byte, mode fs.FileMode) error {
	if err := s.writeFile(name, content, mode); err != nil {
		hint := ""
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			hint = "make room: df -h " + filepath.Dir(s.final)
		}
		return &PathError{filepath.Join(s.final, name), "cannot be written: " + reason(err), err, hint}
	}
	return nil
}

// writeFile is write with the error as the operating system gives it.
func (s *stage) writeFile(name string, content []byte, mode fs.FileMode) error {
	s.do("create " + name)
	path := filepath.Join(s.path, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, mode&0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	s.do("write " + name)
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	s.do("sync " + name)
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// publish renames the directory to its final place.
func (s *stage) publish() error {
	for _, d := range []string{filepath.Join(s.path, keyDirectory), s.path} {
		s.do("sync " + filepath.Base(d))
		if err := syncDir(d); err != nil {
			return err
		}
	}
	s.do("rename")
	// rename(2) replaces an empty directory and refuses another one; os.Rename refuses both.
	if err := syscall.Rename(s.path, s.final); err != nil {
		if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
			return &PathError{s.final, "the directory is not empty", ErrExists, ""}
		}
		hint := ""
		if errors.Is(err, syscall.EBUSY) {
			hint = "it is a mount point; choose a directory below it"
		}
		return &PathError{s.final, "the directory cannot be put in its place: " + err.Error(), err, hint}
	}
	s.do("sync parent")
	return syncDir(filepath.Dir(s.final))
}

// close ends the stage; what was not published is removed.
func (s *stage) close() {
	if there, err := os.Lstat(s.path); err == nil {
		if mine, err := s.lock.Stat(); err == nil && os.SameFile(mine, there) {
			os.RemoveAll(s.path)
		}
	}
	s.lock.Close()
}

// syncDir makes a directory's entries durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readFile reads a file of an authority, or one to be taken over: a regular one of modest size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &PathError{path, "cannot be read: " + reason(err), err, ""}
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, &PathError{path, "cannot be read: " + reason(err), err, ""}
	case !info.Mode().IsRegular():
		return nil, &PathError{path, "is no regular file", nil, ""}
	case info.Size() == 0:
		return nil, &PathError{path, "is empty", nil, ""}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, &PathError{path, "cannot be read: " + reason(err), err, ""}
	case len(data) > maxFile:
		return nil, &PathError{path, fmt.Sprintf("is too large: more than %d bytes", maxFile), nil, ""}
	}
	return data, nil
}

// reason gives an error of the operating system without the path, which the message has already.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
