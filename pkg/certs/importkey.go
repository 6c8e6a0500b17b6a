package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// GnuTLS's refusals of a key file beside those of libtasn1 and of the certificate's reader.
const (
	textNotAvailable = "The requested data were not available."
	textDecryption   = "Decryption has failed."
	textInvalid      = "The request is invalid."
)

// ImportKey reads the private key of a PEM text the way gnutls_certificate_set_x509_key_file does without a password
// (gnutls_x509_privkey_import2): which of several blocks counts, and what is refused with which text (*ImportError; that
// of an encrypted key has the method Encrypted). A key that GnuTLS reads and Go cannot is a *KeyError of ErrKeyUnsupported.
// It follows GnuTLS 3.7.9. ParseKey is for keys that virt-pki itself shall use.
func ImportKey(text []byte) (crypto.Signer, error) {
	key, first := importPlainKey(text)
	if first == nil || errors.Is(first, ErrKeyUnsupported) {
		return key, first
	}
	// What that step cannot read is tried as PKCS#8, of which any block in the text is taken, and as OpenSSL's old form.
	key, err := importPKCS8(text, false)
	if err == nil || errors.Is(err, ErrKeyUnsupported) || err.Error() == textDecryption {
		return key, err
	}
	if text := importLegacy(text); text != "" {
		return nil, &ImportError{text}
	}
	return nil, first
}

// Encrypted reports whether the refusal is that of a key which is protected by a passphrase.
func (e *ImportError) Encrypted() bool { return e.Text == textDecryption }

const (
	keyEnd = "PRIVATE KEY-----"
	// keyHeaderSize is how far before the words PRIVATE KEY the header is looked for.
	keyHeaderSize = 25
)

// importPlainKey is gnutls_x509_privkey_import: it looks at the block around the first PRIVATE KEY, or the next one if none
// begins there. Of several of PKCS#8 it is the first in the text that counts all the same.
func importPlainKey(whole []byte) (crypto.Signer, error) {
	text := whole
	i := bytes.Index(text, []byte(keyEnd))
	if i < 0 {
		return nil, &ImportError{textNotAvailable}
	}
	text = text[max(i-keyHeaderSize, 0):]
	if i = bytes.Index(text, []byte("-----BEGIN ")); i < 0 {
		return nil, &ImportError{textNotAvailable}
	}
	text = text[i:]
	for _, label := range []string{labelPKCS1, labelSEC1, "DSA PRIVATE KEY", labelPKCS8} {
		header := "-----BEGIN " + label
		if !bytes.HasPrefix(text, []byte(header)) {
			continue
		}
		b, ok := pemBlock(text, header)
		if !ok {
			return nil, &ImportError{textDecoding}
		}
		switch label {
		case labelPKCS8:
			return importPKCS8(whole, true)
		case labelPKCS1:
			return importPKCS1(b)
		case labelSEC1:
			return importSEC1(b)
		}
		return importDSA(b)
	}
	return nil, &ImportError{textNotAvailable}
}

// importPKCS8 is gnutls_x509_privkey_import_pkcs8 without a password; plain is its flag GNUTLS_PKCS_PLAIN.
func importPKCS8(text []byte, plain bool) (crypto.Signer, error) {
	if b, ok := pemBlock(text, "-----BEGIN "+labelPKCS8); ok {
		return importPrivateKeyInfo(b)
	}
	const header = "-----BEGIN " + labelEncrypted
	b, ok := pemBlock(text, header)
	switch {
	case ok && plain:
		return importPrivateKeyInfo(b)
	case !ok && bytes.Contains(text, []byte(header)):
		return nil, &ImportError{textDecoding}
	case !ok:
		return nil, &ImportError{textNoPEM}
	}
	if err := readEncrypted(b); err != nil {
		return nil, err
	}
	return nil, &ImportError{textDecryption}
}

// legacyCiphers are those of OpenSSL's old form that GnuTLS knows, with the size of their initial vectors.
var legacyCiphers = map[string]int{"DES-CBC": 8, "DES-EDE3-CBC": 8, "AES-128-CBC": 16, "AES-192-CBC": 16, "AES-256-CBC": 16,
	"CAMELLIA-128-CBC": 16, "CAMELLIA-192-CBC": 16, "CAMELLIA-256-CBC": 16}

