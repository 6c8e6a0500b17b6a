package ca

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
)

// Constraints limit what a CA may certify (RFC 5280, 4.2.1.10). A DNS constraint covers the name and all below it; with a
// leading dot only what is below. No constraint of a kind: everything of that kind is permitted.
type Constraints struct {
	PermittedNames, ExcludedNames []string
	PermittedNets, ExcludedNets   []netip.Prefix
}

// IsZero reports whether there is no constraint.
func (c Constraints) IsZero() bool {
	return len(c.PermittedNames)+len(c.ExcludedNames)+len(c.PermittedNets)+len(c.ExcludedNets) == 0
}

// ParseConstraint adds one constraint as it is written on a command line: a DNS name, an address, or a network in CIDR.
func (c *Constraints) ParseConstraint(text string, excluded bool) error {
	names, nets := &c.PermittedNames, &c.PermittedNets
	if excluded {
		names, nets = &c.ExcludedNames, &c.ExcludedNets
	}
	if strings.Contains(text, "/") {
		net, err := netip.ParsePrefix(text)
		if err != nil {
			return &HostError{text, "it is no network in CIDR notation", "write it like 192.0.2.0/24 or 2001:db8::/32"}
		}
		if net.Masked() != net {
			return &HostError{text, "it has bits set outside the network", "write " + net.Masked().String()}
		}
		*nets = append(*nets, net)
		return nil
	}
	name, addr, err := ParseHost(strings.TrimPrefix(text, "."))
	switch {
	case err != nil:
		return err
	case addr.IsValid():
		*nets = append(*nets, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	case strings.HasPrefix(name, "*."):
		return &HostError{text, "a name constraint has no wildcard", "write " + strings.TrimPrefix(name, "*")}
	case strings.HasPrefix(text, "."):
		name = "." + name
	}
	*names = append(*names, name)
	return nil
}

// apply writes the constraints into a template, critical.
func (c Constraints) apply(t *x509.Certificate) {
	if c.IsZero() {
		return
	}
	ipNets := func(list []netip.Prefix) (out []*net.IPNet) {
		for _, p := range list {
			out = append(out, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
		}
		return out
	}
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains, t.ExcludedDNSDomains = c.PermittedNames, c.ExcludedNames
	t.PermittedIPRanges, t.ExcludedIPRanges = ipNets(c.PermittedNets), ipNets(c.ExcludedNets)
}

// constraintsOf reads the constraints of a CA.
func constraintsOf(cert *x509.Certificate) Constraints {
	prefixes := func(list []*net.IPNet) (out []netip.Prefix) {
		for _, n := range list {
			addr, ok := netip.AddrFromSlice(n.IP)
			if ones, bits := n.Mask.Size(); ok && bits == addr.BitLen() {
				out = append(out, netip.PrefixFrom(addr, ones))
			}
		}
		return out
	}
	return Constraints{
		PermittedNames: cert.PermittedDNSDomains, ExcludedNames: cert.ExcludedDNSDomains,
		PermittedNets: prefixes(cert.PermittedIPRanges), ExcludedNets: prefixes(cert.ExcludedIPRanges),
	}
}

// check refuses names and addresses that the constraints do not allow; errors are of type *ConstraintError.
func (c Constraints) check(names []string, addrs []netip.Addr) error {
	for _, name := range names {
		for _, x := range c.ExcludedNames {
			// A wildcard stands for names of which some may be excluded.
			if below(name, x) || strings.HasPrefix(name, "*.") && below(x, name[1:]) {
				return &ConstraintError{Name: name, Excluded: x}
			}
		}
		permitted := len(c.PermittedNames) == 0
		for _, p := range c.PermittedNames {
			permitted = permitted || below(name, p)
		}
		if !permitted {
			return &ConstraintError{Name: name, Permitted: c.PermittedNames}
		}
	}
	for _, addr := range addrs {
		for _, x := range c.ExcludedNets {
			if x.Contains(addr) {
				return &ConstraintError{Name: addr.String(), Excluded: x.String()}
			}
		}
		permitted := len(c.PermittedNets) == 0
		var texts []string
		for _, p := range c.PermittedNets {
			permitted = permitted || p.Contains(addr)
			texts = append(texts, p.String())
		}
		if !permitted {
			return &ConstraintError{Name: addr.String(), Permitted: texts}
		}
	}
	return nil
}

// below reports whether a name is covered by a DNS constraint.
func below(name, constraint string) bool {
	name, constraint = strings.ToLower(name), strings.ToLower(constraint)
	if constraint == "" { // RFC 5280: covers everything
		return true
	}
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(name, constraint)
	}
	return name == constraint || strings.HasSuffix(name, "."+constraint)
}
