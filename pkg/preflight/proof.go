package preflight

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// proofLimit is ample for a handshake in memory.
const proofLimit = 20 * time.Second

// A proof is a handshake that is to show what two priorities and two sets of files come to.
type proof struct {
	a                      *attempt
	own                    credentials // the client's
	client, server         *priority.Expansion
	clientText, serverText string
	agreed                 priority.Agreement

	clientEnd, serverEnd handshake.Config
}

// prepare describes the two ends, the daemon with one of its identities; -1: whichever it is.
func (h *proof) prepare(chosen int) {
	a, s := h.a, h.a.s
	id := max(chosen, 0)
	h.serverEnd = handshake.Config{
		Credentials: handshake.Credentials{CAs: s.own.cas, Lists: s.own.lists, Chain: s.own.identities[id].Chain,
			Key: s.own.identities[id].Key, Keyless: s.own.keyless[id], PEM: pemOf(s.own.identities[id])},
		Allowed: s.allowed, NoVerify: s.Conf.TLSNoVerifyCertificate, Libvirt: s.d.Libvirt, At: s.d.At,
		Strength: handshake.StrengthOf(h.server), Memory: s.d.Memory,
	}
	h.clientEnd = handshake.Config{
		Credentials: handshake.Credentials{CAs: h.own.cas, Lists: h.own.lists},
		Host:        a.u.Host(), NoVerify: a.u.NoVerify(), Libvirt: a.c.Libvirt, At: a.c.At, Strength: handshake.StrengthOf(h.client), Memory: a.c.Memory,
	}
}

func pemOf(l verify.Loaded) handshake.PEM {
	return handshake.PEM{CA: l.PEM.CA, Cert: l.PEM.Cert, Key: l.PEM.Key}
}

// join makes the handshake: with crypto/tls where it can speak what the two ends agree on, else between two programs with
// GnuTLS, else on paper, which the findings then say.
func (h *proof) join(ctx context.Context) (handshake.Result, error) {
	a := h.a
	if a.c.Engine != handshake.EngineGnuTLS && h.pin() {
		r, err := handshake.Pair(ctx, h.clientEnd, h.serverEnd)
		// A session that does not come about here is crypto/tls's affair: the two ends' lists are known to fit.
		if err != nil || r.Outcome != finding.HandshakeFails {
			if err == nil && !r.Client.Simulated {
				a.Engine = "go"
			}
			return r, err
		}
	}
	if a.c.Engine == handshake.EngineGo {
		return handshake.Judge(h.clientEnd, h.serverEnd)
	}
	r, err := h.withGnuTLS(ctx)
	var trouble *gnutls.Trouble
	if errors.As(err, &trouble) {
		h.notProven(trouble, "That the two ends come to this session was not proven by a handshake")
		return handshake.Judge(h.clientEnd, h.serverEnd)
	}
	if err != nil {
		return r, err
	}
	if r.Client.Simulated {
		return r, nil // a key is not at hand
	}
	if h.otherRelease(r) {
		// What another release does proves nothing about the sessions of this one.
		return handshake.Judge(h.clientEnd, h.serverEnd)
	}
	if c := r.Client; c.Version != "" {
		a.TLS, a.Suite, a.Group, a.Signature = c.Version, c.Suite, c.Group, c.Signature
	}
	a.Engine = "gnutls " + r.Client.GnuTLS
	return r, nil
}

// wireVersions are the versions that crypto/tls has.
var wireVersions = map[string]uint16{"TLS1.0": tls.VersionTLS10, "TLS1.1": tls.VersionTLS11, "TLS1.2": tls.VersionTLS12, "TLS1.3": tls.VersionTLS13}

var curveIDs = map[string]tls.CurveID{"SECP256R1": tls.CurveP256, "SECP384R1": tls.CurveP384, "SECP521R1": tls.CurveP521, "X25519": tls.X25519}

// pin narrows both ends down to what they agree on, and says whether crypto/tls can do it. Suites of TLS 1.3 cannot be
// chosen there.
func (h *proof) pin() bool {
	for _, x := range []*priority.Expansion{h.client, h.server} {
		if c, err := x.TLSConfig(); err != nil || !c.Covers(h.agreed) {
			// It can still judge the certificates, in the usual session, but that would prove nothing about these priorities.
			h.clientEnd.MinVersion, h.serverEnd.MinVersion = tls.VersionTLS10, tls.VersionTLS10
			return false
		}
	}
	v := wireVersions[h.agreed.Version]
	curves := []tls.CurveID{tls.CurveP256}
	if g, ok := curveIDs[h.agreed.Group]; ok {
		curves[0] = g
	}
	for _, end := range []*handshake.Config{&h.clientEnd, &h.serverEnd} {
		// Up to TLS 1.2 crypto/tls wants the curve of a certificate's key among the groups.
		if len(end.Chain) == 0 || v == tls.VersionTLS13 {
			continue
		}
		if k, ok := end.Chain[0].PublicKey.(*ecdsa.PublicKey); ok {
			for _, id := range curveIDs {
				if curveBits[id] == k.Curve.Params().BitSize {
					curves = append(curves, id)
				}
			}
		}
	}
	for _, end := range []*handshake.Config{&h.clientEnd, &h.serverEnd} {
		end.MinVersion, end.MaxVersion, end.Curves = v, v, curves
		if v < tls.VersionTLS13 {
			end.CipherSuites = []uint16{h.agreed.Suite.ID}
		}
	}
	return true
}

