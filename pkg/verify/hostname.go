package verify

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// HostMatch says whether a certificate is for a host, and through what.
type HostMatch struct {
	Match bool
	// Via is "san-dns", "san-ip", "cn", or "" without a match.
	Via string
	// Reason is one sentence: what matched, or why nothing did and what the certificate is for.
	Reason string
}

// The values of HostMatch.Via.
const (
	ViaDNS = "san-dns"
	ViaIP  = "san-ip"
	ViaCN  = "cn"
)

// Host judges as gnutls_x509_crt_check_hostname of Debian 12's GnuTLS 3.7.9 does with flags 0, as libvirt's client asks
// about the server's certificate: not the dates, nor the purpose, nor the trust.
//
// A text that is an IP address is looked for among the iPAddress entries only. A name is looked for among the dNSName
// entries, and in the common name if nothing among the alternative names forbids that. The patches for CVE-2026-42012
// and CVE-2026-42013 are in: URI and SRV entries and oversized ones forbid it as well.
func Host(cert *certs.Certificate, host string) HostMatch { return matchHost(cert, host, true) }

// matchHost is Host; without wildcards it is as with GNUTLS_VERIFY_DO_NOT_ALLOW_WILDCARDS, which libvirt does not set.
func matchHost(cert *certs.Certificate, host string, wildcards bool) HostMatch {
	if addr, ok := parseAddress(host); ok {
		return matchAddress(cert, host, addr)
	}
	ascii, mapped := toASCII(host)
	fallback := fallbackOf(cert)
	if mapped {
		for _, n := range cert.AltNames {
			if n.Kind == certs.DNSName && len(n.Value) <= maxAltName && isPlain(n.Value) &&
				matchName(string(n.Value), ascii, wildcards) {
				return HostMatch{true, ViaDNS, fmt.Sprintf("the dNSName %q is for %q", n.Value, host)}
			}
		}
	} else {
		fallback = allowedFallback // the alternative names are not looked at at all
		ascii = host
	}
	reason := fallback.forbidden
	if reason == "" {
		cn, problem := commonName(cert)
		switch {
		case problem != "":
			reason = problem
		case matchName(cn, ascii, wildcards):
			why := ", and no subjectAltName says otherwise"
			if !mapped {
				why = "; the host name is not valid under IDNA, so that the subjectAltName is not looked at"
			}
			return HostMatch{true, ViaCN, fmt.Sprintf("the common name %q is for %q%s", cn, host, why)}
		default:
			reason = "the common name does not match either"
		}
	}
	if !mapped {
		reason = "the host name is not valid under IDNA, so that the subjectAltName is not looked at, and " + reason
	}
	return HostMatch{Reason: fmt.Sprintf("no name in the certificate is for %q (%s); %s", host, reason, describe(cert))}
}

// parseAddress reads an IP address as inet_pton does, IPv6 where there is a colon, without zones.
func parseAddress(host string) ([]byte, bool) {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return nil, false
	}
	return addr.AsSlice(), true
}

func matchAddress(cert *certs.Certificate, host string, addr []byte) HostMatch {
	for _, n := range cert.AltNames {
		if n.Kind == certs.IPAddress && string(n.Value) == string(addr) {
			return HostMatch{true, ViaIP, fmt.Sprintf("the iPAddress %s is for %q", addressText(n.Value), host)}
		}
	}
	return HostMatch{Reason: fmt.Sprintf("no iPAddress in the certificate is %s, and for an address nothing else counts; %s",
		host, describe(cert))}
}

// The largest alternative names that gnutls_x509_crt_check_hostname has room for.
const (
	maxAltName      = 255
	maxAltNameBytes = 256 // of those that are not texts: iPAddress, directoryName, UPN
)

// A fallback says whether the common name may be looked at; forbidden is why not.
type fallback struct{ forbidden string }

var allowedFallback = fallback{}

// The otherNames that GnuTLS knows.
const (
	otherXMPP = "1.3.6.1.5.5.7.8.5"
	otherSRV  = "1.3.6.1.5.5.7.8.7"
	otherUPN  = "1.3.6.1.4.1.311.20.2.3"
)

