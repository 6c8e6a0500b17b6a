package crl

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// A Draft says what a new list is to say. It becomes one with Sign; Follow makes it the successor of another.
type Draft struct {
	// Number is the cRLNumber (RFC 5280, 5.2.3), from 1 to 2^159-1.
	Number *big.Int
	// ThisUpdate and NextUpdate are when the list is made and when the next is promised. Fractions of a second are lost.
	ThisUpdate, NextUpdate time.Time
	// Entries are the revoked certificates, in any order. Reason is -1 or 0 for none: RFC 5280, 5.3.1, wants 0 left out.
	Entries []Entry
}

// A DraftError says why a list cannot be made.
type DraftError struct{ Text string }

// Error gives the text.
func (e *DraftError) Error() string { return "making a revocation list: " + e.Text }

// An OlderError says that a list would not be newer than another: GnuTLS of two lists of one issuer takes the one with the
// later thisUpdate, so that publishing an older one could take revocations back.
type OlderError struct {
	// Old is the list that is there.
	Old *List
	// Number and ThisUpdate are what the new one would say.
	Number     *big.Int
	ThisUpdate time.Time
}

// Error gives numbers and dates.
func (e *OlderError) Error() string {
	if !e.ThisUpdate.After(e.Old.ThisUpdate) {
		return fmt.Sprintf("the list there (%v) is of %s, the new one would be of %s, which is not later", e.Old,
			e.Old.ThisUpdate.Format(time.RFC3339), e.ThisUpdate.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the list there (%v) has number %v, the new one would have %v, which is not higher", e.Old, e.Old.Number, e.Number)
}

// Hints names the remedy.
func (e *OlderError) Hints() []string {
	if !e.ThisUpdate.After(e.Old.ThisUpdate) {
		return []string{"is the clock right? date -u"}
	}
	return []string{"the list there may be another authority's of the same name: virt-pki crl show FILE"}
}

// tieWindow is how far Follow moves thisUpdate into the future when lists are made in quick succession.
const tieWindow = time.Minute

// Follow makes the draft the successor of a list: its number becomes higher, and when both are of the same moment its
// thisUpdate becomes one second later. A list that is more than a minute ahead of the draft is an *OlderError, because
// then a clock is wrong.
func (d *Draft) Follow(old *List) error {
	if old == nil {
		return nil
	}
	if old.Number != nil && (d.Number == nil || d.Number.Cmp(old.Number) <= 0) {
		d.Number = new(big.Int).Add(old.Number, big.NewInt(1))
	}
	this := d.ThisUpdate.Truncate(time.Second)
	if this.After(old.ThisUpdate) {
		return nil
	}
	if old.ThisUpdate.Sub(this) >= tieWindow {
		return &OlderError{old, d.Number, this}
	}
	d.ThisUpdate = old.ThisUpdate.Add(time.Second)
	return nil
}

// CheckNewer says, as an *OlderError, why the list may not take the place of an older one: number and thisUpdate must both
// rise (RFC 5280, 5.2.3, for the number).
func (l *List) CheckNewer(old *List) error {
	if !l.ThisUpdate.After(old.ThisUpdate) || old.Number != nil && (l.Number == nil || l.Number.Cmp(old.Number) <= 0) {
		return &OlderError{old, l.Number, l.ThisUpdate}
	}
	return nil
}

// maxNumber bounds the number: RFC 5280, 5.2.3, allows 20 octets.
var maxNumber = new(big.Int).Lsh(big.NewInt(1), 159)

// Sign makes the list: version 2, complete, with authorityKeyIdentifier and cRLNumber, its entries in the order of their
// serial numbers. The issuer's certificate gives name and key identifier, octet for octet; key must be its key, and random
// serves the signature. An issuer whose keyUsage lacks cRLSign is let in, because the CA of libvirt's own instructions
// (certtool with cert_signing_key) lacks it and GnuTLS does not look; see CRLSign.
func (d Draft) Sign(issuer *certs.Certificate, key crypto.Signer, random io.Reader) (*List, error) {
	if err := d.check(issuer, key); err != nil {
		return nil, err
	}
	template := &x509.RevocationList{Number: d.Number, ThisUpdate: d.ThisUpdate.UTC(), NextUpdate: d.NextUpdate.UTC()}
	for _, e := range d.Entries {
		serial, err := integer(e.Serial)
		if err != nil {
			return nil, err
		}
		entry := x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.Revoked.UTC(), ReasonCode: max(e.Reason, 0)}
		if reasons[entry.ReasonCode] == "" || entry.ReasonCode == removeFromCRL {
			return nil, &DraftError{fmt.Sprintf("certificate %X: reason %d cannot stand in a complete list", serial, e.Reason)}
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, entry)
	}
	slices.SortFunc(template.RevokedCertificateEntries, func(a, b x509.RevocationListEntry) int {
		return cmp.Or(a.SerialNumber.Cmp(b.SerialNumber), a.RevocationTime.Compare(b.RevocationTime))
	})
	for i, e := range template.RevokedCertificateEntries {
		if i > 0 && e.SerialNumber.Cmp(template.RevokedCertificateEntries[i-1].SerialNumber) == 0 {
			return nil, &DraftError{fmt.Sprintf("certificate %X is in the draft twice", e.SerialNumber)}
		}
	}
	// crypto/x509 is shown what it needs of the issuer and no more: it would refuse a CA without cRLSign or without a
	// subjectKeyIdentifier.
	id, err := keyIdentifier(issuer)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{RawSubject: issuer.Subject.DER(), SubjectKeyId: id, KeyUsage: x509.KeyUsageCRLSign}
	der, err := x509.CreateRevocationList(random, template, ca, key)
	if err != nil {
		return nil, fmt.Errorf("making a revocation list: %w", err)
	}
	l, err := Parse(der)
	if err != nil {
		return nil, err
	}
	// A token or a remote signer may have signed with another key than it shows.
	if err := l.CheckSignature(issuer); err != nil {
		return nil, fmt.Errorf("the revocation list that was just made: %w", err)
	}
	return l, nil
}

// check refuses what must not be signed.
func (d Draft) check(issuer *certs.Certificate, key crypto.Signer) error {
	this, next := d.ThisUpdate.Truncate(time.Second), d.NextUpdate.Truncate(time.Second)
	switch {
	case issuer.PublicKey == nil || !certs.SameKey(key.Public(), issuer.PublicKey):
		return &DraftError{"the key is not the issuer's"}
	case d.Number == nil || d.Number.Sign() <= 0 || d.Number.Cmp(maxNumber) >= 0:
		return &DraftError{fmt.Sprintf("number %v is not between 1 and 2^159-1", d.Number)}
	case d.ThisUpdate.IsZero():
		return &DraftError{"thisUpdate is missing"}
	case !next.After(this):
		return &DraftError{fmt.Sprintf("nextUpdate %s is not after thisUpdate %s", next.UTC().Format(time.RFC3339), this.UTC().Format(time.RFC3339))}
	}
	return nil
}

const removeFromCRL = 8 // for delta lists only (RFC 5280, 5.3.1)

// integer gives the number that the content octets of an INTEGER are.
func integer(octets []byte) (*big.Int, error) {
	if len(octets) == 0 {
		return nil, &DraftError{"an entry has no serial number"}
	}
	n := new(big.Int).SetBytes(octets)
	if octets[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(octets))))
	}
	return n, nil
}

