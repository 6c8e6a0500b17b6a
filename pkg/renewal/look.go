package renewal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// holding is a certificate in a spot, with its key's file.
type holding struct {
	layout.Spot
	role     certs.Role
	cert     *certs.Certificate
	text     []byte // the certificate's file
	certInfo fs.FileInfo
	key      []byte // the key's file, nil where there is none
	keyInfo  fs.FileInfo
}

// path gives the file of a part as it is called on this machine.
func (h holding) path(p layout.Part) string {
	paths := h.Paths(h.role)
	if p == layout.Key {
		return h.Shown(paths.Key)
	}
	return h.Shown(paths.Cert)
}

// root opens the root of a spot, once, and keeps others from writing below it.
func (w *renewer) root(ctx context.Context, s layout.Spot) (*durable.Dir, error) {
	if d := w.roots[s.Root]; d != nil {
		return d, nil
	}
	d, err := durable.Open(s.Root)
	if err != nil {
		return nil, err
	}
	lock, err := durable.LockDir(ctx, s.Root)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("renewing in %q: %w", s.Root, err)
	}
	w.locks = append(w.locks, lock)
	d.Hook = w.steps().Hook()
	w.roots[s.Root] = d
	return d, nil
}

// look finds what lies in the spots and what the inventory knows.
func (w *renewer) look(ctx context.Context) error {
	w.held = map[inventory.Key][]holding{}
	var err error
	if w.entries, err = w.authority.Inventory().List(ctx, inventory.Filter{}); err != nil {
		return err
	}
	known := map[inventory.Key]bool{}
	for _, e := range w.entries {
		known[e.Key] = true
	}
	for _, s := range w.Spots {
		d, err := w.root(ctx, s)
		if err != nil {
			return err
		}
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			h := holding{Spot: s, role: role}
			paths := s.Paths(role)
			if h.text, h.certInfo, err = layout.ReadIn(d, paths.Cert); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				h.cert, err = certs.ImportPEM(h.text)
			}
			if err != nil {
				return fmt.Errorf("reading %q: %w", h.path(layout.Cert), err)
			}
			key, err := w.authority.KeyOf(h.cert)
			var stranger *ca.StrangerError
			if errors.As(err, &stranger) {
				continue
			}
			if err != nil {
				return err
			}
			if h.key, h.keyInfo, err = layout.ReadIn(d, paths.Key); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("reading %q: %w", h.path(layout.Key), err)
			}
			if !w.DryRun {
				for _, name := range []string{paths.Key, paths.Cert} {
					if _, err := d.RemoveLeftovers(path.Dir(layout.Below(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
						return err
					}
				}
			}
			if !known[key] {
				e, err := w.authority.Describe(h.cert, w.Now)
				if err != nil {
					return err
				}
				e.Layout = string(s.Kind)
				known[key], w.unknown = true, append(w.unknown, e)
				w.entries = append(w.entries, e)
			}
			w.held[key] = append(w.held[key], h)
		}
	}
	return nil
}

// settle notes what an interrupted run did not come to note: a certificate that lies in its place is published, and the one
// whose place it took is superseded.
func (w *renewer) settle(ctx context.Context) error {
	for i := range w.entries {
		e := &w.entries[i]
		if e.State != inventory.Issued || len(w.held[e.Key]) == 0 {
			continue
		}
		var replaced []inventory.Key
		for j := range w.entries {
			o := &w.entries[j]
			if o.State == inventory.Published && len(w.held[o.Key]) == 0 && samePlace(*o, *e) && !o.Created.After(e.Created) {
				replaced = append(replaced, o.Key)
				o.State = inventory.Superseded
			}
		}
		e.State = inventory.Published
		w.result.Settled = append(w.result.Settled, *e)
		if w.DryRun {
			continue
		}
		// In this order: when it ends in between, this one is still to be settled.
		if err := w.authority.Inventory().MarkSuperseded(ctx, replaced...); err != nil {
			return err
		}
		if err := w.authority.Inventory().MarkPublished(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}

// samePlace reports whether two entries are for the same host, role and layout.
func samePlace(a, b inventory.Entry) bool {
	return a.Host == b.Host && a.Role == b.Role && a.Layout == b.Layout && a.Subject == b.Subject
}
