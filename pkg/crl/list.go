package crl

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// A List is one revocation list. It keeps the encoding and is immutable.
type List struct {
	Raw    []byte // the complete DER
	RawTBS []byte // the signed part
	Issuer dn.Name
	// ThisUpdate is when the list was made; NextUpdate is zero where it is absent.
	ThisUpdate, NextUpdate time.Time
	// Number is the cRLNumber extension, nil where absent or unreadable.
	Number *big.Int
	// AuthorityKeyID is the keyIdentifier of the authorityKeyIdentifier extension, nil where absent.
	AuthorityKeyID []byte
	// Delta reports a deltaCRLIndicator: the list holds only what changed since another. GnuTLS does not notice.
	Delta bool
	// Base is the number of the complete list that a delta list is to be joined with, nil where it is none or unreadable.
	Base *big.Int
	// Scope is the issuingDistributionPoint, nil where absent. GnuTLS does not look at it.
	Scope *Scope
	// UnknownCritical holds the OIDs of critical extensions this package does not know or cannot read. GnuTLS does not look
	// at them.
	UnknownCritical []string

	entries []byte // contents of revokedCertificates
}

// An Entry is one revoked certificate.
type Entry struct {
	Serial  []byte // content octets of the INTEGER
	Revoked time.Time
	// Reason is the CRLReason (RFC 5280, 5.3.1), -1 where absent.
	Reason int
	// Issuer is the name of who issued the certificate (certificateIssuer, RFC 5280, 5.3.3), in DER; nil where this entry does
	// not say: it is that of the entry before, and of the first the list's own.
	Issuer []byte
	// UnknownCritical reports a critical extension of the entry that this package does not know.
	UnknownCritical bool
}

// A ParseError says why something is not a revocation list.
type ParseError struct {
	// Text says what is wrong.
	Text string
	// GnuTLS is what GnuTLS says, for example "Base64 decoding error."
	GnuTLS string
}

// Error gives the text.
func (e *ParseError) Error() string { return e.Text }

// The texts of GnuTLS for what is no list: gnutls_strerror of 3.7.9.
const (
	errBase64 = "Base64 decoding error."
	errDER    = "ASN1 parser: Error in DER parsing."
)

const (
	oidNumber            = "2.5.29.20"
	oidReason            = "2.5.29.21"
	oidInvalidity        = "2.5.29.24"
	oidDelta             = "2.5.29.27"
	oidCertificateIssuer = "2.5.29.29"
	oidAKI               = "2.5.29.35"
)

// Parse reads one list in DER, as gnutls_x509_crl_import does: with the entries, of which it builds nothing.
func Parse(text []byte) (*List, error) {
	l := &List{Raw: text}
	d := der.NewDecoder(text)
	fail := func(what string, err error) (*List, error) {
		return nil, &ParseError{Text: "not a revocation list: " + what + " cannot be read", GnuTLS: err.Error()}
	}
	end, err := d.Open(der.Sequence)
	if errors.Is(err, der.ErrTag) {
		return nil, &ParseError{Text: "not a revocation list: it does not begin with a SEQUENCE", GnuTLS: err.Error()}
	}
	if err != nil {
		return fail("the outer SEQUENCE", err)
	}
	if d.Pos() == end { // libtasn1 leaves an empty SEQUENCE empty, and GnuTLS then misses the issuer
		if err := d.End(); err != nil {
			return fail("the outer SEQUENCE", err)
		}
		return fail("the issuer", der.ErrNotFound)
	}
	what, err := l.readSigned(&d)
	if err != nil {
		return fail(what, err)
	}
	if _, err := d.Algorithm(); err != nil {
		return fail("the signed structure", err)
	}
	if _, err := d.Contents(der.BitString); err != nil {
		return fail("the signature", err)
	}
	if err := errors.Join(d.Close(end), d.End()); err != nil {
		return fail("the outer SEQUENCE", der.ErrSyntax)
	}
	if l.RawTBS == nil {
		return fail("the issuer", der.ErrNotFound)
	}
	return l, nil
}

