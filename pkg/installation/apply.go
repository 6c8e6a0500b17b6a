package installation

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Apply puts the tree onto the machine: what is replaced is kept first, then all files are written and synchronised under
// temporary names and get their own one right after the other, keys before certificates.
func (in *Plan) Apply() error {
	on, err := openGround(in.root)
	if err != nil {
		return err
	}
	defer on.close()
	for _, i := range in.Items {
		if i.Backup == "" {
			continue
		}
		if err := keep(on, i, in.o.SetOwners); err != nil {
			return fmt.Errorf("keeping %q: %w", i.Path, err)
		}
	}
	// A user's files have other owners than the next user's.
	groups := map[string][]layout.File{}
	var order []string
	for _, f := range in.files {
		home := homeOf(f.Path)
		if groups[home] == nil {
			order = append(order, home)
		}
		f.Path = strings.TrimPrefix(f.Path, home)
		groups[home] = append(groups[home], f)
	}
	for _, home := range order {
		d, _, err := on.at(home + "/")
		if err != nil {
			return err
		}
		o := in.o.WriteOptions
		o.Replace, o.ReplaceKeys = true, in.o.Force
		if o.UID, o.GID = 0, 0; home != "" {
			o.UID, o.GID = in.userOf(home)
		}
		if _, err := layout.Write(d, groups[home], o); err != nil {
			return err
		}
	}
	for _, i := range in.Items {
		if i.Fate != ModeChanged {
			continue
		}
		owner, err := in.owner(i.Item)
		if err != nil {
			return err
		}
		d, name, err := on.at(i.Path)
		if err != nil {
			return err
		}
		if owner != nil {
			if err := d.Root().Lchown(name, owner.UID, owner.GID); err != nil {
				return err
			}
		}
		if err := d.Root().Chmod(name, in.mode(i.Item)); err != nil {
			return err
		}
	}
	return nil
}

// keep copies a file that is to be replaced, with its mode and, where they are set, its owner.
func keep(on *ground, i Item, owners bool) error {
	d, name, err := on.at(i.Path)
	if err != nil {
		return err
	}
	info, err := d.Root().Lstat(name)
	if err != nil {
		return err
	}
	old, err := d.ReadFile(name)
	if err != nil {
		return err
	}
	_, backup, err := on.at(i.Backup)
	if err != nil {
		return err
	}
	if i.Part == layout.Key {
		defer clear(old)
	}
	var owner *durable.Owner
	if st, ok := info.Sys().(*syscall.Stat_t); ok && owners {
		owner = &durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return d.Write(layout.Backup(backup, i.Part, old, info, owner))
}
