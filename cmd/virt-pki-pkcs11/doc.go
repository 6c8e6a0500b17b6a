// Virt-pki-pkcs11 signs with a key in a PKCS#11 token for virt-pki. It is started by package token, not by people.
//
// It is a program of its own because the token's module is a shared library: virt-pki stays a static binary, and a module that
// crashes or hangs is an error message there. It needs no C compiler to build.
//
// On standard input it takes one JSON object in a line after the other, token.Request, and answers each with a token.Answer
// on standard output. When the input ends it logs out and ends. It takes no arguments: a PIN comes in a request.
//
// The calls are those of PKCS#11 2.40 (OASIS); Ed25519 is that of 3.0. Confirmed with SoftHSM 2.6.1 (Debian 12).
package main
