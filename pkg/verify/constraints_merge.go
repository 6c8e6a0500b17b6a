package verify

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A relation says how one subtree, or name, stands to another: it is a place in an order in which what lies below
// something comes before it.
type relation int

const (
	before relation = iota - 2
	below
	equal
	above
	after
)

// within reports whether the first is the second or lies below it.
func (r relation) within() bool { return r == equal || r == below }

// merge adds the constraints of the next CA (RFC 5280, 6.1.4 (g)): what one of them excludes is excluded, and what is
// permitted must be so by both. GnuTLS takes the two lists in their order for that, in one pass; where they have nothing
// in common, no name of that kind is permitted any more.
func (n *constraints) merge(next constraints) {
	if len(n.permitted) == 0 && len(n.excluded) == 0 {
		*n = next
		return
	}
	permitted, closed := intersect(n.permitted, next.permitted)
	n.permitted = permitted
	n.excluded = union(append(n.excluded, closed...), next.excluded)
}

// compared says whether subtrees of a kind can be compared; of the others it is only known that they are there.
func compared(kind certs.AltNameKind) bool {
	return kind == certs.DNSName || kind == certs.RFC822Name || kind == certs.IPAddress
}

func relate(a, b subtree) relation {
	if compared(a.kind) != compared(b.kind) {
		if compared(b.kind) {
			return before
		}
		return after
	}
	if a.kind != b.kind {
		return unrelated(cmp.Compare(a.kind, b.kind))
	}
	switch a.kind {
	case certs.DNSName:
		return relateDNS(a.name, b.name)
	case certs.RFC822Name:
		return relateEmail(a.name, b.name)
	case certs.IPAddress:
		return relateIP(a.name, b.name)
	}
	return unrelated(bytes.Compare(a.name, b.name))
}

// unrelated turns a plain comparison into a relation.
func unrelated(order int) relation { return relation(2 * order) }

// relateDNS compares names by their labels from the end, without regard to ASCII case and to dots at the end. A subtree
// with a leading dot stands for the names below alone.
func relateDNS(a, b []byte) relation {
	a, b = bytes.TrimRight(folded(a), "."), bytes.TrimRight(folded(b), ".")
	for {
		i, j := bytes.LastIndexByte(a, '.'), bytes.LastIndexByte(b, '.')
		if c := bytes.Compare(a[i+1:], b[j+1:]); c != 0 {
			return unrelated(c)
		}
		switch {
		case i < 0 && j < 0:
			return equal
		case i < 0:
			return above
		case j < 0:
			return below
		}
		a, b = a[:i], b[:j]
		switch {
		case len(a) == 0 && len(b) > 0:
			return above
		case len(a) > 0 && len(b) == 0:
			return below
		}
	}
}

// relateEmail compares mailboxes, hosts and, with a leading dot, domains. Before the @ case counts.
func relateEmail(a, b []byte) relation {
	i, j := bytes.LastIndexByte(a, '@'), bytes.LastIndexByte(b, '@')
	hostA, hostB := a[i+1:], b[j+1:]
	hosts := relateDNS(hostA, hostB)
	// Unlike a DNS name, a host does not stand for what is below it.
	if hosts == below && !bytes.HasPrefix(hostB, []byte(".")) {
		hosts = before
	}
	if hosts == above && !bytes.HasPrefix(hostA, []byte(".")) {
		hosts = after
	}
	switch {
	case i < 0 && j < 0:
		return hosts
	case j < 0: // a mailbox and a host
		switch hosts {
		case equal, below:
			return below
		case above:
			return after
		}
	case i < 0:
		switch hosts {
		case equal:
			return above
		case above:
			return after
		case below:
			return before
		}
	default:
		switch hosts {
		case above:
			return after
		case below:
			return before
		case equal:
			return unrelated(bytes.Compare(a[:i], b[:j]))
		}
	}
	return hosts
}

