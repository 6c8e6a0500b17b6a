package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// maxPairs bounds the handshakes of one proof, unless Options say EveryPair; they take about half a minute on two cores.
// Above it every server and every client takes part, but not every pair: all identities come from one authority under one
// policy, so that pairs differ in nothing but the names, which are compared for every server.
const maxPairs = 100_000

// A Proof is what came of the handshakes between the servers and clients made.
type Proof struct {
	// Pairs is the number of (server, client) pairs there are, Handshakes of those that were connected, each under the
	// rules of Versions on both ends.
	Pairs, Handshakes int
	Versions          []string
	// Failures are the pairs that did not come together, in order.
	Failures []Failure
}

// A Failure is a pair that did not come together, or an end that could not even begin: then only that one is named.
type Failure struct {
	Server, Client string
	// Host is what the client called the server.
	Host string
	// Version is the libvirt whose rules were broken; empty for a name, which all compare alike.
	Version string
	Outcome finding.Outcome
	Message string
}

// A ProofError says that what was issued does not work. Nothing of it was published.
type ProofError struct{ Proof Proof }

// Error names the first failure.
func (e *ProofError) Error() string {
	s := "the certificates issued do not work: " + e.Proof.Failures[0].String()
	if n := len(e.Proof.Failures); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// String says who failed, under which libvirt, and why.
func (f Failure) String() string {
	var who []string
	if f.Server != "" {
		who = append(who, fmt.Sprintf("server %q", f.Server))
	}
	if f.Client != "" {
		who = append(who, fmt.Sprintf("client %q", f.Client))
	}
	s := strings.Join(who, ", ")
	if f.Host != "" && f.Host != f.Server {
		s += fmt.Sprintf(" as %q", f.Host)
	}
	if f.Version != "" {
		s += " under libvirt " + f.Version
	}
	return fmt.Sprintf("%s: %s: %s", s, f.Outcome, f.Message)
}

// An end is one identity, read back from the disk.
type end struct {
	name   string
	family string   // only libvirt talks to libvirt, and QEMU to QEMU
	hosts  []string // what clients call it; nil for a client
	// keyElsewhere says that the key is not at hand: then nothing can be connected.
	keyElsewhere bool
	creds        handshake.Credentials
}

// prove reads every identity back from the tree, judges it as its own end does, and connects every server with every
// client.
func (p *Plan) prove(ctx context.Context, fsys fs.FS, versions []verify.Version, o Options) (Proof, error) {
	if p.memory == nil {
		p.memory = new(verify.Memory)
	}
	prover := newProver(versions, p.spec.Now, o.workers())
	prover.memory, prover.most = p.memory, maxPairs
	if o.EveryPair {
		prover.most = math.MaxInt
	}
	proof := prover.proof()
	type identity struct {
		want int
		role certs.Role
	}
	var list []identity
	for i, w := range p.wants {
		for _, role := range w.fills {
			list = append(list, identity{i, role})
		}
	}
	ends, failures := make([]end, len(list)), make([][]Failure, len(list))
	if err := workers.Do(ctx, len(list), o.workers(), func(n int) error {
		ends[n], failures[n] = p.readEnd(fsys, list[n].want, list[n].role, prover.versions)
		return nil
	}, nil); err != nil {
		return proof, err
	}
	proof.Failures = slices.Concat(failures...)
	var servers, clients []end
	for n, e := range ends {
		if list[n].role == certs.Server {
			servers = append(servers, e)
		} else {
			clients = append(clients, e)
		}
	}
	if len(proof.Failures) > 0 {
		return proof, nil
	}
	if p.csr != nil { // without the key there is no handshake
		proof.Failures = prover.judgeAlone(slices.Concat(servers, clients))
		return proof, nil
	}
	alone, err := prover.connect(ctx, &proof, servers, clients, func(pairs int) func(int) { return o.progress("proving", pairs) })
	if err != nil {
		return proof, err
	}
	proof.Failures = append(proof.Failures, prover.judgeAlone(alone)...)
	return proof, nil
}

// alone gives the ends that are in no pair.
func alone(pairs [][2]int, servers, clients []end) (out []end) {
	paired := [2]map[int]bool{{}, {}}
	for _, p := range pairs {
		paired[0][p[0]], paired[1][p[1]] = true, true
	}
	for side, ends := range [2][]end{servers, clients} {
		for i, e := range ends {
			if !paired[side][i] {
				out = append(out, e)
			}
		}
	}
	return out
}

// judgeAlone judges ends that have nobody to connect with, such as one that is added, as the other end would.
func (p *prover) judgeAlone(ends []end) (failures []Failure) {
	for _, e := range ends {
		s := verify.Session{Local: certs.Server, Peer: e.creds.Chain, CAs: e.creds.CAs, At: p.at, Memory: p.memory}
		failure := Failure{Client: e.name, Outcome: finding.ServerRejectsClient}
		if e.hosts != nil {
			s.Local, s.Host = certs.Client, e.hosts[0]
			failure = Failure{Server: e.name, Host: s.Host, Outcome: finding.ClientRejectsServer}
		}
		if failure.Version, failure.Message = p.refused(s); failure.Message != "" {
			failures = append(failures, failure)
		}
	}
	return failures
}

// refused says under which version a session is refused, and why.
func (p *prover) refused(s verify.Session) (version, why string) {
	for _, v := range p.versions {
		s.Libvirt = v
		for _, f := range s.Check() {
			if f.Severity == finding.Error {
				return v.String(), f.Message
			}
		}
	}
	return "", ""
}

// pairsOf lists the pairs to connect, as indices, and says how many there are in all: if these are more than most, not all
// of them are listed.
func pairsOf(servers, clients []end, most int) (pairs [][2]int, total int) {
	byFamily := map[string][]int{}
	for j, c := range clients {
		byFamily[c.family] = append(byFamily[c.family], j)
	}
	for _, s := range servers {
		total += len(byFamily[s.family])
	}
	used := map[int]bool{}
	for i, s := range servers {
		match := byFamily[s.family]
		if len(match) == 0 {
			continue
		}
		if total <= most {
			for _, j := range match {
				pairs = append(pairs, [2]int{i, j})
			}
			continue
		}
		pairs = append(pairs, [2]int{i, match[i%len(match)]})
		used[match[i%len(match)]] = true
	}
	if total > most {
		for j, c := range clients {
			if used[j] {
				continue
			}
			for i, s := range servers {
				if s.family == c.family {
					pairs = append(pairs, [2]int{i, j})
					break
				}
			}
		}
	}
	return pairs, total
}

// pair connects a client with a server under its first name, and has every version judge what each end saw.
func (p *prover) pair(ctx context.Context, s, c end) ([]Failure, error) {
	var bad []Failure
	for i, v := range p.versions {
		server := handshake.Config{Credentials: s.creds, Libvirt: v, At: p.at, Memory: p.memory}
		client := handshake.Config{Credentials: c.creds, Libvirt: v, At: p.at, Host: s.hosts[0], Memory: p.memory}
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
			bad = append(bad, Failure{s.name, c.name, s.hosts[0], v.String(), r.Outcome, cause.Message})
		}
	}
	return bad, nil
}

