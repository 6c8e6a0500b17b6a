package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
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
	started    bool  // it takes it, and refuses to begin the handshake: only DTLS is left
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
		s.started = err != nil
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
	message, outcome := s.err.Error(), finding.ClientLocal
	f := ruleByID("tls-priority-refused").Finding(a.URI, fmt.Sprintf("GnuTLS refuses the client's tls_priority %q: %v", text, s.err))
	var e *priority.Error
	if errors.As(s.err, &e) {
		message = e.LibvirtMessage()
		if s.started {
			message, outcome = "authentication failed: TLS handshake failed "+e.Text(), finding.HandshakeFails
		}
		if h := e.Hints(); len(h) > 0 {
			f.Remedy = h[0]
		}
	}
	f.LibvirtMessage = message
	a.conclude(outcome, f)
	return s, false
}

// shake does the handshake with the engine that is wanted. handshake.EngineAuto means:
//
//   - GnuTLS for a tls_priority that URI or libvirt.conf name and that crypto/tls does not follow to the letter, and for a
//     client's key of a kind that only GnuTLS knows;
//   - crypto/tls for the others, libvirt's own NORMAL above all, and where GnuTLS cannot be asked but crypto/tls suffices;
//   - where crypto/tls comes to no session with a peer that speaks TLS, GnuTLS has the last word, over a connection of its
//     own.
//
// What remains is an error: it was not checked.
func (a *attempt) shake(ctx context.Context, conn net.Conn, cfg handshake.Config, s session) (net.Conn, *handshake.Transcript, error) {
	cfg.Strength = s.strength
	auto, exact := a.o.Engine == handshake.EngineAuto, s.unmapped == nil && s.config.Exact
	_, said := a.Target.Priority()
	there := a.o.GnuTLS != nil && a.o.GnuTLS.Path != ""
	foreign := keyForGnuTLS(cfg)
	if a.o.Engine == handshake.EngineGnuTLS || auto && (!s.sufficient || there && (foreign || said && s.text != BuiltInPriority && !exact)) {
		secure, t, err := a.shakeWithGnuTLS(ctx, conn, cfg, s)
		var trouble *gnutls.Trouble
		if !errors.As(err, &trouble) {
			return secure, t, err
		}
		f := handshake.NotChecked(a.URI, fmt.Sprintf("What libvirt does with tls_priority %q was not checked with GnuTLS", s.text), trouble)
		if !auto || !s.sufficient {
			a.Findings = append([]finding.Finding{f}, a.Findings...)
			return nil, t, err
		}
		f.Severity = finding.Warning
		a.Findings = append(a.Findings, f)
		var ok bool
		if conn, ok = a.tcp(ctx); !ok {
			return nil, nil, nil // concluded
		}
		there = false
	}
	a.follow(&cfg, s)
	secure, t, err := a.shakeOnce(ctx, conn, cfg)
	if err == nil && auto && foreign && t.Outcome != finding.Connected && t.Requested && !t.Sent {
		trouble := &gnutls.Trouble{Kind: gnutls.ErrMissing}
		if a.o.GnuTLS != nil {
			trouble.Detail = a.o.GnuTLS.Missing
		}
		f := handshake.NotChecked(a.URI, "Whether the daemon takes the client's certificate was not checked: Go's TLS cannot use its key", trouble)
		a.Findings = append([]finding.Finding{f}, a.Findings...)
		return nil, t, trouble
	}
	if err != nil || t.Outcome == finding.Connected || !t.Undecided || !auto || exact {
		return secure, t, err
	}
	var why error
	if there {
		before := len(a.Stages)
		a.stages(t)
		again, err := a.again(ctx)
		if err == nil {
			var trouble *gnutls.Trouble
			secure, better, err := a.shakeWithGnuTLS(ctx, again, cfg, s)
			if !errors.As(err, &trouble) {
				return secure, better, err
			}
			why = trouble
		} else {
			why = fmt.Errorf("there was no second connection: %w", err)
		}
		a.Stages = a.Stages[:before] // those of the first are told with its verdict, which stands
	} else {
		trouble := &gnutls.Trouble{Kind: gnutls.ErrMissing}
		if a.o.GnuTLS != nil {
			trouble.Detail = a.o.GnuTLS.Missing
		}
		why = trouble
	}
	f := handshake.NotChecked(a.URI, "Go's TLS and the daemon come to no session; whether GnuTLS, which offers more, would, was not checked", why)
	f.Severity = finding.Warning
	a.Findings = append(a.Findings, f)
	return secure, t, nil
}

// keyForGnuTLS reports whether the client has a certificate with a key that GnuTLS can use and Go cannot: Ed448, RSA-PSS, P-192.
func keyForGnuTLS(cfg handshake.Config) bool {
	foreign := func(i handshake.Identity) bool { return len(i.Chain) > 0 && i.Key == nil }
	return foreign(handshake.Identity{Chain: cfg.Chain, Key: cfg.Key}) || slices.ContainsFunc(cfg.More, foreign)
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