// SerialOctets gives a serial number as it stands in Entry.Serial and as Lookup takes it.
func SerialOctets(serial *big.Int) []byte {
	text, err := asn1.Marshal(serial)
	if err != nil {
		return nil
	}
	octets, _, _ := element(text, der.Integer)
	return octets
}

// SerialNumber gives the entry's serial number.
func (e Entry) SerialNumber() *big.Int {
	n, err := integer(e.Serial)
	if err != nil {
		return new(big.Int)
	}
	return n
}

// keyIdentifier gives the issuer's subjectKeyIdentifier; where it has none, the SHA-1 of its key, as RFC 5280, 4.2.1.2,
// method 1, has it.
func keyIdentifier(issuer *certs.Certificate) ([]byte, error) {
	if e := issuer.Extension("2.5.29.14"); e != nil {
		s := cryptobyte.String(e.Value)
		var id cryptobyte.String
		if s.ReadASN1(&id, casn1.OCTET_STRING) && len(id) > 0 {
			return id, nil
		}
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawPublicKeyInfo, &info); err != nil {
		return nil, &DraftError{"the issuer's public key cannot be read"}
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:], nil
}

// CRLSign reports whether a CA's keyUsage lets it sign revocation lists: it lacks the extension or has cRLSign (RFC 5280,
// 4.2.1.3). GnuTLS, and so libvirt, does not look at it; openssl refuses the list of a CA that may not.
func CRLSign(ca *certs.Certificate) bool {
	return ca.KeyUsage == nil || ca.KeyUsage.Bits&x509.KeyUsageCRLSign != 0
}

// The faults that Validate finds. Each stands in its error, for errors.Is.
var (
	ErrIssuer      = errors.New("the list is another CA's")
	ErrSignature   = errors.New("the list's signature is not the CA's")
	ErrNotYet      = errors.New("the list is from the future")
	ErrStale       = errors.New("the list is out of date")
	ErrNoNumber    = errors.New("the list has no number")
	ErrDeltaList   = errors.New("the list is a delta, not complete")
	ErrPartial     = errors.New("the list speaks of a part of the certificates or reasons only, which GnuTLS does not notice")
	ErrUnknown     = errors.New("the list has a critical extension that is not known here")
	ErrBadEntry    = errors.New("the list has an entry that cannot be read")
	ErrMayNotSign  = errors.New("the CA may not sign lists: its keyUsage lacks cRLSign")
	ErrNoNextDate  = errors.New("the list does not say when the next comes")
	ErrDoubleEntry = errors.New("the list names a certificate twice")
)

