package chain

import (
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// rules are why Validate refuses, and one for what only libvirt refuses.
var rules = []finding.Rule{
	{ID: "rfc5280-no-path", Title: "No path leads to a trusted CA", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Neither the CA file nor what stands behind the certificate in its file has the next issuer. Names are compared as RFC 5280 " +
			"wants it, where GnuTLS compares octets: upper and lower case, the kind of string and the number of blanks do not count.",
		Remedy: "append the missing intermediate to the certificate file and to the CA file",
		Good:   "leaf, intermediate, and the root in the CA file", Bad: "the leaf alone, and the root in the CA file", Source: "RFC 5280, 6.1.3 (a)(4) and 7.1",
		DependsOn: []string{"unknown-issuer"}},
	{ID: "rfc5280-signature", Title: "A signature in the path is wrong", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "Whoever is named as issuer did not sign the certificate, or with an algorithm that cannot be checked here (Ed448).",
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "a signature with the issuer's key", Bad: "a certificate that was changed afterwards", Source: "RFC 5280, 6.1.3 (a)(1)",
		DependsOn: []string{"signature-wrong", "cannot-check-signature"}},
	{ID: "rfc5280-validity", Title: "A certificate of the path is out of date", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "Every certificate of the path must be valid at the time, the CA's included.",
		Remedy: "virt-pki renew", Good: "all of them valid", Bad: "an expired intermediate", Source: "RFC 5280, 6.1.3 (a)(2)",
		DependsOn: []string{"certificate-expired", "certificate-not-yet-valid", "ca-expired", "ca-not-yet-valid", "sent-certificate-out-of-date"}},
	{ID: "rfc5280-ca", Title: "An issuer of the path is no CA", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Whoever signs certificates must say CA:TRUE, and keyCertSign where keyUsage is there; only a trusted certificate of version " +
			"1 is a CA without saying so.",
		Remedy: "a new CA: virt-pki init", Good: "CA:TRUE, keyCertSign", Bad: "a server's certificate that signed another", Source: "RFC 5280, 6.1.4 (k) and (n)",
		DependsOn: []string{"ca-is-no-ca", "issuer-is-no-ca", "ca-without-certsign"}},
	{ID: "rfc5280-path-length", Title: "More CAs below one another than a CA allows", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "pathlen counts the CAs below, without those that issued themselves another certificate; GnuTLS counts those, too, and so " +
			"refuses more.",
		Remedy: "a new CA without that pathlen: virt-pki init", Good: "a leaf below a CA with pathlen 0", Bad: "an intermediate below a CA with pathlen 0",
		Source: "RFC 5280, 6.1.4 (l) and (m)", DependsOn: []string{"path-too-long"}},
	{ID: "rfc5280-name-constraints", Title: "A name is outside the name constraints of a CA", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Every name of the certificate, its subject included, must lie within what all CAs above permit. GnuTLS leaves permitted " +
			"distinguished names and URIs out, looks only at the leaf, and refuses all where some are excluded.",
		Remedy: "virt-pki issue server NAME, with a permitted name",
		Good:   "O=Example below a CA for O=Example", Bad: "O=Other below a CA for O=Example", Source: "RFC 5280, 4.2.1.10 and 6.1.3 (b) and (c)",
		DependsOn: []string{"name-not-permitted"}},
	{ID: "rfc5280-extension", Title: "A critical extension is not known or cannot be read", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "A critical extension that cannot be processed is a refusal, and so is one that is damaged or stands there twice.",
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "no critical extension but those of RFC 5280", Bad: "a critical proxyCertInfo", Source: "RFC 5280, 4.2 and 6.1.4 (o)",
		DependsOn: []string{"unknown-critical-extension", "extension-unreadable"}},
	{ID: "rfc5280-weak", Title: "A key or signature of the path is too weak", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "RFC 5280 itself sets no limit; here, as with GnuTLS, OpenSSL and Go, MD5 and SHA-1 signatures and RSA keys below 1024 bits are " +
			"refused. libvirt's check of the own certificate does not look at key sizes, but every peer does.",
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "RSA with 2048 bits, SHA-256", Bad: "RSA with 768 bits", Source: "RFC 4055, RFC 5480; GnuTLS, OpenSSL at security level 1",
		DependsOn: []string{"insecure-algorithm", "key-too-small"}},
	{ID: "rfc5280-purpose", Title: "extendedKeyUsage does not allow the role", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Whether critical or not, extendedKeyUsage must name the role or anyExtendedKeyUsage, and so must that of a CA above. libvirt only " +
			"warns where the extension is not critical, takes purposes it does not know for all, and does not look at CAs.",
		Remedy: "virt-pki issue server NAME (or client NAME; both for hosts that migrate to one another)",
		Good:   "serverAuth in a server's certificate", Bad: "codeSigning alone in a server's certificate", Source: "RFC 5280, 4.2.1.12",
		DependsOn: []string{"wrong-purpose"}},
	{ID: "rfc5280-policy", Title: "No certificate policy holds along the path", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "A CA demands with policyConstraints that some policy holds from it to the leaf, and none does. GnuTLS does not look at policies.",
		Remedy: "virt-pki issue server NAME (or client NAME), by a CA without policyConstraints",
		Good:   "the same policy in all certificates", Bad: "requireExplicitPolicy 0 above a leaf without policies", Source: "RFC 5280, 6.1.3 (d) to (f)"},
	{ID: "rfc5280-revoked", Title: "A certificate of the path is revoked", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "A valid revocation list names the certificate or an intermediate. libvirt never looks at the own certificate, and of " +
			"lists only at the newest of each issuer.",
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "a serial that is on no list", Bad: "a serial that is on one", Source: "RFC 5280, 6.3.3",
		DependsOn: []string{"certificate-revoked", "own-certificate-revoked"}},
	{ID: "rfc5280-revocation-unknown", Title: "The revocation lists do not tell whether a certificate is revoked", Severity: finding.Warning,
		Effect: finding.Ignores,
		Text: "There are lists, but none that is of now, signed by who may, and speaks of this certificate; each CA of the path but the trusted " +
			"one needs its own. libvirt takes such a certificate for good.",
		Remedy: "virt-pki crl publish",
		Good:   "a valid list of every issuer in the file", Bad: "a list whose nextUpdate is over", Source: "RFC 5280, 6.3.3",
		DependsOn: []string{"crl-stale", "crl-not-yet-valid", "crl-signature-wrong", "crl-issuer-unknown", "crl-delta", "crl-not-importable"}},
	{ID: "rfc5280-accepts", Title: "Only libvirt refuses the certificate, RFC 5280 does not", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "By RFC 5280 there is a valid path to a trusted CA. What libvirt refuses is its own rule: that the issuer must stand in the CA file " +
			"of the certificate's owner, that every CA of the file must be valid whether used or not, keyEncipherment before 11.6, and its like.",
		Remedy: "virt-pki explain RULE, with the rule of the refusal",
		Good:   "leaf and intermediate in servercert.pem, root and intermediate in cacert.pem", Bad: "the intermediate in servercert.pem alone",
		Source: "RFC 5280, 6.1"},
}

// Rules gives the rules of this package. The slice is the caller's.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

// Finding gives the finding of a refusal; subject is the file that the administrator must look at. An accepted verdict has
// none, and ok is false.
func (v Verdict) Finding(subject string) (f finding.Finding, ok bool) {
	if v.Accepted {
		return finding.Finding{}, false
	}
	return finding.Named(rules, v.Rule).Finding(subject, fmt.Sprintf("By RFC 5280 it is to be refused: %s.", v.Text())), true
}

// Text says in half a sentence why a certificate is refused, "" when it is not.
func (v Verdict) Text() string {
	switch {
	case v.Accepted:
		return ""
	case v.Subject == nil:
		return v.Reason
	}
	return nameText(v.Subject.Subject) + ": " + v.Reason
}

// AcceptedFinding says that by RFC 5280 a certificate is good that libvirt, or QEMU, refuses by its rule named refusal.
func AcceptedFinding(subject, refusal string) finding.Finding {
	return finding.Named(rules, "rfc5280-accepts").Finding(subject, fmt.Sprintf(
		"By RFC 5280 the certificate is good; only %s refuses it (%s).", map[bool]string{true: "QEMU", false: "libvirt"}[strings.HasPrefix(refusal, "qemu-")], refusal))
}

// Concerns reports whether a rule of libvirt, of GnuTLS or of QEMU refuses certificates of which RFC 5280 may have another
// opinion. Of others (no key, no file, not PEM, the name that a client uses) it has nothing to say.
func Concerns(refusal string) bool { return concerned[strings.TrimPrefix(refusal, "qemu-")] }

var concerned = map[string]bool{"unknown-issuer": true, "ca-expired": true, "ca-not-yet-valid": true, "ca-is-no-ca": true,
	"ca-without-certsign": true, "leaf-is-ca": true, "no-digital-signature": true, "no-key-encipherment": true, "wrong-purpose": true,
	"path-too-long": true, "name-not-permitted": true, "tls-feature-missing": true, "signature-wrong": true, "no-subject": true,
	"sent-certificate-out-of-date": true, "file-too-large": true, "insecure-algorithm": true, "issuer-is-no-ca": true, "key-too-small": true,
	"certificate-revoked": true, "unknown-critical-extension": true, "extension-unreadable": true, "must-staple": true,
	"too-many-certificates": true}
