package cluster

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// maxMixed bounds the handshakes of one proof about what is in use already. Above it every end takes part, but not every
// pair, as with maxPairs.
const maxMixed = 20_000

// An actor is one identity as its files have it, or as they are about to have it.
type actor struct {
	spot layout.Spot
	role certs.Role
	// The contents of the files; key is nil where there is none.
	ca, cert, key []byte
}

// readActors reads every identity in the spots. A certificate without its key is one all the same.
func readActors(spots []layout.Spot) ([]actor, error) {
	var actors []actor
	for _, s := range spots {
		err := durable.Within(s.Root, func(d *durable.Dir) error {
			for _, role := range []certs.Role{certs.Server, certs.Client} {
				paths := s.Paths(role)
				x := actor{spot: s, role: role}
				for _, f := range []struct {
					name string
					into *[]byte
				}{{paths.CA, &x.ca}, {paths.Cert, &x.cert}, {paths.Key, &x.key}} {
					text, _, err := layout.ReadIn(d, f.name)
					if err != nil && !errors.Is(err, fs.ErrNotExist) {
						return &fs.PathError{Op: "reading", Path: s.Shown(f.name), Err: err}
					}
					*f.into = text
				}
				if x.cert != nil {
					actors = append(actors, x)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return actors, nil
}

// place names where an identity lies, for messages: the layout's directory as it is called on this machine.
func (x actor) place() string { return filepath.Dir(x.spot.Shown(x.spot.Paths(x.role).Cert)) }

// family is whom it talks to: libvirt to libvirt, QEMU to QEMU.
func (x actor) family() string {
	if x.spot.Kind.ForQEMU() {
		return string(layout.QEMU)
	}
	return "libvirt"
}

// A prover judges actors and connects them in memory, with real TLS, under the rules of each version.
type prover struct {
	versions []verify.Version
	at       time.Time
	memory   *verify.Memory
	workers  int
	// most bounds the handshakes of one proof, as maxMixed does.
	most int
}

func newProver(versions []verify.Version, at time.Time, workers int) *prover {
	if len(versions) == 0 {
		versions = verify.Measured()
	}
	return &prover{versions: versions, at: at, memory: new(verify.Memory), workers: workers, most: maxMixed}
}

// proof is one in which nothing has been connected yet.
func (p *prover) proof() Proof {
	var proof Proof
	for _, v := range p.versions {
		proof.Versions = append(proof.Versions, v.String())
	}
	return proof
}

// end judges an actor as its own side does.
func (p *prover) end(x actor) (end, []Failure) {
	paths := x.spot.Paths(x.role)
	file := func(name string, text []byte) verify.File {
		f := verify.File{Path: x.spot.Shown(name), Data: text}
		if text == nil {
			f.Err = fs.ErrNotExist
		}
		return f
	}
	files := verify.Files{Role: x.role, CA: file(paths.CA, x.ca), Cert: file(paths.Cert, x.cert), Key: file(paths.Key, x.key),
		KeyUnknown: x.key == nil, At: p.at, Memory: p.memory}
	e := end{name: x.place(), family: x.family(), keyElsewhere: x.key == nil}
	failure := Failure{Outcome: finding.ClientLocal, Client: e.name}
	if x.role == certs.Server {
		failure = Failure{Outcome: finding.DaemonDown, Server: e.name}
	}
	var failures []Failure
	for i, v := range p.versions {
		files.Libvirt = v
		loaded := files.Read()
		for _, f := range loaded.Findings {
			if f.Severity == finding.Error {
				failure.Version, failure.Message = v.String(), f.Message
				failures = append(failures, failure)
				break
			}
		}
		if i == 0 {
			e.creds = handshake.Credentials{CAs: loaded.CAs, Chain: loaded.Chain, Key: loaded.Key}
		}
	}
	if len(failures) == 0 && len(e.creds.Chain) == 0 { // a key that is not here
		chain, err := certs.ImportPEMList(x.cert, 0)
		if err == nil {
			e.creds.Chain = chain
			e.creds.CAs, err = certs.ImportPEMList(x.ca, 0)
		}
		if err != nil {
			failure.Message = err.Error()
			failures = append(failures, failure)
		}
	}
	if x.role == certs.Server && len(e.creds.Chain) > 0 {
		if e.hosts = hostsOf(e.creds.Chain[0]); len(e.hosts) == 0 {
			failure.Message = "the certificate has no name that a client could call the server by"
			failures = append(failures, failure)
		}
	}
	return e, failures
}

// hostsOf gives the names and addresses by which clients may call a server.
func hostsOf(c *certs.Certificate) []string {
	var hosts []string
	if std, err := c.X509(); err == nil {
		hosts = slices.Clone(std.DNSNames)
		for _, ip := range std.IPAddresses {
			hosts = append(hosts, ip.String())
		}
		if len(hosts) == 0 && std.Subject.CommonName != "" {
			hosts = []string{std.Subject.CommonName}
		}
	}
	for i, h := range hosts {
		if len(h) > 1 && h[0] == '*' { // a host that the wildcard is for
			hosts[i] = "host" + h[1:]
		}
	}
	return hosts
}

// split judges actors and gives the servers and the clients among them.
func (p *prover) split(ctx context.Context, actors []actor) (servers, clients []end, failures []Failure, err error) {
	ends, bad := make([]end, len(actors)), make([][]Failure, len(actors))
	if err := workers.Do(ctx, len(actors), p.workers, func(i int) error {
		ends[i], bad[i] = p.end(actors[i])
		return nil
	}, nil); err != nil {
		return nil, nil, nil, err
	}
	for i, x := range actors {
		failures = append(failures, bad[i]...)
		switch {
		case len(bad[i]) > 0:
		case x.role == certs.Server:
			servers = append(servers, ends[i])
		default:
			clients = append(clients, ends[i])
		}
	}
	return servers, clients, failures, nil
}

// connect connects servers with clients and adds what comes of it to the proof. It gives those that had nobody to connect with.
// report, which may be nil, makes for a number of pairs what is told how many are done.
func (p *prover) connect(ctx context.Context, proof *Proof, servers, clients []end, report func(pairs int) func(done int)) ([]end, error) {
	pairs, total := pairsOf(servers, clients, p.most)
	var progress func(int)
	if report != nil {
		progress = report(len(pairs))
	}
	failures := make([][]Failure, len(pairs))
	if err := workers.Do(ctx, len(pairs), p.workers, func(n int) (err error) {
		s, c := servers[pairs[n][0]], clients[pairs[n][1]]
		if s.keyElsewhere || c.keyElsewhere {
			failures[n] = p.judge(s, c)
			return nil
		}
		failures[n], err = p.pair(ctx, s, c)
		return err
	}, progress); err != nil {
		return nil, err
	}
	proof.Pairs += total
	proof.Handshakes += len(pairs)
	proof.Failures = append(proof.Failures, slices.Concat(failures...)...)
	return alone(pairs, servers, clients), nil
}

// judge has two ends judge each other without a handshake, where a key is not at hand.
func (p *prover) judge(s, c end) []Failure {
	for _, v := range p.versions {
		for _, side := range []verify.Session{
			{Local: certs.Client, Peer: s.creds.Chain, CAs: c.creds.CAs, Host: s.hosts[0]},
			{Local: certs.Server, Peer: c.creds.Chain, CAs: s.creds.CAs},
		} {
			side.At, side.Libvirt, side.Memory = p.at, v, p.memory
			for _, f := range side.Check() {
				if f.Severity != finding.Error {
					continue
				}
				outcome := finding.ClientRejectsServer
				if side.Local == certs.Server {
					outcome = finding.ServerRejectsClient
				}
				return []Failure{{s.name, c.name, s.hosts[0], v.String(), outcome, f.Message}}
			}
		}
	}
	return nil
}

// change proves a change of files while it is under way. What is changed, as it will be, is connected with itself and with
// what stays; with mixed also with itself as it is now, because half of it may be in use already when the other half is not.
// What did not work before is no witness against the change, nor is it held against it; it is given as broken.
func (p *prover) change(ctx context.Context, before, unchanged, after []actor, mixed bool) (proof Proof, broken []Failure, err error) {
	proof = p.proof()
	oldServers, oldClients, broken, err := p.split(ctx, before)
	if err != nil {
		return proof, nil, err
	}
	witnessServers, witnessClients, more, err := p.split(ctx, unchanged)
	if err != nil {
		return proof, nil, err
	}
	broken = append(broken, more...)
	servers, clients, bad, err := p.split(ctx, after)
	if err != nil {
		return proof, broken, err
	}
	was := map[string]bool{}
	for _, f := range broken {
		was[f.String()] = true
	}
	for _, f := range bad {
		if !was[f.String()] {
			proof.Failures = append(proof.Failures, f)
		}
	}
	if mixed {
		witnessServers, witnessClients = append(witnessServers, oldServers...), append(witnessClients, oldClients...)
	}
	for _, side := range [][2][]end{{witnessServers, clients}, {servers, witnessClients}, {servers, clients}} {
		if _, err := p.connect(ctx, &proof, side[0], side[1], nil); err != nil {
			return proof, broken, err
		}
	}
	return proof, broken, nil
}
