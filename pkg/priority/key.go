package priority

// KeyKind is the kind of a certificate's key, as far as it decides over suites and signatures.
type KeyKind int

// The kinds of keys. The zero KeyKind is RSA, libvirt's usual one.
const (
	KeyRSA KeyKind = iota
	KeyRSAPSS
	KeyECDSAP256
	KeyECDSAP384
	KeyECDSAP521
	KeyEd25519
	KeyEd448
	// KeyECDSAP192 and KeyECDSAP224 sign before TLS 1.3 only.
	KeyECDSAP192
	KeyECDSAP224
	// KeyRSAEncipherment is an RSA key whose certificate's keyUsage has keyEncipherment and no digitalSignature: a server has
	// the RSA key exchange with it, and no TLS 1.3.
	KeyRSAEncipherment
	// KeyUnusable is a key that no session of libvirt's can use: DSA, or one whose certificate's keyUsage permits neither.
	KeyUnusable

	anyECDSA KeyKind = -1 // in tables: whatever the curve
	noKey    KeyKind = -2 // in tables: no certificate of libvirt's has it
)
