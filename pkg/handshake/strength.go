package handshake

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// StrengthOf is what an end's tls_priority demands of the other's certificates: the profile and the VERIFY flags of the
// string (gnutls_certificate_verify_peers2 takes both from the session).
func StrengthOf(x *priority.Expansion) verify.Strength {
	out := verify.Strength{
		AllowSHA1: x.VerifyFlags&priority.VerifyAllowSignWithSHA1 != 0,
		AllowMD5:  x.VerifyFlags&priority.VerifyAllowSignRSAMD5 != 0,
		NoCRL:     x.VerifyFlags&priority.VerifyDisableCRLChecks != 0,
	}
	if x.Profile == priority.ProfileLow {
		return out // what verify does anyway, with words of its own
	}
	profile := x.Profile
	out.Refuses = func(c *certs.Certificate, anchor bool) string {
		kind, ok := KeyKind(c)
		if !ok || kind == priority.KeyUnusable {
			return ""
		}
		k := priority.CertificateKind{Key: kind}
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
			k.Bits = key.N.BitLen()
		} else if kind == priority.KeyRSA || kind == priority.KeyRSAPSS {
			return ""
		}
		if !anchor {
			k.Hash = signatureHashBits[c.SignatureAlgorithm]
		}
		return profile.Refuses(k)
	}
	return out
}

// KeyKind gives the kind of a certificate's key; ok is false for one that no priority string names.
func KeyKind(c *certs.Certificate) (kind priority.KeyKind, ok bool) {
	var info struct {
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawPublicKeyInfo, &info); err == nil {
		switch info.Algorithm.OID.String() {
		case "1.2.840.113549.1.1.10":
			return priority.KeyRSAPSS, true
		case "1.3.101.113":
			return priority.KeyEd448, true
		case "1.2.840.10040.4.1":
			return priority.KeyUnusable, true
		case "1.2.840.10045.2.1":
			var curve asn1.ObjectIdentifier
			if _, err := asn1.Unmarshal(info.Algorithm.Params.FullBytes, &curve); err == nil && curve.String() == "1.2.840.10045.3.1.1" {
				return priority.KeyECDSAP192, true
			}
		}
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return priority.KeyRSA, true
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 224:
			return priority.KeyECDSAP224, true
		case 256:
			return priority.KeyECDSAP256, true
		case 384:
			return priority.KeyECDSAP384, true
		case 521:
			return priority.KeyECDSAP521, true
		}
	case ed25519.PublicKey:
		return priority.KeyEd25519, true
	}
	return 0, false
}

// ServerKeyKind gives the kind of a server certificate's key as far as its keyUsage lets a session use it: with neither
// digitalSignature nor keyEncipherment among its bits not at all (measured with GnuTLS 3.7.9 and 3.8.13).
func ServerKeyKind(c *certs.Certificate) (kind priority.KeyKind, ok bool) {
	kind, ok = KeyKind(c)
	if c.KeyUsage == nil || c.KeyUsage.Bits == 0 || c.KeyUsage.Bits&x509.KeyUsageDigitalSignature != 0 {
		return kind, ok
	}
	if ok && kind == priority.KeyRSA && c.KeyUsage.Bits&x509.KeyUsageKeyEncipherment != 0 {
		return priority.KeyRSAEncipherment, true
	}
	return priority.KeyUnusable, true
}

// TooSmallFor reports whether an RSA key cannot make a signature of this name: RSA-PSS needs room for two hashes (RFC 8017,
// 9.1.1). GnuTLS chooses the algorithm all the same, and fails with "Some constraint limits were reached.".
func TooSmallFor(c *certs.Certificate, signature string) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok || !strings.HasPrefix(signature, "RSA-PSS-") {
		return false
	}
	for hash, size := range map[string]int{"SHA256": 32, "SHA384": 48, "SHA512": 64} {
		if strings.HasSuffix(signature, hash) {
			return (key.N.BitLen()-1+7)/8 < 2*size+2
		}
	}
	return false
}

// signatureHashBits are the sizes of the hashes of signature algorithms.
var signatureHashBits = map[string]int{
	"1.2.840.113549.1.1.4": 128,
	"1.2.840.113549.1.1.5": 160, "1.2.840.10045.4.1": 160,
	"1.2.840.113549.1.1.14": 224, "1.2.840.10045.4.3.1": 224,
	"1.2.840.113549.1.1.11": 256, "1.2.840.10045.4.3.2": 256,
	"1.2.840.113549.1.1.12": 384, "1.2.840.10045.4.3.3": 384,
	"1.2.840.113549.1.1.13": 512, "1.2.840.10045.4.3.4": 512,
}
