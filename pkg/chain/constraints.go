package chain

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A subtree is one name of a NameConstraints extension.
type subtree struct {
	kind certs.AltNameKind
	name []byte
	rdns []string // of a directoryName
	// bad says why it cannot be applied; it is an obstacle only where a name of its kind turns up.
	bad bool
}

// nameConstraints is the extension (4.2.1.10).
type nameConstraints struct{ permitted, excluded []subtree }

func readNameConstraints(s cryptobyte.String) *nameConstraints {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() {
		return nil
	}
	var n nameConstraints
	for tag, list := range []*[]subtree{&n.permitted, &n.excluded} {
		var trees cryptobyte.String
		var present bool
		if !seq.ReadOptionalASN1(&trees, &present, casn1.Tag(uint8(tag)).ContextSpecific().Constructed()) {
			return nil
		}
		for !trees.Empty() {
			t, ok := readSubtree(&trees)
			if !ok {
				return nil
			}
			*list = append(*list, t)
		}
	}
	if !seq.Empty() {
		return nil
	}
	return &n
}

func readSubtree(s *cryptobyte.String) (t subtree, ok bool) {
	var seq, name cryptobyte.String
	var tag casn1.Tag
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadAnyASN1(&name, &tag) {
		return t, false
	}
	t = subtree{kind: certs.AltNameKind(tag & 0x1f), name: name}
	// minimum is 0 and maximum absent in every profile; what else stands there is not supported.
	t.bad = !seq.Empty()
	if minimum := casn1.Tag(0).ContextSpecific(); t.bad && seq.PeekASN1Tag(minimum) {
		var v cryptobyte.String
		t.bad = !seq.ReadASN1(&v, minimum) || len(v) != 1 || v[0] != 0 || !seq.Empty()
	}
	switch t.kind {
	case certs.DirectoryName:
		n, err := dn.FromDER(name)
		if err != nil {
			return t, false
		}
		t.rdns = comparableRDNs(n)
	case certs.IPAddress:
		t.bad = t.bad || len(name) != 8 && len(name) != 32
	case certs.RFC822Name, certs.DNSName, certs.URIName:
		t.bad = t.bad || bytes.IndexByte(name, 0) >= 0
	default:
		t.bad = true
	}
	return t, true
}

// constraints are those of all CAs of a path so far.
type constraints struct {
	permitted [][]subtree // each element must be satisfied
	excluded  []subtree
}

func (n *constraints) add(c *certificate) {
	if c.names == nil {
		return
	}
	if len(c.names.permitted) > 0 {
		n.permitted = append(n.permitted, c.names.permitted)
	}
	n.excluded = append(n.excluded, c.names.excluded...)
}

// maxComparisons is how many names times constraints are compared, as in GnuTLS and OpenSSL.
const maxComparisons = 1 << 20

const (
	oidCommonName = "\x55\x04\x03"
	oidEmail      = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"
)

// judge demands that every name of a certificate lies within the constraints.
func (n *constraints) judge(c *certificate, leaf bool) *problem {
	trees := len(n.excluded)
	for _, p := range n.permitted {
		trees += len(p)
	}
	if trees == 0 {
		return nil
	}
	const rule = "rfc5280-name-constraints"
	names := append([]certs.AltName(nil), c.AltNames...)
	if trees*(len(names)+1) > maxComparisons {
		return broken(rule, c.Certificate, "it has more names, and its CAs more name constraints, than are compared")
	}
	has := map[certs.AltNameKind]bool{}
	for _, a := range names {
		has[a.Kind] = true
	}
	if len(c.subjectNames) > 0 {
		names = append(names, certs.AltName{Kind: certs.DirectoryName, Value: c.Subject.DER()})
	}
	if !has[certs.RFC822Name] {
		for _, text := range subjectTexts(c.Subject, oidEmail) {
			names = append(names, certs.AltName{Kind: certs.RFC822Name, Value: []byte(text)})
		}
	}
	if leaf && !has[certs.DNSName] {
		for _, text := range subjectTexts(c.Subject, oidCommonName) {
			if looksLikeHost(text) {
				names = append(names, certs.AltName{Kind: certs.DNSName, Value: []byte(text)})
			}
		}
	}
	for _, a := range names {
		if why := n.refuse(a); why != "" {
			return broken(rule, c.Certificate, "its name %s %s", altText(a), why)
		}
	}
	return nil
}

