package rotation

import (
	"context"
	"fmt"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// Abort gives a rotation up while the new CA has issued nothing that is in use: the new CA is taken out of the CA
// files in the spots, and then out of the authority, with its key. It is repeated when it was interrupted.
func Abort(ctx context.Context, a *ca.Authority, s Request) (Result, error) {
	lock, err := durable.LockDir(ctx, a.Dir())
	if err != nil {
		return Result{}, fmt.Errorf("rotating the CA: %w", err)
	}
	defer lock.Release()
	o := &rotator{Request: s, authority: a}
	r, ok := a.Rotation()
	switch {
	case !ok:
		return Result{}, &ca.StageError{Asked: "abort"}
	case r.Stage != ca.TrustBoth && r.Stage != ca.IssueNew:
		next, _ := r.Next()
		return Result{}, &ca.StageError{Asked: "abort", Next: next}
	}
	if err := o.tidy(ctx); err != nil {
		return o.result, err
	}
	if err := o.look(ctx); err != nil {
		return o.result, err
	}
	var using []string
	for _, e := range o.entries {
		if e.Authority == r.New.ID() && (e.State == inventory.Published || o.seen[e.Key]) && e.NotAfter.After(o.Now) {
			using = append(using, e.Host)
		}
	}
	for _, p := range o.places {
		if len(p.OfNew) > 0 && len(using) == 0 {
			using = append(using, p.Shown(p.Paths(p.OfNew[0]).Cert))
		}
	}
	if len(using) > 0 {
		slices.Sort(using)
		return o.result, &InUseError{slices.Compact(using)}
	}
	trustsNew := func(p Place) bool { return p.TrustsNew }
	old, next := o.cas()
	files, err := o.without(next, old, trustsNew)
	if err != nil {
		return o.result, err
	}
	o.result.Stage, o.result.Done = "abort", true
	if o.DryRun {
		o.forecast(trustsNew)
		return o.result, nil
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return o.result, err
	}
	return o.result, a.AbortRotation(o.Step)
}