// fallbackOf goes through the alternative names for those that forbid the common name.
func fallbackOf(cert *certs.Certificate) fallback {
	for _, n := range cert.AltNames {
		limit, size := maxAltName, len(n.Value)
		kind := ""
		switch n.Kind {
		case certs.DNSName:
			kind = "dNSName"
		case certs.IPAddress:
			kind, limit = "iPAddress", maxAltNameBytes
		case certs.URIName:
			kind = "URI"
		case certs.RegisteredID:
			continue
		case certs.DirectoryName:
			limit = maxAltNameBytes
			name, err := dn.FromDER(n.Value)
			if err != nil {
				continue
			}
			text, err := name.Text()
			if err != nil {
				continue
			}
			size = len(text)
		case certs.OtherName:
			tag, contents, ok := der.Split(n.Value)
			switch {
			case n.OID == otherSRV && ok && tag == der.IA5String:
				kind, size = "SRV", len(contents)
			case n.OID == otherXMPP && ok && tag == der.UTF8String:
				size = len(contents)
			case n.OID == otherUPN && ok && tag == der.UTF8String:
				size, limit = len(contents), maxAltNameBytes
			}
		}
		switch {
		case size > limit:
			return fallback{"the common name does not count beside an alternative name of that size"}
		case kind != "":
			return fallback{fmt.Sprintf("the common name does not count beside an alternative name of type %s", kind)}
		}
	}
	return allowedFallback
}

// The purposes that allow the common name to be looked at.
const (
	purposeServer    = "1.3.6.1.5.5.7.3.1"
	purposeAny       = "2.5.29.37.0"
	purposeNetscape  = "2.16.840.1.113730.4.1"
	purposeVerisign  = "2.16.840.1.113733.1.8.1"
	maxCommonNameLen = 255
)

// commonName gives the common name that may be compared, escaped as in the DN text, or why there is none.
func commonName(cert *certs.Certificate) (cn, problem string) {
	if !forServers(cert) {
		return "", "the common name does not count in a certificate that is not for TLS servers"
	}
	names, err := cert.Subject.CommonNames()
	switch {
	case err != nil:
		return "", "the common name cannot be read"
	case len(names) == 0:
		return "", "there is no common name"
	case len(names) > 1:
		return "", "there is more than one common name"
	}
	cn = names[0]
	if len(cn) > maxCommonNameLen {
		return "", "the common name is too long"
	}
	if cn == "" || !isPlain([]byte(cn)) {
		return "", "the common name has other characters than printable ASCII"
	}
	return cn, ""
}

// forServers is _gnutls_check_key_purpose for TLS servers.
func forServers(cert *certs.Certificate) bool {
	e := cert.ExtKeyUsage
	if e == nil {
		return true
	}
	if e.Undecodable {
		return false
	}
	isCA := cert.BasicConstraints != nil && cert.BasicConstraints.CA
	for _, p := range e.Purposes {
		switch p {
		case purposeServer, purposeAny:
			return true
		case purposeNetscape, purposeVerisign:
			if isCA {
				return true
			}
		}
	}
	return len(e.Purposes) == 0
}

// isPlain reports whether all octets are printable ASCII.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// matchName compares a name of the certificate with a host name (_gnutls_hostname_compare).
func matchName(name, host string, wildcards bool) bool {
	if host == "" {
		return false
	}
	if !wildcards || !strings.HasPrefix(name, "*") {
		return equalFold(name, host)
	}
	if strings.Count(name, ".") < 2 || strings.HasSuffix(name, ".") {
		return false
	}
	// The asterisk stands for any run of characters other than a dot, also an empty one, and only at the start.
	rest := name[1:]
	prefix := len(host) - len(rest)
	return prefix >= 0 && !strings.Contains(host[:prefix], ".") && equalFold(rest, host[prefix:])
}

// equalFold compares octet by octet, ASCII letters in any case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// maxDescribed is the number of names that describe lists.
const maxDescribed = 6

// describe says what the certificate is for.
func describe(cert *certs.Certificate) string {
	var names []string
	for _, n := range cert.AltNames {
		switch n.Kind {
		case certs.DNSName:
			names = append(names, fmt.Sprintf("%q", n.Value))
		case certs.IPAddress:
			names = append(names, addressText(n.Value))
		}
	}
	if len(names) == 0 {
		if cns, err := cert.Subject.CommonNames(); err == nil && len(cns) > 0 {
			return fmt.Sprintf("it has no dNSName or iPAddress, and its common name is %q", cns[0])
		}
		return "it has no dNSName, no iPAddress and no common name"
	}
	if more := len(names) - maxDescribed; more > 0 {
		names = append(names[:maxDescribed], fmt.Sprintf("%d more", more))
	}
	return "it is for " + strings.Join(names, ", ")
}

// addressText writes the octets of an iPAddress.
func addressText(b []byte) string {
	if addr, ok := netip.AddrFromSlice(b); ok {
		return addr.String()
	}
	return fmt.Sprintf("(%d octets that are no address)", len(b))
}
