package main

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// checkBundle judges a collected host: its files as they lie there, with its owners and modes.
func (p *program) checkBundle(h *bundle.Host, o checkOptions, v *checkView) error {
	var places []layout.Place
	for _, k := range layout.Kinds() {
		if k != layout.User && k != layout.PkiPath {
			places = append(places, layout.Place{Kind: k})
		}
	}
	for _, home := range h.Homes() {
		places = append(places, layout.Place{Kind: layout.User, Dir: home})
	}
	for _, dir := range h.Manifest.PKIPaths {
		places = append(places, layout.Place{Kind: layout.PkiPath, Dir: dir})
	}
	for _, name := range o.layouts {
		if _, err := layout.ParseKind(name); err != nil {
			return invalid("--layout", name, err)
		}
	}
	labels := h.Labels()
	for _, place := range places {
		if o.layouts != nil && !slices.Contains(o.layouts, string(place.Kind)) {
			continue
		}
		t := checkTree{fsys: h.FS(), read: h.ReadFile, withheld: h.Withheld, uid: -1, shown: func(path string) string { return path },
			labels: func(layout.Place) *layout.Labels { return labels }}
		switch place.Kind {
		case layout.User:
			t.uid = ownerOf(h.FS(), place.Dir)
		case layout.PkiPath:
			t.uid = ownerOf(h.FS(), path.Dir(place.Dir))
		default:
			t.uid = 0
		}
		p.checkPlace(t, place, o, v)
	}
	if len(v.Checked) == 0 && len(v.Unchecked) == 0 {
		return fmt.Errorf("there are no credentials in the bundle of %q%w", h.Name, errNothing)
	}
	return nil
}

// ownerOf gives who owns a file, -1 where that is not known.
func ownerOf(fsys fs.FS, name string) int {
	info, err := fs.Stat(fsys, name[1:])
	if err != nil {
		return -1
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}
