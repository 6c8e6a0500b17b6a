package verify

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 certificates with DSA keys are judged, never made
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// Status is the set of what is wrong with a chain, as GnuTLS's gnutls_certificate_status_t.
type Status uint32

// The elements of a Status.
const (
	Invalid Status = 1 << iota
	Revoked
	SignerNotFound
	SignerNotCA
	InsecureAlgorithm
	NotActivated
	Expired
	SignatureFailure
	ConstraintsFailure
	UnknownCritical
	MissingOCSPStatus
)

// Reason gives libvirt's words for a status. libvirt overwrites the text in this order, so that the last that applies
// is shown; expiry, wrong signatures and constraints have no text of their own (virNetTLSContextValidCertificate).
func (s Status) Reason() string {
	reason := "Invalid certificate"
	for _, r := range []struct {
		bit  Status
		text string
	}{
		{Invalid, "The certificate is not trusted."},
		{SignerNotFound, "The certificate hasn't got a known issuer."},
		{Revoked, "The certificate has been revoked."},
		{InsecureAlgorithm, "The certificate uses an insecure algorithm"},
	} {
		if s&r.bit != 0 {
			reason = r.text
		}
	}
	return reason
}

// A Problem is one thing that is wrong with a chain.
type Problem struct {
	// Status is the flag this problem sets, without Invalid where another says more.
	Status Status
	// Cert is the certificate in trouble.
	Cert *certs.Certificate
	// Text says what is wrong with it, for example "it expired at ...".
	Text string
	// Rule is the rule that is broken.
	Rule string
}

// A Verdict is what GnuTLS says about a chain. Status 0 means trusted.
type Verdict struct {
	Status   Status
	Problems []Problem
	// Unchecked names the certificates whose signature could not be checked here, and was taken for good.
	Unchecked []Problem
	// Revocation is the entry for which Status has Revoked, and RevokedBy its list.
	Revocation crl.Entry
	RevokedBy  *crl.List
}

// Main gives the problem that libvirt's text (Status.Reason) speaks of.
func (v Verdict) Main() (Problem, bool) {
	for _, bit := range []Status{InsecureAlgorithm, Revoked, SignerNotFound} {
		if v.Status&bit == 0 {
			continue
		}
		for _, p := range v.Problems {
			if p.Status&bit != 0 {
				return p, true
			}
		}
	}
	if len(v.Problems) > 0 {
		return v.Problems[0], true
	}
	return Problem{}, false
}

// maxDepth is GnuTLS's DEFAULT_MAX_VERIFY_DEPTH: so many certificates a peer may send.
const maxDepth = 16

// VerifyOwn judges one certificate against a list of CAs as libvirt's sanity check does: gnutls_x509_crt_list_verify
// with flags 0. Further certificates of the file, revocation lists and key sizes do not count.
func VerifyOwn(cert *certs.Certificate, cas []*certs.Certificate, at time.Time) Verdict {
	return verifyOwn(cert, cas, at, nil)
}

func verifyOwn(cert *certs.Certificate, cas []*certs.Certificate, at time.Time, memory *Memory) Verdict {
	c := &checker{at: at, memory: memory}
	c.list([]*certs.Certificate{cert}, cas)
	return c.v
}

// VerifyPeer judges what a peer sent, leaf first, as gnutls_certificate_verify_peers2 does in a session with the
// priority NORMAL: gnutls_x509_trust_list_verify_crt2 with the profile LOW.
func VerifyPeer(peer, cas []*certs.Certificate, crls []*crl.List, at time.Time) Verdict {
	return verifyPeer(peer, cas, crls, at, nil, Strength{})
}

