package preflight

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // known_hosts hashes names with it
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// command predicts what can be predicted of ssh, libssh, libssh2 and ext: what is missing on the client, or on this very
// machine where it is the far side, too.
func (a *attempt) command() bool {
	switch a.u.Transport() {
	case uri.Ext:
		if !a.program() {
			return false
		}
		a.Unchecked = append(a.Unchecked, "whether the command of the URI reaches a daemon")
		return true
	case uri.SSH:
		if !a.program() || !a.ssh() {
			return false
		}
	default:
		if !a.library() {
			return false
		}
	}
	if sockets, ok := a.u.Sockets(); ok && a.c.SameMachine && isLocal(a.u.Host()) {
		name := sockets.Choose(nil)
		if _, ours := a.s.socket(name); !(ours && a.s.Starts) && !a.c.exists(name) {
			text := ""
			if a.u.Transport() == uri.SSH && a.u.Proxy() == uri.ProxyNetcat {
				text = fmt.Sprintf("End of file while reading data: nc: %s: No such file or directory: Input/output error", name)
			}
			return a.failed(finding.TransportFails, "ssh-socket-missing", fmt.Sprintf("The socket %q is not there.", name), text)
		}
	}
	if !a.s.Starts {
		a.down()
		a.LibvirtMessage = ""
		return false
	}
	a.Unchecked = append(a.Unchecked, fmt.Sprintf("whether ssh logs in at %s, and what runs there", a.u.Host()))
	return true
}

// failed concludes with a case of a rule.
func (a *attempt) failed(o finding.Outcome, rule, message, text string) bool {
	f := ruleByID(rule).Finding(a.URI, message)
	f.LibvirtMessage = text
	a.conclude(o, f)
	return false
}

// program looks for the command of ssh or ext. One without a slash libvirt looks for itself, before it runs anything.
func (a *attempt) program() bool {
	argv, ok := a.u.Argv()
	if !ok || len(argv) == 0 || a.c.LookPath == nil || a.c.LookPath(argv[0]) == nil {
		return true
	}
	text := fmt.Sprintf("Cannot find '%s' in path: No such file or directory", argv[0])
	switch {
	case path.IsAbs(argv[0]) && a.u.Transport() == uri.Ext:
		text = "internal error: client socket is closed"
	case path.IsAbs(argv[0]):
		text = fmt.Sprintf("Cannot recv data: libvirt:  error : cannot execute binary %s: No such file or directory: Connection reset by peer", argv[0])
	}
	return a.failed(finding.TransportFails, "command-not-found", fmt.Sprintf("The command %q is not there.", argv[0]), text)
}

// ssh predicts what the ssh binary refuses at once. Where the user has a configuration of it, that may change everything.
func (a *attempt) ssh() bool {
	host := a.u.Host()
	if _, own := a.u.Param("command"); own || a.c.LoginHome == "" {
		return true
	}
	dir := a.c.LoginHome + "/.ssh"
	if strings.HasPrefix(host, "-") {
		return a.failed(finding.TransportFails, "command-fails", fmt.Sprintf("ssh takes no host that begins with a dash: %q.", host),
			"Cannot recv data: hostname contains invalid characters: Connection reset by peer")
	}
	if a.c.exists(dir + "/config") {
		return true
	}
	port := a.u.Port()
	if port == 0 {
		port = uri.PortSSH
	}
	if !a.mayListen(port) {
		return a.failed(finding.TransportFails, "ssh-not-reached", fmt.Sprintf("Nothing listens on port %d of this machine.", port),
			fmt.Sprintf("Cannot recv data: ssh: connect to host %s port %d: Connection refused: Connection reset by peer", host, port))
	}
	if a.u.NoVerify() || !a.u.NoTTY() && a.c.Terminal {
		return true
	}
	files := []string{dir + "/known_hosts", dir + "/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	if a.knownHost(host, port, true, files...) {
		return true
	}
	return a.failed(finding.TransportFails, "ssh-host-key-unknown", fmt.Sprintf("%s has no host key in %s, and nobody can be asked.", host, files[0]),
		"Cannot recv data: Host key verification failed.: Connection reset by peer")
}

