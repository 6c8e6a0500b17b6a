package cluster

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Add issues what is planned from the authority that planned it, which must be unlocked, into a directory that may be there
// already: beside the other members' trees, or into a flat directory that has room. Each tree appears whole or not at all;
// nothing is overwritten, and nothing is put in its place before the proof.
//
// An Add that was killed is finished by repeating it: identities that it had put in their place, but not noted in the
// inventory as published, are taken as they are, provided the plan asks for the same.
func (p *Plan) Add(ctx context.Context, o Options) (_ Made, err error) {
	if !p.authority.Unlocked() {
		return Made{}, ca.ErrLocked
	}
	o.Replace, o.ReplaceKeys = false, false
	dir, err := filepath.Abs(p.spec.Dir)
	if err != nil {
		return Made{}, err
	}
	d, undo, err := openDir(dir, 0o700, o)
	if err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	defer func() {
		d.Close()
		if err != nil {
			undo()
		}
	}()
	lock, err := durable.LockDir(ctx, dir)
	if err != nil {
		return Made{}, fmt.Errorf("writing to %q: %w", p.spec.Dir, err)
	}
	defer lock.Release()
	if err := p.removeLeftovers(d); err != nil {
		return Made{}, fmt.Errorf("removing what an interrupted run left: %w", err)
	}
	there, err := p.resume(ctx, d, o)
	if err != nil {
		return Made{}, err
	}
	var missing []int
	for i := range p.wants {
		if there[i] == nil {
			missing = append(missing, i)
		}
	}
	made := Made{Identities: make([]Identity, len(p.wants))}
	if len(missing) > 0 {
		q := p.only(missing)
		if err := q.room(); err != nil {
			return Made{}, err
		}
		b, err := q.add(ctx, d, o)
		if err != nil {
			return Made{}, err
		}
		for n, i := range missing {
			made.Identities[i] = b.made.Identities[n]
		}
		made.Closed, made.Proof = b.made.Closed, b.made.Proof
	}
	for i, planned := range p.Identities() {
		if e := there[i]; e != nil {
			planned.NotAfter = e.NotAfter
			made.Identities[i] = Identity{planned, e.Serial}
		}
	}
	return made, nil
}

// flatStage is the name under which a flat directory's files are staged. No file of libvirt's is called so.
const flatStage = "virt-pki"

// removeLeftovers removes what a killed Add of the same members left; the caller holds the lock.
func (p *Plan) removeLeftovers(d *durable.Dir) error {
	if p.spec.flat() {
		_, err := d.RemoveLeftovers(".")
		return err
	}
	var errs []error
	for _, indices := range p.members() {
		errs = append(errs, d.RemoveStages(p.member(indices).Name))
	}
	return errors.Join(errs...)
}

// add issues everything planned, into stages first.
func (p *Plan) add(ctx context.Context, d *durable.Dir, o Options) (*batch, error) {
	b, err := p.issue(ctx, o)
	if err != nil {
		return nil, err
	}
	stages := map[string]*durable.Staging{} // by member; a flat directory has one for all
	err = p.write(ctx, b, o, func(m Member) (_ *durable.Dir, _ string, err error) {
		name := p.stageName(m)
		s := stages[name]
		if s == nil {
			if s, err = d.Stage(name); err != nil {
				return nil, "", err
			}
			stages[name] = s
		}
		return s.Dir, "", nil
	})
	if err == nil {
		err = p.proven(ctx, b, stagedTrees{p.spec.flat(), stages}, o)
	}
	if err == nil {
		err = p.publish(b, d, stages, o)
	}
	for _, s := range stages { // before the inventory says that all is done
		s.Discard()
	}
	// Whatever happened: what the inventory says is what lies there.
	var published, abandoned []inventory.Key
	for i := range b.issued {
		if p.inPlace(d, i, b.issued[i].Entry.PEM) {
			published = append(published, b.issued[i].Entry.Key)
		} else {
			abandoned = append(abandoned, b.issued[i].Entry.Key)
		}
	}
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		for name, s := range stages {
			err = inPlace(err, s.Root().Name(), p.stagePlace(d, name))
		}
		return nil, errors.Join(err, p.authority.Inventory().MarkPublished(ctx, published...),
			p.authority.Inventory().Abandon(ctx, abandoned...))
	}
	o.steps().Say("mark as published")
	return b, p.authority.Inventory().MarkPublished(ctx, published...)
}

func (p *Plan) stageName(m Member) string {
	if p.spec.flat() {
		return flatStage
	}
	return m.Name
}

// stagePlace is where the files of a stage are to lie.
func (p *Plan) stagePlace(d *durable.Dir, name string) string {
	if p.spec.flat() {
		return d.Path(".")
	}
	return d.Path(name)
}

// publish puts trees, or the files of a flat directory, in their place.
func (p *Plan) publish(b *batch, d *durable.Dir, stages map[string]*durable.Staging, o Options) error {
	var wrote []string // into the flat directory
	for _, indices := range p.members() {
		m := p.member(indices)
		var err error
		if p.spec.flat() {
			var files []layout.File
			if files, err = p.files(indices, b.issued, p.authority.BundlePEM()); err == nil {
				var w layout.Written
				w, err = layout.Write(d, files, o.WriteOptions)
				wrote = append(wrote, w.Files...)
			}
		} else {
			err = stages[m.Name].Publish(0o755, nil)
		}
		if err != nil {
			for _, name := range wrote {
				_ = d.Root().Remove(strings.TrimPrefix(name, "/")) // nothing better can be done
			}
			return fmt.Errorf("making %q: %w", p.spec.tree(m), err)
		}
	}
	return nil
}

