package installation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// A Plan is how a host's tree, as package cluster lays it, comes onto the machine that it is for. It can be
// printed before it is done.
type Plan struct {
	Items []Item
	// Kinds are the layouts that are in the tree.
	Kinds []layout.Kind

	root  string
	files []layout.File
	o     Options
}

// An Item is one file or directory of a Plan.
type Item struct {
	layout.Item
	Fate Fate
	// Backup is the name under which the file that is replaced is kept.
	Backup string
}

// A Fate is what becomes of a file of the tree.
type Fate string

// The fates.
const (
	Added       Fate = "new"
	Unchanged   Fate = "unchanged"
	Replaced    Fate = "replaced"
	ModeChanged Fate = "mode" // the content is right, owner or mode are not
)

// Options say how far a Plan may go.
type Options struct {
	layout.WriteOptions
	// Kinds are the layouts to install; nil: all that are in the tree.
	Kinds []layout.Kind
	// QEMUGroup is the group that QEMU runs as on this machine, see layout.Place.
	QEMUGroup string
	// Force replaces private keys, and newer revocation lists by older ones. What is replaced is kept.
	Force bool
}

// Compare compares a host's tree with what lies below root, which is / or stands for it. Keys are compared with their
// certificates first. The errors include *MisfitError, *RefusedError and ErrNoTree.
func Compare(source fs.FS, root string, o Options) (*Plan, error) {
	on, err := openGround(root)
	if err != nil {
		return nil, err
	}
	defer on.close()
	in := &Plan{root: root, o: o}
	refused := &RefusedError{}
	var misfits []finding.Finding
	for _, place := range placesIn(source) {
		if o.Kinds != nil && !slices.Contains(o.Kinds, place.Kind) {
			continue
		}
		if place.Kind.ForQEMU() {
			place.Group = o.QEMUGroup
		}
		if place.Kind == layout.User {
			if info, err := on.root.Root().Stat(layout.Below(place.Dir)); err != nil || !info.IsDir() {
				return nil, &NoHomeError{place.Dir}
			}
		}
		files, faults, err := filesOf(source, on, place)
		if err != nil {
			return nil, err
		}
		misfits = append(misfits, faults...)
		if !slices.Contains(in.Kinds, place.Kind) {
			in.Kinds = append(in.Kinds, place.Kind)
		}
		for _, f := range files {
			if slices.ContainsFunc(in.files, func(g layout.File) bool { return g.Path == f.Path }) {
				continue // /etc/pki, which several have
			}
			item, err := in.compare(on, f, refused)
			if err != nil {
				return nil, err
			}
			in.files, in.Items = append(in.files, f), append(in.Items, item)
		}
	}
	switch {
	case len(in.files) == 0:
		return nil, ErrNoTree
	case misfits != nil:
		return nil, &MisfitError{misfits}
	case len(refused.Keys)+len(refused.Lists) > 0 && !o.Force:
		return nil, refused
	}
	return in, nil
}

// compare says what becomes of a file.
func (in *Plan) compare(on *ground, f layout.File, refused *RefusedError) (Item, error) {
	item := Item{Item: f.Item, Fate: Added}
	d, name, err := on.at(f.Path)
	if err != nil {
		return item, err
	}
	info, err := d.Root().Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return item, nil
	case err != nil:
		var pe *fs.PathError // its own path has the names of links in it
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: err}
	case info.Mode()&fs.ModeSymlink != 0:
		if f.Shared {
			item.Fate = Unchanged
			return item, nil
		}
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: durable.ErrSymlink}
	case f.Part == layout.Directory && info.IsDir():
		item.Fate = Unchanged
		if !f.Shared && in.differs(info, f.Item) {
			item.Fate = ModeChanged
		}
		return item, nil
	case f.Part == layout.Directory || !info.Mode().IsRegular():
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: durable.ErrNotRegular}
	}
	old, err := d.ReadFile(name)
	if err != nil {
		return item, err
	}
	if bytes.Equal(old, f.Data) {
		item.Fate = Unchanged
		if in.differs(info, f.Item) {
			item.Fate = ModeChanged
		}
		return item, nil
	}
	item.Fate = Replaced
	if item.Backup, err = freeName(on, f.Path); err != nil {
		return item, err
	}
	switch f.Part {
	case layout.Key:
		refused.Keys = append(refused.Keys, f.Path)
	case layout.CRL:
		if older(f.Data, old) {
			refused.Lists = append(refused.Lists, f.Path)
		}
	}
	return item, nil
}

// differs reports whether mode or, where they are set, owner and group are other than they should be.
func (in *Plan) differs(info fs.FileInfo, i layout.Item) bool {
	if info.Mode().Perm() != in.mode(i) {
		return true
	}
	owner, err := in.owner(i)
	st, ok := info.Sys().(*syscall.Stat_t)
	return err == nil && owner != nil && ok && (owner.UID != int(st.Uid) || i.Group != "" && owner.GID != int(st.Gid))
}

// mode is an item's mode, as layout.Write sets it.
func (in *Plan) mode(i layout.Item) fs.FileMode {
	if i.Part == layout.Key && i.Group != "" && !in.o.SetOwners {
		return 0o600
	}
	return i.Mode
}

// owner gives who shall own an item; nil: who installs it.
func (in *Plan) owner(i layout.Item) (*durable.Owner, error) {
	if !in.o.SetOwners {
		return nil, nil
	}
	o := &durable.Owner{}
	if !i.System {
		o.UID, o.GID = in.userOf(i.Path)
	}
	if i.Group != "" {
		gid, err := in.o.LookupGroup(i.Group)
		if err != nil {
			return nil, fmt.Errorf("looking up the group %q: %w", i.Group, err)
		}
		o.GID = gid
	}
	return o, nil
}

// userOf gives who owns the home directory in which a path lies.
func (in *Plan) userOf(name string) (uid, gid int) {
	home := homeOf(name)
	r, err := os.OpenRoot(in.root)
	if err != nil {
		return in.o.UID, in.o.GID
	}
	defer r.Close()
	if info, err := r.Stat(layout.Below(home)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid), int(st.Gid)
		}
	}
	return in.o.UID, in.o.GID
}

// freeName finds a name for a backup.
func freeName(on *ground, name string) (string, error) {
	for i := range 1000 {
		free := name + ".bak"
		if i > 0 {
			free = fmt.Sprintf("%s.bak.%d", name, i)
		}
		d, there, err := on.at(free)
		if err != nil {
			return "", err
		}
		taken, err := d.Has(there)
		if err != nil {
			return "", err
		}
		if !taken {
			return free, nil
		}
	}
	return "", fmt.Errorf("too many backups of %q", name)
}

// older reports whether one of the new lists is older than one that is there of the same issuer.
func older(text, there []byte) bool {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return false // the check afterwards says so
	}
	old, err := crl.ParsePEM(there)
	if err != nil {
		return false
	}
	for _, l := range lists {
		for _, o := range old {
			var e *crl.OlderError
			if bytes.Equal(l.Issuer.DER(), o.Issuer.DER()) && errors.As(l.CheckNewer(o), &e) {
				return true
			}
		}
	}
	return false
}
