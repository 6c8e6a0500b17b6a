package probe

import "github.com/virt-pki/virt-pki/pkg/finding"

// Rules gives the rules of this package: what stops a connection outside URI, certificates and TLS.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func ruleByID(id string) finding.Rule {
	for _, r := range rules {
		if r.ID == id {
			return r
		}
	}
	panic("no rule " + id)
}

const (
	sourceTCP  = "libvirt virNetSocketNewConnectTCP"
	sourceUNIX = "libvirt virNetSocketNewConnectUNIX"
	sourceRPC  = "libvirt virNetClientIOHandleInput, virNetMessageDecodeLength"
	sourceAuth = "libvirt remoteAuthenticate"

	sourceCommand = "libvirt virNetSocketNewConnectCommand"
	sourceSSH     = "libvirt virNetSocketNewConnectSSH, ssh(1)"
)

var rules = []finding.Rule{
	{
		ID: "client-conf-unreadable", Title: "libvirt.conf can be read", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Every connection reads libvirt.conf first: root that of /etc/libvirt, others only their own. One syntax error stops all " +
			"of them, test:///default included.",
		LibvirtMessages: []string{"configuration file syntax error: {file}:{line}: {text}"},
		Remedy:          "virt-pki conf FILE shows the line; correct it", Good: `uri_default = "qemu:///system"`, Bad: "uri_default = qemu:///system",
		Source: "libvirt virConfLoadConfig",
	},
	{
		ID: "name-not-resolved", Title: "The host has an address", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "libvirt hands the host of the URI to getaddrinfo. A zone behind an IPv6 address (fe80::1%25eth0) works for link-local addresses only.",
		LibvirtMessages: []string{"Unable to resolve address '{host}' service '{port}': Name or service not known"},
		Remedy:          "correct the host in the URI, or give the name an address in DNS or /etc/hosts", Good: "a name that getent ahosts NAME knows",
		Bad: "a misspelt name", Source: sourceTCP,
	},
	{
		ID: "name-service-fails", Title: "A name server answers", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The name could neither be found nor be ruled out.",
		LibvirtMessages: []string{"Unable to resolve address '{host}' service '{port}': Temporary failure in name resolution"},
		Remedy:          "check /etc/resolv.conf and the network, or use an address (which must then be in the certificate)", Good: "a reachable name server",
		Bad: "no network", Source: sourceTCP,
	},
	{
		ID: "connection-refused", Title: "Something listens on the port", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The host answers, and nothing listens there. Usual reasons: libvirtd runs without --listen or virtproxyd without listen_tls = 1; " +
			"the -tls.socket unit is not started; listen_addr names another address; the daemon did not start, because its credentials " +
			"or its configuration are refused; the port is another one.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection refused"},
		Remedy:          "on the server: systemctl status virtproxyd-tls.socket libvirtd-tls.socket; ss -ltn; virt-pki preflight", Good: "a daemon that listens",
		Bad: "libvirtd without --listen", Source: sourceTCP,
	},
	{
		ID: "host-unreachable", Title: "There is a route to the host", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The network says that the host cannot be reached; a firewall that rejects says so too.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': No route to host",
			"unable to connect to server at '{host}:{port}': Network is unreachable"},
		Remedy: "check address, routes and firewall (TCP port 16514 for tls, 16509 for tcp)", Good: "a host on this network", Bad: "a host behind a rejecting firewall",
		Source: sourceTCP,
	},
	{
		ID: "connection-times-out", Title: "The host answers", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "Nothing came back at all, as with a host that is off or a firewall that drops. virsh waits for the kernel's limit, about two minutes.",
		LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': Connection timed out"},
		Remedy:          "check that the host is up and that no firewall drops TCP port 16514 (tls) or 16509 (tcp)", Good: "a host that is up", Bad: "a dropped packet",
		Source: sourceTCP,
	},
	{
		ID: "connection-fails", Title: "A connection can be made", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The system refused the connection for a reason of its own.", LibvirtMessages: []string{"unable to connect to server at '{host}:{port}': {error}"},
		Remedy: "see the error's text", Good: "a connection", Bad: "no permission to connect", Source: sourceTCP,
	},
	{
		ID: "socket-missing", Title: "The daemon's socket is there", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "No daemon made this socket. System daemons have theirs in /run/libvirt, a user's daemon in $XDG_RUNTIME_DIR/libvirt; it is started " +
			"by virsh on demand, but not by virt-pki.",
		LibvirtMessages: []string{"Failed to connect socket to '{path}': No such file or directory"},
		Remedy:          "systemctl start virtqemud.socket (modular) or libvirtd.socket, or name the socket with socket=", Good: "qemu:///system with a running daemon",
		Bad: "qemu:///system without one", Source: sourceUNIX,
	},
	{
		ID: "socket-permission", Title: "The socket may be used", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The socket's group and mode (unix_sock_group, unix_sock_rw_perms, or SocketGroup and SocketMode of the unit) do not let this user in.",
		LibvirtMessages: []string{"Failed to connect socket to '{path}': Permission denied"},
		Remedy:          "join the group of the socket (usually libvirt), or connect read-only", Good: "a member of the group libvirt", Bad: "another user on a socket of mode 0770",
		Source: sourceUNIX,
	},
	{
		ID: "socket-refused", Title: "A daemon listens on the socket", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The socket's file is there and nobody listens: the daemon is gone. With socket=@NAME there is no file, and no abstract socket of that name.",
		LibvirtMessages: []string{"Failed to connect socket to '{path}': Connection refused"},
		Remedy:          "restart the daemon; it replaces the file", Good: "a running daemon", Bad: "the socket of a killed daemon", Source: sourceUNIX,
	},
	{
		ID: "socket-fails", Title: "The socket can be connected", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The system refused the connection for a reason of its own.", LibvirtMessages: []string{"Failed to connect socket to '{path}': {error}"},
		Remedy: "see the error's text", Good: "a socket", Bad: "a regular file", Source: sourceUNIX,
	},
	{
		ID: "socket-path-too-long", Title: "A socket's path has at most 107 bytes", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The kernel takes no more.", LibvirtMessages: []string{"Path {path} too long for unix socket: {error}"},
		Remedy: "use a shorter directory, for example through XDG_RUNTIME_DIR", Good: "/run/libvirt/libvirt-sock", Bad: "a path of 120 bytes", Source: sourceUNIX,
	},
	{
		ID: "peer-silent", Title: "The other end answers", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "A connection was made, and then nothing came. libvirt has no time limit here: virsh waits for ever. A daemon that has reached " +
			"max_clients looks like this, as does one that is stopped, or a port that belongs to another program.",
		Remedy: "on the server: virt-admin srv-clients-info libvirtd; raise max_clients, or restart the daemon", Good: "a daemon with room for a client",
		Bad: "a daemon at max_clients", Source: "libvirt virNetServerDispatchCheck, virNetTLSSessionHandshake",
	},
	{
		ID: "command-not-found", Title: "The command is there", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "ssh, or the program that command= names, was not found. It is one word: blanks in command= belong to its name.",
		LibvirtMessages: []string{"Cannot find '{command}' in path: No such file or directory",
			"cannot execute binary {command}: No such file or directory"},
		Remedy: "install openssh-client, or correct command=", Good: "command=/usr/bin/ssh", Bad: "command=/usr/bin/ssh%20-v", Source: sourceCommand,
	},
	{
		ID: "command-fails", Title: "The command reaches a daemon", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The command ended before a daemon answered through it. What it wrote to standard error stands in the message.",
		LibvirtMessages: []string{"Cannot recv data: {stderr}: Connection reset by peer", "End of file while reading data: {stderr}: Input/output error",
			"internal error: client socket is closed"},
		Remedy: "virt-pki uri URI shows the command; run it by hand", Good: "a command that connects its standard input and output to a daemon", Bad: "command=/bin/false",
		Source: sourceCommand,
	},
	{
		ID: "ssh-host-key-unknown", Title: "The host key is known to ssh", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "ssh does not know the host's key and has no terminal to ask on. It looks into the known_hosts of the passwd entry's home, whatever $HOME says.",
		LibvirtMessages: []string{"Host key verification failed."},
		Remedy:          "log in once with ssh HOST and compare the fingerprint, or ssh-keyscan HOST >> ~/.ssh/known_hosts after a comparison", Good: "a host in known_hosts",
		Bad: "a new host", Source: sourceSSH,
	},
	{
		ID: "ssh-host-key-changed", Title: "The host key is the one that is known", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The host shows another key than it did before: it was installed anew, or somebody sits in between.", LibvirtMessages: []string{"REMOTE HOST IDENTIFICATION HAS CHANGED"},
		Remedy: "find out why; then ssh-keygen -R HOST", Good: "the same key", Bad: "another key", Source: sourceSSH,
	},
	{
		ID: "ssh-name-not-resolved", Title: "ssh finds the host", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The name has no address, and no Host entry of ssh's configuration gives one.", LibvirtMessages: []string{"Could not resolve hostname {host}"},
		Remedy: "correct the host in the URI", Good: "a name that ssh knows", Bad: "a misspelt name", Source: sourceSSH,
	},
	{
		ID: "ssh-not-reached", Title: "ssh reaches the host", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Nothing that speaks SSH answers there.", LibvirtMessages: []string{"ssh: connect to host {host} port {port}: {error}"},
		Remedy: "check host, port and firewall, and that sshd runs", Good: "a running sshd", Bad: "a closed port", Source: sourceSSH,
	},
	{
		ID: "ssh-login-refused", Title: "ssh logs in", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "No key of this user is accepted for the user of the URI (the caller's name where it names none), and nobody could be asked for a password.",
		LibvirtMessages: []string{"Permission denied ({methods})."},
		Remedy:          "ssh-copy-id USER@HOST, or name the key with keyfile=", Good: "a key in authorized_keys", Bad: "an unknown user", Source: sourceSSH,
	},
	{
		ID: "ssh-no-helper", Title: "virt-ssh-helper is on the far side", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "proxy=native, which session URIs of ordinary users imply, needs virt-ssh-helper (libvirt 6.8 and later) on the far side.",
		LibvirtMessages: []string{"virt-ssh-helper: command not found"},
		Remedy:          "install libvirt-daemon-common or libvirt-clients there, or write proxy=netcat", Good: "proxy=auto", Bad: "proxy=native to an old host", Source: sourceSSH,
	},
	{
		ID: "ssh-no-netcat", Title: "netcat is on the far side", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "proxy=netcat, which socket= and netcat= imply, runs nc on the far side, and proxy=auto where there is no virt-ssh-helper.",
		LibvirtMessages: []string{"nc: command not found"},
		Remedy:          "install netcat-openbsd there, or name the program with netcat=", Good: "netcat=/usr/bin/nc", Bad: "netcat=/nosuch/nc", Source: sourceSSH,
	},
	{
		ID: "ssh-socket-missing", Title: "A daemon listens on the far side", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The login works; the daemon's socket is not there, or nobody listens on it.",
		LibvirtMessages: []string{"virt-ssh-helper: cannot connect to '{path}': {error}", "nc: {path}: No such file or directory"},
		Remedy:          "start the daemon there (systemctl start virtqemud.socket or libvirtd.socket), or correct socket=", Good: "a running daemon", Bad: "socket=/nosuch",
		Source: sourceSSH,
	},
	{
		ID: "ssh-socket-permission", Title: "The user on the far side may use the socket", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The login works; the socket's group and mode do not let that user in.", LibvirtMessages: []string{"Failed to connect socket to '{path}': Permission denied"},
		Remedy: "log in as a member of the group libvirt there, or as root", Good: "a member of the group libvirt", Bad: "another user", Source: sourceSSH,
	},
	{
		ID: "tls-priority-not-applied", Title: "tls_priority is applied", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "The URI or libvirt.conf has a tls_priority, which the handshake did not follow. A client with a bad string would stop after it has " +
			"connected, and one with a narrow string might find no common version or suite.",
		Remedy: "virt-pki priority STRING says what the string means", Good: "test+tls://host/default", Bad: "test+tls://host/default?tls_priority=SECURE256",
		Source: "libvirt virNetTLSSessionNew",
	},
	{
		ID: "connection-lost", Title: "The connection lasts until it is open", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The other end closed or reset the connection before the open was answered. Plain tcp on a TLS port is reset at once; so is a client beyond max_anonymous_clients.",
		LibvirtMessages: []string{"Cannot recv data: {error}", "Cannot write data: {error}", "End of file while reading data: Input/output error",
			"internal error: client socket is closed"},
		Remedy: "check that transport and port belong together (tls 16514, tcp 16509), and the daemon's log", Good: "+tcp on the TCP port", Bad: "+tcp on the TLS port",
		Source: sourceRPC,
	},
	{
		ID: "not-libvirt", Title: "The other end speaks libvirt's protocol", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "What came back is no RPC message of libvirt, or no answer to what was asked: another program owns the port or the socket.",
		LibvirtMessages: []string{"packet {size} bytes received from server too large, want {limit}", "packet {size} bytes received from server too small, want {limit}",
			"got unexpected RPC call {text}"},
		Remedy: "check host and port", Good: "libvirtd", Bad: "a web server", Source: sourceRPC,
	},
	{
		ID: "authentication-refused", Title: "The daemon says what it asks for", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "AUTH_LIST, the first question of every client, was answered with an error.", Remedy: "see the daemon's log", Good: "an answer", Bad: "an error",
		Source: sourceAuth,
	},
	{
		ID: "authentication-unknown", Title: "The daemon asks for none, sasl or polkit", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The daemon asks for an authentication that no libvirt known here has.", LibvirtMessages: []string{"authentication failed: unsupported authentication type {number}"},
		Remedy: "update virt-pki", Good: `auth_tls = "none"`, Bad: "a daemon of the future", Source: sourceAuth,
	},
	{
		ID: "authentication-type-of-uri", Title: "auth= names what the daemon asks for", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "auth=sasl, auth=sasl.MECHANISM and auth=polkit insist on one kind of authentication.",
		LibvirtMessages: []string{"authentication failed: unknown authentication type {type}", "authentication failed: requested authentication type {type} rejected"},
		Remedy:          "leave auth= out of the URI", Good: "test+tls://host/default", Bad: "test+tls://host/default?auth=polkit", Source: sourceAuth,
	},
	{
		ID: "polkit-refused", Title: "polkit lets the client in", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The daemon asks polkit about the process at the other end of the socket (org.libvirt.unix.manage, or .monitor for read-only). Over TLS and " +
			"TCP there is no such process, so that auth_tls = \"polkit\" refuses everyone.",
		LibvirtMessages: []string{"authentication failed: access denied by policy",
			"authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'",
			"internal error: Unable to get system bus connection: {error}"},
		Remedy: "join the group libvirt, write a polkit rule, or set auth_tls = \"none\" for TLS", Good: "a member of the group libvirt", Bad: `auth_tls = "polkit"`,
		Source: "libvirt remoteAuthPolkit",
	},
	{
		ID: "sasl-not-ready", Title: "The daemon can do SASL", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The daemon asks for SASL and fails to begin it: the mechanisms of /etc/sasl2/libvirt.conf are not installed (Debian's default, gssapi, needs " +
			"libsasl2-modules-gssapi-mit), or its keytab or user database is missing.",
		LibvirtMessages: []string{"authentication failed: authentication failed"},
		Remedy:          "install the mechanism named in mech_list of /etc/sasl2/libvirt.conf, or choose another there", Good: "mech_list: scram-sha-256 with its user database",
		Bad: "mech_list: gssapi without the module", Source: "libvirt remoteDispatchAuthSaslInit",
	},
	{
		ID: "sasl-mechanism-missing", Title: "The SASL mechanism of the URI is offered", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "auth=sasl.MECHANISM insists on one mechanism.", LibvirtMessages: []string{"authentication failed: SASL mechanism {mechanism} not supported by server"},
		Remedy: "name one the daemon offers, or write auth=sasl", Good: "auth=sasl", Bad: "auth=sasl.nosuch", Source: "libvirt remoteAuthSASL",
	},
	{
		ID: "sasl-mechanism-not-done", Title: "virt-pki does the SASL mechanism", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The daemon asks for SASL with mechanisms that need credentials. TLS and certificates are in order up to here; whether the login would " +
			"succeed was not tried.",
		Remedy: "try the login with virsh", Good: "mech_list: anonymous", Bad: "mech_list: scram-sha-256", Source: "libvirt remoteAuthSASL",
	},
	{
		ID: "sasl-needs-encryption", Title: "SASL over plain TCP encrypts", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "Over tcp a client wants a mechanism with an encryption layer of at least 56 bits.", LibvirtMessages: []string{"authentication failed: negotiation SSF {number} was not strong enough"},
		Remedy: "use +tls", Good: "test+tls://host/default", Bad: "test+tcp://host/default with mech_list: anonymous", Source: "libvirt remoteAuthSASL",
	},
	{
		ID: "sasl-refused", Title: "SASL lets the client in", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "The daemon refused the SASL login: the user is unknown, the password wrong, or sasl_allowed_username_list does not have the user.",
		LibvirtMessages: []string{"authentication failed: authentication failed", "authentication failed: Failed to start SASL negotiation: {error}"},
		Remedy:          "check sasl_allowed_username_list in libvirtd.conf and the user with sasldblistusers2", Good: "a listed user", Bad: "an unlisted user",
		Source: "libvirt remoteDispatchAuthSaslStart",
	},
	{
		ID: "open-no-driver", Title: "The daemon has the driver", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "TLS, certificates and authentication are in order; the daemon does not have the driver of the URI, as it is misspelt, not installed or, " +
			"with modular daemons, not running.",
		LibvirtMessages: []string{"no connection driver available for {uri}"},
		Remedy:          "correct the driver in the URI (qemu, xen, lxc, test), or install and start it on the server", Good: "qemu+tls://host/system", Bad: "kvm+tls://host/system",
		Source: "libvirt virConnectOpenInternal",
	},
	{
		ID: "open-refused", Title: "The daemon opens the connection", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:   "TLS, certificates and authentication are in order; the daemon's driver refused the open.",
		Remedy: "check the path of the URI: /system or /session for qemu", Good: "qemu+tls://host/system", Bad: "qemu+tls://host/", Source: "libvirt remoteDispatchConnectOpen",
	},
}
