package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Plan is a Spec that was checked, with everything that would be made. It is good for one Make or Add.
type Plan struct {
	spec      Spec
	wants     []want
	prepared  []*ca.Prepared
	authority *ca.Authority // the one, or the double of the one, that prepared
	// csr is set when the only identity is for a request; its key is elsewhere.
	csr *ca.CSR
	// memory knows the certificates that were issued, whose signatures were checked when they were made; or nil.
	memory *verify.Memory
	// lists is the text of the authority's revocation lists, which every new place gets: a new host without it would let
	// in who is revoked.
	lists []byte
}

// A Planned is one identity of a plan.
type Planned struct {
	Member   string
	Role     certs.Role
	Layout   layout.Kind
	Subject  string
	Names    []string           // DNS names and addresses
	Key      certs.KeyAlgorithm // empty: a request's key, of a kind that virt-pki does not make
	NotAfter time.Time
	// Files are what is written for it, as they are called in Dir.
	Files    []PlannedFile
	Findings []finding.Finding
}

// A PlannedFile is a file that would be written.
type PlannedFile struct {
	Path string
	Item layout.Item
}

// Plan checks the spec and lets the authority judge every certificate, on throw-away keys: nothing is signed or written.
// authority may be the double of one that does not exist yet (ca.Spec.Rehearse). The error joins all that is wrong.
func (s Spec) Plan(authority *ca.Authority) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Plan{spec: s, wants: s.wants(), authority: authority}
	var err error
	if p.prepared, err = s.prepare(authority, p.wants); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare has all orders judged.
func (s Spec) prepare(authority *ca.Authority, wants []want) ([]*ca.Prepared, error) {
	var errs []error
	orders := make([]ca.Order, 0, len(wants))
	for _, w := range wants {
		o, err := s.order(w)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		orders = append(orders, o)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return authority.PrepareAll(s.Now, orders)
}

// PlanCSR is Plan for a single member whose key exists elsewhere: the request's subject and key are certified, and its names
// unless the member has some. No key file is written. Where the member has several identities (a peer's two for libvirt, several
// layouts) all are for the same key.
func (s Spec) PlanCSR(authority *ca.Authority, csr *ca.CSR) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Plan{spec: s, wants: s.wants(), authority: authority, csr: csr}
	if len(s.Members) != 1 {
		return nil, errors.New("a request is for one member")
	}
	for _, w := range p.wants {
		o, err := s.order(w)
		if err != nil {
			return nil, err
		}
		prepared, err := authority.PrepareCSR(s.Now, csr, o)
		if err != nil {
			return nil, err
		}
		p.prepared = append(p.prepared, prepared)
	}
	return p, nil
}

// Identities lists what would be issued, in order.
func (p *Plan) Identities() []Planned {
	out := make([]Planned, len(p.wants))
	for i, w := range p.wants {
		o := p.prepared[i].Order()
		subject, _ := o.Subject.Text() // checked by Prepare
		out[i] = Planned{Member: w.member.Name, Role: w.role, Layout: w.kind, Subject: subject, Key: o.Key,
			NotAfter: o.NotAfter, Findings: p.prepared[i].Findings()}
		if p.csr != nil {
			// A key of a kind that virt-pki does not make has no name here.
			out[i].Key, _ = certs.AlgorithmOf(p.csr.Public)
		}
		out[i].Names = append(out[i].Names, o.Names...)
		for _, a := range o.Addresses {
			out[i].Names = append(out[i].Names, a.String())
		}
		for _, item := range p.spec.place(w.member, w.kind).Items(w.fills...) {
			if item.Part == layout.Directory || item.Part == layout.CRL || item.Part == layout.Key && p.csr != nil {
				continue
			}
			out[i].Files = append(out[i].Files, PlannedFile{filepath.Join(p.spec.tree(w.member), item.Path), item})
		}
	}
	return out
}

// orderOf gives what was asked for, or would be of an identity that exists.
func (p *Plan) orderOf(i int) ca.Order {
	if p.prepared[i] != nil {
		return p.prepared[i].Order()
	}
	o, _ := p.spec.order(p.wants[i]) // Compare has made it before
	return o
}

// tree is where a member's files lie, from here.
func (s Spec) tree(m Member) string {
	if s.flat() {
		return s.Dir
	}
	return filepath.Join(s.Dir, m.Name)
}

// only is the plan for some of its identities, by their indices.
func (p *Plan) only(indices []int) *Plan {
	q := *p
	q.wants, q.prepared = nil, nil
	for _, i := range indices {
		q.wants, q.prepared = append(q.wants, p.wants[i]), append(q.prepared, p.prepared[i])
	}
	return &q
}

// members groups the indices of the plan's identities by member, in order.
func (p *Plan) members() [][]int {
	var out [][]int
	at := map[string]int{}
	for i, w := range p.wants {
		k, ok := at[w.member.Name]
		if !ok {
			k = len(out)
			at[w.member.Name] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	return out
}

// member gives the member that a group of members is about.
func (p *Plan) member(indices []int) Member { return p.wants[indices[0]].member }

// files gives what a member's tree holds, given its issued identities.
func (p *Plan) files(indices []int, issued []ca.Issued, bundle []byte) ([]layout.File, error) {
	var out []layout.File
	contents := map[layout.Kind]*layout.Contents{}
	var kinds []layout.Kind
	for _, i := range indices {
		w := p.wants[i]
		c := contents[w.kind]
		if c == nil {
			c = &layout.Contents{CA: bundle, CRL: p.lists}
			contents[w.kind] = c
			kinds = append(kinds, w.kind)
		}
		var key []byte
		if issued[i].Key != nil {
			var err error
			if key, err = certs.MarshalKey(issued[i].Key, nil); err != nil {
				return nil, fmt.Errorf("writing the key of %q: %w", w.member.Name, err)
			}
		}
		for _, r := range w.fills {
			c.Identities = append(c.Identities, layout.Identity{Role: r, Cert: issued[i].PEM(), Key: key})
		}
	}
	for _, k := range kinds {
		out = append(out, p.spec.place(p.member(indices), k).Fill(*contents[k])...)
	}
	return out, nil
}
