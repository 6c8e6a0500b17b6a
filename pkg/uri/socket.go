package uri

// Sockets gives the UNIX socket's path, as candidates in order: the first that exists is used, and Fallback if none
// does (remoteGetUNIXSocket). ok is false for a transport without one. For ssh, libssh and libssh2 it is the path on the
// far side, and there is always one candidate only.
type Sockets struct {
	Candidates []string
	// Fallback is the one that is tried, and named in the message, when none is there.
	Fallback string
}

// Choose picks as libvirt does; exists may be nil.
func (s Sockets) Choose(exists func(string) bool) string {
	if exists != nil {
		for _, p := range s.Candidates {
			if exists(p) {
				return p
			}
		}
	}
	return s.Fallback
}

// Sockets gives the candidates. A path that begins with @ is an abstract socket.
func (u URI) Sockets() (s Sockets, ok bool) {
	if u.transport != Unix && !u.transport.ssh() {
		return Sockets{}, false
	}
	if p, ok := u.value["socket"]; ok {
		return Sockets{[]string{p}, p}, true
	}
	legacy := u.socketOf("libvirt")
	direct := ""
	if u.driver != "" {
		direct = u.socketOf("virt" + u.driver + "d")
	}
	switch {
	case u.transport != Unix, u.mode == ModeLegacy, direct == "":
		return Sockets{[]string{legacy}, legacy}, true
	case u.mode == ModeDirect:
		return Sockets{[]string{direct}, direct}, true
	case u.o.DirectDefault:
		return Sockets{[]string{direct, legacy}, direct}, true
	}
	return Sockets{[]string{direct, legacy}, legacy}, true
}

// socketOf is remoteGetUNIXSocketHelper. A user's daemon has no read-only socket. The system path is /var/run whatever
// the build says, since it may be that of another machine.
func (u URI) socketOf(daemon string) string {
	if u.session {
		return u.o.runtimeDir() + "/" + daemon + "-sock"
	}
	if u.o.ReadOnly {
		return "/var/run/libvirt/" + daemon + "-sock-ro"
	}
	return "/var/run/libvirt/" + daemon + "-sock"
}
