package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// priority is what an end of this machine uses when it is told none (virnettlscontext.c, TLS_PRIORITY).
func (m Machine) priority() string {
	if m.BuildPriority == "" {
		return probe.BuiltInPriority
	}
	return m.BuildPriority
}

const (
	msgHandshake  = "authentication failed: TLS handshake failed "
	msgTerminated = msgHandshake + "The TLS connection was non-properly terminated."
	msgCheck      = "Certificate check failed "

	msgNoConfirmation = "Unable to read TLS confirmation: Input/output error"
)

// tls predicts everything from the two priorities to the confirmation byte. The client is connected when it notices that
// its own priority is none (virNetClientSetTLSSession).
func (a *attempt) tls(ctx context.Context, own credentials) (bool, error) {
	s := a.s
	text, said := a.u.Priority()
	if !said {
		text = a.c.priority()
	}
	clientText := text
	client, err := s.expand(text, a.c.GnuTLS)
	if err != nil {
		a.badPriority(finding.ClientLocal, a.URI, "the client's tls_priority", err)
		return false, nil
	}
	if _, err = client.ClientHello(); err != nil {
		// Only DTLS is left: GnuTLS takes the string, and then cannot begin.
		a.badPriority(finding.HandshakeFails, a.URI, "the client's tls_priority", err)
		a.LibvirtMessage = cannotBegin(err)
		a.Findings[0].LibvirtMessage = a.LibvirtMessage
		return false, nil
	}
	text = s.d.priority()
	if s.Conf.TLSPriority != nil {
		text = *s.Conf.TLSPriority
	}
	server, err := s.expand(text, s.d.GnuTLS)
	if err != nil {
		a.badPriority(finding.HandshakeFails, s.line("tls_priority"), "the daemon's tls_priority", err)
		a.DaemonMessage, a.LibvirtMessage = a.LibvirtMessage, msgTerminated
		return false, nil
	}
	if _, err = server.ClientHello(); err != nil {
		a.badPriority(finding.HandshakeFails, s.line("tls_priority"), "the daemon's tls_priority", err)
		a.DaemonMessage, a.LibvirtMessage = cannotBegin(err), msgTerminated
		return false, nil
	}
	if len(s.own.identities) == 0 {
		f := ruleByID("daemon-without-identity").Finding(s.d.ConfFile, "The daemon has no certificate to show.")
		f.LibvirtMessage = msgHandshake + "No supported cipher suites have been found."
		a.conclude(finding.HandshakeFails, f)
		a.DaemonMessage, a.LibvirtMessage = a.LibvirtMessage, msgTerminated
		return false, nil
	}
	h := proof{a: a, own: own, client: client, server: server, clientText: clientText, serverText: text}
	chosen, agreed, err := choose(client, server, s.own.identities)
	if err != nil && a.unfit() {
		return false, nil
	}
	if err != nil {
		return h.disagreement(ctx, err)
	}
	h.agreed = agreed
	h.prepare(chosen)
	kept, fails := a.identity(&h.clientEnd, own, client, server, agreed.Version)
	switch {
	case fails != nil && agreed.Version == "TLS1.3":
		// The client is done before the daemon finds out.
		kept.LibvirtMessage = msgNoConfirmation
		a.conclude(finding.ServerRejectsClient, *kept)
		a.DaemonMessage = msgHandshake + "An illegal parameter has been received."
		return false, nil
	case fails != nil:
		kept.LibvirtMessage = ended(fails)
		a.conclude(finding.HandshakeFails, *kept)
		return false, nil
	}
	if a.tooSmall(s.own.identities[chosen].Chain[0], h.clientEnd.Chain, client, server, agreed) {
		return false, nil
	}
	a.TLS, a.Suite, a.Group, a.Signature = agreed.Version, agreed.Suite.Name, agreed.Group, agreed.Signature
	r, err := h.join(ctx)
	if err != nil {
		return false, fmt.Errorf("a handshake in memory for %s: %w", a.URI, err)
	}
	a.Simulated = r.Client.Simulated
	ok := a.settle(r, own, kept)
	a.rfc5280(r, own)
	return ok, nil
}

