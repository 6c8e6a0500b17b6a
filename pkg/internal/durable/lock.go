package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A Held lock is released by Release, or by the end of the process.
type Held struct{ lock *flock.Flock }

// Lock takes the exclusive lock of a file, which is made (0600) when it is not there and stays. It waits until ctx ends;
// the error then wraps ErrLocked and ctx's error. The lock is flock(2): it is the system's, not the file's, so that no
// stale lock remains.
func Lock(ctx context.Context, path string) (*Held, error) {
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW), flock.SetPermissions(0o600))
	got, err := l.TryLock()
	if err == nil && !got {
		got, err = l.TryLockContext(ctx, 20*time.Millisecond)
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		err = ErrSymlink
	case err != nil && ctx.Err() != nil, err == nil && !got:
		err = fmt.Errorf("%w (%w)", ErrLocked, context.Cause(ctx))
	case err == nil:
		return &Held{lock: l}, nil
	}
	return nil, &Error{Op: "lock", Path: path, Err: cause(err)}
}

// Release gives the lock back.
func (h *Held) Release() error { return h.lock.Unlock() }
