package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Options say how a plan is carried out.
type Options struct {
	layout.WriteOptions
	// Progress, when set, is told how far each stage ("issuing", "writing", "proving") has come. It is called from several
	// goroutines.
	Progress func(stage string, done, total int)
	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

func (o Options) progress(stage string, total int) func(int) {
	if o.Progress == nil {
		return nil
	}
	return func(done int) { o.Progress(stage, done, total) }
}

// hook is what package durable calls.
func (o Options) hook(s durable.Step) error {
	if o.Step != nil {
		o.Step(s.Op + " " + s.Path)
	}
	return nil
}

// A Made is what was made.
type Made struct {
	Identities []Identity
	// Closed are the keys that QEMU cannot read yet, see layout.Written.
	Closed []string
	Proof  Proof
}

// An Identity is one issued identity and its files.
type Identity struct {
	Planned
	Serial string
}

// Found makes the authority of a new cluster in a directory that does not exist: ca.Create or ca.Adopt.
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
		return []string{"to add to this cluster: virt-pki issue server NAME --authority " + filepath.Join(e.Path, AuthorityName)}
	}
	return []string{"choose another directory, or move this one away; virt-pki overwrites no keys"}
}

// Make makes a new cluster: its directory with the authority and everything planned, proven by handshakes, appears whole
// or not at all. What an earlier Make that was killed left behind is removed.
func (p *Plan) Make(ctx context.Context, found Found, o Options) (Made, error) {
	dir, err := filepath.Abs(p.spec.Dir)
	if err != nil {
		return Made{}, err
	}
	if err := p.spec.free(dir); err != nil {
		return Made{}, err
	}
	parent, err := openParent(filepath.Dir(dir), o)
	if err != nil {
		return Made{}, err
	}
	defer parent.Close()
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

	authority, err := found(ctx, filepath.Join(stage.Root().Name(), AuthorityName))
	if err != nil {
		return Made{}, err
	}
	defer authority.Close()
	made, keys, err := p.issue(ctx, authority, o, func(m Member, files []layout.File) (layout.Written, error) {
		return p.writeTree(stage.Dir, m, files, o)
	}, stage.Root().FS())
	if err != nil {
		return Made{}, err
	}
	// The inventory lies in the stage: that they are published comes true with the rename.
	if err := authority.Inventory().MarkPublished(ctx, keys...); err != nil {
		return Made{}, err
	}
	if err := authority.Close(); err != nil {
		return Made{}, err
	}
	if err := stage.Publish(0o700, nil); err != nil {
		return Made{}, fmt.Errorf("making %q: %w", p.spec.Dir, err)
	}
	return made, nil
}

// issue issues everything, has it written member by member, and proves what was written below fsys. When anything fails the
// certificates are noted in the inventory as given up.
func (p *Plan) issue(ctx context.Context, authority *ca.Authority, o Options,
	write func(Member, []layout.File) (layout.Written, error), fsys fs.FS) (Made, []inventory.Key, error) {
	prepared := p.prepared
	if authority != p.authority { // the plan was made with a double
		var err error
		if prepared, err = p.spec.prepare(authority, p.wants); err != nil {
			return Made{}, nil, err
		}
	}
	issued, err := authority.IssueAll(ctx, prepared, o.progress("issuing", len(prepared)))
	if err != nil {
		return Made{}, nil, err
	}
	keys := make([]inventory.Key, len(issued))
	var made Made
	for i, planned := range p.Identities() {
		keys[i] = issued[i].Entry.Key
		planned.NotAfter = issued[i].Entry.NotAfter
		made.Identities = append(made.Identities, Identity{planned, issued[i].Entry.Serial})
	}
	if err := p.writeAndProve(ctx, authority, o, issued, write, fsys, &made); err != nil {
		return Made{}, nil, errors.Join(err, authority.Inventory().Abandon(context.WithoutCancel(ctx), keys...))
	}
	return made, keys, nil
}

func (p *Plan) writeAndProve(ctx context.Context, authority *ca.Authority, o Options, issued []ca.Issued,
	write func(Member, []layout.File) (layout.Written, error), fsys fs.FS, made *Made) error {
	members := p.members()
	wrote := o.progress("writing", len(members))
	for n, indices := range members {
		if err := ctx.Err(); err != nil {
			return err
		}
		files, err := p.files(indices, issued, authority.BundlePEM())
		if err != nil {
			return err
		}
		written, err := write(p.wants[indices[0]].member, files)
		if err != nil {
			return fmt.Errorf("making %q: %w", p.spec.tree(p.wants[indices[0]].member), err)
		}
		made.Closed = append(made.Closed, written.Closed...)
		if wrote != nil {
			wrote(n + 1)
		}
	}
	var err error
	if made.Proof, err = p.prove(ctx, fsys, authority.Policy().Libvirt, o); err != nil {
		return err
	}
	if len(made.Proof.Failures) > 0 {
		return &ProofError{made.Proof}
	}
	return nil
}

// writeTree puts a member's files into its tree below d, or into the flat directory d.
func (p *Plan) writeTree(d *durable.Dir, m Member, files []layout.File, o Options) (layout.Written, error) {
	if p.spec.flat() {
		return layout.Write(d, files, o.WriteOptions)
	}
	// The tree's own mode is that of /, over which it is to be laid.
	if _, err := d.Mkdir(m.Name, 0o755, nil); err != nil {
		return layout.Written{}, err
	}
	below := make([]layout.File, len(files))
	for i, f := range files {
		f.Path = "/" + m.Name + f.Path
		below[i] = f
	}
	return layout.Write(d, below, o.WriteOptions)
}

// free reports what is in the way of a new cluster at dir.
func (s Spec) free(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return &ExistsError{Path: s.Dir, Err: durable.ErrSymlink}
	case !info.IsDir():
		return &ExistsError{Path: s.Dir, Err: errors.New("there is a file of this name")}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	_, err = os.Lstat(filepath.Join(dir, AuthorityName))
	return &ExistsError{Path: s.Dir, Err: ErrNotEmpty, Authority: err == nil}
}

// openParent opens the directory above, and makes it where only its last components are missing.
func openParent(path string, o Options) (*durable.Dir, error) {
	d, err := durable.Open(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		above, err := openParent(filepath.Dir(path), o)
		if err != nil {
			return nil, err
		}
		defer above.Close()
		if _, err := above.Mkdir(filepath.Base(path), 0o755, nil); err != nil {
			return nil, err
		}
		d, err = durable.Open(path)
		if err != nil {
			return nil, err
		}
		d.Hook = o.hook
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.Hook = o.hook
	return d, nil
}
