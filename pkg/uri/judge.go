package uri

import (
	"fmt"
	"strings"
)

// judge finds what the remote driver takes without a word.
func (u *URI) judge() {
	u.judgeAuthority()
	u.judgePath()
	u.judgeParams()
	switch {
	case u.transport == TCP:
		u.note("uri-not-encrypted", "the transport tcp carries everything in clear to %s", u.Address())
	case u.noVerify && u.transport == TLS:
		u.note("uri-not-verified", "no_verify is set: any certificate is taken from %s", u.host)
	case u.noVerify && u.transport == SSH:
		u.note("uri-not-verified", "no_verify is set: ssh takes an unknown host key of %s", u.host)
	case u.verification == VerifyIgnore:
		u.note("uri-not-verified", "known_hosts_verify=ignore takes any host key of %s", u.host)
	}
	if u.noSanity && u.transport == TLS {
		u.note("uri-no-sanity", "no_sanity is set: the client does not check its own certificate")
	}
	if u.transport == Unix && u.session && u.o.ReadOnly {
		if _, ok := u.value["socket"]; !ok {
			u.note("uri-read-only-session", "a user's daemon has no read-only socket: the ordinary one is used")
		}
	}
}

func (u *URI) judgeAuthority() {
	if name, ok := u.User(); ok {
		switch {
		case strings.HasPrefix(name, "@"):
			u.note("uri-empty-user", "nothing stands before the @: libvirt takes %q as the user name", name)
		case strings.Contains(name, ":"):
			u.note("uri-password-in-user", "everything before the @ is the user name; libvirt splits no password off")
		}
		if !u.transport.ssh() {
			u.note("uri-user-without-effect", "the transport %s does not use the user name", u.transport)
		}
	} else if u.transport == LibSSH || u.transport == LibSSH2 {
		u.note("uri-login-as-root", "no user is named: %s logs in as root", u.transport)
	}

	authority, hasAuthority := authorityOf(u.resolved)
	_, portText, hasPort := cutLast(authority, ':')
	if hasPort && strings.HasSuffix(authority, "]") {
		hasPort = false
	}
	switch {
	case !hasPort:
	case u.ref.Server == nil:
		u.note("uri-port-without-effect", "a port without a host is dropped: %s is used", u.where())
	case u.transport == Ext:
		u.note("uri-port-without-effect", "the transport ext does not use the port %s", portText)
	case u.ref.Port == 0:
		u.note("uri-port-zero", "port 0 means the default: %s is used", u.where())
	case u.ref.Port > 65535:
		u.note("uri-port-wraps", "port %d is more than 65535: the C library connects to port %d", u.ref.Port, u.TCPPort())
	}
	if u.ref.Server != nil && u.transport == Ext {
		u.note("uri-host-without-effect", "the transport ext does not use the host %s; its command decides where to connect", *u.ref.Server)
	}
	if u.transport.Networked() && u.ref.Server == nil {
		p := strings.TrimPrefix(u.Path(), "/")
		if !hasAuthority && p != "" {
			u.noteRemedy("uri-host-in-path", "write "+u.ref.Scheme+"://"+p, "%q names no host, so libvirt connects to localhost", u.resolved)
		} else {
			u.note("uri-host-defaulted", "no host is named: libvirt connects to %s", u.where())
		}
	}
}

// where is the address that is used, in words.
func (u *URI) where() string {
	switch {
	case !u.transport.Networked():
		return "the local daemon"
	case u.port == 0:
		return u.host
	}
	return u.Address()
}

func (u *URI) judgePath() {
	if l := lower(u.driver); l != u.driver {
		u.noteRemedy("uri-driver-case", "write "+l, "the driver %q is not written in lower case: daemons do not know it", u.driver)
	}
	path := u.Path()
	if path != "" && path[0] != '/' {
		if _, named := u.value["name"]; !named {
			u.noteRemedy("uri-path-not-absolute", "write "+u.driver+":///"+path, "the path %q does not begin with a slash: the daemon is sent %q",
				path, u.remote)
		}
	}
	if _, named := u.value["name"]; u.driver == "qemu" && !named && path != "/system" && path != "/session" {
		want := "qemu:///system"
		f := ruleByID("uri-path-of-driver").Finding(u.text, fmt.Sprintf("the qemu driver opens /system and /session, not %q", path))
		f.Remedy = "end the URI with /system"
		f.LibvirtMessage = fmt.Sprintf("internal error: unexpected QEMU URI path '%s', try %s", path, want)
		u.findings = append(u.findings, f)
	}
}

