package proof

import (
	"context"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// maxMixed bounds the handshakes of one proof about what is in use already, see Prover.Most.
const maxMixed = 20_000

// A Prover judges identities and connects them in memory, with real TLS, under the rules of each version.
type Prover struct {
	// Versions are the libvirts whose rules both ends keep to.
	Versions []verify.Version
	// Most bounds the handshakes of one proof. Above it every end takes part, but not every pair.
	Most int
	// Memory knows what has been verified already.
	Memory *verify.Memory

	at      time.Time
	workers int
}

// New makes a Prover that judges as of a moment, with several workers at once. No versions: all that were measured.
func New(versions []verify.Version, at time.Time, workers int) *Prover {
	if len(versions) == 0 {
		versions = verify.Measured()
	}
	return &Prover{Versions: versions, Most: maxMixed, Memory: new(verify.Memory), at: at, workers: workers}
}

// Begin gives the result in which nothing has been connected yet.
func (p *Prover) Begin() Result {
	var r Result
	for _, v := range p.Versions {
		r.Versions = append(r.Versions, v.String())
	}
	return r
}

// Connect connects servers with clients and adds what comes of it to the result. It gives those that had nobody to connect with.
// report, which may be nil, makes for a number of pairs what is told how many are done.
func (p *Prover) Connect(ctx context.Context, r *Result, servers, clients []End, report func(pairs int) func(done int)) ([]End, error) {
	pairs, total := pairsOf(servers, clients, p.Most)
	var progress func(int)
	if report != nil {
		progress = report(len(pairs))
	}
	failures := make([][]Failure, len(pairs))
	if err := workers.Do(ctx, len(pairs), p.workers, func(n int) (err error) {
		s, c := servers[pairs[n][0]], clients[pairs[n][1]]
		if s.KeyElsewhere || c.KeyElsewhere {
			failures[n] = p.judge(s, c)
			return nil
		}
		failures[n], err = p.pair(ctx, s, c)
		return err
	}, progress); err != nil {
		return nil, err
	}
	r.Pairs += total
	r.Handshakes += len(pairs)
	r.Failures = append(r.Failures, slices.Concat(failures...)...)
	return alone(pairs, servers, clients), nil
}

// judge has two ends judge each other without a handshake, where a key is not at hand.
func (p *Prover) judge(s, c End) []Failure {
	for _, v := range p.Versions {
		for _, side := range []verify.Session{
			{Local: certs.Client, Peer: s.Credentials.Chain, CAs: c.Credentials.CAs, Host: s.Hosts[0]},
			{Local: certs.Server, Peer: c.Credentials.Chain, CAs: s.Credentials.CAs},
		} {
			side.At, side.Libvirt, side.Memory = p.at, v, p.Memory
			for _, f := range side.Check() {
				if f.Severity != finding.Error {
					continue
				}
				outcome := finding.ClientRejectsServer
				if side.Local == certs.Server {
					outcome = finding.ServerRejectsClient
				}
				return []Failure{{s.Name, c.Name, s.Hosts[0], v.String(), outcome, f.Message}}
			}
		}
	}
	return nil
}

// pair connects a client with a server under its first name, and has every version judge what each end saw.
func (p *Prover) pair(ctx context.Context, s, c End) ([]Failure, error) {
	var bad []Failure
	for i, v := range p.Versions {
		server := handshake.Config{Credentials: s.Credentials, Libvirt: v, At: p.at, Memory: p.Memory}
		client := handshake.Config{Credentials: c.Credentials, Libvirt: v, At: p.at, Host: s.Hosts[0], Memory: p.Memory}
		var r handshake.Result
		var err error
		if i == 0 {
			r, err = handshake.Pair(ctx, client, server)
		} else { // the bytes on the wire are the same, the judgement need not be
			r, err = handshake.Judge(client, server)
		}
		if err != nil {
			return nil, err
		}
		if r.Outcome != finding.Connected {
			cause, _ := r.Cause()
			bad = append(bad, Failure{s.Name, c.Name, s.Hosts[0], v.String(), r.Outcome, cause.Message})
		}
	}
	return bad, nil
}

// JudgeAlone judges ends that have nobody to connect with, such as one that is added, as the other end would.
func (p *Prover) JudgeAlone(ends []End) (failures []Failure) {
	for _, e := range ends {
		s := verify.Session{Local: certs.Server, Peer: e.Credentials.Chain, CAs: e.Credentials.CAs, At: p.at, Memory: p.Memory}
		failure := Failure{Client: e.Name, Outcome: finding.ServerRejectsClient}
		if e.Hosts != nil {
			s.Local, s.Host = certs.Client, e.Hosts[0]
			failure = Failure{Server: e.Name, Host: s.Host, Outcome: finding.ClientRejectsServer}
		}
		if failure.Version, failure.Message = p.refused(s); failure.Message != "" {
			failures = append(failures, failure)
		}
	}
	return failures
}

// refused says under which version a session is refused, and why.
func (p *Prover) refused(s verify.Session) (version, why string) {
	for _, v := range p.Versions {
		s.Libvirt = v
		for _, f := range s.Check() {
			if f.Severity == finding.Error {
				return v.String(), f.Message
			}
		}
	}
	return "", ""
}
