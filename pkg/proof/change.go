package proof

import (
	"context"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
)

// Change proves a change of files while it is under way. What is changed, as it will be, is connected with itself and with
// what stays; with mixed also with itself as it is now, because half of it may be in use already when the other half is not.
// What did not work before is no witness against the change, nor is it held against it; it is given as broken.
func (p *Prover) Change(ctx context.Context, before, unchanged, after []Identity, mixed bool) (r Result, broken []Failure, err error) {
	r = p.Begin()
	oldServers, oldClients, broken, err := p.split(ctx, before)
	if err != nil {
		return r, nil, err
	}
	witnessServers, witnessClients, more, err := p.split(ctx, unchanged)
	if err != nil {
		return r, nil, err
	}
	broken = append(broken, more...)
	servers, clients, bad, err := p.split(ctx, after)
	if err != nil {
		return r, broken, err
	}
	was := map[string]bool{}
	for _, f := range broken {
		was[f.String()] = true
	}
	for _, f := range bad {
		if !was[f.String()] {
			r.Failures = append(r.Failures, f)
		}
	}
	if mixed {
		witnessServers, witnessClients = append(witnessServers, oldServers...), append(witnessClients, oldClients...)
	}
	for _, side := range [][2][]End{{witnessServers, clients}, {servers, witnessClients}, {servers, clients}} {
		if _, err := p.Connect(ctx, &r, side[0], side[1], nil); err != nil {
			return r, broken, err
		}
	}
	return r, broken, nil
}

// split judges identities and gives the servers and the clients among them.
func (p *Prover) split(ctx context.Context, list []Identity) (servers, clients []End, failures []Failure, err error) {
	ends, bad := make([]End, len(list)), make([][]Failure, len(list))
	if err := workers.Do(ctx, len(list), p.workers, func(i int) error {
		ends[i], bad[i] = p.end(list[i])
		return nil
	}, nil); err != nil {
		return nil, nil, nil, err
	}
	for i, x := range list {
		failures = append(failures, bad[i]...)
		switch {
		case len(bad[i]) > 0:
		case x.Role == certs.Server:
			servers = append(servers, ends[i])
		default:
			clients = append(clients, ends[i])
		}
	}
	return servers, clients, failures, nil
}
