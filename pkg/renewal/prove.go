package renewal

import (
	"context"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
)

// prove connects what will be there with what is: while the files are on their way to the hosts, both are in use.
func (w *renewer) prove(ctx context.Context, files []*newFile) error {
	before, err := proof.Read(w.Spots)
	if err != nil {
		return err
	}
	type end struct {
		spot layout.Spot
		role certs.Role
	}
	changed, rotated := map[end]proof.Identity{}, false
	for _, x := range before {
		changed[end{x.Spot, x.Role}] = x
	}
	touched := map[end]bool{}
	for _, f := range files {
		at := end{f.Spot, f.role}
		x := changed[at]
		if f.part == layout.Key {
			x.Key = f.now
		} else {
			x.Cert = f.now
		}
		changed[at], touched[at] = x, true
		n := w.result.Renewed[f.of]
		rotated = rotated || n.New.Authority != n.Old.Authority
	}
	var replaced, unchanged, after []proof.Identity
	for _, x := range before {
		at := end{x.Spot, x.Role}
		if touched[at] {
			replaced, after = append(replaced, x), append(after, changed[at])
		} else {
			unchanged = append(unchanged, x)
		}
	}
	w.steps().Say("prove")
	w.result.Proof, w.result.Broken, err = proof.New(w.authority.Policy().Libvirt, w.Now, w.steps().Workers()).Change(ctx, replaced, unchanged, after, rotated)
	if err == nil && len(w.result.Proof.Failures) > 0 {
		err = &proof.Error{Result: w.result.Proof}
	}
	return err
}
