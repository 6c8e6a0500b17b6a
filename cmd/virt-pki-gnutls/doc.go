// Virt-pki-gnutls runs the real libgnutls of the host for virt-pki: what it makes of a priority string, and one side of
// a handshake with libvirt's calls in libvirt's order.
//
// It is a program of its own so that virt-pki stays a static binary, and so that a crash or hang of the library is an
// error message there. It opens libgnutls.so.30 when it runs and needs no C compiler to build. Answers are one JSON
// object.
//
//	virt-pki-gnutls version
//	virt-pki-gnutls list STRING...
//	virt-pki-gnutls client|server [--fd N] [--priority S] [--ca F] [--crl F] [--cert F --key F] [--timeout D]
//
// With --fd the handshake goes over that socket and the answer to standard output. Without it the handshake goes over
// standard input and output, and the answer to standard error. After the handshake and the verification a server
// sends libvirt's confirmation byte 0x01, and a client reads it.
//
// Exit status: 0 done (for a handshake: it stands and the peer is accepted), 1 it does not, 2 usage, 3 no libgnutls.
package main
