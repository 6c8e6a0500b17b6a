package certs

import "crypto"

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

// ParseKeyAlgorithm reads a name, also in the common other spellings (rsa, rsa:3072, p256, prime256v1, ec, ...).
func ParseKeyAlgorithm(s string) (KeyAlgorithm, error) { panic("unimplemented") }

// GenerateKey makes a key pair from crypto/rand.
func GenerateKey(a KeyAlgorithm) (crypto.Signer, error) { panic("unimplemented") }

// MarshalKey gives the private key in PKCS#8 PEM ("PRIVATE KEY"), or with a passphrase in PBES2 ("ENCRYPTED PRIVATE
// KEY", readable by openssl and certtool).
func MarshalKey(key crypto.Signer, passphrase []byte) ([]byte, error) { panic("unimplemented") }

// ParseKey reads a private key in PEM: PKCS#8, PKCS#1, SEC1, encrypted PKCS#8. It skips other blocks (certificates, EC
// PARAMETERS). Errors: ErrPassphraseNeeded, ErrPassphrase.
func ParseKey(pem, passphrase []byte) (crypto.Signer, error) { panic("unimplemented") }

// KeyID gives the SHA-1 of the subject public key bits (RFC 5280, 4.2.1.2, method 1).
func KeyID(public crypto.PublicKey) ([]byte, error) { panic("unimplemented") }

// SameKey reports whether the two public keys are equal.
func SameKey(a, b crypto.PublicKey) bool { panic("unimplemented") }
