package certs

import (
	"crypto/x509"
	"errors"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// The OIDs of the extensions that Import reads.
const (
	oidKeyUsage         = "2.5.29.15"
	oidSubjectAltName   = "2.5.29.17"
	oidIssuerAltName    = "2.5.29.18"
	oidBasicConstraints = "2.5.29.19"
	oidExtKeyUsage      = "2.5.29.37"
)

// readAltNames reads the two alternative names, of which GnuTLS's import reads both (cache_alt_names).
func (c *Certificate) readAltNames() (err error) {
	e, err := c.findExtension(oidSubjectAltName)
	if err != nil {
		return err
	}
	if e != nil {
		c.HasAltNames = true
		if c.AltNames, err = readGeneralNames(e.Value); err != nil {
			return err
		}
	}
	if e, err = c.findExtension(oidIssuerAltName); e != nil {
		_, err = readGeneralNames(e.Value)
	}
	return err
}

// findExtension looks for an extension as _gnutls_x509_crt_get_extension does: not behind an empty one, and not past one
// whose OID is too long for it.
func (c *Certificate) findExtension(oid string) (*Extension, error) {
	for i := range c.Extensions {
		switch e := &c.Extensions[i]; {
		case e.OID == oid:
			return e, nil
		case e.OID == "":
			return nil, nil
		case len(e.OID) > maxExtensionOID:
			return nil, &ImportError{textShortBuffer}
		}
	}
	return nil, nil
}

// maxExtensionOID is the longest text of an extension's OID that GnuTLS has room for.
const maxExtensionOID = 126

// readGeneralNames does what gnutls_x509_ext_import_subject_alt_names does.
func readGeneralNames(text []byte) ([]AltName, error) {
	if len(text) == 0 {
		return nil, der.ErrSyntax
	}
	d := der.NewDecoder(text)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return nil, err
	}
	var names []AltName
	for d.Pos() < end {
		n, err := readGeneralName(&d)
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	if err := d.Close(end); err != nil {
		return nil, err
	}
	if err := d.End(); err != nil {
		return nil, err
	}
	for i, n := range names {
		switch err := n.check(); {
		case errors.Is(err, dn.ErrEmpty):
			return names[:i], nil // GnuTLS takes this error for the end of the list
		case err != nil:
			return nil, err
		}
	}
	return names, nil
}

func readGeneralName(d *der.Decoder) (n AltName, err error) {
	tag, _, _ := d.Peek()
	n.Kind = AltNameKind(tag.Number)
	switch tag {
	case der.Context(0, true):
		end, err := d.Open(tag)
		if err != nil || d.Pos() == end {
			return n, err
		}
		oid, err := d.ObjectID()
		if err != nil {
			return n, err
		}
		n.OID = der.OIDText(oid)
		if err := d.Expect(der.Context(0, true)); err != nil {
			return n, err
		}
		if _, err := d.Length(); err != nil { // of the EXPLICIT wrapper; libtasn1 ignores it
			return n, der.ErrTag
		}
		if n.Value, err = d.Any(); err != nil {
			return n, err
		}
		return n, d.Close(end)
	case der.Context(4, true):
		if err := d.Expect(tag); err != nil {
			return n, err
		}
		if _, err := d.Length(); err != nil || !d.Next(der.Sequence) {
			return n, der.ErrSyntax
		}
		n.Value, err = d.RDNSequence()
		return n, err
	case der.Context(8, false):
		if n.Value, err = d.Contents(tag); err == nil {
			err = checkOID(n.Value)
		}
		return n, err
	case der.Context(3, false), der.Context(5, false):
		// x400Address and ediPartyName are an IMPLICIT ANY to GnuTLS: libtasn1 takes the tag off and reads the ANY from
		// the length octet on.
		if err := d.Expect(tag); err != nil {
			return n, err
		}
		if n.Value, err = d.Any(); err != nil {
			return n, der.ErrSyntax
		}
		return n, nil
	case der.Context(1, false), der.Context(2, false), der.Context(6, false), der.Context(7, false):
		n.Value, err = d.Contents(tag)
		return n, err
	}
	return n, der.ErrSyntax
}

// checkOID checks content octets of an OBJECT IDENTIFIER.
func checkOID(contents []byte) error {
	d := der.NewDecoder(der.Append(nil, 6, contents))
	_, err := d.ObjectID()
	return err
}

// check refuses what GnuTLS refuses of a name that could be decoded.
func (n AltName) check() error {
	switch n.Kind {
	case OtherName:
		if n.OID == "" {
			return der.ErrNotFound
		}
	case DirectoryName:
		name, err := dn.FromDER(n.Value)
		if err != nil { // its last length breaks off at the end of the extension and counts as 0
			return dn.ErrEmpty
		}
		if _, err = name.Text(); errors.Is(err, dn.ErrAborts) { // unlike for the subject, GnuTLS gets an empty text here
			return &ImportError{textUnknownSAN}
		}
		return err
	case RegisteredID:
	default:
		if len(n.Value) == 0 || n.Kind == 3 || n.Kind == 5 {
			return &ImportError{textUnknownSAN}
		}
	}
	return nil
}

// readKnownExtensions decodes the extensions that have a field; GnuTLS decodes them only when it is asked for them, so
// broken ones are no reason to refuse the certificate.
func (c *Certificate) readKnownExtensions() {
	if e := c.Extension(oidBasicConstraints); e != nil {
		c.BasicConstraints = &BasicConstraints{Critical: e.Critical, PathLen: -1}
		if err := c.BasicConstraints.read(e.Value); err != nil {
			*c.BasicConstraints = BasicConstraints{Critical: e.Critical, PathLen: -1, Undecodable: true, Trouble: err.Error()}
		}
	}
	if e := c.Extension(oidKeyUsage); e != nil {
		c.KeyUsage = &KeyUsage{Critical: e.Critical}
		bits, err := readKeyUsage(e.Value)
		if c.KeyUsage.Bits = bits; err != nil {
			c.KeyUsage.Undecodable, c.KeyUsage.Trouble = true, err.Error()
		}
	}
	if e := c.Extension(oidExtKeyUsage); e != nil {
		c.ExtKeyUsage = &ExtKeyUsage{Critical: e.Critical}
		purposes, err := readPurposes(e.Value)
		if c.ExtKeyUsage.Purposes = purposes; err != nil {
			c.ExtKeyUsage.Undecodable, c.ExtKeyUsage.Trouble = true, err.Error()
		}
	}
}

func (b *BasicConstraints) read(text []byte) error {
	d := der.NewDecoder(text)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return err
	}
	if d.Pos() < end && d.Next(der.Boolean) {
		if b.CA, err = d.Bool(); err != nil {
			return err
		}
	}
	if d.Pos() < end && d.Next(der.Integer) {
		v, err := d.Contents(der.Integer)
		if err != nil {
			return err
		}
		if len(v) == 0 || len(v) > 4 { // GnuTLS reads a negative one as if it had no sign
			return der.ErrSyntax
		}
		b.PathLen = 0
		for _, c := range v {
			b.PathLen = b.PathLen<<8 | int(c)
		}
	}
	if err := d.Close(end); err != nil {
		return err
	}
	return d.End()
}

func readKeyUsage(text []byte) (bits x509.KeyUsage, err error) {
	d := der.NewDecoder(text)
	b, err := d.Contents(der.BitString)
	if err != nil {
		return 0, err
	}
	if err := d.End(); err != nil {
		return 0, err
	}
	if len(b) > 3 {
		return 0, &ImportError{textShortBuffer} // GnuTLS has room for two octets
	}
	if len(b) == 0 || int(b[0]) > 8*(len(b)-1) {
		return 0, der.ErrSyntax
	}
	for i := range 8*(len(b)-1) - int(b[0]) {
		if b[1+i/8]&(0x80>>(i%8)) != 0 {
			bits |= 1 << i
		}
	}
	return bits, nil
}

func readPurposes(text []byte) (purposes []string, err error) {
	d := der.NewDecoder(text)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return nil, err
	}
	for d.Pos() < end {
		oid, err := d.ObjectID()
		if err != nil {
			return nil, err
		}
		purposes = append(purposes, der.OIDText(oid))
	}
	if err := d.Close(end); err != nil {
		return nil, err
	}
	return purposes, d.End()
}
