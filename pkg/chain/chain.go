package chain

import (
	"bytes"
	"crypto/dsa" //lint:ignore SA1019 certificates with DSA keys are judged, never made
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// A Question is a certificate with what there is to judge it by.
type Question struct {
	// Certificates are the certificate in question and, behind it in any order, what might lie between it and a CA.
	Certificates []*certs.Certificate
	// Anchors are the trusted CAs.
	Anchors []*certs.Certificate
	// Lists are revocation lists; nil: revocation is not looked at.
	Lists []*crl.List
	// Role is the purpose that extendedKeyUsage must allow: certs.Server or certs.Client; 0: any.
	Role certs.Role
	At   time.Time
	// Signed reports that a certificate is known to be signed with the key of issuer, so that the signature need not be checked
	// again; nil: nothing is known.
	Signed func(cert, issuer *certs.Certificate) bool
	// Memory may be shared by many questions about the same lists; nil: none.
	Memory *Memory
}

// A Verdict is the answer to a Question.
type Verdict struct {
	// Accepted says that there is a valid path.
	Accepted bool
	// Path goes from the certificate to the anchor: the valid path, or else the one that Reason speaks of, as far as it was
	// found.
	Path []*certs.Certificate
	// Rule and Reason say why there is no valid path: a rule of this package and half a sentence about Subject.
	Rule, Reason string
	// Subject is the certificate in trouble, nil when it is none of them.
	Subject *certs.Certificate
}

// A problem is why a path is not valid.
type problem struct {
	rule, reason string
	cert         *certs.Certificate
}

func broken(rule string, cert *certs.Certificate, format string, args ...any) *problem {
	return &problem{rule, fmt.Sprintf(format, args...), cert}
}

const (
	// maxPath is how many certificates a path may have.
	maxPath = 32
	// maxWork bounds the signatures and the paths that one question may cost: certificates that all have the same name make more paths
	// than anybody can try.
	maxWork = 2000
)

// A validator answers one question.
type validator struct {
	Question
	known   []*certificate // the question's, then the anchors
	anchors map[*certificate]bool
	signed  map[[2]*certificate]error
	work    int
	// signers are the certificates of revocation lists whose own path is being validated.
	signers map[*certificate]bool
	lists   []*list
}

// Validate answers a question. An empty one is refused.
func Validate(q Question) Verdict {
	if len(q.Certificates) == 0 {
		return Verdict{Rule: "rfc5280-no-path", Reason: "there is no certificate"}
	}
	v := &validator{Question: q, anchors: map[*certificate]bool{}, signed: map[[2]*certificate]error{}, signers: map[*certificate]bool{}}
	seen := map[string]*certificate{}
	add := func(c *certs.Certificate) *certificate {
		if k := seen[string(c.Raw)]; k != nil {
			return k
		}
		k := read(c)
		seen[string(c.Raw)] = k
		v.known = append(v.known, k)
		return k
	}
	leaf := add(q.Certificates[0])
	for _, c := range q.Certificates[1:] {
		add(c)
	}
	for _, c := range q.Anchors {
		v.anchors[add(c)] = true
	}
	for _, l := range q.Lists {
		v.lists = append(v.lists, readList(l, q.Memory))
	}
	path, p := v.find(leaf, nil, q.Role)
	out := Verdict{Accepted: p == nil}
	for _, c := range path {
		out.Path = append(out.Path, c.Certificate)
	}
	if p != nil {
		out.Rule, out.Reason, out.Subject = p.rule, p.reason, p.cert
	}
	return out
}

// find looks for a valid path that ends at the anchor to, or at any where to is nil. Without one it gives the problem that
// says most: that of a whole path before that of one that leads nowhere.
func (v *validator) find(leaf, to *certificate, role certs.Role) ([]*certificate, *problem) {
	var best *problem
	var bestPath []*certificate
	rank := func(p *problem) int {
		switch p.rule {
		case "rfc5280-no-path":
			return 0
		case "rfc5280-signature":
			return 1
		}
		return 2
	}
	fail := func(path []*certificate, p *problem) {
		if best == nil || rank(p) > rank(best) {
			best, bestPath = p, append([]*certificate(nil), path...)
		}
	}
	var extend func(path []*certificate) []*certificate
	extend = func(path []*certificate) []*certificate {
		last := path[len(path)-1]
		v.work++
		if v.anchors[last] && (to == nil || last == to) {
			p := v.validate(path, role)
			if p == nil {
				return path
			}
			fail(path, p)
		}
		if len(path) == maxPath {
			fail(path, broken("rfc5280-no-path", last.Certificate, "the path has more than %d certificates", maxPath))
			return nil
		}
		candidates := v.issuers(last, path)
		if len(candidates) == 0 && !v.anchors[last] {
			fail(path, broken("rfc5280-no-path", last.Certificate, "its issuer %s is neither among the CAs nor among the certificates sent along",
				nameText(last.Issuer)))
		}
		for _, issuer := range candidates {
			if v.work > maxWork {
				fail(path, broken("rfc5280-no-path", last.Certificate, "there are more possible paths than are tried here"))
				return nil
			}
			if err := v.check(last, issuer); err != nil {
				fail(append(path[:len(path):len(path)], issuer), broken("rfc5280-signature", last.Certificate, "%s", signatureText(err)))
				continue
			}
			if found := extend(append(path[:len(path):len(path)], issuer)); found != nil {
				return found
			}
		}
		return nil
	}
	if found := extend([]*certificate{leaf}); found != nil {
		return found, nil
	}
	return bestPath, best
}

// issuers gives who may have issued a certificate, anchors first, and of each those first whose key identifier fits.
func (v *validator) issuers(c *certificate, path []*certificate) []*certificate {
	var groups [4][]*certificate
next:
	for _, k := range v.known {
		if k.subject != c.issuer {
			continue
		}
		for _, p := range path {
			// A path does not come by the same name and key twice.
			if p == k || p.subject == k.subject && bytes.Equal(p.RawPublicKeyInfo, k.RawPublicKeyInfo) && p != path[0] {
				continue next
			}
		}
		g := 0
		if !v.anchors[k] {
			g = 2
		}
		if len(c.authorityKey) > 0 && len(k.subjectKey) > 0 && !bytes.Equal(c.authorityKey, k.subjectKey) {
			g++
		}
		groups[g] = append(groups[g], k)
	}
	out := groups[0]
	for _, g := range groups[1:] {
		out = append(out, g...)
	}
	return out
}

// check verifies the signature on a certificate.
func (v *validator) check(c, issuer *certificate) error {
	key := [2]*certificate{c, issuer}
	if err, ok := v.signed[key]; ok {
		return err
	}
	v.work++
	tbs, alg, sig, err := signature.Split(c.Raw)
	if err == nil && (v.Signed == nil || !v.Signed(c.Certificate, issuer.Certificate)) {
		err = signature.Check(alg, issuer.RawPublicKeyInfo, tbs, sig)
	}
	v.signed[key] = err
	return err
}

func signatureText(err error) string {
	switch {
	case errors.Is(err, signature.ErrMismatch):
		return "its signature was not made with the key of its issuer"
	case errors.Is(err, signature.ErrUnsupportedKey):
		return "its signature cannot be checked here: " + err.Error()
	}
	return "its signature cannot be accepted: " + err.Error()
}

// A state is what section 6.1 carries along the path.
type state struct {
	pathLen     int
	pathLimiter *certificate
	names       constraints
	policies    policies
}

// validate is section 6.1 for one path, certificate first.
func (v *validator) validate(path []*certificate, role certs.Role) *problem {
	n := len(path) - 1
	anchor := path[n]
	if p := v.plain(anchor, anchor); p != nil {
		return p
	}
	if n == 0 {
		return purpose(anchor, role)
	}
	s := &state{pathLen: maxPath, policies: newPolicies(n)}
	if p := v.descend(s, anchor, role, false); p != nil {
		return p
	}
	for i := n - 1; i >= 0; i-- {
		c := path[i]
		if p := v.plain(c, path[i+1]); p != nil {
			return p
		}
		if v.lists != nil {
			if p := v.revocation(path, i); p != nil {
				return p
			}
		}
		if i == 0 || !c.selfIssued {
			if p := s.names.judge(c, i == 0); p != nil {
				return p
			}
		}
		if p := s.policies.enter(c, i == 0); p != nil {
			return p
		}
		if i > 0 {
			if !c.selfIssued {
				if s.pathLen == 0 {
					return broken("rfc5280-path-length", c.Certificate, "%s allows no further CA below itself (pathlen)", s.pathLimiter.name())
				}
				s.pathLen--
			}
			if p := v.descend(s, c, role, true); p != nil {
				return p
			}
		}
	}
	if p := s.policies.end(path[0]); p != nil {
		return p
	}
	return purpose(path[0], role)
}

// plain is what is asked of every certificate: that it can be read, its dates, critical extensions, key and algorithm.
func (v *validator) plain(c, issuer *certificate) *problem {
	if c.unreadable != "" {
		return broken("rfc5280-extension", c.Certificate, "its extension %s cannot be read or stands there twice", c.unreadable)
	}
	if c.unknownCritical != "" {
		return broken("rfc5280-extension", c.Certificate, "its extension %s is critical, and not known here", c.unknownCritical)
	}
	at := v.At.Truncate(time.Second)
	switch {
	case at.Before(c.NotBefore):
		return broken("rfc5280-validity", c.Certificate, "it is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case at.After(c.NotAfter):
		return broken("rfc5280-validity", c.Certificate, "it expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	}
	key, _, err := signature.PublicKey(c.RawPublicKeyInfo)
	switch {
	case errors.Is(err, signature.ErrUnknownAlgorithm):
		return broken("rfc5280-weak", c.Certificate, "its public key has parameters that RFC 5480 and RFC 4055 do not allow")
	case err == nil:
		if bits := weakBits(key); bits > 0 {
			return broken("rfc5280-weak", c.Certificate, "its key has %d bits; 1024 are the least", bits)
		}
	}
	if c != issuer {
		if _, alg, _, err := signature.Split(c.Raw); err == nil && alg.Insecure() {
			return broken("rfc5280-weak", c.Certificate, "its signature is %v, which is broken", alg)
		}
	}
	return nil
}

func weakBits(key any) int {
	switch key.(type) {
	case *rsa.PublicKey, *dsa.PublicKey:
		if bits := signature.Bits(key); bits < 1024 {
			return bits
		}
	}
	return 0
}

// descend demands of a certificate what an issuer must have (6.1.4), and takes over what it imposes on those below it.
func (v *validator) descend(s *state, c *certificate, role certs.Role, below bool) *problem {
	switch bc := c.BasicConstraints; {
	case bc == nil && c.Version < 3 && !below:
		// Only whoever put it among the CAs can know (6.1.4, k).
	case bc == nil:
		return broken("rfc5280-ca", c.Certificate, "it signed another certificate and has no basicConstraints")
	case !bc.CA:
		return broken("rfc5280-ca", c.Certificate, "it signed another certificate, but does not say CA:TRUE")
	case bc.PathLen >= 0 && bc.PathLen < s.pathLen:
		s.pathLen, s.pathLimiter = bc.PathLen, c
	}
	if c.KeyUsage != nil && !c.certSign() {
		return broken("rfc5280-ca", c.Certificate, "it signed another certificate, but its keyUsage has no keyCertSign")
	}
	s.names.add(c)
	if below {
		if p := s.policies.descend(c); p != nil {
			return p
		}
	}
	if p := purpose(c, role); p != nil {
		p.reason = "it issues for other purposes only (extendedKeyUsage)"
		return p
	}
	return nil
}

const (
	oidServerAuth = "1.3.6.1.5.5.7.3.1"
	oidClientAuth = "1.3.6.1.5.5.7.3.2"
	oidAnyPurpose = "2.5.29.37.0"
)

// purpose asks extendedKeyUsage for the role (4.2.1.12); critical or not is all the same.
func purpose(c *certificate, role certs.Role) *problem {
	want := map[certs.Role]string{certs.Server: oidServerAuth, certs.Client: oidClientAuth}[role]
	if want == "" || c.ExtKeyUsage == nil {
		return nil
	}
	for _, p := range c.ExtKeyUsage.Purposes {
		if p == want || p == oidAnyPurpose {
			return nil
		}
	}
	return broken("rfc5280-purpose", c.Certificate, "its extendedKeyUsage does not allow a TLS %v", role)
}
