// Package verify judges credentials as libvirt does, version by version, rule by rule, with libvirt's own messages.
//
// What to call:
//
//   - [Files.Read] for one end's own files as bytes: what is wrong with the files, what was loaded from them, and the
//     sanity check that libvirt makes before any traffic;
//   - [Own.Check] for that sanity check alone, on certificates in memory;
//   - [Session.Check] for one end's judgement about the other end of a connection; [Session.Advice] for what libvirt
//     does not look at there and an administrator believes it does;
//   - [VerifyPeer] and [VerifyOwn] for GnuTLS's verdict on a chain; [Host] for the host name;
//   - [Rules] for all rules as data.
//
// A finding of severity error is a refusal, and its LibvirtMessage is the text libvirt logs or prints; the first one is
// the one libvirt stops at. The rule names the cause even where libvirt's text does not: GnuTLS calls an expired peer
// only "not trusted".
//
// QEMU's rules restate crypto/tlscredsx509.c and were confirmed with QEMU 7.2, 10.0 and 11.1 of Debian. The others restate
// libvirt 9.0.0 (virNetTLSContextSanityCheckCredentials, virNetTLSContextValidCertificate), 11.3.0 and 12.8.0
// (virNetTLSCertSanityCheck, virNetTLSCertValidate) and, for chains, GnuTLS 3.7.9 (gnutls_x509_trust_list_verify_crt2); they were
// confirmed with Debian's daemons of these versions. Versions between those get the rules that their sources and release
// notes say; versions before 9.0 are refused.
//
// The package does not read files, know the clock or open connections. Where a verdict needs cryptography that Go does
// not have (Ed448 keys, explicit curve parameters) it says so in a finding "cannot-check-signature" and takes the
// signature for good.
package verify
