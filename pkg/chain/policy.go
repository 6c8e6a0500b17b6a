package chain

import (
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// anyPolicy in the content octets of its OID, as all policies are here: 2.5.29.32.0.
const anyPolicy = "\x55\x1d\x20\x00"

// A policySet is what a certificate says about policies.
type policySet struct {
	present  bool // the extension certificatePolicies is there
	policies []string
	mappings [][2]string // issuerDomainPolicy, subjectDomainPolicy
}

// readPolicies reads certificatePolicies into set; nil where it cannot be read.
func readPolicies(s cryptobyte.String, set *policySet) *policySet {
	if set == nil {
		set = &policySet{}
	}
	var list cryptobyte.String
	if !s.ReadASN1(&list, casn1.SEQUENCE) || !s.Empty() {
		return nil
	}
	set.present = true
	seen := map[string]bool{}
	for !list.Empty() {
		var info, oid cryptobyte.String
		if !list.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1(&oid, casn1.OBJECT_IDENTIFIER) || seen[string(oid)] {
			return nil
		}
		seen[string(oid)] = true
		set.policies = append(set.policies, string(oid))
	}
	return set
}

func (p *policySet) readMappings(s cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadASN1(&list, casn1.SEQUENCE) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var pair, from, to cryptobyte.String
		if !list.ReadASN1(&pair, casn1.SEQUENCE) || !pair.ReadASN1(&from, casn1.OBJECT_IDENTIFIER) ||
			!pair.ReadASN1(&to, casn1.OBJECT_IDENTIFIER) || !pair.Empty() {
			return false
		}
		p.mappings = append(p.mappings, [2]string{string(from), string(to)})
	}
	return true
}

func (c *certificate) readPolicyConstraints(s cryptobyte.String) bool {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() {
		return false
	}
	for tag, n := range []*int{&c.requireExplicit, &c.noMaps} {
		var v cryptobyte.String
		var present bool
		if !seq.ReadOptionalASN1(&v, &present, casn1.Tag(uint8(tag)).ContextSpecific()) {
			return false
		}
		if !present {
			continue
		}
		if len(v) == 0 || v[0]&0x80 != 0 {
			return false
		}
		*n = 0
		for _, b := range v {
			*n = min(*n<<8|int(b), maxPath+1)
		}
	}
	return seq.Empty()
}

// policies is the state of policy processing (6.1.2 to 6.1.5) for a user who accepts any policy: what counts is only
// whether some policy is valid along the whole path, so that of the tree the last level is enough. It maps a valid policy to
// the policies expected below it. (RFC 9618: a graph instead of a tree, which hostile mappings could make exponential.)
type policies struct {
	level                         map[string][]string
	explicit, mapping, inhibitAny int
}

func newPolicies(n int) policies {
	return policies{level: map[string][]string{anyPolicy: {anyPolicy}}, explicit: n + 1, mapping: n + 1, inhibitAny: n + 1}
}

// enter processes a certificate's policies (6.1.3, d to f).
func (p *policies) enter(c *certificate, leaf bool) *problem {
	if c.policies == nil || !c.policies.present {
		p.level = nil
	} else if len(p.level) > 0 {
		expected := map[string]bool{}
		for _, list := range p.level {
			for _, e := range list {
				expected[e] = true
			}
		}
		_, fromAny := p.level[anyPolicy]
		next := map[string][]string{}
		hasAny := false
		for _, id := range c.policies.policies {
			switch {
			case id == anyPolicy:
				hasAny = true
			case expected[id] || fromAny:
				next[id] = []string{id}
			}
		}
		if hasAny && (p.inhibitAny > 0 || !leaf && c.selfIssued) {
			for e := range expected {
				if next[e] == nil {
					next[e] = []string{e}
				}
			}
		}
		p.level = next
	}
	if p.explicit == 0 && len(p.level) == 0 {
		return broken("rfc5280-policy", c.Certificate, "a CA demands a certificate policy, and none holds along the whole path")
	}
	return nil
}

// descend prepares for the next certificate (6.1.4).
func (p *policies) descend(c *certificate) *problem {
	if c.policies != nil {
		mapped := map[string][]string{}
		for _, m := range c.policies.mappings {
			if m[0] == anyPolicy || m[1] == anyPolicy {
				return broken("rfc5280-policy", c.Certificate, "it maps anyPolicy, which is forbidden")
			}
			mapped[m[0]] = append(mapped[m[0]], m[1])
		}
		_, hasAny := p.level[anyPolicy]
		for from, to := range mapped {
			_, there := p.level[from]
			switch {
			case p.mapping == 0:
				delete(p.level, from)
			case there || hasAny:
				p.level[from] = to
			}
		}
	}
	if !c.selfIssued {
		p.explicit, p.mapping, p.inhibitAny = max(p.explicit-1, 0), max(p.mapping-1, 0), max(p.inhibitAny-1, 0)
	}
	if n := c.requireExplicit; n >= 0 {
		p.explicit = min(p.explicit, n)
	}
	if n := c.noMaps; n >= 0 {
		p.mapping = min(p.mapping, n)
	}
	if n := c.inhibitAny; n >= 0 {
		p.inhibitAny = min(p.inhibitAny, n)
	}
	return nil
}

// end is the wrap-up for the last certificate (6.1.5).
func (p *policies) end(leaf *certificate) *problem {
	p.explicit = max(p.explicit-1, 0)
	if leaf.requireExplicit == 0 {
		p.explicit = 0
	}
	if p.explicit == 0 && len(p.level) == 0 {
		return broken("rfc5280-policy", leaf.Certificate, "a CA demands a certificate policy, and none holds along the whole path")
	}
	return nil
}
