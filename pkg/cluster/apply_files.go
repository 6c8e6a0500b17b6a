package cluster

import (
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// treeFiles are what is to be written into one member's tree.
type treeFiles struct {
	member int
	root   string
	files  []layout.File
	jobs   []*job
	steps  []Step // WriteCA and WriteCRL
}

// files gathers the files, tree by tree.
func (w *applier) files(steps []Step) ([]*treeFiles, error) {
	trees := map[int]*treeFiles{}
	var out []*treeFiles
	tree := func(s Step) *treeFiles {
		t := trees[s.place.member]
		if t == nil {
			t = &treeFiles{member: s.place.member, root: w.changes.spec.tree(w.changes.wants[w.changes.places[s.place.member][0].wants[0]].member)}
			trees[s.place.member] = t
			out = append(out, t)
		}
		return t
	}
	for _, j := range w.jobs {
		t := tree(j.step)
		files, err := w.filesOf(j)
		if err != nil {
			return nil, err
		}
		t.files, t.jobs = append(t.files, files...), append(t.jobs, j)
	}
	for _, s := range steps {
		data := w.known.Bundle
		switch s.Action {
		case WriteCA:
		case WriteCRL:
			data = w.listFor(s)
		default:
			continue
		}
		t := tree(s)
		t.files, t.steps = append(t.files, layout.File{Item: s.item, Data: data}), append(t.steps, s)
	}
	// Trust first, then each key before its certificate.
	for _, t := range out {
		t.files = inOrder(t.files)
	}
	return out, nil
}

// inOrder sorts files as they are to be written, and leaves out those that are twice.
func inOrder(files []layout.File) []layout.File {
	rank := func(f layout.File) int {
		switch f.Part {
		case layout.Directory:
			return 0
		case layout.CACert, layout.CRL:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(files, func(a, b layout.File) int { return rank(a) - rank(b) })
	seen := map[string]bool{}
	return slices.DeleteFunc(files, func(f layout.File) bool {
		twice := seen[f.Path]
		seen[f.Path] = true
		return twice
	})
}

// listFor gives the revocation list for a place, with the lists of other CAs that are there.
func (w *applier) listFor(s Step) []byte {
	for _, seen := range w.treeOf(s).places[s.place.place] {
		if seen.item.Path == s.item.Path && seen.There {
			return mergedList(w.known.List, seen.Data)
		}
	}
	return w.known.ListText
}

// mergedList gives the authority's list and, of what is in a file, the lists of other CAs.
func mergedList(list *crl.List, text []byte) []byte {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		lists = nil
	}
	return ca.MergeLists(list, lists)
}

// filesOf gives the files of an identity, with the directories above them and, where the CA file or the revocation list is
// missing, these.
func (w *applier) filesOf(j *job) ([]layout.File, error) {
	want := w.changes.wants[j.step.want]
	place := w.changes.places[j.step.place.member][j.step.place.place]
	seen := w.treeOf(j.step)
	var items []sighting
	if seen.there {
		items = seen.places[j.step.place.place]
	}
	if j.step.Action == Finish {
		var err error
		if j.key, err = w.keyOf(j, items); err != nil {
			return nil, err
		}
	}
	contents := layout.Contents{CA: w.known.Bundle, CRL: w.known.ListText}
	for _, role := range want.fills {
		contents.Identities = append(contents.Identities, layout.Identity{Role: role, Cert: j.entry.PEM, Key: j.key})
	}
	files := place.Fill(contents)
	return slices.DeleteFunc(files, func(f layout.File) bool {
		// These have steps of their own where they are there.
		return (f.Part == layout.CACert || f.Part == layout.CRL) && slices.ContainsFunc(items, func(s sighting) bool { return s.item.Path == f.Path && s.There })
	}), nil
}

// keyOf reads the key that an interrupted run has left.
func (w *applier) keyOf(j *job, items []sighting) ([]byte, error) {
	for _, s := range items {
		if s.item.Part != layout.Key || s.key.state != keyOther && s.key.state != keyPaired {
			continue
		}
		var text []byte
		err := durable.Within(w.rootOf(j.step), func(d *durable.Dir) (err error) {
			text, _, err = layout.ReadIn(d, s.item.Path)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading the key of %q: %w", j.step.Member, err)
		}
		key, err := certs.ParseKey(text, nil)
		if err != nil {
			continue
		}
		if id, err := certs.KeyID(key.Public()); err == nil && hex.EncodeToString(id) == j.entry.KeyID {
			return text, nil
		}
	}
	return nil, fmt.Errorf("the key of %q is not there any more", j.step.Member)
}
