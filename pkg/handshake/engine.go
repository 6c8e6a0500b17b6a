package handshake

import (
	"errors"
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// An Engine says who makes the TLS.
type Engine int

// The engines.
const (
	// EngineAuto is crypto/tls where it does what the priority says, else GnuTLS.
	EngineAuto Engine = iota
	// EngineGo is crypto/tls, as far as it can follow the priority.
	EngineGo
	// EngineGnuTLS is the library of this machine.
	EngineGnuTLS
)

// engines are the names of the engines.
var engines = []string{"auto", "go", "gnutls"}

// ParseEngine reads a name: auto, go or gnutls.
func ParseEngine(s string) (Engine, error) {
	for i, name := range engines {
		if s == name {
			return Engine(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no TLS engine: auto, go or gnutls", s)
}

// String gives the name.
func (e Engine) String() string { return engines[e] }

// NotChecked is the finding that something could not be checked with GnuTLS, and why: a *[gnutls.Trouble], or what kept the
// peer from being asked.
func NotChecked(subject, what string, why error) finding.Finding {
	f := handshakeRule("tls-not-checked").Finding(subject, what+": "+why.Error()+".")
	f.Remedy = "try again"
	var trouble *gnutls.Trouble
	if errors.As(why, &trouble) {
		f.Remedy = trouble.Hints()[0]
	}
	return f
}

// OtherGnuTLS gives the finding that the library of this machine, which did the handshake, is of another series than the
// one that the verdict is for. ok is false when it is of the same.
func OtherGnuTLS(subject, library, text string, o priority.Options) (f finding.Finding, ok bool) {
	want := o.GnuTLS.String()
	r, err := priority.ParseRelease(library)
	if err == nil && r.SameSeries(o.GnuTLS) {
		return f, false
	}
	message := fmt.Sprintf("The handshake was made by GnuTLS %s, the verdict is for GnuTLS %s", library, want)
	f = handshakeRule("tls-other-gnutls").Finding(subject, message+": there this tls_priority may come to something else.")
	if err == nil && sameHello(text, o, r) {
		f = handshakeRule("tls-other-gnutls").Finding(subject, message+"; both offer the same with this tls_priority.")
		f.Severity = finding.Note
	}
	return f, true
}

// sameHello says whether a string makes the same offer with another release.
func sameHello(text string, o priority.Options, r priority.Release) bool {
	offer := func(o priority.Options) string {
		x, err := priority.Expand(text, o)
		if err != nil {
			return err.Error()
		}
		h, err := x.ClientHello()
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(h.CipherSuites, h.SupportedVersions, h.SupportedGroups, h.SignatureAlgorithms, h.KeyShares, x.Profile, x.VerifyFlags)
	}
	other := o
	other.GnuTLS = r
	return offer(o) == offer(other)
}

// GnuTLSOf is the GnuTLS that goes with a libvirt, as Debian has them.
func GnuTLSOf(v verify.Version) priority.Release {
	switch {
	case v.AtLeast(12, 0):
		return priority.Release3813
	case v.AtLeast(11, 0):
		return priority.Release389
	}
	return priority.Release379
}
