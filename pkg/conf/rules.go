package conf

import "github.com/virt-pki/virt-pki/pkg/finding"

// Rules gives the rules of this package. The slice is the caller's.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func ruleByID(id string) finding.Rule { return finding.Named(rules, id) }

const (
	sourceConf   = "libvirt virconf.c"
	sourceDaemon = "libvirt remote_daemon_config.c, daemonConfigLoadOptions"
	sourceNet    = "libvirt remote_daemon.c, daemonSetupNetworking"
	sourceTLS    = "libvirt virnettlscontext.c, virNetTLSContextValidCertificate"
	sourceMatch  = "GLib g_pattern_match_simple, called by virnettlscontext.c, virNetTLSContextCheckCertDNACL"
)

// Good and Bad of every rule are configuration files; the tests run them. A first line "#: VALUE ..." says how: the
// kind of file (libvirtd if none), release=11.10, listen, activated.
var rules = []finding.Rule{
	{
		ID: "conf-syntax", Title: "The file follows libvirt's grammar", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "libvirt stops at the first place it cannot read: a daemon does not start, and a client's libvirt.conf breaks every " +
			"connection. Values are integers, quoted strings without escapes, and lists without comments inside.",
		LibvirtMessages: []string{
			"configuration file syntax error: {file}:{line}: expecting a name",
			"configuration file syntax error: {file}:{line}: expecting an assignment",
			"configuration file syntax error: {file}:{line}: expecting a value",
			"configuration file syntax error: {file}:{line}: expecting a separator",
			"configuration file syntax error: {file}:{line}: expecting a separator in list",
			"configuration file syntax error: {file}:{line}: list is not closed with ]",
			"configuration file syntax error: {file}:{line}: unterminated string",
			"configuration file syntax error: {file}:{line}: unterminated number",
			"numerical overflow: {file}:{line}: numeric overflow in conf value",
			"Failed to read file '{file}': Value too large for defined data type",
		},
		Remedy: "correct the line", Good: "listen_tls = 1\n", Bad: "listen_tls = yes\n", Source: sourceConf,
	},
	{
		ID: "conf-value", Title: "Every value is of the type and in the range libvirt takes", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "libvirt never converts: a port is a string, a switch is the number 0 or 1, a list stands in brackets. A daemon ends with " +
			"the first value it refuses; a client fails when it needs the setting.",
		LibvirtMessages: []string{
			"internal error: {file}: expected a string for '{key}' parameter",
			"internal error: {file}: expected a bool for '{key}' parameter",
			"internal error: {file}: value for '{key}' parameter must be 0 or 1",
			"internal error: {file}: expected an unsigned integer for '{key}' parameter",
			"internal error: {file}: value for '{key}' parameter must be in range 0:4294967295",
			"internal error: {file}: expected a signed integer for '{key}' parameter",
			"internal error: {file}: value for '{key}' parameter must be in range -2147483648:2147483647",
			"internal error: {file}: expected a string list for '{key}' parameter",
			"configuration file syntax error: {file}: expected a string list for '{key}' parameter",
			"internal error: {file}: expected a string or string list for '{key}' parameter",
			"unsupported configuration: {file}: {key}: unsupported auth {value}",
			"unsupported configuration: minimum SSF levels lower than 112 are not supported",
			"internal error: 'max_workers' must be greater than 0",
			"invalid host UUID: {value}", "invalid UUID source: {value}",
			"invalid argument: Failed to set logging priority, argument '{value}' is invalid",
			"invalid argument: Malformed format for filter '{value}'", "invalid argument: Invalid priority '{value}' for filter '{value}'",
			"invalid argument: Malformed format for log output '{value}'",
			"invalid argument: Invalid log priority '{value}' for log output '{value}'",
			"invalid argument: Invalid log destination '{value}' for log output '{value}'",
			"internal error: Cannot find security driver '{value}'",
			"internal error: The overall maximum number of clients must not be less than the number of clients waiting for authentication",
			"invalid argument: Failed to parse group '{value}'", "Failed to parse mode '{value}'",
			"Malformed 'uri_aliases' config entry '{value}', expected 'alias=uri://host/path'",
			"Malformed 'uri_aliases' config entry '{value}', aliases may only contain 'a-Z, 0-9, _, -'",
			"invalid argument: Unknown remote mode '{value}'", "invalid argument: Unnkown proxy type '{value}'",
			"configuration file syntax error: {key} directory '{value}' does not exist",
		},
		Remedy: "write the value as libvirt wants it", Good: "tls_port = \"16514\"\n", Bad: "tls_port = 16514\n", Source: sourceDaemon,
	},
	{
		ID: "conf-files-incomplete", Title: "ca_file, certificates and keys are configured together", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "As soon as one of them is set, libvirt wants all three, and a certificate for each key. A daemon that listens for TLS " +
			"does not start otherwise.",
		LibvirtMessages: []string{
			"unsupported configuration: No CA certificate path set to match server key/cert",
			"unsupported configuration: No server certificate path set to match server key",
			"unsupported configuration: No server key path set to match server cert",
			"unsupported configuration: No CA certificate path set to match server key(s)/cert(s)",
			"unsupported configuration: No server certificate path(s) set to match server key(s)",
			"unsupported configuration: cert_file/key_file are mutually exclusive with cert_files/key_files",
			"unsupported configuration: Number of certificates ({n}) must match number of keys ({m})",
		},
		Remedy: "set ca_file, cert_file and key_file (or cert_files and as many key_files), or none of them",
		Good:   "#: listen\nca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\n",
		Bad:    "#: listen\nca_file = \"/p/ca.pem\"\n", Source: sourceNet,
	},
	{
		ID: "conf-number-overflow", Title: "Numbers fit into 63 bits", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "libvirt 9.0 lets a longer number wrap round without a word; later releases refuse the file.",
		Remedy: "write a smaller number", Good: "max_clients = 5000\n", Bad: "max_clients = 18446744073709556616\n",
		Until: "11.3.0", Source: sourceConf + ", virConfParseLong",
	},
	{
		ID: "conf-unknown-key", Title: "libvirt knows the setting", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "libvirt ignores what it does not know, of whatever type, without a word.",
		Remedy: "remove the line, or look the name up", Good: "listen_tls = 1\n", Bad: "enable_encryption = 1\n", Source: sourceConf,
	},
	{
		ID: "conf-misspelt-key", Title: "The setting's name is spelt as libvirt spells it", Severity: finding.Error, Effect: finding.Ignores,
		Text: "libvirt ignores a misspelt name without a word, so that the default holds: a list of names that never was, a port that " +
			"is another. Names are case-sensitive.",
		Remedy: "correct the name", Good: "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad: "tls_allowed_dn_lists = [\"C=GB,O=Acme,CN=admin\"]\n", Source: sourceConf,
	},
	{
		ID: "conf-duplicate-key", Title: "Every setting stands once", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Of several lines with one name libvirt uses the first and ignores the others without a word, unlike most programs: what " +
			"was appended to the end has no effect.",
		Remedy: "keep one line", Good: "tls_port = \"16514\"\n", Bad: "tls_port = \"16514\"\ntls_port = \"16515\"\n",
		Source: sourceConf + ", virConfGetValue",
	},
	{
		ID: "conf-setting-gone", Title: "The setting still exists", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Some settings of old files are read by no libvirt of today: mdns_adv and mdns_name went with 5.5.0, " +
			"tls_no_verify_address and tls_allowed_ip_list long before, keepalive_required is a left-over.",
		Remedy: "remove the line", Good: "keepalive_interval = 5\n", Bad: "mdns_adv = 1\n", Source: sourceDaemon,
	},
	{
		ID: "conf-setting-newer", Title: "The libvirt in use knows the setting already", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "A setting of a later release is ignored without a word by an earlier one: cert_files before 11.10 leaves the default files in use.",
		Remedy: "use the older setting, or a newer libvirt",
		Good:   "#: release=11.10\ncert_files = [\"/p/c.pem\"]\nkey_files = [\"/p/k.pem\"]\nca_file = \"/p/ca.pem\"\n",
		Bad:    "cert_files = [\"/p/c.pem\"]\n", Source: sourceDaemon,
	},
	{
		ID: "conf-setting-elsewhere", Title: "The setting stands in the file of the program that reads it", Severity: finding.Warning,
		Effect: finding.Ignores,
		Text: "Only libvirtd and virtproxyd listen on the network. Keys of TLS and TCP in virtqemud.conf and its like, or of another " +
			"program's file, are ignored without a word.",
		Remedy: "move the setting to the file that is read: with modular daemons virtproxyd.conf",
		Good:   "#: virtproxyd\nlisten_tls = 1\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad:    "#: virtqemud\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Source: sourceDaemon,
	},
	{
		ID: "conf-crl-alone", Title: "crl_file comes with the other files", Severity: finding.Error, Effect: finding.Ignores,
		Text: "Without ca_file, cert_file and key_file libvirt uses the default files and does not look at crl_file at all: what is " +
			"revoked there is let in. The default list is /etc/pki/CA/cacrl.pem, and not the crl.pem of the sample file.",
		Remedy: "install the list as /etc/pki/CA/cacrl.pem and drop crl_file, or set ca_file, cert_file and key_file as well",
		Good:   "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\ncrl_file = \"/p/crl.pem\"\n",
		Bad:    "crl_file = \"/etc/pki/CA/crl.pem\"\n", Source: sourceNet,
	},
	{
		ID: "conf-crl-none", Title: "Own files name their revocation list", Severity: finding.Note, Effect: finding.Ignores,
		Text:   "With ca_file, cert_file and key_file set, the default list /etc/pki/CA/cacrl.pem is not loaded.",
		Remedy: "set crl_file, if there is a list",
		Good:   "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\ncrl_file = \"/p/crl.pem\"\n",
		Bad:    "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\n", Source: sourceNet,
	},
	{
		ID: "conf-reload-default-paths", Title: "Credentials lie where a reload finds them", Severity: finding.Note, Effect: finding.Ignores,
		Text: "virt-admin server-update-tls always loads the default paths, never the files set here: it fails, or silently swaps in what " +
			"lies in the default place. With own paths only a restart takes up new files.",
		Remedy: "use the default paths, or restart the daemon after a renewal",
		Good:   "listen_tls = 1\n", Bad: "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\n",
		Source: "libvirt virnetserver.c, virNetServerUpdateTlsFiles",
	},
	{
		ID: "conf-empty-path", Title: "A path is not empty", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "An empty string is not the same as no setting. Up to 11.9 the daemon starts without what it names: with no identity every " +
			"handshake fails, with no CA every client is refused. From 11.10 on it does not start.",
		LibvirtMessages: []string{
			"CA certificate '' does not exist: No such file or directory",
			"Key '' does not exist, but certificate '{cert}' does: No such file or directory",
			"Unable to set x509 certificate revocation list: : Error while reading file.",
		},
		Remedy: "name the file or remove the line",
		Good:   "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"/p/k.pem\"\n",
		Bad:    "ca_file = \"/p/ca.pem\"\ncert_file = \"/p/c.pem\"\nkey_file = \"\"\n", Source: sourceNet,
	},
	{
		ID: "conf-identity-names", Title: "Files of several identities have the names that are looked for", Severity: finding.Note,
		Effect: finding.Ignores,
		Text: "By default libvirt from 11.10 on looks for servercert0.pem to servercert3.pem, without a hyphen. servercert-0.pem of the sample " +
			"file is found only when it is configured, and never by a reload; QEMU's own names do have the hyphen (server-cert-0.pem).",
		Remedy: "name the files servercert0.pem and private/serverkey0.pem",
		Good:   "#: release=11.10\nca_file = \"/p/ca.pem\"\ncert_files = [\"/etc/pki/libvirt/servercert0.pem\"]\nkey_files = [\"/etc/pki/libvirt/private/serverkey0.pem\"]\n",
		Bad:    "#: release=11.10\nca_file = \"/p/ca.pem\"\ncert_files = [\"/etc/pki/libvirt/servercert-0.pem\"]\nkey_files = [\"/etc/pki/libvirt/private/serverkey-0.pem\"]\n",
		Since:  "11.10.0", Source: "libvirt docs/kbase/tlscerts.rst, virnettlsconfig.c",
	},
	{
		ID: "conf-listen-activated", Title: "Listening is configured where it is decided", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "When systemd passes the sockets, the daemon does not look at listen_tls, listen_tcp, ports, address, and group, modes and " +
			"directory of the UNIX sockets. The .socket units have them.",
		Remedy: "use ListenStream=, SocketGroup= and SocketMode= of the .socket units; systemctl enable --now the -tls.socket for TLS",
		Good:   "#: activated\nauth_tls = \"none\"\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "#: activated\ntls_port = \"16000\"\n",
		Source: sourceNet,
	},
	{
		ID: "conf-listen-argument", Title: "libvirtd is told to listen", Severity: finding.Note, Effect: finding.Ignores,
		Text: "libvirtd listens on the network only with --listen among its arguments, or when systemd passes it a -tls or -tcp socket. " +
			"listen_tls and listen_tcp alone do nothing.",
		Remedy: "add --listen to LIBVIRTD_ARGS and mask the socket units, or use systemctl enable --now libvirtd-tls.socket",
		Good:   "#: listen\nlisten_tls = 1\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad:    "listen_tls = 1\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Source: "libvirt remote_daemon.c, main",
	},
	{
		ID: "conf-proxy-listen", Title: "virtproxyd is told to listen for TLS", Severity: finding.Note, Effect: finding.Ignores,
		Text:   "In virtproxyd.conf listen_tls is 0 by default, whatever the comment in the shipped file says. There is no --listen.",
		Remedy: "set listen_tls = 1, or use systemctl enable --now virtproxyd-tls.socket",
		Good:   "#: virtproxyd\nlisten_tls = 1\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad:    "#: virtproxyd\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Source: sourceNet,
	},
	{
		ID: "conf-verify-off", Title: "Clients are verified", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "tls_no_verify_certificate = 1 lets in everybody, with any certificate or none; tls_allowed_dn_list is not looked at either. " +
			"With auth_tls = \"none\" that is root on this host for whoever reaches the port.",
		Remedy: "remove tls_no_verify_certificate",
		Good:   "tls_no_verify_certificate = 0\n", Bad: "tls_no_verify_certificate = 1\n", Source: sourceTLS,
	},
	{
		ID: "conf-dn-list-off", Title: "tls_allowed_dn_list is looked at", Severity: finding.Error, Effect: finding.Ignores,
		Text:   "With tls_no_verify_certificate = 1 the list is without effect: a refusal is logged and the connection goes on.",
		Remedy: "remove tls_no_verify_certificate",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad:    "tls_no_verify_certificate = 1\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Source: sourceTLS,
	},
	{
		ID: "conf-sanity-off", Title: "The daemon checks its own certificates", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "tls_no_sanity_certificate = 1 moves the discovery of a bad certificate from the start of the daemon to the first client. " +
			"A reload checks all the same.",
		Remedy: "remove tls_no_sanity_certificate and cure what the check reports",
		Good:   "tls_no_sanity_certificate = 0\n", Bad: "tls_no_sanity_certificate = 1\n",
		Source: "libvirt virnettlscontext.c, virNetTLSContextNew",
	},
	{
		ID: "conf-dn-list-missing", Title: "It is said which clients may connect", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "Without tls_allowed_dn_list and with auth_tls = \"none\" every certificate of the CA is full access to this host: also that of " +
			"another server, of a QEMU process, or one without any purpose.",
		Remedy: "list the clients in tls_allowed_dn_list, with the names that virt-pki query-dn prints",
		Good:   "#: listen\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "#: listen\nlisten_tls = 1\n", Source: sourceTLS,
	},
	{
		ID: "conf-list-empty", Title: "A list of who may connect has entries", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text:   "An empty tls_allowed_dn_list or sasl_allowed_username_list lets nobody in. Without the setting everybody is let in.",
		Remedy: "list those who may connect, or remove the setting",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "tls_allowed_dn_list = []\n", Source: sourceTLS,
	},
	{
		ID: "conf-dn-pattern-utf8", Title: "A name pattern is UTF-8", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text:   "GLib matches characters. A pattern that is not UTF-8 matches no name that is.",
		Remedy: "save the file as UTF-8",
		Good:   "tls_allowed_dn_list = [\"O=Caf\u00e9,CN=admin\"]\n", Bad: "tls_allowed_dn_list = [\"O=Caf\xe9,CN=admin\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-abort", Title: "No name can abort the daemon through a pattern", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "GLib turns pattern and name round when more characters follow the last * than precede the first, or when a ? stands unluckily. On a " +
			"certificate of a trusted CA whose name is not valid UTF-8 it then aborts the daemon with all its connections. CAs do sign such names.",
		LibvirtMessages: []string{"GLib:ERROR:../../../glib/gutf8.c:{line}:g_utf8_strreverse: assertion failed: (r >= result)"},
		Remedy:          "write out the beginning of the name, with one * at the end, or the whole name; refuse to sign names that are not UTF-8",
		Good:            "tls_allowed_dn_list = [\"C=GB,O=Acme,OU=Hosts,CN=*\"]\n", Bad: "tls_allowed_dn_list = [\"CN=*.lab.test\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-reversed", Title: "A name pattern has the order of the certificate", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text: "libvirt matches the name in the order in which the certificate has it, mostly from country to common name. certtool -i and " +
			"openssl -nameopt RFC2253 print it backwards.",
		Remedy: "use the name that virt-pki query-dn CERT prints",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "tls_allowed_dn_list = [\"CN=admin,O=Acme,C=GB\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-never", Title: "A name pattern is written as GnuTLS writes names", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text: "The text is compared as it is: no blanks around commas and equals signs, types in GnuTLS's spelling (EMAIL, not " +
			"emailAddress), special characters with a backslash. A pattern in another spelling matches no certificate.",
		Remedy: "use the name that virt-pki query-dn CERT prints",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "tls_allowed_dn_list = [\"C = GB, O = Acme, CN = admin\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-class", Title: "A name pattern knows only * and ?", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text:   "[abc] and [0-9] are compared as they stand since libvirt gave up fnmatch in 2020; braces and bars never were anything else.",
		Remedy: "write one pattern for each case, or use ? for one character",
		Good:   "tls_allowed_dn_list = [\"C=GB,CN=admin?\"]\n", Bad: "tls_allowed_dn_list = [\"C=GB,CN=admin[0-9]\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-broad", Title: "A name pattern lets in no more than it seems to", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "* stands for any run of characters, commas and all: what begins with it lets in whoever gets the CA to sign a name with such an " +
			"end, and what is nothing but it lets in every certificate of the CA.",
		Remedy: "write the name out, or at least everything but the common name",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "tls_allowed_dn_list = [\"*CN=admin\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-dn-pattern-open-end", Title: "A name pattern that ends in * is known to be open", Severity: finding.Note, Effect: finding.NoEffect,
		Text:   "CN=* at the end also matches names that go on with further parts after the common name.",
		Remedy: "write the name out, where the CA signs other people's requests",
		Good:   "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n", Bad: "tls_allowed_dn_list = [\"C=GB,O=Acme,CN=*\"]\n", Source: sourceMatch,
	},
	{
		ID: "conf-socket-open", Title: "The UNIX socket is not open to everybody", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Where polkit is the default, the read-write socket has mode 0777, and auth_unix_rw = \"none\" does not take it back. Every local user is " +
			"root then.",
		Remedy: "set unix_sock_rw_perms = \"0770\" and unix_sock_group as well; under socket activation SocketMode= and SocketGroup= of the .socket unit",
		Good:   "auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0770\"\nunix_sock_group = \"libvirt\"\n", Bad: "auth_unix_rw = \"none\"\n",
		Source: "libvirt remote_daemon_config.c, daemonConfigNew",
	},
	{
		ID: "conf-tcp-open", Title: "TCP is not open without authentication", Severity: finding.Error, Effect: finding.NoEffect,
		Text:   "listen_tcp with auth_tcp = \"none\" is full access to this host, unencrypted, for whoever reaches the port.",
		Remedy: "set listen_tcp = 0 and use TLS, or auth_tcp = \"sasl\" with a mechanism that encrypts",
		Good:   "#: listen\nlisten_tcp = 1\nauth_tcp = \"sasl\"\ntls_allowed_dn_list = [\"C=GB,O=Acme,CN=admin\"]\n",
		Bad:    "#: listen\nlisten_tcp = 1\nauth_tcp = \"none\"\n", Source: sourceNet,
	},
	{
		ID: "conf-port", Title: "A port is a port", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "An empty port makes the daemon listen on one by chance, a number beyond 65535 wraps round: 99999 is 34463. Anything else is looked " +
			"up among the services.",
		Remedy: "write a number from 1 to 65535", Good: "tls_port = \"16514\"\n", Bad: "tls_port = \"99999\"\n",
		Source: "libvirt virnetsocket.c, virNetSocketNewListenTCP; getaddrinfo",
	},
	{
		ID: "conf-priority", Title: "The priority string is one that GnuTLS takes", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "libvirt looks at the string when a session begins, not before: the daemon starts well, and then every handshake fails.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {string}: The request is invalid.", "Failed to set TLS session priority to {string}: No or insufficient priorities were set."},
		Remedy:          "see virt-pki priority STRING", Good: "tls_priority = \"NORMAL:-VERS-TLS1.0:-VERS-TLS1.1\"\n", Bad: "tls_priority = \"NORMAL:+NOSUCH\"\n",
		Source: "libvirt virnettlscontext.c, virNetTLSSessionNew",
	},
	{
		ID: "conf-priority-system", Title: "The priority string does not depend on the machine", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "@NAME is looked up in the machine's GnuTLS configuration (crypto-policies on Fedora and its like). Where it is not defined, as on " +
			"Debian, every handshake fails.",
		Remedy: "see virt-pki priority STRING on that machine", Good: "tls_priority = \"NORMAL\"\n", Bad: "tls_priority = \"@LIBVIRT,SYSTEM\"\n",
		Source: "GnuTLS priority.c, gnutls_priority_init",
	},
	{
		ID: "conf-qemu-verify-off", Title: "QEMU verifies who connects", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "Without verification QEMU's listening side accepts everybody who reaches the port. For VNC that is the default unless " +
			"default_tls_x509_verify or vnc_tls_x509_verify is 1.",
		Remedy: "set default_tls_x509_verify = 1 and give the clients certificates",
		Good:   "#: qemu\nvnc_tls = 1\nvnc_tls_x509_verify = 1\n", Bad: "#: qemu\nvnc_tls = 1\n", Source: "libvirt qemu_conf.c, virQEMUDriverConfigSetDefaults",
	},
	{
		ID: "conf-augeas", Title: "Tools on top of Augeas can read the file", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "The lenses that come with libvirt know less than libvirt: double quotes only, a setting per line, no comments behind values, no " +
			"comma at the end of a list. One such place makes the whole file unreadable for them.",
		Remedy: "write it in the simpler way, where such tools are used", Good: "listen_tcp = 0\n", Bad: "listen_tcp = 0 # off\n",
		Source: "libvirt libvirtd.aug",
	},
}
