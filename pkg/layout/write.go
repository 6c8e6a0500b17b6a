package layout

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// WriteOptions say how far Write may go. The zero value sets no owners and overwrites nothing.
type WriteOptions struct {
	// SetOwners gives the files to whom they belong, which only root can do: the system's to root, the others to UID
	// and GID.
	SetOwners bool
	UID, GID  int
	// LookupGroup gives the number of an Item's Group; needed with SetOwners where there is one.
	LookupGroup func(name string) (gid int, err error)
	// Replace allows certificates and CRLs to be replaced, ReplaceKeys private keys.
	Replace, ReplaceKeys bool
}

// Written says what Write did, by the items' paths.
type Written struct {
	Files       []string // written
	Unchanged   []string // were there with this very content
	Directories []string // made
	// Closed are the keys that got mode 0600 and not their item's: a group is to read them, and without SetOwners that
	// would have been the writer's own.
	Closed []string
}

// A ConflictError says that files are there which Write may not replace. Nothing was written.
type ConflictError struct {
	Paths []string // what is there, as it is called below the Dir that was written to
	Keys  bool     // at least one of them is a private key
}

// Error names the files.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("already there with other content: %s", strings.Join(e.Paths, ", "))
}

// Is makes it an fs.ErrExist.
func (e *ConflictError) Is(target error) bool { return target == fs.ErrExist }

// Hints gives the remedy.
func (e *ConflictError) Hints() []string {
	if e.Keys {
		return []string{"a private key that is replaced is lost: move the files away first, or choose another place"}
	}
	return []string{"move the files away first, or choose another place"}
}

// Write puts files, as Fill gives them, below a directory that stands for the machine's root. It is all or nothing as
// far as a file system allows: conflicts are looked for first and reported together, then every file is written and
// synchronised under a temporary name, and only then do they get their names, one right after the other, in the order
// given. A file that is there with the same content is left alone, so that an interrupted Write can be repeated.
//
// A private key is made with O_EXCL and mode 0600 and gets its owner and mode before it gets its name (package durable).
// A directory that is there keeps owner and mode; missing ones above the items are made with mode 0755.
func Write(d *durable.Dir, files []File, o WriteOptions) (Written, error) {
	var w Written
	todo, err := w.unwritten(d, files, o)
	if err != nil {
		return Written{}, err
	}
	var pending []*durable.Pending
	defer func() {
		for _, p := range pending {
			p.Discard() // of those that were not published
		}
	}()
	touched := map[string]bool{}
	for _, f := range todo {
		owner, err := o.owner(f.Item)
		if err != nil {
			return w, err
		}
		name := below(f.Path)
		if err := w.parents(d, path.Dir(name)); err != nil {
			return w, err
		}
		if f.Part == Directory {
			made, err := d.Mkdir(name, f.Mode, owner)
			if made {
				w.Directories = append(w.Directories, f.Path)
			}
			if err != nil {
				return w, err
			}
			continue
		}
		mode := f.Mode
		if f.Part == Key && f.Group != "" && !o.SetOwners {
			mode = 0o600
			w.Closed = append(w.Closed, f.Path)
		}
		p, err := d.Prepare(durable.File{Name: name, Data: f.Data, Mode: mode, Owner: owner, Replace: o.may(f.Part)})
		if err != nil {
			return w, err
		}
		pending = append(pending, p)
		touched[path.Dir(name)] = true
		w.Files = append(w.Files, f.Path)
	}
	for i, p := range pending {
		if err := p.Publish(); err != nil {
			w.Files = w.Files[:i]
			return w, err
		}
	}
	for dir := range touched {
		if err := d.SyncDir(dir); err != nil {
			return w, err
		}
	}
	return w, nil
}

// may reports whether a part may be replaced.
func (o WriteOptions) may(p Part) bool {
	if p == Key {
		return o.ReplaceKeys
	}
	return o.Replace
}

// owner gives who shall own an item; nil leaves it to the system.
func (o WriteOptions) owner(i Item) (*durable.Owner, error) {
	if !o.SetOwners {
		return nil, nil
	}
	owner := &durable.Owner{UID: o.UID, GID: o.GID}
	if i.System {
		owner = &durable.Owner{}
	}
	if i.Group == "" {
		return owner, nil
	}
	if o.LookupGroup == nil {
		return nil, fmt.Errorf("writing %q: the number of the group %q is not known", i.Path, i.Group)
	}
	gid, err := o.LookupGroup(i.Group)
	if err != nil {
		return nil, fmt.Errorf("writing %q: looking up the group %q: %w", i.Path, i.Group, err)
	}
	owner.GID = gid
	return owner, nil
}

// unwritten leaves out the files that are there already, and refuses those that must not be replaced.
func (w *Written) unwritten(d *durable.Dir, files []File, o WriteOptions) ([]File, error) {
	var todo []File
	conflict := &ConflictError{}
	for _, f := range files {
		if f.Part == Directory {
			todo = append(todo, f)
			continue
		}
		there, err := d.Has(below(f.Path))
		same := false
		if err == nil && there {
			same, there = compare(d.Root(), below(f.Path), f.Data)
		}
		switch {
		case there && same:
			w.Unchanged = append(w.Unchanged, f.Path)
		case there && !o.may(f.Part):
			conflict.Paths = append(conflict.Paths, d.Path(below(f.Path)))
			conflict.Keys = conflict.Keys || f.Part == Key
		default:
			todo = append(todo, f)
		}
	}
	if len(conflict.Paths) > 0 {
		return nil, conflict
	}
	return todo, nil
}

// compare reports whether there is something of that name, and whether it is a file with that content. What is no file,
// or cannot be read, is not the same. It follows no link in the last component.
func compare(root *os.Root, name string, data []byte) (same, there bool) {
	info, err := root.Lstat(name)
	if err != nil {
		return false, false // anything but absence the writing will say
	}
	if !info.Mode().IsRegular() || info.Size() != int64(len(data)) {
		return false, true
	}
	f, err := root.Open(name)
	if err != nil {
		return false, true
	}
	defer f.Close()
	have, err := io.ReadAll(io.LimitReader(f, int64(len(data))+1))
	return err == nil && bytes.Equal(have, data), true
}

// parents makes the directories above an item that no item names: /etc in an empty tree, a home.
func (w *Written) parents(d *durable.Dir, name string) error {
	if name == "." {
		return nil
	}
	if there, err := d.Has(name); err != nil || there {
		return nil // the next step says what is wrong
	}
	if err := w.parents(d, path.Dir(name)); err != nil {
		return err
	}
	made, err := d.Mkdir(name, 0o755, nil)
	if made {
		w.Directories = append(w.Directories, "/"+name)
	}
	return err
}
