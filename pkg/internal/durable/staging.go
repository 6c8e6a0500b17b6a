package durable

import (
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// A Staging is a tree that is written beside its place and then put there at once:
//
//	mkdirat(DIR, .NAME.virt-pki-stage-HEX, 0700)
//	mkdirat(..., MODE), openat(..., O_CREAT|O_EXCL|O_NOFOLLOW, 0600), fchmod, write ...
//	                 under their final names, since nobody else can go in; not synchronised
//	syncfs(FD)       on Linux; elsewhere fsync of each
//	renameat(DIR, STAGING, DIR, NAME)
//	fsync(DIR)
//
// Five hundred hosts so cost one synchronisation.
type Staging struct {
	*Dir           // the tree itself: Write, Mkdir and Prepare work in it, without synchronising
	parent         *Dir
	target, hidden string
	done           bool
	// ahead gives the result of SyncAhead; nil: it was not called.
	ahead chan error
}

// Stage begins a tree that shall be called name. There must be nothing of that name, or an empty directory, which the
// tree then takes the place of.
func (d *Dir) Stage(name string) (*Staging, error) {
	if err := d.free(name); err != nil {
		return nil, err
	}
	s := &Staging{parent: d, target: name, hidden: temporary(name, stagingMark)}
	if err := d.step("mkdir", name, func() error { return d.root.Mkdir(s.hidden, 0o700) }); err != nil {
		return nil, err
	}
	root, err := d.root.OpenRoot(s.hidden)
	if err != nil {
		s.Discard()
		return nil, &Error{Op: "open", Path: d.Path(s.hidden), Err: cause(err)}
	}
	s.Dir = &Dir{root: root, Hook: d.Hook, unsynced: true}
	if s.handles, err = newHandles(root); err != nil {
		s.Discard()
		return nil, &Error{Op: "open", Path: d.Path(s.hidden), Err: cause(err)}
	}
	return s, nil
}

// free says whether a tree can be put at name.
func (d *Dir) free(name string) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil // that there is nothing is good; anything else the next step will say
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return &Error{Op: "mkdir", Path: d.Path(name), Err: ErrSymlink}
	case !info.IsDir():
		return &Error{Op: "mkdir", Path: d.Path(name), Err: fs.ErrExist}
	}
	f, err := d.root.Open(name)
	if err != nil {
		return &Error{Op: "open", Path: d.Path(name), Err: cause(err)}
	}
	defer f.Close()
	if entries, _ := f.ReadDir(1); len(entries) > 0 {
		return &Error{Op: "mkdir", Path: d.Path(name), Err: fs.ErrExist}
	}
	return nil
}

// Publish synchronises the tree, gives it mode and owner, and its name. rename(2) fails when something was put there
// meanwhile, other than an empty directory.
func (s *Staging) Publish(mode fs.FileMode, owner *Owner) error {
	defer s.Discard()
	d := s.parent
	if owner != nil && (owner.UID >= 0 || owner.GID >= 0) {
		if err := d.step("chown", s.target, func() error { return d.root.Lchown(s.hidden, owner.UID, owner.GID) }); err != nil {
			return err
		}
	}
	if err := d.step("chmod", s.target, func() error { return d.root.Chmod(s.hidden, mode.Perm()) }); err != nil {
		return err
	}
	if !d.unsynced {
		if err := d.step("syncfs", s.target, s.sync); err != nil {
			return err
		}
	}
	if err := d.step("rename", s.target, func() error { return s.rename() }); err != nil {
		return err
	}
	s.done = true
	s.Close()
	return d.SyncDir(path.Dir(s.target))
}

// SyncAhead begins to synchronise what has been written so far, while the caller goes on with something else. Publish
// then has less to wait for. It is called once at most.
func (s *Staging) SyncAhead() {
	s.ahead = make(chan error, 1)
	go func() { s.ahead <- syncTree(s.root) }()
}

// sync synchronises everything. An error of SyncAhead counts: the system gives the news of a failed write once only.
func (s *Staging) sync() error {
	var err error
	if s.ahead != nil {
		err = <-s.ahead
		s.ahead = nil
	}
	if err == nil {
		err = syncTree(s.root)
	}
	return err
}

// rename puts the tree in its place. os.Root.Rename, like os.Rename, refuses an empty directory that is there; rename(2)
// takes its place and refuses any other.
func (s *Staging) rename() error {
	dir, err := s.parent.root.Open(path.Dir(s.target))
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	return unix.Renameat(fd, path.Base(s.hidden), fd, path.Base(s.target))
}

// Discard removes the tree, if it has not been published.
func (s *Staging) Discard() {
	if s.done {
		return
	}
	s.done = true
	if s.ahead != nil {
		<-s.ahead
	}
	if s.Dir != nil {
		s.Close()
	}
	_ = s.parent.step("remove", s.target, func() error { return s.parent.root.RemoveAll(s.hidden) })
}
