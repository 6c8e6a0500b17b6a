package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// addTrees makes the trees of members that have none.
func (w *applier) addTrees(ctx context.Context) error {
	if w.plan == nil {
		return nil
	}
	made, err := w.plan.Add(ctx, w.Options)
	if err != nil {
		return err
	}
	w.applied.Closed, w.applied.Proof = made.Closed, made.Proof
	issued := map[string]Identity{}
	var entries []inventory.Entry
	for i, id := range made.Identities {
		issued[id.Member+"\x00"+id.Role.String()+"\x00"+string(id.Layout)] = id
		entries = append(entries, inventory.Entry{Key: inventory.Key{Serial: id.Serial, Authority: w.authority.ID()}, Host: id.Member,
			Role: w.plan.wants[i].role, Layout: string(id.Layout)})
	}
	for _, s := range w.changes.Steps {
		if id, ok := issued[s.Member+"\x00"+s.Role.String()+"\x00"+string(s.Layout)]; ok && s.Action == Issue && !s.Blocked {
			w.done(s, Done{New: id.Serial, NotAfter: id.NotAfter})
		}
	}
	return w.publish(ctx, entries)
}

// changeTrees issues, proves and puts in place what belongs into trees that exist.
func (w *applier) changeTrees(ctx context.Context, steps []Step) error {
	if err := w.issue(ctx); err != nil {
		return err
	}
	files, err := w.files(steps)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return nil
	}
	d, err := durable.Open(w.changes.spec.Dir)
	if err != nil {
		return fmt.Errorf("applying: %w", err)
	}
	defer d.Close()
	err = w.prove(ctx, d, files)
	if err == nil {
		err = w.replace(ctx, files)
	}
	// Whatever happened: what the inventory says is what lies there.
	var published []inventory.Entry
	var abandoned []inventory.Key
	for _, j := range w.jobs {
		switch {
		case j.put:
			published = append(published, j.entry)
		case j.issued != nil:
			abandoned = append(abandoned, j.entry.Key)
		}
	}
	quiet := context.WithoutCancel(ctx)
	err = errors.Join(err, w.publish(quiet, published))
	if err != nil && len(abandoned) > 0 {
		err = errors.Join(err, w.abandon(quiet, abandoned))
	}
	for _, j := range w.jobs {
		if j.put {
			w.done(j.step, Done{New: j.entry.Serial, NotAfter: j.entry.NotAfter, Backups: j.backups})
		}
	}
	return err
}

// issue signs and records what the jobs need.
func (w *applier) issue(ctx context.Context) error {
	var prepared []*ca.Prepared
	var issuing []*job
	for _, j := range w.jobs {
		if j.prepared != nil {
			prepared, issuing = append(prepared, j.prepared), append(issuing, j)
		}
	}
	if len(prepared) == 0 {
		return nil
	}
	w.steps().Say("issue")
	issued, err := w.authority.IssueAll(ctx, prepared, w.steps().Report("issuing", len(prepared)))
	if err != nil {
		return err
	}
	for i, j := range issuing {
		j.issued, j.entry = &issued[i], issued[i].Entry
		if j.key, err = certs.MarshalKey(issued[i].Key, nil); err != nil {
			return fmt.Errorf("writing the key of %q: %w", j.step.Member, err)
		}
	}
	return nil
}

// replace writes the files, tree by tree.
func (w *applier) replace(ctx context.Context, trees []*treeFiles) error {
	report := w.steps().Report("writing", len(trees))
	for n, t := range trees {
		if err := ctx.Err(); err != nil {
			return err
		}
		backups, closed, err := w.replaceIn(ctx, t)
		if err != nil {
			return fmt.Errorf("changing %q: %w", t.root, err)
		}
		w.applied.Closed = append(w.applied.Closed, closed...)
		for _, j := range t.jobs {
			j.put = true
			for _, f := range j.step.Files {
				j.backups = append(j.backups, backups[f]...)
			}
		}
		for _, s := range t.steps {
			w.done(s, Done{Backups: backups[s.Files[0]]})
		}
		if report != nil {
			report(n + 1)
		}
	}
	return nil
}

// replaceIn writes the files of one tree; the backups are by file, as they are called here.
func (w *applier) replaceIn(ctx context.Context, t *treeFiles) (backups map[string][]string, closed []string, err error) {
	d, err := durable.Open(t.root)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	d.Hook = w.steps().Hook()
	lock, err := durable.LockDir(ctx, t.root)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Release()
	backups = map[string][]string{}
	spot := layout.Spot{Root: t.root}
	cleaned := map[string]bool{}
	files := slices.Clone(t.files)
	for i := range files {
		f := &files[i]
		if f.Part == layout.Directory {
			continue
		}
		if dir := path.Dir(layout.Below(f.Path)); !cleaned[dir] {
			cleaned[dir] = true
			if _, err := d.RemoveLeftovers(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
		}
		was, info, err := layout.ReadIn(d, f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("reading %q: %w", spot.Shown(f.Path), err)
		case bytes.Equal(was, f.Data):
			continue
		}
		kept, err := layout.KeepBeside(d, f.Path, f.Part, was, info, w.Now)
		if f.Part == layout.Key {
			clear(was)
		}
		if err != nil {
			return nil, nil, err
		}
		backups[spot.Shown(f.Path)] = append(backups[spot.Shown(f.Path)], spot.Shown(kept))
		// A mode that is good stays, and so does the owner: QEMU's group may have been let in.
		s := sighting{item: f.Item, Sight: durable.Sight{There: true, Mode: info.Mode()}}
		if _, fault := modeFault(w.kindOf(t, f.Path), s); fault == "" {
			f.Mode, f.Group = info.Mode().Perm(), ""
		}
	}
	options := w.WriteOptions
	options.Replace, options.ReplaceKeys = true, true
	written, err := layout.Write(d, files, options)
	for _, name := range written.Closed {
		closed = append(closed, spot.Shown(name))
	}
	return backups, closed, err
}

// kindOf gives the layout that a file belongs to.
func (w *applier) kindOf(t *treeFiles, name string) layout.Kind {
	for _, p := range w.changes.places[t.member] {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			paths := p.Paths(role)
			if name == paths.Cert || name == paths.Key || name == paths.CA || name == paths.CRL {
				return p.Kind
			}
		}
	}
	return ""
}

// setModes gives files and directories the modes and owners they should have.
func (w *applier) setModes(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if s.Action != SetMode && s.Action != SetOwner {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := layout.Below(s.item.Path)
		err := durable.Within(w.rootOf(s), func(d *durable.Dir) error {
			info, err := d.Root().Lstat(name)
			if err != nil {
				return err
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return durable.ErrSymlink
			}
			w.steps().Say("%s %s", s.Action, s.Files[0])
			if s.Action == SetMode {
				return d.Root().Chmod(name, s.item.Mode)
			}
			comparison := comparison{known: &w.known}
			uid, gid, _ := comparison.owner(s.item)
			return d.Root().Lchown(name, uid, gid)
		})
		if err != nil {
			return fmt.Errorf("changing %q: %w", s.Files[0], durable.Reason(err))
		}
		w.done(s, Done{})
	}
	return nil
}
