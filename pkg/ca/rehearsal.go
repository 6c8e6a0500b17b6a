package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A rehearsal signs with throw-away keys what an authority is about to sign, so that it can be judged first. The idea is
// boulder's (issuance and linter).
type rehearsal struct {
	ca        *x509.Certificate
	algorithm x509.SignatureAlgorithm

	mu     sync.Mutex
	key    crypto.Signer                        // stands in for the CA's key
	parent *certs.Certificate                   // the CA's certificate with that key
	keys   map[certs.KeyAlgorithm]crypto.Signer // by algorithm
}

// throwAway gives a key of the kind of a public key. One RSA key stands for all sizes: from 2048 bits on no libvirt or
// GnuTLS tells them apart, and the large ones take seconds to make.
func (r *rehearsal) throwAway(a certs.KeyAlgorithm) (crypto.Signer, error) {
	switch a {
	case certs.RSA3072, certs.RSA4096:
		a = certs.RSA2048
	}
	if k := r.keys[a]; k != nil {
		return k, nil
	}
	k, err := certs.GenerateKey(a)
	if err != nil {
		return nil, err
	}
	if r.keys == nil {
		r.keys = map[certs.KeyAlgorithm]crypto.Signer{}
	}
	r.keys[a] = k
	return k, nil
}

// leafKey gives the public key an order is rehearsed with: its own if it is there, else a throw-away one.
func (r *rehearsal) leafKey(o Order) (crypto.PublicKey, error) {
	if o.Public != nil {
		return o.Public, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k, err := r.throwAway(o.Key)
	if err != nil {
		return nil, err
	}
	return k.Public(), nil
}

// authority gives the CA's double: the same certificate with a throw-away key.
func (r *rehearsal) authority() (*certs.Certificate, crypto.Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parent != nil {
		return r.parent, r.key, nil
	}
	kind, ok := certs.AlgorithmOf(r.ca.PublicKey)
	if _, isRSA := r.ca.PublicKey.(*rsa.PublicKey); isRSA {
		kind = certs.RSA2048
	} else if !ok {
		return nil, nil, fmt.Errorf("no throw-away key of type %T", r.ca.PublicKey)
	}
	key, err := r.throwAway(kind)
	if err != nil {
		return nil, nil, err
	}
	double := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: r.ca.RawSubject, NotBefore: r.ca.NotBefore, NotAfter: r.ca.NotAfter,
		ExtraExtensions: r.ca.Extensions, SignatureAlgorithm: r.algorithm,
	}
	der, err := x509.CreateCertificate(rand.Reader, double, &x509.Certificate{RawSubject: r.ca.RawIssuer,
		PublicKey: key.Public()}, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("rehearsing with a throw-away CA: %w", err)
	}
	if r.parent, err = certs.Import(der); err != nil {
		return nil, nil, fmt.Errorf("rehearsing with a throw-away CA: GnuTLS would not read it: %w", err)
	}
	r.key = key
	return r.parent, r.key, nil
}

// sign signs a template with the CA's double.
func (r *rehearsal) sign(t *x509.Certificate) (leaf, parent *certs.Certificate, err error) {
	parent, key, err := r.authority()
	if err != nil {
		return nil, nil, err
	}
	issuer := &x509.Certificate{RawSubject: r.ca.RawSubject, SubjectKeyId: r.ca.SubjectKeyId, PublicKey: key.Public()}
	der, err := x509.CreateCertificate(rand.Reader, t, issuer, t.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("rehearsing the certificate: %w", err)
	}
	if leaf, err = certs.Import(der); err != nil {
		return nil, nil, fmt.Errorf("rehearsing the certificate: GnuTLS would not read it: %w", err)
	}
	return leaf, parent, nil
}

// A shape is what a verdict depends on, apart from subject and names, which are checked for each certificate.
type shape struct {
	role     certs.Role
	key      certs.KeyAlgorithm
	usage    x509.KeyUsage
	from, to time.Time
	at       time.Time
	names    bool
}

