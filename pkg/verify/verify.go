package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Own is one end's own credentials, to be judged as libvirt does before any traffic (virNetTLSContextSanityCheckCredentials,
// from 11.6 on virNetTLSCertSanityCheck): at daemon start, client connect and server-update-tls.
type Own struct {
	// Role is certs.Server or certs.Client: the end that checks itself.
	Role certs.Role
	// CertPath and CAPath are the names used in libvirt's messages.
	CertPath, CAPath string
	// Cert is the first certificate of the file; nil: there is none, nothing of the leaf is checked.
	Cert *certs.Certificate
	// CAs are all certificates of the CA file, in file order; only the first 16 are looked at, as libvirt does.
	CAs     []*certs.Certificate
	At      time.Time
	Libvirt Version
	// Memory may be shared by many judgements; nil: none.
	Memory *Memory
}

// maxCAs is the number of CAs that the sanity check imports.
const maxCAs = 16

// Check gives the findings in libvirt's order. libvirt stops at the first one of severity error and prints its
// LibvirtMessage; Check goes on where it can, so that one run shows all that is wrong.
func (o Own) Check() []finding.Finding {
	var out []finding.Finding
	j := judge{path: o.CertPath, subject: o.CertPath, what: fmt.Sprintf("the %v certificate", o.Role), effect: ownEffect(o.Role),
		libvirt: o.Libvirt, at: o.At}
	if o.Cert != nil {
		out = append(out, j.times(o.Cert, o.Role.String(), "certificate-expired", "certificate-not-yet-valid")...)
		out = append(out, j.leafConstraints(o.Cert, o.Role)...)
		out = append(out, j.usage(o.Cert, false)...)
		out = append(out, j.purpose(o.Cert, o.Role)...)
	}
	cas := o.CAs[:min(len(o.CAs), maxCAs)]
	for i, ca := range cas {
		k := j
		k.path, k.subject, k.what = o.CAPath, o.CAPath, fmt.Sprintf("CA %d in the file (%s)", i+1, nameOf(ca))
		out = append(out, k.times(ca, "CA", "ca-expired", "ca-not-yet-valid")...)
		out = append(out, k.caConstraints(ca)...)
		out = append(out, k.usage(ca, true)...)
	}
	if o.Cert == nil || len(cas) == 0 {
		return out
	}
	v := verifyOwn(o.Cert, cas, o.At, o.Memory)
	if p, ok := unreported(v, out, o.Cert, o.CertPath, o.CAPath); ok {
		about := j
		about.what = "the " + o.Role.String() + " certificate"
		if p.Cert != o.Cert {
			about.what += "'s issuer " + nameOf(p.Cert)
		}
		message := fmt.Sprintf("GnuTLS does not accept %s: %s.", about.what, p.Text)
		if p.Status == SignerNotFound && len(o.CAs) > maxCAs && VerifyOwn(o.Cert, o.CAs, o.At).Status&SignerNotFound == 0 {
			message = fmt.Sprintf("The issuer of the %v certificate is in the CA file, but behind the first %d certificates, which are all "+
				"that libvirt looks at here.", o.Role, maxCAs)
		}
		out = append(out, j.refuse(p.Rule, message,
			fmt.Sprintf("Our own certificate %s failed validation against %s: %s", o.CertPath, o.CAPath, v.Status.Reason())))
	}
	out = append(out, unchecked(v, o.CertPath)...)
	if len(o.CAs) > maxCAs {
		out = append(out, rule("too-many-cas").Finding(o.CAPath, fmt.Sprintf(
			"The file holds %d certificates; libvirt's own check sees the first %d.", len(o.CAs), maxCAs)))
	}
	return out
}

func ownEffect(role certs.Role) finding.Effect {
	if role == certs.Client {
		return finding.RefusesOwnCertificate
	}
	return finding.RefusesToStart
}

// unreported picks the problem that libvirt's text speaks of, unless all that is wrong was found already by the checks
// before, which the administrator then sees with better words.
func unreported(v Verdict, found []finding.Finding, leaf *certs.Certificate, leafSubject, caSubject string) (Problem, bool) {
	if v.Status == 0 {
		return Problem{}, false
	}
	known := map[[2]string]bool{}
	for _, f := range found {
		if f.Severity == finding.Error {
			known[[2]string{f.Rule, f.Subject}] = true
		}
	}
	fresh := Verdict{Status: v.Status}
	for _, p := range v.Problems {
		subject := caSubject
		if p.Cert == leaf {
			subject = leafSubject
		}
		id := p.Rule
		if id == "issuer-is-no-ca" {
			id = "ca-is-no-ca" // the same, said of a file
		}
		if !known[[2]string{id, subject}] {
			fresh.Problems = append(fresh.Problems, p)
		}
	}
	return fresh.Main()
}