// readSigned reads the part that is signed. It says where an error is.
func (l *List) readSigned(d *der.Decoder) (what string, err error) {
	start := d.Pos()
	end, err := d.Open(der.Sequence)
	if err != nil {
		return "the signed structure", err
	}
	if d.Pos() == end {
		return "", nil
	}
	if d.Next(der.Integer) {
		if _, err := d.Contents(der.Integer); err != nil {
			return "the head", err
		}
	}
	if _, err := d.Algorithm(); err != nil {
		return "the head", err
	}
	name, err := d.Name()
	if err != nil {
		return "the issuer", err
	}
	if l.Issuer, err = dn.FromDER(name); err != nil {
		return "the issuer", err
	}
	if err := readTime(d, &l.ThisUpdate); err != nil {
		return "thisUpdate", err
	}
	if d.Pos() < end && d.NextTime() {
		if err := readTime(d, &l.NextUpdate); err != nil {
			return "nextUpdate", err
		}
	}
	if d.Pos() < end && d.Next(der.Sequence) {
		if l.entries, err = readEntries(d); err != nil {
			return "the list of entries", err
		}
	}
	if d.Pos() < end {
		if err := l.readExtensions(d); err != nil {
			return "the extensions", err
		}
	}
	if err := d.Close(end); err != nil {
		return "the signed structure", err
	}
	l.RawTBS = d.Since(start)
	return "", nil
}

// readEntries goes over the list of entries and gives what stands in it.
func readEntries(d *der.Decoder) ([]byte, error) {
	end, err := d.Open(der.Sequence)
	if err != nil {
		return nil, err
	}
	start := d.Pos()
	for d.Pos() < end {
		if err := checkEntry(d); err != nil {
			return nil, err
		}
	}
	return d.Since(start), d.Close(end)
}

// checkEntry goes over one entry, which may be an empty SEQUENCE.
func checkEntry(d *der.Decoder) error {
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return err
	}
	if _, err := d.Contents(der.Integer); err != nil {
		return err
	}
	if err := d.SkipTime(); err != nil {
		return err
	}
	if d.Pos() < end && d.Next(der.Sequence) {
		inner, err := d.Open(der.Sequence)
		if err != nil {
			return err
		}
		for d.Pos() < inner {
			if _, err := d.Extension(); err != nil {
				return err
			}
		}
		if err := d.Close(inner); err != nil {
			return err
		}
	}
	return d.Close(end)
}

// readExtensions takes from the list's extensions what the List shows.
func (l *List) readExtensions(d *der.Decoder) error {
	_, err := d.Extensions(0, func(e der.Extension) {
		if e.OID != nil {
			l.take(der.OIDText(e.OID), e.Critical, e.Value)
		}
	})
	return err
}

// take keeps what one extension says.
func (l *List) take(oid string, critical bool, value cryptobyte.String) {
	switch oid {
	case oidNumber:
		n := new(big.Int)
		if value.ReadASN1Integer(n) {
			l.Number = n
		}
	case oidDelta:
		l.Delta = true
		n := new(big.Int)
		if value.ReadASN1Integer(n) {
			l.Base = n
		}
	case oidScope:
		if l.Scope = readScope(value, l.Issuer); l.Scope == nil {
			l.UnknownCritical = append(l.UnknownCritical, oid)
		}
	case oidAKI:
		var aki, id cryptobyte.String
		var present bool
		if value.ReadASN1(&aki, casn1.SEQUENCE) && aki.ReadOptionalASN1(&id, &present, casn1.Tag(0).ContextSpecific()) && present {
			l.AuthorityKeyID = id
		}
	default:
		if critical {
			l.UnknownCritical = append(l.UnknownCritical, oid)
		}
	}
}

