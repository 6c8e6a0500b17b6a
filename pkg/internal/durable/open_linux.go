package durable

import (
	"errors"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noOpenat2 is set once the system has refused openat2 (before Linux 5.6, and in some containers).
var noOpenat2 atomic.Bool

// openToRead opens a file by its whole name with one system call that follows no symbolic link anywhere in it.
func (hs *handles) openToRead(name string) (fd int, err error) {
	if noOpenat2.Load() || !fs.ValidPath(name) {
		return hs.walkToRead(name)
	}
	top, err := hs.acquire(".")
	if err != nil {
		return -1, err
	}
	defer hs.release(top)
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	err = retry(func() error { fd, err = unix.Openat2(top.fd, name, &how); return err })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		noOpenat2.Store(true)
		return hs.walkToRead(name)
	}
	return fd, err
}
