package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// The refusals of gnutls_x509_crt_import that do not come from libtasn1.
const (
	textCertificate = "Error in the certificate."
	textDuplicate   = "Duplicate extension in X.509 certificate."
	textTime        = "Error in the time fields of certificate."
	textUnknownSAN  = "Unknown Subject Alternative name in X.509 certificate."
	textNoPEM       = "Base64 unexpected header error."
	textDecoding    = "Base64 decoding error."
	textNoneFound   = "No certificate was found."
	textShortBuffer = "The given memory buffer is too short to hold parameters."
)

// An ImportError is the refusal of gnutls_x509_crt_import, with GnuTLS's own text.
type ImportError struct {
	Text string // for example "ASN1 parser: Error in DER parsing."
}

// Error gives GnuTLS's text.
func (e *ImportError) Error() string { return e.Text }

// Hints says what to do where the text alone misleads.
func (e *ImportError) Hints() []string {
	switch e.Text {
	case textNoPEM, textNoneFound:
		return []string{"there is no PEM block CERTIFICATE that can be read; if the file is DER, convert it: " +
			"openssl x509 -inform DER -in FILE -out FILE.pem"}
	case textDecoding:
		return []string{"a PEM block is broken or cut off; fetch the certificate anew"}
	case textCertificate:
		return []string{"the certificate contradicts itself: extensions without version 3, or two different signature algorithms; " +
			"issue it anew"}
	}
	return nil
}

// Import reads a DER certificate, accepting and refusing exactly what GnuTLS does (an *ImportError). It keeps a copy
// of the octets.
func Import(text []byte) (*Certificate, error) {
	c, err := importDER(slices.Clone(text))
	if err != nil {
		return nil, err
	}
	// A key that crypto/x509 does not know is no reason to refuse: GnuTLS imports it too.
	c.PublicKey, _ = x509.ParsePKIXPublicKey(c.RawPublicKeyInfo)
	return c, nil
}

// importDER is Import without the public key; the certificate keeps slices of text.
func importDER(text []byte) (*Certificate, error) {
	c, err := readCertificate(text)
	if err == nil {
		err = c.check()
	}
	if err == nil {
		return c, nil
	}
	var refused *ImportError
	if errors.As(err, &refused) {
		return nil, err
	}
	return nil, &ImportError{err.Error()}
}

// algorithmID is an AlgorithmIdentifier.
type algorithmID struct {
	oid        []byte // content octets; nil: the SEQUENCE is empty
	parameters []byte // TLV; nil: none
}

// rawFields is what check needs of the certificate besides the exported fields.
type rawFields struct {
	version           []byte // content octets
	hasVersion        bool
	inner, outer      algorithmID
	issuerID          []byte // content octets of the BIT STRING, nil where absent
	subjectID         []byte
	validity          [2]encodedTime
	extensionsPresent bool // not the same as there are some
	missing           bool // a mandatory element is missing because its SEQUENCE is empty
}

// encodedTime is a Time as encoded.
type encodedTime struct {
	text    string
	general bool
}

// readCertificate does what asn1_der_decoding2 does with GnuTLS's definition of Certificate.
func readCertificate(text []byte) (*Certificate, error) {
	c := &Certificate{Raw: text, view: new(view)}
	d := der.NewDecoder(text)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return nil, err
	}
	if d.Pos() == end {
		c.raw.missing = true
		return c, d.End()
	}
	if err := c.readTBS(&d); err != nil {
		return nil, err
	}
	if c.raw.outer, err = readAlgorithm(&d); err != nil {
		return nil, err
	}
	if c.signature, err = d.Contents(der.BitString); err != nil {
		return nil, err
	}
	if err := d.Close(end); err != nil {
		return nil, err
	}
	return c, d.End()
}