// unfit concludes where no certificate of the daemon may be used.
func (a *attempt) unfit() bool {
	ids := a.s.own.identities
	for _, l := range ids {
		kind, _ := handshake.KeyKind(l.Chain[0])
		allowed, ok := handshake.ServerKeyKind(l.Chain[0])
		if !ok || allowed != priority.KeyUnusable || kind == priority.KeyUnusable {
			return false
		}
	}
	f := ruleByID("server-key-usage-unfit").Finding(ids[0].Own.CertPath,
		"The keyUsage of the daemon's certificate permits neither digitalSignature nor a key exchange that the key could do.")
	f.LibvirtMessage = msgHandshake + "No supported cipher suites have been found."
	a.conclude(finding.HandshakeFails, f)
	a.DaemonMessage, a.LibvirtMessage = a.LibvirtMessage, msgTerminated
	return true
}

// tooSmall concludes where one end has an RSA key that is too small for the signature it chooses.
func (a *attempt) tooSmall(leaf *certs.Certificate, chain []*certs.Certificate, client, server *priority.Expansion, agreed priority.Agreement) bool {
	const limits = msgHandshake + "Some constraint limits were reached."
	if agreed.Version != "TLS1.3" {
		return false // GnuTLS takes another algorithm there
	}
	whose, mine, theirs := "", msgTerminated, limits
	signature := agreed.Signature
	if handshake.TooSmallFor(leaf, signature) {
		whose = "the daemon's"
	} else if len(chain) > 0 {
		kind, ok := handshake.KeyKind(chain[0])
		if !ok {
			return false
		}
		signature, _, _ = priority.ClientSignature(client, server, agreed.Version, kind)
		if handshake.TooSmallFor(chain[0], signature) {
			whose, mine, theirs = "the client's", limits, msgTerminated
		}
	}
	if whose == "" {
		return false
	}
	f := ruleByID("key-too-small-to-sign").Finding(a.URI, fmt.Sprintf("The two ends choose the signature %s, for which %s RSA key is too small.", signature, whose))
	f.LibvirtMessage = limits
	a.conclude(finding.HandshakeFails, f)
	a.LibvirtMessage, a.DaemonMessage = mine, theirs
	return true
}

// settle takes the result over.
func (a *attempt) settle(r handshake.Result, own credentials, kept *finding.Finding) bool {
	if r.Outcome == finding.Connected {
		a.also(own.findings, finding.Warning)
		a.also(r.Client.Findings, finding.Warning)
		a.also(r.Server.Findings, finding.Warning)
		return true
	}
	cause, ok := r.Cause()
	if kept != nil && r.Outcome == finding.ServerRejectsClient && cause.Rule == "no-client-identity" {
		kept.LibvirtMessage = cause.LibvirtMessage
		cause = *kept
	}
	if !ok {
		cause = ruleByID("tls-handshake-failed").Finding(a.URI, "The two ends come to no TLS session.")
	}
	a.conclude(r.Outcome, cause)
	a.LibvirtMessage = r.LibvirtMessage()
	switch r.Outcome {
	case finding.ServerRejectsClient:
		// The daemon's log has the reason; the user of the client sees less.
		if why, ok := r.Server.Cause(); ok {
			a.DaemonMessage = msgCheck + why.LibvirtMessage
		}
	case finding.HandshakeFails:
		a.DaemonMessage = r.Server.LibvirtMessage
	}
	if r.Outcome == finding.ServerRejectsClient {
		a.also(reasons(r.Server.Findings, cause), finding.Error)
	} else {
		a.also(reasons(r.Client.Findings, cause), finding.Error)
	}
	a.also(own.findings, finding.Warning)
	return false
}

