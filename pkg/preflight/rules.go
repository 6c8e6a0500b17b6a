package preflight

import (
	"sync"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
)

// Rules gives the rules of this package: what only both ends together show. The slice is the caller's.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

// ruleByID finds a rule of this package or of those whose stages it predicts.
func ruleByID(id string) finding.Rule {
	r, ok := index()[id]
	if !ok {
		panic("no rule " + id)
	}
	return r
}

// index is made when the first rule is looked for: most commands predict nothing.
var index = sync.OnceValue(func() map[string]finding.Rule {
	m := map[string]finding.Rule{}
	for _, set := range [][]finding.Rule{rules, probe.Rules(), handshake.Rules(), conf.Rules(), priority.Rules()} {
		for _, r := range set {
			m[r.ID] = r
		}
	}
	return m
})

const sourceListen = "libvirt virNetSocketNewListenTCP"

var rules = []finding.Rule{
	{
		ID: "log-file-unopenable", Title: "The daemon's log files can be opened", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "A file that log_outputs names is opened when the daemon starts; libvirt makes the file and not its directory.",
		LibvirtMessages: []string{"failed to open {path}: {reason}"},
		Remedy:          "make the directory, or name another file in log_outputs", Good: `log_outputs = "3:file:/var/log/libvirt/libvirtd.log"`,
		Bad: `log_outputs = "3:file:/nosuch/libvirtd.log"`, Source: "libvirt virLogNewOutputToFile",
	},
	{
		ID: "socket-directory-missing", Title: "The directory of the daemon's sockets is there", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "libvirt makes its default directory for UNIX sockets, and not one that unix_sock_dir names.",
		LibvirtMessages: []string{"Failed to bind socket to '{path}': No such file or directory"},
		Remedy:          "make the directory, or take unix_sock_dir out", Good: `no unix_sock_dir`,
		Bad: `unix_sock_dir = "/nosuch"`, Source: "libvirt virNetSocketNewListenUNIX",
	},
	{
		ID: "listen-address-unresolved", Title: "listen_addr has an address", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The daemon hands listen_addr to getaddrinfo when it starts. A name that is not known then, for example because the network is " +
			"not up yet, ends the daemon.",
		LibvirtMessages: []string{"Unable to resolve address '{host}' service '{port}': {error}"},
		Remedy:          "write an address of the machine into listen_addr, or take it out to listen on all", Good: `listen_addr = "192.0.2.5"`,
		Bad: `listen_addr = "no-such-name"`, Source: sourceListen,
	},
	{
		ID: "listen-address-not-own", Title: "listen_addr is an address of the machine", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "The daemon cannot listen on an address that no interface of the machine has, and ends.",
		LibvirtMessages: []string{"Unable to bind to port: Cannot assign requested address"},
		Remedy:          "ip address, for the addresses there are; correct listen_addr or take it out", Good: `listen_addr = "192.0.2.5"`,
		Bad: `listen_addr = "192.0.2.77"`, Source: sourceListen,
	},
	{
		ID: "listen-port-unknown", Title: "A port is a number or a known service", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "tls_port and tcp_port may be names of /etc/services. A name that does not stand there ends the daemon.",
		LibvirtMessages: []string{"Unable to resolve address '{host}' service '{port}': Servname not supported for ai_socktype"},
		Remedy:          "write the number", Good: `tls_port = "16514"`, Bad: `tls_port = "libvirt"`, Source: sourceListen,
	},
	{
		ID: "listen-address-other", Title: "The daemon listens where the client connects", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "listen_addr binds the daemon to the addresses it resolves to: 127.0.0.1 is nothing that another host reaches, and an IPv6 address " +
			"takes no IPv4.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection refused"},
		Remedy:          "take listen_addr out to listen on all addresses, or write the one that clients use", Good: "listen_addr not set",
		Bad: `listen_addr = "127.0.0.1" and clients elsewhere`, Source: sourceListen,
	},
	{
		ID: "listen-port-other", Title: "The daemon listens on the client's port", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Without a port in the URI a client connects to 16514 for tls and 16509 for tcp, whatever the daemon is told. Ports are counted modulo 65536, and " +
			"an empty one is chosen by the system.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection refused"},
		Remedy:          "write the daemon's port into the URI, or take tls_port out of its configuration", Good: "qemu+tls://host:16600/system and tls_port = \"16600\"",
		Bad: "qemu+tls://host/system and tls_port = \"16600\"", Source: "libvirt doRemoteOpen",
	},
	{
		ID: "daemon-does-not-listen", Title: "The daemon is told to listen", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "libvirtd listens for TLS only with --listen and listen_tls = 1 (its default), virtproxyd only with listen_tls = 1 (not its default), both instead " +
			"through a -tls.socket unit. Otherwise the daemon starts, and nobody is told.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection refused"},
		Remedy: "systemctl enable --now libvirtd-tls.socket (virtproxyd-tls.socket with modular daemons) while the service is stopped, or --listen and " +
			"listen_tls = 1",
		Good: "a started -tls.socket", Bad: "listen_tls = 1 and no --listen", Source: "libvirt daemonSetupNetworking",
	},
	{
		ID: "configuration-missing", Title: "The file that --config names is there", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "Without /etc/libvirt/libvirtd.conf the daemon goes on with its defaults. A file that --config names has to be there.",
		LibvirtMessages: []string{"Can't load config file: Failed to open file '{path}': {error}: {path}"},
		Remedy:          "correct --config where the arguments stand: systemctl cat libvirtd.service shows where that is", Good: "no --config",
		Bad: "--config /etc/libvirtd.conf", Source: "libvirt daemonConfigLoadFile",
	},
	{
		ID: "other-daemons-configuration", Title: "Settings stand in the file of the daemon that serves", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "libvirtd reads libvirtd.conf and virtproxyd reads virtproxyd.conf. With modular daemons virtproxyd does remote access, and what stands in " +
			"libvirtd.conf, TLS settings included, is read by nobody; with the monolithic libvirtd it is the other way round. What is set in " +
			"the files of the per-driver daemons (virtqemud.conf and so on) never counts.",
		Remedy: "move the settings into the file of the daemon that runs: systemctl list-units 'libvirtd*' 'virtproxyd*'",
		Good:   "tls_allowed_dn_list in virtproxyd.conf, virtproxyd-tls.socket enabled", Bad: "tls_allowed_dn_list in libvirtd.conf, virtproxyd-tls.socket enabled",
		Source: "libvirt docs/daemons.rst",
	},
	{
		ID: "daemon-not-restarted", Title: "The daemon knows its newest files", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "The daemon reads its configuration and its arguments when it starts, and never again; systemctl reload does not change that. Credentials are read " +
			"when it starts and by virt-admin server-update-tls, which looks at the default paths only. What is said here holds for the daemon after a restart.",
		Remedy: "systemctl restart libvirtd.service; guests go on", Good: "a restart after the edit", Bad: "an edit, and systemctl reload",
		Source: "libvirt daemonSetupNetworking, virNetServerUpdateTlsFiles",
	},
	{
		ID: "port-taken", Title: "No other program has the daemon's port", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A daemon that listens by itself ends when its port is taken on all addresses it wants; where only IPv4 or only IPv6 is taken, it goes on with the " +
			"other and says nothing. A socket unit fails.",
		LibvirtMessages: []string{"Unable to bind to port: Address already in use"},
		Remedy:          "ss -ltnp sport = :16514, and stop that program, or give the daemon another port", Good: "a free port",
		Bad: "a proxy on port 16514", Source: sourceListen,
	},
	{
		ID: "firewall-unopened", Title: "The firewall names the port", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "There are rules of a firewall, and as far as their files tell none lets TCP in on the daemon's port. Of firewalld the zones in use are read (the default one, " +
			"and those with interfaces or sources), with their services, ports and rich rules; to which zone NetworkManager gives a connection does not stand there. Of ufw, nftables " +
			"and iptables it is looked whether something is kept out and a line names the port: what the rules come to is not worked out.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection timed out",
			"unable to connect to server at '{host}:{port}': No route to host"},
		Remedy: "firewall-cmd --permanent --add-service=libvirt-tls; firewall-cmd --reload, or its like of another firewall",
		Good:   `<service name="libvirt-tls"/> in the zone`, Bad: "a zone with ssh only", Source: "firewalld's service libvirt-tls",
	},
	{
		ID: "transport-crossed", Title: "Transport and port belong together", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "The TLS port speaks TLS from the first byte on, the TCP port never does.",
		LibvirtMessages: []string{"Cannot recv data: Connection reset by peer", msgTerminated},
		Remedy:          "use +tls with port 16514 and +tcp with port 16509", Good: "qemu+tls://host:16514/system", Bad: "qemu+tcp://host:16514/system",
		Source: "libvirt virNetServerServiceAccept",
	},
	{
		ID: "daemon-without-identity", Title: "The daemon has a certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "With an empty cert_file or key_file (up to 11.9), or with empty cert_files and key_files (from 11.10 on), the daemon starts without a certificate " +
			"and can make no TLS session.",
		LibvirtMessages: []string{msgHandshake + "No supported cipher suites have been found."},
		Remedy:          "write the paths of certificate and key, or take the settings out to use the default paths", Good: `cert_file = "/etc/pki/libvirt/servercert.pem"`,
		Bad: `cert_file = ""`, Source: "libvirt virNetTLSContextLoadCredentials",
	},
	{
		ID: "priorities-disagree", Title: "The two tls_priority have something in common", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "Client and daemon need a version, a suite, a group and a signature algorithm that both take and that the daemon's key can serve. Where they have " +
			"none, the connection ends without an alert.",
		LibvirtMessages: []string{msgTerminated, msgHandshake + "No supported cipher suites have been found."},
		Remedy:          "virt-pki priority STRING, for both ends; leave tls_priority out where there is no reason for it", Good: "no tls_priority on either side",
		Bad: "NORMAL:-VERS-TLS1.3 and NORMAL:-VERS-ALL:+VERS-TLS1.3", Source: "GnuTLS _gnutls_figure_common_ciphersuite",
	},
	{
		ID: "server-key-usage-unfit", Title: "The daemon's certificate may be used for TLS", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "A server certificate with a keyUsage needs digitalSignature in it. With keyEncipherment alone GnuTLS serves an RSA key with TLS 1.2 and the RSA " +
			"key exchange only, with neither not at all. Where the extension is not critical, libvirt itself only warns of it when it starts.",
		LibvirtMessages: []string{msgHandshake + "No supported cipher suites have been found."},
		Remedy:          "virt-pki issue server NAME", Good: "keyUsage digitalSignature, keyEncipherment", Bad: "keyUsage keyCertSign, not critical",
		Source: "GnuTLS lib/auth/cert.c",
	},
	{
		ID: "key-too-small-to-sign", Title: "The RSA keys have room for the signature", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "An RSA-PSS signature needs a key with room for two hashes: 528 bits for SHA-256, 784 for SHA-384, 1040 for SHA-512. GnuTLS chooses the algorithm " +
			"without a look at the key and then fails.",
		LibvirtMessages: []string{msgHandshake + "Some constraint limits were reached."},
		Remedy:          "virt-pki issue server NAME (or client NAME), with a key of 2048 bits or more", Good: "RSA-2048", Bad: "RSA-512",
		Source: "GnuTLS lib/nettle/pk.c (RFC 8017, 9.1.1)",
	},
}

// whyDeaf says in a sentence why the daemon does not listen.
func (s *Server) whyDeaf(tls bool) string {
	what, key := "TLS", "listen_tls"
	on := s.Conf.ListenTLS
	if !tls {
		what, key, on = "TCP", "listen_tcp", s.Conf.ListenTCP
	}
	switch {
	case s.Conf.Kind != conf.Libvirtd && s.Conf.Kind != conf.Virtproxyd:
		return "This daemon has no remote access; with modular daemons virtproxyd does it."
	case s.Conf.Run.SocketActivated:
		return "The daemon is started by socket units, and none of them is for " + what + "."
	case !on:
		return "The daemon does not listen for " + what + ": " + key + " is 0."
	default:
		return "libvirtd is run without --listen and listens for nothing but its sockets."
	}
}
