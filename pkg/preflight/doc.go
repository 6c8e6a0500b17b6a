// Package preflight predicts what real libvirt will do with a daemon's configuration and files and with the clients that
// want to connect to it: whether the daemon starts, and what each connection comes to, with the one cause and the exact
// text that each side shows. Nothing is connected to.
//
// Call [Daemon.Start] first. The [Server] it gives says whether the daemon starts and why not; [Server.Connect] then predicts
// one connection after the other, and may be called by several goroutines. The machines on both ends are described by
// [Machine]: who runs there, which libvirt and GnuTLS, and how its files are read, so that a host's own files, a tree under
// another root and a test's map serve alike.
//
// A connection is predicted in libvirt's order: libvirt.conf and URI (package uri), the client's own files (package
// verify), name and port, tls_priority on both ends (package priority), a TLS handshake in memory with both sides' rules
// (package handshake), authentication, and the open of the hypervisor connection. The first that fails decides, and is the
// only cause that is named: of a daemon that does not start every connection says just that.
//
// [Cross] predicts the connections of all hosts to all hosts, and [Matrix.Migrate] what comes of live migrations with QEMU's own
// TLS among them (qemuMigrationParamsEnableTLS; compared with qemu-nbd and qemu-img 7.2, 10.0 and 11.1).
//
// A [Judge], where a [Daemon] has one, says beside it what RFC 5280 says to the certificates (package chain).
//
// What a prediction cannot know is said in [Connection.Unchecked]: a login by ssh, SASL passwords, whether a driver of the
// daemon is installed. Taken for certain is that a daemon listens with this very configuration and that no other program
// owns its ports.
//
// Followed are main of remote_daemon.c, daemonSetupNetworking, doRemoteOpen, virNetTLSContextLocateCredentials (from 11.10
// on virNetTLSConfig*), virNetTLSSessionNew and virNetSocketNewListenTCP. The predictions were compared with recorded
// connections of libvirt 9.0.0 (Debian 12), 11.3.0 (Debian 13) and 12.8.0 (Debian sid).
package preflight
