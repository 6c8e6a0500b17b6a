package chain

import (
	"bytes"
	"fmt"
	"sort"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A list is a revocation list with what section 6.3 asks of it.
type list struct {
	*crl.List
	issuer string
	why    string // why it cannot be used
	known  *known
}

func readList(l *crl.List, m *Memory) *list {
	return &list{List: l, issuer: whole(comparableRDNs(l.Issuer)), known: m.list(l)}
}

// find looks for a certificate among the entries. ok is false where the list cannot be used at all: it has an entry that
// cannot be read, or a critical extension of an entry that is not known (5.3).
func (l *list) find(c *certificate) (entry crl.Entry, found, ok bool) {
	if l.known.look(l.List); !l.known.readable {
		l.why = "has an entry that cannot be processed"
		return crl.Entry{}, false, false
	}
	issuer := l.issuer
	if !l.known.indirect {
		if issuer == c.issuer {
			var err error
			if entry, found, err = l.Lookup(c.Serial); err != nil {
				l.why = "has an entry that cannot be processed"
				return crl.Entry{}, false, false
			}
		}
		return entry, found, true
	}
	for e := range l.Entries() {
		if e.Issuer != nil {
			n, err := dn.FromDER(e.Issuer)
			if err != nil {
				l.why = "has an entry that cannot be processed"
				return crl.Entry{}, false, false
			}
			issuer = whole(comparableRDNs(n))
		}
		if !found && issuer == c.issuer && bytes.Equal(e.Serial, c.Serial) {
			entry, found = e, true
		}
	}
	return entry, found, true
}

// revocation asks the lists about the certificate at path[i] (6.3.3).
func (v *validator) revocation(path []*certificate, i int) *problem {
	c := path[i]
	points := append([]crl.DistributionPoint(nil), c.points...)
	// Whatever the certificate names, lists of its issuer without a place speak of it, too.
	points = append(points, crl.DistributionPoint{Reasons: crl.AllReasons,
		Names: []certs.AltName{{Kind: certs.DirectoryName, Value: c.Issuer.DER()}}})
	var covered crl.Reasons
	why := fmt.Sprintf("there is no revocation list of %s", nameText(c.Issuer))
	for _, point := range points {
		for _, l := range v.newestFirst() {
			if covered == crl.AllReasons {
				return nil
			}
			interim, reason := v.usable(l, path, i, point)
			if reason != "" {
				why = fmt.Sprintf("the %v %s", l, reason)
			}
			if interim&^covered == 0 {
				continue
			}
			delta := v.delta(l, path, i)
			entry, found, ok := l.find(c)
			if ok && delta != nil {
				// What the newer list says counts.
				if e, in, readable := delta.find(c); !readable {
					ok = false
				} else if in {
					entry, found = e, e.Reason != removeFromCRL
				}
			}
			if !ok {
				why = fmt.Sprintf("the %v %s", l, l.why)
				continue
			}
			if found && entry.Reason != removeFromCRL {
				text := "it was revoked at " + entry.Revoked.Format(time.RFC3339)
				if r := entry.ReasonText(); r != "" {
					text += " (" + r + ")"
				}
				return broken("rfc5280-revoked", c.Certificate, "%s", text)
			}
			covered |= interim
		}
	}
	if covered == crl.AllReasons {
		return nil
	}
	if covered != 0 {
		why = "the revocation lists speak of some reasons only"
	}
	return broken("rfc5280-revocation-unknown", c.Certificate, "whether it is revoked cannot be told: %s", why)
}

const removeFromCRL = 8

// newestFirst gives the complete lists.
func (v *validator) newestFirst() []*list {
	var out []*list
	for _, l := range v.lists {
		if !l.Delta {
			out = append(out, l)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].ThisUpdate.After(out[j].ThisUpdate) })
	return out
}

