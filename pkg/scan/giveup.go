package scan

import (
	"context"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// A GivingUp says how certificates are given up that were recorded and never published.
type GivingUp struct {
	Now time.Time
	// Older is how long ago they must have been recorded: others may be under way.
	Older time.Duration
	// Reason is the revocation's (RFC 5280, 5.3.1).
	Reason int
	DryRun bool
}

// GivenUp says what GiveUp did.
type GivenUp struct {
	// Revoked lie nowhere; Published lie in the files that were found; Young were left alone.
	Revoked, Published, Young []inventory.Entry
}

// GiveUp settles what runs that were killed have left in the inventory: certificates that were recorded, but not noted as
// published. Those that were found are published. The others are revoked and abandoned: they were signed, and keys of theirs may
// have been on disk, so that they are not simply forgotten. found must hold everything that was issued with this authority.
func GiveUp(ctx context.Context, a *ca.Authority, found Found, g GivingUp) (GivenUp, error) {
	var out GivenUp
	inv := a.Inventory()
	entries, err := inv.List(ctx, inventory.Filter{States: []inventory.State{inventory.Issued}})
	if err != nil {
		return out, err
	}
	var publish, revoke, abandon []inventory.Key
	for _, e := range entries {
		_, lies := found.known[string(e.DER())]
		switch {
		case e.Authority != a.ID():
		case e.Revoked != nil: // an interrupted run, or somebody by hand
			if !lies {
				abandon = append(abandon, e.Key)
			}
		case lies:
			out.Published, publish = append(out.Published, e), append(publish, e.Key)
		case g.Now.Sub(e.Created) < g.Older:
			out.Young = append(out.Young, e)
		default:
			out.Revoked, revoke, abandon = append(out.Revoked, e), append(revoke, e.Key), append(abandon, e.Key)
		}
	}
	if g.DryRun {
		return out, nil
	}
	if err := inv.MarkPublished(ctx, publish...); err != nil {
		return out, err
	}
	if len(revoke) > 0 {
		if err := inv.RevokeAll(ctx, revoke, g.Now, g.Reason); err != nil {
			return out, err
		}
	}
	if err := inv.Abandon(ctx, abandon...); err != nil {
		return out, err
	}
	at := g.Now.UTC().Truncate(time.Second)
	for i := range out.Revoked {
		out.Revoked[i].Revoked = &inventory.Revocation{At: at, Reason: g.Reason}
	}
	return out, nil
}
