// Package gnutls makes TLS sessions with the GnuTLS of this machine, by way of the program virt-pki-gnutls.
//
// crypto/tls has not all that a tls_priority can name: finite-field groups, X448, AES-CCM, Camellia, an order of its own.
// Where that decides, the real library does the handshake. It runs in a program of its own, so that virt-pki needs no C
// library and survives what the library does: a crash, a hang and nonsense are a [*Trouble] here.
//
// Call [Program.Handshake]: it starts the program, hands it the connection, and gives a [*Conn] over which the data of the
// session goes, or a [*Refusal] with the library's own error, or a Trouble. The library's calls are those of libvirt in
// libvirt's order (virNetTLSContextNew, virNetTLSSessionNew, virNetTLSSessionHandshake). The peer is not judged: that is
// package verify's.
//
// The package does not look for the program: its caller knows where it is. It does not say what a priority string means;
// that is package priority. It works where there are UNIX sockets.
//
// Confirmed with libgnutls 3.7.9 (Debian 12), 3.8.9 and 3.8.13.
package gnutls
