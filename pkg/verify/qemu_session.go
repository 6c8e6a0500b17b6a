package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// QEMUSession is the judgement of one of QEMU's ends about the certificate of the other during a connection: a migration,
// an NBD export (qcrypto_tls_session_check_certificate). A client always makes it, a server where its verify-peer is on;
// lists of allowed names, which libvirt does not use, are left out.
type QEMUSession struct {
	// Local is the role of the end that judges: certs.Client judges a server.
	Local certs.Role
	// Peer is what the other end sent, leaf first; empty: it sent no certificate.
	Peer  []*certs.Certificate
	CAs   []*certs.Certificate
	Lists []*crl.List
	// Host is the name that the client was told to expect (tls-hostname); not used on the server.
	Host string
	At   time.Time
	// Strength is what the judging end's priority demands; the zero value is that of NORMAL.
	Strength Strength
	// Memory may be shared by many judgements; nil: none.
	Memory *Memory
}

// PeerSubject is the subject of the findings about a peer.
func (s QEMUSession) PeerSubject() string { return Session{Local: s.Local, Peer: s.Peer}.PeerSubject() }

// Check gives the findings in QEMU's order; the first is the one that it names. It looks at no usages here, and at no
// basicConstraints but those of GnuTLS.
func (s QEMUSession) Check() []finding.Finding {
	peer := Session{Local: s.Local}.peerRole()
	who := "the " + s.PeerSubject()
	refuse := func(id, message, text string) finding.Finding {
		f := rule(id).Finding(s.PeerSubject(), sentence(message))
		f.Severity, f.Effect, f.LibvirtMessage = finding.Error, finding.RefusesPeer, text
		return f
	}
	switch {
	case len(s.Peer) == 0:
		return []finding.Finding{refuse("qemu-peer-without-certificate", fmt.Sprintf("the %v sent no certificate", peer), "Verify failed: No certificate was found.")}
	case len(s.Peer) > maxDepth:
		return []finding.Finding{refuse("qemu-peer-not-trusted", fmt.Sprintf("the %v sent %d certificates, GnuTLS takes at most %d", peer, len(s.Peer), maxDepth),
			"Verify failed: Some constraint limits were reached.")}
	}
	var out []finding.Finding
	v := verifyPeer(s.Peer, s.CAs, s.Lists, s.At, s.Memory, s.Strength)
	v.staple(s.Peer[0], "QEMU")
	if p, ok := v.Main(); ok {
		about := who
		if p.Cert != s.Peer[0] {
			about += ": " + nameOf(p.Cert) + " above it"
		}
		id, text := "qemu-peer-not-trusted", "The certificate is not trusted"
		for _, r := range []struct {
			bit      Status
			id, text string
		}{
			{SignerNotFound, "qemu-peer-unknown-issuer", "The certificate hasn't got a known issuer"},
			{Revoked, "qemu-peer-revoked", "The certificate has been revoked"},
			{InsecureAlgorithm, "qemu-peer-insecure-algorithm", "The certificate uses an insecure algorithm"},
		} {
			if v.Status&r.bit != 0 {
				id, text = r.id, r.text
			}
		}
		out = append(out, refuse(id, fmt.Sprintf("GnuTLS does not accept %s: %s", about, p.Text), text))
	}
	for i, c := range s.Peer {
		what := who
		if i > 0 {
			what = fmt.Sprintf("certificate %d (%s), which the %v sent beside its own,", i+1, nameOf(c), peer)
		}
		// GnuTLS looks at the leaf's dates, too.
		switch {
		case i == 0:
		case s.At.After(c.NotAfter):
			out = append(out, refuse("qemu-peer-out-of-date", fmt.Sprintf("%s expired at %s", what, c.NotAfter.UTC().Format(time.RFC3339)), "The certificate has expired"))
		case s.At.Before(c.NotBefore):
			out = append(out, refuse("qemu-peer-out-of-date", fmt.Sprintf("%s is not valid before %s", what, c.NotBefore.UTC().Format(time.RFC3339)),
				"The certificate is not yet activated"))
		}
		if i > 0 {
			continue
		}
		if _, err := c.Subject.TextFor(dn.GnuTLS384); err != nil {
			text := fmt.Sprintf("Cannot get client distinguished name: %v", err)
			if errors.Is(err, dn.ErrAborts) {
				text = "_gnutls_x509_parse_dn: Assertion `dn.data != NULL' failed."
			}
			out = append(out, refuse("qemu-peer-name-unreadable", fmt.Sprintf("%s has a subject that cannot be turned into text: %v", what, err), text))
		}
		if s.Local == certs.Client {
			if m := Host(c, s.Host); !m.Match {
				f := refuse("qemu-host-mismatch", fmt.Sprintf("the server's certificate is not for the name %q: %s", s.Host, m.Reason),
					fmt.Sprintf("Certificate does not match the hostname %s", s.Host))
				f.Evidence = map[string]string{"host": s.Host}
				out = append(out, f)
			}
		}
	}
	return append(out, unchecked(v, s.PeerSubject())...)
}

// QEMUCredentials are what QEMU has of a directory.
type QEMUCredentials struct {
	// Findings are Check's; with one of severity error there is no object, and nothing else counts.
	Findings []finding.Finding
	// Identities are those with a certificate and a key, in order of preference; a client may have none. Their Key is nil
	// where it is not at hand or of a kind that is unknown here.
	Identities []Loaded
	CAs        []*certs.Certificate
	CRLs       []*crl.List
}

// Read is Check, and gives what QEMU loads.
func (f QEMUFiles) Read() QEMUCredentials {
	c := QEMUCredentials{Findings: f.Check()}
	text := func(file File) []byte {
		if file.Err != nil {
			return nil
		}
		return file.Data
	}
	memory := f.Memory
	if memory == nil {
		memory = new(Memory)
	}
	c.CAs, _ = memory.list(text(f.CA), 0)
	if f.Role == certs.Server {
		c.CRLs, _ = crl.ParsePEM(text(f.CRL))
	}
	for i, p := range f.Identities {
		if i > 0 && (!f.QEMU.chains() || !there(p.Cert) && !there(p.Key)) {
			break
		}
		if !there(p.Cert) || !there(p.Key) {
			continue
		}
		chain, err := memory.list(text(p.Cert), 0)
		if err != nil {
			continue
		}
		l := Loaded{Chain: kept(chain), CAs: c.CAs, CRLs: c.CRLs, role: f.Role, at: f.At}
		l.Own = Own{Role: f.Role, CertPath: p.Cert.Path, CAPath: f.CA.Path, Cert: chain[0], CAs: c.CAs, At: f.At}
		l.PEM.CA, l.PEM.Cert, l.PEM.Key = f.CA.Data, p.Cert.Data, p.Key.Data
		if p.Key.Withheld == nil && p.Key.Err == nil {
			l.Key, _ = certs.ImportKey(p.Key.Data)
		}
		c.Identities = append(c.Identities, l)
	}
	return c
}
