package ca

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// The files of an authority.
const (
	certFile      = "cacert.pem"
	keyDirectory  = "private"
	keyFile       = "private/cakey.pem"
	inventoryFile = "inventory.db"
	policyName    = "authority.json"
	// inventoryURL says where the inventory is when it is not in inventoryFile: the URL of a database, without its password.
	inventoryURL = "inventory.url"
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

// A stage is an authority being made beside its final place (package durable): it appears there whole or not at all.
type stage struct {
	*durable.Staging
	dir    string // as the caller called it
	path   string // where the stage is, for what needs a path
	parent *durable.Dir
	lock   *durable.Held
	staged bool
}

// newStage begins. What an earlier process that was killed left behind is removed. step is called before each step. staged
// is that of a Spec.
func newStage(ctx context.Context, dir string, staged bool, step func(string)) (*stage, error) {
	final, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	switch entries, err := os.ReadDir(final); {
	case err == nil && len(entries) > 0:
		return nil, &PathError{dir, "the directory is not empty", ErrExists,
			"choose another directory, or use the authority that is there: virt-pki issue client NAME --authority DIR"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, &PathError{dir, "no directory can be made here: " + reason(err), err, ""}
	}
	above := filepath.Dir(final)
	s := &stage{dir: dir, staged: staged}
	fail := func(err error) (*stage, error) {
		s.close()
		return nil, &PathError{dir, "no directory can be made here: " + reason(err), err, ""}
	}
	if err := os.MkdirAll(above, 0o755); err != nil {
		return fail(err)
	}
	if s.parent, err = durable.Open(above); err != nil {
		return fail(err)
	}
	if staged {
		s.parent.Unsynced()
	}
	s.parent.Hook = func(d durable.Step) error {
		if step != nil {
			step(d.Op + " " + d.Path)
		}
		return nil
	}
	if s.lock, err = durable.LockDir(ctx, above); errors.Is(err, durable.ErrLocked) {
		s.close()
		return nil, &PathError{dir, "another process is making an authority here", err, "wait for it"}
	} else if err != nil {
		return fail(err)
	}
	if err := s.parent.RemoveStages(filepath.Base(final)); err != nil {
		return fail(err)
	}
	if s.Staging, err = s.parent.Stage(filepath.Base(final)); err != nil {
		return fail(err)
	}
	s.path = s.Root().Name()
	return s, nil
}

// write makes a file of the authority.
func (s *stage) write(name string, content []byte, mode fs.FileMode) error {
	return s.failed(name, s.Write(durable.File{Name: name, Data: content, Mode: mode}))
}

// failed says which file could not be written, by its final name, and keeps what the cause knows of the cure.
func (s *stage) failed(name string, err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "make room: df -h " + filepath.Dir(s.dir)
	}
	return &PathError{filepath.Join(s.dir, name), "cannot be written: " + reason(err), err, hint}
}

// inventoryFailed says why the inventory in the stage could not be written.
func (s *stage) inventoryFailed(err error) error {
	var store *inventory.StoreError
	if !errors.As(err, &store) {
		return err
	}
	if err = store.Err; store.Trouble == inventory.Full {
		err = syscall.ENOSPC // SQLite's own words name neither cause nor cure
	}
	return s.failed(inventoryFile, err)
}

// publish puts the authority in its place.
func (s *stage) publish() error {
	err := s.Publish(0o700, nil)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist):
		return &PathError{s.dir, "the directory is not empty", ErrExists, ""}
	case errors.Is(err, syscall.EBUSY):
		return &PathError{s.dir, "the directory cannot be put in its place: " + reason(err), err,
			"it is a mount point; choose a directory below it"}
	}
	return &PathError{s.dir, "the directory cannot be put in its place: " + reason(err), err, ""}
}

// close ends the stage; what was not published is removed.
func (s *stage) close() {
	if s.Staging != nil {
		s.Discard()
	}
	if s.lock != nil {
		_ = s.lock.Release()
	}
	if s.parent != nil {
		s.parent.Close()
	}
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
