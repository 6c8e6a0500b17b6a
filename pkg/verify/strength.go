package verify

import "github.com/virt-pki/virt-pki/pkg/certs"

// A Strength is what a session's tls_priority demands of keys and signatures of the peer's chain
// (gnutls_certificate_verify_peers2 with the session's profile and verify flags; is_level_acceptable in GnuTLS's
// lib/x509/verify.c). The zero value is that of NORMAL. The check of the own certificate knows no priority.
type Strength struct {
	// Refuses says why the profile refuses a certificate of the chain, empty when it does not. anchor tells that it is
	// looked at as an issuer, of which only the key counts and not its own signature. Nil: the profile LOW, RSA keys
	// from 1024 bits on.
	Refuses func(c *certs.Certificate, anchor bool) string
	// AllowSHA1 and AllowMD5 take signatures with these hashes (%VERIFY_ALLOW_SIGN_WITH_SHA1, %VERIFY_ALLOW_SIGN_RSA_MD5,
	// %VERIFY_ALLOW_BROKEN).
	AllowSHA1, AllowMD5 bool
	// NoCRL leaves revocation lists out (%DISABLE_CRL_CHECKS and its like).
	NoCRL bool
}
