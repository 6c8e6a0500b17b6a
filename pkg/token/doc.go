// Package token uses a private key that stays in a PKCS#11 token: a smart card, a hardware security module, SoftHSM.
//
// [ParseURI] reads the name of a key (RFC 7512, "pkcs11:token=ca;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so"),
// [Open] finds it, or has one made, and gives a [Key], which is a crypto.Signer. The caller closes it.
//
// The token's module is a shared library that would have to be loaded into the process. virt-pki is a static program, and a
// module that crashes or hangs must not take it along; so the module is loaded by a small program of its own,
// virt-pki-pkcs11, with which a Key speaks over pipes: one JSON object in a line for each [Request] and each [Answer]. The PIN
// goes that way, never through arguments or the environment. When the program dies, a token is pulled or nothing answers in
// time, the operation fails with an [Error], and the next one begins anew: with a new process, unless the PIN was wrong, since
// trying it again could lock the token.
//
// The package does not manage tokens (initialise them, set PINs) and lists nothing; p11tool and pkcs11-tool do. Confirmed with
// SoftHSM 2.6.1 (Debian 12).
package token
