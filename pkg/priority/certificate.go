package priority

import "fmt"

// A CertificateKind is what of a certificate decides whether a verification profile accepts it.
type CertificateKind struct {
	Key  KeyKind
	Bits int // the modulus of RSA; 0 for the other kinds, whose size is fixed
	// Hash is the hash of the signature on the certificate in bits, 256 for SHA-256; 0 is not judged.
	Hash int
}

// String names the kind, as "RSA-2048".
func (c CertificateKind) String() string {
	switch c.Key {
	case KeyRSA:
		return fmt.Sprintf("RSA-%d", c.Bits)
	case KeyRSAPSS:
		return fmt.Sprintf("RSA-PSS-%d", c.Bits)
	}
	return c.Key.String()
}

var keyKindNames = map[KeyKind]string{KeyRSA: "RSA", KeyRSAPSS: "RSA-PSS", KeyECDSAP256: "ECDSA P-256", KeyECDSAP384: "ECDSA P-384",
	KeyECDSAP521: "ECDSA P-521", KeyEd25519: "Ed25519", KeyEd448: "Ed448", KeyECDSAP192: "ECDSA P-192", KeyECDSAP224: "ECDSA P-224",
	KeyRSAEncipherment: "RSA for key encipherment only", KeyUnusable: "of no use for TLS"}

// String names the kind of key.
func (k KeyKind) String() string { return keyKindNames[k] }

var curveBits = map[KeyKind]int{KeyECDSAP256: 256, KeyECDSAP384: 384, KeyECDSAP521: 521, KeyEd25519: 256, KeyEd448: 448,
	KeyECDSAP192: 192, KeyECDSAP224: 224}

// Refuses says why the profile refuses a certificate of this kind, anywhere in the peer's chain; empty when it accepts
// it. libvirt then reports "The certificate uses an insecure algorithm" (GnuTLS, lib/x509/verify.c,
// is_level_acceptable).
func (p Profile) Refuses(c CertificateKind) string {
	if p == ProfileNone {
		return ""
	}
	level := p.Level()
	if bits, ok := curveBits[c.Key]; ok {
		if bits < level.MinECC() {
			return fmt.Sprintf("profile %s wants a curve of at least %d bits, %s has %d", p, level.MinECC(), c, bits)
		}
	} else if c.Bits < level.MinRSA() {
		return fmt.Sprintf("profile %s wants RSA of at least %d bits, this is %s", p, level.MinRSA(), c)
	}
	if c.Hash != 0 && c.Hash/2 < level.Bits() {
		return fmt.Sprintf("profile %s wants a signature with a hash of at least %d bits, this has %d", p, 2*level.Bits(), c.Hash)
	}
	switch p {
	case ProfileSuiteB128:
		if c.Key == KeyECDSAP256 && (c.Hash == 0 || c.Hash == 256 || c.Hash == 384) ||
			c.Key == KeyECDSAP384 && (c.Hash == 0 || c.Hash == 384) {
			return ""
		}
		return fmt.Sprintf("profile %s accepts only ECDSA P-256 with SHA-256 or SHA-384 and ECDSA P-384 with SHA-384, this is %s", p, c)
	case ProfileSuiteB192:
		if c.Key == KeyECDSAP384 && (c.Hash == 0 || c.Hash == 384) {
			return ""
		}
		return fmt.Sprintf("profile %s accepts only ECDSA P-384 with SHA-384, this is %s", p, c)
	}
	return ""
}
