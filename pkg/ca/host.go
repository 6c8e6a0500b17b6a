package ca

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ParseHost reads a host as an administrator writes it: an IPv4 or IPv6 address (brackets allowed), or a DNS name, which
// is turned into the form that stands in certificates: lower case, IDN in punycode, no final dot. A leading "*." is
// allowed. One of the two results is set. Errors are of type *HostError.
func ParseHost(s string) (name string, addr netip.Addr, err error) {
	fail := func(problem, hint string) (string, netip.Addr, error) {
		return "", netip.Addr{}, &HostError{s, problem, hint}
	}
	text := s
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(text, ":") {
			return fail("brackets stand around an IPv6 address only", "")
		}
	}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return fail("an address with a zone means something on one machine only",
				"use the address without %"+a.Zone()+", or a name")
		}
		// A certificate holds 4 or 16 octets; an IPv4 address mapped into IPv6 is written as the former.
		return "", a.Unmap(), nil
	}
	switch {
	case text == "":
		return fail("it is empty", "")
	case !utf8.ValidString(text):
		return fail("it is not valid UTF-8", "")
	case strings.Contains(text, "://"):
		return fail("it is a URI", "give the host's name alone")
	case strings.Contains(text, "/"):
		return fail("it is a network or a path, not one host", "")
	case strings.Contains(text, ":"):
		return fail("it is neither an IPv6 address nor a name; a port does not belong here", "")
	}
	name, wild := strings.CutPrefix(text, "*.")
	name = strings.TrimSuffix(name, ".")
	if !isASCII(name) {
		// UTS 46, non-transitional, as GnuTLS does it through libidn2.
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return fail("it is no internationalized domain name: "+strings.TrimPrefix(err.Error(), "idna: "), "")
		}
	}
	name = strings.ToLower(name)
	if problem := checkName(name); problem != "" {
		return fail(problem, "")
	}
	if wild {
		if !strings.Contains(name, ".") {
			return fail("a wildcard needs at least two labels after it", "")
		}
		name = "*." + name
	}
	return name, netip.Addr{}, nil
}

// ParseHosts reads a list of hosts and drops what is twice in it. It names the first that is none.
func ParseHosts(list []string) (names []string, addrs []netip.Addr, err error) {
	for _, s := range list {
		name, addr, err := ParseHost(s)
		if err != nil {
			return nil, nil, err
		}
		names, addrs = addHost(names, addrs, name, addr)
	}
	return names, addrs, nil
}

// addHost appends a host unless it is there.
func addHost(names []string, addrs []netip.Addr, name string, addr netip.Addr) ([]string, []netip.Addr) {
	if addr.IsValid() {
		for _, a := range addrs {
			if a == addr {
				return names, addrs
			}
		}
		return names, append(addrs, addr)
	}
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return names, addrs
		}
	}
	return append(names, name), addrs
}

// checkName says what is wrong with a DNS name in ASCII, without a wildcard: RFC 1123, 2.1, and the underscore, which
// libvirt hosts do have and GnuTLS compares like any other character.
func checkName(name string) string {
	if len(name) > 253 {
		return "it is longer than 253 characters"
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return "it has an empty label"
		case len(label) > 63:
			return "a label is longer than 63 characters"
		case label[0] == '-' || label[len(label)-1] == '-':
			return "a label begins or ends with a hyphen"
		}
		for _, c := range []byte(label) {
			if c == '*' {
				return "a wildcard must be the whole first label"
			}
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return "it holds a character that no host name has"
			}
		}
	}
	// No top-level domain is a number (RFC 3696, 2), so this was meant as an address.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "it looks like an IPv4 address and is none"
	}
	return ""
}

// isASCII reports whether a text has ASCII characters only.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
