package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// KeyAlgorithm names a kind of key pair: rsa2048, rsa3072, rsa4096, ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519.
type KeyAlgorithm string

// The key algorithms that virt-pki makes.
const (
	RSA2048   KeyAlgorithm = "rsa2048"
	RSA3072   KeyAlgorithm = "rsa3072"
	RSA4096   KeyAlgorithm = "rsa4096"
	ECDSAP256 KeyAlgorithm = "ecdsa-p256"
	ECDSAP384 KeyAlgorithm = "ecdsa-p384"
	ECDSAP521 KeyAlgorithm = "ecdsa-p521"
	Ed25519   KeyAlgorithm = "ed25519"
)

// KeyAlgorithms gives all key algorithms that virt-pki makes, in the order of the constants. The slice is the caller's.
func KeyAlgorithms() []KeyAlgorithm {
	return []KeyAlgorithm{RSA2048, RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, Ed25519}
}

// ParseKeyAlgorithm reads a name, also in the spellings of openssl, certtool and ssh-keygen. Upper and lower case are
// the same, and so are the separators -, _, :, / and a blank, or none. A bare rsa is rsa3072, a bare ec or ecdsa is
// ecdsa-p256.
func ParseKeyAlgorithm(s string) (KeyAlgorithm, error) {
	plain := strings.NewReplacer("-", "", "_", "", ":", "", "/", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(s)))
	switch plain {
	case "rsa", "rsa3072":
		return RSA3072, nil
	case "rsa2048":
		return RSA2048, nil
	case "rsa4096":
		return RSA4096, nil
	case "ed25519", "eddsa", "eddsaed25519":
		return Ed25519, nil
	}
	if rest, ok := strings.CutPrefix(plain, "rsa"); ok && rest != "" && strings.Trim(rest, "0123456789") == "" {
		return "", &KeyAlgorithmError{Name: s, Reason: "RSA keys are made with 2048, 3072 or 4096 bits"}
	}
	curve := plain
	for _, prefix := range []string{"ecdsa", "ec"} {
		if rest, ok := strings.CutPrefix(plain, prefix); ok {
			curve = rest
			break
		}
	}
	if curve == plain && strings.Trim(curve, "0123456789") == "" { // a bare number, or nothing
		return "", &KeyAlgorithmError{Name: s}
	}
	switch curve {
	case "", "256", "p256", "secp256r1", "prime256v1", "nistp256":
		return ECDSAP256, nil
	case "384", "p384", "secp384r1", "nistp384":
		return ECDSAP384, nil
	case "521", "p521", "secp521r1", "nistp521":
		return ECDSAP521, nil
	}
	return "", &KeyAlgorithmError{Name: s}
}

// A KeyAlgorithmError says that a text names no key algorithm that virt-pki makes.
type KeyAlgorithmError struct {
	Name   string // as it was written
	Reason string // why this very name will not do; may be empty
}

// Error says what was written and what could be.
func (e *KeyAlgorithmError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("no key algorithm %q: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("no key algorithm %q", e.Name)
}

// Hints lists the names.
func (e *KeyAlgorithmError) Hints() []string {
	var names []string
	for _, a := range KeyAlgorithms() {
		names = append(names, string(a))
	}
	return []string{"choose one of " + strings.Join(names, ", ")}
}

// AlgorithmOf names the algorithm of a public key. It reports false for keys that virt-pki does not make (RSA of other
// sizes, P-224, keys of other kinds).
func AlgorithmOf(public crypto.PublicKey) (KeyAlgorithm, bool) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return RSA2048, true
		case 3072:
			return RSA3072, true
		case 4096:
			return RSA4096, true
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECDSAP256, true
		case elliptic.P384():
			return ECDSAP384, true
		case elliptic.P521():
			return ECDSAP521, true
		}
	case ed25519.PublicKey:
		return Ed25519, true
	}
	return "", false
}

// GenerateKey makes a key pair from crypto/rand.
func GenerateKey(a KeyAlgorithm) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch a {
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case ECDSAP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSAP521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, &KeyAlgorithmError{Name: string(a)}
	}
	if err != nil {
		return nil, fmt.Errorf("generating a key of type %s: %w", a, err)
	}
	return key, nil
}

// The PEM labels of private keys.
const (
	labelPKCS8     = "PRIVATE KEY"
	labelEncrypted = "ENCRYPTED PRIVATE KEY"
	labelPKCS1     = "RSA PRIVATE KEY"
	labelSEC1      = "EC PRIVATE KEY"
	// labelCFSSL is what cfssl v1.6.5 writes around the PKCS#8 of an Ed25519 key; no standard knows it.
	labelCFSSL = "Ed25519 PRIVATE KEY"
)