func verifyPeer(peer, cas []*certs.Certificate, crls []*crl.List, at time.Time, memory *Memory, strength Strength) Verdict {
	if len(peer) == 0 {
		return Verdict{}
	}
	c := &checker{at: at, floor: true, memory: memory, strength: strength}
	cas = distinct(cas)
	chain := c.cut(path(peer, cas), cas)
	last := chain[len(chain)-1]

	// GnuTLS keeps the CAs in a hash table by subject, so that only those in the issuer's bucket are at hand.
	c.list(chain, bySubject(cas, last.Issuer))
	issued := chain
	if c.v.Status&(SignerNotFound|Expired|InsecureAlgorithm) != 0 && !bytes.Equal(last.Issuer.DER(), last.Subject.DER()) {
		// The last certificate may itself be trusted.
		again := &checker{at: at, floor: true, memory: memory, strength: strength}
		again.list(chain, bySubject(cas, last.Subject))
		if again.v.Status == 0 || c.v.Status&SignerNotFound != 0 {
			c = again
		}
		// GnuTLS then looks for the lists of the last one's issuer where those of its subject are, and finds none.
		issued = chain[:len(chain)-1]
	}
	if c.v.Status != 0 || strength.NoCRL {
		return c.v
	}
	effective := crl.Effective(crls)
	for i := range issued {
		// GnuTLS begins with the last.
		cert := issued[(i+len(issued)-1)%len(issued)]
		for _, l := range effective {
			if bucket(l.Issuer) != bucket(cert.Issuer) || !sameName(l.Issuer, cert.Issuer) {
				continue
			}
			entry, found, err := l.Lookup(cert.Serial)
			if err != nil || !found {
				continue
			}
			text := fmt.Sprintf("it was revoked at %s", entry.Revoked.Format(time.RFC3339))
			if r := entry.ReasonText(); r != "" {
				text += " (" + r + ")"
			}
			c.add(Revoked, cert, "certificate-revoked", text)
			c.v.Revocation, c.v.RevokedBy = entry, l
			return c.v
		}
	}
	return c.v
}

// distinct leaves out CAs that are there twice, as gnutls_certificate_set_x509_trust_file does; the check of the own
// certificate does not.
func distinct(cas []*certs.Certificate) []*certs.Certificate {
	out := make([]*certs.Certificate, 0, len(cas))
	seen := make(map[string]bool, len(cas))
	for _, ca := range cas {
		if !seen[string(ca.Raw)] {
			seen[string(ca.Raw)] = true
			out = append(out, ca)
		}
	}
	return out
}

// bySubject gives the CAs that GnuTLS finds when it looks for a name: those in the same bucket of its table.
func bySubject(cas []*certs.Certificate, name dn.Name) []*certs.Certificate {
	var out []*certs.Certificate
	for _, ca := range cas {
		if bucket(ca.Subject) == bucket(name) {
			out = append(out, ca)
		}
	}
	return out
}

// bucket is where a trust list keeps a name: the PJW hash of its DER over the table's 127 places
// (gnutls_x509_trust_list_add_cas). So a name that is spelt otherwise, which sameName would find, is hardly ever at hand.
func bucket(name dn.Name) uint64 {
	var h uint64
	for _, b := range name.DER() {
		h = uint64(b) + bits.RotateLeft64(h, 9)
	}
	return h % 127
}

// sameName reports whether two names are equal for GnuTLS: octet by octet, or else in their texts, so that the same words in
// another string type are the same name (_gnutls_x509_compare_raw_dn).
func sameName(a, b dn.Name) bool {
	if bytes.Equal(a.DER(), b.DER()) {
		return true
	}
	s, err := a.Text()
	if err != nil {
		return false
	}
	t, err := b.Text()
	return err == nil && s == t
}

// path orders what a peer sent (gnutls_x509_trust_list_verify_crt2): segments of certificates each of which the next one
// issued, one behind the other, up to the first whose issuer is trusted. What does not belong to the path of the leaf is
// not dropped before that: GnuTLS then begins its verification with a certificate that has nothing to do with the leaf.
func path(sent, cas []*certs.Certificate) []*certs.Certificate {
	list := slices.Clone(sent)
	seen := map[string]bool{}
	for i := 0; i < len(list); {
		n := sortSegment(list[i:])
		if again := slices.IndexFunc(list[i:i+n], func(c *certs.Certificate) bool { return seen[string(c.Raw)] }); again >= 0 {
			// GnuTLS moves one certificate only over the one it has seen already.
			if i+again < len(list)-1 {
				list[i+again] = list[i+again+1]
			}
			list = list[:len(list)-1]
			continue
		}
		for _, c := range list[i : i+n] {
			seen[string(c.Raw)] = true
		}
		i += n
		last := list[i-1]
		if slices.ContainsFunc(bySubject(cas, last.Issuer), func(ca *certs.Certificate) bool { return isIssuer(last, ca) }) {
			return list[:i]
		}
	}
	return list
}

// sortSegment puts each certificate's issuer behind it, as far as it gets from the first, and the rest behind these. It
// gives the length of the part that hangs together (_gnutls_sort_clist). Lists longer than maxDepth stay as they are.
func sortSegment(list []*certs.Certificate) int {
	if len(list) > maxDepth {
		return 1
	}
	issuer := func(i int) int {
		if isIssuer(list[i], list[i]) {
			return -1
		}
		for j := 1; j < len(list); j++ {
			if j != i && isIssuer(list[i], list[j]) {
				return j
			}
		}
		return -1
	}
	sorted := []*certs.Certificate{list[0]}
	used := make([]bool, len(list))
	used[0] = true
	for at := issuer(0); at >= 0 && !used[at]; at = issuer(at) {
		sorted = append(sorted, list[at])
		used[at] = true
	}
	n := len(sorted)
	for i, c := range list {
		if !used[i] {
			sorted = append(sorted, c)
		}
	}
	copy(list, sorted)
	return n
}

