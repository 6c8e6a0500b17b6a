package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
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

// rawFields is what check needs of the certificate besides the exported fields.
type rawFields struct {
	version           []byte // content octets
	hasVersion        bool
	inner, outer      der.AlgorithmID
	issuerID          []byte // content octets of the BIT STRING, nil where absent
	subjectID         []byte
	validity          [2]der.Time
	extensionsPresent bool // not the same as there are some
	missing           bool // a mandatory element is missing because its SEQUENCE is empty
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
	if c.raw.outer, err = d.Algorithm(); err != nil {
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
	if c.raw.inner, err = d.Algorithm(); err != nil {
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

func readValidity(d *der.Decoder) (v [2]der.Time, err error) {
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return v, err
	}
	for i := range v {
		if v[i], err = d.Time(); err != nil {
			return v, err
		}
	}
	return v, d.Close(end)
}

func readPublicKeyInfo(d *der.Decoder) ([]byte, error) {
	start := d.Pos()
	end, err := d.Open(der.Sequence)
	if err != nil || d.Pos() == end {
		return d.Since(start), err
	}
	if _, err := d.Algorithm(); err != nil {
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

// readExtensions reads the extensions if there are any.
func (c *Certificate) readExtensions(d *der.Decoder) (err error) {
	c.raw.extensionsPresent, err = d.Extensions(3, func(e der.Extension) {
		oid := ""
		if e.OID != nil {
			oid = der.OIDText(e.OID)
		}
		c.Extensions = append(c.Extensions, Extension{OID: oid, Critical: e.Critical, Value: e.Value})
	})
	return err
}

// check does what gnutls_x509_crt_import does behind the decoding, in its order.
func (c *Certificate) check() error {
	r := &c.raw
	if r.missing || r.outer.OID == nil || r.inner.OID == nil {
		return der.ErrNotFound
	}
	c.SignatureAlgorithm = der.OIDText(r.outer.OID)
	if der.OIDText(r.inner.OID) != c.SignatureAlgorithm || !bytes.Equal(signatureParameters(r.inner), signatureParameters(r.outer)) {
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

// signatureParameters gives an algorithm's parameters, NULL being the same as none.
func signatureParameters(a der.AlgorithmID) []byte {
	if string(a.Parameters) == "\x05\x00" {
		return nil
	}
	return a.Parameters
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
		seconds, ok := c.raw.validity[i].Unix()
		if !ok {
			return &ImportError{textTime}
		}
		*at = time.Unix(seconds, 0).UTC()
	}
	return nil
}
