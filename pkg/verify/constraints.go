package verify

import (
	"bytes"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// constraints are the name constraints gathered on the way from the anchor to the leaf (RFC 5280, 4.2.1.10), as GnuTLS
// 3.8.13 and Debian 12's 3.7.9 gather them: names of other kinds than DNS, e-mail and IP address are refused where a
// constraint of their kind excludes anything, and permitted subtrees of those kinds are not looked at.
type constraints struct {
	permitted, excluded []subtree
}

type subtree struct {
	kind certs.AltNameKind
	name []byte
}

// maxNameChecks is GnuTLS's MAX_NC_CHECKS.
const maxNameChecks = 1 << 20

const (
	oidKeyUsage         = "2.5.29.15"
	oidExtKeyUsage      = "2.5.29.37"
	oidBasicConstraints = "2.5.29.19"
	oidNameConstraints  = "2.5.29.30"
	oidTLSFeature       = "1.3.6.1.5.5.7.1.24"
	oidServerAuth       = "1.3.6.1.5.5.7.3.1"
	oidClientAuth       = "1.3.6.1.5.5.7.3.2"
	oidAnyPurpose       = "2.5.29.37.0"
	oidCommonName       = "2.5.4.3"
	oidEmail            = "1.2.840.113549.1.9.1"
)

// constraints adds the issuer's constraints and judges the names of a leaf by all of them.
func (c *checker) constraints(cert, issuer *certs.Certificate, leaf bool) {
	if v, ok := extension(issuer, oidNameConstraints); ok {
		if !c.nc.append(v) {
			c.add(ConstraintsFailure, issuer, "name-not-permitted", "its name constraints cannot be read")
			return
		}
	}
	if leaf {
		if why := c.nc.refuse(cert); why != "" {
			c.add(ConstraintsFailure, cert, "name-not-permitted", why)
			return
		}
	}
	// TLS features (RFC 7633): what a CA demands its certificates must have.
	demanded, ok := tlsFeatures(issuer)
	if !ok {
		c.add(ConstraintsFailure, issuer, "tls-feature-missing", "its TLS features cannot be read")
		return
	}
	for _, f := range demanded {
		if c.features == nil {
			c.features = map[int]bool{}
		}
		c.features[f] = true
	}
	if len(c.features) > 0 {
		have := map[int]bool{}
		own, _ := tlsFeatures(cert)
		for _, f := range own {
			have[f] = true
		}
		for f := range c.features {
			if !have[f] {
				c.add(ConstraintsFailure, cert, "tls-feature-missing", fmt.Sprintf("a CA above it demands TLS feature %d, which it lacks", f))
				return
			}
		}
	}
}

// tlsFeatures reads the extension; none is there where it is absent. It reports false where it cannot be read.
func tlsFeatures(c *certs.Certificate) ([]int, bool) {
	v, ok := extension(c, oidTLSFeature)
	if !ok {
		return nil, true
	}
	s := cryptobyte.String(v)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	var out []int
	for !seq.Empty() {
		var n int
		if !seq.ReadASN1Integer(&n) {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// append reads a NameConstraints extension and adds what it says to what CAs above said.
func (n *constraints) append(der []byte) bool {
	s := cryptobyte.String(der)
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() {
		return false
	}
	var sides [2][]subtree
	for tag := range sides {
		var list cryptobyte.String
		var present, ok bool
		if !seq.ReadOptionalASN1(&list, &present, casn1.Tag(tag).ContextSpecific().Constructed()) {
			return false
		}
		if !present {
			continue
		}
		if sides[tag], ok = readSubtrees(list); !ok {
			return false
		}
	}
	if !seq.Empty() {
		return false
	}
	n.merge(constraints{sides[0], sides[1]})
	return true
}

func readSubtrees(list cryptobyte.String) ([]subtree, bool) {
	var out []subtree
	for !list.Empty() {
		var tree, name cryptobyte.String
		var tag casn1.Tag
		if !list.ReadASN1(&tree, casn1.SEQUENCE) || !tree.ReadAnyASN1(&name, &tag) {
			return nil, false
		}
		t := subtree{kind: certs.AltNameKind(tag & 0x1f), name: name}
		switch t.kind {
		case certs.RFC822Name, certs.DNSName:
			if string(name) == "." || bytes.Contains(name, []byte("..")) {
				return nil, false
			}
		case certs.DirectoryName, certs.URIName:
		case certs.IPAddress:
			if len(name) != 8 && len(name) != 32 || !contiguous(name[len(name)/2:]) {
				return nil, false
			}
		default:
			return nil, false
		}
		out = append(out, t)
	}
	return out, true
}

// contiguous reports whether a mask is ones followed by zeros; GnuTLS refuses others.
func contiguous(mask []byte) bool {
	zero := false
	for _, b := range mask {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			if b&bit == 0 {
				zero = true
			} else if zero {
				return false
			}
		}
	}
	return true
}

func (n *constraints) has(kind certs.AltNameKind) bool {
	for _, t := range n.excluded {
		if t.kind == kind {
			return true
		}
	}
	for _, t := range n.permitted {
		if t.kind == kind {
			return true
		}
	}
	return false
}

// refuse says why the names of a leaf are not permitted; "" means that they are (gnutls_x509_name_constraints_check_crt
// for each kind in GnuTLS's order).
func (n *constraints) refuse(leaf *certs.Certificate) string {
	if len(n.permitted) == 0 && len(n.excluded) == 0 {
		return ""
	}
	if (len(n.excluded)+len(n.permitted))*len(leaf.AltNames) > maxNameChecks {
		return "it has more names, and its CAs more name constraints, than GnuTLS compares"
	}
	if n.has(certs.DNSName) {
		if why := n.refuseNames(leaf, certs.DNSName, oidCommonName, n.dns); why != "" {
			return why
		}
	}
	if n.has(certs.RFC822Name) {
		if why := n.refuseNames(leaf, certs.RFC822Name, oidEmail, n.email); why != "" {
			return why
		}
	}
	for _, t := range n.excluded {
		switch t.kind {
		case certs.DirectoryName:
			// GnuTLS cannot compare names and refuses rather than let an excluded one pass.
			return "a CA above it excludes some distinguished names, which GnuTLS answers by refusing all"
		case certs.URIName:
			if hasKind(leaf, certs.URIName) {
				return "it has a URI name, and a CA above it excludes some URIs, which GnuTLS answers by refusing all"
			}
		}
	}
	if n.has(certs.IPAddress) {
		for _, a := range leaf.AltNames {
			if a.Kind == certs.IPAddress && !n.ip(a.Value) {
				return fmt.Sprintf("its address %s is outside the name constraints of its CA", ipText(a.Value))
			}
		}
	}
	return ""
}

// refuseNames checks the alternative names of a kind, or the one attribute of the subject that stands in for them.
func (n *constraints) refuseNames(leaf *certs.Certificate, kind certs.AltNameKind, oid string, ok func([]byte) bool) string {
	found := false
	for _, a := range leaf.AltNames {
		if a.Kind != kind {
			continue
		}
		found = true
		if !ok(a.Value) {
			return fmt.Sprintf("its name %q is outside the name constraints of its CA", a.Value)
		}
	}
	if found || kind == certs.DNSName && !allowsServer(leaf) {
		return ""
	}
	values := subjectValues(leaf, oid)
	if len(values) > 1 {
		return "it has several common names or e-mail addresses, which GnuTLS refuses under name constraints"
	}
	if len(values) == 1 && !ok([]byte(values[0])) {
		return fmt.Sprintf("its name %q is outside the name constraints of its CA", values[0])
	}
	return ""
}

// subjectValues gives the texts of one attribute of the subject.
func subjectValues(c *certs.Certificate, oid string) []string {
	rdns, err := c.Subject.RDNs()
	if err != nil {
		return nil
	}
	var out []string
	for _, rdn := range rdns {
		for _, a := range rdn {
			if a.OID == oid {
				out = append(out, a.Text)
			}
		}
	}
	return out
}

func hasKind(c *certs.Certificate, kind certs.AltNameKind) bool {
	for _, a := range c.AltNames {
		if a.Kind == kind {
			return true
		}
	}
	return false
}

// allowsServer is _gnutls_check_key_purpose for TLS servers: no extension, serverAuth or anyExtendedKeyUsage.
func allowsServer(c *certs.Certificate) bool {
	if c.ExtKeyUsage == nil {
		return true
	}
	if len(c.ExtKeyUsage.Purposes) == 0 && !c.ExtKeyUsage.Undecodable {
		return true
	}
	for _, p := range c.ExtKeyUsage.Purposes {
		if p == oidServerAuth || p == oidAnyPurpose {
			return true
		}
	}
	return false
}

// judge applies excluded and permitted subtrees of a kind. An empty excluded name excludes all names of the kind, an
// empty permitted one says nothing.
func (n *constraints) judge(kind certs.AltNameKind, name []byte, match func(name, tree []byte) bool) bool {
	for _, t := range n.excluded {
		if t.kind == kind && (len(t.name) == 0 || match(name, t.name)) {
			return false
		}
	}
	some := false
	for _, t := range n.permitted {
		if t.kind != kind || len(t.name) == 0 {
			continue
		}
		if match(name, t.name) {
			return true
		}
		some = true
	}
	return !some
}

func (n *constraints) dns(name []byte) bool { return n.judge(certs.DNSName, name, matchesDNS) }

// matchesDNS reports whether a name is the subtree's or below it.
func matchesDNS(name, tree []byte) bool { return relateDNS(name, tree).within() }

func (n *constraints) email(name []byte) bool { return n.judge(certs.RFC822Name, name, matchesEmail) }

// matchesEmail: a subtree is a mailbox, a host, or with a leading dot the hosts below a domain.
func matchesEmail(name, tree []byte) bool { return relateEmail(name, tree).within() }

// ip judges an address; subtrees of the other family do not count.
func (n *constraints) ip(addr []byte) bool {
	same := func(t subtree) bool { return t.kind == certs.IPAddress && len(t.name) == 2*len(addr) }
	in := func(t subtree) bool {
		for i, b := range addr {
			if mask := t.name[len(addr)+i]; b&mask != t.name[i]&mask {
				return false
			}
		}
		return true
	}
	for _, t := range n.excluded {
		if same(t) && in(t) {
			return false
		}
	}
	some := false
	for _, t := range n.permitted {
		if !same(t) {
			continue
		}
		if in(t) {
			return true
		}
		some = true
	}
	return !some
}

// ipText writes an address of a subjectAltName.
func ipText(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return fmt.Sprintf("%x", b)
}
