package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/proof"
)

// A Done is a step that was done.
type Done struct {
	Step
	// New is the serial number of what was issued, NotAfter its end.
	New      string
	NotAfter time.Time
	// Backups are what was in the files that were replaced.
	Backups []string
}

// Applied says what Apply did.
type Applied struct {
	Done []Done
	// Left are the steps that are blocked.
	Left []Step
	// Closed are the keys that QEMU cannot read yet.
	Closed []string
	Proof  proof.Result
}

// A StaleError says that the files or the inventory have changed since a plan was shown. Nothing was done.
type StaleError struct{ Step Step }

// Error names the first step that is new.
func (e *StaleError) Error() string {
	return fmt.Sprintf("the plan has changed since it was shown: %s of %q is new", e.Step.Action, e.Step.Member)
}

// Hints names the way on.
func (e *StaleError) Hints() []string { return []string{"look at it again: virt-pki plan"} }

// Application says how changes are applied.
type Application struct {
	Options
	Allow Allowance
	Now   time.Time
	// Agreed are the changes that whoever applies them has seen; nil: all that there are.
	Agreed *Changes
}

// Apply does what Compare finds, with an authority that must be unlocked. It looks once more itself, holding the lock of the
// authority, so that two at once do not do things twice, and refuses to do what is not among the changes that were agreed
// to. The steps:
//
// Every certificate is prepared, and so judged by the rules of every libvirt, before one is signed. Members without a tree
// get one as Plan.Add makes it. In trees that exist, the new files are proven by handshakes before they are put in the place
// of the old ones, which are kept beside as FILE.old-TIME; a key and its certificate get their names one right after the
// other. Every certificate is in the inventory before it is in a file.
//
// An Apply that was interrupted is finished by another one: what lies in its place is recognised by the inventory, a key
// without its certificate gets it, and the rest is done.
func (c *Cluster) Apply(ctx context.Context, a *ca.Authority, o Application) (Applied, error) {
	lock, err := durable.LockDir(ctx, a.Dir())
	if err != nil {
		return Applied{}, fmt.Errorf("applying: %w", err)
	}
	defer lock.Release()
	known, err := Know(ctx, a, o.WriteOptions)
	if err != nil {
		return Applied{}, err
	}
	if err := known.CheckClock(o.Now); err != nil {
		return Applied{}, err
	}
	survey, err := c.Spec(o.Now, known.CAs[0].Subject).Look(ctx, func(done, total int) {
		if o.Progress != nil {
			o.Progress("looking", done, total)
		}
	})
	if err != nil {
		return Applied{}, err
	}
	changes := c.Compare(&known, survey, o.Now, o.Allow)
	if err := changes.within(o.Agreed); err != nil {
		return Applied{}, err
	}
	w := &applier{Application: o, cluster: c, authority: a, known: known, survey: survey, changes: changes}
	for _, s := range changes.Steps {
		if s.Blocked {
			w.applied.Left = append(w.applied.Left, s)
		}
	}
	err = w.run(ctx)
	return w.applied, err
}

// within reports a step that was not agreed to. What only finishes an interrupted run may be new.
func (c Changes) within(agreed *Changes) error {
	if agreed == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, s := range agreed.Steps {
		seen[s.key()] = true
	}
	for _, s := range c.Steps {
		if !s.Blocked && s.Action != Record && s.Action != Finish && !seen[s.key()] {
			return &StaleError{s}
		}
	}
	return nil
}

// key tells steps apart.
func (s Step) key() string {
	return strings.Join(append([]string{string(s.Action), s.Member, s.Role.String(), string(s.Layout)}, s.Files...), "\x00")
}

// applier is one run of Apply.
type applier struct {
	Application
	cluster   *Cluster
	authority *ca.Authority
	known     Known
	survey    Survey
	changes   Changes
	applied   Applied

	plan *Plan // of members without a tree
	jobs []*job
}

// job is one identity that is put into a tree that exists.
type job struct {
	step     Step
	prepared *ca.Prepared
	issued   *ca.Issued
	entry    inventory.Entry
	key      []byte // in PEM
	backups  []string
	put      bool
}

