package priority

import (
	"fmt"
	"strings"
)

// Describe says in a few sentences what the priority comes to: versions, the suites and groups tried first, what
// certificates it accepts.
func (x *Expansion) Describe() []string {
	h, err := x.ClientHello()
	if err != nil {
		return []string{"No session comes about: " + err.Error() + "."}
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("TLS versions: %s.", strings.ReplaceAll(versionWords(&x.protocols), " ", ", "))
	if len(h.CipherSuites) == 0 {
		say("A client offers no cipher suite at all: every handshake fails.")
	} else {
		first := "the fallback mark"
		if c := suiteByID(h.CipherSuites[0]); c != nil {
			first = c.name
		}
		say("A client offers %d cipher suites, first %s.", len(h.CipherSuites), first)
	}
	if x.groups.n > 0 {
		say("Groups: %s.", strings.ReplaceAll(groupWords(&x.groups), " ", ", "))
	}
	if len(h.KeyShares) > 0 {
		var shares []string
		for _, g := range x.keyShares() {
			shares = append(shares, groupTable.name(g))
		}
		say("With TLS 1.3 a client sends key shares for %s.", strings.Join(shares, " and "))
	}
	if n := x.signatures.n; n > 0 {
		say("%d signature algorithms, first %s.", n, signatureTable.name(x.signatures.ids[0]))
	}
	if x.Flags.ServerPrecedence {
		say("On a server, the server's order of cipher suites decides.")
	} else {
		say("On a server, the client's order of cipher suites decides.")
	}
	if x.Profile == ProfileNone {
		say("No verification profile: no certificate is too weak for its key.")
	} else {
		l := x.Profile.Level()
		switch {
		case x.Profile == ProfileSuiteB128:
			say("Certificates must be ECDSA P-256 or P-384 (profile %s).", x.Profile)
		case x.Profile == ProfileSuiteB192:
			say("Certificates must be ECDSA P-384 (profile %s).", x.Profile)
		case l.MinECC() == 0:
			say("Certificates must have RSA keys of at least %d bits (profile %s).", l.MinRSA(), x.Profile)
		default:
			say("Certificates must have RSA keys of at least %d bits or curves of at least %d (profile %s).", l.MinRSA(), l.MinECC(), x.Profile)
		}
	}
	if w := x.weakened(); len(w) > 0 {
		say("Weakened verification: %s.", strings.Join(w, ", "))
	}
	return out
}

// The defaults of libvirt's builds (meson option tls_priority).
const (
	DefaultUpstream = "NORMAL"          // also Debian and Ubuntu
	DefaultFedora   = "@LIBVIRT,SYSTEM" // Fedora, RHEL and their kin
)
