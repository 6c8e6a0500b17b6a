package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// publish notes that certificates are in their places, and that others of the same host, role and layout are not any more:
// those that were are superseded, those that never came so far abandoned.
func (w *applier) publish(ctx context.Context, list []inventory.Entry) error {
	if len(list) == 0 {
		return nil
	}
	identity := func(e inventory.Entry) string { return e.Host + "\x00" + e.Role.String() + "\x00" + e.Layout }
	current, keys := map[string]bool{}, map[inventory.Key]bool{}
	var published, superseded, abandoned []inventory.Key
	for _, e := range list {
		current[identity(e)], keys[e.Key] = true, true
		published = append(published, e.Key)
	}
	for _, e := range w.known.Entries {
		if keys[e.Key] || !current[identity(e)] {
			continue
		}
		switch e.State {
		case inventory.Published:
			superseded = append(superseded, e.Key)
		case inventory.Issued:
			abandoned = append(abandoned, e.Key)
		}
	}
	// In this order: as long as the new ones are not marked, the next run knows that there is something to mark.
	inv := w.authority.Inventory()
	w.steps().Say("mark as superseded")
	if err := inv.MarkSuperseded(ctx, superseded...); err != nil {
		return err
	}
	w.steps().Say("mark as abandoned")
	if err := inv.Abandon(ctx, abandoned...); err != nil {
		return err
	}
	w.steps().Say("mark as published")
	return inv.MarkPublished(ctx, published...)
}

// adopt writes a certificate that was found into the inventory: one of this CA as if it had been issued for its place, one of
// another as another program's.
func (w *applier) adopt(ctx context.Context, s Step) error {
	w.steps().Say("adopt")
	e, err := w.authority.Describe(s.cert, w.Now)
	var stranger *ca.StrangerError
	switch {
	case errors.As(err, &stranger):
		e = foreignEntry(s.cert, w.Now)
	case err != nil:
		return err
	default:
		e.Host, e.Layout = s.Member, string(s.Layout)
	}
	err = w.authority.Inventory().Record(ctx, e)
	if errors.Is(err, inventory.ErrDuplicateSerial) {
		return nil // the same certificate lies in several places
	}
	if err != nil || e.State == inventory.Foreign {
		return err
	}
	return w.publish(ctx, []inventory.Entry{e}) // it has the place of what was issued for it before
}

// abandon gives up what was issued and does not lie in its place. A key that lies there without its certificate makes it one
// that is to be finished.
func (w *applier) abandon(ctx context.Context, keys []inventory.Key) error {
	view, err := w.changes.spec.Look(ctx, nil)
	if err != nil {
		return nil // it stays "issued", and the next run looks after it
	}
	lying := map[string]bool{}
	for _, m := range view.members {
		for _, p := range m.places {
			for _, s := range p {
				if s.key.state == keyOther {
					lying[s.key.id] = true
				}
			}
		}
	}
	var gone []inventory.Key
	for _, j := range w.jobs {
		if slices.Contains(keys, j.entry.Key) && !lying[j.entry.KeyID] {
			gone = append(gone, j.entry.Key)
		}
	}
	return w.authority.Inventory().Abandon(ctx, gone...)
}

// foreignEntry describes another CA's certificate.
func foreignEntry(c *certs.Certificate, now time.Time) inventory.Entry {
	e := inventory.Entry{State: inventory.Foreign, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Created: now,
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})}
	e.Serial = c.SerialHex()
	if std, err := c.X509(); err == nil {
		e.Key = inventory.NewKey(std.SerialNumber, std.AuthorityKeyId)
		e.CommonName, e.Names = std.Subject.CommonName, std.DNSNames
	}
	if e.Authority == "" { // of what names its issuer by no key
		e.Authority = hex.EncodeToString(issuerHash(c.Issuer))
	}
	return e
}

// issuerHash stands for an issuer that has no key identifier.
func issuerHash(issuer dn.Name) []byte {
	sum := sha256.Sum256(issuer.DER())
	return sum[:20]
}
