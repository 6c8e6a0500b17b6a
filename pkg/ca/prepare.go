package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Backdate is how far back a certificate begins, for the sake of clocks that are behind.
const Backdate = 10 * time.Minute

// An Order asks an authority for one identity.
type Order struct {
	certs.Request
	// Host is the machine, or the client, that gets it; Layout the place it is made for. Both are recorded as they are.
	Host, Layout string
	// Key is the algorithm of the key to make. Empty: the policy's.
	Key certs.KeyAlgorithm
	// Public is set when the key exists already, elsewhere (a CSR): then none is made.
	Public crypto.PublicKey
	// Holder is the private key of Public, where it is at hand: a remote signer wants a request made with it.
	Holder crypto.Signer
	// Ignored says what a CSR asks for and does not get; see CSR.
	Ignored []string

	csr []byte // the request itself, in DER
}

// A Prepared is a certificate that has passed all checks and can be signed once. It belongs to the authority that made
// it.
type Prepared struct {
	authority  *Authority
	order      Order
	template   x509.Certificate // without the key's fields
	subject    string
	commonName string
	at         time.Time
	findings   []finding.Finding
	spent      atomic.Bool
	asked      span // the dates of the order that were asked for, zero where they are the policy's
	published  bool // to be recorded as published
}

// A span is from when to when.
type span struct{ from, to time.Time }

// Order gives what was asked for, completed: names, addresses, key, dates.
func (p *Prepared) Order() Order { return p.order }

// Serial gives the serial number the certificate will have.
func (p *Prepared) Serial() *big.Int { return new(big.Int).Set(p.template.SerialNumber) }

// Findings gives what is worth knowing about the certificate, of severity warning or note.
func (p *Prepared) Findings() []finding.Finding { return slices.Clone(p.findings) }

// ruleClipped is the note on a certificate that ends with the CA.
var ruleClipped = finding.Rule{
	ID:       "identity-ends-with-authority",
	Title:    "A certificate was shortened to the end of the CA",
	Severity: finding.Note,
	Effect:   finding.NoEffect,
	Text: "A certificate that outlives its CA is worth nothing after the CA's end: libvirt refuses to start with an " +
		"expired CA in its file. So virt-pki shortens what it issues to the CA's end.",
	Remedy: "plan a new CA before that date",
	Good:   "a certificate of one year from a CA that is good for five",
	Bad:    "a certificate of one year from a CA that ends in two months",
	Source: "RFC 5280, 6.1.3; libvirt virNetTLSContextCheckCertTimes",
}

// ruleCSRIgnored is the note on parts of a CSR that were not taken over.
var ruleCSRIgnored = finding.Rule{
	ID:       "csr-extension-ignored",
	Title:    "A certificate request asks for something that it does not get",
	Severity: finding.Note,
	Effect:   finding.NoEffect,
	Text: "What a certificate may be used for is decided by the authority. Of a certificate request only the subject, the " +
		"key, the DNS names and the IP addresses are taken over; and where names are given with the order, as a server's " +
		"are, those count and not the request's.",
	Remedy: "ask for the role with virt-pki issue server or virt-pki issue client, and for names after the first: NAME,NAME",
	Good:   "a request with a subjectAltName of DNS names",
	Bad:    "a request with basicConstraints CA:TRUE",
	Source: "RFC 2986, 4.1",
}

// Rules gives the rules of this package.
func Rules() []finding.Rule { return []finding.Rule{ruleClipped, ruleCSRIgnored, ruleNotCritical} }

// Prepare checks an order and has what would be signed judged by the rules of every libvirt version of the policy, on a
// throw-away key. Errors are of types *VersionError, *SubjectError, *HostError, *ConstraintError, *ValidityError,
// *KeyStrengthError.
func (a *Authority) Prepare(now time.Time, o Order) (*Prepared, error) {
	return a.prepare(now, o, &verdicts{})
}

