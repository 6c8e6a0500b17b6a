package uri

import (
	"strconv"
	"strings"
)

// Argv is the command that the transports ssh and ext run, its name first; it is looked for in PATH. ok is false for
// the other transports (virNetSocketNewConnectSSH, virNetClientNewExternal).
func (u URI) Argv() (argv []string, ok bool) {
	switch u.transport {
	case Ext:
		return append([]string{u.value["command"]}, u.argv...), true
	case SSH:
	default:
		return nil, false
	}
	argv = []string{"ssh"}
	if c, ok := u.value["command"]; ok {
		argv[0] = c
	}
	if u.port != 0 {
		argv = append(argv, "-p", strconv.Itoa(u.port))
	}
	if name, ok := u.User(); ok {
		argv = append(argv, "-l", name)
	}
	if k, ok := u.value["keyfile"]; ok {
		argv = append(argv, "-i", k)
	}
	argv = append(argv, "-T", "-e", "none")
	if u.noTTY {
		argv = append(argv, "-o", "BatchMode=yes")
	}
	if u.noVerify {
		argv = append(argv, "-o", "StrictHostKeyChecking=no")
	}
	remote, _ := u.RemoteCommand()
	return append(argv, "--", u.host, remote), true
}

// RemoteCommand is the one string that ssh, libssh and libssh2 have run on the far side, where a shell reads it, and a
// second shell what it quotes (virSSHHelperCommand).
func (u URI) RemoteCommand() (string, bool) {
	if !u.transport.ssh() {
		return "", false
	}
	netcat, ok := u.value["netcat"]
	if !ok {
		netcat = "nc"
	}
	sockets, _ := u.Sockets()
	nc := quoteTwice(netcat)
	viaNetcat := `if '` + nc + `' -q 2>&1 | grep "requires an argument" >/dev/null 2>&1; then ARG=-q0;else ARG=;fi;` +
		`'` + nc + `' $ARG -U ` + sockets.Choose(nil)
	viaHelper := "virt-ssh-helper "
	if u.o.ReadOnly {
		viaHelper += "-r "
	}
	viaHelper += `'` + quoteTwice(u.helper) + `'`
	switch u.proxy {
	case ProxyNetcat:
		return "sh -c '" + viaNetcat + "'", true
	case ProxyNative:
		return "sh -c '" + viaHelper + "'", true
	}
	return "sh -c 'which virt-ssh-helper 1>/dev/null 2>&1; if test $? = 0; then     " + viaHelper + "; else    " + viaNetcat + "; fi'", true
}

func quoteTwice(s string) string { return shellQuote(shellQuote(s)) }

// shellQuote is virBufferEscapeShell.
func shellQuote(s string) string {
	if s == "" {
		return "''"
	}
	if !strings.ContainsAny(s, "\r\t\n !\"#$&'()*;<>?[\\]^`{|}~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var sshAuthMethods = []string{"agent", "privkey", "password", "keyboard-interactive"}

// A Login is how libssh and libssh2 log in (virNetClientNewLibSSH, virNetClientNewLibSSH2). The ssh binary decides all
// of this itself.
type Login struct {
	// User is the URI's, else root: not the name of the caller.
	User string
	// Keys are the private keys, as candidates: the first that exists. One named by keyfile= is used whether it exists
	// or not.
	Keys []string
	// Methods in the order they are tried. Without a key, and without sshauth=, privkey is left out.
	Methods []string
	// KnownHosts is the file of host keys. It is not that of the ssh binary.
	KnownHosts   string
	Verification HostKeyVerification
}

// Login gives the login; ok is false for other transports. exists reports whether a file is there; nil: none is.
func (u URI) Login(exists func(string) bool) (l Login, ok bool) {
	if u.transport != LibSSH && u.transport != LibSSH2 {
		return Login{}, false
	}
	l = Login{User: "root", KnownHosts: u.o.ConfigDir() + "/known_hosts", Verification: u.verification}
	if name, ok := u.User(); ok {
		l.User = name
	}
	if k, ok := u.value["known_hosts"]; ok {
		l.KnownHosts = k
	}
	if k, ok := u.value["keyfile"]; ok {
		l.Keys = []string{k}
	} else if exists != nil {
		for _, n := range []string{"identity", "id_dsa", "id_ecdsa", "id_ed25519", "id_rsa"} {
			if p := u.o.Home + "/.ssh/" + n; exists(p) {
				l.Keys = []string{p}
				break
			}
		}
	}
	_, named := u.value["sshauth"]
	switch {
	case named: // sshauth= with nothing behind it names none
		l.Methods = append([]string(nil), u.sshAuth...)
	case len(l.Keys) == 0:
		l.Methods = []string{"agent", "password", "keyboard-interactive"}
	default:
		l.Methods = append([]string(nil), sshAuthMethods...)
	}
	return l, true
}