// Validate judges a list as RFC 5280, 5 and 6.3, wants it and libvirt does not: issuer, signature, dates as of at, number,
// entries. It gives all faults, joined.
func (l *List) Validate(issuer *certs.Certificate, at time.Time) error {
	var faults []error
	fault := func(kind error, format string, a ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{kind}, a...)...))
	}
	if !l.IssuedBy(issuer) {
		mine, _ := l.Issuer.Text()
		theirs, _ := issuer.Subject.Text()
		fault(ErrIssuer, "it is of %q, the CA is %q", mine, theirs)
	} else if err := l.CheckSignature(issuer); err != nil {
		fault(ErrSignature, "%w", err)
	} else if !CRLSign(issuer) {
		faults = append(faults, ErrMayNotSign)
	}
	if l.ThisUpdate.After(at) {
		fault(ErrNotYet, "thisUpdate is %s", l.ThisUpdate.Format(time.RFC3339))
	}
	switch {
	case l.NextUpdate.IsZero():
		faults = append(faults, ErrNoNextDate)
	case l.NextUpdate.Before(at):
		fault(ErrStale, "nextUpdate was %s", l.NextUpdate.Format(time.RFC3339))
	}
	if l.Number == nil {
		faults = append(faults, ErrNoNumber)
	}
	if l.Delta {
		faults = append(faults, ErrDeltaList)
	}
	if l.Scope != nil {
		faults = append(faults, ErrPartial)
	}
	if len(l.UnknownCritical) > 0 {
		fault(ErrUnknown, "%v", l.UnknownCritical)
	}
	seen := make(map[string]struct{}, min(l.Len(), 1<<16))
	n := 0
	for e, err := range l.Entries() {
		if n++; err != nil {
			fault(ErrBadEntry, "number %d", n)
			break
		}
		if _, twice := seen[string(e.Serial)]; twice {
			fault(ErrDoubleEntry, "%X", e.SerialNumber())
			break
		}
		seen[string(e.Serial)] = struct{}{}
	}
	return errors.Join(faults...)
}

// Changes is what a list says other than an older one.
type Changes struct {
	// Added were not revoked before, Removed no longer are, in the order of the lists.
	Added, Removed []Entry
	// Changed are revoked in both, with another date or reason; the entries are the new list's.
	Changed []Entry
	// Unchanged counts the others.
	Unchanged int
}

// Diff compares two lists. Of several entries of one serial number the first counts, as in Lookup. An error says that one
// of them is damaged.
func Diff(old, new *List) (Changes, error) {
	var c Changes
	before := make(map[string]Entry, old.Len())
	for e, err := range old.Entries() {
		if err != nil {
			return c, fmt.Errorf("the old list: %w", err)
		}
		if _, twice := before[string(e.Serial)]; !twice {
			before[string(e.Serial)] = e
		}
	}
	now := make(map[string]struct{}, new.Len())
	for e, err := range new.Entries() {
		if err != nil {
			return c, fmt.Errorf("the new list: %w", err)
		}
		if _, twice := now[string(e.Serial)]; twice {
			continue
		}
		now[string(e.Serial)] = struct{}{}
		switch was, there := before[string(e.Serial)]; {
		case !there:
			c.Added = append(c.Added, e)
		case !was.Revoked.Equal(e.Revoked) || max(was.Reason, 0) != max(e.Reason, 0):
			c.Changed = append(c.Changed, e)
		default:
			c.Unchanged++
		}
	}
	for e := range old.Entries() {
		if _, still := now[string(e.Serial)]; !still {
			c.Removed = append(c.Removed, e)
			now[string(e.Serial)] = struct{}{}
		}
	}
	return c, nil
}

// ParseReason reads a reason as people write it: its name in RFC 5280 in any case, with or without blanks, hyphens or
// underscores, or its number. It gives the reasons that a complete list can have.
func ParseReason(s string) (int, error) {
	plain := func(s string) string {
		return string(bytes.Map(func(r rune) rune {
			if r == '-' || r == '_' || r == ' ' {
				return -1
			}
			return r
		}, bytes.ToLower([]byte(s))))
	}
	for code, name := range reasons {
		if code != removeFromCRL && (plain(s) == plain(name) || s == fmt.Sprint(code)) {
			return code, nil
		}
	}
	return 0, fmt.Errorf("%q is no reason for a revocation: %s", s, ReasonNames())
}

// ReasonNames lists the reasons, for messages and help.
func ReasonNames() string {
	var b bytes.Buffer
	for code := range 11 {
		if name := reasons[code]; name != "" && code != removeFromCRL {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(name)
		}
	}
	return b.String()
}
