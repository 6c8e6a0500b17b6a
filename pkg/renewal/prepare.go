package renewal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// A KeyStateError says why the private key beside a certificate cannot be kept or replaced.
type KeyStateError struct {
	Path, Problem string
	hint          string
}

// Error names the file.
func (e *KeyStateError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Problem) }

// Hints names the remedy.
func (e *KeyStateError) Hints() []string { return []string{e.hint} }

// prepare decides about every selected certificate, and has the new ones judged.
func (w *renewer) prepare(ctx context.Context) error {
	var orders []ca.Order
	var faults []error
	for _, e := range w.entries {
		if !e.InForce() || e.State == inventory.Foreign && len(w.held[e.Key]) == 0 || !w.Select(e) {
			continue
		}
		held := w.held[e.Key]
		if len(held) == 0 {
			if e.State == inventory.Published {
				w.result.Elsewhere = append(w.result.Elsewhere, e)
			}
			continue
		}
		order, kept, err := w.order(e, held)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		n := Renewed{Old: e, KeyKept: kept}
		for _, h := range held {
			n.Files = append(n.Files, h.path(layout.Cert))
			if !kept {
				n.Files = append(n.Files, h.path(layout.Key))
			}
		}
		orders, w.result.Renewed = append(orders, order), append(w.result.Renewed, n)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	var err error
	if w.prepared, err = w.authority.PrepareAll(w.Now, orders); err != nil {
		return err
	}
	for i, p := range w.prepared {
		n := &w.result.Renewed[i].New
		*n = w.result.Renewed[i].Old
		n.Key = inventory.NewKey(p.Serial(), nil)
		n.NotBefore, n.NotAfter, n.State, n.PEM, n.Created = p.Order().NotBefore, p.Order().NotAfter, "", nil, w.Now
	}
	return nil
}

// order makes the order for what takes a certificate's place.
func (w *renewer) order(e inventory.Entry, held []holding) (o ca.Order, kept bool, err error) {
	cert := held[0].cert
	o = ca.Order{Request: certs.Request{Role: e.Role, Subject: cert.Subject, Names: e.Names, Addresses: e.Addresses, NotAfter: w.NotAfter},
		Host: e.Host, Layout: e.Layout, Key: w.Key}
	if e.State == inventory.Foreign { // another program's row
		d, err := w.authority.Describe(cert, w.Now)
		if err != nil {
			return o, false, err
		}
		o.Role, o.Names, o.Addresses, o.Host, o.Layout = d.Role, d.Names, d.Addresses, d.Host, string(held[0].Kind)
	}
	if kept = w.SameKey || slices.ContainsFunc(held, func(h holding) bool { return h.key == nil }); kept {
		o.Public = cert.PublicKey
	} else if o.Key == "" {
		o.Key, _ = certs.AlgorithmOf(cert.PublicKey) // of another kind: by the policy
	}
	for _, h := range held {
		if h.key == nil {
			continue
		}
		switch key, err := certs.ParseKey(h.key, nil); {
		case errors.Is(err, certs.ErrPassphraseNeeded) && !kept:
			return o, kept, &KeyStateError{h.path(layout.Key), "the key is encrypted, a new one would not be", "keep it: virt-pki renew --same-key"}
		case errors.Is(err, certs.ErrPassphraseNeeded):
		case err != nil && kept:
			return o, kept, fmt.Errorf("reading the key %q: %w", h.path(layout.Key), err)
		case err == nil && kept && !certs.SameKey(key.Public(), cert.PublicKey):
			return o, kept, &KeyStateError{h.path(layout.Key), "the key is not that of the certificate beside it", "make a new one: virt-pki renew without --same-key"}
		case err == nil && kept:
			o.Holder = key
		}
	}
	return o, kept, nil
}
