package uri

import (
	"strconv"
	"strings"
)

// A Parameter is one that the remote driver knows (doRemoteOpen).
type Parameter struct {
	Name string
	// Transports are those for which it does something; nil: all.
	Transports []Transport
	// Number says that the value must be a decimal integer, of which any but 0 means yes.
	Number bool
	// Since is the first libvirt version that knows it; the zero value: all.
	Since Version
}

var parameters = []Parameter{
	{Name: "name"},
	{Name: "command", Transports: []Transport{SSH, Ext}},
	{Name: "argv", Transports: []Transport{Ext}, Since: Version{12, 5}},
	{Name: "socket", Transports: []Transport{Unix, SSH, LibSSH, LibSSH2}},
	{Name: "auth"},
	{Name: "authfile"},
	{Name: "sshauth", Transports: []Transport{LibSSH, LibSSH2}},
	{Name: "netcat", Transports: []Transport{SSH, LibSSH, LibSSH2}},
	{Name: "keyfile", Transports: []Transport{SSH, LibSSH, LibSSH2}},
	{Name: "pkipath", Transports: []Transport{TLS}},
	{Name: "known_hosts", Transports: []Transport{LibSSH, LibSSH2}},
	{Name: "known_hosts_verify", Transports: []Transport{LibSSH, LibSSH2}},
	{Name: "tls_priority", Transports: []Transport{TLS}},
	{Name: "mode", Transports: []Transport{Unix, SSH, LibSSH, LibSSH2}},
	{Name: "proxy", Transports: []Transport{SSH, LibSSH, LibSSH2}},
	{Name: "no_sanity", Transports: []Transport{TLS}, Number: true},
	{Name: "no_verify", Transports: []Transport{TLS, SSH}, Number: true},
	{Name: "no_tty", Transports: []Transport{SSH}, Number: true},
}

// ParameterByName finds a parameter; names are compared without case.
func ParameterByName(name string, v Version) (Parameter, bool) {
	for _, p := range parameters {
		if equalFold(p.Name, name) && (p.Since == Version{} || v.AtLeast(p.Since.Major, p.Since.Minor)) {
			return p, true
		}
	}
	return Parameter{}, false
}

// Works reports whether the parameter does something for t.
func (p Parameter) Works(t Transport) bool {
	if p.Transports == nil {
		return true
	}
	for _, w := range p.Transports {
		if w == t {
			return true
		}
	}
	return false
}

// equalFold compares ASCII without case, as g_ascii_strcasecmp does.
func equalFold(a, b string) bool { return lower(a) == lower(b) }

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// parseNumber is virStrToLong_i with base 10: strtol's blanks and sign, nothing behind the digits, an int.
func parseNumber(s string) (int, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, false
	}
	return int(n), true
}