// unchecked reports signatures that were taken for good.
func unchecked(v Verdict, subject string) []finding.Finding {
	var out []finding.Finding
	for _, p := range v.Unchecked {
		out = append(out, rule("cannot-check-signature").Finding(subject,
			fmt.Sprintf("The signature of %s was not checked: %s.", nameOf(p.Cert), p.Text)))
	}
	return out
}

// nameOf gives a certificate's name for sentences.
func nameOf(c *certs.Certificate) string {
	text, err := c.Subject.Text()
	switch {
	case errors.Is(err, dn.ErrEmpty):
		return "a certificate without a name"
	case err != nil:
		return "a certificate with an unreadable name"
	}
	return fmt.Sprintf("%q", text)
}

// Session is the judgement of one end about the certificate of the other during a connection
// (virNetTLSContextCheckCertificate).
type Session struct {
	// Local is the role of the end that judges: certs.Client judges a server.
	Local certs.Role
	// Peer is what the other end sent, leaf first; empty: it sent no certificate.
	Peer []*certs.Certificate
	CAs  []*certs.Certificate
	// CRLs are DER revocation lists; libvirt verifies neither their signature nor their dates.
	CRLs [][]byte
	// Lists are revocation lists that were read already, in addition to CRLs.
	Lists []*crl.List
	// Host is the name in the client's URI; not used on the server.
	Host string
	// Allowed is tls_allowed_dn_list; nil: none. Not used on the client.
	Allowed *dnmatch.List
	At      time.Time
	Libvirt Version
	// Strength is what the judging end's tls_priority demands; the zero value is that of NORMAL.
	Strength Strength
	// Memory may be shared by many judgements; nil: none.
	Memory *Memory
}

// PeerSubject is the subject of the findings about a peer: the role and the name of its certificate.
func (s Session) PeerSubject() string {
	if len(s.Peer) == 0 {
		return s.peerRole().String()
	}
	return fmt.Sprintf("%v certificate %s", s.peerRole(), nameOf(s.Peer[0]))
}

func (s Session) peerRole() certs.Role {
	if s.Local == certs.Client {
		return certs.Server
	}
	return certs.Client
}

// lists reads the CRLs; what is none is left out, as it would have been refused at loading.
func (s Session) lists() []*crl.List {
	out := s.Lists
	for _, der := range s.CRLs {
		if l, err := crl.Parse(der); err == nil {
			out = append(out[:len(out):len(out)], l)
		}
	}
	return out
}

// Check gives the findings in libvirt's order; the first of severity error is the one libvirt names.
//
// LibvirtMessage is the text of the cause, as libvirt logs it after "Certificate check failed "; what follows in every
// case is "authentication failed: Failed to verify peer's certificate".
func (s Session) Check() []finding.Finding {
	j := judge{path: "[session]", subject: s.PeerSubject(), what: "the " + s.PeerSubject(), effect: finding.RefusesPeer,
		libvirt: s.Libvirt, at: s.At}
	if len(s.Peer) == 0 {
		return []finding.Finding{j.refuse("no-client-certificate", fmt.Sprintf("The %v sent no certificate.", s.peerRole()),
			"Unable to verify TLS peer: No certificate was found.")}
	}
	if len(s.Peer) > maxDepth {
		return []finding.Finding{j.refuse("too-many-certificates",
			fmt.Sprintf("The %v sent %d certificates, GnuTLS takes at most %d.", s.peerRole(), len(s.Peer), maxDepth),
			"Unable to verify TLS peer: Some constraint limits were reached.")}
	}
	out := s.chain(j)
	leaf := s.Peer[0]
	for i, c := range s.Peer {
		if i > 0 {
			k := j
			k.what = fmt.Sprintf("certificate %d (%s), which the %v sent beside its own,", i+1, nameOf(c), s.peerRole())
			out = append(out, k.times(c, "CA", "sent-certificate-out-of-date", "sent-certificate-out-of-date")...)
			continue
		}
		// The dates of the leaf have their finding already: GnuTLS looks at them, too.
		out = append(out, s.name(j, leaf)...)
		if s.Local == certs.Client {
			if m := Host(leaf, s.Host); !m.Match {
				out = append(out, HostMismatch(s.PeerSubject(), s.Host, m))
			}
		}
		out = append(out, j.leafConstraints(leaf, s.peerRole())...)
		out = append(out, j.usage(leaf, false)...)
		out = append(out, j.purpose(leaf, s.peerRole())...)
	}
	return out
}

