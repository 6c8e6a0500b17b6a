package durable

import (
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// A Sight is what is to be seen of a name.
type Sight struct {
	// There says that there is something of that name.
	There    bool
	Mode     fs.FileMode // kind and permissions
	UID, GID int
	// Data is the content of a regular file that was asked for.
	Data []byte
	// Err says why it cannot be looked at, or not be read.
	Err error
}

// A Viewer looks at many names below a directory, with as few system calls as that takes. Several goroutines may use it.
type Viewer struct{ handles *handles }

// View opens a directory for looking.
func (d *Dir) View() (*Viewer, error) {
	h, err := newHandles(d.root)
	if err != nil {
		return nil, &Error{Op: "open", Path: d.Path("."), Err: cause(err)}
	}
	return &Viewer{h}, nil
}

// Close ends the use.
func (v *Viewer) Close() { v.handles.close() }

// Look looks at a name and, with content, reads a regular file of up to most octets; what is larger is an error. A symbolic
// link is seen as such. No content is read through one, wherever in the name it is.
func (v *Viewer) Look(name string, content bool, most int64) Sight {
	top, err := v.handles.acquire(".")
	if err != nil {
		return Sight{Err: err}
	}
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstatat(top.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	v.handles.release(top)
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return Sight{}
	case err != nil:
		return Sight{There: true, Err: err}
	}
	s := Sight{There: true, Mode: modeOf(uint32(st.Mode)), UID: int(st.Uid), GID: int(st.Gid)}
	if !content || !s.Mode.IsRegular() {
		return s
	}
	if st.Size > most {
		s.Err = unix.EFBIG
		return s
	}
	s.Data, s.Err = v.read(name, st.Size)
	return s
}

// read reads a file that had that size a moment ago.
func (v *Viewer) read(name string, size int64) ([]byte, error) {
	fd, err := v.handles.openToRead(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	data := make([]byte, 0, size+1)
	for {
		if len(data) == cap(data) {
			data = slices.Grow(data, 512)
		}
		var n int
		err := retry(func() (err error) { n, err = unix.Read(fd, data[len(data):cap(data)]); return err })
		if err != nil || n == 0 {
			return data, err
		}
		data = data[:len(data)+n]
	}
}

// modeOf translates the system's mode.
func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	default:
		mode |= fs.ModeIrregular
	}
	if m&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
