// Package signature checks the signatures of certificates and revocation lists, also those that crypto/x509 refuses to
// look at: MD5 and SHA-1, RSA keys below 1024 bits, DSA, RSA-PSS keys.
//
// It says what GnuTLS would find, and says so where it cannot: keys of kinds that Go does not know (Ed448, P-192)
// give ErrUnsupportedKey. A signature algorithm that counts as broken is still
// checked; whether it is broken is a question of its own, answered by Algorithm.Insecure.
package signature
