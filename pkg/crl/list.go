package crl

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
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
	errTag    = "ASN1 parser: Error in TAG."
)

func malformed(what string) error {
	return &ParseError{Text: "not a revocation list: " + what + " cannot be read", GnuTLS: errDER}
}

var (
	oidNumber = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReason = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDelta  = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidAKI    = asn1.ObjectIdentifier{2, 5, 29, 35}

	oidInvalidity        = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
)

// Parse reads one list in DER. It does not look into the entries.
func Parse(der []byte) (*List, error) {
	l := &List{}
	s := cryptobyte.String(der)
	var raw, outer, tbs, alg, sig cryptobyte.String
	if len(der) == 0 || der[0] != 0x30 {
		return nil, &ParseError{Text: "not a revocation list: it does not begin with a SEQUENCE", GnuTLS: errTag}
	}
	if !s.ReadASN1Element(&raw, casn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("the outer SEQUENCE")
	}
	l.Raw = raw
	if !raw.ReadASN1(&outer, casn1.SEQUENCE) || !outer.ReadASN1Element(&tbs, casn1.SEQUENCE) ||
		!outer.ReadASN1(&alg, casn1.SEQUENCE) || !outer.ReadASN1(&sig, casn1.BIT_STRING) || !outer.Empty() {
		return nil, malformed("the signed structure")
	}
	l.RawTBS = tbs
	var in, name cryptobyte.String
	if !tbs.ReadASN1(&in, casn1.SEQUENCE) || !in.SkipOptionalASN1(casn1.INTEGER) || !in.ReadASN1(&alg, casn1.SEQUENCE) {
		return nil, malformed("the head")
	}
	if !in.ReadASN1Element(&name, casn1.SEQUENCE) {
		return nil, malformed("the issuer")
	}
	var err error
	if l.Issuer, err = dn.FromDER(name); err != nil {
		return nil, malformed("the issuer")
	}
	if !readTime(&in, &l.ThisUpdate) {
		return nil, malformed("thisUpdate")
	}
	if in.PeekASN1Tag(casn1.UTCTime) || in.PeekASN1Tag(casn1.GeneralizedTime) {
		if !readTime(&in, &l.NextUpdate) {
			return nil, malformed("nextUpdate")
		}
	}
	if in.PeekASN1Tag(casn1.SEQUENCE) {
		var entries cryptobyte.String
		if !in.ReadASN1(&entries, casn1.SEQUENCE) {
			return nil, malformed("the list of entries")
		}
		l.entries = entries
	}
	var exts cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&exts, &present, casn1.Tag(0).ContextSpecific().Constructed()) || !in.Empty() {
		return nil, malformed("the extensions")
	}
	if present && !l.readExtensions(exts) {
		return nil, malformed("the extensions")
	}
	return l, nil
}

// readExtensions takes from the extensions what the List shows.
func (l *List) readExtensions(s cryptobyte.String) bool {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) {
		return false
	}
	for !seq.Empty() {
		oid, critical, value, ok := readExtension(&seq)
		if !ok {
			return false
		}
		switch {
		case oid.Equal(oidNumber):
			n := new(big.Int)
			if value.ReadASN1Integer(n) {
				l.Number = n
			}
		case oid.Equal(oidDelta):
			l.Delta = true
			n := new(big.Int)
			if value.ReadASN1Integer(n) {
				l.Base = n
			}
		case oid.Equal(oidScope):
			if l.Scope = readScope(value, l.Issuer); l.Scope == nil {
				l.UnknownCritical = append(l.UnknownCritical, oid.String())
			}
		case oid.Equal(oidAKI):
			var aki, id cryptobyte.String
			var present bool
			if value.ReadASN1(&aki, casn1.SEQUENCE) && aki.ReadOptionalASN1(&id, &present, casn1.Tag(0).ContextSpecific()) && present {
				l.AuthorityKeyID = id
			}
		case critical:
			l.UnknownCritical = append(l.UnknownCritical, oid.String())
		}
	}
	return true
}

func readExtension(seq *cryptobyte.String) (oid asn1.ObjectIdentifier, critical bool, value cryptobyte.String, ok bool) {
	var ext cryptobyte.String
	if !seq.ReadASN1(&ext, casn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) {
		return nil, false, nil, false
	}
	if ext.PeekASN1Tag(casn1.BOOLEAN) {
		var b cryptobyte.String
		if !ext.ReadASN1(&b, casn1.BOOLEAN) || len(b) != 1 {
			return nil, false, nil, false
		}
		critical = b[0] != 0
	}
	ok = ext.ReadASN1(&value, casn1.OCTET_STRING)
	return oid, critical, value, ok
}

