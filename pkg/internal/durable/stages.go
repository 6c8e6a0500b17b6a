package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// LockDir takes the exclusive lock of an existing directory and, unlike Lock, leaves no file behind. It serves whoever
// puts a tree into the directory, see RemoveStages.
func LockDir(ctx context.Context, dir string) (*Held, error) {
	l := flock.New(dir, flock.SetFlag(os.O_RDONLY|syscall.O_DIRECTORY))
	got, err := l.TryLock()
	if err == nil && !got {
		got, err = l.TryLockContext(ctx, 20*time.Millisecond)
	}
	switch {
	case err != nil && ctx.Err() != nil, err == nil && !got:
		err = fmt.Errorf("%w (%w)", ErrLocked, context.Cause(ctx))
	case err == nil:
		return &Held{lock: l}, nil
	}
	return nil, &Error{Op: "lock", Path: dir, Err: cause(err)}
}

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