var curveBits = map[tls.CurveID]int{tls.CurveP256: 256, tls.CurveP384: 384, tls.CurveP521: 521}

// withGnuTLS connects two programs, each with its own machine's system file.
func (h *proof) withGnuTLS(ctx context.Context) (handshake.Result, error) {
	program := gnutls.Program{}
	if h.a.c.Program != nil {
		program = *h.a.c.Program
	}
	client, server := h.clientEnd, h.serverEnd
	for _, end := range []struct {
		c    *handshake.Config
		m    Machine
		text string
	}{{&client, h.a.c.Machine, h.clientText}, {&server, h.a.s.d.Machine, h.serverText}} {
		p := program
		file := end.m.SystemFile
		if file == "" && end.m.GnuTLS.System != nil {
			return handshake.Result{}, &gnutls.Trouble{Kind: gnutls.ErrSystemFile, Detail: "it is in a bundle"}
		}
		if file == "" {
			file = "/dev/null/none" // whatever this machine has
		}
		p.Env = append(append([]string(nil), program.Env...), "GNUTLS_SYSTEM_PRIORITY_FILE="+file)
		end.c.GnuTLS, end.c.Priority = &p, end.text
	}
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	return handshake.Pair(ctx, client, server)
}

// otherRelease says whether the library of this machine is of another series than one of the ends'.
func (h *proof) otherRelease(r handshake.Result) bool {
	for _, end := range []struct {
		text string
		o    priority.Options
	}{{h.clientText, h.a.c.GnuTLS}, {h.serverText, h.a.s.d.GnuTLS}} {
		if f, other := handshake.OtherGnuTLS(h.a.URI, r.Client.GnuTLS, end.text, end.o); other {
			if f.Severity == finding.Note {
				continue // both offer the same with this string
			}
			h.a.Findings = append(h.a.Findings, f)
			return true
		}
	}
	return false
}

// notProven says that there was no proof. Asked for, it is something that the answer lacks.
func (h *proof) notProven(trouble *gnutls.Trouble, what string) {
	f := handshake.NotChecked(h.a.URI, what, trouble)
	f.Severity = finding.Warning
	h.a.Findings = append(h.a.Findings, f)
	if h.a.c.Engine == handshake.EngineGnuTLS {
		h.a.Unchecked = append(h.a.Unchecked, "the handshake with GnuTLS: "+trouble.Error())
	}
}

// disagreement concludes with two priorities that have nothing in common, which GnuTLS confirms where it can be asked.
func (h *proof) disagreement(ctx context.Context, why error) (bool, error) {
	a := h.a
	if g := a.c.Program; a.c.Engine == handshake.EngineGnuTLS || a.c.Engine == handshake.EngineAuto && g != nil && g.Path != "" {
		h.prepare(-1)
		for i, l := range h.own.identities {
			h.clientEnd.Chain, h.clientEnd.Key, h.clientEnd.Keyless, h.clientEnd.PEM = l.Chain, l.Key, h.own.keyless[i], pemOf(l)
			break
		}
		r, err := h.withGnuTLS(ctx)
		var trouble *gnutls.Trouble
		switch {
		case errors.As(err, &trouble):
			h.notProven(trouble, "That the two ends come to no session was not proven by a handshake")
		case err != nil:
			return false, fmt.Errorf("a handshake in memory for %s: %w", a.URI, err)
		case r.Client.Simulated, h.otherRelease(r):
		case r.Client.Version != "" && r.Server.Version != "":
			// GnuTLS knows better.
			a.TLS, a.Suite, a.Group, a.Signature = r.Client.Version, r.Client.Suite, r.Client.Group, r.Client.Signature
			a.Engine = "gnutls " + r.Client.GnuTLS
			return a.settle(r, h.own, nil), nil
		default:
			a.Engine = "gnutls " + r.Client.GnuTLS
		}
	}
	f := ruleByID("priorities-disagree").Finding(a.URI, sentence("the two ends come to no TLS session: "+why.Error()))
	f.LibvirtMessage = ended(why)
	a.conclude(finding.HandshakeFails, f)
	return false, nil
}