// MarshalKey gives the private key in PKCS#8 PEM ("PRIVATE KEY"), or with a passphrase in PBES2 ("ENCRYPTED PRIVATE
// KEY", readable by openssl and certtool). libvirt itself reads no encrypted keys: a passphrase is for the authority's.
func MarshalKey(key crypto.Signer, passphrase []byte) ([]byte, error) {
	label := labelPKCS8
	var der []byte
	var err error
	if len(passphrase) == 0 {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	} else {
		label = labelEncrypted
		der, err = encryptPKCS8(key, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding a private key of type %T: %w", key, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), nil
}

// Errors of ParseKey that a caller can act on.
var (
	// ErrPassphraseNeeded says that the key is encrypted and no passphrase was given.
	ErrPassphraseNeeded = errors.New("the private key is encrypted and needs a passphrase")
	// ErrPassphrase says that the passphrase does not decrypt the key.
	ErrPassphrase = errors.New("the passphrase does not decrypt the private key")
	// ErrNoKey says that the text holds no private key in PEM.
	ErrNoKey = errors.New("no private key in PEM")
	// ErrKeyUnsupported says that there is a private key, of a kind or in a form that virt-pki cannot use.
	ErrKeyUnsupported = errors.New("private key of an unsupported kind")
)

// A KeyError says why a text is no usable private key. It wraps one of the errors above, or says that a key is
// damaged. It never holds any part of the key.
type KeyError struct {
	Err  error
	Text string // what was found instead; may be empty
	Hint string // what cures it; may be empty
}

// Error gives the reason in one line.
func (e *KeyError) Error() string {
	if e.Text == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + ": " + e.Text
}

// Unwrap gives the sentinel.
func (e *KeyError) Unwrap() error { return e.Err }

// Hints gives the remedy, if there is one.
func (e *KeyError) Hints() []string {
	if e.Hint == "" {
		return nil
	}
	return []string{e.Hint}
}

var errKeyDamaged = errors.New("damaged private key")

// maxKeyText bounds the text that ParseKey looks at. An RSA-16384 key in PEM takes 13 KiB; certtool's text dump before
// the block twice that.
const maxKeyText = 1 << 20

// ParseKey reads the first private key in a PEM text: PKCS#8, PKCS#1, SEC1, PKCS#8 encrypted with PBES2, OpenSSL's older
// encrypted PKCS#1 and SEC1, and cfssl's "Ed25519 PRIVATE KEY". It skips other blocks (certificates, EC PARAMETERS) and
// text around the blocks. A passphrase given for a key that is not encrypted is not used.
//
// Errors are of type *KeyError and wrap ErrPassphraseNeeded, ErrPassphrase, ErrNoKey or ErrKeyUnsupported; a damaged
// key gives another *KeyError.
func ParseKey(text, passphrase []byte) (crypto.Signer, error) {
	if len(text) > maxKeyText {
		return nil, &KeyError{Err: ErrNoKey, Text: fmt.Sprintf("%d bytes are too many for a private key", len(text))}
	}
	var seen []string
	for b := range pemBlocks(text) {
		switch b.Type {
		case labelPKCS8, labelCFSSL:
			return parsePKCS8(b.Bytes)
		case labelEncrypted:
			if len(passphrase) == 0 {
				return nil, &KeyError{Err: ErrPassphraseNeeded}
			}
			der, err := decryptPKCS8(b.Bytes, passphrase)
			if err != nil {
				return nil, err
			}
			key, err := parsePKCS8(der)
			if errors.Is(err, errKeyDamaged) {
				// The padding fits by accident for one wrong passphrase in 256.
				return nil, &KeyError{Err: ErrPassphrase}
			}
			return key, err
		case labelPKCS1, labelSEC1:
			der := b.Bytes
			if isLegacyEncrypted(b) {
				if len(passphrase) == 0 {
					return nil, &KeyError{Err: ErrPassphraseNeeded}
				}
				var err error
				if der, err = decryptLegacy(b, passphrase); err != nil {
					return nil, err
				}
			}
			key, err := parseTraditional(b.Type, der)
			if err != nil && isLegacyEncrypted(b) && errors.Is(err, errKeyDamaged) {
				return nil, &KeyError{Err: ErrPassphrase}
			}
			return key, err
		case "OPENSSH PRIVATE KEY":
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is in OpenSSH's own form",
				Hint: "convert a copy of it with ssh-keygen -p -m PKCS8 -f COPY"}
		}
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: fmt.Sprintf("a PEM block %q", b.Type)}
		}
		if len(seen) < 3 {
			seen = append(seen, fmt.Sprintf("%q", b.Type))
		}
	}
	return nil, noKey(text, seen)
}