// importLegacy gives the text with which gnutls_x509_privkey_import_openssl refuses without a password; empty: the key is
// not of that form.
func importLegacy(text []byte) string {
	_, text, ok := bytes.Cut(text, []byte("PRIVATE KEY---"))
	if !ok {
		return ""
	}
	if _, text, ok = bytes.Cut(text, []byte("DEK-Info: ")); !ok {
		return ""
	}
	name, rest, _ := bytes.Cut(text, []byte(","))
	size, ok := legacyCiphers[string(name)]
	if !ok || len(rest) < 2*size+1 {
		return textInvalid
	}
	for _, c := range rest[:2*size] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return textInvalid
		}
	}
	if rest = rest[2*size:]; rest[0] != '\r' && rest[0] != '\n' {
		return textInvalid
	}
	b, ok := decodeBase64(bytes.TrimLeft(rest, "\r\n"))
	switch {
	case !ok:
		return textDecoding
	case len(b) < 16:
		return ""
	case len(b)%size != 0:
		return textInvalid
	}
	return textDecryption
}

// readEncrypted reads an EncryptedPrivateKeyInfo.
func readEncrypted(b []byte) error {
	d := der.NewDecoder(b)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return err
	}
	if _, err := d.Algorithm(); err != nil {
		return err
	}
	if _, err := d.Contents(der.OctetString); err != nil {
		return err
	}
	if err := d.Close(end); err != nil {
		return err
	}
	return d.End()
}

// importPrivateKeyInfo reads an unencrypted PKCS#8.
func importPrivateKeyInfo(b []byte) (crypto.Signer, error) {
	a, inner, err := readPrivateKeyInfo(b)
	if err != nil {
		if readEncrypted(b) == nil {
			return nil, &ImportError{textDecryption} // under the wrong label
		}
		return nil, &ImportError{err.Error()}
	}
	if len(b) <= maxKeyOctets {
		if key, err := parsePKCS8(b); err == nil {
			return key, nil
		}
	}
	unsupported := func(what string) (crypto.Signer, error) {
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: what}
	}
	oid := der.OIDText(a.OID)
	if len(b) > maxKeyOctets && !strings.HasPrefix(oid, oidPKCS1) {
		return unsupported(textTooLarge)
	}
	switch oid {
	case oidPKCS1 + "1", oidPKCS1 + "10":
		if key, err := importPKCS1(inner); err != nil || oid == oidPKCS1+"1" {
			return key, err
		}
		return unsupported("it is restricted to RSA-PSS")
	case "1.2.840.10040.4.1":
		return unsupported("it is a DSA key")
	case "1.3.101.113":
		return unsupported("it is an Ed448 key")
	case "1.2.840.10045.2.1":
		if curve, known := curveOf(a.Parameters); !known {
			return nil, &ImportError{string(der.ErrNotFound)}
		} else if curve == oidP192 {
			return unsupported("its elliptic curve is P-192")
		}
		return nil, &ImportError{string(der.ErrSyntax)}
	case "1.3.101.112":
		return nil, &ImportError{string(der.ErrSyntax)}
	default:
		return unsupported("algorithm " + oid)
	}
}

func readPrivateKeyInfo(b []byte) (a der.AlgorithmID, key []byte, err error) {
	d := der.NewDecoder(b)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return a, nil, err
	}
	if _, err := d.Contents(der.Integer); err != nil {
		return a, nil, err
	}
	if a, err = d.Algorithm(); err != nil {
		return a, nil, err
	}
	if key, err = d.Contents(der.OctetString); err != nil {
		return a, nil, err
	}
	if d.Pos() < end {
		if _, err := d.Any(); err != nil { // attributes
			return a, nil, err
		}
	}
	if d.Pos() < end {
		if _, err := d.Any(); err != nil { // the public key of RFC 5958
			return a, nil, err
		}
	}
	if err := d.Close(end); err != nil {
		return a, nil, err
	}
	return a, key, d.End()
}

