package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// An Issued is a certificate that was signed and recorded.
type Issued struct {
	Order Order
	// DER is the certificate, Key its private key: nil when the key is elsewhere.
	DER []byte
	Key crypto.Signer
	// Entry is what the inventory knows of it; its Key names it there.
	Entry inventory.Entry
	// Findings are those of the Prepared.
	Findings []finding.Finding
}

// PEM gives the certificate in PEM.
func (i Issued) PEM() []byte { return i.Entry.PEM }

// Certificate gives the certificate as GnuTLS sees it.
func (i Issued) Certificate() (*certs.Certificate, error) { return certs.Import(i.DER) }

// Issue makes the key if there is none, signs what was prepared, records it and gives it out.
func (a *Authority) Issue(ctx context.Context, p *Prepared) (Issued, error) {
	all, err := a.IssueAll(ctx, []*Prepared{p}, nil)
	if err != nil {
		return Issued{}, err
	}
	return all[0], nil
}

// IssueAll issues many certificates with all processors and records them in one transaction. It gives out all of them
// or none, in the order of the list. progress, which may be nil, is called with the number of those signed, from several
// goroutines.
func (a *Authority) IssueAll(ctx context.Context, list []*Prepared, progress func(done int)) ([]Issued, error) {
	switch {
	case !a.Unlocked():
		return nil, ErrLocked
	case a.recorder == nil:
		return nil, errors.New("the authority has no inventory")
	}
	for _, p := range list {
		if p.authority != a {
			return nil, errors.New("a certificate prepared by another authority")
		}
	}
	for _, p := range list {
		if p.spent.Swap(true) {
			return nil, ErrSpent
		}
	}
	issued := make([]Issued, len(list))
	if err := workers.Do(ctx, len(list), runtime.GOMAXPROCS(0), func(i int) (err error) {
		if a.remote != nil {
			issued[i], err = a.signRemotely(ctx, list[i])
		} else {
			issued[i], err = a.sign(list[i])
		}
		return err
	}, progress); err != nil {
		return nil, err
	}
	entries := make([]inventory.Entry, len(issued))
	for i := range issued {
		if a.staged {
			issued[i].Entry.State = inventory.Published
		}
		entries[i] = issued[i].Entry
	}
	// From here on the certificates are known. Before, nobody has seen them.
	if err := a.recorder.Record(ctx, entries...); err != nil && !a.sameRecord(ctx, issued, err) {
		return nil, err
	}
	return issued, nil
}

// sign makes the key and signs.
func (a *Authority) sign(p *Prepared) (Issued, error) {
	out := Issued{Order: p.order, Findings: p.findings}
	public := p.order.Public
	if public == nil {
		key, err := certs.GenerateKey(p.order.Key)
		if err != nil {
			return Issued{}, err
		}
		out.Key, public = key, key.Public()
	}
	id, err := certs.KeyID(public)
	if err != nil {
		return Issued{}, err
	}
	template := p.template
	template.PublicKey, template.SubjectKeyId = public, id
	if out.DER, err = x509.CreateCertificate(rand.Reader, &template, a.cert, public, a.key); err != nil {
		return Issued{}, fmt.Errorf("signing the certificate of %q: %w", p.subject, err)
	}
	out.Entry = p.entry(template.SerialNumber, a.cert.SubjectKeyId, hex.EncodeToString(id), out.DER)
	return out, nil
}
