package rotation

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
)

// What libvirt's check of one's own files can take of a CA file (virNetTLSContextLoadCACertListFromFile, up to libvirt 12.8):
// certificates after the sixteenth are not seen, and a file of more bytes is not read.
const (
	maxTrusted     = 16
	maxTrustedSize = 64 << 10
)

// A LimitError says that a CA file would hold more than libvirt reads of it.
type LimitError struct {
	Path string
	// CAs and Size are what the file would hold; one of them is too much.
	CAs, Size int
}

// Error names the file and the limit.
func (e *LimitError) Error() string {
	if e.CAs > maxTrusted {
		return fmt.Sprintf("%q would hold %d CAs: libvirt looks at the first %d only", e.Path, e.CAs, maxTrusted)
	}
	return fmt.Sprintf("%q would have %d bytes: libvirt reads no CA file of more than %d", e.Path, e.Size, maxTrustedSize)
}

// Hints names the remedy.
func (e *LimitError) Hints() []string {
	return []string{"take CAs out of the file that nobody needs any more, and comments"}
}

// A trustFile is a CA file that is to be replaced.
type trustFile struct {
	spot      layout.Spot
	was, text []byte
	// lists is what the file of revocation lists is to be, nil when it stays.
	lists []byte
}

// withCA adds a CA to the files of all places that trust the old one.
func (o *rotator) withCA(add [][]byte) ([]trustFile, error) {
	var files []trustFile
	var faults []error
	for _, p := range o.places {
		if !p.TrustsOld || p.TrustsNew {
			continue
		}
		was, err := p.Read(p.Paths(certs.Client).CA)
		if err != nil {
			return nil, err
		}
		text := slices.Clone(was)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		held := rawCertificates(text)
		for _, der := range add {
			if !holds(held, der) {
				held = append(held, der)
				text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
		}
		if len(held) > maxTrusted || len(text) > maxTrustedSize {
			faults = append(faults, &LimitError{p.Shown(p.Paths(certs.Client).CA), len(held), len(text)})
		}
		files = append(files, trustFile{spot: p.Spot, was: was, text: text})
	}
	return files, errors.Join(faults...)
}

// withoutOld takes the old CA out of the files of all places that trust it, and its revocation list with it.
func (o *rotator) withoutOld() ([]trustFile, error) {
	r, _ := o.authority.Rotation()
	old, next := o.cas()
	files, err := o.without(old, next, func(p Place) bool { return p.TrustsOld })
	if err != nil {
		return nil, err
	}
	for i := range files {
		f := &files[i]
		paths := f.spot.Paths(certs.Client)
		if len(rawCertificates(f.text)) == 0 {
			return nil, fmt.Errorf("%q would hold no CA any more", f.spot.Shown(paths.CA))
		}
		if r.SameSubject {
			continue
		}
		switch text, err := f.spot.Read(paths.CRL); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			if f.lists, err = withoutList(text, r.Old); err != nil {
				return nil, fmt.Errorf("reading %q: %w", f.spot.Shown(paths.CRL), err)
			}
		}
	}
	return files, nil
}

// without takes the certificates of one CA that the other has not got out of the CA files of the chosen places.
func (o *rotator) without(gone, stays [][]byte, chosen func(Place) bool) ([]trustFile, error) {
	drop := slices.DeleteFunc(slices.Clone(gone), func(der []byte) bool { return holds(stays, der) })
	var files []trustFile
	for _, p := range o.places {
		if !chosen(p) {
			continue
		}
		was, err := p.Read(p.Paths(certs.Client).CA)
		if err != nil {
			return nil, err
		}
		files = append(files, trustFile{spot: p.Spot, was: was, text: withoutCertificates(was, drop)})
	}
	return files, nil
}

// replaceTrust proves that the places work with their new CA files, among themselves and with those that have the old ones
// yet, and puts the files into their places.
func (o *rotator) replaceTrust(ctx context.Context, files []trustFile) error {
	before, err := proof.Read(o.Spots)
	if err != nil {
		return err
	}
	// Of what is revoked nothing is proven: it is to be refused, and loses nothing with the old CA.
	before = slices.DeleteFunc(before, func(x proof.Identity) bool {
		return slices.ContainsFunc(o.places, func(p Place) bool { return p.Spot == x.Spot && slices.Contains(p.Revoked, x.Role) })
	})
	var changed []proof.Identity
	for _, x := range before {
		for _, f := range files {
			if f.spot == x.Spot {
				x.CA = f.text
			}
		}
		changed = append(changed, x)
	}
	if err := o.prove(ctx, before, changed); err != nil {
		return err
	}
	for _, f := range files {
		name := f.spot.Paths(certs.Client).CA
		if err := durable.Within(f.spot.Root, func(d *durable.Dir) error {
			d.Hook = o.steps().Hook()
			text, info, err := layout.ReadIn(d, name)
			if err != nil {
				return err
			}
			if !bytes.Equal(text, f.was) {
				return errors.New("it was changed meanwhile")
			}
			if f.lists != nil {
				// First the lists: those of a CA that is not trusted are no use, and no harm.
				crlName := f.spot.Paths(certs.Client).CRL
				_, crlInfo, err := layout.ReadIn(d, crlName)
				if err != nil {
					return err
				}
				if err := d.Write(durable.File{Name: layout.Below(crlName), Data: f.lists, Mode: crlInfo.Mode().Perm(), Replace: true}); err != nil {
					return err
				}
				o.result.Changed = append(o.result.Changed, f.spot.Shown(crlName))
			}
			return d.Write(durable.File{Name: layout.Below(name), Data: f.text, Mode: info.Mode().Perm(), Replace: true})
		}); err != nil {
			return fmt.Errorf("replacing %q: %w", f.spot.Shown(name), err)
		}
		o.result.Changed = append(o.result.Changed, f.spot.Shown(name))
	}
	return nil
}

// withoutCertificates cuts certificates out of a PEM text; everything else stays as it is.
func withoutCertificates(text []byte, drop [][]byte) []byte {
	var out []byte
	for rest := text; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			return append(out, rest...)
		}
		piece := rest[:len(rest)-len(next)]
		if holds(drop, block.Bytes) {
			begin := bytes.LastIndex(piece, []byte("-----BEGIN "))
			piece = piece[:max(begin, 0)]
		}
		out = append(out, piece...)
		rest = next
	}
}

// rawCertificates gives the certificates of a PEM text in DER.
func rawCertificates(text []byte) [][]byte {
	var out [][]byte
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil || strings.HasSuffix(block.Type, "CERTIFICATE") {
			out = append(out, block.Bytes)
		}
	}
}

// holds reports whether a certificate is among others.
func holds(list [][]byte, der []byte) bool {
	return slices.ContainsFunc(list, func(have []byte) bool { return bytes.Equal(have, der) })
}

// withoutList gives a file of revocation lists without those of a CA; nil when nothing changes, or nothing would remain: a
// file without a list keeps a daemon from starting.
func withoutList(text []byte, old *ca.Authority) ([]byte, error) {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return nil, err
	}
	chain, err := certs.Import(old.CertDER())
	if err != nil {
		return nil, err
	}
	var rest []byte
	dropped := false
	for _, l := range lists {
		if l.IssuedBy(chain) {
			dropped = true
			continue
		}
		rest = append(rest, l.PEM()...)
	}
	if !dropped {
		return nil, nil
	}
	return rest, nil
}
