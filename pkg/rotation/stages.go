package rotation

import (
	"context"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

// trust is the stage TrustBoth.
func (o *rotator) trust(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	_, next := o.cas()
	if next == nil {
		double, err := o.Successor.Rehearse(o.authority)
		if err != nil {
			return err
		}
		// Whether there is room is seen before a key is made; a double's certificate is as long as the real one, or shorter
		// by what its smaller key is.
		if _, err := o.withCA(derOf(double)); err != nil {
			return err
		}
		if o.DryRun {
			o.forecast(func(p Place) bool { return p.TrustsOld })
			return nil
		}
		if err := o.authority.BeginRotation(ctx, o.Successor); err != nil {
			return err
		}
		if err := o.look(ctx); err != nil {
			return err
		}
		_, next = o.cas()
	}
	if o.DryRun {
		o.forecast(func(p Place) bool { return p.TrustsOld && !p.TrustsNew })
		return nil
	}
	files, err := o.withCA(next)
	if err != nil {
		return err
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return err
	}
	return o.complete(ctx, ca.TrustBoth)
}

// probeLife is how long the certificates are good for that are issued for a proof and thrown away.
const probeLife = time.Hour

// issue is the stage IssueNew. The new CA issues certificates like those of a server and a client that are there, of which the
// keys are thrown away, and every place must get along with them.
func (o *rotator) issue(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	// Places may have been added since, by a host that was issued from another machine.
	if o.result.Lacks = o.lacks(ca.TrustBoth); len(o.result.Lacks) > 0 {
		return &LackError{ca.IssueNew, o.result.Lacks}
	}
	r, _ := o.authority.Rotation()
	actors, err := proof.Read(o.Spots)
	if err != nil {
		return err
	}
	var orders []ca.Order
	var models []proof.Identity
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		for _, x := range actors {
			cert, err := certs.ImportPEM(x.Cert)
			if err != nil || x.Role != role {
				continue
			}
			key, err := o.authority.KeyOf(cert)
			if err != nil {
				continue
			}
			e, err := o.authority.Inventory().Get(ctx, key)
			if err != nil {
				continue
			}
			orders = append(orders, ca.Order{Request: certs.Request{Role: role, Subject: cert.Subject, Names: e.Names, Addresses: e.Addresses,
				NotAfter: o.Now.Add(probeLife)}, Host: e.Host, Layout: "proof"})
			models = append(models, x)
			break
		}
	}
	prepared, err := r.New.PrepareAll(o.Now, orders)
	if err != nil {
		return err
	}
	if o.DryRun {
		return nil
	}
	o.steps().Say("issue")
	issued, err := r.New.IssueAll(ctx, prepared, nil)
	if err != nil {
		return err
	}
	var probes []proof.Identity
	var keys []inventory.Key
	for i, is := range issued {
		keys = append(keys, is.Entry.Key)
		x := models[i]
		x.Cert = is.PEM()
		if x.Key, err = certs.MarshalKey(is.Key, nil); err != nil {
			return err
		}
		defer clear(x.Key)
		probes = append(probes, x)
	}
	o.steps().Say("abandon")
	if err := o.authority.Inventory().Abandon(ctx, keys...); err != nil {
		return err
	}
	if err := o.prove(ctx, actors, probes); err != nil {
		return err
	}
	o.result.Done = true
	return o.authority.SetRotation(ca.IssueNew, true, o.Now, o.Step)
}

// switchOver is the stage SwitchOver.
func (o *rotator) switchOver(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	if lacks := o.lacks(ca.IssueNew); slices.ContainsFunc(lacks, func(l Lack) bool { return !l.Unseen }) {
		o.result.Lacks = lacks
		return &LackError{ca.SwitchOver, lacks}
	}
	r, _ := o.authority.Rotation()
	result, err := renewal.RunLocked(ctx, o.authority, renewal.Request{Spots: o.Spots, SameKey: !o.NewKeys, Now: o.Now, DryRun: o.DryRun, Step: o.Step, Progress: o.Progress,
		Select: func(e inventory.Entry) bool { return e.Authority == r.Old.ID() && e.NotAfter.After(o.Now) }})
	o.result.Renewed, o.result.Proof, o.result.Broken = result.Renewed, result.Proof, result.Broken
	if err != nil || o.DryRun {
		return err
	}
	return o.complete(ctx, ca.SwitchOver)
}

// prune is the stage PruneOld.
func (o *rotator) prune(ctx context.Context) error {
	if r, _ := o.authority.Rotation(); r.Stage == ca.PruneOld && r.Done {
		return o.finish()
	}
	if err := o.look(ctx); err != nil {
		return err
	}
	if lacks := o.lacks(ca.SwitchOver); len(lacks) > 0 {
		o.result.Lacks = lacks
		return &LackError{ca.PruneOld, lacks}
	}
	if o.DryRun {
		o.forecast(func(p Place) bool { return p.TrustsOld })
		return nil
	}
	files, err := o.withoutOld()
	if err != nil {
		return err
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return err
	}
	if err := o.complete(ctx, ca.PruneOld); err != nil || !o.result.Done {
		return err
	}
	return o.finish()
}

// finish puts the new CA into the old one's place.
func (o *rotator) finish() error {
	if o.DryRun {
		return nil
	}
	r, _ := o.authority.Rotation()
	if !r.SameSubject && r.Old != r.New {
		if err := o.dropList(r.Old); err != nil {
			return err
		}
	}
	var err error
	o.result.Done = true
	o.result.Retired, err = o.authority.FinishRotation(o.Step)
	return err
}

// dropList takes the old CA's revocation list out of the authority's file.
func (o *rotator) dropList(old *ca.Authority) error {
	_, text, err := o.authority.CRL()
	if err != nil || text == nil {
		return err
	}
	lists, err := withoutList(text, old)
	if err != nil || lists == nil {
		return err
	}
	return durable.Within(o.authority.Dir(), func(d *durable.Dir) error {
		d.Hook = o.steps().Hook()
		return d.Write(durable.File{Name: "cacrl.pem", Data: lists, Mode: 0o644, Replace: true})
	})
}

// prove proves a change of identities' files.
func (o *rotator) prove(ctx context.Context, before, after []proof.Identity) error {
	p := proof.New(o.authority.Policy().Libvirt, o.Now, o.steps().Workers())
	proven, broken, err := p.Change(ctx, before, nil, after, true)
	o.result.Proof, o.result.Broken = proven, broken
	if err == nil && len(proven.Failures) > 0 {
		err = &ProofError{o.result.Stage, proven}
	}
	return err
}