// kept gives what GnuTLS keeps of a certificate file, and so shows to a peer: the first certificate and those above it, in order
// (gnutls_certificate_set_x509_key_file2).
func kept(list []*certs.Certificate) []*certs.Certificate {
	if len(list) > maxDepth {
		return list
	}
	out := slices.Clone(list)
	return out[:sortSegment(out)]
}

// cut ends the chain where a trusted issuer is reached and drops a self-signed end and what follows a certificate that
// is itself trusted (gnutls_x509_trust_list_verify_crt2, shorten_clist).
func (c *checker) cut(chain, cas []*certs.Certificate) []*certs.Certificate {
	if n := len(chain); n > 1 && isIssuer(chain[n-1], chain[n-1]) {
		chain = chain[:n-1]
	}
	for i := 1; i < len(chain); i++ {
		// The table is asked by the issuer's name, so it is self-issued CAs that are found here.
		for _, ca := range bySubject(cas, chain[i].Issuer) {
			if bytes.Equal(ca.Raw, chain[i].Raw) {
				return chain[:i+1]
			}
		}
	}
	return chain
}

// isIssuer compares names, and key identifiers where both have them (is_issuer).
func isIssuer(cert, issuer *certs.Certificate) bool {
	if !sameName(cert.Issuer, issuer.Subject) {
		return false
	}
	aki, ok := authorityKeyID(cert)
	if !ok {
		return true
	}
	ski, ok := subjectKeyID(issuer)
	return !ok || bytes.Equal(aki, ski)
}

func extension(c *certs.Certificate, oid string) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.OID == oid {
			return e.Value, true
		}
	}
	return nil, false
}

// authorityKeyID gives the keyIdentifier of the extension. An empty one, and an extension that cannot be read to its end,
// counts as absent.
func authorityKeyID(c *certs.Certificate) ([]byte, bool) {
	v, ok := extension(c, "2.5.29.35")
	if !ok {
		return nil, false
	}
	s := cryptobyte.String(v)
	var seq, id, rest cryptobyte.String
	var some bool
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() ||
		!seq.ReadOptionalASN1(&id, &some, casn1.Tag(0).ContextSpecific()) ||
		!seq.ReadOptionalASN1(&rest, &some, casn1.Tag(1).ContextSpecific().Constructed()) ||
		!seq.ReadOptionalASN1(&rest, &some, casn1.Tag(2).ContextSpecific()) || !seq.Empty() {
		return nil, false
	}
	return id, len(id) > 0
}

func subjectKeyID(c *certs.Certificate) ([]byte, bool) {
	v, ok := extension(c, "2.5.29.14")
	if !ok {
		return nil, false
	}
	s := cryptobyte.String(v)
	var id cryptobyte.String
	if !s.ReadASN1(&id, casn1.OCTET_STRING) || !s.Empty() {
		return nil, false
	}
	return id, len(id) > 0
}

// A checker walks one chain.
type checker struct {
	at time.Time
	// floor applies the profile LOW: RSA and DSA keys from 1024 bits on, curves from 160.
	floor    bool
	memory   *Memory
	strength Strength
	v        Verdict

	pathLen  int
	nc       constraints
	features map[int]bool
}

func (c *checker) add(s Status, cert *certs.Certificate, rule, text string) {
	c.v.Status |= s | Invalid
	c.v.Problems = append(c.v.Problems, Problem{Status: s, Cert: cert, Rule: rule, Text: text})
}

// list judges a sorted chain against trusted certificates (_gnutls_verify_crt_status).
func (c *checker) list(chain, trusted []*certs.Certificate) {
	if n := len(chain); n > 1 && isIssuer(chain[n-1], chain[n-1]) {
		chain = chain[:n-1]
	}
search:
	for i, cert := range chain {
		for _, ca := range trusted {
			// A CA may have been issued again: the same name and key is the same CA. The leaf must be the very same.
			same := bytes.Equal(cert.Raw, ca.Raw)
			if i > 0 {
				same = bytes.Equal(cert.Subject.DER(), ca.Subject.DER()) && bytes.Equal(cert.RawPublicKeyInfo, ca.RawPublicKeyInfo)
			}
			if !same {
				continue
			}
			c.times(ca, true)
			c.size(ca, true)
			if c.v.Status != 0 {
				return
			}
			chain = chain[:i]
			break search
		}
	}
	if len(chain) == 0 {
		return // the leaf itself is trusted
	}
	c.pathLen = maxDepth
	if !c.one(chain[len(chain)-1], trusted, len(chain) == 1, false) {
		return
	}
	for i := len(chain) - 1; i > 0; i-- {
		if !c.one(chain[i-1], chain[i:i+1], i == 1, true) {
			return
		}
	}
}