// PrepareAll prepares many orders. It goes through all of them: the error joins one *OrderError for each that fails. The
// rehearsal with throw-away keys is done once for orders that differ in nothing it depends on; subject, names and
// constraints are checked for each.
func (a *Authority) PrepareAll(now time.Time, orders []Order) ([]*Prepared, error) {
	var known verdicts
	out, errs := make([]*Prepared, len(orders)), make([]error, len(orders))
	// Nothing in it fails or waits as a whole.
	_ = workers.Do(context.Background(), len(orders), runtime.GOMAXPROCS(0), func(i int) error {
		p, err := a.prepare(now, orders[i], &known)
		if err != nil {
			errs[i] = &OrderError{orders[i], err}
		}
		out[i] = p
		return nil
	}, nil)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// TakeOver gives an authority what its double (Spec.Rehearse, Adoption.Rehearse) has prepared, so that it need not be
// prepared again: nothing in it depends on the CA's key. It reports false, and takes nothing, when the double was not this
// authority's, or one is spent.
func (a *Authority) TakeOver(double *Authority, prepared []*Prepared) ([]*Prepared, bool) {
	if !bytes.Equal(a.cert.RawSubject, double.cert.RawSubject) || !a.cert.NotBefore.Equal(double.cert.NotBefore) ||
		!a.cert.NotAfter.Equal(double.cert.NotAfter) || a.algorithm != double.algorithm ||
		!reflect.DeepEqual(a.policy, double.policy) || !reflect.DeepEqual(a.limits, double.limits) {
		return nil, false
	}
	for _, p := range prepared {
		if p.authority != double || p.order.Public != nil || p.spent.Load() {
			return nil, false
		}
	}
	out := make([]*Prepared, len(prepared))
	for i, p := range prepared {
		p.spent.Store(true) // a serial number serves once
		out[i] = &Prepared{authority: a, order: p.order, template: p.template, subject: p.subject, commonName: p.commonName,
			at: p.at, findings: p.findings, asked: p.asked}
	}
	return out, true
}

// prepare is Prepare with the verdicts on orders of the same shape.
func (a *Authority) prepare(now time.Time, o Order, known *verdicts) (*Prepared, error) {
	p := &Prepared{authority: a, at: now}
	if _, ok := usages[o.Role]; !ok {
		return nil, fmt.Errorf("no role %v: server, client or peer", o.Role)
	}
	var err error
	if p.subject, p.commonName, err = checkSubject(o.Subject); err != nil {
		return nil, err
	}
	if o.Names, o.Addresses, err = hosts(o, p.commonName); err != nil {
		return nil, err
	}
	if err := a.limits.check(o.Names, o.Addresses); err != nil {
		return nil, err
	}
	if o.Public != nil {
		if err := checkKey(o.Public); err != nil {
			return nil, err
		}
		if certs.SameKey(o.Public, a.cert.PublicKey) {
			return nil, errors.New("the request is made with the CA's own key")
		}
	} else if o.Key == "" {
		o.Key = a.policy.Key
	}
	p.asked = span{o.NotBefore, o.NotAfter}
	if o.NotBefore, o.NotAfter, err = p.validity(now, o); err != nil {
		return nil, err
	}
	for _, text := range o.Ignored {
		p.findings = append(p.findings, ruleCSRIgnored.Finding(p.subject, "the request asks for "+text+", which is not taken over"))
	}
	p.order = o
	leaf, err := a.lint.leafKey(o)
	if err != nil {
		return nil, err
	}
	if err := p.fillTemplate(leaf); err != nil {
		return nil, err
	}
	found, err := known.judge(a, p)
	if err != nil {
		return nil, err
	}
	p.findings = append(p.findings, found...)
	return p, nil
}

// hosts gives the names and addresses of the subjectAltName: those of the order, checked, and for servers the CN, since
// GnuTLS looks at the CN only where there is no subjectAltName, and others not at all.
func hosts(o Order, commonName string) (names []string, addrs []netip.Addr, err error) {
	for _, n := range o.Names {
		name, addr, err := ParseHost(n)
		if err != nil {
			return nil, nil, err
		}
		names, addrs = addHost(names, addrs, name, addr)
	}
	for _, a := range o.Addresses {
		if !a.IsValid() || a.Zone() != "" {
			return nil, nil, &HostError{a.String(), "an address with a zone, or none", ""}
		}
		names, addrs = addHost(names, addrs, "", a.Unmap())
	}
	if o.Role == certs.Client {
		return names, addrs, nil
	}
	if name, addr, err := ParseHost(commonName); err == nil {
		names, addrs = addHost(names, addrs, name, addr)
	}
	if len(names)+len(addrs) == 0 {
		return nil, nil, &HostError{commonName, "a server needs a name or an address that clients connect to",
			"name it, or use the host's name as CN"}
	}
	return names, addrs, nil
}

// validity gives the dates: inside those of the CA, beginning ten minutes back.
func (p *Prepared) validity(now time.Time, o Order) (from, to time.Time, err error) {
	ca := p.authority.cert
	switch {
	case now.After(ca.NotAfter):
		return from, to, &ValidityError{fmt.Sprintf("the CA certificate has ended on %s", day(ca.NotAfter)),
			"make a new CA; an expired one keeps every libvirtd from starting"}
	case now.Before(ca.NotBefore):
		return from, to, &ValidityError{fmt.Sprintf("the CA certificate begins on %s, and it is %s", day(ca.NotBefore), day(now)),
			"is the clock right? date"}
	}
	if from = o.NotBefore; from.IsZero() {
		from = now.Add(-Backdate)
	}
	if from.Before(ca.NotBefore) {
		from = ca.NotBefore
	}
	if to = o.NotAfter; to.IsZero() {
		to = now.Add(p.authority.policy.Lifetime)
	}
	from, to = from.UTC().Truncate(time.Second), to.UTC().Truncate(time.Second)
	switch {
	case !to.After(now):
		return from, to, &ValidityError{fmt.Sprintf("the certificate would have ended on %s", day(to)), "ask for a date to come"}
	case from.After(ca.NotAfter):
		return from, to, &ValidityError{fmt.Sprintf("the certificate would begin on %s, after the CA's end on %s", day(from), day(ca.NotAfter)), ""}
	case !to.After(from):
		return from, to, &ValidityError{fmt.Sprintf("the certificate would end on %s, before it begins on %s", day(to), day(from)), ""}
	}
	if to.After(ca.NotAfter) {
		p.findings = append(p.findings, ruleClipped.Finding(p.subject,
			fmt.Sprintf("the certificate ends on %s with the CA, not on %s", day(ca.NotAfter), day(to))))
		to = ca.NotAfter
	}
	return from, to, nil
}

// day gives a date for messages.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// fillTemplate builds the certificate for a public key.
func (p *Prepared) fillTemplate(public crypto.PublicKey) error {
	o := &p.order
	serial, err := newSerial()
	if err != nil {
		return err
	}
	p.template = x509.Certificate{
		SerialNumber:       serial,
		RawSubject:         o.Subject.DER(),
		DNSNames:           o.Names,
		SignatureAlgorithm: p.authority.algorithm,
		PublicKey:          public,
	}
	for _, a := range o.Addresses {
		p.template.IPAddresses = append(p.template.IPAddresses, net.IP(a.AsSlice()))
	}
	_, isRSA := public.(*rsa.PublicKey)
	policy := p.authority.policy
	keyEncipherment := isRSA || !policy.StrictKeyUsage && policy.wantsKeyEncipherment()
	if err := fill(&p.template, p.authority.profiles[keyEncipherment], o.Role.String(), o.NotBefore, o.NotAfter); err != nil {
		return err
	}
	p.template.ExtraExtensions = append(p.template.ExtraExtensions, purposeExtensions[o.Role])
	return nil
}

// purposeExtensions are the extendedKeyUsage extensions by role. crypto/x509 would write them not critical.
var purposeExtensions = func() map[certs.Role]pkix.Extension {
	server := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	client := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	out := map[certs.Role]pkix.Extension{}
	for role, purposes := range map[certs.Role][]asn1.ObjectIdentifier{
		certs.Server: {server}, certs.Client: {client}, certs.Peer: {server, client},
	} {
		value, err := asn1.Marshal(purposes)
		if err != nil {
			panic(err) // constants
		}
		out[role] = pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}
	}
	return out
}()

