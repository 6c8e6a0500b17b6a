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
// The transports are tls, tcp, unix, ssh (the system's ssh, run exactly as libvirt runs it), ext, and libssh and libssh2
// (an SSH client in this process that follows what libvirt does with either library: keys, known_hosts, the order of the
// methods, its messages). SASL is done with SCRAM, PLAIN and ANONYMOUS; other mechanisms are named. Passwords come from
// auth.conf or from Options.Ask. No polkit agent and no session daemon is started, and no file is written.
//
// Nothing here waits for ever, whatever the other end does: each stage has its limit, and no length that a peer
// announces is believed beyond libvirt's own bounds, nor allocated before the bytes are there.
//
// Followed are doRemoteOpen, virNetSocketNewConnectTCP, virNetClientSetTLSSession, virNetLibsshAuthenticate,
// virNetSSHAuthenticateSession, remoteAuthSASL and virnetmessage.c of libvirt;
// confirmed with libvirtd and virsh 9.0.0 (Debian 12).
package probe
