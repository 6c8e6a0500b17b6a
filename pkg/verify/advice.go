package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Advice gives what libvirt does not look at in these files and an administrator believes it does, and what will make
// others refuse them. None of it keeps this end from starting.
func (l Loaded) Advice() []finding.Finding {
	out := revocationAdvice(l.CRLs, l.CAs, l.at, l.crlPath)
	if len(l.Chain) == 0 {
		return out
	}
	leaf := l.Chain[0]
	for _, list := range crl.Effective(l.CRLs) {
		if bytes.Equal(list.Issuer.DER(), leaf.Issuer.DER()) {
			if e, found, err := list.Lookup(leaf.Serial); err == nil && found {
				out = append(out, rule("own-certificate-revoked").Finding(l.certPath, fmt.Sprintf(
					"The own certificate is on the own revocation list since %s.", e.Revoked.Format(time.RFC3339))))
			}
		}
	}
	out = append(out, chainAdvice(l.Chain, l.CAs, l.certPath, l.at)...)
	out = append(out, nameAdvice(leaf, l.certPath)...)
	if l.role == certs.Server && len(leaf.AltNames) == 0 {
		out = append(out, rule("host-by-common-name").Finding(l.certPath,
			"The server's certificate has no alternative names; only its common name stands for the host."))
	}
	return out
}

// Advice gives what libvirt does not look at in this session: the state of the revocation lists, and what is odd about
// the peer's name.
func (s Session) Advice() []finding.Finding {
	out := revocationAdvice(s.lists(), s.CAs, s.At, "revocation list")
	if len(s.Peer) > 0 {
		out = append(out, nameAdvice(s.Peer[0], s.PeerSubject())...)
	}
	return out
}

// revocationAdvice judges revocation lists as libvirt does not.
func revocationAdvice(lists []*crl.List, cas []*certs.Certificate, at time.Time, subject string) []finding.Finding {
	var out []finding.Finding
	used := map[*crl.List]bool{}
	for _, l := range crl.Effective(lists) {
		used[l] = true
	}
	for i, l := range lists {
		say := func(id, format string, args ...any) {
			name := l.String()
			if len(lists) > 1 {
				name = fmt.Sprintf("%s (list %d in the file)", name, i+1)
			}
			out = append(out, rule(id).Finding(subject, fmt.Sprintf("%s: ", name)+fmt.Sprintf(format, args...)))
		}
		if !used[l] {
			say("crl-superseded", "a newer list of the same CA is in the file, so that this one does not count.")
			continue
		}
		if !l.NextUpdate.IsZero() && l.NextUpdate.Before(at) {
			say("crl-stale", "it should have been replaced by %s; libvirt goes on using it.", l.NextUpdate.Format(time.RFC3339))
		}
		if l.ThisUpdate.After(at) {
			say("crl-not-yet-valid", "it was made at %s, which lies ahead.", l.ThisUpdate.Format(time.RFC3339))
		}
		if l.Delta {
			say("crl-delta", "it is a delta list, which GnuTLS takes for a complete one.")
		}
		known, signed := false, false
		for _, ca := range cas {
			if l.IssuedBy(ca) {
				known = true
				signed = signed || l.CheckSignature(ca) == nil
			}
		}
		switch {
		case !known:
			say("crl-issuer-unknown", "no CA of this name is trusted, so that the list applies to nobody.")
		case !signed:
			say("crl-signature-wrong", "it is not signed with the key of the trusted CA of this name; libvirt uses it all the same.")
		}
	}
	return out
}

// chainAdvice looks at where intermediates stand.
func chainAdvice(chain, cas []*certs.Certificate, path string, at time.Time) []finding.Finding {
	var out []finding.Finding
	for i, c := range chain[1:] {
		j := judge{path: "[session]", subject: path, what: fmt.Sprintf("certificate %d in the file (%s)", i+2, nameOf(c)),
			effect: finding.RefusesPeer, at: at}
		for _, f := range j.times(c, "CA", "sent-certificate-out-of-date", "sent-certificate-out-of-date") {
			f.Message = f.Message[:len(f.Message)-1] + "; every peer will refuse the connection for it."
			out = append(out, f)
		}
	}
	sorted := slices.Clone(chain)
	last := sorted[sortSegment(sorted)-1]
	for _, ca := range cas {
		if isIssuer(last, ca) && !isIssuer(ca, ca) {
			out = append(out, rule("intermediate-not-sent").Finding(path, fmt.Sprintf(
				"The intermediate %s is in the CA file but not in this file, so that peers do not get it.", nameOf(ca))))
			break
		}
	}
	return out
}

// nameAdvice warns of subjects that peers refuse or abort on.
func nameAdvice(leaf *certs.Certificate, subject string) []finding.Finding {
	text, err := leaf.Subject.Text()
	switch {
	case err != nil:
		id := "name-unreadable"
		switch {
		case errors.Is(err, dn.ErrEmpty):
			id = "no-subject"
		case errors.Is(err, dn.ErrAborts):
			id = "empty-rdn"
		}
		f := rule(id).Finding(subject, sentence(fmt.Sprintf("the certificate's subject has no text, and every peer refuses it: %v", err)))
		return []finding.Finding{f}
	case !utf8.ValidString(text):
		return []finding.Finding{rule("name-not-utf8").Finding(subject, fmt.Sprintf("The certificate's subject %q is not valid UTF-8.", text))}
	}
	return nil
}
