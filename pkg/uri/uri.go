package uri

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// A URI is a connection URI as one caller's libvirt understands it. It comes from [Parse] and does not change.
type URI struct {
	text     string // as given
	resolved string // after aliases and defaults; empty: the daemon is asked to choose
	aliased  bool
	o        Options
	ref      Reference

	driver    string
	transport Transport
	host      string
	port      int
	remote    string // the name sent to the daemon
	helper    string // the URI virt-ssh-helper is given
	session   bool

	mode         Mode
	proxy        Proxy
	value        map[string]string // string parameters, last wins, keyed by lower-case name
	argv         []string
	noVerify     bool
	noSanity     bool
	noTTY        bool
	priority     *string
	verification HostKeyVerification
	sshAuth      []string
	findings     []finding.Finding
}

// Parse reads text as the connection URI of the caller described in o: default and aliases, libvirt's old spellings,
// grammar, driver, transport and every parameter. A URI that libvirt refuses before any traffic gives an [*Error].
func Parse(text string, o Options) (URI, error) {
	u := URI{text: text, o: o, value: map[string]string{}}
	if err := u.parse(); err != nil {
		err.URI = text
		if err.Outcome == "" {
			err.Outcome = ruleOutcome(err.Rule)
		}
		return URI{}, err
	}
	return u, nil
}

func (u *URI) setting(key string) (string, bool, *Error) {
	if u.o.Settings == nil {
		return "", false, nil
	}
	v, ok, err := u.o.Settings.String(key)
	return v, ok, settingError(err)
}

func settingError(err error) *Error {
	if err == nil {
		return nil
	}
	return &Error{Rule: "uri-setting-type", LibvirtMessage: err.Error()}
}

func (u *URI) parse() *Error {
	name := u.text
	// virConnectOpenInternal: the old names of Xen, only where the caller wrote them.
	if equalFold(name, "xen") || name == "xen://" {
		name = "xen:///system"
	}
	called := "'" + name + "'" // as libvirt's message has it
	if name == "" {
		called = "'(null)'"
		if u.o.Default != "" {
			name = u.o.Default
		} else {
			v, ok, err := u.setting("uri_default")
			if err != nil {
				return err
			}
			if !ok {
				return u.probing()
			}
			name = v
		}
	}
	if !u.o.NoAliases && u.o.Settings != nil {
		aliases, _, err := u.o.Settings.Strings("uri_aliases")
		if err != nil {
			return settingError(err)
		}
		target, found, aliasErr := resolveAlias(aliases, name)
		if aliasErr != nil {
			return aliasErr
		}
		if found {
			name, u.aliased = target, true
		}
	}
	u.resolved = name

	ref, err := ParseReference(name)
	if err != nil {
		return &Error{Rule: "uri-unparsable", LibvirtMessage: classInternal + "Unable to parse URI " + name,
			hint: unparsableHint(name)}
	}
	u.ref = ref
	if ref.Path == nil {
		u.ref.Path = new(string)
	}
	if ref.Scheme == "" {
		return &Error{Rule: "uri-no-driver", LibvirtMessage: classNoConnect + "URI " + called + " does not include a driver name"}
	}
	if err := u.missingSlash(); err != nil {
		return err
	}
	if *u.ref.Path == "/embed" {
		return u.embedded()
	}
	if done, err := u.clientSide(); done {
		return err
	}
	return u.remoteDriver()
}

// probing is what an absent URI means: the local daemon, which is asked for a driver.
func (u *URI) probing() *Error {
	u.transport, u.session = Unix, !u.o.Root
	u.mode, u.proxy = ModeAuto, ProxyAuto
	return u.modeAndProxy()
}

// missingSlash is virConnectCheckURIMissingSlash.
func (u *URI) missingSlash() *Error {
	s := u.ref.Scheme
	if u.ref.Server == nil || s != "qemu" && s != "vbox" && s != "vz" {
		return nil
	}
	if h := *u.ref.Server; h == "system" || h == "session" {
		want := s + ":///" + h
		return &Error{Rule: "uri-missing-slash", hint: "write " + want,
			LibvirtMessage: classInternal + fmt.Sprintf("invalid URI %s (maybe you want %s)", u.resolved, want)}
	}
	return nil
}

// embedded is a driver run inside the client with its own root directory.
func (u *URI) embedded() *Error {
	if strings.Trim(u.ref.Scheme, "abcdefghijklmnopqrstuvwxyz") != "" {
		return &Error{Rule: "uri-embed", LibvirtMessage: classNoConnect +
			fmt.Sprintf("URI scheme '%s' for embedded driver is not valid", u.ref.Scheme)}
	}
	for _, p := range u.ref.Params {
		if p.Name == "root" {
			u.driver, u.transport = u.ref.Scheme, Client
			u.note("uri-served-in-client", "the %s driver runs inside the client, under %q; no daemon and no TLS", u.driver, p.Value)
			return nil
		}
	}
	return &Error{Rule: "uri-embed", LibvirtMessage: classInvalidArg + "Missing URI parameter 'root'"}
}