func (c *Certificate) readTBS(d *der.Decoder) (err error) {
	start := d.Pos()
	end, err := d.Open(der.Sequence)
	if err != nil {
		return err
	}
	if d.Pos() == end {
		c.raw.missing = true
		return nil
	}
	// version [0] EXPLICIT INTEGER DEFAULT v1. libtasn1 looks through the wrapper and ignores its length.
	if ahead := *d; ahead.Expect(der.Context(0, true)) == nil {
		if _, err := ahead.Length(); err == nil && ahead.Next(der.Integer) {
			if c.raw.version, err = ahead.Contents(der.Integer); err != nil {
				return err
			}
			c.raw.hasVersion = true
			*d = ahead
		}
	}
	if c.Serial, err = d.Contents(der.Integer); err != nil {
		return err
	}
	if c.raw.inner, err = readAlgorithm(d); err != nil {
		return err
	}
	issuer, err := d.Name()
	if err != nil {
		return err
	}
	if c.raw.validity, err = readValidity(d); err != nil {
		return err
	}
	subject, err := d.Name()
	if err != nil {
		return err
	}
	if c.RawPublicKeyInfo, err = readPublicKeyInfo(d); err != nil {
		return err
	}
	for i, id := range []*[]byte{&c.raw.issuerID, &c.raw.subjectID} {
		if tag := der.Context(uint32(i+1), false); d.Pos() < end && d.Next(tag) {
			if *id, err = d.Contents(tag); err != nil {
				return err
			}
		}
	}
	if d.Pos() < end {
		if err := c.readExtensions(d); err != nil {
			return err
		}
	}
	if err := d.Close(end); err != nil {
		return err
	}
	c.RawTBS = d.Since(start)
	if c.Issuer, err = dn.FromDER(issuer); err != nil {
		return err
	}
	c.Subject, err = dn.FromDER(subject)
	return err
}

func readAlgorithm(d *der.Decoder) (a algorithmID, err error) {
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return a, err
	}
	if a.oid, err = d.ObjectID(); err != nil {
		return a, err
	}
	if d.Pos() < end {
		if a.parameters, err = d.Any(); err != nil {
			return a, der.ErrSyntax
		}
	}
	return a, d.Close(end)
}

func readValidity(d *der.Decoder) (v [2]encodedTime, err error) {
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return v, err
	}
	for i := range v {
		if v[i], err = readTime(d); err != nil {
			return v, err
		}
	}
	return v, d.Close(end)
}

func readTime(d *der.Decoder) (encodedTime, error) {
	tag, _, _ := d.Peek()
	if tag != der.UTCTime && tag != der.GeneralizedTime {
		return encodedTime{}, der.ErrSyntax // no alternative of the CHOICE
	}
	b, err := d.Contents(tag)
	if err != nil {
		return encodedTime{}, err
	}
	t := encodedTime{string(b), tag == der.GeneralizedTime}
	return t, t.checkEncoding()
}

func readPublicKeyInfo(d *der.Decoder) ([]byte, error) {
	start := d.Pos()
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return d.Since(start), err
	}
	if _, err := readAlgorithm(d); err != nil {
		return nil, err
	}
	if _, err := d.Contents(der.BitString); err != nil {
		return nil, err
	}
	if err := d.Close(end); err != nil {
		return nil, err
	}
	return d.Since(start), nil
}

// readExtensions reads [3] EXPLICIT SEQUENCE OF Extension if it comes next.
func (c *Certificate) readExtensions(d *der.Decoder) error {
	ahead := *d
	if ahead.Expect(der.Context(3, true)) != nil {
		return nil
	}
	if _, err := ahead.Length(); err != nil || !ahead.Next(der.Sequence) {
		return nil
	}
	*d = ahead
	c.raw.extensionsPresent = true
	end, err := d.Open(der.Sequence)
	if err != nil {
		return err
	}
	for d.Pos() < end {
		e, err := readExtension(d)
		if err != nil {
			return err
		}
		c.Extensions = append(c.Extensions, e)
	}
	return d.Close(end)
}

func readExtension(d *der.Decoder) (e Extension, err error) {
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return e, err
	}
	oid, err := d.ObjectID()
	if err != nil {
		return e, err
	}
	e.OID = der.OIDText(oid)
	if d.Pos() < end && d.Next(der.Boolean) {
		if e.Critical, err = d.Bool(); err != nil {
			return e, err
		}
	}
	if e.Value, err = d.Contents(der.OctetString); err != nil {
		return e, err
	}
	return e, d.Close(end)
}