// chain is GnuTLS's part, gnutls_certificate_verify_peers2.
func (s Session) chain(j judge) []finding.Finding {
	v := verifyPeer(s.Peer, s.CAs, s.lists(), s.At, s.Memory, s.Strength)
	v.staple(s.Peer[0], "libvirt")
	var out []finding.Finding
	if p, ok := v.Main(); ok {
		// The main problem first: its finding carries libvirt's text. The others are said without one.
		text := "Certificate failed validation: " + v.Status.Reason()
		said := map[string]bool{}
		add := func(q Problem, message string) {
			who := "the " + s.PeerSubject()
			if q.Cert != s.Peer[0] {
				who += ": " + nameOf(q.Cert) + " above it"
			}
			sentence := sentence(fmt.Sprintf("GnuTLS does not accept %s: %s", who, q.Text))
			if said[q.Rule+sentence] {
				return
			}
			said[q.Rule+sentence] = true
			out = append(out, j.refuse(q.Rule, sentence, message))
		}
		add(p, text)
		for _, q := range v.Problems {
			add(q, "")
		}
	}
	return append(out, unchecked(v, j.subject)...)
}

// staple refuses a certificate that demands an OCSP answer: neither end of whose staples one, and GnuTLS asks for it on both.
func (v *Verdict) staple(leaf *certs.Certificate, whose string) {
	if v.Status&^Invalid != 0 {
		return
	}
	features, _ := tlsFeatures(leaf)
	for _, f := range features {
		if f == 5 {
			v.Status |= MissingOCSPStatus | Invalid
			v.Problems = append(v.Problems, Problem{Status: MissingOCSPStatus, Cert: leaf, Rule: "must-staple",
				Text: "it demands an OCSP answer (TLS feature status_request), which " + whose + " cannot send"})
		}
	}
}

// rendering is the GnuTLS that Debian ships with this libvirt.
func (v Version) rendering() dn.Rendering {
	if v.AtLeast(11, 0) {
		return dn.GnuTLS384
	}
	return dn.GnuTLS37
}

// name demands a readable name and, on the server, one that is on the list.
func (s Session) name(j judge, leaf *certs.Certificate) []finding.Finding {
	text, err := leaf.Subject.TextFor(s.Libvirt.rendering())
	switch {
	case errors.Is(err, dn.ErrAborts):
		return []finding.Finding{j.refuse("empty-rdn", fmt.Sprintf("The %v certificate's subject has an empty part, at which GnuTLS, and "+
			"with it the %v's process, aborts.", s.peerRole(), s.Local), "_gnutls_x509_parse_dn: Assertion `dn.data != NULL' failed.")}
	case errors.Is(err, dn.ErrEmpty):
		return []finding.Finding{j.refuse("no-subject", fmt.Sprintf("The %v certificate has an empty subject, which libvirt always refuses.",
			s.peerRole()), "Failed to get certificate [session] distinguished name: "+err.Error())}
	case err != nil:
		return []finding.Finding{j.refuse("name-unreadable", sentence(fmt.Sprintf("the %v certificate's subject cannot be turned into text: %v",
			s.peerRole(), err)), "Failed to get certificate [session] distinguished name: "+err.Error())}
	}
	if s.Local != certs.Server || s.Allowed == nil {
		return nil
	}
	d := s.Allowed.Decide(text)
	if d.Allowed {
		return nil
	}
	f := j.refuse("dn-not-allowed", sentence(fmt.Sprintf("the name %q is not on the list of allowed clients: %s", text, d.Reason)), dnRefused)
	if d.Suggestion != "" {
		f.Remedy = fmt.Sprintf("add %q to tls_allowed_dn_list in libvirtd.conf and restart the daemon", d.Suggestion)
	}
	f.Evidence = map[string]string{"dn": text}
	return []finding.Finding{f}
}
