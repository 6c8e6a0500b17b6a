package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

const crlFile = "cacrl.pem"

// ListLife is how far ahead a revocation list promises the next one. libvirt never looks at it; those who watch do.
const ListLife = 30 * 24 * time.Hour

// A StrangerError says that a certificate was not issued by the authority.
type StrangerError struct{ Subject, Issuer, Authority string }

// Error gives the names.
func (e *StrangerError) Error() string {
	if e.Issuer == e.Authority {
		return fmt.Sprintf("the certificate of %q names the issuer %q, but was not signed with this authority's key", e.Subject, e.Issuer)
	}
	return fmt.Sprintf("the certificate of %q was issued by %q, not by this authority, %q", e.Subject, e.Issuer, e.Authority)
}

// ID gives the authority's identifier in the inventory, inventory.Key.Authority.
func (a *Authority) ID() string { return hex.EncodeToString(a.cert.SubjectKeyId) }

// KeyOf gives the inventory's key of a certificate that this authority has signed, also with the other CA of a rotation,
// whether or not the inventory knows it; another one's is a *StrangerError.
func (a *Authority) KeyOf(cert *certs.Certificate) (inventory.Key, error) {
	own, err := certs.Import(a.cert.Raw)
	if err != nil {
		return inventory.Key{}, err
	}
	subject, _ := cert.Subject.Text()
	issuer, _ := cert.Issuer.Text()
	name, _ := own.Subject.Text()
	tbs, alg, sig, err := signature.Split(cert.Raw)
	if err == nil {
		err = signature.Check(alg, own.RawPublicKeyInfo, tbs, sig)
	}
	if err != nil || string(cert.Issuer.DER()) != string(own.Subject.DER()) {
		if a.fellow != nil {
			if key, err := a.fellow.KeyOf(cert); err == nil {
				return key, nil
			}
		}
		return inventory.Key{}, &StrangerError{subject, issuer, name}
	}
	serial := new(big.Int).SetBytes(cert.Serial)
	return inventory.NewKey(serial, a.cert.SubjectKeyId), nil
}

// Register records a certificate that the CA signed before there was an inventory, or with another program, so that it can
// be listed, watched and revoked.
func (a *Authority) Register(ctx context.Context, cert *certs.Certificate, now time.Time) (inventory.Entry, error) {
	e, err := a.Describe(cert, now)
	if err != nil {
		return e, err
	}
	return e, a.inventory.Record(ctx, e)
}

// Describe gives what Register would record.
func (a *Authority) Describe(cert *certs.Certificate, now time.Time) (inventory.Entry, error) {
	key, err := a.KeyOf(cert)
	if err != nil {
		return inventory.Entry{}, err
	}
	subject, err := cert.Subject.Text()
	if err != nil {
		return inventory.Entry{}, err
	}
	e := inventory.Entry{Key: key, Subject: subject, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Created: now,
		State: inventory.Published, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
	// What cannot be read is left out: it is recorded to be found, not to be issued again.
	if std, err := cert.X509(); err == nil {
		e.CommonName, e.Names = std.Subject.CommonName, std.DNSNames
		for _, ip := range std.IPAddresses {
			if addr, ok := netip.AddrFromSlice(ip); ok {
				e.Addresses = append(e.Addresses, addr.Unmap())
			}
		}
		if id, err := certs.KeyID(std.PublicKey); err == nil {
			e.KeyID = hex.EncodeToString(id)
		}
		e.Role = roleOf(std)
	}
	if e.Host = e.CommonName; e.Host == "" {
		e.Host = subject
	}
	if e.Role == 0 {
		e.Role = certs.Client
	}
	return e, nil
}

// roleOf gives what a certificate is for by its purposes; without any it may be both.
func roleOf(cert *x509.Certificate) certs.Role {
	var server, client bool
	for _, u := range cert.ExtKeyUsage {
		server = server || u == x509.ExtKeyUsageServerAuth
		client = client || u == x509.ExtKeyUsageClientAuth
	}
	switch {
	case server == client:
		return certs.Peer
	case server:
		return certs.Server
	}
	return certs.Client
}

// CRLPath is the file of the authority's revocation list.
func (a *Authority) CRLPath() string { return filepath.Join(a.dir, crlFile) }

// CRL gives the authority's own revocation list as it was last made, nil when none was, and the whole text of its file, in
// which other CAs' lists may be.
func (a *Authority) CRL() (own *crl.List, text []byte, err error) {
	lists, text, err := a.lists()
	if err != nil {
		return nil, nil, err
	}
	cert, err := certs.Import(a.cert.Raw)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range crl.Effective(lists) {
		if l.IssuedBy(cert) {
			own = l
		}
	}
	return own, text, nil
}

// Unlisted gives those entries of the inventory that are revoked and on no list in the authority's file: hosts do not know of
// them yet. Both CAs of a rotation count; what neither has issued is for another's list.
func (a *Authority) Unlisted(entries []inventory.Entry) ([]inventory.Entry, error) {
	lists, _, err := a.lists()
	if err != nil {
		return nil, err
	}
	lists = crl.Effective(lists)
	issuers := map[string][]byte{a.ID(): a.cert.RawSubject}
	if a.fellow != nil {
		issuers[a.fellow.ID()] = a.fellow.cert.RawSubject
	}
	var out []inventory.Entry
	for _, e := range entries {
		issuer, ours := issuers[e.Authority]
		if e.Revoked == nil || !ours {
			continue
		}
		n, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("looking for it on the revocation list: %q is no serial number", e.Serial)
		}
		listed := false
		for _, l := range lists {
			if !bytes.Equal(l.Issuer.DER(), issuer) {
				continue
			}
			if _, found, err := l.Lookup(crl.SerialOctets(n)); err != nil {
				return nil, fmt.Errorf("looking for %s on the revocation list: %w", e.Serial, err)
			} else if found {
				listed = true
			}
		}
		if !listed {
			out = append(out, e)
		}
	}
	return out, nil
}

