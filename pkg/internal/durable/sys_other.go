//go:build !linux

package durable

import (
	"io/fs"
	"os"
)

// syncTree synchronises each file and directory below root: only Linux has syncfs.
func syncTree(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}

// copyLabel does nothing: only Linux has SELinux.
func copyLabel(from, to *os.File) {}

// fileSystem knows none: each tree is synchronised for itself.
func fileSystem(fs.FileInfo) (uint64, bool) { return 0, false }
