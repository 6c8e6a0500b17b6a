package cluster

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// maxPairs bounds the handshakes of one proof, unless Options say EveryPair; they take about half a minute on two cores.
// Above it every server and every client takes part, but not every pair: all identities come from one authority under one
// policy, so that pairs differ in nothing but the names, which are compared for every server.
const maxPairs = 100_000

// prove reads every identity back from the tree, judges it as its own end does, and connects every server with every
// client.
func (p *Plan) prove(ctx context.Context, fsys fs.FS, versions []verify.Version, o Options) (proof.Result, error) {
	if p.memory == nil {
		p.memory = new(verify.Memory)
	}
	prover := proof.New(versions, p.spec.Now, o.steps().Workers())
	prover.Memory, prover.Most = p.memory, maxPairs
	if o.EveryPair {
		prover.Most = math.MaxInt
	}
	r := prover.Begin()
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
	ends, failures := make([]proof.End, len(list)), make([][]proof.Failure, len(list))
	if err := workers.Do(ctx, len(list), o.steps().Workers(), func(n int) error {
		ends[n], failures[n] = p.readEnd(fsys, list[n].want, list[n].role, prover.Versions)
		return nil
	}, nil); err != nil {
		return r, err
	}
	r.Failures = slices.Concat(failures...)
	var servers, clients []proof.End
	for n, e := range ends {
		if list[n].role == certs.Server {
			servers = append(servers, e)
		} else {
			clients = append(clients, e)
		}
	}
	if len(r.Failures) > 0 {
		return r, nil
	}
	if p.csr != nil { // without the key there is no handshake
		r.Failures = prover.JudgeAlone(slices.Concat(servers, clients))
		return r, nil
	}
	alone, err := prover.Connect(ctx, &r, servers, clients, func(pairs int) func(int) { return o.steps().Report("proving", pairs) })
	if err != nil {
		return r, err
	}
	r.Failures = append(r.Failures, prover.JudgeAlone(alone)...)
	return r, nil
}

// readEnd reads one identity's files back and judges them as its own end would. A server's names are compared with its
// certificate, all of them; the handshakes use the first.
func (p *Plan) readEnd(fsys fs.FS, i int, role certs.Role, versions []verify.Version) (proof.End, []proof.Failure) {
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
	e := proof.End{Name: w.member.Name, Family: "libvirt"}
	if w.kind.ForQEMU() {
		e.Family = string(layout.QEMU)
	}
	failure := proof.Failure{Outcome: finding.ClientLocal, Client: w.member.Name}
	if role == certs.Server {
		failure = proof.Failure{Outcome: finding.DaemonDown, Server: w.member.Name}
	}
	var failures []proof.Failure
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
	e.Credentials = handshake.Credentials{CAs: loaded.CAs, Chain: loaded.Chain, Key: loaded.Key}
	if role != certs.Server || len(e.Credentials.Chain) == 0 {
		return e, failures
	}
	o := p.orderOf(i)
	e.Hosts = append(e.Hosts, o.Names...)
	for _, a := range o.Addresses {
		e.Hosts = append(e.Hosts, a.String())
	}
	for _, h := range e.Hosts {
		if m := verify.Host(e.Credentials.Chain[0], h); !m.Match {
			failures = append(failures, proof.Failure{Server: e.Name, Host: h, Outcome: finding.ClientRejectsServer, Message: m.Reason})
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
