package signature

import (
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 certificates with DSA keys are judged, never made
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/md5" // signatures with MD5 are judged, never made
	"crypto/rsa"
	_ "crypto/sha1" // the same for SHA-1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The ways in which a check fails.
var (
	// ErrMismatch reports that the signature is not the key's over this text.
	ErrMismatch = errors.New("the signature is wrong")
	// ErrUnknownAlgorithm reports an algorithm that GnuTLS does not know either.
	ErrUnknownAlgorithm = errors.New("unknown signature algorithm")
	// ErrOtherKey reports an algorithm that keys of the issuer's kind do not sign with. It is an ErrUnknownAlgorithm too.
	ErrOtherKey = fmt.Errorf("%w: the issuer's key is of another kind", ErrUnknownAlgorithm)
	// ErrConstraint reports a signature that the parameters of an RSA-PSS key do not allow.
	ErrConstraint = errors.New("the parameters of the RSA-PSS key do not allow this signature")
	// ErrUnsupportedKey reports that the check cannot be made here, though GnuTLS may be able to.
	ErrUnsupportedKey = errors.New("keys of this kind cannot be checked here")
)

type family int

const (
	familyRSA family = iota + 1
	familyPSS
	familyDSA
	familyECDSA
	familyEd25519
	familyEd448
)

// An Algorithm is a parsed AlgorithmIdentifier of a signature.
type Algorithm struct {
	OID    string
	family family
	hash   crypto.Hash
	salt   int
	// broken marks algorithms below GnuTLS's level for certificates.
	broken bool
}

var algorithms = map[string]Algorithm{
	"1.2.840.113549.1.1.2":    {family: familyRSA, broken: true}, // MD2: Go has no such hash
	"1.2.840.113549.1.1.4":    {family: familyRSA, hash: crypto.MD5, broken: true},
	"1.2.840.113549.1.1.5":    {family: familyRSA, hash: crypto.SHA1, broken: true},
	"1.3.14.3.2.29":           {family: familyRSA, hash: crypto.SHA1, broken: true},
	"1.2.840.113549.1.1.14":   {family: familyRSA, hash: crypto.SHA224},
	"1.2.840.113549.1.1.11":   {family: familyRSA, hash: crypto.SHA256},
	"1.2.840.113549.1.1.12":   {family: familyRSA, hash: crypto.SHA384},
	"1.2.840.113549.1.1.13":   {family: familyRSA, hash: crypto.SHA512},
	"1.2.840.113549.1.1.10":   {family: familyPSS},
	"1.2.840.10040.4.3":       {family: familyDSA, hash: crypto.SHA1, broken: true},
	"2.16.840.1.101.3.4.3.1":  {family: familyDSA, hash: crypto.SHA224},
	"2.16.840.1.101.3.4.3.2":  {family: familyDSA, hash: crypto.SHA256},
	"2.16.840.1.101.3.4.3.3":  {family: familyDSA, hash: crypto.SHA384},
	"2.16.840.1.101.3.4.3.4":  {family: familyDSA, hash: crypto.SHA512},
	"1.2.840.10045.4.1":       {family: familyECDSA, hash: crypto.SHA1, broken: true},
	"1.2.840.10045.4.3.1":     {family: familyECDSA, hash: crypto.SHA224},
	"1.2.840.10045.4.3.2":     {family: familyECDSA, hash: crypto.SHA256},
	"1.2.840.10045.4.3.3":     {family: familyECDSA, hash: crypto.SHA384},
	"1.2.840.10045.4.3.4":     {family: familyECDSA, hash: crypto.SHA512},
	"2.16.840.1.101.3.4.3.14": {family: familyRSA, hash: crypto.SHA3_256},
	"1.3.101.112":             {family: familyEd25519},
	"1.3.101.113":             {family: familyEd448},
}

var hashes = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.4": crypto.SHA224,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// ParseAlgorithm reads an AlgorithmIdentifier (the complete TLV).
func ParseAlgorithm(der []byte) (Algorithm, error) {
	s := cryptobyte.String(der)
	var id cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&id, casn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) {
		return Algorithm{}, fmt.Errorf("reading a signature's AlgorithmIdentifier: malformed")
	}
	a, ok := algorithms[oid.String()]
	a.OID = oid.String()
	if !ok {
		return a, ErrUnknownAlgorithm
	}
	if a.family == familyPSS {
		p, err := parsePSS(id)
		if err != nil {
			return a, err
		}
		a.hash, a.salt = p.hash, p.salt
		a.broken = p.hash == crypto.SHA1
	}
	return a, nil
}

// Insecure reports whether GnuTLS counts the algorithm as broken for certificates (_gnutls_sign_is_secure2 with
// SECURE_FOR_CERTS): MD2, MD5 and SHA-1.
func (a Algorithm) Insecure() bool { return a.broken }

