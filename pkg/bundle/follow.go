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

// A followed file system follows links on the way to a file, where fsys would not.
type followed struct{ fsys fs.FS }

// parent gives a path whose directories are no links.
func (f followed) parent(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, base := path.Split(name)
	if dir == "" {
		return name, nil
	}
	real, _, err := follow(f.fsys, dir, nil)
	return path.Join(real, base), err
}

func (f followed) Lstat(name string) (fs.FileInfo, error) {
	name, err := f.parent("lstat", name)
	if err != nil {
		return nil, err
	}
	return fs.Lstat(f.fsys, name)
}

func (f followed) ReadLink(name string) (string, error) {
	name, err := f.parent("readlink", name)
	if err != nil {
		return "", err
	}
	return fs.ReadLink(f.fsys, name)
}

// real follows links to the end.
func (f followed) real(op, name string) (string, fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return "", nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return follow(f.fsys, name, nil)
}

func (f followed) Stat(name string) (fs.FileInfo, error) {
	_, info, err := f.real("stat", name)
	return info, err
}

func (f followed) Open(name string) (fs.File, error) {
	real, _, err := f.real("open", name)
	if err != nil {
		return nil, err
	}
	return f.fsys.Open(real)
}

func (f followed) ReadDir(name string) ([]fs.DirEntry, error) {
	real, _, err := f.real("open", name)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(f.fsys, real)
}
