package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// handles keeps the latest directories of a stage open. os.Root walks down from the top for every call, because what it
// looks at may change under it; into a stage nobody but us can go (its own mode is 0700), and a tree of hosts is six
// directories deep. No symbolic link is followed here. Several goroutines may use it.
type handles struct {
	mu   sync.Mutex
	open map[string]*handle
}

// A handle is one open directory.
type handle struct {
	fd    int
	users int
	// dropped: the last user closes it.
	dropped bool
}

// maxHandles is more than a few goroutines need at a time, and less than what a process may have open.
const maxHandles = 64

// newHandles begins with the stage itself.
func newHandles(root *os.Root) (*handles, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &handles{open: map[string]*handle{".": {fd: fd}}}, nil
}

// acquire opens a directory. The caller releases it.
func (hs *handles) acquire(dir string) (*handle, error) {
	if h := hs.known(dir); h != nil {
		return h, nil
	}
	if dir == "." {
		return nil, fs.ErrClosed
	}
	above, err := hs.acquire(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer hs.release(above)
	fd, err := openat(above.fd, path.Base(dir), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return hs.keep(dir, fd), nil
}

// known gives a directory that is open already, or nil.
func (hs *handles) known(dir string) *handle {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.open[dir]
	if h != nil {
		h.users++
	}
	return h
}

// keep adds a directory, unless another goroutine has added it meanwhile.
func (hs *handles) keep(dir string, fd int) *handle {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.open[dir]; h != nil {
		unix.Close(fd)
		h.users++
		return h
	}
	if len(hs.open) >= maxHandles {
		for name := range hs.open {
			if name != "." {
				hs.drop(name)
			}
		}
	}
	h := &handle{fd: fd, users: 1}
	hs.open[dir] = h
	return h
}

// drop forgets a directory.
func (hs *handles) drop(dir string) {
	h := hs.open[dir]
	delete(hs.open, dir)
	if h.dropped = true; h.users == 0 {
		unix.Close(h.fd)
	}
}

func (hs *handles) release(h *handle) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h.users--; h.users == 0 && h.dropped {
		unix.Close(h.fd)
	}
}

// close ends the use.
func (hs *handles) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for name := range hs.open {
		hs.drop(name)
	}
}

// at calls do with the directory that a name is in and the last component.
func (hs *handles) at(name string, do func(fd int, base string) error) error {
	if !fs.ValidPath(name) || name == "." {
		return fs.ErrInvalid
	}
	h, err := hs.acquire(path.Dir(name))
	if err != nil {
		return err
	}
	defer hs.release(h)
	return do(h.fd, path.Base(name))
}

// create makes a file, which must not be there.
func (hs *handles) create(name string) (f *os.File, err error) {
	err = hs.at(name, func(fd int, base string) error {
		file, err := openat(fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err == nil {
			f = os.NewFile(uintptr(file), name)
		}
		return err
	})
	return f, err
}

// stat does not follow a symbolic link.
func (hs *handles) stat(name string) (st unix.Stat_t, err error) {
	err = hs.at(name, func(fd int, base string) error {
		return retry(func() error { return unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	})
	return st, err
}

// readFile reads a file whole.
func (hs *handles) readFile(name string) ([]byte, error) {
	file, err := hs.openToRead(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(file)
	data := make([]byte, 0, 4<<10) // most files are smaller
	for {
		data = slices.Grow(data, 1)
		var n int
		err := retry(func() (err error) { n, err = unix.Read(file, data[len(data):cap(data)]); return err })
		if err != nil || n == 0 {
			return data, err
		}
		data = data[:len(data)+n]
	}
}

// walkToRead opens a file through the directories above it.
func (hs *handles) walkToRead(name string) (fd int, err error) {
	err = hs.at(name, func(dir int, base string) error {
		fd, err = openat(dir, base, unix.O_RDONLY, 0)
		return err
	})
	return fd, err
}

// openat opens a name in a directory, without following a symbolic link.
func openat(dir int, base string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// retry repeats a system call that a signal interrupts.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// mkdir is Mkdir in a stage: the directory can have its mode at once, as nobody can reach it. What is there and was not
// opened before gives fs.ErrExist.
func (d *Dir) mkdir(name string, mode fs.FileMode, owner *Owner) (made bool, err error) {
	if h := d.handles.known(name); h != nil {
		d.handles.release(h)
		return false, nil
	}
	err = d.step("mkdir", name, func() error {
		return d.handles.at(name, func(fd int, base string) error {
			return retry(func() error { return unix.Mkdirat(fd, base, uint32(mode.Perm())) })
		})
	})
	if err != nil {
		return false, err
	}
	h, err := d.handles.acquire(name)
	if err != nil {
		return true, &Error{Op: "open", Path: d.Path(name), Err: err}
	}
	defer d.handles.release(h)
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		return true, &Error{Op: "open", Path: d.Path(name), Err: err}
	}
	if owner != nil && (owner.UID >= 0 && owner.UID != int(st.Uid) || owner.GID >= 0 && owner.GID != int(st.Gid)) {
		if err := d.step("chown", name, func() error { return unix.Fchown(h.fd, owner.UID, owner.GID) }); err != nil {
			return true, err
		}
	}
	if fs.FileMode(st.Mode&0o7777) != mode.Perm() { // the umask, or a set-group-ID bit from above
		return true, d.step("chmod", name, func() error { return unix.Fchmod(h.fd, uint32(mode.Perm())) })
	}
	return true, nil
}

// Has reports whether there is something of that name. It does not follow a symbolic link.
func (d *Dir) Has(name string) (bool, error) {
	var err error
	if d.handles != nil {
		h := d.handles.known(name)
		if h != nil {
			d.handles.release(h)
			return true, nil
		}
		_, err = d.handles.stat(name)
	} else {
		_, err = d.root.Lstat(name)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, &Error{Op: "open", Path: d.Path(name), Err: cause(err)}
}

// ReadFile reads a file whole.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	if d.handles == nil {
		return d.root.ReadFile(name)
	}
	data, err := d.handles.readFile(name)
	if err != nil {
		err = &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return data, err
}

// FS gives the tree for reading.
func (d *Dir) FS() fs.ReadFileFS { return tree{d.root.FS(), d} }

type tree struct {
	fs.FS
	d *Dir
}

func (t tree) ReadFile(name string) ([]byte, error) { return t.d.ReadFile(name) }