// findIssuer takes the first candidate, or rather the last of several that is valid now (find_issuer).
func (c *checker) findIssuer(cert *certs.Certificate, candidates []*certs.Certificate) *certs.Certificate {
	var issuer *certs.Certificate
	for _, ca := range candidates {
		if !isIssuer(cert, ca) {
			continue
		}
		if issuer == nil || c.at.Before(ca.NotAfter) && !c.at.Before(ca.NotBefore) {
			issuer = ca
		}
	}
	return issuer
}

// one judges a certificate against its possible issuers (verify_crt). leaf is true for the end of the chain, sent where
// the issuer was sent by the peer rather than trusted.
func (c *checker) one(cert *certs.Certificate, candidates []*certs.Certificate, leaf, sent bool) bool {
	before := c.v.Status
	if c.pathLen == 0 {
		c.add(ConstraintsFailure, cert, "path-too-long", "a CA above it allows no further CA below itself (pathlen)")
		return false
	}
	c.pathLen--
	issuer := c.findIssuer(cert, candidates)
	tbs, alg, sig, err := signature.Split(cert.Raw)
	if issuer == nil {
		c.add(SignerNotFound, cert, "unknown-issuer", c.whyUnknown(cert, candidates))
	} else {
		c.constraints(cert, issuer, leaf)
		c.issuerIsCA(cert, issuer, sent)
		c.signature(cert, issuer, tbs, alg, sig, err)
		if oid := unknownCritical(issuer); oid != "" {
			c.add(UnknownCritical, issuer, "unknown-critical-extension", "its extension "+oid+" is critical, and GnuTLS does not know it")
		}
	}
	if leaf {
		if oid := unknownCritical(cert); oid != "" {
			c.add(UnknownCritical, cert, "unknown-critical-extension", "its extension "+oid+" is critical, and GnuTLS does not know it")
		}
	}
	if err == nil {
		c.size(cert, false)
		if issuer != nil {
			c.size(issuer, true)
		}
		if alg.Insecure() && !isIssuer(cert, cert) && !c.allowed(alg) {
			c.add(InsecureAlgorithm, cert, "insecure-algorithm", fmt.Sprintf("its signature is %v, which GnuTLS counts as broken", alg))
		}
	}
	if issuer != nil {
		c.times(issuer, true)
	}
	c.times(cert, !leaf)
	return c.v.Status == before
}

// whyUnknown says which CA would be needed, and when only the key differs.
func (c *checker) whyUnknown(cert *certs.Certificate, candidates []*certs.Certificate) string {
	name, err := cert.Issuer.Text()
	if err != nil {
		name = "an unreadable name"
	}
	for _, ca := range candidates {
		if sameName(ca.Subject, cert.Issuer) {
			return fmt.Sprintf("its issuer %q is there by name, but with another key", name)
		}
	}
	return fmt.Sprintf("its issuer %q is not among the CAs", name)
}

// issuerIsCA demands CA:TRUE and keyCertSign of an issuer (check_if_ca and verify_crt). A trusted certificate of
// version 1, or a trusted self-signed one without basicConstraints, counts as a CA.
func (c *checker) issuerIsCA(cert, issuer *certs.Certificate, sent bool) {
	if issuer.Version == 1 && !sent {
		return
	}
	bc := issuer.BasicConstraints
	switch {
	case bytes.Equal(cert.Raw, issuer.Raw):
	case bc != nil && bc.CA:
		if bc.PathLen >= 0 && bc.PathLen < c.pathLen {
			c.pathLen = bc.PathLen
		}
	case bc == nil && !sent && isIssuer(issuer, issuer):
	default:
		c.add(SignerNotCA, issuer, "issuer-is-no-ca", "it signed another certificate, but does not say CA:TRUE")
	}
	switch {
	case issuer.KeyUsage == nil:
	case issuer.KeyUsage.Undecodable:
		c.add(0, issuer, "ca-without-certsign", "it signed another certificate, but its keyUsage cannot be read")
	case issuer.KeyUsage.Bits&x509.KeyUsageCertSign == 0:
		c.add(ConstraintsFailure, issuer, "ca-without-certsign", "it signed another certificate, but its keyUsage has no keyCertSign")
	}
}