// String gives a short name for messages.
func (a Algorithm) String() string {
	name := map[family]string{familyRSA: "RSA", familyPSS: "RSA-PSS", familyDSA: "DSA", familyECDSA: "ECDSA",
		familyEd25519: "Ed25519", familyEd448: "Ed448"}[a.family]
	if name == "" {
		return a.OID
	}
	if a.hash == 0 && a.family == familyRSA {
		return "RSA-MD2"
	}
	if a.hash != 0 {
		name += "-" + a.hash.String()
	}
	return name
}

type pss struct {
	hash crypto.Hash
	salt int
	any  bool // no parameters: every hash and salt is allowed
}

// parsePSS reads RSASSA-PSS-params (RFC 4055); rest is what follows the OID in the AlgorithmIdentifier.
func parsePSS(rest cryptobyte.String) (pss, error) {
	p := pss{hash: crypto.SHA1, salt: 20}
	if rest.Empty() {
		p.any = true
		return p, nil
	}
	var params, field cryptobyte.String
	var present bool
	bad := fmt.Errorf("reading RSASSA-PSS parameters: malformed")
	if rest.PeekASN1Tag(casn1.NULL) {
		return p, bad
	}
	if !rest.ReadASN1(&params, casn1.SEQUENCE) {
		return p, bad
	}
	ctx := func(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }
	readHash := func(s *cryptobyte.String) (crypto.Hash, bool) {
		var seq cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) {
			return 0, false
		}
		h, ok := hashes[oid.String()]
		return h, ok
	}
	var ok bool
	if !params.ReadOptionalASN1(&field, &present, ctx(0)) {
		return p, bad
	}
	if present {
		if p.hash, ok = readHash(&field); !ok {
			return p, ErrUnknownAlgorithm
		}
	}
	if !params.ReadOptionalASN1(&field, &present, ctx(1)) {
		return p, bad
	}
	if present {
		var mgf cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !field.ReadASN1(&mgf, casn1.SEQUENCE) || !mgf.ReadASN1ObjectIdentifier(&oid) {
			return p, bad
		}
		// GnuTLS wants one hash for both.
		if h, ok := readHash(&mgf); !ok || h != p.hash {
			return p, ErrUnknownAlgorithm
		}
	}
	if !params.ReadOptionalASN1(&field, &present, ctx(2)) {
		return p, bad
	}
	if present && !field.ReadASN1Integer(&p.salt) {
		return p, bad
	}
	return p, nil
}

const (
	oidRSA = "1.2.840.113549.1.1.1"
	oidPSS = "1.2.840.113549.1.1.10"
	oidEC  = "1.2.840.10045.2.1"
)

// PublicKey parses a SubjectPublicKeyInfo, RSA-PSS keys included. restricted is true for an RSA-PSS key.
func PublicKey(spki []byte) (key crypto.PublicKey, restricted bool, err error) {
	key, _, restricted, err = publicKey(spki)
	return key, restricted, err
}

func publicKey(spki []byte) (crypto.PublicKey, pss, bool, error) {
	s := cryptobyte.String(spki)
	var info, id, bits cryptobyte.String
	var oid asn1.ObjectIdentifier
	var unused uint8
	if !s.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1(&id, casn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) {
		return nil, pss{}, false, fmt.Errorf("reading a public key: malformed")
	}
	switch oid.String() {
	case oidRSA, oidPSS:
		var key, n cryptobyte.String
		if !info.ReadASN1(&bits, casn1.BIT_STRING) || !bits.ReadUint8(&unused) || !bits.ReadASN1(&key, casn1.SEQUENCE) ||
			!key.ReadASN1(&n, casn1.INTEGER) {
			return nil, pss{}, false, fmt.Errorf("reading an RSA public key: malformed")
		}
		var e int
		if !key.ReadASN1Integer(&e) || e <= 0 {
			return nil, pss{}, false, ErrUnsupportedKey
		}
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: e}
		if oid.String() == oidRSA {
			return pub, pss{}, false, nil
		}
		p, err := parsePSS(id)
		return pub, p, true, err
	}
	if oid.String() == oidEC && !id.Empty() && !id.PeekASN1Tag(casn1.OBJECT_IDENTIFIER) {
		// GnuTLS does not read explicit curve parameters either.
		return nil, pss{}, false, fmt.Errorf("%w: a curve with explicit parameters", ErrUnknownAlgorithm)
	}
	pub, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, pss{}, false, fmt.Errorf("%w: %v", ErrUnsupportedKey, err)
	}
	return pub, pss{}, false, nil
}

// Bits gives the size of a public key as GnuTLS counts it, 0 for kinds without a size.
func Bits(key crypto.PublicKey) int {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen()
	case *dsa.PublicKey:
		return k.P.BitLen()
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return 256
	}
	return 0
}

// maxBits bounds the keys that are calculated with, which takes minutes for those that fit into a large file. GnuTLS has no bound.
// maxExponentBits does so for the exponents of DSA, which have 256 bits at most (FIPS 186-4, 4.2).
const (
	maxBits         = 32 << 10
	maxExponentBits = 512
)

