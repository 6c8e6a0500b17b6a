// Package probe does live what libvirt would do for a connection URI, and says what it came to and why.
//
// Call [Dial]. It reads the caller's libvirt.conf, takes the URI apart (package uri), judges the caller's own
// credentials (package verify), resolves, connects to every address in turn, does libvirt's TLS with the confirmation
// byte (package handshake), and then speaks libvirt's RPC: AUTH_LIST, authentication, CONNECT_OPEN with the name libvirt
// would send, host name and version, and CONNECT_CLOSE, after which a daemon logs nothing. The first stage that fails
// decides outcome and cause; the [Result] has the message virsh would print.
//
// [Client] is the RPC alone, over any connection.
//
// The transports are tls, tcp, unix, ssh (the system's ssh, run exactly as libvirt runs it) and ext. libssh and libssh2
// are refused with an [*UnsupportedError]. SASL is
// done as far as ANONYMOUS over TLS; other mechanisms are named. No terminal is asked and no polkit agent is started.
//
// Nothing here waits for ever, whatever the other end does: each stage has its limit, and no length that a peer
// announces is believed beyond libvirt's own bounds, nor allocated before the bytes are there.
//
// Followed are doRemoteOpen, virNetSocketNewConnectTCP, virNetClientSetTLSSession and virnetmessage.c of libvirt;
// confirmed with libvirtd and virsh 9.0.0 (Debian 12).
package probe
