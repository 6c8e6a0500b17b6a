// Package handshake makes TLS connections in which each end behaves as libvirt's does.
//
// [Client] and [Server] do one end's part over any net.Conn, up to and including the confirmation byte, and give a
// [Transcript] of what that end saw, thought and would have logged. [Pair] connects two configurations in memory with
// real TLS; [Judge] says the same without TLS, for certificates whose keys are not at hand or that crypto/tls cannot
// use.
//
// What libvirt does (virNetTLSContextCheckCertificate, virNetTLSSessionHandshake; measured on 9.0.0, 11.3.0, 12.8.0):
//
//   - TLS begins at once. There is no SNI, no ALPN and no session ticket.
//   - The server requests a client certificate but does not require it, and names its CAs. A GnuTLS client sends its
//     certificate only if one of those issued it (see [verify.Sends]).
//   - When the TLS handshake is done, each end judges the other. Who refuses closes the TCP connection, without an
//     alert and without close_notify. In TLS 1.3 the client takes the handshake for done before the server has seen its
//     certificate.
//   - The server that is content sends one application byte, 0x01. Its absence is all that a refused client ever
//     learns.
//   - no_verify on the client and tls_no_verify_certificate on the server switch the whole judgement off, the list of
//     allowed names included.
//
// libvirt knows no time limit; here every step ends with the context.
//
// crypto/tls is not GnuTLS: it parses the peer's certificates with crypto/x509 before this package can judge them, and
// has no RSA below 1024 bits, no Ed448 and no RSA-PSS keys. Over a real connection such a peer ends in the outcome
// handshake-fails with the finding "peer-certificate-not-parseable", which says that the verdict is not libvirt's. Pair
// falls back to Judge for them, whose verdict is.
package handshake
