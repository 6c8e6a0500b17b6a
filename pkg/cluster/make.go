package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/internal/steps"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Options say how a plan is carried out.
type Options struct {
	layout.WriteOptions
	// Progress, when set, is told how far each stage ("issuing", "writing", "proving") has come. It is called from several
	// goroutines.
	Progress func(stage string, done, total int)
	// EveryPair has every server connected with every client in the proof, however many they are.
	EveryPair bool
	// Description is a cluster file that Make puts beside the authority (DescriptionName); nil: none.
	Description []byte
	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// DescriptionName is the cluster file in an authority's directory that says what was made with it.
const DescriptionName = "cluster.toml"

func (o Options) steps() steps.Run { return steps.Run{Progress: o.Progress, Step: o.Step} }

// A Made is what was made.
type Made struct {
	Identities []Identity
	// Closed are the keys that QEMU cannot read yet (see layout.Written), as they are called in the Spec's Dir.
	Closed []string
	Proof  proof.Result
}

// An Identity is one issued identity and its files.
type Identity struct {
	Planned
	Serial string
}

// Found makes the authority of a new cluster in a directory that does not exist: ca.Create or ca.Adopt, which may be told
// that it is Staged.
type Found func(ctx context.Context, dir string) (*ca.Authority, error)

// ErrNotEmpty says that the directory to be made is there already and not empty.
var ErrNotEmpty = errors.New("it is there already and not empty")

// An ExistsError says what is in the way. Nothing was written.
type ExistsError struct {
	Path string
	Err  error
	// Authority reports that there is an authority already, so that adding to it is what was wanted.
	Authority bool
}

// Error names the path.
func (e *ExistsError) Error() string { return fmt.Sprintf("making %q: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *ExistsError) Unwrap() error { return e.Err }

// Hints names the ways on.
func (e *ExistsError) Hints() []string {
	if e.Authority {
		return []string{"to add to this cluster: virt-pki issue server NAME --authority " + filepath.Join(e.Path, AuthorityName) + " --out DIR"}
	}
	return []string{"choose another directory, or move this one away; virt-pki overwrites no keys"}
}

// Make makes a new cluster: its directory with the authority and everything planned, proven by handshakes, appears whole
// or not at all. What an earlier Make that was killed left behind is removed.
func (p *Plan) Make(ctx context.Context, found Found, o Options) (_ Made, err error) {
	dir, err := filepath.Abs(p.spec.Dir)
	if err != nil {
		return Made{}, err
	}
	if err := p.spec.free(dir); err != nil {
		return Made{}, err
	}
	parent, undo, err := openDir(filepath.Dir(dir), 0o755, o)
	if err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	defer func() {
		parent.Close()
		if err != nil {
			undo()
		}
	}()
	// Two at once would remove each other's stages.
	lock, err := durable.LockDir(ctx, filepath.Dir(dir))
	if err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	defer lock.Release()
	if err := p.spec.free(dir); err != nil { // the holder before us may have made it
		return Made{}, err
	}
	if err := parent.RemoveStages(filepath.Base(dir)); err != nil {
		return Made{}, fmt.Errorf("removing what an interrupted run left: %w", err)
	}
	stage, err := parent.Stage(filepath.Base(dir))
	if err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	defer stage.Discard()
	made, err := p.fill(ctx, stage, found, o)
	if err != nil {
		return Made{}, inPlace(err, stage.Root().Name(), dir)
	}
	if err := stage.Publish(0o700, nil); err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	return made, nil
}

// fill makes everything in the stage.
func (p *Plan) fill(ctx context.Context, stage *durable.Staging, found Found, o Options) (Made, error) {
	authority, err := found(ctx, filepath.Join(stage.Root().Name(), AuthorityName))
	if err != nil {
		return Made{}, err
	}
	defer authority.Close()
	// The plan was made with a double.
	q := *p
	q.authority = authority
	var ok bool
	if q.prepared, ok = authority.TakeOver(p.authority, p.prepared); !ok {
		if q.prepared, err = p.spec.prepare(authority, p.wants); err != nil {
			return Made{}, err
		}
	}
	if o.Description != nil {
		if err := stage.Write(durable.File{Name: path.Join(AuthorityName, DescriptionName), Data: o.Description, Mode: 0o644}); err != nil {
			return Made{}, err
		}
	}
	b, err := q.issue(ctx, o)
	if err != nil {
		return Made{}, err
	}
	if err := q.write(ctx, b, o, func(m Member) (*durable.Dir, string, error) {
		if p.spec.flat() {
			return stage.Dir, "", nil
		}
		// The tree's own mode is that of /, over which it is to be laid.
		_, err := stage.Mkdir(m.Name, 0o755, nil)
		return stage.Dir, m.Name, err
	}); err != nil {
		return Made{}, err
	}
	stage.SyncAhead() // while it is proven
	if err := q.proven(ctx, b, stage.FS(), o); err != nil {
		return Made{}, err
	}
	// The inventory lies in the stage: that they are published comes true with the rename.
	o.steps().Say("mark as published")
	if err := b.published(ctx, authority.Inventory()); err != nil {
		return Made{}, err
	}
	return b.made, authority.Close()
}

// A batch is what was issued in one go.
type batch struct {
	issued []ca.Issued
	made   Made
}

// keys names the certificates in the inventory.
func (b *batch) keys() []inventory.Key {
	out := make([]inventory.Key, len(b.issued))
	for i := range b.issued {
		out[i] = b.issued[i].Entry.Key
	}
	return out
}

// published has the inventory know that they are published, unless it does: that of a staged authority (ca.Spec).
func (b *batch) published(ctx context.Context, inv *inventory.Inventory) error {
	if !slices.ContainsFunc(b.issued, func(i ca.Issued) bool { return i.Entry.State != inventory.Published }) {
		return ctx.Err()
	}
	return inv.MarkPublished(ctx, b.keys()...)
}

// issue has the authority sign and record everything.
func (p *Plan) issue(ctx context.Context, o Options) (*batch, error) {
	o.steps().Say("issue")
	issued, err := p.authority.IssueAll(ctx, p.prepared, o.steps().Report("issuing", len(p.prepared)))
	if err != nil {
		return nil, err
	}
	if _, p.lists, err = p.authority.CRL(); err != nil {
		return nil, err
	}
	if p.spec.flat() {
		if _, err := os.Lstat(filepath.Join(p.spec.Dir, "cacrl.pem")); err == nil {
			p.lists = nil // one is there, and to replace it is for revocation.Publish
		}
	}
	trusted, err := p.authority.Certificates()
	if err != nil {
		return nil, err
	}
	p.memory = new(verify.Memory)
	b := &batch{issued: issued}
	for _, one := range issued {
		p.memory.Signed(one.DER, trusted[0].RawPublicKeyInfo)
	}
	for i, planned := range p.Identities() {
		planned.NotAfter, planned.Findings = issued[i].Entry.NotAfter, issued[i].Findings
		b.made.Identities = append(b.made.Identities, Identity{planned, issued[i].Entry.Serial})
	}
	return b, nil
}

// write puts each member's files where into says: below a name in a directory.
func (p *Plan) write(ctx context.Context, b *batch, o Options, into func(Member) (*durable.Dir, string, error)) error {
	members := p.members()
	several := o.steps().Workers()
	if p.spec.flat() {
		several = 1 // all write the same CA certificate
	}
	bundle := p.authority.BundlePEM()
	closed := make([][]string, len(members))
	var one sync.Mutex
	err := workers.Do(ctx, len(members), several, func(n int) error {
		m := p.member(members[n])
		files, err := p.files(members[n], b.issued, bundle)
		if err != nil {
			return err
		}
		one.Lock()
		d, below, err := into(m)
		one.Unlock()
		if err != nil {
			return fmt.Errorf("making %q: %w", p.spec.tree(m), err)
		}
		for i := range files {
			files[i].Path = path.Join("/", below, files[i].Path)
		}
		written, err := layout.Write(d, files, o.WriteOptions)
		if err != nil {
			return fmt.Errorf("making %q: %w", p.spec.tree(m), err)
		}
		for _, name := range written.Closed {
			name = strings.TrimPrefix(name, "/"+below)
			closed[n] = append(closed[n], filepath.Join(p.spec.tree(m), name))
		}
		return nil
	}, o.steps().Report("writing", len(members)))
	b.made.Closed = append(b.made.Closed, slices.Concat(closed...)...)
	return err
}

// proven proves what was written below fsys.
func (p *Plan) proven(ctx context.Context, b *batch, fsys fs.FS, o Options) (err error) {
	o.steps().Say("prove")
	if b.made.Proof, err = p.prove(ctx, fsys, p.authority.Policy().Libvirt, o); err != nil {
		return err
	}
	if len(b.made.Proof.Failures) > 0 {
		return &proof.Error{Result: b.made.Proof}
	}
	return nil
}

// Free reports what is in the way of Make, an *ExistsError, before anything is asked or written.
func (p *Plan) Free() error {
	dir, err := filepath.Abs(p.spec.Dir)
	if err != nil {
		return err
	}
	return p.spec.free(dir)
}

// free reports what is in the way of a new cluster at dir.
func (s Spec) free(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("making %q: %w", s.Dir, &durable.Error{Op: "open", Path: dir, Err: durable.Reason(err)})
	case info.Mode()&fs.ModeSymlink != 0:
		return &ExistsError{Path: s.Dir, Err: durable.ErrSymlink}
	case !info.IsDir():
		return &ExistsError{Path: s.Dir, Err: errors.New("there is a file of this name")}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("making %q: %w", s.Dir, &durable.Error{Op: "open", Path: dir, Err: durable.Reason(err)})
	}
	if len(entries) == 0 {
		return nil
	}
	_, err = os.Lstat(filepath.Join(dir, AuthorityName))
	return &ExistsError{Path: s.Dir, Err: ErrNotEmpty, Authority: err == nil}
}

// openDir opens a directory. Where it and others above it are missing they are made, the last one with the given mode;
// undo removes those that are empty.
func openDir(name string, mode fs.FileMode, o Options) (d *durable.Dir, undo func(), err error) {
	d, err = durable.Open(name)
	if err == nil {
		d.Hook = o.steps().Hook()
		return d, func() {}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(name) == name {
		return nil, nil, err
	}
	above, undoAbove, err := openDir(filepath.Dir(name), 0o755, o)
	if err != nil {
		return nil, nil, err
	}
	defer above.Close()
	made, err := above.Mkdir(filepath.Base(name), mode, nil)
	undo = func() {
		if made {
			os.Remove(name) // fails when somebody has put something into it
		}
		undoAbove()
	}
	if err == nil {
		d, err = durable.Open(name)
	}
	if err != nil {
		undo()
		return nil, nil, err
	}
	d.Hook = o.steps().Hook()
	return d, undo, nil
}

// inPlace gives an error about files in a stage, which is gone when the error is read, with the names the files would have
// had. Nothing is left of the stage in messages and hints.
func inPlace(err error, stage, place string) error {
	if err == nil || !strings.Contains(err.Error(), stage) {
		return err
	}
	return &placedError{err, stage, place}
}

// A placedError does not unwrap, lest hints with the stage's name be found in it, but is and can be taken as what its cause is.
type placedError struct {
	err          error
	stage, place string
}

func (e *placedError) Error() string        { return strings.ReplaceAll(e.err.Error(), e.stage, e.place) }
func (e *placedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *placedError) As(target any) bool   { return errors.As(e.err, target) }

// Hints gives those of all causes.
func (e *placedError) Hints() []string {
	var store *inventory.StoreError
	if errors.Is(e.err, syscall.ENOSPC) || errors.Is(e.err, syscall.EDQUOT) || errors.As(e.err, &store) && store.Trouble == inventory.Full {
		return (&durable.Error{Path: e.place, Err: syscall.ENOSPC}).Hints()
	}
	out := hint.Of(e.err)
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], e.stage, e.place)
	}
	return out
}