// Check verifies sig over signed with the key of the SubjectPublicKeyInfo spki.
func Check(a Algorithm, spki, signed, sig []byte) error {
	if a.family == 0 {
		return ErrUnknownAlgorithm
	}
	pub, params, restricted, err := publicKey(spki)
	if err != nil {
		return err
	}
	if restricted {
		if a.family != familyPSS {
			return fmt.Errorf("%w: an RSA-PSS key cannot make an %v signature", ErrOtherKey, a)
		}
		if !params.any && (params.hash != a.hash || a.salt < params.salt) {
			return ErrConstraint
		}
	}
	digest := func() []byte {
		h := a.hash.New()
		h.Write(signed)
		return h.Sum(nil)
	}
	if a.family != familyEd25519 && a.family != familyEd448 && (a.hash == 0 || !a.hash.Available()) {
		return ErrUnsupportedKey
	}
	if n := Bits(pub); n > maxBits {
		return fmt.Errorf("%w: it has %d bits", ErrUnsupportedKey, n)
	}
	ok := false
	switch k := pub.(type) {
	case *rsa.PublicKey:
		switch {
		case a.family == familyRSA && k.N.BitLen() < 1024:
			// crypto/rsa refuses these sizes; the arithmetic is public.
			ok = verifySmallRSA(k, a.hash, digest(), sig)
		case a.family == familyRSA:
			ok = rsa.VerifyPKCS1v15(k, a.hash, digest(), sig) == nil
		case a.family == familyPSS && k.N.BitLen() < 1024:
			return ErrUnsupportedKey
		case a.family == familyPSS:
			ok = rsa.VerifyPSS(k, a.hash, digest(), sig, &rsa.PSSOptions{SaltLength: a.salt, Hash: a.hash}) == nil
		default:
			return ErrOtherKey
		}
	case *ecdsa.PublicKey:
		if a.family != familyECDSA {
			return ErrOtherKey
		}
		ok = ecdsa.VerifyASN1(k, digest(), sig)
	case ed25519.PublicKey:
		if a.family != familyEd25519 {
			return ErrOtherKey
		}
		ok = ed25519.Verify(k, signed, sig)
	case *dsa.PublicKey:
		if a.family != familyDSA {
			return ErrOtherKey
		}
		if n := k.Q.BitLen(); n > maxExponentBits {
			return fmt.Errorf("%w: it has exponents of %d bits", ErrUnsupportedKey, n)
		}
		ok = verifyDSA(k, digest(), sig)
	default:
		return ErrUnsupportedKey
	}
	if !ok {
		return ErrMismatch
	}
	return nil
}

var digestInfo = map[crypto.Hash][]byte{
	crypto.MD5:    {0x30, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05, 0x05, 0x00, 0x04, 0x10},
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA224: {0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1c},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// verifySmallRSA is RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.2): the expected block is built and compared.
func verifySmallRSA(k *rsa.PublicKey, h crypto.Hash, digest, sig []byte) bool {
	size := (k.N.BitLen() + 7) / 8
	prefix := digestInfo[h]
	if prefix == nil || len(sig) != size || size < len(prefix)+len(digest)+11 || k.N.Sign() <= 0 {
		return false
	}
	s := new(big.Int).SetBytes(sig)
	if s.Cmp(k.N) >= 0 {
		return false
	}
	got := new(big.Int).Exp(s, big.NewInt(int64(k.E)), k.N).FillBytes(make([]byte, size))
	want := make([]byte, size)
	want[1] = 1
	body := size - len(prefix) - len(digest)
	for i := 2; i < body-1; i++ {
		want[i] = 0xff
	}
	copy(want[body:], prefix)
	copy(want[body+len(prefix):], digest)
	return string(got) == string(want)
}

func verifyDSA(k *dsa.PublicKey, digest, sig []byte) bool {
	s := cryptobyte.String(sig)
	var seq cryptobyte.String
	r, t := new(big.Int), new(big.Int)
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1Integer(r) || !seq.ReadASN1Integer(t) {
		return false
	}
	if n := k.Q.BitLen() / 8; len(digest) > n {
		digest = digest[:n] // FIPS 186-3, section 4.6
	}
	return dsa.Verify(k, digest, r, t)
}

// Split takes a signed structure (a certificate or a revocation list) apart: the signed part, the algorithm and the
// signature's octets.
func Split(der []byte) (signed []byte, algorithm Algorithm, sig []byte, err error) {
	s := cryptobyte.String(der)
	var outer, tbs, id, bits cryptobyte.String
	var unused uint8
	if !s.ReadASN1(&outer, casn1.SEQUENCE) || !outer.ReadASN1Element(&tbs, casn1.SEQUENCE) ||
		!outer.ReadASN1Element(&id, casn1.SEQUENCE) || !outer.ReadASN1(&bits, casn1.BIT_STRING) || !bits.ReadUint8(&unused) {
		return nil, Algorithm{}, nil, fmt.Errorf("taking a signed structure apart: malformed")
	}
	algorithm, err = ParseAlgorithm(id)
	return tbs, algorithm, bits, err
}
