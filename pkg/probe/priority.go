package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// builtInPriority is that of Debian's libvirt, where neither URI nor libvirt.conf has one (TLS_PRIORITY).
const builtInPriority = "NORMAL"

// A session is what a tls_priority comes to for a handshake of crypto/tls.
type session struct {
	config   priority.TLSConfig
	strength verify.Strength
	err      error // GnuTLS refuses the string
	unmapped error // crypto/tls can do nothing of it
}

// gnutls is the GnuTLS that goes with a libvirt, as Debian has them.
func gnutls(v verify.Version) priority.Release {
	if v.AtLeast(11, 0) {
		return priority.Release3813
	}
	return priority.Release379
}

// session reads a priority string (gnutls_priority_set_direct in virNetTLSSessionNew).
func (a *attempt) session(text string) session {
	o := priority.Options{GnuTLS: gnutls(a.o.Libvirt)}
	if strings.HasPrefix(text, "@") || text == builtInPriority {
		path := priority.SystemFile
		if p, ok := a.o.lookupEnv("GNUTLS_SYSTEM_PRIORITY_FILE"); ok {
			path = p
		}
		if b, err := a.o.ReadFile(path); err == nil {
			o.System = priority.ParseSystem(b)
		} else if !errors.Is(err, fs.ErrNotExist) {
			o.System = nil
		}
	}
	x, err := priority.Expand(text, o)
	if err == nil && x.SetError != nil {
		err = x.SetError
	}
	if err == nil {
		_, err = x.ClientHello()
	}
	if err != nil {
		return session{err: err}
	}
	c, err := x.TLSConfig()
	return session{config: c, strength: handshake.StrengthOf(x), unmapped: err}
}

// follow applies the tls_priority of the URI or of libvirt.conf, else that of NORMAL. libvirt is connected when it notices
// that its string is none (virNetClientSetTLSSession).
func (a *attempt) follow(cfg *handshake.Config) bool {
	text, said := a.Target.Priority()
	if !said {
		text = builtInPriority
	}
	s := a.o.Cache.priority(text, a)
	if s.err != nil {
		message := s.err.Error()
		f := ruleByID("tls-priority-refused").Finding(a.URI, fmt.Sprintf("GnuTLS refuses the client's tls_priority %q: %v", text, s.err))
		var e *priority.Error
		if errors.As(s.err, &e) {
			message = e.LibvirtMessage()
			if h := e.Hints(); len(h) > 0 {
				f.Remedy = h[0]
			}
		}
		f.LibvirtMessage = message
		a.conclude(finding.ClientLocal, f)
		return false
	}
	cfg.Strength = s.strength
	if s.unmapped != nil {
		a.Findings = append(a.Findings, ruleByID("tls-priority-not-applied").Finding(a.URI,
			fmt.Sprintf("tls_priority %q was not applied, the handshake was done as with NORMAL: %v", text, s.unmapped)))
		return true
	}
	cfg.MinVersion, cfg.MaxVersion = s.config.MinVersion, s.config.MaxVersion
	cfg.CipherSuites, cfg.Curves = s.config.CipherSuites, s.config.CurvePreferences
	if said && text != builtInPriority && !s.config.Exact {
		lost := s.config.Lost
		more := ""
		if len(lost) > maxLost {
			lost, more = lost[:maxLost], fmt.Sprintf(" and %d more", len(lost)-maxLost)
		}
		var parts []string
		for _, l := range lost {
			parts = append(parts, l.String())
		}
		a.Findings = append(a.Findings, ruleByID("tls-priority-not-applied").Finding(a.URI,
			fmt.Sprintf("tls_priority %q was applied as far as Go's TLS has it; otherwise were: %s%s", text, strings.Join(parts, "; "), more)))
	}
	return true
}

// maxLost is how many differences are told.
const maxLost = 3