// usable gives the reasons for which a list speaks of path[i] by way of a distribution point (6.3.3, a to g), and if
// none why, where the list is one of its issuer.
func (v *validator) usable(l *list, path []*certificate, i int, point crl.DistributionPoint) (crl.Reasons, string) {
	c := path[i]
	reasons := point.Reasons
	scope := l.Scope
	indirect := len(point.Issuers) > 0
	if indirect {
		match := false
		for _, n := range point.Issuers {
			match = match || whole(comparableRDNs(n)) == l.issuer
		}
		if !match || scope == nil || !scope.Indirect {
			return 0, ""
		}
	} else if l.issuer != c.issuer {
		return 0, ""
	}
	if scope != nil {
		if len(scope.Names) > 0 && !sharesName(scope.Names, pointNames(point)) {
			return 0, "speaks of another distribution point"
		}
		switch {
		case scope.OnlyUser && c.isCA:
			return 0, "does not speak of CAs"
		case scope.OnlyCA && !c.isCA:
			return 0, "speaks of CAs only"
		case scope.OnlyAttribute:
			return 0, "speaks of attribute certificates only"
		}
		reasons &= scope.Reasons
	}
	if len(l.UnknownCritical) > 0 {
		return 0, fmt.Sprintf("has a critical extension %s, which is not known here", l.UnknownCritical[0])
	}
	if why := v.current(l); why != "" && !v.refreshed(l, path, i) {
		return 0, why
	}
	if !v.signer(l, path, i) {
		return 0, "has no valid signature of a key that may sign it"
	}
	return reasons, ""
}

// current says why a list is not of now.
func (v *validator) current(l *list) string {
	at := v.At.Truncate(time.Second)
	switch {
	case l.ThisUpdate.After(at):
		return "is from the future: " + l.ThisUpdate.Format(time.RFC3339)
	case !l.NextUpdate.IsZero() && l.NextUpdate.Before(at):
		return "should have been replaced by " + l.NextUpdate.Format(time.RFC3339)
	}
	return ""
}

// pointNames gives the names that stand for a distribution point.
func pointNames(p crl.DistributionPoint) []certs.AltName {
	if len(p.Names) > 0 {
		return p.Names
	}
	var out []certs.AltName
	for _, n := range p.Issuers {
		out = append(out, certs.AltName{Kind: certs.DirectoryName, Value: n.DER()})
	}
	return out
}

func sharesName(a, b []certs.AltName) bool {
	key := func(n certs.AltName) string {
		if n.Kind == certs.DirectoryName {
			if name, err := dn.FromDER(n.Value); err == nil {
				return whole(comparableRDNs(name))
			}
		}
		return string([]byte{byte(n.Kind)}) + string(n.Value)
	}
	have := map[string]bool{}
	for _, n := range a {
		have[key(n)] = true
	}
	for _, n := range b {
		if have[key(n)] {
			return true
		}
	}
	return false
}

// signer reports whether a list is signed by a certificate that may, and whose own path to the same anchor is valid.
func (v *validator) signer(l *list, path []*certificate, i int) bool {
	anchor := path[len(path)-1]
	try := func(k *certificate) bool {
		if k.subject != l.issuer || !k.crlSign() {
			return false
		}
		return l.known.signedBy(l.List, k.Certificate, func() bool { v.work++; return v.work <= maxWork })
	}
	// Those above it are validated with this path.
	for _, k := range path[i+1:] {
		if try(k) {
			return true
		}
	}
	for _, k := range v.known {
		if !try(k) {
			continue
		}
		if v.signers[k] {
			// Its own status is asked for, by the very list that it signs: whoever issued the signer's certificate wanted it so,
			// and there is nobody else to ask.
			return true
		}
		v.signers[k] = true
		_, p := v.find(k, anchor, 0)
		delete(v.signers, k)
		if p == nil {
			return true
		}
	}
	return false
}

// delta gives the delta list that goes with a complete one (5.2.4), nil where there is none: of the same issuer and
// scope, joined to this or an earlier complete list, later than this one, and signed like it.
func (v *validator) delta(l *list, path []*certificate, i int) *list {
	var best *list
	for _, d := range v.lists {
		if !d.Delta || d.Base == nil || d.Number == nil || l.Number == nil || d.issuer != l.issuer ||
			!bytes.Equal(d.AuthorityKeyID, l.AuthorityKeyID) || !sameScope(d, l) || len(d.UnknownCritical) > 0 ||
			l.Number.Cmp(d.Base) < 0 || l.Number.Cmp(d.Number) >= 0 || v.current(d) != "" || !v.signer(d, path, i) {
			continue
		}
		if best == nil || d.Number.Cmp(best.Number) > 0 {
			best = d
		}
	}
	return best
}

// refreshed reports whether a delta list stands in for a complete list that is out of date.
func (v *validator) refreshed(l *list, path []*certificate, i int) bool {
	return !l.ThisUpdate.After(v.At) && v.delta(l, path, i) != nil
}

func sameScope(a, b *list) bool {
	if a.Scope == nil || b.Scope == nil {
		return a.Scope == b.Scope
	}
	return bytes.Equal(a.Scope.Raw, b.Scope.Raw)
}
