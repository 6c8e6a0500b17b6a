package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// A File is one file to be published.
type File struct {
	Name string // relative to the Dir
	Data []byte
	// Stream, where it is set, writes the content in the place of Data: what is too long to be in memory.
	Stream func(io.Writer) error
	Mode   fs.FileMode
	// Owner is who shall own it. Nil, or a number of -1: as with the file that is replaced, else as the process.
	Owner *Owner
	// Replace allows a regular file of that name to be replaced. Without it, one that is there is an error that wraps
	// fs.ErrExist, and nothing changes.
	Replace bool
}

// Write publishes one file. These are the system calls:
//
//	openat(DIR, .NAME.virt-pki-tmp-HEX, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0600)
//	fchown(FD, UID, GID)            where the owner is to be another than the process makes it
//	fsetxattr(FD, security.selinux) where a file with a label is replaced
//	fchmod(FD, MODE)                after fchown: the group bits must not meet the wrong group
//	write(FD, DATA)
//	fsync(FD)
//	renameat(DIR, TEMPORARY, DIR, NAME)       with Replace
//	linkat(DIR, TEMPORARY, DIR, NAME), unlinkat(DIR, TEMPORARY)   without: link fails when NAME is there
//	fsync(DIR)
//
// When a step fails the temporary file is removed. When the process is killed it stays, see [IsLeftover]; it is as
// closed to others as the file would be.
func (d *Dir) Write(f File) error {
	p, err := d.Prepare(f)
	if err != nil {
		return err
	}
	if err := p.Publish(); err != nil {
		return err
	}
	return d.SyncDir(path.Dir(f.Name))
}

// A Pending is a file that is written, synchronised and has its mode and owner, but not yet its name.
type Pending struct {
	dir       *Dir
	file      File
	temporary string
	done      bool
}

// Prepare does the steps of [Dir.Write] up to the fsync of the file. The caller calls Publish and SyncDir, or Discard.
//
// In a stage, where nobody can see the file, it has its name at once, and Publish does nothing.
func (d *Dir) Prepare(f File) (*Pending, error) {
	if d.handles != nil {
		p, err := d.prepare(&Pending{dir: d, file: f, temporary: f.Name}, nil)
		if !errors.Is(err, fs.ErrExist) {
			return p, err
		}
	}
	old, err := d.root.Lstat(f.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return nil, &Error{Op: "open", Path: d.Path(f.Name), Err: cause(err)}
	case old.Mode()&fs.ModeSymlink != 0:
		return nil, &Error{Op: "open", Path: d.Path(f.Name), Err: ErrSymlink}
	case !old.Mode().IsRegular():
		return nil, &Error{Op: "open", Path: d.Path(f.Name), Err: ErrNotRegular}
	case !f.Replace:
		return nil, &Error{Op: "open", Path: d.Path(f.Name), Err: fs.ErrExist}
	}
	return d.prepare(&Pending{dir: d, file: f, temporary: temporary(f.Name, fileMark)}, old)
}

// prepare writes the temporary file. old is what it will replace, or nil.
func (d *Dir) prepare(p *Pending, old fs.FileInfo) (*Pending, error) {
	if err := p.write(old); err != nil {
		p.Discard()
		return nil, err
	}
	return p, nil
}

func (p *Pending) write(old fs.FileInfo) error {
	d, f := p.dir, p.file
	var file *os.File
	err := d.step("open", f.Name, func() (err error) {
		// O_EXCL does not follow a symbolic link of that name either (open(2)).
		if p.named() {
			file, err = d.handles.create(p.temporary)
		} else {
			file, err = d.root.OpenFile(p.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		}
		return err
	})
	if err != nil {
		p.done = p.named() // what is there is not ours to be removed
		return err
	}
	defer file.Close()
	uid, gid := -1, -1
	if old != nil {
		uid, gid = owner(old)
	}
	if f.Owner != nil {
		if f.Owner.UID >= 0 {
			uid = f.Owner.UID
		}
		if f.Owner.GID >= 0 {
			gid = f.Owner.GID
		}
	}
	if uid < 0 && gid < 0 {
		// The process's own.
	} else if info, err := file.Stat(); err == nil { // spare a chown that would change nothing, and so need no right to it
		u, g := owner(info)
		if u == uid {
			uid = -1
		}
		if g == gid {
			gid = -1
		}
	}
	if uid >= 0 || gid >= 0 {
		if err := d.step("chown", f.Name, func() error { return file.Chown(uid, gid) }); err != nil {
			return err
		}
	}
	if old != nil {
		if was, err := d.root.Open(f.Name); err == nil { // unreadable: no label can be taken over
			copyLabel(was, file)
			was.Close()
		}
	}
	if f.Mode.Perm() != 0o600 {
		if err := d.step("chmod", f.Name, func() error { return file.Chmod(f.Mode.Perm()) }); err != nil {
			return err
		}
	}
	write := func() error { _, err := file.Write(f.Data); return err }
	if f.Stream != nil {
		write = func() error { return f.Stream(file) }
	}
	if err := d.step("write", f.Name, write); err != nil {
		return err
	}
	if !d.unsynced {
		if err := d.step("fsync", f.Name, file.Sync); err != nil {
			return err
		}
	}
	// NFS reports a full disk only here.
	return d.step("close", f.Name, file.Close)
}

// Open opens what was written, to be read once more before it is published.
func (p *Pending) Open() (*os.File, error) {
	f, err := p.dir.root.Open(p.temporary)
	if err != nil {
		return nil, &Error{Op: "open", Path: p.dir.Path(p.file.Name), Err: cause(err)}
	}
	return f, nil
}

// named reports whether the file was made under its name.
func (p *Pending) named() bool { return p.temporary == p.file.Name }

// Publish gives the file its name. The caller then calls SyncDir for its directory.
func (p *Pending) Publish() error {
	d, name := p.dir, p.file.Name
	if p.named() {
		p.done = true
		return nil
	}
	defer p.Discard()
	if p.file.Replace {
		err := d.step("rename", name, func() error { return d.root.Rename(p.temporary, name) })
		p.done = err == nil
		return err
	}
	// link, not rename: it fails when there is a file by now. The temporary name goes with Discard.
	return d.step("link", name, func() error { return d.root.Link(p.temporary, name) })
}

// Discard removes the temporary file, if there still is one. A published file is not touched.
func (p *Pending) Discard() {
	if p.done {
		return
	}
	p.done = true
	// A failure leaves a file that RemoveLeftovers knows; nothing better can be done with it here.
	_ = p.dir.step("remove", p.file.Name, func() error { return p.dir.root.Remove(p.temporary) })
}

// WriteFile publishes one file by its path.
func WriteFile(name string, data []byte, mode fs.FileMode, replace bool) error {
	d, err := Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Write(File{Name: filepath.Base(name), Data: data, Mode: mode, Replace: replace})
}
