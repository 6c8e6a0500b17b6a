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

	anyECDSA KeyKind = -1 // in tables: whatever the curve
	noKey    KeyKind = -2 // in tables: no certificate of libvirt's has it
)