// noKey says what there is instead of a key.
func noKey(text []byte, labels []string) error {
	e := &KeyError{Err: ErrNoKey}
	switch trimmed := bytes.TrimSpace(text); {
	case len(labels) > 0:
		e.Text = "only " + strings.Join(labels, ", ")
	case len(trimmed) == 0:
		e.Text = "the text is empty"
	case text[0] == 0x30:
		e.Text = "it looks like DER"
		e.Hint = "convert it with openssl pkey -inform DER -in FILE -out FILE.pem"
	case bytes.Contains(text, []byte("-----BEGIN ")):
		e.Text = "the PEM block is damaged or cut off"
	}
	return e
}

// pemBlocks gives the PEM blocks of a text. Like GnuTLS it finds "-----BEGIN " anywhere, not only at the start of a
// line, so that a byte order mark before it does no harm.
func pemBlocks(text []byte) func(yield func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		// Each failed attempt may walk through the whole text, so their number is bounded.
		for attempts := 0; attempts < 64; {
			i := bytes.Index(text, []byte("-----BEGIN "))
			if i < 0 {
				return
			}
			b, rest := pem.Decode(text[i:])
			if b == nil {
				attempts++
				text = text[i+1:]
				continue
			}
			if !yield(b) {
				return
			}
			text = rest
		}
	}
}

// parsePKCS8 reads a PrivateKeyInfo. The causes that crypto/x509 and encoding/asn1 give are left out on purpose: they
// name Go's functions, and nothing of a key belongs into a text.
func parsePKCS8(der []byte) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		if key, ok := k.(crypto.Signer); ok {
			return key, nil
		}
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it cannot sign"} // X25519
	}
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err == nil {
		switch oid := info.Algorithm.Algorithm.String(); oid {
		case "1.2.840.113549.1.1.1", "1.3.101.112":
		case "1.2.840.10045.2.1":
			var curve asn1.ObjectIdentifier
			if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); err == nil && !knownCurve(curve) {
				return nil, &KeyError{Err: ErrKeyUnsupported, Text: "elliptic curve " + curve.String()}
			}
		case "1.2.840.113549.1.1.10":
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is restricted to RSA-PSS",
				Hint: "use a plain RSA key; every libvirt can use that with RSA-PSS signatures too"}
		default:
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: "algorithm " + oid}
		}
		return nil, &KeyError{Err: errKeyDamaged, Text: "the PKCS#8 structure holds no valid key"}
	}
	// Some programs label PKCS#1 and SEC1 as PKCS#8; libvirt's GnuTLS reads them all the same.
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, &KeyError{Err: errKeyDamaged, Text: "not a PKCS#8 structure"}
}

// parseTraditional reads PKCS#1 and SEC1.
func parseTraditional(label string, der []byte) (crypto.Signer, error) {
	if label == labelPKCS1 {
		if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
			return key, nil
		}
		return nil, &KeyError{Err: errKeyDamaged, Text: "not a PKCS#1 structure"}
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	var sec1 struct {
		Version int
		Private []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	if _, err := asn1.Unmarshal(der, &sec1); err == nil && sec1.Curve != nil && !knownCurve(sec1.Curve) {
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: "elliptic curve " + sec1.Curve.String()}
	}
	return nil, &KeyError{Err: errKeyDamaged, Text: "not a SEC1 structure"}
}

// knownCurve reports whether Go's crypto/ecdsa has the curve: P-224, P-256, P-384, P-521.
func knownCurve(oid asn1.ObjectIdentifier) bool {
	switch oid.String() {
	case "1.3.132.0.33", "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35":
		return true
	}
	return false
}

// KeyID gives the SHA-1 of the subject public key bits (RFC 5280, 4.2.1.2, method 1), which certtool and openssl write
// as subject key identifier too.
func KeyID(public crypto.PublicKey) ([]byte, error) {
	if k, ok := public.(*ecdsa.PublicKey); ok { // most are, and the long way costs as much as making the key
		if point, err := k.Bytes(); err == nil {
			id := sha1.Sum(point)
			return id[:], nil
		}
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key of type %T: %w", public, err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("reading a public key of type %T again: %w", public, err)
	}
	id := sha1.Sum(info.Key.Bytes) // an identifier, not a protection: collisions do no harm
	return id[:], nil
}

// SameKey reports whether the two public keys are equal. A nil key equals none.
func SameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && b != nil && k.Equal(b)
}