// relateIP compares addresses with masks.
func relateIP(a, b []byte) relation {
	if len(a) != len(b) {
		return unrelated(cmp.Compare(len(a), len(b)))
	}
	n := len(a) / 2
	masked := func(address, mask []byte) []byte {
		out := make([]byte, n)
		for i := range out {
			out[i] = address[i] & mask[n+i]
		}
		return out
	}
	switch c := bytes.Compare(a[n:], b[n:]); {
	case c < 0 && bytes.Equal(masked(a, a), masked(b, a)):
		return above
	case c > 0 && bytes.Equal(masked(a, b), masked(b, b)):
		return below
	}
	return unrelated(bytes.Compare(masked(a, a), masked(b, b)))
}

// inOrder gives subtrees in the order of relate.
func inOrder(list []subtree) []subtree {
	return slices.SortedStableFunc(slices.Values(list), func(a, b subtree) int { return int(relate(a, b)) })
}

// walk takes two sorted lists in one pass. take gets what stands next in each, nil at the end of a list, with their
// relation, and says of which lists it is done with the element.
func walk(a, b []subtree, take func(x, y *subtree, r relation) (doneX, doneY bool)) {
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var x, y *subtree
		var r relation
		switch {
		case i == len(a):
			y, r = &b[j], after
		case j == len(b):
			x, r = &a[i], before
		default:
			x, y = &a[i], &b[j]
			r = relate(*x, *y)
		}
		doneX, doneY := take(x, y, r)
		if doneX {
			i++
		}
		if doneY {
			j++
		}
	}
}

// intersect gives what both lists permit, and what to exclude because nothing of a kind is permitted by both.
func intersect(a, b []subtree) (permitted, closed []subtree) {
	split := func(list []subtree) (plain, opaque []subtree, kinds map[certs.AltNameKind]bool) {
		kinds = map[certs.AltNameKind]bool{}
		for _, t := range inOrder(list) {
			if compared(t.kind) {
				plain = append(plain, t)
				kinds[t.kind] = true
			} else {
				opaque = append(opaque, t)
			}
		}
		return plain, opaque, kinds
	}
	plainA, opaqueA, kindsA := split(a)
	plainB, opaqueB, kindsB := split(b)
	permitted = union(opaqueA, opaqueB)
	common := map[certs.AltNameKind]bool{}
	walk(plainA, plainB, func(x, y *subtree, r relation) (doneX, doneY bool) {
		switch r {
		case before:
			if !kindsB[x.kind] {
				permitted = append(permitted, *x)
			}
			return true, false
		case after:
			if !kindsA[y.kind] {
				permitted = append(permitted, *y)
			}
			return false, true
		case above:
			permitted = append(permitted, *y)
			common[y.kind] = true
			return false, true
		}
		permitted = append(permitted, *x)
		common[x.kind] = true
		return true, r == equal
	})
	for _, kind := range []certs.AltNameKind{certs.DNSName, certs.RFC822Name, certs.IPAddress} {
		switch {
		case !kindsA[kind] || !kindsB[kind] || common[kind]:
		case kind == certs.IPAddress:
			closed = append(closed, subtree{kind, make([]byte, 8)}, subtree{kind, make([]byte, 32)})
		default:
			closed = append(closed, subtree{kind: kind})
		}
	}
	return permitted, closed
}

// union joins two lists, without what lies below something in the other.
func union(a, b []subtree) (out []subtree) {
	walk(inOrder(a), inOrder(b), func(x, y *subtree, r relation) (doneX, doneY bool) {
		if r == after || r == below {
			out = append(out, *y)
			return r == below, true
		}
		out = append(out, *x)
		return true, r != before
	})
	return out
}

// folded gives a name with its ASCII letters in lower case.
func folded(name []byte) []byte {
	out := bytes.Clone(name)
	for i, c := range out {
		out[i] = lower(c)
	}
	return out
}
