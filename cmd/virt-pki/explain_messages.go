package main

// A symptom is a message with what it comes from, likeliest first, and how to tell one cause from another. Messages that have
// one cause are found by the rules alone; here are those with several, and those that no rule of virt-pki finds.
type symptom struct {
	messages []string // as in a rule, with {words} for what varies
	text     string
	causes   []origin
}

// An origin is one of a symptom's.
type origin struct {
	rule string // "": none of virt-pki's rules
	why  string // "": that of faults, or the rule's title
	// tell is the command that shows whether it is this one.
	tell string
}

const (
	tellClient  = "virt-pki verify URI, on the client"
	tellServer  = "virt-pki check --role server, on the daemon's host"
	tellOwn     = "virt-pki check, on the host whose message it is"
	tellBoth    = "virt-pki preflight --conf /etc/libvirt/libvirtd.conf --uri URI"
	tellLog     = "journalctl -u libvirtd -u virtproxyd | grep -A1 'Certificate check failed'"
	tellQEMU    = "virt-pki check --layout qemu, on the host whose message it is"
	tellConf    = "virt-pki conf /etc/libvirt/libvirtd.conf"
	tellSockets = "systemctl list-units 'libvirtd*' 'virtproxyd*'"
)

// causesNotTrusted are the causes of "The certificate is not trusted.", which GnuTLS says of all that has no text of its own.
var causesNotTrusted = []origin{
	{"certificate-expired", "the peer's certificate has expired: only its owner is told so in words", "virt-pki check --role client, on the peer; openssl x509 -noout -dates -in CERT"},
	{"ca-expired", "the CA that signed it has expired", "openssl x509 -noout -dates -in /etc/pki/CA/cacert.pem"},
	{"certificate-not-yet-valid", "the clock of one of the hosts is wrong", "date -u, on both hosts"},
	{"signature-wrong", "a CA of the same name but with another key is in the CA file", "virt-pki check --rules rfc5280 --ca-file CA --cert-file CERT"},
	{"ca-without-certsign", "", tellOwn},
	{"issuer-is-no-ca", "", tellOwn},
	{"name-not-permitted", "", tellOwn},
	{"path-too-long", "", tellOwn},
	{"unknown-critical-extension", "", tellOwn},
	{"must-staple", "", tellClient},
}

// causesServerRefuses are why a daemon closes the connection after the handshake.
var causesServerRefuses = []origin{
	{"client-certificate-not-sent", "the client has a certificate, but of a CA that the daemon does not know: GnuTLS then sends none", tellClient},
	{"no-client-identity", "the client has no certificate and key where it looks for them", "virt-pki check --role client, on the client as the same user"},
	{"dn-not-allowed", "the daemon has tls_allowed_dn_list, and the client's name is not on it", "virt-pki match-dn --conf /etc/libvirt/libvirtd.conf --dn \"$(virt-pki query-dn clientcert.pem)\""},
	{"certificate-expired", "the client's certificate has expired and the client's own check is off", tellClient},
	{"certificate-revoked", "the daemon's revocation list names it", "virt-pki crl check cacrl.pem clientcert.pem"},
	{"wrong-purpose", "the certificate is a server's", tellClient},
	{"no-subject", "", "virt-pki query-dn clientcert.pem"},
	{"no-key-encipherment", "the daemon is older than 11.6", tellBoth},
}