// reasons leaves out what only says again that the connection failed.
func reasons(fs []finding.Finding, cause finding.Finding) []finding.Finding {
	var out []finding.Finding
	for _, f := range fs {
		switch f.Rule {
		case "server-refused", "tls-handshake-failed":
			continue
		case "no-client-certificate":
			if cause.Rule != f.Rule {
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// cannotBegin is what libvirt says of a handshake that its own end cannot begin.
func cannotBegin(err error) string {
	var e *priority.Error
	if errors.As(err, &e) {
		return msgHandshake + e.Text()
	}
	return msgTerminated
}

// badPriority concludes with a string that GnuTLS refuses.
func (a *attempt) badPriority(o finding.Outcome, subject, whose string, err error) {
	id, text, hint := "priority-invalid", err.Error(), ""
	var e *priority.Error
	if errors.As(err, &e) {
		text = e.LibvirtMessage()
		if e.Code == priority.NoPrioritiesWereSet {
			id = "priority-insufficient"
		}
		if h := e.Hints(); len(h) > 0 {
			hint = h[0]
		}
	}
	f := ruleByID(id).Finding(subject, sentence(fmt.Sprintf("GnuTLS refuses %s: %v", whose, err)))
	f.Severity, f.Effect, f.LibvirtMessage = finding.Error, finding.RefusesPeer, text
	if hint != "" {
		f.Remedy = hint
	}
	a.conclude(o, f)
}

// choose picks the daemon's identity and what both ends agree on. With TLS 1.3 the first identity whose key the client
// takes is shown; before, one with an EC or Edwards key goes before RSA (measured with libvirt 12.8 and GnuTLS 3.8.13).
func choose(client, server *priority.Expansion, ids []verify.Loaded) (int, priority.Agreement, error) {
	var first error
	best, agreed := -1, priority.Agreement{}
	for i, l := range ids {
		kind, ok := handshake.ServerKeyKind(l.Chain[0])
		if !ok {
			kind = priority.KeyRSA
		}
		g, err := priority.Common(client, server, kind)
		switch {
		case err != nil:
			if first == nil {
				first = err
			}
		case best < 0:
			best, agreed = i, g
		case agreed.Version != "TLS1.3":
			had, _ := handshake.ServerKeyKind(ids[best].Chain[0])
			if isRSA(had) && !isRSA(kind) {
				best, agreed = i, g
			}
		}
	}
	if best < 0 {
		return 0, agreed, first
	}
	return best, agreed, nil
}

func isRSA(k priority.KeyKind) bool {
	return k == priority.KeyRSA || k == priority.KeyRSAPSS || k == priority.KeyRSAEncipherment
}

// identity gives the client its certificate: the first in verify.Order of a CA that the daemon names, with a key whose
// signatures the daemon takes. The finding says why none was taken although there are some, and the error that the handshake ends there.
func (a *attempt) identity(end *handshake.Config, own credentials, client, server *priority.Expansion, version string) (*finding.Finding, error) {
	var kept *finding.Finding
	var fails error
	names := make([]dn.Name, 0, len(a.s.own.cas))
	for _, ca := range a.s.own.cas {
		names = append(names, ca.Subject)
	}
	var chains [][]*certs.Certificate
	for _, l := range own.identities {
		chains = append(chains, l.Chain)
	}
	for n, i := range verify.Order(chains, names) {
		l := own.identities[i]
		if _, sent := verify.Sends(l.Chain, names); !sent {
			if n < len(own.identities)-1 {
				continue
			}
		} else if kind, ok := handshake.KeyKind(l.Chain[0]); ok {
			if _, sent, err := priority.ClientSignature(client, server, version, kind); !sent || err != nil {
				f := ruleByID("client-key-not-supported").Finding("client certificate "+l.Own.CertPath,
					fmt.Sprintf("The client cannot use its certificate: with %s the two tls_priority leave no signature algorithm for its key (%s).", version, kind))
				f.Severity, f.Effect = finding.Error, finding.RefusesPeer
				kept, fails = &f, err
				continue
			}
		}
		end.Chain, end.Key, end.Keyless = l.Chain, l.Key, own.keyless[i]
		end.PEM = pemOf(l)
		return nil, nil
	}
	return kept, fails
}

// ended is what the user of the client sees of a handshake that two priorities do not let come about.
func ended(err error) string {
	var m *priority.Mismatch
	if errors.As(err, &m) && m.ClientText != "" {
		return msgHandshake + m.ClientText
	}
	return msgTerminated
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	s = strings.TrimSuffix(s, ".")
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
