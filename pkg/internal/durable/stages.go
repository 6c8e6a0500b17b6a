package durable

import (
	"errors"
	"path"
	"strings"
)

// RemoveStages removes the unfinished trees that killed processes left beside the place called name. Only the holder of
// the lock of the directory (LockDir) may call it: the tree of a process at work looks the same.
func (d *Dir) RemoveStages(name string) error {
	dir, base := path.Split(name)
	if dir == "" {
		dir = "."
	}
	f, err := d.root.Open(dir)
	if err != nil {
		return &Error{Op: "open", Path: d.Path(dir), Err: cause(err)}
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return &Error{Op: "open", Path: d.Path(dir), Err: cause(err)}
	}
	var errs []error
	for _, e := range entries {
		if !IsLeftover(e.Name()) || !strings.HasPrefix(e.Name(), "."+base+stagingMark) {
			continue
		}
		full := path.Join(dir, e.Name())
		errs = append(errs, d.step("remove", full, func() error { return d.root.RemoveAll(full) }))
	}
	return errors.Join(errs...)
}
