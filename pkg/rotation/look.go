package rotation

import (
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

// lacks says what a stage has yet to give the place; empty: nothing.
func (p Place) lacks(stage ca.RotationStage) string {
	switch {
	case stage != ca.PruneOld && !p.TrustsNew:
		return "the new CA is not in its CA file"
	case stage == ca.SwitchOver && len(p.OfOld) > 0:
		return fmt.Sprintf("its %s certificate is the old CA's", p.OfOld[0])
	case stage == ca.PruneOld && p.TrustsOld:
		return "the old CA is in its CA file"
	}
	return ""
}

// tidy removes what a killed process left beside the CA files.
func (o *rotator) tidy(ctx context.Context) error {
	if o.DryRun {
		return nil
	}
	for _, s := range o.Spots {
		lock, err := durable.LockDir(ctx, s.Root)
		if err != nil {
			return fmt.Errorf("rotating the CA in %q: %w", s.Root, err)
		}
		err = durable.Within(s.Root, func(d *durable.Dir) error {
			_, err := d.RemoveLeftovers(path.Dir(layout.Below(s.Paths(certs.Client).CA)))
			return err
		})
		if err = errors.Join(err, lock.Release()); err != nil {
			return err
		}
	}
	return nil
}

// cas gives the two CAs' certificates; next is nil when there is none yet.
func (o *rotator) cas() (old, next [][]byte) {
	r, ok := o.authority.Rotation()
	if !ok {
		return derOf(o.authority), nil
	}
	return derOf(r.Old), derOf(r.New)
}

// derOf gives a CA's certificate and those above it.
func derOf(a *ca.Authority) [][]byte { return a.Chain() }

// look reads the spots and the inventory.
func (o *rotator) look(ctx context.Context) error {
	var err error
	if o.entries, err = o.authority.Inventory().List(ctx, inventory.Filter{InForce: true}); err != nil {
		return err
	}
	byKey := map[inventory.Key]inventory.Entry{}
	for _, e := range o.entries {
		byKey[e.Key] = e
	}
	revoked := map[inventory.Key]bool{}
	old, next := o.cas()
	r, _ := o.authority.Rotation()
	if r.Old != nil {
		entries, err := o.authority.Inventory().Revoked(ctx, r.Old.ID())
		if err != nil {
			return err
		}
		for _, e := range entries {
			revoked[e.Key] = true
		}
	}
	o.seen, o.places = map[inventory.Key]bool{}, nil
	for _, s := range o.Spots {
		p := Place{Spot: s}
		if err := durable.Within(s.Root, func(d *durable.Dir) error {
			text, _, err := layout.ReadIn(d, s.Paths(certs.Client).CA)
			if err != nil {
				return fmt.Errorf("reading %q: %w", s.Shown(s.Paths(certs.Client).CA), err)
			}
			held := rawCertificates(text)
			p.TrustsOld = holds(held, old[0])
			p.TrustsNew = next != nil && holds(held, next[0])
			for _, role := range []certs.Role{certs.Server, certs.Client} {
				text, _, err := layout.ReadIn(d, s.Paths(role).Cert)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				var cert *certs.Certificate
				if err == nil {
					cert, err = certs.ImportPEM(text)
				}
				if err != nil {
					return fmt.Errorf("reading %q: %w", s.Shown(s.Paths(role).Cert), err)
				}
				key, err := o.authority.KeyOf(cert)
				var stranger *ca.StrangerError
				if errors.As(err, &stranger) {
					continue
				} else if err != nil {
					return err
				}
				o.seen[key] = true
				if e, ok := byKey[key]; ok && !slices.Contains(p.Hosts, e.Host) {
					p.Hosts = append(p.Hosts, e.Host)
				}
				switch {
				case r.New != nil && r.New != r.Old && key.Authority == r.New.ID():
					p.OfNew = append(p.OfNew, role)
				case revoked[key]:
					p.Revoked = append(p.Revoked, role)
				default:
					p.OfOld = append(p.OfOld, role)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if p.TrustsOld || p.TrustsNew || len(p.OfOld)+len(p.OfNew)+len(p.Revoked) > 0 {
			o.places = append(o.places, p)
		}
	}
	return nil
}

// lacks lists what keeps a stage from being complete.
func (o *rotator) lacks(stage ca.RotationStage) []Lack {
	var out []Lack
	for _, p := range o.places {
		if what := p.lacks(stage); what != "" {
			out = append(out, Lack{p.Shown(p.Paths(certs.Client).CA), p.Hosts, what, false})
		}
	}
	r, _ := o.authority.Rotation()
	for _, e := range o.entries {
		if o.seen[e.Key] || e.State != inventory.Published || !e.NotAfter.After(o.Now) || !slices.Contains(o.authority.IDs(), e.Authority) {
			continue
		}
		old := r.Old == nil || e.Authority == r.Old.ID()
		name := strings.TrimSpace(e.Role.String() + " " + e.Host)
		if e.Layout != "" {
			name += " (" + e.Layout + ")"
		}
		if slices.Contains(o.ByHand, e.Host) {
			continue
		}
		what := "its files are in none of the directories"
		if stage == ca.SwitchOver {
			if !old {
				continue
			}
			what = "its certificate is the old CA's, and in none of the directories"
		}
		out = append(out, Lack{name, []string{e.Host}, what, true})
	}
	return out
}

// complete ends a stage if nothing is lacking any more.
func (o *rotator) complete(ctx context.Context, stage ca.RotationStage) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	o.result.Lacks = o.lacks(stage)
	o.result.Done = len(o.result.Lacks) == 0
	return o.authority.SetRotation(stage, o.result.Done, o.Now, o.Step)
}

// forecast lists the files that a stage would change.
func (o *rotator) forecast(changes func(Place) bool) {
	for _, p := range o.places {
		if changes(p) {
			o.result.Changed = append(o.result.Changed, p.Shown(p.Paths(certs.Client).CA))
		}
	}
}
