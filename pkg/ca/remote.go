package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/remote"
)

// A RemoteSigner has certificates signed where the CA's key is; *remote.Client is one.
type RemoteSigner interface {
	Sign(ctx context.Context, r remote.Request) (der []byte, err error)
}

// UseRemote unlocks the authority for issuing: certificates are signed elsewhere. Revocation lists are made there, too.
func (a *Authority) UseRemote(s RemoteSigner) { a.remote = s }

// ErrListsElsewhere says that a revocation list is signed where the CA's key is.
var ErrListsElsewhere = &placeError{"the CA's key is with a remote signer, and revocation lists are made there",
	"on the machine that has the key: virt-pki crl publish; then copy the authority's cacrl.pem here: virt-pki crl publish --current"}

// A placeError is about where the key is.
type placeError struct{ text, hint string }

func (e *placeError) Error() string   { return e.text }
func (e *placeError) Hints() []string { return oneHint(e.hint) }

// ruleNotCritical is the warning on certificates of a remote signer whose purposes are not critical.
var ruleNotCritical = finding.Rule{
	ID:       "remote-purpose-not-critical",
	Title:    "A remote signer issued a certificate whose purpose is not critical",
	Severity: finding.Warning,
	Effect:   finding.Ignores,
	Text: "libvirt and QEMU look at extendedKeyUsage only where it is critical. The signing server of cfssl never makes it so. The " +
		"certificate works, but whoever steals a client's key can pose as a server with it, and the other way round.",
	Remedy: "sign with virt-pki ca serve on the machine that has the key, which makes it critical",
	Good:   "extendedKeyUsage critical, serverAuth",
	Bad:    "extendedKeyUsage serverAuth",
	Source: "libvirt virNetTLSContextCheckCertKeyPurpose; cfssl v1.6.5 signer/local, FillTemplate",
}

// A MismatchError says that a remote signer gave a certificate that is not what was asked for. It was not recorded and not given
// out; the signer knows it, though.
type MismatchError struct {
	// Subject is whom it was asked for.
	Subject string
	// Problems are all the differences.
	Problems []string
	hint     string
}

// Error lists the differences.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("the certificate of %q that came from the signer is not what was asked for: %s", e.Subject, strings.Join(e.Problems, "; "))
}

// Hints gives what cures it.
func (e *MismatchError) Hints() []string { return oneHint(e.hint) }

// signRemotely makes the key, has the certificate signed elsewhere and compares what comes back with what was asked.
func (a *Authority) signRemotely(ctx context.Context, p *Prepared) (Issued, error) {
	out := Issued{Order: p.order, Findings: slices.Clone(p.findings)}
	public, request := p.order.Public, p.order.csr
	holder := p.order.Holder
	if public == nil {
		key, err := certs.GenerateKey(p.order.Key)
		if err != nil {
			return Issued{}, err
		}
		out.Key, holder, public = key, key, key.Public()
	}
	if request == nil {
		if holder == nil {
			return Issued{}, fmt.Errorf("signing the certificate of %q: %w", p.subject, &placeError{"a remote signer wants a request signed with the private key, which is not at hand",
				"renew it with a new key, without --same-key; or issue it for a request: --csr FILE"})
		}
		var err error
		if request, err = makeRequest(p, holder); err != nil {
			return Issued{}, fmt.Errorf("signing the certificate of %q: %w", p.subject, err)
		}
	}
	r := remote.Request{CSR: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), Profile: p.order.Role.String(),
		Hosts: slices.Clone(p.order.Names), NotBefore: p.asked.from, NotAfter: p.asked.to, Host: p.order.Host, Layout: p.order.Layout}
	for _, addr := range p.order.Addresses {
		r.Hosts = append(r.Hosts, addr.String())
	}
	der, err := a.remote.Sign(ctx, r)
	if err != nil {
		return Issued{}, fmt.Errorf("having the certificate of %q signed: %w", p.subject, err)
	}
	cert, findings, err := a.checkReturned(p, der, public)
	if err != nil {
		return Issued{}, err
	}
	id, err := certs.KeyID(public)
	if err != nil {
		return Issued{}, err
	}
	out.DER, out.Findings = der, append(out.Findings, findings...)
	out.Order.NotBefore, out.Order.NotAfter = cert.NotBefore, cert.NotAfter
	out.Entry = p.entry(cert.SerialNumber, a.cert.SubjectKeyId, hex.EncodeToString(id), der)
	out.Entry.NotBefore, out.Entry.NotAfter = cert.NotBefore, cert.NotAfter
	return out, nil
}

// makeRequest makes the certificate request for what was prepared. Its subject is that of the order, octet for octet.
func makeRequest(p *Prepared, key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: p.order.Subject.DER(),
		DNSNames: p.template.DNSNames, IPAddresses: p.template.IPAddresses}, key)
}

// slack is by how much the end of a certificate may fall short of what was asked for: a server counts the lifetime from the
// beginning, which it sets back.
const slack = time.Hour

