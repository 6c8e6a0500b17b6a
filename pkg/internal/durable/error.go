package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// An Error says which step failed on which path.
type Error struct {
	Op   string // open, write, fsync, ... as in Step
	Path string
	Err  error
	// directory says that Path is the directory in which to write, not something in it.
	directory bool
}

// Error names step, path and cause.
func (e *Error) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Path, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hints gives the remedy for causes that have a usual one.
func (e *Error) Hints() []string {
	dir := filepath.Dir(e.Path)
	if e.directory {
		dir = e.Path
	}
	switch {
	case errors.Is(e.Err, ErrLocked):
		return []string{fmt.Sprintf("wait for the other process to end; fuser -v %q shows it", e.Path)}
	case errors.Is(e.Err, ErrSymlink):
		return []string{fmt.Sprintf("remove the symbolic link %q, or name the place it points to", e.Path)}
	case errors.Is(e.Err, ErrNotRegular):
		return []string{fmt.Sprintf("move %q out of the way", e.Path)}
	case errors.Is(e.Err, fs.ErrExist):
		return []string{fmt.Sprintf("%q is already there: move it away, or choose another place", e.Path)}
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return []string{fmt.Sprintf("free space or quota on the file system of %q: df -h %q", dir, dir)}
	case errors.Is(e.Err, syscall.EROFS):
		return []string{fmt.Sprintf("the file system of %q is mounted read-only: choose another directory", dir)}
	case errors.Is(e.Err, fs.ErrPermission) && e.Op == "chown":
		return []string{"only root may give files away: run as root, or leave the owner as it is"}
	case errors.Is(e.Err, fs.ErrPermission):
		return []string{fmt.Sprintf("you may not write in %q: run as root or as its owner, or choose another directory", dir)}
	case errors.Is(e.Err, syscall.EBUSY) && e.Op == "rename":
		return []string{fmt.Sprintf("%q is a mount point, which cannot be replaced: choose a directory below it", e.Path)}
	case errors.Is(e.Err, syscall.ENOTDIR):
		return []string{fmt.Sprintf("a part of %q is a file where a directory is due", e.Path)}
	case errors.Is(e.Err, fs.ErrNotExist):
		return []string{fmt.Sprintf("make the directory first: mkdir -p %q", dir)}
	}
	return nil
}

// Reason gives an error of the operating system without the path, for messages that name it already.
func Reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Errors that an Error may wrap besides those of the operating system.
var (
	// ErrSymlink says that the last component of a path is a symbolic link.
	ErrSymlink = errors.New("it is a symbolic link")
	// ErrNotRegular says that there is something other than a regular file.
	ErrNotRegular = errors.New("it is not a regular file")
	// ErrNotDirectory says that there is something other than a directory.
	ErrNotDirectory = errors.New("it is not a directory")
	// ErrLocked says that another process holds the lock.
	ErrLocked = errors.New("another process holds the lock")
)