// lists reads the authority's file of revocation lists.
func (a *Authority) lists() ([]*crl.List, []byte, error) {
	if a.dir == "" { // a double, or an authority without a directory
		return nil, nil, nil
	}
	text, err := readLists(a.CRLPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return nil, nil, &PathError{a.CRLPath(), err.Error(), err, "move it away and make a new one: virt-pki crl publish"}
	}
	return lists, text, nil
}

// maxLists bounds what is read of a file of revocation lists: a million entries are some 50 MiB.
const maxLists = 256 << 20

// readLists is readFile for a file that may be large.
func readLists(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &PathError{path, "cannot be read: " + reason(err), err, ""}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLists+1))
	switch {
	case err != nil:
		return nil, &PathError{path, "cannot be read: " + reason(err), err, ""}
	case len(text) > maxLists:
		return nil, &PathError{path, fmt.Sprintf("is too large: more than %d bytes", maxLists), nil, ""}
	}
	return text, nil
}

// A List is a revocation list that was made.
type List struct {
	*crl.List
	// Previous is the one before; nil for the first.
	Previous *crl.List
	// File is the whole text of the authority's file: the list, and what lists of other CAs were in the file.
	File []byte
}

// MakeList makes the next revocation list of everything that is revoked, and puts it into the authority's directory. Number
// and date are higher than those of any before, whatever other processes do at the time; lists of other CAs in the file stay
// there. Certificates that have ended stay on the list: a host whose clock is wrong would let them in. A zero life is
// ListLife. While the CA is being replaced by one of the same name the list is that of both; else the other CA's is made by its
// own MakeList (Fellow).
func (a *Authority) MakeList(ctx context.Context, now time.Time, life time.Duration) (List, error) {
	switch {
	case a.key == nil && a.remote != nil:
		return List{}, ErrListsElsewhere
	case a.key == nil:
		return List{}, ErrLocked
	case a.inventory == nil:
		return List{}, errors.New("the authority has no inventory")
	case life <= 0:
		life = ListLife
	}
	issuer, err := certs.Import(a.cert.Raw)
	if err != nil {
		return List{}, err
	}
	// One process at a time, so that a list never takes the place of one with a higher number.
	held, err := durable.LockDir(ctx, a.dir)
	if err != nil {
		return List{}, fmt.Errorf("making a revocation list: %w", err)
	}
	defer held.Release()
	previous, _, err := a.CRL()
	if err != nil {
		return List{}, fmt.Errorf("making a revocation list: %w", err)
	}
	var atLeast *big.Int
	if previous != nil && previous.Number != nil {
		atLeast = new(big.Int).Add(previous.Number, big.NewInt(1))
	}
	if previous != nil && previous.ThisUpdate.Sub(now) >= time.Minute { // before a number is spent on it
		return List{}, fmt.Errorf("making a revocation list: %w", &inventory.ClockError{Now: now, Last: previous.ThisUpdate})
	}
	next, err := a.inventory.NextList(ctx, a.ID(), now, life, atLeast)
	if err != nil {
		return List{}, fmt.Errorf("making a revocation list: %w", err)
	}
	draft := crl.Draft{Number: next.Number, ThisUpdate: next.ThisUpdate, NextUpdate: next.NextUpdate}
	if err := draft.Follow(previous); err != nil {
		return List{}, fmt.Errorf("making a revocation list: %w", err)
	}
	for _, r := range next.Revoked {
		n, ok := new(big.Int).SetString(r.Serial, 16)
		if !ok {
			return List{}, fmt.Errorf("making a revocation list: %q is no serial number", r.Serial)
		}
		draft.Entries = append(draft.Entries, crl.Entry{Serial: crl.SerialOctets(n), Revoked: r.At, Reason: r.Reason})
	}
	if a.sameName() {
		// libvirt uses one list of each name only, the newest, and looks at no signature: it has to be everybody's.
		others, err := a.inventory.Revoked(ctx, a.fellow.ID())
		if err != nil {
			return List{}, fmt.Errorf("making a revocation list: %w", err)
		}
		for _, e := range others {
			n, ok := new(big.Int).SetString(e.Serial, 16)
			if !ok {
				return List{}, fmt.Errorf("making a revocation list: %q is no serial number", e.Serial)
			}
			draft.Entries = append(draft.Entries, crl.Entry{Serial: crl.SerialOctets(n), Revoked: e.Revoked.At, Reason: e.Revoked.Reason})
		}
	}
	list, err := draft.Sign(issuer, a.key, rand.Reader)
	if err != nil {
		return List{}, err
	}
	lists, _, err := a.lists()
	if err != nil {
		return List{}, err
	}
	text := MergeLists(list, lists)
	if err := durable.WriteFile(a.CRLPath(), text, 0o644, true); err != nil {
		return List{}, fmt.Errorf("making a revocation list: %w", err)
	}
	return List{list, previous, text}, nil
}

// MergeLists gives the text of a file that holds a list and, of those in others, the lists of other issuers: libvirt loads one
// file with the lists of all CAs.
func MergeLists(list *crl.List, others []*crl.List) []byte {
	text := list.PEM()
	for _, l := range others {
		if string(l.Issuer.DER()) != string(list.Issuer.DER()) {
			text = append(text, l.PEM()...)
		}
	}
	return text
}
