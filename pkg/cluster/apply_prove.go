package cluster

import (
	"bytes"
	"context"
	"io/fs"
	"path"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// prove reads everything as it will be, and connects what changes with each other and, where there is one, with an identity
// of either role that does not change.
func (w *applier) prove(ctx context.Context, d *durable.Dir, trees []*treeFiles) error {
	if len(w.jobs) == 0 {
		return nil
	}
	over := overlay{base: d.FS(), files: map[string][]byte{}}
	spec := w.changes.spec
	for _, t := range trees {
		for _, f := range t.files {
			if f.Part != layout.Directory {
				name := layout.Below(f.Path)
				if !spec.flat() {
					name = path.Join(w.changes.wants[w.changes.places[t.member][0].wants[0]].member.Name, name)
				}
				over.files[name] = f.Data
			}
		}
	}
	p := &Plan{spec: spec, authority: w.authority, memory: new(verify.Memory)}
	changed := map[int]bool{}
	for _, j := range w.jobs {
		changed[j.step.want] = true
		p.wants, p.prepared = append(p.wants, w.changes.wants[j.step.want]), append(p.prepared, j.prepared)
		if j.issued != nil {
			p.memory.Signed(j.issued.DER, w.known.CAs[0].RawPublicKeyInfo)
		}
	}
	versions := w.authority.Policy().Libvirt
	for _, i := range w.partners(changed) {
		q := *p
		q.wants, q.prepared = []want{w.changes.wants[i]}, []*ca.Prepared{nil}
		good := true
		for _, role := range q.wants[0].fills {
			_, failures := q.readEnd(over, 0, role, versions)
			good = good && len(failures) == 0
		}
		if good {
			p.wants, p.prepared = append(p.wants, q.wants[0]), append(p.prepared, nil)
		}
	}
	w.steps().Say("prove")
	proven, err := p.prove(ctx, over, versions, w.Options)
	if err != nil {
		return err
	}
	if len(proven.Failures) > 0 {
		return &proof.Error{Result: proven}
	}
	w.applied.Proof.Pairs += proven.Pairs
	w.applied.Proof.Handshakes += proven.Handshakes
	w.applied.Proof.Versions = proven.Versions
	return nil
}

// partners gives a server and a client of libvirt and of QEMU that do not change.
func (w *applier) partners(changed map[int]bool) []int {
	touched := map[placeRef]bool{}
	for _, s := range w.changes.Steps {
		if s.Action != SetMode && s.Action != SetOwner {
			touched[s.place] = true
		}
	}
	type side struct {
		qemu bool
		role certs.Role
	}
	have := map[side]bool{}
	var out []int
	for i, places := range w.changes.places {
		if i >= len(w.survey.members) || !w.survey.members[i].there {
			continue
		}
		for j, p := range places {
			if touched[placeRef{i, j}] {
				continue
			}
			for _, n := range p.wants {
				useful := false
				for _, role := range w.changes.wants[n].fills {
					useful = useful || !have[side{p.Kind.ForQEMU(), role}]
				}
				if !changed[n] && useful {
					for _, role := range w.changes.wants[n].fills {
						have[side{p.Kind.ForQEMU(), role}] = true
					}
					out = append(out, n)
				}
			}
		}
		if len(have) == 4 {
			break
		}
	}
	return out
}

// overlay is a directory with some files as they are going to be.
type overlay struct {
	base  fs.ReadFileFS
	files map[string][]byte
}

// Open is for what is not read whole.
func (o overlay) Open(name string) (fs.File, error) { return o.base.Open(name) }

// ReadFile reads a file whole.
func (o overlay) ReadFile(name string) ([]byte, error) {
	if data, ok := o.files[name]; ok {
		return bytes.Clone(data), nil
	}
	return o.base.ReadFile(name)
}
