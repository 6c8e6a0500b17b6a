package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// Adopted says what Adopt has taken into the inventory.
type Adopted struct {
	// Registered were found and not known.
	Registered []inventory.Entry
	// Published were known, but not noted as published: they lie there.
	Published []inventory.Entry
	// Revoked are on a list of the authority that was found, and the inventory did not know that they are revoked; of those
	// whose certificate was not found either there is only the serial number.
	Revoked []inventory.Entry
	// Lists is how many of the lists found the authority has signed; Last has the highest number and the latest dates of
	// theirs, without any no number.
	Lists int
	Last  inventory.ListStamp
}

// Adopt takes into the inventory what was found and it does not know: certificates that the authority has signed, and
// revocations from its lists, with their dates and reasons. The numbers of its next lists are higher than that of any found.
// So an authority that was restored from a backup learns what happened after it. With dryRun nothing is written.
func Adopt(ctx context.Context, a *ca.Authority, found Found, now time.Time, dryRun bool) (Adopted, error) {
	var out Adopted
	inv := a.Inventory()
	entries, err := inv.List(ctx, inventory.Filter{})
	if err != nil {
		return out, err
	}
	known := map[inventory.Key]*inventory.Entry{}
	for i := range entries {
		known[entries[i].Key] = &entries[i]
	}
	for _, f := range found.Certificates {
		key, err := a.KeyOf(f.Cert)
		var stranger *ca.StrangerError
		if errors.As(err, &stranger) || bytes.Equal(f.Cert.Raw, a.CertDER()) {
			continue
		}
		if err != nil {
			return out, err
		}
		switch e := known[key]; {
		case e == nil:
			n, err := a.Describe(f.Cert, now)
			if err != nil {
				return out, fmt.Errorf("%q: %w", f.Files[0], err)
			}
			n.Layout = layoutOf(f.Files[0])
			out.Registered = append(out.Registered, n)
			known[key] = &n
		case e.State == inventory.Issued && e.Revoked == nil:
			out.Published = append(out.Published, *e)
		}
	}
	issuer, err := certs.Import(a.CertDER())
	if err != nil {
		return out, err
	}
	for _, l := range found.Lists {
		if !l.List.IssuedBy(issuer) || l.List.CheckSignature(issuer) != nil {
			continue
		}
		out.Lists++
		if n := l.List.Number; n != nil && (out.Last.Number == nil || n.Cmp(out.Last.Number) > 0) {
			out.Last.Number = n
		}
		if l.List.ThisUpdate.After(out.Last.ThisUpdate) {
			out.Last.ThisUpdate, out.Last.NextUpdate = l.List.ThisUpdate, l.List.NextUpdate
		}
		for e, err := range l.List.Entries() {
			if err != nil {
				return out, fmt.Errorf("%q: %w", l.File, err)
			}
			key := inventory.NewKey(new(big.Int).SetBytes(e.Serial), nil)
			key.Authority = a.ID()
			k := known[key]
			if k == nil {
				k = &inventory.Entry{Key: key, State: inventory.Foreign}
				known[key] = k
			}
			if k.Revoked == nil {
				k.Revoked = &inventory.Revocation{At: e.Revoked, Reason: max(e.Reason, 0)}
				out.Revoked = append(out.Revoked, *k)
			}
		}
	}
	if dryRun {
		return out, nil
	}
	return out, adopt(ctx, inv, a.ID(), out)
}

// adopt writes. Each step can be repeated, so that an interrupted run is.
func adopt(ctx context.Context, inv *inventory.Inventory, authority string, out Adopted) error {
	if err := inv.Record(ctx, out.Registered...); err != nil {
		return err
	}
	var lie []inventory.Key
	for _, e := range out.Published {
		lie = append(lie, e.Key)
	}
	if err := inv.MarkPublished(ctx, lie...); err != nil {
		return err
	}
	revoked := make([]inventory.RevokedKey, len(out.Revoked))
	for i, e := range out.Revoked {
		revoked[i] = inventory.RevokedKey{Key: e.Key, Revocation: *e.Revoked}
	}
	return inv.LearnRevoked(ctx, authority, revoked, out.Last)
}