func (w *applier) done(s Step, d Done) {
	d.Step = s
	w.applied.Done = append(w.applied.Done, d)
}

// run does the steps. Those that only write down go first, then everything is prepared, then made.
func (w *applier) run(ctx context.Context) error {
	var steps []Step
	for _, s := range w.changes.Steps {
		if !s.Blocked {
			steps = append(steps, s)
		}
	}
	revised, err := w.prepare(steps)
	if err != nil {
		return err
	}
	for _, s := range steps {
		switch s.Action {
		case SetPolicy:
			w.steps().Say("policy")
			if err := revised.KeepPolicy(ctx); err != nil {
				return err
			}
			w.done(s, Done{})
		case Record:
			if err := w.publish(ctx, []inventory.Entry{s.entry}); err != nil {
				return err
			}
			w.done(s, Done{New: s.entry.Serial, NotAfter: s.entry.NotAfter})
		case TakeOver:
			if err := w.adopt(ctx, s); err != nil {
				return err
			}
			w.done(s, Done{NotAfter: s.cert.NotAfter})
		}
	}
	if err := w.addTrees(ctx); err != nil {
		return err
	}
	if err := w.changeTrees(ctx, steps); err != nil {
		return err
	}
	return w.setModes(ctx, steps)
}

// prepare has everything judged that is to be issued, by the authority as it will be.
func (w *applier) prepare(steps []Step) (*ca.Authority, error) {
	a := w.authority
	if slices.ContainsFunc(steps, func(s Step) bool { return s.Action == SetPolicy }) {
		a = a.Revised(w.cluster.Policy)
		w.authority = a
	}
	var orders []ca.Order
	var issuing []*job
	fresh := map[string]bool{} // members without a tree
	spec := w.changes.spec
	var members []Member
	for _, s := range steps {
		if s.want < 0 || s.Action == TakeOver || s.Action == Record {
			continue
		}
		m := w.changes.wants[s.want].member
		if s.Action == Issue && !spec.flat() && !w.treeOf(s).there {
			if !fresh[m.Name] {
				fresh[m.Name] = true
				members = append(members, m)
			}
			continue
		}
		j := &job{step: s, entry: s.entry}
		w.jobs = append(w.jobs, j)
		if s.Action == Finish {
			continue
		}
		o, err := spec.order(w.changes.wants[s.want])
		if err != nil {
			return nil, err
		}
		orders, issuing = append(orders, o), append(issuing, j)
	}
	if len(orders)+len(members) > 0 && !a.Unlocked() {
		return nil, ca.ErrLocked
	}
	prepared, err := a.PrepareAll(w.Now, orders)
	if err != nil {
		return nil, err
	}
	for i, j := range issuing {
		j.prepared = prepared[i]
	}
	if len(members) > 0 {
		spec.Members = members
		if w.plan, err = spec.Plan(a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// treeOf gives what was seen of a step's member.
func (w *applier) treeOf(s Step) surveyed {
	if s.place.member < len(w.survey.members) {
		return w.survey.members[s.place.member]
	}
	return surveyed{}
}

func (w *applier) rootOf(s Step) string {
	return w.changes.spec.tree(w.changes.wants[w.changes.places[s.place.member][s.place.place].wants[0]].member)
}

// Rehearse has everything judged that Apply would issue, as it would, without a key: the error joins all that is wrong. The
// policy is the cluster file's.
func (c Changes) Rehearse(a *ca.Authority, policy ca.Policy) error {
	var orders []ca.Order
	for _, s := range c.Steps {
		switch {
		case s.Action == SetPolicy:
			a = a.Revised(policy)
		case !s.Blocked && (s.Action == Issue || s.Action == Replace) && s.want >= 0:
			o, err := c.spec.order(c.wants[s.want])
			if err != nil {
				return err
			}
			orders = append(orders, o)
		}
	}
	_, err := a.PrepareAll(c.spec.Now, orders)
	return err
}
