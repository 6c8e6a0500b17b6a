package bundle

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"syscall"
	"time"
)

// notCollected is for content that is not in a bundle.
type notCollected struct{ why string }

func (e notCollected) Error() string { return e.why }

// Is makes it what a file is that may not be read.
func (e notCollected) Is(target error) bool { return target == fs.ErrPermission }

// collected is a bundle's files as a file system that has the owners, modes and links of the host. It follows no links.
type collected struct {
	entries  map[string]Entry // by path without leading slash
	children map[string][]string
	files    map[string][]byte
}

func newCollected(m Manifest, files map[string][]byte) *collected {
	c := &collected{map[string]Entry{".": {Path: "/", Type: Directory, Mode: "0755"}}, map[string][]string{}, files}
	for _, e := range m.Entries {
		c.put(e.Path[1:], e)
	}
	for _, names := range c.children {
		sort.Strings(names)
	}
	return c
}

// put notes an entry, and directories above it that the manifest does not have.
func (c *collected) put(name string, e Entry) {
	if old, ok := c.entries[name]; ok {
		if old.Path == "" || name == "." {
			c.entries[name] = e
		}
		return
	}
	c.entries[name] = e
	dir := path.Dir(name)
	c.children[dir] = append(c.children[dir], path.Base(name))
	if _, ok := c.entries[dir]; !ok {
		c.put(dir, Entry{Type: Directory, Mode: "0755"}) // without a path: one that is only inferred
	}
}

func (c *collected) find(op, name string) (Entry, error) {
	e, ok := c.entries[name]
	switch {
	case !fs.ValidPath(name):
		return e, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	case !ok:
		return e, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	case e.Type == Unknown:
		return e, &fs.PathError{Op: op, Path: name, Err: notCollected{e.Error}}
	}
	return e, nil
}

// Lstat describes a path.
func (c *collected) Lstat(name string) (fs.FileInfo, error) {
	e, err := c.find("lstat", name)
	if err != nil {
		return nil, err
	}
	return fileInfo{path.Base(name), e, int64(len(c.files["/"+name]))}, nil
}

// Stat is Lstat.
func (c *collected) Stat(name string) (fs.FileInfo, error) { return c.Lstat(name) }

// ReadLink gives where a link leads.
func (c *collected) ReadLink(name string) (string, error) {
	e, err := c.find("readlink", name)
	if err == nil && e.Type != Symlink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return e.Link, err
}

// ReadDir lists a directory.
func (c *collected) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := c.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.Type != Directory {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	if e.Error != "" {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: notCollected{e.Error}}
	}
	var out []fs.DirEntry
	for _, n := range c.children[name] {
		if e := c.entries[path.Join(name, n)]; e.Type != Unknown {
			out = append(out, fs.FileInfoToDirEntry(fileInfo{n, e, 0}))
		}
	}
	return out, nil
}

// Open opens a file or directory for reading.
func (c *collected) Open(name string) (fs.File, error) {
	e, err := c.find("open", name)
	if err != nil {
		return nil, err
	}
	info := fileInfo{path.Base(name), e, int64(len(c.files["/"+name]))}
	switch text, ok := c.files["/"+name]; {
	case e.Type == Directory:
		list, err := c.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{info, list}, nil
	case e.Type == Symlink:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
	case e.Type == Regular && ok:
		return &openFile{info, bytes.NewReader(text)}, nil
	case e.Error != "":
		return nil, &fs.PathError{Op: "open", Path: name, Err: notCollected{e.Error}}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: notCollected{"its content was not collected"}}
}

type fileInfo struct {
	name string
	e    Entry
	size int64
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.e.fileMode() }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.e.Type == Directory }

// Sys gives the owner, as that of a file of this machine does.
func (i fileInfo) Sys() any {
	if i.e.Path == "" || i.e.Mode == "" {
		return nil
	}
	return &syscall.Stat_t{Uid: uint32(i.e.UID), Gid: uint32(i.e.GID)}
}

type openFile struct {
	info fileInfo
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info fileInfo
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: syscall.EISDIR}
}
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n >= len(d.rest) {
		out := d.rest
		d.rest = nil
		if n > 0 && len(out) == 0 {
			return nil, io.EOF
		}
		return out, nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out, nil
}

// disk is a directory as a file system whose links are not followed, so that follow can follow them as that machine would.
// Nothing leads out of it. It holds nothing open.
type disk string

func (d disk) with(f func(*os.Root) error) error {
	r, err := os.OpenRoot(string(d))
	if err != nil {
		return err
	}
	defer r.Close()
	return f(r)
}

// Open opens a file, but waits for nobody who would write to a pipe.
func (d disk) Open(name string) (f fs.File, err error) {
	err = d.with(func(r *os.Root) error {
		f, err = r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

// Lstat describes a path.
func (d disk) Lstat(name string) (info fs.FileInfo, err error) {
	err = d.with(func(r *os.Root) error { info, err = r.Lstat(name); return err })
	return info, err
}

// Stat is Lstat.
func (d disk) Stat(name string) (fs.FileInfo, error) { return d.Lstat(name) }

// ReadLink gives where a link leads.
func (d disk) ReadLink(name string) (target string, err error) {
	err = d.with(func(r *os.Root) error { target, err = r.Readlink(name); return err })
	return target, err
}

// Disk gives a directory that stands for a machine's / to [Collect] from.
func Disk(dir string) fs.FS { return disk(dir) }