// checkReturned compares a certificate with what was asked for, field by field, and lets every libvirt of the policy judge it.
func (a *Authority) checkReturned(p *Prepared, der []byte, public crypto.PublicKey) (*x509.Certificate, []finding.Finding, error) {
	wrong := &MismatchError{Subject: p.subject}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		wrong.Problems = []string{fmt.Sprintf("it cannot be read: %v", err)}
		return nil, nil, wrong
	}
	say := func(format string, args ...any) {
		wrong.Problems = append(wrong.Problems, fmt.Sprintf(format, args...))
	}
	if !bytes.Equal(cert.RawIssuer, a.cert.RawSubject) {
		say("it is from another CA, %q", issuerOf(cert))
	} else if err := cert.CheckSignatureFrom(a.cert); err != nil {
		say("it is not signed with the key of the CA %q", nameOf(a.cert))
	}
	if want := p.order.Subject.DER(); !bytes.Equal(cert.RawSubject, want) {
		if got := nameOf(cert); got != p.subject {
			say("its subject is %q", got)
		} else {
			say("its subject is encoded in another way (%x, not %x)", cert.RawSubject, want)
		}
		wrong.hint = "cfssl's server keeps only names in its own order, C, ST, L, street, postalCode, O, OU, CN, with one OU; " +
			"virt-pki ca serve keeps every name as it is"
	}
	if !certs.SameKey(cert.PublicKey, public) {
		say("it is for another key")
	}
	a.compareNames(p, cert, say)
	a.compareUsages(p, cert, wrong, say)
	if cert.IsCA {
		say("it is a CA's")
	}
	for _, oid := range cert.UnhandledCriticalExtensions {
		say("it has a critical extension that was not asked for, %v", oid)
	}
	if n := cert.SerialNumber; n.Sign() <= 0 || len(n.Bytes()) > 20 || n.Cmp(a.cert.SerialNumber) == 0 && bytes.Equal(a.cert.RawIssuer, a.cert.RawSubject) {
		say("its serial number %x cannot be used", n)
	}
	a.compareDates(p, cert, say)
	if len(wrong.Problems) > 0 {
		return nil, nil, wrong
	}
	leaf, err := certs.Import(der)
	if err != nil {
		say("GnuTLS would not read it: %v", err)
		return nil, nil, wrong
	}
	own, err := certs.Import(a.cert.Raw)
	if err != nil {
		return nil, nil, err
	}
	found, err := a.judged(p, leaf, own)
	if err != nil {
		return nil, nil, err
	}
	if e := leaf.Extension("2.5.29.37"); e == nil || !e.Critical {
		found = append(found, ruleNotCritical.Finding(p.subject, fmt.Sprintf("the signer made the purpose of this %s certificate not critical: libvirt does not look at it", p.order.Role)))
	}
	return cert, found, nil
}

// issuerOf gives a certificate's issuer as libvirt writes it.
func issuerOf(cert *x509.Certificate) string {
	return nameOf(&x509.Certificate{RawSubject: cert.RawIssuer, Subject: cert.Issuer})
}

// compareNames compares the subjectAltName.
func (a *Authority) compareNames(p *Prepared, cert *x509.Certificate, say func(string, ...any)) {
	var got, want []string
	for _, n := range cert.DNSNames {
		got = append(got, "DNS:"+n)
	}
	for _, ip := range cert.IPAddresses {
		got = append(got, "IP:"+ip.String())
	}
	for _, e := range cert.EmailAddresses {
		got = append(got, "email:"+e)
	}
	for _, u := range cert.URIs {
		got = append(got, "URI:"+u.String())
	}
	for _, n := range p.order.Names {
		want = append(want, "DNS:"+n)
	}
	for _, addr := range p.order.Addresses {
		want = append(want, "IP:"+net.IP(addr.AsSlice()).String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		say("its names are %s, not %s", orNone(got), orNone(want))
		return
	}
	// Kinds of names that crypto/x509 does not show.
	if leaf, err := certs.Import(cert.Raw); err == nil && len(leaf.AltNames) != len(want) {
		say("it has %d names where %d were asked for", len(leaf.AltNames), len(want))
	}
}

// orNone lists texts.
func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// oidKeyUsage is the extension keyUsage.
var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

// compareUsages compares keyUsage and extendedKeyUsage.
func (a *Authority) compareUsages(p *Prepared, cert *x509.Certificate, wrong *MismatchError, say func(string, ...any)) {
	if cert.KeyUsage != p.template.KeyUsage {
		say("its keyUsage is %s, not %s", usageText(cert.KeyUsage), usageText(p.template.KeyUsage))
		wrong.hint = "the signer's policy must be this authority's: the same --libvirt with virt-pki ca serve; with cfssl serve, " +
			"profiles with \"digital signature\", \"key encipherment\" and \"server auth\" or \"client auth\""
	}
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidKeyUsage) && !e.Critical {
			say("its keyUsage is not critical")
		}
	}
	want := map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageServerAuth: p.order.Role != certs.Client, x509.ExtKeyUsageClientAuth: p.order.Role != certs.Server}
	for _, u := range cert.ExtKeyUsage {
		if !want[u] {
			say("its purposes are not those of the profile %q", p.order.Role)
			return
		}
		delete(want, u)
	}
	for _, missing := range want {
		if missing {
			say("its purposes are not those of the profile %q", p.order.Role)
			return
		}
	}
	if len(cert.UnknownExtKeyUsage) > 0 {
		say("it has a purpose that was not asked for, %v", cert.UnknownExtKeyUsage[0])
	}
}