// check does what gnutls_x509_crt_import does behind the decoding, in its order.
func (c *Certificate) check() error {
	r := &c.raw
	if r.missing || r.outer.oid == nil || r.inner.oid == nil {
		return der.ErrNotFound
	}
	c.SignatureAlgorithm = der.OIDText(r.outer.oid)
	if der.OIDText(r.inner.oid) != c.SignatureAlgorithm || !bytes.Equal(r.inner.comparable(), r.outer.comparable()) {
		return &ImportError{textCertificate}
	}
	if err := c.readAltNames(); err != nil {
		return err
	}
	var err error
	if c.Version, err = versionNumber(r.version, r.hasVersion); err != nil {
		return err
	}
	if err := c.checkSanity(); err != nil {
		return err
	}
	c.readKnownExtensions()
	return nil
}

// comparable gives the parameters, NULL being the same as none.
func (a algorithmID) comparable() []byte {
	if string(a.parameters) == "\x05\x00" {
		return nil
	}
	return a.parameters
}

// versionNumber gives the number as gnutls_x509_crt_get_version does: of one octet, plus one.
func versionNumber(version []byte, present bool) (int, error) {
	switch {
	case !present:
		return 1, nil
	case len(version) > 8:
		return 0, &ImportError{textShortBuffer}
	case len(version) != 1 || version[0] >= 0x80:
		return 0, der.ErrSyntax
	}
	return int(version[0]) + 1, nil
}

// checkSanity is _gnutls_check_cert_sanity.
func (c *Certificate) checkSanity() error {
	if c.Version < 3 {
		if c.raw.extensionsPresent {
			return &ImportError{textCertificate}
		}
	} else {
		seen := map[string]bool{}
		for _, e := range c.Extensions {
			if e.OID == "" {
				break
			}
			if seen[e.OID] {
				return &ImportError{textDuplicate}
			}
			seen[e.OID] = true
		}
	}
	if c.Version < 2 && (len(c.raw.issuerID) > 1 || len(c.raw.subjectID) > 1) {
		return &ImportError{textCertificate}
	}
	for i, at := range []*time.Time{&c.NotBefore, &c.NotAfter} {
		seconds, ok := c.raw.validity[i].unix()
		if !ok {
			return &ImportError{textTime}
		}
		*at = time.Unix(seconds, 0).UTC()
	}
	return nil
}

// checkEncoding is libtasn1's check of a time: digits, in a GeneralizedTime with a dot somewhere, and a Z.
func (t encodedTime) checkEncoding() error {
	n := len(t.text)
	if n == 0 {
		return der.ErrSyntax
	}
	if n < 8 || t.text[n-1] != 'Z' {
		return der.ErrTime
	}
	dots := 0
	for i := range n - 1 {
		if t.general && t.text[i] == '.' {
			dots++
		} else if t.text[i] < '0' || t.text[i] > '9' {
			return der.ErrTime
		}
	}
	if dots > 1 {
		return der.ErrTime
	}
	return nil
}

// unix gives the time as GnuTLS does: fractions are refused, seconds may be missing, a day beyond the month's end is
// one of the next month.
func (t encodedTime) unix() (seconds int64, ok bool) {
	s := t.text
	number := func(n int) int {
		v := 0
		for _, c := range []byte(s[:n]) {
			if c < '0' || c > '9' { // the Z
				break
			}
			v = 10*v + int(c-'0')
		}
		s = s[n:]
		return v
	}
	year := 0
	if t.general {
		if len(s) < 12 || strings.Contains(s, ".") {
			return 0, false
		}
		year = number(4)
	} else {
		if len(s) < 10 {
			return 0, false
		}
		if year = number(2); year > 49 {
			year += 1900
		} else {
			year += 2000
		}
	}
	if len(s) < 8 {
		return 0, false
	}
	if year < 1970 {
		return 0, true // whatever the rest is
	}
	month, day, hour, minute, second := number(2), number(2), number(2), number(2), 0
	if len(s) >= 2 {
		second = number(2)
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	seconds = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix()
	return seconds, true
}
