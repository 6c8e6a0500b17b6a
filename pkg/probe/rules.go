package probe

import "github.com/virt-pki/virt-pki/pkg/finding"

// Rules gives the rules of this package: what stops a connection outside URI, certificates and TLS.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func ruleByID(id string) finding.Rule { return finding.Named(rules, id) }

const (
	sourceTCP  = "libvirt virNetSocketNewConnectTCP"
	sourceUNIX = "libvirt virNetSocketNewConnectUNIX"
	sourceRPC  = "libvirt virNetClientIOHandleInput, virNetMessageDecodeLength"
	sourceAuth = "libvirt remoteAuthenticate"

	sourceCommand   = "libvirt virNetSocketNewConnectCommand"
	sourceSSHConfig = "libssh ssh_config_parse_line, measured with libvirt 9.0.0 and libssh 0.10.6"
	sourceLibSSH    = "libvirt virNetLibsshAuthenticate, virNetSSHAuthenticateSession"
	sourceSSH       = "libvirt virNetSocketNewConnectSSH, ssh(1)"
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
		Text:            "No daemon made this socket. System daemons have theirs in /run/libvirt, a user's daemon in $XDG_RUNTIME_DIR/libvirt.",
		LibvirtMessages: []string{"Failed to connect socket to '{path}': No such file or directory"},
		Remedy:          "systemctl start virtqemud.socket (modular) or libvirtd.socket, or name the socket with socket=", Good: "qemu:///system with a running daemon",
		Bad: "qemu:///system without one", Source: sourceUNIX,
	},
	{
		ID: "session-daemon-not-running", Title: "The user's own daemon runs", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "A URI with /session, and test+unix for others than root, means a daemon of this user, which virsh starts when it is not there " +
			"(unless LIBVIRT_AUTOSTART=0; the program is that of VIRTD_PATH, LIBVIRTD_PATH or the build). It ends by itself after two minutes without clients. virt-pki starts nothing.",
		LibvirtMessages: []string{"Failed to connect socket to '{path}': No such file or directory"},
		Remedy:          "start it with virsh -c qemu:///session version, and verify again", Good: "qemu:///session while virt-manager runs", Bad: "qemu:///session after a login",
		Source: "libvirt virNetSocketNewConnectUNIX, remoteConnectOpen",
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
		Text: "The socket's file is there and nobody listens: the daemon is gone. With socket=@NAME there is no file, and no abstract socket " +
			"of that name, which libvirt fills up with NUL bytes to 108: a program that listens under the bare name is not found.",
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
		ID: "libssh-handshake", Title: "libssh or libssh2 gets an SSH session", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "What answers is not SSH, or shares no algorithm. libssh2 before 1.11 (libvirt 9 on Debian 12) knows no RSA host key but with SHA-1, " +
			"which OpenSSH 8.8 and later does not offer.",
		LibvirtMessages: []string{"no connection driver available for SSH session handshake failed: {error}", "libssh transport error: failed to open ssh channel: {error}"},
		Remedy:          "check host and port; give the server an Ed25519 or ECDSA host key; try +ssh", Good: "a server with an Ed25519 host key", Bad: "a web server's port",
		Source: sourceLibSSH,
	},
	{
		ID: "libssh-host-key-unknown", Title: "libssh and libssh2 know the host key", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "libssh and libssh2 look into libvirt's own known_hosts ($XDG_CONFIG_HOME/libvirt/known_hosts), not into that of ssh. With known_hosts_verify=normal, " +
			"the default, somebody is asked about an unknown key; where nobody is, it is refused. no_verify does nothing here. libssh2 looks for " +
			"[host]:port and for host, to the letter; libssh for [host]:port unless the port is 22, with patterns.",
		LibvirtMessages: []string{"libssh transport error: SSH host key for '{host}' ({hash}) was not accepted", "SSH transport error: SSH host key for '{host}' ({hash}) was not accepted",
			"libssh transport error: failed to retrieve decision to accept host key"},
		Remedy: "known_hosts=$HOME/.ssh/known_hosts in the URI, or ssh-keyscan -p PORT HOST >> ~/.config/libvirt/known_hosts after a comparison",
		Good:   "test+libssh://host/default?known_hosts=/root/.ssh/known_hosts", Bad: "test+libssh://host/default for the first time", Source: sourceLibSSH,
	},
	{
		ID: "libssh-host-key-changed", Title: "The host key is the one in libvirt's known_hosts", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The file has another key for this host: it was installed anew, or somebody sits in between. libssh2 takes the server's ECDSA key where there is one, " +
			"and a file with only another key of the same host is a changed host to it. Lines that end with CR are not the same key either. " +
			"What libvirt calls the new key in its message for libssh2 is the stored one.",
		LibvirtMessages: []string{"authentication failed: !!! SSH HOST KEY VERIFICATION FAILED !!!: Identity of host '{host}:{port}' differs from stored identity."},
		Remedy:          "find out why; then ssh-keygen -R '[HOST]:PORT' -f FILE, and for libssh2 store all keys of the host (ssh-keyscan)", Good: "the same key", Bad: "another key",
		Source: sourceLibSSH,
	},
	{
		ID: "libssh-host-key-new", Title: "The host key is stored", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "The key was accepted, because the user said so or known_hosts_verify=auto does. libvirt writes it into known_hosts; virt-pki changes no file.",
		Good: "a host in known_hosts", Bad: "known_hosts_verify=auto to a new host", Remedy: "ssh-keyscan -p PORT HOST >> FILE, after a comparison", Source: sourceLibSSH,
	},
	{
		ID: "libssh-config-applies", Title: "OpenSSH's configuration changes what libssh does", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "libssh reads .ssh/config in the home that the account has, whatever HOME says, and then /etc/ssh/ssh_config, after libvirt has connected and chosen " +
			"user and key. So Port, HostName, User, IdentityFile, ProxyCommand and ProxyJump have no effect on where libvirt connects and as whom; what is said " +
			"of known_hosts, and the algorithms, replaces what the URI says. Of a Host line the first pattern that fits decides, with or without an exclamation mark. libssh2 reads none of it.",
		Good: "no such line for this host", Bad: "UserKnownHostsFile /etc/cluster/known_hosts and known_hosts= in the URI", Remedy: "delete the line, or narrow its Host block to other hosts", Source: sourceSSHConfig,
	},
	{
		ID: "libssh-config-any-host-key", Title: "StrictHostKeyChecking no is taken at its word", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "With StrictHostKeyChecking no in .ssh/config or /etc/ssh/ssh_config, libssh tells libvirt that every host key is known: also one that differs from " +
			"the stored one, and one that is marked as revoked. OpenSSH would refuse a changed key for passwords. Anybody in between can take the daemon's place.",
		Good: "StrictHostKeyChecking ask", Bad: "Host *\n  StrictHostKeyChecking no", Remedy: "delete the line, or use known_hosts_verify=auto in the URI", Source: sourceSSHConfig,
	},
	{
		ID: "libssh-config-not-followed", Title: "Settings of OpenSSH's configuration that virt-pki does not follow", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "libssh would heed this line and virt-pki does not: lists of ciphers, MACs, key exchanges and of a user's key algorithms, lists that begin with +, - or ^, and Match exec, " +
			"which runs a command. Where the two ends then agree on nothing, libvirt fails and virt-pki does not see it.",
		Good: "no such line for this host", Bad: "Ciphers aes128-cbc", Remedy: "try it with virsh, or without the line", Source: sourceSSHConfig,
	},
	{
		ID: "libssh-config-unusable", Title: "libssh understands every Match of OpenSSH's configuration", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "A criterion of Match that libssh does not know, or one without its value, ends the connection after TCP, and libvirt has no words for it.",
		LibvirtMessages: []string{unknownError}, Good: "Match host kvm1", Bad: "Match nosuch kvm1", Remedy: "delete the Match block", Source: sourceSSHConfig,
	},
	{
		ID: "libssh2-known-hosts-unreadable", Title: "libssh2 can read every line of known_hosts", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "One line without a key, or with less than 20 characters behind the host, and libssh2 refuses the whole file, for all hosts and even with " +
			"known_hosts_verify=ignore.",
		LibvirtMessages: []string{"SSH transport error: unable to load knownhosts file '{file}': Failed to parse known hosts file"},
		Remedy:          "delete the line", Good: "host ssh-ed25519 AAAA...", Bad: "host", Source: "libssh2 libssh2_knownhost_readfile",
	},
	{
		ID: "libssh-login-refused", Title: "libssh or libssh2 logs in", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The methods of sshauth= were tried in order (agent, privkey, password, keyboard-interactive where it is absent), as the user of the URI or root. " +
			"Only one key is tried: keyfile=, or the first that exists of identity, id_dsa, id_ecdsa, id_ed25519 and id_rsa in ~/.ssh. A password comes from " +
			"auth.conf ([auth-ssh-HOST]) or is asked for. After refused passwords libvirt asks until the server hangs up, and with libssh then waits for ever.",
		LibvirtMessages: []string{"authentication failed: All provided authentication methods with credentials were rejected by the server",
			"authentication failed: None of the requested authentication methods are supported by the server",
			"libssh transport error: failed to authenticate: Access denied for '{method}'. Authentication that can continue: {methods}",
			"authentication failed: authentication with private key '{file}' has failed: Username/PublicKey combination invalid",
			"authentication failed: authentication failed: Waiting for password response",
			"authentication failed: keyboard interactive authentication failed: Unable to send keyboard-interactive request",
			"SSH transport error: Failed to connect to ssh agent", "libssh transport error: No authentication methods and credentials provided"},
		Remedy: "write USER@ before the host; ssh-copy-id USER@HOST; name the key with keyfile=", Good: "test+libssh://admin@host/default?keyfile=/home/admin/.ssh/id_ed25519",
		Bad: "test+libssh://host/default without a key of root", Source: sourceLibSSH,
	},
	{
		ID: "libssh-no-key", Title: "sshauth=privkey has a key", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "A demand for privkey without keyfile= and without a key in ~/.ssh stops libvirt before it connects.",
		LibvirtMessages: []string{"libssh transport error: Key file path must be provided for private key authentication",
			"SSH transport error: Username and key file path must be provided for private key authentication"},
		Remedy: "name the key with keyfile=", Good: "sshauth=privkey&keyfile=/root/.ssh/id_ed25519", Bad: "sshauth=privkey", Source: sourceLibSSH,
	},
	{
		ID: "libssh-key-unreadable", Title: "The private key can be read", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The file is missing, is no private key, or is encrypted and the passphrase is missing or wrong. Other methods of sshauth= are then not tried any more.",
		LibvirtMessages: []string{"authentication failed: error while reading private key '{file}'",
			"authentication failed: error while opening private key '{file}', wrong passphrase?",
			"authentication failed: authentication with private key '{file}' has failed: Unable to extract public key from private key file: {error}"},
		Remedy: "correct keyfile=, or add the key to an ssh-agent", Good: "keyfile=/root/.ssh/id_ed25519", Bad: "keyfile=~/.ssh/id_ed25519", Source: sourceLibSSH,
	},
	{
		ID: "auth-conf-unusable", Title: "auth.conf can be used", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The auth.conf that LIBVIRT_AUTH_FILE or authfile= names must be there, and any must be a key file: groups in brackets, KEY=VALUE lines, comments with #. " +
			"[auth-SERVICE-HOST] or [auth-SERVICE-default] needs credentials=NAME, and [credentials-NAME] must exist.",
		LibvirtMessages: []string{"configuration file syntax error: Missing item 'credentials' in group '{group}' in '{file}'",
			"configuration file syntax error: Missing group 'credentials-{name}' referenced from group '{group}' in '{file}'", unknownError},
		Remedy: "correct the file", Good: "[credentials-a]\nauthname=fred\npassword=...\n[auth-libvirt-default]\ncredentials=a", Bad: "[auth-libvirt-default]\nauthname=fred",
		Source: "libvirt virAuthConfigLookup",
	},
	{
		ID: "tls-priority-refused", Title: "GnuTLS takes the client's tls_priority", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The tls_priority of the URI, or of libvirt.conf, is no priority string, or leaves nothing to offer. libvirt notices when it is connected already.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {string}: The request is invalid.",
			"Failed to set TLS session priority to {string}: No or insufficient priorities were set."},
		Remedy: "virt-pki priority STRING shows the place", Good: "tls_priority=NORMAL:-VERS-TLS1.3", Bad: "tls_priority=NORMAL:+NOSUCH",
		Source: "libvirt virNetTLSSessionNew",
	},
	{
		ID: "tls-priority-not-applied", Title: "tls_priority is applied to the letter", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "virt-pki's handshake is done by Go's TLS, which has not all that GnuTLS has: finite-field groups, AES-CCM, its own order of suites and signatures. What " +
			"was otherwise than libvirt would do stands in the message. It matters only when the two ends have nothing else in common.",
		Remedy: "virt-pki priority STRING says what the string means", Good: "test+tls://host/default", Bad: "test+tls://host/default?tls_priority=NORMAL:-GROUP-ALL:%2BGROUP-FFDHE2048",
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
			"got unexpected RPC call {text}", "no call waiting for reply with prog {program} vers {version} serial {serial}",
			"internal error: Unexpected message proc {procedure} != {asked}", "Unexpected message status {status}"},
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
			"libsasl2-modules-gssapi-mit), or its keytab or user database is missing. Over plain TCP a mechanism that does not encrypt counts as missing.",
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
		Text: "The daemon asks for SASL with mechanisms that virt-pki does not do, as GSSAPI and DIGEST-MD5, the only two that encrypt and thus work over plain TCP. " +
			"TLS and certificates are in order up to here; whether the login would succeed was not tried.",
		Remedy: "try the login with virsh", Good: "mech_list: scram-sha-256", Bad: "mech_list: gssapi", Source: "libvirt remoteAuthSASL",
	},
	{
		ID: "sasl-no-credentials", Title: "There are a name and a password for SASL", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "auth.conf is looked for in LIBVIRT_AUTH_FILE, authfile= of the URI, $XDG_CONFIG_HOME/libvirt and /etc/libvirt. Its group [auth-libvirt-HOST] or " +
			"[auth-libvirt-default] names one with authname and password; username is not what virsh takes. What is not there is asked for on a terminal.",
		LibvirtMessages: []string{"authentication failed: Failed to start SASL negotiation: -1 (SASL(-1): generic failure: All-whitespace username.)"},
		Remedy:          "write authname and password into auth.conf, mode 0600", Good: "authname=fred", Bad: "username=fred", Source: "libvirt remoteAuthFillFromConfig",
	},
	{
		ID: "sasl-server-unproven", Title: "The daemon proves that it knows the password", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:   "In SCRAM both ends prove that they know the password. This daemon did not: somebody may sit in between.",
		Remedy: "check which daemon answers, and its user database", Good: "libvirtd with its user database", Bad: "another server", Source: "RFC 5802 section 3",
	},
	{
		ID: "sasl-needs-encryption", Title: "SASL over plain TCP encrypts", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "Over tcp both ends want a mechanism with an encryption layer of at least 56 bits (tcp_min_ssf): GSSAPI or DIGEST-MD5. PLAIN, SCRAM and ANONYMOUS have none.",
		LibvirtMessages: []string{"authentication failed: negotiation SSF {number} was not strong enough"},
		Remedy:          "use +tls", Good: "test+tls://host/default", Bad: "test+tcp://host/default with mech_list: anonymous", Source: "libvirt remoteAuthSASL",
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
