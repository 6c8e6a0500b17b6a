package cluster

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// judgeTrust compares the CA file and the revocation list of a place.
func (d *comparison) judgeTrust(ref placeRef, items []sighting, ours, theirs int) {
	if d.known == nil {
		return
	}
	step := Step{Member: d.memberOf(ref).Name, Layout: d.changes.places[ref.member][ref.place].Kind, want: -1, place: ref}
	var trusted, listed sighting
	any := false
	for _, s := range items {
		switch s.item.Part {
		case layout.CACert:
			trusted = s
		case layout.CRL:
			listed = s
		}
		any = any || s.There && s.item.Part != layout.Directory
	}
	if !any {
		return // all of it is made with the identities
	}
	step.Files, step.item = []string{d.shown(ref, trusted.item.Path)}, trusted.item
	step.Action = WriteCA
	trusts := d.judgeCA(&step, trusted, ours, theirs)
	step.Way, step.Blocked, step.Why = "", false, nil
	if !trusts || d.known.List == nil {
		return
	}
	d.judgeList(step, listed)
}

// judgeCA compares a place's CA file; it reports whether the place trusts the authority, or will.
func (d *comparison) judgeCA(step *Step, s sighting, ours, theirs int) bool {
	name := step.Files[0]
	if !s.There {
		step.Why = []Why{{Missing, "it is not there"}}
		d.add(*step)
		return true
	}
	if s.Err != nil || !s.Mode.IsRegular() {
		d.block(*step, "it cannot be read, or is no file", "look at it: ls -l "+hint.Word(name))
		return false
	}
	if bytes.Equal(s.Data, d.known.Bundle) {
		return true
	}
	cas, err := certs.ImportPEMList(s.Data, 0)
	lacks := false
	for _, own := range d.known.CAs {
		lacks = lacks || !slices.ContainsFunc(cas, func(c *certs.Certificate) bool { return bytes.Equal(c.Raw, own.Raw) })
	}
	switch {
	case err == nil && !lacks:
		var others []string
		for _, c := range cas {
			if !slices.ContainsFunc(d.known.CAs, func(own *certs.Certificate) bool { return bytes.Equal(c.Raw, own.Raw) }) {
				subject, _ := c.Subject.Text()
				others = append(others, subject)
			}
		}
		if len(others) > 0 {
			d.note(step.Member, "", "%s also trusts %s", name, hint.Few(others))
		}
		return true
	case theirs > 0 && d.allow.Adopt:
		d.note(step.Member, "", "%s does not trust the authority; it is left with the certificates that were adopted", name)
		return false
	case ours == 0 && !d.allow.Force:
		step.Why = []Why{{NotOurs, "it does not hold the authority's certificate"}}
		step.Blocked, step.Way = true, "--force replaces it and keeps it beside"
		if theirs > 0 {
			return false // said with the identities; an adopted one keeps its own CA
		}
	case err != nil:
		step.Why = []Why{{CAChanged, fmt.Sprintf("it holds no certificates: %v", err)}}
	default:
		step.Why = []Why{{CAChanged, "it does not hold the authority's certificate"}}
	}
	d.add(*step)
	return !step.Blocked
}

// judgeList compares a place's revocation list.
func (d *comparison) judgeList(step Step, s sighting) {
	step.Action, step.item = WriteCRL, s.item
	step.Files = []string{d.shown(step.place, s.item.Path)}
	if !s.There {
		step.Why = []Why{{Missing, "without it who is revoked is let in"}}
		d.add(step)
		return
	}
	if bytes.Equal(s.Data, d.known.ListText) {
		return
	}
	if s.Err != nil || !s.Mode.IsRegular() {
		d.block(step, "it cannot be read, or is no file", "look at it: ls -l "+hint.Word(step.Files[0]))
		return
	}
	lists, err := crl.ParsePEM(s.Data)
	if err != nil {
		d.block(step, fmt.Sprintf("it is no revocation list, and no daemon starts with it: %v", err), "move it away: mv "+hint.Word(step.Files[0])+" "+hint.Word(step.Files[0]+".old"))
		return
	}
	for _, l := range crl.Effective(lists) {
		if !l.IssuedBy(d.known.CAs[0]) || bytes.Equal(l.Raw, d.known.List.Raw) {
			continue
		}
		if l.CheckSignature(d.known.CAs[0]) == nil {
			if err := d.known.List.CheckNewer(l); err != nil {
				d.block(step, fmt.Sprintf("it is newer than the authority's: %v", err), "make a new one: virt-pki crl publish")
				return
			}
		}
	}
	if bytes.Equal(ca.MergeLists(d.known.List, lists), s.Data) {
		return // with the lists of other CAs
	}
	step.Why = []Why{{ListChanged, "the authority has made another since"}}
	d.add(step)
}