func (c *checker) signature(cert, issuer *certs.Certificate, tbs []byte, alg signature.Algorithm, sig []byte, err error) {
	if err == nil {
		if c.memory.knows(cert, issuer) {
			return
		}
		err = signature.Check(alg, issuer.RawPublicKeyInfo, tbs, sig)
	}
	switch {
	case err == nil:
		c.memory.remember(cert, issuer)
	case errors.Is(err, signature.ErrUnsupportedKey):
		c.v.Unchecked = append(c.v.Unchecked, Problem{Cert: cert, Rule: "cannot-check-signature", Text: err.Error()})
	case errors.Is(err, signature.ErrMismatch):
		c.add(SignatureFailure, cert, "signature-wrong", "its signature was not made with the key of its issuer")
	case errors.Is(err, signature.ErrConstraint), errors.Is(err, signature.ErrOtherKey):
		c.add(ConstraintsFailure, cert, "signature-wrong", err.Error())
	default:
		c.add(0, cert, "signature-wrong", "its signature cannot be checked: "+err.Error())
	}
}

// times sets Expired or NotActivated (check_time_status).
func (c *checker) times(cert *certs.Certificate, ca bool) {
	// GnuTLS counts whole seconds, both ends included.
	at := c.at.Truncate(time.Second)
	rules := [2]string{"certificate-not-yet-valid", "certificate-expired"}
	if ca {
		rules = [2]string{"ca-not-yet-valid", "ca-expired"}
	}
	switch {
	case at.Before(cert.NotBefore):
		c.add(NotActivated, cert, rules[0], notYetText(cert))
	case at.After(cert.NotAfter):
		c.add(Expired, cert, rules[1], expiredText(cert))
	}
}

func expiredText(c *certs.Certificate) string {
	return "it expired at " + c.NotAfter.UTC().Format(time.RFC3339)
}

func notYetText(c *certs.Certificate) string {
	return "it is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
}

// minimumBits is GNUTLS_SEC_PARAM_LOW, the profile of the priority NORMAL.
const minimumBits = 1024

// allowed reports whether the session's priority takes a broken algorithm.
func (c *checker) allowed(alg signature.Algorithm) bool {
	if !c.floor {
		return false
	}
	name := alg.String()
	return c.strength.AllowSHA1 && strings.Contains(name, "SHA-1") || c.strength.AllowMD5 && strings.Contains(name, "MD5")
}

// size refuses keys below the session's profile (is_level_acceptable), LOW where it has no other; the sanity check has
// none. issuer says that the certificate is looked at as one.
func (c *checker) size(cert *certs.Certificate, issuer bool) {
	if !c.floor {
		return
	}
	for _, p := range c.v.Problems {
		if p.Cert == cert && p.Rule == "key-too-small" {
			return
		}
	}
	if c.strength.Refuses != nil {
		if why := c.strength.Refuses(cert, issuer); why != "" {
			c.add(InsecureAlgorithm, cert, "key-too-small", why)
		}
		return
	}
	if bits := keyBits(cert); bits > 0 && bits < minimumBits {
		c.add(InsecureAlgorithm, cert, "key-too-small",
			fmt.Sprintf("its key has %d bits, GnuTLS wants at least %d", bits, minimumBits))
	}
}

// keyBits gives the size of an RSA or DSA key, 0 for others (the smallest curve there is passes the profile LOW).
func keyBits(cert *certs.Certificate) int {
	var key crypto.PublicKey = cert.PublicKey
	if key == nil {
		key, _, _ = signature.PublicKey(cert.RawPublicKeyInfo) // nil if it cannot be read
	}
	switch key.(type) {
	case *rsa.PublicKey, *dsa.PublicKey:
		return signature.Bits(key)
	}
	return 0
}

// supportedExtensions are those that GnuTLS 3.7.9 knows and therefore lets pass when critical.
var supportedExtensions = map[string]bool{
	"2.5.29.14": true, "2.5.29.15": true, "2.5.29.17": true, "2.5.29.18": true, "2.5.29.19": true,
	"2.5.29.30": true, "2.5.29.31": true, "2.5.29.32": true, "2.5.29.35": true, "2.5.29.37": true,
	"2.5.29.54": true, "1.3.6.1.5.5.7.1.1": true, "1.3.6.1.5.5.7.1.14": true, "1.3.6.1.5.5.7.1.24": true,
}

func unknownCritical(c *certs.Certificate) string {
	for _, e := range c.Extensions {
		if e.Critical && !supportedExtensions[e.OID] {
			return e.OID
		}
	}
	return ""
}
