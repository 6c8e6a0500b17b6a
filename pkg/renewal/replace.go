package renewal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// replace signs, and puts everything into its place.
func (w *renewer) replace(ctx context.Context) error {
	if len(w.prepared) == 0 {
		return nil
	}
	inv := w.authority.Inventory()
	for _, e := range w.unknown {
		if !slices.ContainsFunc(w.result.Renewed, func(n Renewed) bool { return n.Old.Key == e.Key }) {
			continue
		}
		if err := inv.Record(ctx, e); err != nil {
			return err
		}
	}
	w.steps().Say("issue")
	issued, err := w.authority.IssueAll(ctx, w.prepared, w.steps().Report("issuing", len(w.prepared)))
	if err != nil {
		return err
	}
	var keys, old []inventory.Key
	for i := range issued {
		n := &w.result.Renewed[i]
		n.New = issued[i].Entry
		keys = append(keys, n.New.Key)
		if n.Old.State != inventory.Foreign { // another program's row has no state
			old = append(old, n.Old.Key)
		}
	}
	files, err := w.contents(issued)
	defer func() {
		for _, f := range files {
			if f.part == layout.Key {
				clear(f.now)
			}
		}
	}()
	if err == nil {
		err = w.prove(ctx, files)
	}
	if err == nil {
		err = w.put(ctx, files)
	}
	if err != nil {
		if !w.begun { // nothing is in its place
			w.steps().Say("abandon")
			err = errors.Join(err, inv.Abandon(ctx, keys...))
		}
		return err
	}
	// In this order: what is published and not to be found any more would look like a certificate that is used elsewhere.
	w.steps().Say("supersede")
	if err := supersede(ctx, inv, w.result.Renewed, old); err != nil {
		return err
	}
	w.steps().Say("mark")
	if err := inv.MarkPublished(ctx, keys...); err != nil {
		return err
	}
	for i := range w.result.Renewed {
		w.result.Renewed[i].New.State = inventory.Published
	}
	return nil
}

// supersede notes that certificates were replaced. One that was never marked as published is so first.
func supersede(ctx context.Context, inv *inventory.Inventory, list []Renewed, old []inventory.Key) error {
	var unmarked []inventory.Key
	for _, n := range list {
		if n.Old.State == inventory.Issued {
			unmarked = append(unmarked, n.Old.Key)
		}
	}
	if err := inv.MarkPublished(ctx, unmarked...); err != nil {
		return err
	}
	return inv.MarkSuperseded(ctx, old...)
}

// A newFile is one file that gets new content.
type newFile struct {
	holding
	of       int // in result.Renewed
	name     string
	part     layout.Part
	was, now []byte
	info     fs.FileInfo
	backup   string
	pending  *durable.Pending
}

// contents composes the files: of each certificate the keys first, as everywhere.
func (w *renewer) contents(issued []ca.Issued) ([]*newFile, error) {
	var files []*newFile
	for i := range issued {
		n := &w.result.Renewed[i]
		n.Files = nil
		for _, h := range w.held[n.Old.Key] {
			paths := h.Paths(h.role)
			if !n.KeyKept {
				key, err := certs.MarshalKey(issued[i].Key, nil)
				if err != nil {
					return files, err
				}
				files = append(files, &newFile{holding: h, of: i, name: paths.Key, part: layout.Key, was: h.key, now: key, info: h.keyInfo})
			}
			above := rest(h.text)
			if n.New.Authority != n.Old.Authority { // of another CA, which had others above it
				above = nil
			}
			files = append(files, &newFile{holding: h, of: i, name: paths.Cert, part: layout.Cert, was: h.text,
				now: append(issued[i].PEM(), above...), info: h.certInfo})
		}
	}
	return slices.DeleteFunc(files, func(f *newFile) bool { return bytes.Equal(f.was, f.now) }), nil
}

// fewFiles is up to how many files are synchronised one by one. Above it the file systems are, at once: that is what makes a
// thousand hosts as quick as one, and dear for one on a machine that has other things to write.
const fewFiles = 32

// put writes all files and the backups of what they replace beside their places, makes that durable, and gives them their
// names, one right after the other.
func (w *renewer) put(ctx context.Context, files []*newFile) error {
	defer func() {
		for _, f := range files {
			if f.pending != nil {
				f.pending.Discard() // of those that have no name yet
			}
		}
	}()
	dirs := make([]*durable.Dir, 0, len(w.roots))
	for _, d := range w.roots {
		dirs = append(dirs, d)
	}
	many := len(files) > fewFiles
	if many {
		for _, d := range dirs {
			d.Unsynced()
		}
	}
	progress := w.steps().Report("writing", len(files))
	for i, f := range files {
		d := w.roots[f.Root]
		var err error
		if f.backup, err = w.backup(d, f.holding, f.name, f.part, f.was, f.info); err == nil {
			// Owner and mode stay: QEMU's group may have been let in.
			f.pending, err = d.Prepare(durable.File{Name: layout.Below(f.name), Data: f.now, Mode: f.info.Mode().Perm(), Replace: true})
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("renewing %q: %w", w.result.Renewed[f.of].Old.Host, err)
		}
		if progress != nil {
			progress(i + 1)
		}
	}
	if many {
		w.steps().Say("syncfs")
		if err := durable.SyncAll(dirs); err != nil {
			return fmt.Errorf("renewing: %w", err)
		}
	}
	touched := map[string]map[string]bool{}
	for _, f := range files {
		n := &w.result.Renewed[f.of]
		w.begun = true
		if err := f.pending.Publish(); err != nil {
			return fmt.Errorf("renewing %q: %w", n.Old.Host, err)
		}
		n.Files, n.Backups = append(n.Files, f.Shown(f.name)), append(n.Backups, f.backup)
		if touched[f.Root] == nil {
			touched[f.Root] = map[string]bool{}
		}
		touched[f.Root][path.Dir(layout.Below(f.name))] = true
	}
	if many {
		w.steps().Say("syncfs")
		return durable.SyncAll(dirs)
	}
	for _, root := range sortedKeys(touched) {
		for _, dir := range sortedKeys(touched[root]) {
			if err := w.roots[root].SyncDir(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// rest gives what follows the first certificate in a file: those above it, which stay.
func rest(text []byte) []byte {
	const end = "-----END CERTIFICATE-----"
	i := bytes.Index(text, []byte(end))
	if i < 0 {
		return nil
	}
	after := bytes.TrimLeft(text[i+len(end):], "\r\n\t ")
	if !bytes.Contains(after, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil
	}
	return after
}

// backup keeps what a file holds.
func (w *renewer) backup(d *durable.Dir, h holding, name string, part layout.Part, data []byte, info fs.FileInfo) (string, error) {
	to, err := layout.KeepBeside(d, name, part, data, info, w.Now)
	return h.Shown(to), err
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return keys
}
