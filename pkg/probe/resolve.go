package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// resolve gives the addresses of a host as getaddrinfo does for libvirt: literals of either family, the old spellings
// of IPv4 included, are not looked up.
func resolve(ctx context.Context, host string, r Resolver) ([]netip.Addr, error) {
	if host == "*" {
		// The C library takes it for no name at all, which stands for every address of the machine.
		return []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()}, nil
	}
	if a, ok := parseIPv4(host); ok {
		return []netip.Addr{a}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !zoneUsable(a) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return []netip.Addr{a}, nil
	}
	if host == "" || strings.ContainsAny(host, " :/%[]\x00") {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return r.LookupNetIP(ctx, "ip", host)
}

// zoneUsable follows __inet6_scopeid_pton of the C library: a zone that is a name belongs to link-local addresses only.
func zoneUsable(a netip.Addr) bool {
	if a.Zone() == "" || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast() {
		return true
	}
	_, err := strconv.ParseUint(a.Zone(), 10, 32)
	return err == nil
}

// parseIPv4 reads what inet_aton reads: one to four numbers, decimal, octal with a leading 0 or hexadecimal with 0x, of
// which the last fills the bytes that are left.
func parseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		digits, base := p, 10
		switch {
		case strings.HasPrefix(p, "0x"), strings.HasPrefix(p, "0X"):
			digits, base = p[2:], 16
		case len(p) > 1 && p[0] == '0':
			digits, base = p[1:], 8
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			left := 8 * (4 - i)
			if n >= 1<<left {
				return netip.Addr{}, false
			}
			v = v<<left | n
		} else {
			if n > 255 {
				return netip.Addr{}, false
			}
			v = v<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// gaiError words a failed look-up as gai_strerror does.
func gaiError(err error) string {
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return "Name or service not known"
	case errors.As(err, &d) && (d.IsTemporary || d.IsTimeout), timedOut(err):
		return "Temporary failure in name resolution"
	}
	return "Name or service not known"
}

// Resolve gives the addresses of a host as getaddrinfo gives them to libvirt: literals of either family, the old
// spellings of IPv4 included, are not looked up.
func Resolve(ctx context.Context, host string, r Resolver) ([]netip.Addr, error) {
	addrs, err := resolve(ctx, host, r)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// ResolveFailure gives the rule that a failed Resolve is a case of, and the C library's words for it, which stand at the
// end of libvirt's "Unable to resolve address 'HOST' service 'PORT': ".
func ResolveFailure(err error) (rule, text string) {
	rule = "name-not-resolved"
	var d *net.DNSError
	if !errors.As(err, &d) || !d.IsNotFound {
		rule = "name-service-fails"
	}
	return rule, gaiError(err)
}

// Reached gives the addresses that a connection to these leads to: to the unspecified address of a family is to this machine
// itself, in that family (Linux).
func Reached(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		switch {
		case a == netip.IPv4Unspecified():
			a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case a.WithZone("") == netip.IPv6Unspecified():
			a = netip.IPv6Loopback()
		}
		out[i] = a
	}
	return out
}