// The drivers inside the client library, in the order they are tried. A local one is passed over when there is a host.
var (
	clientLocal  = []string{"test", "openvz", "vmwareplayer", "vmwarews", "vmwarefusion"}
	clientRemote = []string{"vpx", "esx", "gsx", "hyperv"}
)

func (u *URI) clientSide() (done bool, err *Error) {
	s := u.ref.Scheme
	switch {
	case contains(clientLocal, s) && u.ref.Server == nil:
		u.driver, u.transport = s, Client
		u.note("uri-served-in-client", "the %s driver runs inside the client; no daemon and no TLS", s)
		return true, nil
	case contains(clientRemote, s):
		if u.ref.Server == nil {
			return true, &Error{Rule: "uri-missing-server", LibvirtMessage: classInvalidArg + "URI is missing the server part"}
		}
		u.driver, u.transport, u.host, u.port = s, Client, *u.ref.Server, u.ref.Port
		u.note("uri-served-in-client", "the client speaks to %s itself, over HTTPS or WS-Management, with certificates of "+
			"its own; no libvirt daemon and none of libvirt's TLS files", *u.ref.Server)
		return true, nil
	}
	return false, nil
}

// remoteDriver is remoteConnectOpen and doRemoteOpen up to the point where something is connected.
func (u *URI) remoteDriver() *Error {
	driver, word, plus := strings.Cut(u.ref.Scheme, "+")
	u.driver = driver
	switch {
	case plus:
		u.transport = Transport(lower(word))
		if !contains(transports, u.transport) {
			return &Error{Rule: "uri-transport-unknown", LibvirtMessage: classInvalidArg +
				"remote_open: transport in URL not recognised (should be tls|unix|ssh|ext|tcp|libssh2|libssh)"}
		}
		if u.transport == Unix && u.ref.Server != nil {
			return &Error{Rule: "uri-unix-with-host", LibvirtMessage: classInvalidArg +
				fmt.Sprintf("using unix socket and remote server '%s' is not supported.", *u.ref.Server)}
		}
	case u.ref.Server != nil:
		u.transport = TLS
	default:
		u.transport = Unix
	}
	u.session = !u.o.Root && (*u.ref.Path == "/session" || strings.HasPrefix(u.ref.Scheme, "test+"))

	u.port = u.ref.Port
	if u.port == 0 {
		switch u.transport {
		case TLS:
			u.port = PortTLS
		case TCP:
			u.port = PortTCP
		case LibSSH, LibSSH2:
			u.port = PortSSH
		}
	}
	u.host = "localhost"
	if u.ref.Server != nil {
		u.host = *u.ref.Server
	}
	if !u.transport.Networked() {
		u.host, u.port = "", 0
	}

	rest, helper, err := u.extract()
	if err != nil {
		return err
	}
	if n, ok := u.value["name"]; ok {
		u.remote, u.helper = n, n
	} else if driver != "remote" {
		u.remote, u.helper = u.nameWith(rest), u.nameWith(rest)
		if u.o.Libvirt.AtLeast(9, 1) {
			u.helper = u.nameWith(helper)
		}
	}
	if err := u.modeAndProxy(); err != nil {
		return err
	}
	if err := u.transportDemands(); err != nil {
		return err
	}
	u.judge()
	return nil
}

// nameWith forms the name for the daemon: driver, path, the parameters left over, fragment.
func (u *URI) nameWith(ps []Param) string {
	r := Reference{Scheme: u.driver, Path: u.ref.Path, Fragment: u.ref.Fragment}
	if len(ps) > 0 {
		q := formatParams(ps)
		r.Query = &q
	}
	return r.String()
}

// extract takes the remote driver's own parameters out. rest are those that go on to the daemon, helper those that
// virt-ssh-helper is given from 9.1 on.
func (u *URI) extract() (rest, helper []Param, err *Error) {
	for _, p := range u.ref.Params {
		known, ok := ParameterByName(p.Name, u.o.Libvirt)
		if !ok {
			rest, helper = append(rest, p), append(helper, p)
			continue
		}
		if known.Name == "mode" || known.Name == "socket" {
			helper = append(helper, p)
		}
		if !known.Number {
			u.value[known.Name] = p.Value
			if known.Name == "argv" {
				u.argv = append(u.argv, p.Value)
			}
			continue
		}
		n, ok := parseNumber(p.Value)
		if !ok {
			return nil, nil, &Error{Rule: "uri-parameter-not-number", hint: fmt.Sprintf("write %s=1 or %s=0", known.Name, known.Name),
				LibvirtMessage: classInvalidArg + "Failed to parse value of URI component " + p.Name}
		}
		switch known.Name {
		case "no_verify":
			u.noVerify = n != 0
		case "no_sanity":
			u.noSanity = n != 0
		case "no_tty":
			u.noTTY = n != 0
		}
	}
	return rest, helper, nil
}