// library predicts what libssh and libssh2 refuse: an unknown host key, a missing key, a missing agent.
func (a *attempt) library() bool {
	l, _ := a.u.Login(a.c.exists)
	host, port := a.u.Host(), a.u.Port()
	second := a.u.Transport() == uri.LibSSH2
	if !a.mayListen(port) {
		return a.failed(finding.Network, "connection-refused", fmt.Sprintf("Nothing listens on port %d of this machine.", port),
			fmt.Sprintf("unable to connect to server at '%s': Connection refused", a.u.Address()))
	}
	if l.Verification == uri.VerifyNormal && !a.c.Terminal && !a.knownHost(host, port, false, l.KnownHosts) {
		return a.failed(finding.TransportFails, "ssh-host-key-unknown",
			fmt.Sprintf("%s has no host key in %s, and nobody can be asked.", host, l.KnownHosts), "")
	}
	only := func(method string) bool { return len(l.Methods) == 1 && l.Methods[0] == method }
	key, named := a.u.Param("keyfile")
	older := !a.c.Libvirt.AtLeast(11, 0)
	switch {
	case only("privkey") && named && !a.c.exists(key):
		text := fmt.Sprintf("authentication failed: error while reading private key '%s'", key)
		if second {
			text = fmt.Sprintf("authentication failed: authentication with private key '%s' has failed: Unable to extract public key from "+
				"private key file: Unable to open private key file", key)
		}
		return a.failed(finding.TransportFails, "ssh-login-refused", fmt.Sprintf("The key %q is not there.", key), text)
	case only("privkey") && !named && len(l.Keys) == 0 && second:
		text := "SSH transport error: Username and key file path must be provided for private key authentication"
		if !older {
			text = "SSH transport error: Key file path must be provided for private key authentication"
		}
		return a.failed(finding.TransportFails, "ssh-login-refused", "The URI wants a login by key, and there is none.", text)
	case only("agent") && !a.c.Agent:
		text := ""
		if second {
			text = "SSH transport error: Failed to connect to ssh agent"
		}
		return a.failed(finding.TransportFails, "ssh-login-refused", "The URI wants an SSH agent, and there is none.", text)
	}
	return true
}

// mayListen reports whether something listens on a port where the host is this machine; elsewhere it is taken for granted.
func (a *attempt) mayListen(port int) bool {
	if !a.c.SameMachine || !isLocal(a.u.Host()) {
		return true
	}
	known := false
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := a.c.ReadFile(name)
		if err != nil {
			continue
		}
		for i, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if i == 0 || len(fields) < 4 {
				continue
			}
			known = true
			_, hex, _ := strings.Cut(fields[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && fields[3] == listening && int(n) == port&0xffff {
				return true
			}
		}
	}
	return !known
}

// listening is TCP_LISTEN of the kernel's tables.
const listening = "0A"

// isLocal reports whether a host's name is that of the machine itself.
func isLocal(host string) bool {
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
}

// knownHost looks a host up in known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). ssh also takes a host's name
// without its port.
func (a *attempt) knownHost(host string, port int, plainToo bool, files ...string) bool {
	names := []string{host}
	if port != uri.PortSSH {
		names = []string{fmt.Sprintf("[%s]:%d", host, port)}
		if plainToo {
			names = append(names, host)
		}
	}
	for _, f := range files {
		text, err := a.c.ReadFile(f)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if len(fields) > 0 && fields[0] == "@cert-authority" {
				fields = fields[1:]
			}
			if len(fields) < 3 || fields[0][0] == '#' || fields[0][0] == '@' {
				continue
			}
			if slices.ContainsFunc(names, func(n string) bool { return hostMatches(fields[0], strings.ToLower(n)) }) {
				return true
			}
		}
	}
	return false
}

// hostMatches compares a name with the first field of a line: patterns with * and ?, some negated, or one hash.
func hostMatches(field, name string) bool {
	if hash, ok := strings.CutPrefix(field, "|1|"); ok {
		salt, sum, _ := strings.Cut(hash, "|")
		s, err1 := base64.StdEncoding.DecodeString(salt)
		want, err2 := base64.StdEncoding.DecodeString(sum)
		mac := hmac.New(sha1.New, s)
		mac.Write([]byte(name))
		return err1 == nil && err2 == nil && hmac.Equal(mac.Sum(nil), want)
	}
	found := false
	for _, p := range strings.Split(strings.ToLower(field), ",") {
		p, not := strings.CutPrefix(p, "!")
		if p == name || hostPattern(p, name) {
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// hostPattern matches with * and ?; brackets stand for themselves.
func hostPattern(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
