package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Add issues what is planned from the authority that planned it, which must be unlocked, into a directory that may be there
// already: beside the other members' trees, or into a flat directory that has room. Each tree appears whole or not at all;
// nothing is overwritten.
func (p *Plan) Add(ctx context.Context, o Options) (Made, error) {
	dir, err := filepath.Abs(p.spec.Dir)
	if err != nil {
		return Made{}, err
	}
	if err := p.room(); err != nil {
		return Made{}, err
	}
	parent, err := openParent(filepath.Dir(dir), o)
	if err != nil {
		return Made{}, err
	}
	defer parent.Close()
	if _, err := parent.Mkdir(filepath.Base(dir), 0o700, nil); err != nil {
		return Made{}, err
	}
	d, err := openParent(dir, o)
	if err != nil {
		return Made{}, err
	}
	defer d.Close()
	lock, err := durable.LockDir(ctx, dir)
	if err != nil {
		return Made{}, fmt.Errorf("writing to %q: %w", p.spec.Dir, err)
	}
	defer lock.Release()
	if err := p.room(); err != nil { // the holder before us may have filled it
		return Made{}, err
	}
	stages := map[string]*durable.Staging{}
	defer func() {
		for _, s := range stages {
			s.Discard()
		}
	}()
	made, keys, err := p.issue(ctx, p.authority, o, func(m Member, files []layout.File) (layout.Written, error) {
		if p.spec.flat() {
			return layout.Write(d, files, o.WriteOptions)
		}
		if err := d.RemoveStages(m.Name); err != nil {
			return layout.Written{}, err
		}
		s, err := d.Stage(m.Name)
		if err != nil {
			return layout.Written{}, err
		}
		stages[m.Name] = s
		return layout.Write(s.Dir, files, o.WriteOptions)
	}, stagedTrees{d.Root().FS(), stages})
	if err != nil {
		return Made{}, err
	}
	for _, m := range p.spec.Members {
		if s := stages[m.Name]; s != nil {
			if err := s.Publish(0o755, nil); err != nil {
				return Made{}, fmt.Errorf("making %q: %w", p.spec.tree(m), err)
			}
		}
	}
	return made, p.authority.Inventory().MarkPublished(ctx, keys...)
}

// room reports what is in the way of adding.
func (p *Plan) room() error {
	for _, m := range p.spec.Members {
		if !p.spec.flat() {
			if _, err := os.Lstat(p.spec.tree(m)); err == nil {
				return &ExistsError{Path: p.spec.tree(m), Err: errors.New("it is there already")}
			}
		}
	}
	if !p.spec.flat() {
		return nil
	}
	var there []string
	for _, id := range p.Identities() {
		for _, f := range id.Files {
			if f.Item.Part == layout.CACert { // its content is compared when it is written
				continue
			}
			if _, err := os.Lstat(f.Path); err == nil {
				there = append(there, f.Path)
			}
		}
	}
	if len(there) > 0 {
		return &layout.ConflictError{Paths: there, Keys: true}
	}
	return nil
}

// stagedTrees is the directory as it will be when the stages are published.
type stagedTrees struct {
	fs.FS
	stages map[string]*durable.Staging
}

// Open looks into the stage of the member whose tree the name is in.
func (t stagedTrees) Open(name string) (fs.File, error) {
	for member, s := range t.stages {
		if rest, ok := cutDir(name, member); ok {
			return s.Root().FS().Open(rest)
		}
	}
	return t.FS.Open(name)
}

func cutDir(name, dir string) (string, bool) {
	if name == dir {
		return ".", true
	}
	if len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/' {
		return path.Clean(name[len(dir)+1:]), true
	}
	return "", false
}