// verdicts are the verdicts of one batch.
type verdicts struct {
	mu    sync.Mutex
	known map[shape]verdict
}

// A verdict is what came out of a rehearsal.
type verdict struct {
	findings []finding.Finding
	err      error
}

// judge gives the verdict on a prepared certificate. A certificate for a key from elsewhere is always rehearsed itself.
func (vs *verdicts) judge(a *Authority, p *Prepared) ([]finding.Finding, error) {
	if err := p.checkHosts(); err != nil {
		return nil, err
	}
	if p.order.Public != nil {
		return a.rehearse(p)
	}
	s := shape{p.order.Role, p.order.Key, p.template.KeyUsage, p.order.NotBefore, p.order.NotAfter, p.at,
		len(p.order.Names)+len(p.order.Addresses) > 0}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	v, ok := vs.known[s]
	if !ok {
		v.findings, v.err = a.rehearse(p)
		if vs.known == nil {
			vs.known = map[shape]verdict{}
		}
		vs.known[s] = v
	}
	return v.findings, v.err
}

// rehearse signs with throw-away keys and lets every libvirt of the policy judge, on both ends.
func (a *Authority) rehearse(p *Prepared) ([]finding.Finding, error) {
	leaf, parent, err := a.lint.sign(&p.template)
	if err != nil {
		return nil, err
	}
	return a.judged(p, leaf, parent)
}

// judged lets every libvirt of the policy judge a certificate, on both ends.
func (a *Authority) judged(p *Prepared, leaf, parent *certs.Certificate) ([]finding.Finding, error) {
	at := p.at
	if at.Before(p.order.NotBefore) { // ordered for later
		at = p.order.NotBefore
	}
	host := ""
	if hosts := p.hostTexts(); len(hosts) > 0 {
		host = hosts[0]
	}
	j := judgement{what: p.order.Role.String() + " certificate"}
	for _, v := range a.policy.Libvirt {
		for _, side := range sides(p.order.Role) {
			j.add(v, verify.Own{Role: side, CertPath: fileNames[side], CAPath: "cacert.pem", Cert: leaf,
				CAs: []*certs.Certificate{parent}, At: at, Libvirt: v}.Check())
			session := verify.Session{Local: certs.Client, Peer: []*certs.Certificate{leaf}, CAs: []*certs.Certificate{parent},
				Host: host, At: at, Libvirt: v}
			if side == certs.Client {
				session.Local, session.Host = certs.Server, ""
			}
			j.add(v, session.Check())
		}
	}
	if a.policy.StrictKeyUsage {
		j.hints = []string{"do without strict key usage, or name a newer oldest version: --libvirt 11.6"}
	}
	return j.result()
}

// A judgement gathers what versions say about one certificate.
type judgement struct {
	what    string
	hints   []string
	refused *VersionError
	found   []finding.Finding
	seen    map[[2]string]bool
}

// add takes the findings of one version: an error of the first version that has one, and each other finding once.
func (j *judgement) add(v verify.Version, fs []finding.Finding) {
	for _, f := range fs {
		if f.Severity == finding.Error {
			if j.refused == nil {
				j.refused = &VersionError{Version: v, What: j.what}
			}
			if j.refused.Version == v {
				j.refused.Findings = append(j.refused.Findings, f)
			}
			continue
		}
		key := [2]string{f.Rule, f.Message}
		if j.seen == nil {
			j.seen = map[[2]string]bool{}
		}
		if !j.seen[key] {
			j.seen[key] = true
			j.found = append(j.found, f)
		}
	}
}

// result gives the findings, or the refusal.
func (j *judgement) result() ([]finding.Finding, error) {
	if j.refused == nil {
		return j.found, nil
	}
	j.refused.hints = j.hints
	if len(j.hints) == 0 {
		for _, f := range j.refused.Findings {
			if f.Remedy != "" {
				j.refused.hints = append(j.refused.hints, f.Remedy)
			}
		}
	}
	return nil, j.refused
}