// modeAndProxy settles mode and proxy: the URI's, else libvirt.conf's, else what libvirt chooses. Both are looked at for
// every transport.
func (u *URI) modeAndProxy() *Error {
	mode, ok := u.value["mode"]
	if !ok {
		var err *Error
		if mode, ok, err = u.setting("remote_mode"); err != nil {
			return err
		}
	}
	if u.mode = ModeAuto; ok {
		u.mode = Mode(mode)
		if !contains([]Mode{ModeAuto, ModeLegacy, ModeDirect}, u.mode) {
			return &Error{Rule: "uri-mode-unknown", LibvirtMessage: classInvalidArg + fmt.Sprintf("Unknown remote mode '%s'", mode)}
		}
	}
	proxy, ok := u.value["proxy"]
	if !ok {
		var err *Error
		if proxy, ok, err = u.setting("remote_proxy"); err != nil {
			return err
		}
	}
	_, socket := u.value["socket"]
	switch {
	case ok:
		u.proxy = Proxy(proxy)
		if !contains([]Proxy{ProxyAuto, ProxyNetcat, ProxyNative}, u.proxy) {
			return &Error{Rule: "uri-proxy-unknown", LibvirtMessage: classInvalidArg + fmt.Sprintf("Unnkown proxy type '%s'", proxy)}
		}
	case socket:
		u.proxy = ProxyNetcat
	case u.session:
		u.proxy = ProxyNative
	default:
		u.proxy = ProxyAuto
	}
	return nil
}

// transportDemands are the checks that only one transport makes, all before anything is connected.
func (u *URI) transportDemands() *Error {
	switch {
	case u.transport == TLS:
		if v, ok := u.value["tls_priority"]; ok {
			u.priority = &v
		} else if v, ok, err := u.setting("tls_priority"); err != nil {
			return err
		} else if ok {
			u.priority = &v
		}
	case u.transport == Ext:
		if _, ok := u.value["command"]; !ok {
			return &Error{Rule: "uri-ext-no-command", LibvirtMessage: classInvalidArg + "remote_open: for 'ext' transport, command is required"}
		}
	case u.transport.ssh():
		if _, ok := u.value["socket"]; !ok && u.mode == ModeDirect {
			return &Error{Rule: "uri-direct-over-ssh", LibvirtMessage: classUnsupported +
				fmt.Sprintf("Cannot use direct socket mode for %s transport", u.transport)}
		}
		if _, ok := u.value["netcat"]; ok {
			if u.proxy == ProxyNative {
				return &Error{Rule: "uri-netcat-with-native", LibvirtMessage: classInvalidArg + "netcat path not valid with native proxy mode"}
			}
			u.proxy = ProxyNetcat
		}
		if u.transport != SSH {
			return u.libssh()
		}
	}
	return nil
}

// libssh reads the words of libssh and libssh2 (virNetSocketNewConnectLibSSH).
func (u *URI) libssh() *Error {
	u.verification = VerifyNormal
	if v, ok := u.value["known_hosts_verify"]; ok {
		u.verification = HostKeyVerification(lower(v))
		if !contains([]HostKeyVerification{VerifyNormal, VerifyAuto, VerifyIgnore}, u.verification) {
			return &Error{Rule: "uri-host-key-verification-unknown", LibvirtMessage: classInvalidArg +
				fmt.Sprintf("Invalid host key verification method: '%s'", v)}
		}
	}
	if v, ok := u.value["sshauth"]; ok {
		for _, m := range strings.Split(v, ",") {
			if v == "" {
				break
			}
			if !contains(sshAuthMethods, lower(m)) {
				return &Error{Rule: "uri-sshauth-unknown", LibvirtMessage: classInvalidArg + fmt.Sprintf("Invalid authentication method: '%s'", m)}
			}
			u.sshAuth = append(u.sshAuth, lower(m))
		}
	}
	return nil
}

