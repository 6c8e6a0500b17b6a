package bundle

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// follow finds what a path of the machine leads to below the root that fsys is: symbolic links are followed as on that
// machine, absolute ones from its root, and none leads out. visit is called for each component that there is, links and the
// last one included; it may be nil. The error wraps a syscall.Errno where there is one.
func follow(fsys fs.FS, name string, visit func(path string, info fs.FileInfo)) (real string, info fs.FileInfo, err error) {
	todo := strings.Split(name, "/")
	cur, links := ".", 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur)
			info = nil
			continue
		}
		next := path.Join(cur, part)
		if !fs.ValidPath(next) {
			return next, nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrInvalid}
		}
		if info, err = fs.Lstat(fsys, next); err != nil {
			return next, nil, err
		}
		if visit != nil {
			visit("/"+next, info)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			cur = next
			if len(strings.Trim(strings.Join(todo, ""), "/.")) > 0 && !info.IsDir() {
				return cur, nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.ENOTDIR}
			}
			continue
		}
		if links++; links > maxLinks {
			return next, nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.ELOOP}
		}
		target, err := fs.ReadLink(fsys, next)
		if err != nil {
			return next, nil, err
		}
		if strings.HasPrefix(target, "/") {
			cur = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	if info == nil {
		if info, err = fs.Stat(fsys, cur); err != nil {
			return cur, nil, err
		}
	}
	return cur, info, nil
}

// absent reports whether an error means that there is nothing, rather than that one could not look.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// reason gives an error without what the caller names itself.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// maxFile bounds what is read of one file: a revocation list of a million entries has some 40 MiB.
const maxFile = 128 << 20

var errTooLarge = errors.New("it is larger than 128 MiB")

// readRegular reads a file, but nothing that could make it wait.
func readRegular(fsys fs.FS, real string, info fs.FileInfo) ([]byte, error) {
	switch {
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, fs.ErrInvalid
	case info.Size() > maxFile:
		return nil, errTooLarge
	}
	return fs.ReadFile(fsys, real)
}
