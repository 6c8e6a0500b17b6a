package preflight

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/unit"
)

// A Listening is a TCP socket that waits for clients.
type Listening struct {
	Addr netip.Addr
	Port uint16
	// Inode tells the socket, Program is who has it ("libvirtd", "nginx"), empty where that cannot be seen.
	Inode   string
	Program string
}

// String names the program, as far as it is known.
func (l Listening) String() string {
	who := l.Program
	if who == "" {
		who = "a program that cannot be seen"
	}
	return who + " on " + netip.AddrPortFrom(l.Addr, l.Port).String()
}

// ReadListening lists the listening TCP sockets as /proc shows them: net/tcp and net/tcp6, and whose they are by the file
// descriptors of the processes, as far as the caller may look at those. proc is the file system of /proc.
func ReadListening(proc fs.FS) ([]Listening, error) {
	out := []Listening{}
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		b, err := fs.ReadFile(proc, name)
		if errors.Is(err, fs.ErrNotExist) && name == "net/tcp6" {
			continue // no IPv6
		}
		if err != nil {
			return nil, err
		}
		out = append(out, parseListening(b)...)
	}
	wanted := map[string]bool{}
	for _, l := range out {
		wanted[l.Inode] = true
	}
	owners := map[string]string{}
	entries, err := fs.ReadDir(proc, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		fds, err := fs.ReadDir(proc, e.Name()+"/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			target, err := fs.ReadLink(proc, e.Name()+"/fd/"+fd.Name())
			inode, ok := strings.CutPrefix(target, "socket:[")
			if err != nil || !ok || !wanted[strings.TrimSuffix(inode, "]")] {
				continue
			}
			comm, err := fs.ReadFile(proc, e.Name()+"/comm")
			if err != nil {
				continue
			}
			// systemd and the daemon both have a passed socket; the daemon says more.
			inode = strings.TrimSuffix(inode, "]")
			if name := strings.TrimSpace(string(comm)); owners[inode] == "" || owners[inode] == "systemd" {
				owners[inode] = name
			}
		}
	}
	for i := range out {
		out[i].Program = owners[out[i].Inode]
	}
	return out, nil
}

// parseListening reads a table of the kernel (proc(5), /proc/net/tcp): addresses in the machine's order of octets, which is
// taken to be little-endian, ports as numbers, 0A is the state of listening.
func parseListening(b []byte) []Listening {
	var out []Listening
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		host, port, ok := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(host)
		n, err2 := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
			continue
		}
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
		if a, ok := netip.AddrFromSlice(raw); ok {
			out = append(out, Listening{Addr: a.Unmap(), Port: uint16(n), Inode: fields[9]})
		}
	}
	return out
}

// ours are the programs whose having the port is as it should be: systemd for its sockets and the daemons themselves, which
// are restarted.
var ours = []string{"systemd", "libvirtd", "virtproxyd"}

// taken finds a program that has a port on an address that clashes.
func (s *Server) taken(port uint16, clash func(netip.Addr) bool) (Listening, bool) {
	for _, l := range s.d.Ports {
		switch {
		case l.Port != port || slices.Contains(ours, l.Program) || !clash(l.Addr):
		case l.Program == "" && s.up():
			// The daemon runs: it is its own port, which not everybody can see.
		case l.Program == "":
			u := "which program has port " + strconv.Itoa(int(port)) + " on " + l.Addr.String() + " (root sees it: ss -ltnp)"
			if !slices.Contains(s.Unchecked, u) {
				s.Unchecked = append(s.Unchecked, u)
			}
		default:
			return l, true
		}
	}
	return Listening{}, false
}

// up reports whether the daemon is known to run now.
func (s *Server) up() bool {
	if s.d.Units == nil {
		return false
	}
	x := s.d.Units.Daemon(s.d.Kind.String())
	return x != nil && x.Service.Up()
}

// clash reports whether a program that listens on has keeps another from listening on want, an IPv6 address of which takes
// IPv6 only, as libvirt's do. All IPv6 addresses of the program are taken to be all of IPv4, too, as programs commonly ask for.
func clash(want, has netip.Addr) bool {
	switch {
	case has.IsUnspecified():
		return has.Is6() || want.Is4()
	case want.IsUnspecified():
		return has.Is4() == want.Is4()
	}
	return has == want
}

// clashes is clash for an address of a socket unit, which takes both families.
func clashes(want unit.Stream, has netip.Addr) bool {
	switch {
	case want.Addr.IsValid():
		return clash(want.Addr.Unmap().WithZone(""), has)
	case want.Only4:
		return clash(netip.IPv4Unspecified(), has)
	case want.Only6:
		return has.Is6()
	}
	return true
}