// unparsableHint guesses why the grammar does not take a URI.
func unparsableHint(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return fmt.Sprintf("write the byte 0x%02x at position %d as %%%02X", c, i+1, c)
		}
		if s[i] == '%' && !(i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])) {
			return fmt.Sprintf("write the %% at position %d as %%25", i+1)
		}
	}
	if i := strings.Index(s, "://"); i == 0 {
		return "begin with a driver: qemu" + s
	} else if i > 0 {
		authority, _, _ := strings.Cut(s[i+3:], "/")
		authority, _, _ = strings.Cut(authority, "?")
		host := authority[strings.LastIndexByte(authority, '@')+1:]
		if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
			return "put an IPv6 address in brackets: [" + host + "]"
		}
		if j := strings.LastIndexByte(host, ':'); j >= 0 {
			if p := host[j+1:]; p == "" || strings.Trim(p, "0123456789") != "" {
				return fmt.Sprintf("%q is no port number: leave the colon out, or write digits", p)
			}
			return fmt.Sprintf("%q is no port number: 1 to 65535", host[j+1:])
		}
	}
	if strings.ContainsAny(s, "[]") {
		return "write [ and ] as %5B and %5D, except around an IPv6 address"
	}
	return ""
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// Text is the URI as it was given.
func (u URI) Text() string { return u.text }

// Resolved is the URI after aliases and defaults: what libvirt parses. It is empty when the daemon is asked to choose.
func (u URI) Resolved() string { return u.resolved }

// AliasOf gives the URI that the given text is an alias of.
func (u URI) AliasOf() (string, bool) { return u.resolved, u.aliased }

// Driver is the driver's name, as written; empty when the daemon is asked to choose.
func (u URI) Driver() string { return u.driver }

// Transport is how the daemon is reached.
func (u URI) Transport() Transport { return u.transport }

// User is the user name of the URI; libvirt does not split a password off.
func (u URI) User() (string, bool) {
	if u.ref.User == nil {
		return "", false
	}
	return *u.ref.User, true
}

// Host is the host that is really used: the URI's, else localhost for transports that need one, else empty. It is the
// name a server's certificate is checked against.
func (u URI) Host() string { return u.host }

// HasHost reports whether the URI names a host.
func (u URI) HasHost() bool { return u.ref.Server != nil }

// Port is the port that is really used, as libvirt hands it to the resolver: not limited to 65535. 0: none is named, as
// with the ssh binary, or there is no such thing.
func (u URI) Port() int { return u.port }

// TCPPort is Port as the C library takes it: modulo 65536.
func (u URI) TCPPort() uint16 { return uint16(u.port) }

// Address is host:port as libvirt's messages have it, without brackets around an IPv6 address.
func (u URI) Address() string { return u.host + ":" + strconv.Itoa(u.port) }

// Path is the path, decoded.
func (u URI) Path() string {
	if u.ref.Path == nil {
		return ""
	}
	return *u.ref.Path
}

// Reference gives the parts as the grammar has them.
func (u URI) Reference() Reference { return u.ref }

// Params gives all parameters, decoded, in the order written.
func (u URI) Params() []Param { return append([]Param(nil), u.ref.Params...) }

// Param gives the value of one of libvirt's own string parameters; the last one wins.
func (u URI) Param(name string) (string, bool) {
	v, ok := u.value[lower(name)]
	return v, ok
}

// RemoteName is the name that is sent with CONNECT_OPEN. Empty: the daemon chooses a driver.
func (u URI) RemoteName() string { return u.remote }

// HasURI reports whether there is a URI at all; without one the client asks the daemon for its URI after the open.
func (u URI) HasURI() bool { return u.resolved != "" }

// Mode is the settled value of mode=.
func (u URI) Mode() Mode { return u.mode }

// Proxy is the program that is run on the far side of ssh.
func (u URI) Proxy() Proxy { return u.proxy }

// Session reports whether the daemon of the ordinary user is meant, not the system's.
func (u URI) Session() bool { return u.session }

// ReadOnly reports whether the connection is opened read-only.
func (u URI) ReadOnly() bool { return u.o.ReadOnly }

// NoVerify is no_verify=1: the server's certificate (tls) or host key (ssh) may be anything.
func (u URI) NoVerify() bool { return u.noVerify }

// NoSanity is no_sanity=1: the client's own certificate is not checked.
func (u URI) NoSanity() bool { return u.noSanity }

// NoTTY is no_tty=1: ssh must not ask.
func (u URI) NoTTY() bool { return u.noTTY }

// Priority is the GnuTLS priority string that applies (the URI's, else that of libvirt.conf); false: libvirt's built-in.
func (u URI) Priority() (string, bool) {
	if u.priority == nil {
		return "", false
	}
	return *u.priority, true
}

// Findings say what in the URI is without effect, or does not mean what it seems to.
func (u URI) Findings() []finding.Finding { return append([]finding.Finding(nil), u.findings...) }