// refuse says why a name lies outside.
func (n *constraints) refuse(a certs.AltName) string {
	match := matcher(a)
	for _, t := range n.excluded {
		if t.kind != a.Kind {
			continue
		}
		hit, ok := match(t)
		if !ok || t.bad {
			return "cannot be compared with the name constraints of its CA"
		}
		if hit {
			return "is excluded by the name constraints of its CA"
		}
	}
	for _, list := range n.permitted {
		some, allowed := false, false
		for _, t := range list {
			if t.kind != a.Kind {
				continue
			}
			hit, ok := match(t)
			if !ok || t.bad {
				return "cannot be compared with the name constraints of its CA"
			}
			some, allowed = true, allowed || hit
		}
		if some && !allowed {
			return "is not permitted by the name constraints of its CA"
		}
	}
	return ""
}

// matcher gives the comparison of a name with a subtree of its kind: whether it lies within, and whether it could be
// compared at all.
func matcher(a certs.AltName) func(subtree) (hit, ok bool) {
	switch a.Kind {
	case certs.DirectoryName:
		var rdns []string
		name, err := dn.FromDER(a.Value)
		if err == nil {
			rdns = comparableRDNs(name)
		}
		return func(t subtree) (bool, bool) {
			if err != nil {
				return false, false
			}
			if len(t.rdns) > len(rdns) {
				return false, true
			}
			for i, r := range t.rdns {
				if rdns[i] != r {
					return false, true
				}
			}
			return true, true
		}
	case certs.DNSName:
		name := strings.ToLower(string(a.Value))
		return func(t subtree) (bool, bool) { return withinDomain(name, strings.ToLower(string(t.name))), true }
	case certs.RFC822Name:
		local, host, ok := cutLast(string(a.Value), '@')
		return func(t subtree) (bool, bool) { return ok && withinMailbox(local, host, string(t.name)), ok }
	case certs.URIName:
		host, ok := uriHost(string(a.Value))
		return func(t subtree) (bool, bool) { return withinHost(host, strings.ToLower(string(t.name))), ok }
	case certs.IPAddress:
		return func(t subtree) (bool, bool) { return withinNetwork(a.Value, t.name), true }
	}
	return func(subtree) (bool, bool) { return false, false }
}

// withinDomain: a DNS name is the constraint's or has more labels on its left; a leading dot wants at least one more.
func withinDomain(name, tree string) bool {
	if tree == "" || name == tree {
		return true
	}
	if strings.HasPrefix(tree, ".") {
		return len(name) > len(tree) && strings.HasSuffix(name, tree)
	}
	return strings.HasSuffix(name, "."+tree)
}

// withinHost: a host is the constraint's, or with a leading dot of a host below it.
func withinHost(host, tree string) bool {
	switch {
	case tree == "" || host == tree:
		return true
	case strings.HasPrefix(tree, "."):
		return len(host) > len(tree) && strings.HasSuffix(host, tree)
	}
	return false
}

// withinMailbox: the constraint is a mailbox, a host, or with a leading dot the hosts below a domain. Only the local part
// counts case.
func withinMailbox(local, host, tree string) bool {
	host = strings.ToLower(host)
	if l, h, ok := cutLast(tree, '@'); ok {
		return local == l && host == strings.ToLower(h)
	}
	return withinHost(host, strings.ToLower(tree))
}

func withinNetwork(addr, tree []byte) bool {
	if len(tree) != 2*len(addr) {
		return false
	}
	for i, b := range addr {
		if mask := tree[len(addr)+i]; b&mask != tree[i]&mask {
			return false
		}
	}
	return true
}

// uriHost gives the host of a URI; a URI without one, or with an address, cannot be compared (4.2.1.10).
func uriHost(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return "", false
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "", false
	}
	return strings.ToLower(u.Hostname()), true
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// looksLikeHost reports whether a common name may stand for a host: labels of letters, digits, hyphens and underscores,
// at least two (as OpenSSL decides).
func looksLikeHost(s string) bool {
	labels := strings.Split(strings.TrimRight(s, "\x00"), ".")
	if len(labels) < 2 {
		return false
	}
	for i, l := range labels {
		if l == "*" && i == 0 {
			continue
		}
		if l == "" || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") ||
			strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func altText(a certs.AltName) string {
	switch a.Kind {
	case certs.DirectoryName:
		if n, err := dn.FromDER(a.Value); err == nil {
			return nameText(n)
		}
	case certs.IPAddress:
		if addr, ok := netip.AddrFromSlice(a.Value); ok {
			return addr.String()
		}
	case certs.DNSName, certs.RFC822Name, certs.URIName:
		return strings.ToValidUTF8(`"`+string(a.Value)+`"`, "?")
	}
	return "(of a kind that is not compared)"
}
