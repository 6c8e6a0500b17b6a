package unit

import (
	"net/netip"
	"strconv"
	"strings"
)

// A Stream is an address that a socket unit listens on (ListenStream=).
type Stream struct {
	// Text is as it stands in the unit.
	Text string
	// Path is that of a UNIX socket; an abstract one begins with @.
	Path string
	// Port is the TCP port, 0 for a UNIX socket. Addr is the address; invalid: all, IPv4 and IPv6 (BindIPv6Only=).
	Port uint16
	Addr netip.Addr
	// Only4 and Only6 restrict all addresses to one family.
	Only4, Only6 bool
	File         string
	Line         int
}

// streams reads the addresses of a socket unit. What is none is a Problem, as systemd ignores it with a warning.
func streams(f *File) (out []Stream, problems []Problem) {
	only := ""
	if e, ok := f.Last("Socket", "BindIPv6Only"); ok {
		only = e.Value
	}
	for _, e := range f.List("Socket", "ListenStream") {
		text := f.expand(e.Value)
		s := Stream{Text: text, File: e.File, Line: e.Line}
		switch port, err := strconv.ParseUint(text, 10, 16); {
		case strings.HasPrefix(text, "/"), strings.HasPrefix(text, "@"):
			s.Path = text
		case err == nil && port != 0 && text[0] != '+':
			s.Port, s.Only6 = uint16(port), only == "ipv6-only"
		default:
			// An interface may follow: [fe80::1]:16514%eth0.
			at, zone, _ := strings.Cut(text, "%")
			a, err := netip.ParseAddrPort(at)
			if err != nil || a.Port() == 0 {
				problems = append(problems, Problem{e.File, e.Line, "ListenStream= is no address: " + strconv.Quote(e.Value)})
				continue
			}
			_ = zone
			s.Addr, s.Port = a.Addr(), a.Port()
			if s.Addr == netip.IPv6Unspecified() {
				s.Addr, s.Only6 = netip.Addr{}, only == "ipv6-only"
			} else if s.Addr == netip.IPv4Unspecified() {
				s.Addr, s.Only4 = netip.Addr{}, true
			}
		}
		out = append(out, s)
	}
	return out, problems
}

// String gives the address as it stands in the unit.
func (s Stream) String() string { return s.Text }

// Takes reports whether a client that connects to an address reaches the socket. The zero value takes all.
func (s Stream) Takes(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	switch {
	case s.Only4:
		return a.Is4()
	case s.Addr.IsValid():
		return s.Addr.Unmap().WithZone("") == a
	case s.Only6:
		return a.Is6()
	}
	return true
}
