package cluster

import (
	"fmt"
	"io/fs"

	"github.com/virt-pki/virt-pki/pkg/layout"
)

// judgeModes compares owners and modes.
func (d *comparison) judgeModes(ref placeRef, items []sighting) {
	kind := d.changes.places[ref.member][ref.place].Kind
	step := Step{Member: d.memberOf(ref).Name, Layout: kind, want: -1, place: ref}
	for _, s := range items {
		if !s.There || s.Err != nil && s.Mode == 0 || s.Mode&fs.ModeSymlink != 0 || s.Mode.IsDir() != (s.item.Part == layout.Directory) {
			continue
		}
		if ref.place > 0 && s.item.Shared {
			continue // it was looked at with the first place
		}
		step.Files, step.item = nil, s.item
		if uid, gid, ok := d.owner(s.item); ok && (s.UID != uid || gid >= 0 && s.GID != gid) {
			step.Files = []string{d.shown(ref, s.item.Path)}
			step.Action = SetOwner
			step.Why = []Why{{OwnerWrong, fmt.Sprintf("it belongs to %d:%d, and is to belong to %d:%s", s.UID, s.GID, uid, orAny(gid))}}
			d.add(step)
		}
		if want, text := modeFault(kind, s); text != "" {
			step.Action, step.item.Mode, step.Files = SetMode, want, []string{d.shown(ref, s.item.Path)}
			step.Why = []Why{{ModeWrong, text}}
			d.add(step)
		}
	}
}

func orAny(gid int) string {
	if gid < 0 {
		return "any"
	}
	return fmt.Sprint(gid)
}

// owner gives who should own an item, where that is known: the system's.
func (d *comparison) owner(item layout.Item) (uid, gid int, ok bool) {
	if d.known == nil || d.known.owner == nil || !item.System || item.Shared {
		return 0, 0, false
	}
	gid = -1
	if item.Group != "" && d.known.owner.LookupGroup != nil {
		if n, err := d.known.owner.LookupGroup(item.Group); err == nil {
			gid = n
		}
	}
	return 0, gid, true
}

// modeFault says what is wrong with a mode. Keys may be more closed than they need to be; QEMU's may be open to a group that
// the file does not name.
func modeFault(kind layout.Kind, s sighting) (fs.FileMode, string) {
	perm, want := s.Mode.Perm(), s.item.Mode.Perm()
	open := perm &^ want
	switch {
	case s.item.Part == layout.Key && kind.ForQEMU() && s.item.Group == "":
		open &^= 0o040
	case s.item.Part == layout.Directory && s.Mode&fs.ModeSticky != 0:
		open &^= 0o022
	}
	lacks := want &^ perm
	if s.item.Part == layout.Key || s.item.Shared && s.item.Part == layout.Directory {
		lacks = 0
	}
	if s.item.Shared {
		open &= 0o022
	}
	switch {
	case open != 0 && s.item.Part == layout.Key:
		return want, fmt.Sprintf("its mode is %04o: others can read or replace the private key; it is to be %04o", perm, want)
	case open&0o022 != 0:
		return want, fmt.Sprintf("its mode is %04o: others can replace what libvirt trusts; it is to be %04o", perm, want)
	case open != 0 || lacks != 0:
		return want, fmt.Sprintf("its mode is %04o, and is to be %04o", perm, want)
	}
	return 0, ""
}