// usageText names the bits of keyUsage.
func usageText(u x509.KeyUsage) string {
	var out []string
	for i, name := range []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign",
		"cRLSign", "encipherOnly", "decipherOnly"} {
		if u&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return orNone(out)
}

// compareDates compares the validity.
func (a *Authority) compareDates(p *Prepared, cert *x509.Certificate, say func(string, ...any)) {
	from, to := cert.NotBefore, cert.NotAfter
	switch {
	case to.After(a.cert.NotAfter):
		say("it ends on %s, after the CA", day(to))
	case to.After(p.order.NotAfter.Add(slack)):
		say("it ends on %s, later than %s", day(to), day(p.order.NotAfter))
	case !p.asked.to.IsZero() && to.Before(p.order.NotAfter.Add(-slack)):
		say("it ends on %s, not on %s", day(to), day(p.order.NotAfter))
	case !to.After(p.at):
		say("it has ended already, on %s", day(to))
	}
	switch {
	case p.asked.from.IsZero() && from.After(p.at.Add(time.Minute)):
		say("it begins on %s, in the future", day(from))
	case !p.asked.from.IsZero() && from.Sub(p.order.NotBefore).Abs() > slack:
		say("it begins on %s, not on %s", day(from), day(p.order.NotBefore))
	case from.Before(a.cert.NotBefore):
		say("it begins on %s, before the CA", day(from))
	}
}

// SignRequest signs what a remote operator asks for: a certificate of a request for a role, which is what the profile names.
// It passes the checks of Prepare and the inventory like any other order, and is recorded as published, for it is handed out.
// What is wrong with the request gives a *remote.RequestError.
func (a *Authority) SignRequest(ctx context.Context, now time.Time, r remote.Request) (Issued, error) {
	p, err := a.prepareRequest(now, r)
	if err != nil {
		return Issued{}, &remote.RequestError{Err: err}
	}
	p.published = true
	return a.Issue(ctx, p)
}

// prepareRequest judges a remote order.
func (a *Authority) prepareRequest(now time.Time, r remote.Request) (*Prepared, error) {
	role, err := certs.ParseRole(r.Profile)
	if err != nil {
		return nil, fmt.Errorf("the profile: %w", err)
	}
	csr, err := ParseCSR(r.CSR)
	if err != nil {
		return nil, err
	}
	o := Order{Host: r.Host, Layout: r.Layout}
	if o.Host == "" {
		o.Host = csr.commonName
	}
	o.Role = role
	if len(r.Hosts) > 0 {
		if o.Names, o.Addresses, err = ParseHosts(r.Hosts); err != nil {
			return nil, err
		}
	}
	if !r.NotBefore.IsZero() && (r.NotBefore.Before(now.Add(-24*time.Hour)) || r.NotBefore.After(now.Add(a.policy.Lifetime))) {
		return nil, fmt.Errorf("the certificate would begin on %s, too far from now", day(r.NotBefore))
	}
	if last := now.Add(a.policy.Lifetime + Backdate); r.NotAfter.After(last) {
		return nil, &ValidityError{fmt.Sprintf("the certificate would end on %s; the authority's policy ends it on %s", day(r.NotAfter), day(last)), "ask for less"}
	}
	o.NotBefore, o.NotAfter = r.NotBefore, r.NotAfter
	return a.PrepareCSR(now, csr, o)
}

// sameRecord reports whether the inventory has these very certificates already: a signer that shares it has recorded them.
func (a *Authority) sameRecord(ctx context.Context, issued []Issued, err error) bool {
	var duplicate *inventory.DuplicateError
	if a.remote == nil || a.inventory == nil || !errors.As(err, &duplicate) {
		return false
	}
	for i := range issued {
		e, err := a.inventory.Get(ctx, issued[i].Entry.Key)
		if err != nil || e.Revoked != nil || !bytes.Equal(e.PEM, issued[i].Entry.PEM) {
			return false
		}
	}
	return true
}

// entry makes the inventory's entry of a certificate.
func (p *Prepared) entry(serial *big.Int, authority []byte, keyID string, der []byte) inventory.Entry {
	e := inventory.Entry{
		Key: inventory.NewKey(serial, authority), Host: p.order.Host, Role: p.order.Role,
		Layout: p.order.Layout, Subject: p.subject, CommonName: p.commonName, Names: p.order.Names,
		Addresses: p.order.Addresses, KeyID: keyID, NotBefore: p.order.NotBefore, NotAfter: p.order.NotAfter,
		PEM:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		State: inventory.Issued, Created: p.at,
	}
	if p.published {
		e.State = inventory.Published
	}
	return e
}
