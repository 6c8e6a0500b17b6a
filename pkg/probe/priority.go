package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// BuiltInPriority is that of libvirt as upstream and Debian build it, FedoraPriority that of Fedora, RHEL and their kin,
// where neither URI nor libvirt.conf has one (meson option tls_priority).
const (
	BuiltInPriority = "NORMAL"
	FedoraPriority  = "@LIBVIRT,SYSTEM"
)

// A session is what a tls_priority comes to for a handshake.
type session struct {
	text       string
	options    priority.Options
	config     priority.TLSConfig // for crypto/tls
	strength   verify.Strength
	sufficient bool  // crypto/tls may stand in for GnuTLS
	err        error // GnuTLS refuses the string
	unmapped   error // crypto/tls can do nothing of it
}

// session reads a priority string (gnutls_priority_set_direct in virNetTLSSessionNew).
func (a *attempt) session(text string) session {
	s := session{text: text, options: priority.Options{GnuTLS: handshake.GnuTLSOf(a.o.Libvirt)}}
	paths := []string{priority.SystemFile, priority.FedoraSystemFile}
	if p, ok := a.o.lookupEnv("GNUTLS_SYSTEM_PRIORITY_FILE"); ok {
		paths = []string{p}
	}
	for _, path := range paths {
		b, err := a.o.ReadFile(path)
		if err == nil {
			s.options.System = priority.ParseSystem(b)
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break // GnuTLS goes on without it, too
		}
	}
	x, err := priority.Expand(text, s.options)
	if err == nil && x.SetError != nil {
		err = x.SetError
	}
	if err == nil {
		_, err = x.ClientHello()
	}
	if err != nil {
		s.err = err
		return s
	}
	s.config, s.unmapped = x.TLSConfig()
	s.strength = handshake.StrengthOf(x)
	s.sufficient = s.unmapped == nil && s.config.Suffices(x, s.options)
	return s
}

// priority gives what applies: the tls_priority of the URI or of libvirt.conf, else that of the build. libvirt is connected
// when it notices that its string is none (virNetClientSetTLSSession).
func (a *attempt) priority() (session, bool) {
	text, said := a.Target.Priority()
	if !said {
		if text = a.o.BuildPriority; text == "" {
			text = BuiltInPriority
		}
	}
	s := a.o.Cache.priority(text, a)
	if s.err == nil {
		return s, true
	}
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
	return s, false
}

// shake does the handshake with the engine that is wanted. With handshake.EngineAuto it is crypto/tls where that suffices;
// where it comes to no session with a peer that speaks TLS, GnuTLS has the last word, over a connection of its own.
func (a *attempt) shake(ctx context.Context, conn net.Conn, cfg handshake.Config, s session) (net.Conn, *handshake.Transcript, error) {
	cfg.Strength = s.strength
	if a.o.Engine == handshake.EngineGnuTLS || a.o.Engine == handshake.EngineAuto && !s.sufficient {
		return a.shakeWithGnuTLS(ctx, conn, cfg, s)
	}
	a.follow(&cfg, s)
	secure, t, err := a.shakeOnce(ctx, conn, cfg)
	if err != nil || t.Outcome == finding.Connected || !t.Undecided || a.o.Engine == handshake.EngineGo || s.config.Exact && s.unmapped == nil {
		return secure, t, err
	}
	if a.o.GnuTLS == nil || a.o.GnuTLS.Path == "" {
		trouble := &gnutls.Trouble{Kind: gnutls.ErrMissing}
		if a.o.GnuTLS != nil {
			trouble.Detail = a.o.GnuTLS.Missing
		}
		f := handshake.NotChecked(a.URI, "Go's TLS and the daemon come to no session; whether GnuTLS, which offers more, would, was not checked", trouble)
		f.Severity = finding.Warning
		a.Findings = append(a.Findings, f)
		return secure, t, nil
	}
	a.stages(t)
	again, ok := a.tcp(ctx)
	if !ok {
		return nil, nil, nil // concluded
	}
	return a.shakeWithGnuTLS(ctx, again, cfg, s)
}

func (a *attempt) shakeOnce(ctx context.Context, conn net.Conn, cfg handshake.Config) (net.Conn, *handshake.Transcript, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(a.o.Limits.TLS))
	defer cancel()
	return handshake.Client(ctx, conn, cfg)
}

// shakeWithGnuTLS lets the library of this machine do it.
func (a *attempt) shakeWithGnuTLS(ctx context.Context, conn net.Conn, cfg handshake.Config, s session) (net.Conn, *handshake.Transcript, error) {
	program := a.o.GnuTLS
	if program == nil {
		program = &gnutls.Program{}
	}
	cfg.GnuTLS, cfg.Priority = program, s.text
	secure, t, err := a.shakeOnce(ctx, conn, cfg)
	var trouble *gnutls.Trouble
	if errors.As(err, &trouble) {
		a.Findings = append([]finding.Finding{handshake.NotChecked(a.URI,
			fmt.Sprintf("What libvirt does with tls_priority %q was not checked", s.text), trouble)}, a.Findings...)
		return nil, t, err
	}
	if t != nil && t.GnuTLS != "" {
		if f, other := handshake.OtherGnuTLS(a.URI, t.GnuTLS, s.text, s.options); other {
			a.Findings = append(a.Findings, f)
		}
	}
	return secure, t, err
}

// follow applies a priority to crypto/tls, and says what it cannot do.
func (a *attempt) follow(cfg *handshake.Config, s session) {
	if s.unmapped != nil {
		a.Findings = append(a.Findings, ruleByID("tls-priority-not-applied").Finding(a.URI,
			fmt.Sprintf("tls_priority %q was not applied, the handshake was done as with NORMAL: %v", s.text, s.unmapped)))
		return
	}
	cfg.MinVersion, cfg.MaxVersion = s.config.MinVersion, s.config.MaxVersion
	cfg.CipherSuites, cfg.Curves = s.config.CipherSuites, s.config.CurvePreferences
	if _, said := a.Target.Priority(); !said || s.text == BuiltInPriority || s.config.Exact {
		return
	}
	lost, more := s.config.Lost, ""
	if len(lost) > maxLost {
		lost, more = lost[:maxLost], fmt.Sprintf(" and %d more", len(lost)-maxLost)
	}
	var parts []string
	for _, l := range lost {
		parts = append(parts, l.String())
	}
	a.Findings = append(a.Findings, ruleByID("tls-priority-not-applied").Finding(a.URI,
		fmt.Sprintf("tls_priority %q was applied as far as Go's TLS has it; otherwise were: %s%s", s.text, strings.Join(parts, "; "), more)))
}

// maxLost is how many differences are told.
const maxLost = 3
