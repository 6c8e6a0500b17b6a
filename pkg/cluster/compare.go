package cluster

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// comparison is one run of Compare.
type comparison struct {
	*Cluster
	known   *Known
	survey  Survey
	now     time.Time
	allow   Allowance
	changes Changes

	byText  map[string]int   // the entry of a certificate's file
	byKeyID map[string][]int // of those that were issued or published
	// byIdentity are the entries of a host, role and layout.
	byIdentity map[string][]int
	shapes     map[string]string
	shape      []byte // of the latest certificate
	// inPlace are entries that were found where they belong.
	inPlace []bool
}

func (d *comparison) add(s Step) {
	if s.want >= 0 && s.Files == nil {
		// Keys first, as they are written. Most identities need no step, and no names.
		items := d.changes.places[s.place.member][s.place.place].Items(d.changes.wants[s.want].fills...)
		for _, part := range []layout.Part{layout.Key, layout.Cert} {
			for _, item := range items {
				if item.Part == part {
					s.Files = append(s.Files, d.shown(s.place, item.Path))
				}
			}
		}
	}
	d.changes.Steps = append(d.changes.Steps, s)
}

func (d *comparison) note(member, command, format string, a ...any) {
	d.changes.Notes = append(d.changes.Notes, Note{member, fmt.Sprintf(format, a...), command})
}

func (d *comparison) run() {
	if d.known == nil {
		d.add(Step{Action: MakeAuthority, Why: []Why{{Missing, "there is no authority"}}, Files: []string{d.Founding.Dir}, want: -1})
	} else {
		d.index()
		d.policy()
	}
	for i, places := range d.changes.places {
		var seen surveyed
		if i < len(d.survey.members) {
			seen = d.survey.members[i]
		}
		for j := range places {
			d.judgePlace(placeRef{i, j}, seen)
		}
	}
	d.dropped()
	d.unlisted()
	slices.SortStableFunc(d.changes.Notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Text, b.Text)) })
	d.access()
	order := map[Action]int{}
	for i, a := range []Action{MakeAuthority, SetPolicy, Record, TakeOver} {
		order[a] = i - 10
	}
	slices.SortStableFunc(d.changes.Steps, func(a, b Step) int { return order[a.Action] - order[b.Action] })
}

// index prepares the look-ups.
func (d *comparison) index() {
	d.byText, d.byKeyID, d.shapes = make(map[string]int, len(d.known.Entries)), map[string][]int{}, map[string]string{}
	d.byIdentity = make(map[string][]int, len(d.known.Entries))
	d.inPlace = make([]bool, len(d.known.Entries))
	for i, e := range d.known.Entries {
		d.byText[string(e.PEM)] = i
		if e.Host != "" {
			id := identityOf(e.Host, e.Role, e.Layout)
			d.byIdentity[id] = append(d.byIdentity[id], i)
		}
		if e.Revoked == nil && (e.State == inventory.Issued || e.State == inventory.Published) {
			d.byKeyID[e.KeyID] = append(d.byKeyID[e.KeyID], i)
		}
	}
}

// policy compares the versions of libvirt that the file names with those that the authority issues for.
func (d *comparison) policy() {
	want := d.Policy
	if len(want.Libvirt) == 0 && !want.StrictKeyUsage {
		return // the file says nothing about it
	}
	if len(want.Libvirt) == 0 {
		want.Libvirt = d.known.Policy.Libvirt
	}
	if slices.Equal(want.Libvirt, d.known.Policy.Libvirt) && want.StrictKeyUsage == d.known.Policy.StrictKeyUsage {
		return
	}
	text := fmt.Sprintf("certificates are for libvirt %s, and were for %s", versionList(want.Libvirt), versionList(d.known.Policy.Libvirt))
	if slices.Equal(want.Libvirt, d.known.Policy.Libvirt) {
		text = "strict_key_usage has changed"
	}
	d.add(Step{Action: SetPolicy, Why: []Why{{CompatChanged, text}}, Files: []string{filepath.Join(d.known.Dir, "authority.json")}, want: -1})
}

func versionList(list []verify.Version) string {
	var words []string
	for _, v := range list {
		words = append(words, v.String())
	}
	return strings.Join(words, ", ")
}

// versions are those that every certificate must be good for.
func (d *comparison) versions() []verify.Version {
	switch {
	case len(d.Policy.Libvirt) > 0:
		return d.Policy.Libvirt
	case d.known != nil:
		return d.known.Policy.Libvirt
	}
	return verify.Measured()
}

// shown gives a file's path as it is called here.
func (d *comparison) shown(ref placeRef, name string) string {
	return filepath.Join(d.changes.spec.tree(d.memberOf(ref)), name)
}

func (d *comparison) memberOf(ref placeRef) Member {
	return d.changes.wants[d.changes.places[ref.member][ref.place].wants[0]].member
}

// block adds a step that is not done.
func (d *comparison) block(step Step, text, way string) whose {
	step.Blocked, step.Way = true, way
	step.Why = append(step.Why, Why{NotOurs, text})
	d.add(step)
	return wantTheirs
}
