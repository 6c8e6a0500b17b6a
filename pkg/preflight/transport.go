package preflight

import (
	"fmt"
	"path"
	"strconv"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// maxSocketPath is what fits into sockaddr_un with its final NUL.
const maxSocketPath = 107

// unix predicts a connection to a socket of this machine (virNetSocketNewConnectUNIX).
func (a *attempt) unix() bool {
	sockets, _ := a.u.Sockets()
	name := sockets.Choose(func(p string) bool {
		_, ours := a.s.socket(p)
		return ours && a.s.Starts || a.c.exists(p)
	})
	fail := func(rule, message, text string) bool {
		f := ruleByID(rule).Finding(a.URI, message)
		f.LibvirtMessage = text
		a.conclude(finding.TransportFails, f)
		return false
	}
	if len(name) > maxSocketPath {
		return fail("socket-path-too-long", fmt.Sprintf("%q has %d bytes; %d are possible.", name, len(name), maxSocketPath),
			fmt.Sprintf("Path %s too long for unix socket: Cannot allocate memory", name))
	}
	readOnly, ours := a.s.socket(name)
	missing := fmt.Sprintf("Failed to connect socket to '%s': No such file or directory", name)
	switch {
	case ours && !a.s.Starts:
		a.down()
		a.LibvirtMessage = missing
		return false
	case ours:
		auth := a.s.Conf.AuthUnixRW
		if readOnly {
			auth = a.s.Conf.AuthUnixRO
		}
		if !a.c.Root && !a.mode(readOnly) {
			return fail("socket-permission", fmt.Sprintf("The modes that the daemon gives its sockets do not let an ordinary user use %q.", name),
				fmt.Sprintf("Failed to connect socket to '%s': Permission denied", name))
		}
		if auth == conf.AuthPolkit {
			if a.c.Root {
				return true
			}
			a.Unchecked = append(a.Unchecked, "whether polkit lets this user in")
			return true
		}
		return a.authenticate(auth)
	case a.c.exists(name):
		a.Unchecked = append(a.Unchecked, fmt.Sprintf("which daemon owns %q: it is no socket of this configuration", name))
		return true
	}
	return fail("socket-missing", fmt.Sprintf("The socket %q is not there, and a daemon with this configuration does not make it.", name), missing)
}

// socketDir is where the daemon makes its sockets.
func (s *Server) socketDir() string {
	switch {
	case s.Conf != nil && s.Conf.UnixSockDir != nil && !s.Conf.Run.SocketActivated:
		return *s.Conf.UnixSockDir
	case s.d.Root:
		return "/run/libvirt"
	case s.d.RuntimeDir != "":
		return s.d.RuntimeDir + "/libvirt"
	}
	return s.d.Home + "/.cache/libvirt"
}

// socket reports whether the daemon makes a socket of that name, and whether it is the read-only one.
func (s *Server) socket(name string) (readOnly, ours bool) {
	dir, base := path.Split(path.Clean(name))
	if s.real(dir) != s.real(s.socketDir()) {
		return false, false
	}
	switch base {
	case "libvirt-sock":
		return false, true
	case "libvirt-sock-ro":
		return true, s.d.Root
	}
	return false, false
}

// real gives a directory without symbolic links; /var/run is one to /run everywhere.
func (s *Server) real(dir string) string {
	dir = path.Clean(dir)
	if under(dir, "/var/run") {
		dir = dir[len("/var"):]
	}
	if s.d.Real != nil {
		dir = s.d.Real(dir)
	}
	return dir
}

// mode reports whether the socket's mode lets everybody use it. Who is in its group is not known here.
func (a *attempt) mode(readOnly bool) bool {
	text := a.s.Conf.UnixSockRWPerms
	if readOnly {
		text = a.s.Conf.UnixSockROPerms
	}
	if !a.s.d.Root {
		return true // a daemon of this very user
	}
	m := conf.Mode(text)
	if a.s.Conf.Run.SocketActivated {
		m = a.s.socketMode(readOnly)
	}
	if m&0o002 == 0 && m&0o020 != 0 && a.s.Conf.UnixSockGroup != nil {
		a.Unchecked = append(a.Unchecked, fmt.Sprintf("whether the user is a member of the group %q", *a.s.Conf.UnixSockGroup))
		return true
	}
	return m&0o002 != 0
}

// socketMode is SocketMode= of the unit that passes a UNIX socket; libvirt's own units have 0666, which is systemd's default.
func (s *Server) socketMode(readOnly bool) uint32 {
	suffix := ""
	if readOnly {
		suffix = "-ro"
	}
	if s.d.Units != nil {
		if x := s.d.Units.Daemon(s.d.Kind.String()); x != nil && x.Socket(suffix) != nil && x.Socket(suffix).File != nil {
			if e, ok := x.Socket(suffix).File.Last("Socket", "SocketMode"); ok && e.Value != "" {
				if n, err := strconv.ParseUint(e.Value, 8, 16); err == nil {
					return uint32(n)
				}
			}
		}
	}
	return 0o666
}

// insideClient is a driver that needs no daemon.
func (a *attempt) insideClient() {
	a.Outcome = finding.Connected
	driver, name := a.u.Driver(), a.u.Path()
	if driver != "test" {
		a.Unchecked = append(a.Unchecked, fmt.Sprintf("what the driver %q inside the client comes to", driver))
		return
	}
	a.test(name, a.c.Machine)
}