// maxKeyOctets bounds the keys that are calculated with: what Go does to check the numbers of an RSA key grows with the square of
// their size, and takes seconds for some 100 KiB. A key of 16,384 bits has 9 KiB.
const (
	maxKeyOctets = 32 << 10
	textTooLarge = "it is larger than 32 KiB"
)

// oidPKCS1 begins the OIDs of RSA (RFC 8017, appendix C).
const oidPKCS1 = "1.2.840.113549.1.1."

// importPKCS1 reads an RSA key. GnuTLS does not look whether its numbers fit together.
func importPKCS1(b []byte) (crypto.Signer, error) {
	if len(b) <= maxKeyOctets {
		if key, err := x509.ParsePKCS1PrivateKey(b); err == nil {
			return key, nil
		}
	}
	switch {
	case !integers(b, 9):
		return nil, &ImportError{string(der.ErrSyntax)}
	case len(b) > maxKeyOctets:
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: textTooLarge}
	}
	return nil, &KeyError{Err: ErrKeyUnsupported, Text: "the numbers of the RSA key do not fit together, or it is too small"}
}

func importDSA(b []byte) (crypto.Signer, error) {
	if !integers(b, 6) {
		return nil, &ImportError{string(der.ErrSyntax)}
	}
	return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is a DSA key"}
}

// integers reports whether b is a SEQUENCE of n INTEGERs.
func integers(b []byte, n int) bool {
	d := der.NewDecoder(b)
	end, err := d.Open(der.Sequence)
	if err != nil {
		return false
	}
	for range n {
		if _, err := d.Contents(der.Integer); err != nil {
			return false
		}
	}
	return d.Close(end) == nil && d.End() == nil
}

// importSEC1 reads an elliptic-curve key; whatever is wrong with it, the text is the same.
func importSEC1(b []byte) (crypto.Signer, error) {
	if key, err := x509.ParseECPrivateKey(b); err == nil {
		return key, nil
	}
	d := der.NewDecoder(b)
	if _, err := d.Open(der.Sequence); err == nil {
		_, err1 := d.Contents(der.Integer)
		_, err2 := d.Contents(der.OctetString)
		if err1 == nil && err2 == nil && d.Expect(der.Context(0, true)) == nil {
			if _, err := d.Length(); err == nil {
				if oid, err := d.Any(); err == nil {
					if curve, _ := curveOf(oid); curve == oidP192 {
						return nil, &KeyError{Err: ErrKeyUnsupported, Text: "its elliptic curve is P-192"}
					}
				}
			}
		}
	}
	return nil, &ImportError{string(der.ErrSyntax)}
}

const oidP192 = "1.2.840.10045.3.1.1"

// curveOf reads the OID of a curve, and reports whether GnuTLS knows it: the NIST curves from P-192 on.
func curveOf(parameters []byte) (oid string, known bool) {
	d := der.NewDecoder(parameters)
	b, err := d.ObjectID()
	if err != nil {
		return "", false
	}
	oid = der.OIDText(b)
	switch oid {
	case oidP192, "1.3.132.0.33", "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35":
		return oid, true
	}
	return oid, false
}

// A KeyUse says what GnuTLS makes of a public key.
type KeyUse int

// The kinds of public keys: those that GnuTLS can use, elliptic curves that it does not know, and other algorithms.
const (
	KeyUsable KeyUse = iota
	KeyCurveUnknown
	KeyAlgorithmUnknown
)

// PublicKeyUse says whether GnuTLS can use the key of a SubjectPublicKeyInfo in a TLS session (gnutls_pubkey_import_x509). It
// does not look at the key itself.
func PublicKeyUse(info []byte) KeyUse {
	d := der.NewDecoder(info)
	if _, err := d.Open(der.Sequence); err != nil {
		return KeyAlgorithmUnknown
	}
	a, err := d.Algorithm()
	if err != nil {
		return KeyAlgorithmUnknown
	}
	switch der.OIDText(a.OID) {
	case "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.10040.4.1", "1.3.101.110", "1.3.101.111", "1.3.101.112", "1.3.101.113":
		return KeyUsable
	case "1.2.840.10045.2.1":
		if _, known := curveOf(a.Parameters); !known {
			return KeyCurveUnknown
		}
		return KeyUsable
	}
	return KeyAlgorithmUnknown
}