// room reports what is in the way of adding. Nothing that is there is overwritten, but the CA's certificate may be there.
func (p *Plan) room() error {
	if !p.spec.flat() {
		for _, indices := range p.members() {
			tree := p.spec.tree(p.member(indices))
			if _, err := os.Lstat(tree); !errors.Is(err, fs.ErrNotExist) {
				return &ExistsError{Path: tree, Err: errors.New("it is there already")}
			}
		}
		return nil
	}
	conflict := &layout.ConflictError{}
	for _, id := range p.Identities() {
		for _, f := range id.Files {
			_, err := os.Lstat(f.Path)
			if f.Item.Part == layout.CACert && err == nil {
				if text, err := os.ReadFile(f.Path); err == nil && bytes.Equal(text, p.authority.BundlePEM()) {
					continue
				}
			}
			if !errors.Is(err, fs.ErrNotExist) && !slices.Contains(conflict.Paths, f.Path) {
				conflict.Paths = append(conflict.Paths, f.Path)
				conflict.Keys = conflict.Keys || f.Item.Part == layout.Key
			}
		}
	}
	if len(conflict.Paths) > 0 {
		return conflict
	}
	return nil
}

// resume finds the identities that an Add which was killed has put in their place without noting it in the inventory, and
// notes it. The result has an entry for the index of each.
//
// A tree appears whole. In a flat directory the key comes before its certificate, and the kill may have come between: the
// certificate is in the inventory and is put beside its key.
func (p *Plan) resume(ctx context.Context, d *durable.Dir, o Options) (map[int]*inventory.Entry, error) {
	inv := p.authority.Inventory()
	found := map[int]*inventory.Entry{}
	var keys []inventory.Key
	for i, w := range p.wants {
		entries, err := inv.List(ctx, inventory.Filter{Host: w.member.Name, Role: w.role, Layout: string(w.kind),
			States: []inventory.State{inventory.Issued}})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !p.asks(i, e) {
				continue
			}
			if p.spec.flat() && p.csr == nil && p.keyOnly(d, i, e) {
				c := layout.Contents{CA: p.authority.BundlePEM(), Identities: []layout.Identity{{Role: w.role, Cert: e.PEM}}}
				if _, err := layout.Write(d, p.spec.place(w.member, w.kind).Fill(c), o.WriteOptions); err != nil {
					return nil, fmt.Errorf("finishing what an interrupted run began in %q: %w", p.spec.Dir, err)
				}
			}
			if p.inPlace(d, i, e.PEM) {
				found[i] = &e
				keys = append(keys, e.Key)
			}
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	o.steps().Say("mark as published")
	return found, inv.MarkPublished(ctx, keys...)
}

// asks reports whether an entry of the inventory is what the plan wants at that index.
func (p *Plan) asks(i int, e inventory.Entry) bool {
	o := p.prepared[i].Order()
	subject, err := o.Subject.Text()
	if err != nil || subject != e.Subject || !slices.Equal(o.Names, e.Names) || !slices.Equal(o.Addresses, e.Addresses) {
		return false
	}
	block, _ := pem.Decode(e.PEM)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	if o.Public != nil {
		return certs.SameKey(o.Public, cert.PublicKey)
	}
	kind, ok := certs.AlgorithmOf(cert.PublicKey)
	return ok && kind == o.Key
}

// inPlace reports whether that certificate lies where the identity belongs, in all its places.
func (p *Plan) inPlace(d *durable.Dir, i int, cert []byte) bool {
	w := p.wants[i]
	for _, role := range w.fills {
		text, err := d.Root().ReadFile(p.inTree(w, p.spec.place(w.member, w.kind).Paths(role).Cert))
		if err != nil || !bytes.Equal(text, cert) {
			return false
		}
	}
	return true
}

// keyOnly reports whether the entry's key lies where it belongs, and no certificate.
func (p *Plan) keyOnly(d *durable.Dir, i int, e inventory.Entry) bool {
	w := p.wants[i]
	paths := p.spec.place(w.member, w.kind).Paths(w.role)
	if _, err := d.Root().Lstat(p.inTree(w, paths.Cert)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	text, err := d.Root().ReadFile(p.inTree(w, paths.Key))
	if err != nil {
		return false
	}
	defer clear(text)
	key, err := certs.ParseKey(text, nil)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(e.PEM)
	cert, err := x509.ParseCertificate(block.Bytes) // asks has read it
	return err == nil && certs.SameKey(key.Public(), cert.PublicKey)
}

// inTree is the name of a member's file below the Spec's Dir.
func (p *Plan) inTree(w want, name string) string {
	if p.spec.flat() {
		return strings.TrimPrefix(name, "/")
	}
	return path.Join(w.member.Name, name)
}

// stagedTrees is the directory as it will be when the stages are published.
type stagedTrees struct {
	flat   bool
	stages map[string]*durable.Staging
}

// Open looks into the stage of the member whose tree the name is in.
func (t stagedTrees) Open(name string) (fs.File, error) {
	member, rest := flatStage, name
	if !t.flat {
		member, rest, _ = strings.Cut(name, "/")
	}
	s := t.stages[member]
	if s == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return s.Root().FS().Open(rest)
}