// readTime reads a Time. One that is none, such as of a 13th month, is read all the same and is older than any other.
func readTime(d *der.Decoder, at *time.Time) error {
	t, err := d.Time()
	if err != nil {
		return err
	}
	*at = time.Time{}
	if seconds, ok := t.Unix(); ok {
		*at = time.Unix(seconds, 0).UTC()
	}
	return nil
}

// ParsePEM reads the lists of a file as gnutls_certificate_set_x509_crl_file does: every "X509 CRL" block, other text
// skipped. A file without any is a *ParseError whose GnuTLS text is "Base64 decoding error.".
func ParsePEM(text []byte) ([]*List, error) {
	const label, begin = "X509 CRL", "-----BEGIN X509 CRL"
	var lists []*List
	for block, ok := range certs.PEMBlocks(text, label) {
		if !ok {
			return nil, &ParseError{Text: fmt.Sprintf("X509 CRL block %d is not valid PEM", len(lists)+1), GnuTLS: errBase64}
		}
		l, err := Parse(block)
		if err != nil {
			return nil, fmt.Errorf("X509 CRL block %d: %w", len(lists)+1, err)
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 {
		return nil, &ParseError{Text: "no revocation list in PEM (" + begin + "-----) in it" + looksLike(text), GnuTLS: errBase64}
	}
	return lists, nil
}

// looksLike says what the text is instead, for the message.
func looksLike(text []byte) string {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return ": the file is empty"
	case text[0] == 0x30:
		return ": the file is DER, libvirt reads only PEM"
	case bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")):
		return ": the file holds a certificate"
	}
	return ""
}

// GnuTLSText gives GnuTLS's words for an error of Parse and ParsePEM.
func GnuTLSText(err error) string {
	var p *ParseError
	if errors.As(err, &p) {
		return p.GnuTLS
	}
	return errDER
}

// errEntry is for an entry that cannot be read; what stands before it counts.
var errEntry = errors.New("an entry of the revocation list cannot be read")

// element takes the element of a tag off the front of b. It is the inner loop of Lookup: what nearly all entries are does not go
// through der, which knows the odd forms of tags and lengths that Parse lets pass.
func element(b []byte, want der.Tag) (contents, rest []byte, ok bool) {
	if len(b) >= 2 && b[0] == want.Class|byte(want.Number) && b[1] < 0x80 && len(b)-2 >= int(b[1]) {
		end := 2 + int(b[1])
		return b[2:end:end], b[end:], true
	}
	d := der.NewInnerDecoder(b)
	contents, err := d.Contents(want)
	return contents, b[d.Pos():], err == nil
}

// Lookup finds a certificate by the content octets of its serial number. An error says that the list is damaged before
// the serial was found. Of several entries of one serial the first counts.
func (l *List) Lookup(serial []byte) (Entry, bool, error) {
	for b := l.entries; len(b) > 0; {
		e, rest, ok := element(b, der.Sequence)
		if !ok {
			return Entry{}, false, errEntry
		}
		own, _, ok := element(e, der.Integer)
		if !ok {
			return Entry{}, false, errEntry
		}
		if string(own) == string(serial) {
			entry, err := parseEntry(e)
			return entry, true, err
		}
		b = rest
	}
	return Entry{}, false, nil
}

// Entries walks over all entries in order. It stops after the first that cannot be read, with an error.
func (l *List) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for b := l.entries; len(b) > 0; {
			contents, rest, ok := element(b, der.Sequence)
			if !ok {
				yield(Entry{}, errEntry)
				return
			}
			e, err := parseEntry(contents)
			if !yield(e, err) || err != nil {
				return
			}
			b = rest
		}
	}
}

// Len counts the entries.
func (l *List) Len() int {
	n := 0
	for b := l.entries; len(b) > 0; n++ {
		_, rest, ok := element(b, der.Sequence)
		if !ok {
			break
		}
		b = rest
	}
	return n
}

