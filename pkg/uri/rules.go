package uri

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Rules gives the rules of this package: those a URI is refused by, then those of what is without effect or surprising.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func ruleByID(id string) finding.Rule { return finding.Named(rules, id) }

// ruleOutcome is what a refusal by the rule comes to.
func ruleOutcome(id string) finding.Outcome {
	switch id {
	case "uri-alias-malformed", "uri-alias-characters", "uri-setting-type":
		return finding.ClientConfError
	}
	return finding.URIError
}

// note records a finding about the URI.
func (u *URI) note(rule, format string, args ...any) {
	u.noteRemedy(rule, "", format, args...)
}

func (u *URI) noteRemedy(rule, remedy, format string, args ...any) {
	f := ruleByID(rule).Finding(u.text, fmt.Sprintf(format, args...))
	if remedy != "" {
		f.Remedy = remedy
	}
	u.findings = append(u.findings, f)
}

const sourceOpen = "libvirt virConnectOpenInternal"
const sourceRemote = "libvirt doRemoteOpen"

var rules = []finding.Rule{
	{
		ID: "uri-unparsable", Title: "The URI follows the grammar of RFC 3986", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "libvirt hands the text to libxml2, which takes what RFC 3986 allows: no blanks, no bytes above 0x7e, no bare % and, " +
			"after a colon, a port of digits that fits into 31 bits. Anything else is refused as a whole.",
		LibvirtMessages: []string{"internal error: Unable to parse URI {uri}"},
		Remedy:          "write blanks as %20 and other special characters as %XX; quote the URI for your shell",
		Good:            "test+tls://host/default?pkipath=/tmp/my%20pki", Bad: "test+tls://host/default?pkipath=/tmp/my pki",
		Source: "libvirt virURIParse, RFC 3986",
	},
	{
		ID: "uri-no-driver", Title: "The URI begins with a driver", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "A text without driver and colon is not an URI for libvirt unless it is an alias of uri_aliases. Which libvirt.conf " +
			"holds the aliases depends on the caller: root reads /etc/libvirt/libvirt.conf only, others their own only.",
		LibvirtMessages: []string{"no connection driver available for URI '{uri}' does not include a driver name"},
		Remedy:          "begin with a driver, as in qemu:///system, or define the alias in the libvirt.conf of this user",
		Good:            "qemu:///system", Bad: "hail", Source: sourceOpen,
	},
	{
		ID: "uri-missing-slash", Title: "system and session are paths, not hosts", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "qemu://system names a host called system. libvirt refuses this for the drivers qemu, vbox and vz without a transport; " +
			"for others, and with a transport, it goes looking for that host.",
		LibvirtMessages: []string{"internal error: invalid URI {uri} (maybe you want {wanted})"},
		Good:            "qemu:///system", Bad: "qemu://system", Source: "libvirt virConnectCheckURIMissingSlash",
	},
	{
		ID: "uri-embed", Title: "An embedded driver has a plain name and a root", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The path /embed runs a driver inside the client. It takes a bare driver name of lower-case letters and the parameter root.",
		LibvirtMessages: []string{"no connection driver available for URI scheme '{scheme}' for embedded driver is not valid",
			"invalid argument: Missing URI parameter 'root'"},
		Remedy: "write qemu:///embed?root=/some/directory", Good: "qemu:///embed?root=/srv/embed", Bad: "qemu+tls:///embed",
		Source: sourceOpen,
	},
	{
		ID: "uri-missing-server", Title: "esx, gsx, vpx and hyperv need a host", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "These drivers speak to the hypervisor's own interface from inside the client, and there is no local one.",
		LibvirtMessages: []string{"invalid argument: URI is missing the server part"},
		Remedy:          "name the host: esx://host/", Good: "esx://esx1.example.com/", Bad: "esx:///", Source: sourceOpen,
	},
	{
		ID: "uri-transport-unknown", Title: "The word after + is a transport", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The scheme is split at its first +; what follows, in any case, must be one of libvirt's seven transports.",
		LibvirtMessages: []string{"invalid argument: remote_open: transport in URL not recognised (should be tls|unix|ssh|ext|tcp|libssh2|libssh)"},
		Remedy:          "write one of +tls, +unix, +ssh, +ext, +tcp, +libssh2, +libssh", Good: "qemu+tls://host/system", Bad: "qemu+ssl://host/system",
		Source: "libvirt remoteSplitURIScheme",
	},
	{
		ID: "uri-unix-with-host", Title: "The transport unix takes no host", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "A UNIX socket is on this machine; libvirt refuses a host even if it is localhost.",
		LibvirtMessages: []string{"invalid argument: using unix socket and remote server '{host}' is not supported."},
		Remedy:          "leave the host out, or use +ssh, which reaches the socket of another machine", Good: "qemu+unix:///system",
		Bad: "qemu+unix://localhost/system", Source: "libvirt remoteSplitURIScheme",
	},
	{
		ID: "uri-parameter-not-number", Title: "no_verify, no_sanity and no_tty are numbers", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "These take a decimal integer, any but 0 meaning yes. yes, true, an empty value and a bare name are refused, whatever the transport.",
		LibvirtMessages: []string{"invalid argument: Failed to parse value of URI component {parameter}"},
		Good:            "test+tls://host/default?no_verify=1", Bad: "test+tls://host/default?no_verify=yes", Source: sourceRemote,
	},
	{
		ID: "uri-mode-unknown", Title: "mode is auto, legacy or direct", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The parameter mode, or remote_mode of libvirt.conf, is looked at for every transport, also where it does nothing. Case counts.",
		LibvirtMessages: []string{"invalid argument: Unknown remote mode '{mode}'"},
		Remedy:          "write mode=auto, mode=legacy or mode=direct, in the URI or as remote_mode in libvirt.conf", Good: "qemu+unix:///system?mode=direct",
		Bad: "qemu+unix:///system?mode=modular", Source: sourceRemote,
	},
	{
		ID: "uri-proxy-unknown", Title: "proxy is auto, netcat or native", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The parameter proxy, or remote_proxy of libvirt.conf, is looked at for every transport, also where it does nothing. Case counts.",
		LibvirtMessages: []string{"invalid argument: Unnkown proxy type '{proxy}'"},
		Remedy:          "write proxy=auto, proxy=netcat or proxy=native, in the URI or as remote_proxy in libvirt.conf",
		Good:            "qemu+ssh://host/system?proxy=native", Bad: "qemu+ssh://host/system?proxy=nc", Source: sourceRemote,
	},
	{
		ID: "uri-direct-over-ssh", Title: "mode=direct over ssh needs a socket", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "The client cannot know which daemons the far side runs, so it refuses mode=direct, or remote_mode = \"direct\", unless socket= names the path.",
		LibvirtMessages: []string{"Operation not supported: Cannot use direct socket mode for {transport} transport"},
		Remedy:          "leave mode out (virt-ssh-helper finds the daemon on the far side), or name the path with socket=",
		Good:            "qemu+ssh://host/system", Bad: "qemu+ssh://host/system?mode=direct", Source: "libvirt remoteGetUNIXSocket",
	},
	{
		ID: "uri-netcat-with-native", Title: "netcat and the native proxy exclude each other", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "netcat= names a program that proxy=native does not run. An ordinary user's session URI means native too, unless proxy= or " +
			"socket= says otherwise.",
		LibvirtMessages: []string{"invalid argument: netcat path not valid with native proxy mode"},
		Remedy:          "leave netcat out, or add proxy=netcat", Good: "qemu+ssh://host/system?netcat=/usr/bin/nc",
		Bad: "qemu+ssh://host/system?netcat=nc&proxy=native", Source: "libvirt virSSHHelperCommand",
	},
	{
		ID: "uri-ext-no-command", Title: "The transport ext needs a command", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "ext runs the program that command= names and speaks to the daemon over its standard input and output.",
		LibvirtMessages: []string{"invalid argument: remote_open: for 'ext' transport, command is required"},
		Remedy:          "add command=/path/to/program", Good: "test+ext:///default?command=/opt/tunnel", Bad: "test+ext:///default", Source: sourceRemote,
	},
	{
		ID: "uri-host-key-verification-unknown", Title: "known_hosts_verify is normal, auto or ignore", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "libssh and libssh2 take these three words, in any case, and refuse others before they connect.",
		LibvirtMessages: []string{"invalid argument: Invalid host key verification method: '{word}'"},
		Remedy:          "write known_hosts_verify=normal, auto or ignore", Good: "test+libssh://host/default?known_hosts_verify=auto",
		Bad: "test+libssh://host/default?known_hosts_verify=no", Source: "libvirt virNetSocketNewConnectLibSSH",
	},
	{
		ID: "uri-sshauth-unknown", Title: "sshauth lists agent, privkey, password, keyboard-interactive", Severity: finding.Error, Effect: finding.NoEffect,
		Text:            "libssh and libssh2 take these words separated by commas, in any case and without blanks, and refuse others before they connect.",
		LibvirtMessages: []string{"invalid argument: Invalid authentication method: '{word}'"},
		Remedy:          "write sshauth=agent,privkey,password,keyboard-interactive or some of these", Good: "test+libssh2://host/default?sshauth=privkey,agent",
		Bad: "test+libssh2://host/default?sshauth=publickey", Source: "libvirt virNetSocketNewConnectLibSSH2",
	},
	{
		ID: "uri-alias-malformed", Title: "An entry of uri_aliases is alias=URI", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The entries are read in order until one matches the text. An entry without = stops every connection that no earlier entry " +
			"matches, those with a real URI included.",
		LibvirtMessages: []string{"configuration file syntax error: Malformed 'uri_aliases' config entry '{entry}', expected 'alias=uri://host/path'"},
		Remedy:          "write the entry as \"name=driver://host/path\", or delete it", Good: `uri_aliases = ["hail=qemu://hail/system"]`,
		Bad: `uri_aliases = ["hail"]`, Source: "libvirt virURIFindAliasMatch",
	},
	{
		ID: "uri-alias-characters", Title: "An alias consists of letters, digits, _ and -", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The entries are read in order until one matches the text. One with another character before its = stops every connection " +
			"that no earlier entry matches, those with a real URI included.",
		LibvirtMessages: []string{"configuration file syntax error: Malformed 'uri_aliases' config entry '{entry}', aliases may only contain 'a-Z, 0-9, _, -'"},
		Remedy:          "rename the alias in libvirt.conf", Good: `uri_aliases = ["hail-2=qemu://hail/system"]`,
		Bad: `uri_aliases = ["hail.2=qemu://hail/system"]`, Source: "libvirt virURIFindAliasMatch",
	},
	{
		ID: "uri-setting-type", Title: "Settings of libvirt.conf have the right type", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "uri_default, remote_mode, remote_proxy and tls_priority are strings, uri_aliases is a list of strings. A wrong type stops the " +
			"connections that need the setting, and only those.",
		LibvirtMessages: []string{"internal error: {file}: expected a string for '{key}' parameter",
			"internal error: {file}: expected a string list for '{key}' parameter"},
		Remedy: "correct the setting in libvirt.conf", Good: `remote_mode = "legacy"`, Bad: "remote_mode = 1",
		Source: "libvirt virConfGetValueString, virConfGetValueStringList",
	},

	{
		ID: "uri-served-in-client", Title: "No daemon is asked", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "test:///..., openvz, the VMware desktop products, esx, gsx, vpx, hyperv and /embed are drivers inside the client library. " +
			"What they do says nothing about a daemon or its TLS.",
		Remedy: "to reach a daemon name a transport: test+unix:///default, test+tls://host/default", Good: "test+tls://host/default", Bad: "test:///default",
		Source: sourceOpen,
	},
	{
		ID: "uri-parameter-without-effect", Title: "A parameter does something for its transport", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "libvirt takes its own parameters out of the URI whatever the transport, and silently does nothing with those of another one. " +
			"no_verify on libssh and libssh2 is the treacherous one: known_hosts_verify is what counts there.",
		Remedy: "leave the parameter out, or use a transport for which it works", Good: "qemu+tls://host/system?pkipath=/srv/pki",
		Bad: "qemu+ssh://host/system?pkipath=/srv/pki", Source: sourceRemote,
	},
	{
		ID: "uri-parameter-repeated", Title: "A parameter stands once", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "Of several parameters of one name, whatever the case, the last one wins.",
		Remedy: "delete all but the last", Good: "test+tls://h/default?pkipath=/b", Bad: "test+tls://h/default?pkipath=/a&pkipath=/b", Source: sourceRemote,
	},
	{
		ID: "uri-parameter-unknown", Title: "A parameter is one of libvirt's", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "What the remote driver does not know stays in the name that the daemon's driver gets, and most drivers ignore it. So a " +
			"misspelt parameter is silently without effect.",
		Remedy: "correct the name, if it is meant for the transport", Good: "test+tls://h/default?no_verify=1", Bad: "test+tls://h/default?noverify=1",
		Source: sourceRemote,
	},
	{
		ID: "uri-parameter-too-new", Title: "A parameter is known to this libvirt", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "argv came with 12.5.0. An older client passes it on to the daemon in the name, and its command gets no arguments.",
		Good: "test+ext:///default?command=/opt/tunnel", Bad: "test+ext:///default?command=/opt/tunnel&argv=host", Remedy: "put the arguments into a script and name that with command=",
		Until: "12.5.0", Source: "libvirt doRemoteOpen, NEWS of 12.5.0",
	},
	{
		ID: "uri-semicolon-in-value", Title: "Parameters are separated in one way", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "A ; separates parameters only where no & follows any more: in a=1;b=2&c=3 the value of a is \"1;b=2\".",
		Good: "test+tls://h/default?no_verify=0&pkipath=/p&foo=1", Bad: "test+tls://h/default?no_verify=0&pkipath=/p;no_sanity=1&foo=1",
		Remedy: "separate all parameters with &", Source: "libvirt virURIParseParams",
	},
	{
		ID: "uri-password-in-user", Title: "The user part is a user name", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "libvirt splits no password off: \"name:secret\" is the user name, and it shows in process lists and logs.",
		Good: "qemu+ssh://admin@host/system", Bad: "qemu+ssh://admin:secret@host/system", Remedy: "leave the password out; use an agent, a key or auth.conf",
		Source: "libvirt virURIParse",
	},
	{
		ID: "uri-user-without-effect", Title: "The transport uses the user name", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Only ssh, libssh and libssh2 log in with the user of the URI. With tls the client's certificate says who it is.",
		Good: "qemu+tls://host/system", Bad: "qemu+tls://admin@host/system", Remedy: "leave the user out", Source: sourceRemote,
	},
	{
		ID: "uri-empty-user", Title: "A user name is not empty", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "With nothing before the @ libxml2 takes all the rest of the URI, @ and parameters included, as the user name.",
		Good: "qemu+ssh://host/system", Bad: "qemu+ssh://@host/system", Remedy: "delete the @", Source: "libxml2 xmlURIUnescapeString",
	},
	{
		ID: "uri-port-wraps", Title: "A port is at most 65535", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "libvirt does not limit the number, and the C library keeps its last 16 bits: 99999 is 34463, 65536 is 0.",
		Good: "test+tls://host:16514/default", Bad: "test+tls://host:99999/default", Remedy: "write the port that is meant", Source: "getaddrinfo",
	},
	{
		ID: "uri-port-zero", Title: "Port 0 means the default", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "A port of 0 is the same as none.", Good: "test+tls://host/default", Bad: "test+tls://host:0/default", Remedy: "leave :0 out", Source: sourceRemote,
	},
	{
		ID: "uri-port-without-effect", Title: "A port belongs to a host that is used", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "A port without a host is dropped, and ext uses neither.",
		Good: "test+tls://localhost:16600/default", Bad: "test+tls://:16600/default", Remedy: "write the host before the port", Source: "libvirt virURIParse",
	},
	{
		ID: "uri-host-without-effect", Title: "The transport uses the host", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "ext leaves it to its command where to connect; the host of the URI is not handed to it.",
		Good: "test+ext:///default?command=/opt/tunnel", Bad: "test+ext://host/default?command=/opt/tunnel", Remedy: "leave the host out", Source: sourceRemote,
	},
	{
		ID: "uri-host-in-path", Title: "A host stands after two slashes", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "qemu+tls:/host/system and qemu+tls:host name no host: libvirt connects to localhost, and the rest is the path.",
		Good: "qemu+tls://host/system", Bad: "qemu+tls:/host/system", Source: "RFC 3986 section 3.2",
	},
	{
		ID: "uri-host-defaulted", Title: "A network transport names its host", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "Without a host libvirt connects to localhost, and with tls checks the certificate against that name.",
		Good: "qemu+tls://localhost/system", Bad: "qemu+tls:///system", Remedy: "write the host", Source: sourceRemote,
	},
	{
		ID: "uri-driver-case", Title: "A driver is written in lower case", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "The transport may be written in any case, the driver may not: QEMU:///system is no driver that a daemon knows.",
		Good: "qemu:///system", Bad: "QEMU:///system", Source: sourceOpen,
	},
	{
		ID: "uri-path-not-absolute", Title: "The path begins with a slash", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "qemu:system has the path \"system\", and the name sent to the daemon becomes qemu://system, which names a host.",
		Good: "qemu:///system", Bad: "qemu:system", Source: "libvirt virURIFormat",
	},
	{
		ID: "uri-path-of-driver", Title: "The path is one that the driver knows", Severity: finding.Warning, Effect: finding.RefusesPeer,
		Text:            "The qemu driver opens /system and /session (and /embed); the daemon refuses any other path, the bare slash included.",
		LibvirtMessages: []string{"internal error: unexpected {driver} URI path '{path}', try {wanted}"},
		Good:            "qemu://server7/system", Bad: "qemu://server7/", Source: "libvirt virConnectValidateURIPath",
	},
	{
		ID: "uri-not-verified", Title: "The other end is verified", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "no_verify=1 takes any certificate from any host on tls, and unknown host keys on ssh; known_hosts_verify=ignore takes any host " +
			"key on libssh and libssh2. Whoever sits in between can read and change everything.",
		Good: "qemu+tls://host/system", Bad: "qemu+tls://host/system?no_verify=1", Remedy: "leave it out and make the certificate or the host key right",
		Source: "libvirt virNetTLSContextCheckCertificate",
	},
	{
		ID: "uri-no-sanity", Title: "The client checks its own certificate", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "no_sanity=1, which no documentation names, skips the check of the client's own files. What is wrong with them then shows as a " +
			"refusal by the server, without a reason.",
		Good: "qemu+tls://host/system", Bad: "qemu+tls://host/system?no_sanity=1", Remedy: "leave it out", Source: sourceRemote,
	},
	{
		ID: "uri-not-encrypted", Title: "What crosses the network is encrypted", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "tcp carries everything in clear unless SASL adds encryption, guest secrets and consoles included.",
		Good: "qemu+tls://host/system", Bad: "qemu+tcp://host/system", Remedy: "use +tls or +ssh", Source: "libvirt documentation of remote access",
	},
	{
		ID: "uri-file-not-absolute", Title: "A file is named by an absolute path", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "libvirt expands no ~, takes a relative path from the current directory, and makes / of an empty pkipath.",
		Good: "test+tls://h/default?pkipath=/home/u/pki", Bad: "test+tls://h/default?pkipath=~/pki", Remedy: "write the whole path", Source: "libvirt virNetTLSContextLocateCredentials",
	},
	{
		ID: "uri-plus-in-value", Title: "A + is a plus, not a blank", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "Unlike in web forms + stays a plus sign.", Good: "test+tls://h/default?pkipath=/my%20pki", Bad: "test+tls://h/default?pkipath=/my+pki",
		Remedy: "write %20 for a blank", Source: "libvirt virURIParseParams",
	},
	{
		ID: "uri-socket-unquoted", Title: "A remote socket's path is plain", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "With netcat the path stands unquoted in the command that a shell on the far side runs: blanks split it, and ; or ` run something else.",
		Good: "qemu+ssh://h/system?socket=/run/libvirt/libvirt-sock", Bad: "qemu+ssh://h/system?socket=/run/my%20sock",
		Remedy: "use a path of letters, digits, / - _ and .", Source: "libvirt virSSHHelperCommand",
	},
	{
		ID: "uri-login-as-root", Title: "libssh and libssh2 name a user", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "Without a user in the URI libssh and libssh2 log in as root; the ssh binary takes the caller's name.",
		Good: "qemu+libssh://admin@host/system", Bad: "qemu+libssh://host/system", Remedy: "write user@ before the host", Source: "libvirt virNetClientNewLibSSH",
	},
	{
		ID: "uri-read-only-session", Title: "A read-only connection has its own socket", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "A user's daemon has no read-only socket: a read-only connection goes to the ordinary one.",
		Good: "qemu:///system", Bad: "qemu:///session", Source: "libvirt remoteGetUNIXSocketHelper",
	},
}