func (u *URI) judgeParams() {
	seen := map[string]bool{}
	for _, p := range u.ref.Params {
		known, ok := ParameterByName(p.Name, u.o.Libvirt)
		if !ok {
			if late, ok := ParameterByName(p.Name, Version{1 << 30, 0}); ok {
				u.note("uri-parameter-too-new", "%s is known from libvirt %d.%d.0 on: an older one sends it to the daemon and runs the "+
					"command without arguments", late.Name, late.Since.Major, late.Since.Minor)
				continue
			}
			if near := nearest(p.Name); near != "" {
				u.noteRemedy("uri-parameter-unknown", "write "+near, "the remote driver does not know %q and sends it on to the daemon; is %s meant?",
					p.Name, near)
			} else {
				u.noteRemedy("uri-parameter-unknown", "", "the remote driver does not know %q and sends it on to the daemon", p.Name)
			}
			continue
		}
		if seen[known.Name] && known.Name != "argv" {
			u.note("uri-parameter-repeated", "%s stands more than once: the last one wins", known.Name)
		}
		if !seen[known.Name] && !known.Works(u.transport) {
			u.noteWithoutEffect(known)
		}
		seen[known.Name] = true
		if i := strings.IndexByte(p.Value, ';'); i >= 0 && rawSemicolon(u.ref) {
			if name, _, _ := strings.Cut(p.Value[i+1:], "="); name != "" {
				if _, ok := ParameterByName(name, u.o.Libvirt); ok {
					u.note("uri-semicolon-in-value", "the value of %s is %q: a ; before an & does not separate", known.Name, p.Value)
				}
			}
		}
		if !known.Works(u.transport) {
			continue
		}
		switch known.Name {
		case "pkipath", "keyfile", "known_hosts", "socket", "authfile":
			u.judgeFile(known.Name, p.Value)
		}
	}
}

func (u *URI) noteWithoutEffect(p Parameter) {
	remedy := ""
	switch {
	case p.Name == "no_verify" && (u.transport == LibSSH || u.transport == LibSSH2):
		remedy = "known_hosts_verify=auto or known_hosts_verify=ignore is the parameter for " + string(u.transport)
	case p.Name == "known_hosts_verify" && u.transport == SSH:
		remedy = "no_verify=1 is the parameter for ssh"
	}
	u.noteRemedy("uri-parameter-without-effect", remedy, "%s does nothing for the transport %s", p.Name, u.transport)
}

func (u *URI) judgeFile(name, value string) {
	switch {
	case name == "socket" && strings.HasPrefix(value, "@"):
	case value == "" && name == "pkipath":
		u.note("uri-file-not-absolute", "an empty pkipath means the directory /")
	case value == "":
		u.note("uri-file-not-absolute", "%s is empty", name)
	case strings.HasPrefix(value, "~"):
		u.note("uri-file-not-absolute", "%s is %q, and libvirt expands no ~", name, value)
	case value[0] != '/' && name != "socket":
		u.note("uri-file-not-absolute", "%s is %q, which is taken from the current directory", name, value)
	}
	if strings.Contains(value, "+") {
		u.note("uri-plus-in-value", "the + in %s is a plus sign, not a blank", name)
	}
	if name == "socket" && u.transport.ssh() && u.proxy != ProxyNative && shellQuote(value) != value {
		u.note("uri-socket-unquoted", "the shell on the far side reads the socket's path %q unquoted", value)
	}
}

// rawSemicolon reports whether a ; stands in the query unescaped.
func rawSemicolon(r Reference) bool { return r.Query != nil && strings.Contains(*r.Query, ";") }

// authorityOf gives what stands between // and the path.
func authorityOf(s string) (string, bool) {
	_, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.HasPrefix(rest, "//") {
		return "", false
	}
	rest = rest[2:]
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:], true
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// nearest finds a parameter that was probably meant: the same letters without separators, or one edit away.
func nearest(name string) string {
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(lower(s)) }
	for _, p := range parameters {
		if plain(p.Name) == plain(name) {
			return p.Name
		}
	}
	if len(name) < 4 {
		return ""
	}
	for _, p := range parameters {
		if oneEdit(plain(p.Name), plain(name)) {
			return p.Name
		}
	}
	return ""
}

// oneEdit reports whether one insertion, deletion or replacement makes b of a.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}