// parseEntry reads one entry; content is without the SEQUENCE's header. An empty one says nothing.
func parseEntry(content []byte) (Entry, error) {
	e := Entry{Reason: -1}
	d := der.NewDecoder(content)
	if len(content) == 0 {
		return e, nil
	}
	serial, err := d.Contents(der.Integer)
	if err != nil {
		return e, errEntry
	}
	e.Serial = serial
	if err := readTime(&d, &e.Revoked); err != nil {
		return e, errEntry
	}
	if d.End() == nil {
		return e, nil
	}
	end, err := d.Open(der.Sequence)
	if err != nil {
		return e, errEntry
	}
	for d.Pos() < end {
		x, err := d.Extension()
		if err != nil {
			return e, errEntry
		}
		if x.OID != nil {
			e.take(der.OIDText(x.OID), x.Critical, x.Value)
		}
	}
	return e, nil
}

// take keeps what one extension of the entry says. GnuTLS looks at none of them.
func (e *Entry) take(oid string, critical bool, value cryptobyte.String) {
	switch oid {
	case oidReason:
		_ = value.ReadASN1Enum(&e.Reason)
	case oidInvalidity:
	case oidCertificateIssuer:
		// One that cannot be read could be of any issuer, as all entries behind it.
		var names cryptobyte.String
		list, ok := []certs.AltName(nil), value.ReadASN1(&names, casn1.SEQUENCE)
		if ok {
			list, ok = readGeneralNames(names)
		}
		i := slices.IndexFunc(list, func(n certs.AltName) bool { return n.Kind == certs.DirectoryName })
		if ok && i >= 0 {
			e.Issuer = list[i].Value
		} else {
			e.UnknownCritical = e.UnknownCritical || critical || !ok
		}
	default:
		e.UnknownCritical = e.UnknownCritical || critical
	}
}

var reasons = map[int]string{0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged",
	4: "superseded", 5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn",
	10: "aACompromise"}

// ReasonText gives the name of the reason in RFC 5280, "" where there is none.
func (e Entry) ReasonText() string {
	if t, ok := reasons[e.Reason]; ok {
		return t
	}
	if e.Reason < 0 {
		return ""
	}
	return fmt.Sprintf("reason %d", e.Reason)
}

// CheckSignature verifies the list's signature with the key of a certificate. libvirt never does this.
func (l *List) CheckSignature(issuer *certs.Certificate) error {
	tbs, alg, sig, err := signature.Split(l.Raw)
	if err != nil {
		return err
	}
	return signature.Check(alg, issuer.RawPublicKeyInfo, tbs, sig)
}

// IssuedBy reports whether the certificate's subject is the list's issuer, octet by octet, as GnuTLS compares them.
func (l *List) IssuedBy(c *certs.Certificate) bool {
	return bytes.Equal(l.Issuer.DER(), c.Subject.DER())
}

// Effective gives the lists that GnuTLS would use, in their order: of several lists of one issuer only the one with
// the newest thisUpdate, on a tie the last (gnutls_x509_trust_list_add_crls with GNUTLS_TL_NO_DUPLICATES).
func Effective(lists []*List) []*List {
	var out []*List
	at := map[string]int{}
	for _, l := range lists {
		key := string(l.Issuer.DER())
		i, ok := at[key]
		switch {
		case !ok:
			at[key] = len(out)
			out = append(out, l)
		case !l.ThisUpdate.Before(out[i].ThisUpdate):
			out[i] = l
		}
	}
	return out
}

// PEM gives the list in PEM.
func (l *List) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw})
}

// String gives issuer and number, for messages.
func (l *List) String() string {
	name, err := l.Issuer.Text()
	if err != nil {
		name = fmt.Sprintf("an unprintable name (%v)", err)
	}
	var b strings.Builder
	b.WriteString("CRL of " + name)
	if l.Number != nil {
		fmt.Fprintf(&b, ", number %v", l.Number)
	}
	return b.String()
}