// readEnd reads one identity's files back and judges them as its own end would. A server's names are compared with its
// certificate, all of them; the handshakes use the first.
func (p *Plan) readEnd(fsys fs.FS, i int, role certs.Role, versions []verify.Version) (end, []Failure) {
	w := p.wants[i]
	paths := p.spec.place(w.member, w.kind).Paths(role)
	read := func(name string) verify.File {
		data, err := fs.ReadFile(fsys, p.inTree(w, name))
		return verify.File{Path: name, Data: data, Err: err}
	}
	files := verify.Files{Role: role, CA: read(paths.CA), Cert: read(paths.Cert), At: p.spec.Now, Memory: p.memory}
	judge := verify.Files.Read
	if p.csr == nil {
		files.Key = read(paths.Key)
	} else {
		judge = withoutKey
	}
	e := end{name: w.member.Name, family: "libvirt"}
	if w.kind.ForQEMU() {
		e.family = string(layout.QEMU)
	}
	failure := Failure{Outcome: finding.ClientLocal, Client: w.member.Name}
	if role == certs.Server {
		failure = Failure{Outcome: finding.DaemonDown, Server: w.member.Name}
	}
	var failures []Failure
	var loaded verify.Loaded
	for i, v := range versions {
		var found []finding.Finding
		if files.Libvirt = v; i == 0 || len(failures) > 0 {
			loaded = judge(files)
			found = loaded.Findings
		} else {
			// With files that are there and can be read, only the sanity check depends on the version.
			own := loaded.Own
			own.Libvirt = v
			found = own.Check()
		}
		for _, f := range found {
			if f.Severity == finding.Error {
				failure.Version, failure.Message = v.String(), f.Message
				failures = append(failures, failure)
				break
			}
		}
	}
	e.creds = handshake.Credentials{CAs: loaded.CAs, Chain: loaded.Chain, Key: loaded.Key}
	if role != certs.Server || len(e.creds.Chain) == 0 {
		return e, failures
	}
	o := p.orderOf(i)
	e.hosts = append(e.hosts, o.Names...)
	for _, a := range o.Addresses {
		e.hosts = append(e.hosts, a.String())
	}
	for _, h := range e.hosts {
		if m := verify.Host(e.creds.Chain[0], h); !m.Match {
			failures = append(failures, Failure{Server: e.name, Host: h, Outcome: finding.ClientRejectsServer, Message: m.Reason})
		}
	}
	return e, failures
}

// withoutKey judges the files of an end whose key is elsewhere: the certificates are judged as with it.
func withoutKey(f verify.Files) verify.Loaded {
	own := verify.Own{Role: f.Role, CertPath: f.Cert.Path, CAPath: f.CA.Path, At: f.At, Libvirt: f.Libvirt}
	cert, err := certs.ImportPEM(f.Cert.Data)
	if err == nil {
		own.Cert = cert
		own.CAs, err = certs.ImportPEMList(f.CA.Data, 0)
	}
	if err = errors.Join(f.Cert.Err, f.CA.Err, err); err != nil {
		return verify.Loaded{Findings: []finding.Finding{{Severity: finding.Error, Message: err.Error()}}}
	}
	return verify.Loaded{Own: own, CAs: own.CAs, Chain: []*certs.Certificate{cert}, Findings: own.Check()}
}