var symptoms = []symptom{
	// The confirmation byte and the handshake.
	{[]string{"Unable to read TLS confirmation: Input/output error", "server verification (of our certificate or IP address) failed"},
		"The daemon has refused this client after the handshake. It never tells why: it closes the connection, and the reason stands in the daemon's log only.",
		append([]origin{{"server-refused", "the reason is in the daemon's log", tellLog}}, causesServerRefuses...)},
	{[]string{"Unable to read TLS confirmation: Resource temporarily unavailable"},
		"The other end did the handshake and sent something that is not libvirt's: it is no libvirt daemon, or a proxy that ends TLS stands before it.",
		[]origin{{"tls-session-tickets", "", tellClient}}},
	{[]string{"authentication failed: Failed to verify peer's certificate"},
		"This end does not accept the other's certificate. The reason stands in this end's log, on the line before, behind \"Certificate check failed\".",
		[]origin{{"host-mismatch", "the certificate is not for the name in the URI", "virt-pki match-host servercert.pem HOST"},
			{"unknown-issuer", "the other's CA is not in this end's CA file", tellClient},
			{"certificate-expired", "", tellClient}, {"certificate-revoked", "", tellClient}, {"no-client-certificate", "", tellLog},
			{"dn-not-allowed", "", tellLog}, {"no-key-encipherment", "", tellBoth}, {"wrong-purpose", "", tellClient}}},
	{[]string{"Unable to verify TLS peer: No certificate was found."}, "The client sent no certificate. Mostly it has one.",
		[]origin{{"client-certificate-not-sent", "", tellClient}, {"no-client-identity", "", "virt-pki check --role client, on the client as the same user"},
			{"half-identity", "", "virt-pki check --role client, on the client as the same user"}, {"no-client-certificate", "", tellClient}}},
	{[]string{"Certificate failed validation: The certificate is not trusted."}, "GnuTLS does not accept the other's certificate, for a reason that it has no words for.", causesNotTrusted},
	{[]string{"Our own certificate {cert} failed validation against {ca}: The certificate is not trusted."},
		"GnuTLS does not accept this end's own certificate, for a reason that it has no words for.", causesNotTrusted},
	{[]string{"Certificate failed validation: The certificate hasn't got a known issuer."}, "The other's certificate is of a CA that is not in this end's CA file.",
		[]origin{{"unknown-issuer", "the two hosts have CA files of different CAs", "openssl x509 -noout -fingerprint -in /etc/pki/CA/cacert.pem, on both hosts"},
			{"intermediate-not-sent", "an intermediate is missing behind the other's certificate", "virt-pki check, on the other host"}}},
	{[]string{"Our own certificate {cert} failed validation against {ca}: The certificate hasn't got a known issuer."}, "This end's own certificate is of no CA in its own CA file.",
		[]origin{{"unknown-issuer", "the CA file is another CA's, or the intermediate stands only behind the certificate", tellOwn},
			{"too-many-cas", "the CA stands behind the first 16 in the file", "grep -c BEGIN /etc/pki/CA/cacert.pem"}}},
	{[]string{"The certificate uses an insecure algorithm"}, "A signature or key is too weak for GnuTLS.",
		[]origin{{"insecure-algorithm", "", "openssl x509 -noout -text -in CERT | grep 'Signature Algorithm'"},
			{"key-too-small", "", "openssl x509 -noout -text -in CERT | grep 'Public-Key'"}}},
	{[]string{"failed validation against {ca}: Invalid certificate", "Certificate failed validation: Invalid certificate"},
		"GnuTLS counts the certificate as invalid without a flag that says why; the versions measured always set one.",
		[]origin{{"", "any of the causes of a certificate that is not trusted", tellOwn}}},
	{[]string{"Unable to verify server certificate {cert} against CA certificate {ca}", "Unable to verify client certificate {cert} against CA certificate {ca}"},
		"GnuTLS could not even begin to compare the certificate with the CA file.",
		[]origin{{"ca-file-not-importable", "the CA file is empty or damaged", tellOwn}, {"certificate-not-importable", "", tellOwn}}},
	{[]string{"authentication failed: TLS handshake failed The TLS connection was non-properly terminated."}, "The other end closed the connection in the middle of the handshake, without a word.",
		[]origin{{"priorities-disagree", "the two ends have no version, suite or group in common, or the daemon's tls_priority is wrong", "virt-pki priority STRING; " + tellConf},
			{"transport-crossed", "the port is not libvirt's TLS port", tellClient}, {"tls-handshake-failed", "", tellClient}}},
	{[]string{"authentication failed: TLS handshake failed No supported cipher suites have been found."}, "Nothing that both ends have fits.",
		[]origin{{"priorities-disagree", "", "virt-pki priority STRING, with the strings of both ends"}, {"daemon-without-identity", "the daemon has no certificate", tellServer},
			{"tls-handshake-failed", "", tellClient}}},
	{[]string{"TLS handshake failed A TLS fatal alert has been received.", "TLS handshake failed An unexpected TLS packet was received.", "TLS handshake failed Error in the pull function."},
		"The other end speaks no TLS, other TLS than libvirt, or went away.",
		[]origin{{"transport-crossed", "the port is not libvirt's TLS port (16514; 16509 is plain)", tellClient}, {"priorities-disagree", "", "virt-pki priority STRING"}, {"tls-handshake-failed", "", tellClient}}},
	{[]string{"Failed to set TLS session priority to {string}: The request is invalid."},
		"A tls_priority is wrong. The daemon notices only when a client comes, and then drops every one.",
		[]origin{{"priority-invalid", "", "virt-pki priority STRING"}, {"priority-system-keyword", "@SYSTEM or @LIBVIRT, which Debian's GnuTLS does not have", "virt-pki priority STRING"},
			{"priority-post-quantum-names", "names of ML-KEM, which Debian's GnuTLS is built without", "virt-pki priority STRING"}, {"conf-priority", "", tellConf},
			{"tls-priority-refused", "it is in the URI or the client's libvirt.conf", "virt-pki uri URI"}}},

	// Reaching the daemon.
	{[]string{"unable to connect to server at '{host}': Connection refused"}, "The host is there, and nothing listens on the port.",
		[]origin{{"daemon-does-not-listen", "libvirtd runs without --listen and without its -tls.socket; virtproxyd without listen_tls", tellSockets},
			{"connection-refused", "the daemon does not run, or refused to start because of its files", "systemctl status libvirtd virtproxyd; " + tellServer},
			{"listen-port-other", "", "ss -ltnp | grep -e 16514 -e libvirt -e virtproxyd"}, {"listen-address-other", "", "ss -ltnp | grep -e 16514 -e libvirt -e virtproxyd"}}},
	{[]string{"unable to connect to server at '{host}': Connection timed out", "unable to connect to server at '{host}': No route to host"}, "Packets do not get there.",
		[]origin{{"firewall-unopened", "a firewall drops them", "nc -vz HOST 16514"}, {"host-unreachable", "", "ip route get HOST"}, {"connection-times-out", "", "nc -vz HOST 16514"}}},
	{[]string{"Failed to connect socket to '{path}': No such file or directory", "Failed to connect socket to '{path}': Connection refused"}, "The client goes to a socket of this host, and no daemon is behind it.",
		[]origin{{"socket-missing", "no daemon of that kind runs", tellSockets}, {"session-daemon-not-running", "", tellClient}, {"socket-fails", "", tellClient}}},
	{[]string{"Failed to connect socket to '{path}': Permission denied"}, "The socket is there, and this user may not use it.",
		[]origin{{"socket-permission", "", "ls -l PATH; id"}, {"ssh-socket-permission", "it is the other host's", "ssh HOST 'ls -l PATH; id'"}, {"socket-fails", "", tellClient}}},
	{[]string{"Cannot recv data: {error}Permission denied ({methods}).: Connection reset by peer"}, "ssh could not log in.",
		[]origin{{"ssh-login-refused", "", "ssh -v HOST true"}, {"command-fails", "", tellClient}, {"connection-lost", "", tellClient}}},
	{[]string{"Cannot recv data: {error}Host key verification failed.: Connection reset by peer"}, "ssh does not know the host's key, or knows another.",
		[]origin{{"ssh-host-key-unknown", "", "ssh HOST true"}, {"ssh-host-key-changed", "", "ssh-keygen -F HOST"}, {"command-fails", "", tellClient}, {"connection-lost", "", tellClient}}},
	{[]string{"Cannot recv data: {error}connect to host {host} port {port}: {why}: Connection reset by peer"}, "ssh did not reach the host.",
		[]origin{{"ssh-not-reached", "", "nc -vz HOST 22"}, {"command-fails", "", tellClient}, {"connection-lost", "", tellClient}}},
	{[]string{"Cannot recv data: {error}virt-ssh-helper: {why}: Connection reset by peer", "Cannot recv data: {error}nc: {why}: Connection reset by peer"}, "The program that is to reach the daemon's socket is missing on the other host, or fails.",
		[]origin{{"ssh-no-helper", "", "ssh HOST 'which virt-ssh-helper nc'"}, {"ssh-no-netcat", "", "ssh HOST 'which virt-ssh-helper nc'"}, {"ssh-socket-missing", "", "ssh HOST 'ls -l /run/libvirt'"},
			{"command-fails", "", tellClient}, {"connection-lost", "", tellClient}}},
	{[]string{"Cannot recv data: {error}: Connection reset by peer", "End of file while reading data: Input/output error"},
		"The command or connection that carries the session ended. What ssh said stands before the last colon.",
		[]origin{{"connection-lost", "the daemon ended, or refused this client", "systemctl status libvirtd"}, {"command-fails", "", "ssh HOST 'which virt-ssh-helper nc'"}, {"ssh-login-refused", "", "ssh -v HOST true"}}},
	{[]string{"Failed to read file '{path}': Value too large for defined data type"}, "The file is larger than libvirt reads: 65536 octets of a certificate or CA file, 10 MiB of a configuration.",
		[]origin{{"file-too-large", "", "ls -l FILE"}, {"conf-syntax", "it is a configuration file", "ls -l FILE"}}},
	{[]string{"Unable to set x509 key and certificate: {key}, {cert}: The requested data were not available.", "Unable to set x509 key and certificate: {key}, {cert}: Base64 decoding error.",
		"Unable to set x509 key and certificate: {key}, {cert}: ASN1 parser: {error}"}, "GnuTLS cannot read one of the two files. The key comes first.",
		[]origin{{"key-not-importable", "", "openssl pkey -noout -in KEY"}, {"chain-not-importable", "", "openssl crl2pkcs7 -nocrl -certfile CERT | openssl pkcs7 -print_certs -noout"}}},
	{[]string{"configuration file syntax error: {place}: numeric overflow in conf value"}, "A number in the file is larger than the parser takes.",
		[]origin{{"conf-number-overflow", "", tellConf}, {"client-conf-unreadable", "it is the client's libvirt.conf", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"configuration file syntax error: {place}: {what}"}, "A line of a configuration file is not libvirt's grammar.",
		[]origin{{"conf-syntax", "", tellConf}, {"client-conf-unreadable", "it is the client's libvirt.conf, which then stops every connection", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"Unknown remote mode '{mode}'"}, "The socket mode is none that there is: auto, legacy or direct.",
		[]origin{{"uri-mode-unknown", "mode= in the URI", "virt-pki uri URI"}, {"conf-value", "remote_mode in libvirt.conf", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"Unnkown proxy type '{type}'"}, "The proxy is none that there is: auto, netcat or native. The message is misspelt by libvirt.",
		[]origin{{"uri-proxy-unknown", "proxy= in the URI", "virt-pki uri URI"}, {"conf-value", "remote_proxy in libvirt.conf", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"Malformed 'uri_aliases' config entry '{entry}', expected 'alias=uri://host/path'"}, "An entry of uri_aliases in the client's libvirt.conf is wrong; every URI not matched before it fails.",
		[]origin{{"uri-alias-malformed", "", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"Malformed 'uri_aliases' config entry '{entry}', aliases may only contain"}, "The name of an alias in the client's libvirt.conf is wrong; every URI not matched before it fails.",
		[]origin{{"uri-alias-characters", "", "virt-pki conf ~/.config/libvirt/libvirt.conf"}}},
	{[]string{"Username and key file path must be provided for private key authentication", "Key file path must be provided for private key authentication"},
		"libssh2 was to log in with a key and found none.", []origin{{"libssh-no-key", "", "ls -l ~/.ssh"}}},
	{[]string{"authentication with private key '{path}' has failed"}, "libssh2 could not log in with this key.",
		[]origin{{"ssh-login-refused", "libssh2 before 1.11 cannot use an RSA key with OpenSSH 8.8 and later", "ssh-keygen -lf KEY"},
			{"", "the key is not among the account's authorized_keys; libssh2 logs in as root by default", "ssh -i KEY USER@HOST true"}}},
	{[]string{"libssh transport support was not enabled", "libssh2 transport support was not enabled", "transport methods unix, ssh and ext are not supported under Windows"},
		"This build of the libvirt client has not got the transport.", []origin{{"", "use another transport: +ssh, or tls", "virt-pki uri URI"}}},
	{[]string{"Cannot use direct socket mode for ssh transport"}, "mode=direct over ssh needs socket=.", []origin{{"uri-direct-over-ssh", "", "virt-pki uri URI"}}},
	{[]string{"Cannot use direct socket mode if no URI is set", "No URI is provided and cannot identify any listening daemon socket path to attempt to connect to."},
		"Without a URI there is no driver to go to directly.", []origin{{"", "no URI is given, and remote_mode is direct or no daemon runs", "virsh uri; " + tellSockets}}},
	{[]string{"Path {path} too long for unix socket"}, "A socket's path may have 107 bytes.", []origin{{"socket-path-too-long", "", "virt-pki uri URI"}}},

	// The RPC behind it.
	{[]string{"authentication failed: polkit: {error}"}, "An older daemon asked polkit, and polkit said no, or found nobody to ask for a password.",
		[]origin{{"polkit-refused", "", "pkcheck --action-id org.libvirt.unix.manage --process $$, on the daemon's host as the same user"}}},
	{[]string{"authentication required", "internal error: hypervisor connection not open", "internal error: connection already open"},
		"The other end speaks libvirt's protocol, but the calls come in the wrong order: not those of libvirt's own client.",
		[]origin{{"", "a program that speaks the protocol itself; a second open call also ends the first", tellClient}}},
	{[]string{"unknown procedure: {n}", "Cannot find program {n} version {n}", "Unable to decode message payload", "Unexpected message status {n}"},
		"The two ends do not have the same protocol.", []origin{{"", "client and daemon are of very different versions, or something stands between them", "virsh --version=long, on both hosts"}}},

	// The daemon.
	{[]string{"Can't initialize access manager"}, "access_drivers names a driver that there is not; the line before says which.", []origin{{"conf-value", "", tellConf}}},
	{[]string{"g_strjoinv: assertion 'str_array != NULL' failed"}, "A stray line of libvirt 11.10 and later where only ca_file is set; it does no harm itself.",
		[]origin{{"conf-files-incomplete", "cert_file and key_file (or cert_files and key_files) are missing beside ca_file", tellConf}}},
	{[]string{"Malformed TLS whitelist regular expression '{pattern}'"}, "A libvirt of before about 7.0 matched tls_allowed_dn_list with fnmatch and could not read this pattern.",
		[]origin{{"", "a bracket without its partner; later versions take brackets literally", "virt-pki match-dn --conf /etc/libvirt/libvirtd.conf --dn DN"}}},
	{[]string{"Unable to update server's tls related files."}, "virt-admin server-update-tls has kept the old files. It reads the default paths only, whatever ca_file, cert_file and key_file say, and always checks them.",
		[]origin{{"", "the configuration names files of its own: only a restart reads these", tellConf}, {"", "a file in the default place is missing or refused; the next line says which", tellServer}}},
	{[]string{"Server not found: No server named '{name}'"}, "virt-admin asks for a server that this daemon does not have.",
		[]origin{{"", "the server is called libvirtd, or virtproxyd in that daemon", "virt-admin srv-list"}}},
	{[]string{"no tls service found, unable to update tls files"}, "The daemon has no TLS service whose files could be reloaded.",
		[]origin{{"daemon-does-not-listen", "", tellSockets}}},
	{[]string{"cannot get current time", "Unable to allocate x509 credentials: {error}", "Unable to initialize certificate"}, "The system is out of memory or broken; TLS files are not to blame.",
		[]origin{{"", "no memory", "journalctl -k | grep -i oom"}}},
	{[]string{"Only x509 certificates are supported", "The certificate has no peers"}, "The other end did a handshake with a kind of credentials that libvirt does not have, such as a raw key or anonymous suites.",
		[]origin{{"priorities-disagree", "tls_priority enables +ANON-ECDH, +CTYPE-RAWPK or the like on one end", "virt-pki priority STRING"}}},

	// The tools.
	{[]string{"Unable to load certificate, make sure it is in PEM format: {error}", "Unable to load certificate"}, "virt-pki-query-dn, or a daemon with a peer's certificate, cannot read it.",
		[]origin{{"certificate-not-importable", "the file is DER, empty or damaged", "virt-pki query-dn FILE; openssl x509 -noout -in FILE"}, {"peer-certificate-not-importable", "the peer sent a certificate that GnuTLS cannot read", tellClient}}},
	{[]string{"Failed to get distinguished name: {error}"}, "virt-pki-query-dn gets no text for the subject; as a peer's certificate it would be refused.",
		[]origin{{"no-subject", "", "openssl x509 -noout -subject -in FILE"}, {"name-unreadable", "an attribute is empty", "virt-pki query-dn FILE"}}},
	{[]string{"virt-pki-query-dn: File '{path}' is too large"}, "virt-pki-query-dn reads files of ordinary size only.", []origin{{"file-too-large", "", "ls -l FILE"}}},
	{[]string{"virt-pki-query-dn: Failed to open file {path}: {error}"}, "virt-pki-query-dn cannot open the file.", []origin{{"file-unreadable", "", "ls -l FILE"}}},
	{[]string{"The CA certificate and the client certificate do not match", "The CA certificate and the server certificate do not match"},
		"The old virt-pki-validate (a shell script, up to 10.4) compares the CA's common name with the certificate's organization. That they differ means nothing.",
		[]origin{{"", "a false alarm, mostly", tellOwn}, {"unknown-issuer", "the certificate is really another CA's", tellOwn}}},
	{[]string{"Could not locate the certtool program"}, "The old virt-pki-validate needs certtool.", []origin{{"", "gnutls-bin (Debian) or gnutls-utils (Fedora) is not installed", "which certtool"}}},
	{[]string{"The system PKI dir {path} must be accessible to all users", "The server cert {path} must be accessible to all users", "The client cert {path} must be accessible to all users",
		"The client key {path} must be accessible to all users", "The system CA dir {path} must be accessible to all users", "The system cert dir {path} must be accessible to all users", "The system key dir {path} must be accessible to all users",
		"The CA certificate {path} must be accessible to all users"},
		"virt-pki-validate compares owner and mode exactly. libvirt itself asks only whether it can read the file.",
		[]origin{{"validator-mode", "the mode is another than the tool's, stricter ones included", tellOwn}, {"directory-closed", "users other than root really cannot get there", tellOwn},
			{"certificate-closed", "", tellOwn}, {"wrong-owner", "", tellOwn}}},
	{[]string{"must not be accessible to other users", "must not be accessible to unprivileged users", "must be restricted to this user"},
		"virt-pki-validate compares owner and mode exactly.",
		[]origin{{"key-readable-by-others", "others can read a private key", tellOwn}, {"validator-mode", "the mode is another than the tool's", tellOwn}, {"wrong-owner", "", tellOwn}}},
	{[]string{"The machine cannot act as a client or server. See {url}"}, "virt-pki-validate finds no CA file.", []origin{{"ca-file-missing", "", tellOwn}}},
	{[]string{"The machine cannot act as a server. See {url}"},
		"virt-pki-validate finds no server certificate or key under the names without an index; libvirt from 11.10 on may still find those with one.",
		[]origin{{"certificate-file-missing", "", tellServer}, {"key-file-missing", "", tellServer}}},
	{[]string{"The machine cannot act as a client. See {url}"},
		"virt-pki-validate finds no client certificate or key under the names without an index.", []origin{{"no-client-identity", "", "virt-pki check --role client"}, {"half-identity", "", "virt-pki check --role client"}}},
	{[]string{"Certificate {path} owner does not match the hostname {name}"}, "virt-pki-validate asks whether the certificate is for this host's own full name; only the names in clients' URIs matter. It ends with 1 all the same.",
		[]origin{{"host-mismatch", "the certificate has other names", "virt-pki match-host servercert.pem \"$(hostname -f)\""}}},
	{[]string{"--system, --user & --path are mutually exclusive", "too many command line arguments"}, "Wrong use of virt-pki-validate. It also checks nothing, and says so by no word, when the scope is not written in lower case.",
		[]origin{{"", "one of -s, -u and -p DIR, and at most one of trust, server, client", "virt-pki-validate --help"}}},

	// QEMU.
	{[]string{"Certificate does not match the hostname {name}"}, "QEMU, as a client (migration source, NBD client), compares the server's certificate with the name it connects to.",
		[]origin{{"host-mismatch", "the target's /etc/pki/qemu/server-cert.pem is for other names", "virt-pki match-host server-cert.pem HOST"},
			{"", "the migration URI names an address: virsh migrate --tls-destination NAME says what to compare with", "virsh migrate --help"}}},
	{[]string{"No hostname for certificate validation"}, "QEMU connects over something without a name and was told none.",
		[]origin{{"", "a migration over a socket or fd", "virsh migrate ... --tls-destination NAME"}}},
	{[]string{"Unable to access credentials {path}: Permission denied"}, "QEMU may not read the file: it runs as its own user.",
		[]origin{{"qemu-key-unreadable", "", tellQEMU}, {"qemu-file-unreadable", "a directory or AppArmor is in the way", "namei -l FILE; journalctl -k | grep -i apparmor"}}},
	{[]string{"Unable to access credentials {path}: No such file or directory"}, "QEMU finds the directory without this file.",
		[]origin{{"qemu-ca-missing", "", tellQEMU}, {"qemu-certificate-missing", "", tellQEMU}}},
	{[]string{"failed validation against {ca}ca-cert.pem: The certificate is not trusted"}, "GnuTLS does not accept QEMU's certificate, for a reason that it has no words for.",
		[]origin{{"qemu-not-trusted", "", tellQEMU}, {"qemu-ca-expired", "", tellQEMU}, {"qemu-ca-without-certsign", "", tellQEMU}}},
}