// readTime reads a UTCTime or GeneralizedTime, with or without seconds.
func readTime(s *cryptobyte.String, t *time.Time) bool {
	var v cryptobyte.String
	var tag casn1.Tag
	if !s.ReadAnyASN1(&v, &tag) {
		return false
	}
	layouts := []string{"060102150405Z0700", "0601021504Z0700"}
	switch tag {
	case casn1.UTCTime:
	case casn1.GeneralizedTime:
		layouts = []string{"20060102150405Z0700", "200601021504Z0700", "20060102150405.999Z0700"}
	default:
		return false
	}
	for _, layout := range layouts {
		if got, err := time.Parse(layout, string(v)); err == nil {
			if tag == casn1.UTCTime && got.Year() >= 2050 {
				got = got.AddDate(-100, 0, 0)
			}
			*t = got.UTC()
			return true
		}
	}
	return false
}

// ParsePEM reads the lists of a file as gnutls_certificate_set_x509_crl_file does: every "X509 CRL" block, other text
// skipped. A file without any is a *ParseError whose GnuTLS text is "Base64 decoding error.".
func ParsePEM(text []byte) ([]*List, error) {
	const begin = "-----BEGIN X509 CRL"
	var lists []*List
	for rest := text; ; {
		i := bytes.Index(rest, []byte(begin))
		if i < 0 {
			break
		}
		rest = rest[i:]
		block, ok := certs.DecodePEM(rest, "X509 CRL")
		if !ok {
			return nil, &ParseError{Text: fmt.Sprintf("X509 CRL block %d is not valid PEM", len(lists)+1), GnuTLS: errBase64}
		}
		l, err := Parse(block)
		if err != nil {
			return nil, fmt.Errorf("X509 CRL block %d: %w", len(lists)+1, err)
		}
		lists = append(lists, l)
		rest = rest[1:] // GnuTLS looks for the next header from here on
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

// header reads tag and length of the value at the start of b: the sizes of header and content. It is the inner loop of
// Lookup and therefore does not go through cryptobyte.
func header(b []byte) (tag byte, head, size int, ok bool) {
	if len(b) < 2 {
		return 0, 0, 0, false
	}
	tag, head, size = b[0], 2, int(b[1])
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 4 || len(b) < 2+n {
			return 0, 0, 0, false
		}
		size = 0
		for _, c := range b[2 : 2+n] {
			size = size<<8 | int(c)
		}
		head += n
	}
	if size < 0 || len(b)-head < size {
		return 0, 0, 0, false
	}
	return tag, head, size, true
}

// Lookup finds a certificate by the content octets of its serial number. An error says that the list is damaged before
// the serial was found. Of several entries of one serial the first counts.
func (l *List) Lookup(serial []byte) (Entry, bool, error) {
	for b := l.entries; len(b) > 0; {
		tag, head, size, ok := header(b)
		if !ok || tag != 0x30 {
			return Entry{}, false, errEntry
		}
		e := b[head : head+size]
		tag, h, n, ok := header(e)
		if !ok || tag != 0x02 {
			return Entry{}, false, errEntry
		}
		if n == len(serial) && string(e[h:h+n]) == string(serial) {
			entry, err := parseEntry(e)
			return entry, true, err
		}
		b = b[head+size:]
	}
	return Entry{}, false, nil
}

// Entries walks over all entries in order. It stops after the first that cannot be read, with an error.
func (l *List) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for b := l.entries; len(b) > 0; {
			tag, head, size, ok := header(b)
			if !ok || tag != 0x30 {
				yield(Entry{}, errEntry)
				return
			}
			e, err := parseEntry(b[head : head+size])
			if !yield(e, err) || err != nil {
				return
			}
			b = b[head+size:]
		}
	}
}

// Len counts the entries.
func (l *List) Len() int {
	n := 0
	for b := l.entries; len(b) > 0; n++ {
		_, head, size, ok := header(b)
		if !ok {
			break
		}
		b = b[head+size:]
	}
	return n
}

// parseEntry reads one entry; content is without the SEQUENCE's header.
func parseEntry(content []byte) (Entry, error) {
	s := cryptobyte.String(content)
	e := Entry{Reason: -1}
	var serial, exts cryptobyte.String
	if !s.ReadASN1(&serial, casn1.INTEGER) || !readTime(&s, &e.Revoked) {
		return e, errEntry
	}
	e.Serial = serial
	if s.Empty() {
		return e, nil
	}
	if !s.ReadASN1(&exts, casn1.SEQUENCE) {
		return e, errEntry
	}
	for !exts.Empty() {
		oid, critical, value, ok := readExtension(&exts)
		if !ok {
			return e, errEntry
		}
		switch {
		case oid.Equal(oidReason):
			_ = value.ReadASN1Enum(&e.Reason)
		case oid.Equal(oidInvalidity):
		case oid.Equal(oidCertificateIssuer):
			var names cryptobyte.String
			if !value.ReadASN1(&names, casn1.SEQUENCE) {
				return e, errEntry
			}
			list, ok := readGeneralNames(names)
			if !ok {
				return e, errEntry
			}
			for _, n := range list {
				if n.Kind == certs.DirectoryName {
					e.Issuer = n.Value
					break
				}
			}
			e.UnknownCritical = e.UnknownCritical || critical && e.Issuer == nil
		case critical:
			e.UnknownCritical = true
		}
	}
	return e, nil
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
