package priority

import (
	"errors"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Judge says what an administrator should know about a priority string: whether GnuTLS refuses it, what of it is weak,
// and whether it refuses certificates of the given kinds. Subject is where the string stands (file:line, a URI).
func Judge(subject, priority string, o Options, certificates ...CertificateKind) []finding.Finding {
	x, err := Expand(priority, o)
	var e *Error
	if errors.As(err, &e) {
		return []finding.Finding{e.finding(subject)}
	}
	return x.Judge(subject, certificates...)
}

// finding gives the finding for a string that is refused.
func (e *Error) finding(subject string) finding.Finding {
	rule := ruleInvalid
	message := fmt.Sprintf("GnuTLS refuses the priority string %q: %s", e.priority, e.Reason)
	switch {
	case e.Code == NoPrioritiesWereSet:
		rule = ruleInsufficient
		message = fmt.Sprintf("the priority string %q leaves nothing to negotiate: %s", e.priority, e.Reason)
	case strings.HasPrefix(e.Element, "@"):
		rule = ruleSystem
	case e.postQuantum():
		rule = rulePostQuantum
	}
	f := rule.Finding(subject, message)
	f.LibvirtMessage = e.LibvirtMessage()
	if hints := e.Hints(); rule.ID == ruleInvalid.ID && len(hints) > 0 {
		f.Remedy = hints[0]
	}
	return f
}

// postQuantum says whether the element at fault is a post-quantum name.
func (e *Error) postQuantum() bool {
	name := strings.ToUpper(strings.TrimLeft(e.Element, "+-!"))
	return strings.HasPrefix(name, "SIGN-ML-DSA-") ||
		strings.HasPrefix(name, "GROUP-") && (strings.Contains(name, "MLKEM") || strings.Contains(name, "KYBER"))
}

// Judge is the function of this name for a string that is expanded already.
func (x *Expansion) Judge(subject string, certificates ...CertificateKind) []finding.Finding {
	var out []finding.Finding
	add := func(r finding.Rule, format string, args ...any) *finding.Finding {
		out = append(out, r.Finding(subject, fmt.Sprintf(format, args...)))
		return &out[len(out)-1]
	}
	if _, err := x.ClientHello(); err != nil {
		var e *Error
		errors.As(err, &e)
		f := e.finding(subject)
		if x.SetError == nil {
			f.LibvirtMessage = "" // accepted by GnuTLS; it is the handshake that fails
		}
		return append(out, f)
	}
	if v := among(x.Protocols, "TLS1.0", "TLS1.1"); v != "" {
		add(ruleOldTLS, "the string allows %s, the oldest version should be TLS 1.2", v)
	}
	if v := among(signatureTable.names(&x.signatures), "RSA-SHA1", "ECDSA-SHA1", "DSA-SHA1"); v != "" {
		add(ruleSHA1, "the string accepts %s signatures in the handshake", v)
	}
	var rsa, cbc, weak bool
	broken := map[uint8]bool{}
	top := highest(&x.protocols, isTLS)
	old := lowestTLS(&x.protocols) < vTLS13
	for _, p := range x.suites {
		c := &suites[p]
		if c.min > top || !certificateKX.has(c.kx) || c.kx == kxNone || !old {
			continue
		}
		rsa = rsa || c.kx == kxRSA
		switch c.cipher {
		case cNULL, cARCFOUR128, c3DESCBC:
			weak = true
			broken[c.cipher] = true
		}
		cbc = cbc || isBlock[c.cipher]
	}
	if weak {
		var list []string
		for _, c := range []uint8{cNULL, cARCFOUR128, c3DESCBC} {
			if broken[c] {
				list = append(list, cipherTable.name(c))
			}
		}
		add(ruleWeakCipher, "the cipher %s is enabled", strings.Join(list, " and "))
	}
	if rsa {
		add(ruleRSA, "RSA key exchange is enabled, which has no forward secrecy")
	}
	if cbc {
		add(ruleCBC, "CBC cipher suites are enabled")
	}
	for _, c := range certificates {
		if why := x.Profile.Refuses(c); why != "" {
			f := add(ruleRefusesKey, "%s is refused by this priority string: %s", c, why)
			f.Evidence = map[string]string{"profile": x.Profile.String(), "certificate": c.String()}
		}
	}
	if x.Level < LevelMedium {
		add(ruleWeakProfile, "certificates with RSA keys of %d bits are accepted (profile %s)", max(x.Profile.Level().MinRSA(), 0), x.Profile)
	}
	if v := x.weakened(); len(v) > 0 {
		add(ruleVerify, "verification of certificates is weakened by %s", strings.Join(v, " and "))
	}
	for _, i := range x.Ignored {
		add(ruleIgnored, "GnuTLS ignores %s", i)
	}
	return out
}

// weakened lists the options that make the verification of certificates less strict.
func (x *Expansion) weakened() []string {
	var out []string
	for _, o := range []struct {
		on   bool
		name string
	}{
		{x.VerifyFlags&VerifyDisableCRLChecks != 0, "%VERIFY_DISABLE_CRL_CHECKS"},
		{x.VerifyFlags&VerifyAllowSignRSAMD2 != 0, "%VERIFY_ALLOW_BROKEN"},
		{x.VerifyFlags&VerifyAllowSignRSAMD5 != 0 && x.VerifyFlags&VerifyAllowSignRSAMD2 == 0, "%VERIFY_ALLOW_SIGN_RSA_MD5"},
		{x.VerifyFlags&VerifyAllowSignWithSHA1 != 0, "%VERIFY_ALLOW_SIGN_WITH_SHA1"},
		{x.Flags.Compat, "%COMPAT"},
		{x.Flags.AllowKeyUsageViolation, "%DEBUG_ALLOW_KEY_USAGE_VIOLATIONS"},
	} {
		if o.on {
			out = append(out, o.name)
		}
	}
	return out
}

// among gives those of a list that are named, joined.
func among(list []string, wanted ...string) string {
	var out []string
	for _, w := range wanted {
		for _, v := range list {
			if v == w {
				out = append(out, v)
			}
		}
	}
	return strings.Join(out, " and ")
}
