package durable

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A Held lock is released by Release, or by the end of the process.
type Held struct{ lock *flock.Flock }

// LockDir takes the exclusive lock of an existing directory, and leaves no file behind. It waits until ctx ends; the error
// then wraps ErrLocked and ctx's error. The lock is flock(2): it is the system's, not the directory's, so that no stale lock
// remains. It serves whoever puts a tree into the directory, see RemoveStages.
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

// Release gives the lock back.
func (h *Held) Release() error { return h.lock.Unlock() }