// newSerial gives 126 random bits behind 01, so that all serial numbers are positive and of the same length. RFC 5280,
// 4.1.2.2, allows 20 octets.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// fileNames are the names of a role's certificate file in findings.
var fileNames = map[certs.Role]string{certs.Server: "servercert.pem", certs.Client: "clientcert.pem"}

// sides gives the ends at which a role's certificate is used.
func sides(r certs.Role) []certs.Role {
	if r == certs.Peer {
		return []certs.Role{certs.Server, certs.Client}
	}
	return []certs.Role{r}
}

// checkHosts makes sure that libvirt's clients find each name in the certificate.
func (p *Prepared) checkHosts() error {
	if p.order.Role == certs.Client {
		return nil
	}
	cert := &certs.Certificate{Subject: p.order.Subject, HasAltNames: true}
	for _, n := range p.order.Names {
		cert.AltNames = append(cert.AltNames, certs.AltName{Kind: certs.DNSName, Value: []byte(n)})
	}
	for _, a := range p.order.Addresses {
		cert.AltNames = append(cert.AltNames, certs.AltName{Kind: certs.IPAddress, Value: a.AsSlice()})
	}
	for _, host := range p.hostTexts() {
		if m := verify.Host(cert, host); !m.Match {
			return &HostError{host, "libvirt's clients would not find it in the certificate: " + m.Reason, ""}
		}
	}
	return nil
}

// hostTexts gives names and addresses as they stand in a URI; for a wildcard one name it covers.
func (p *Prepared) hostTexts() []string {
	var out []string
	for _, n := range p.order.Names {
		if len(n) > 1 && n[0] == '*' {
			n = "wildcard" + n[1:]
		}
		out = append(out, n)
	}
	for _, a := range p.order.Addresses {
		out = append(out, a.String())
	}
	return out
}
