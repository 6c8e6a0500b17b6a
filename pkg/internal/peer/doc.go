// Package peer drives the real programs that virt-pki is measured against: libvirtd, virsh, virt-admin,
// virt-pki-query-dn, certtool, openssl, gnutls-cli, qemu-nbd and qemu-img. It is for tests only.
//
// Begin with [Need], which skips a test whose programs are missing (a failure when VIRT_PKI_REQUIRE_PEERS=1, as in CI).
// [Start] runs a private libvirtd on loopback and says how it came up; a daemon that refuses is a result, not a failure
// of the test. [Virsh], [QueryDN], [Certtool], [OpenSSL], [GnutlsCLI] and [QemuImg] run a program to its end. Where a
// program runs (as which user, in which root, on which machine, in which home) is a [Place]; its zero value is here.
// [NewMachine] makes a pretended machine: a mount and a network namespace with an /etc, /root and /run of its own.
// [Roots] gives this machine's libvirt and the newer ones in roots made by scripts/libvirt-root. Around a daemon there may be
// [SASL] and [StartSSHD]; what an authority works with are [StartPostgreSQL], [StartCFSSL] and [NewSoftHSM].
//
// What programs in a root or on a pretended machine are to see must lie below /tmp: [Dir] makes a directory there, short
// enough for UNIX sockets and open to other users (testing's TempDir is neither).
//
// Nothing outlives a test: programs end with it, also when the test binary is killed, and mounts exist only in private
// namespaces. The package touches no real /etc and starts nothing on other addresses than loopback.
//
// Confirmed with libvirt 9.0.0 (Debian 12), 11.3.0 (Debian 13) and 12.8.0 (sid). Not done: virtproxyd and the other
// modular daemons.
package peer
