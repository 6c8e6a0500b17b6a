package rotation

import (
	"context"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/steps"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

// A Request asks for the next stage of the replacement of the CA.
type Request struct {
	// Spots are the places that are looked at and changed.
	Spots []layout.Spot
	// Stage is the stage that is meant; empty: the next one, whichever it is. Any other than the next is a *ca.StageError.
	Stage ca.RotationStage
	// Successor is the new CA, for the first stage.
	Successor ca.Successor
	// ByHand are the hosts and clients whose files are not in the spots and that are known to have what the stage gives.
	ByHand []string
	// NewKeys replaces the keys with the certificates in SwitchOver. Without it each file is replaced by one rename, and at no
	// moment does a client or a starting daemon find a key and a certificate that do not belong together.
	NewKeys bool
	// Now is the time.
	Now time.Time
	// DryRun does everything but sign and write.
	DryRun bool
	// Progress, when set, is told how far each stage of the work has come. It is called from several goroutines.
	Progress func(stage string, done, total int)
	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

func (s Request) steps() steps.Run { return steps.Run{Progress: s.Progress, Step: s.Step} }

// A Place is one layout as the rotation finds it.
type Place struct {
	layout.Spot
	// Hosts are whose certificates lie there.
	Hosts []string
	// TrustsOld and TrustsNew say which CA is in the CA file.
	TrustsOld, TrustsNew bool
	// OfOld and OfNew are the roles whose certificate is the old and the new CA's.
	OfOld, OfNew []certs.Role
	// Revoked are the roles whose certificate is the old CA's, and revoked: no stage waits for what nobody is to let in.
	Revoked []certs.Role
}

// A Lack is what a place, or a certificate whose place is not known, has yet to get before a stage is complete.
type Lack struct {
	// Where is the place's CA file or, where no file is known, the host or client.
	Where string
	// Hosts are whom it concerns.
	Hosts []string
	What  string
	// Unseen says that the files are in none of the directories: what they hold is not known.
	Unseen bool
}

// A Result says what was done and what remains.
type Result struct {
	// Stage is the stage that was done, Begun says that this was its beginning.
	Stage ca.RotationStage
	// Done says that the stage is complete; else Lacks says why not.
	Done  bool
	Lacks []Lack
	// Changed are the files that were changed, Backups what was in them.
	Changed, Backups []string
	// Renewed are the certificates that were replaced.
	Renewed []renewal.Renewed
	Proof   proof.Result
	// Broken are ends that did not work before the stage either.
	Broken []proof.Failure
	// Retired is where the old CA is kept after the last stage.
	Retired string
	// NotAfter is the end of the old CA, by which the last stage must be complete.
	NotAfter time.Time
}

// A Status says how a rotation stands.
type Status struct {
	ca.Rotation
	// Next is the stage to be done, empty when none is left.
	NextStage ca.RotationStage
	Places    []Place
	// Lacks is what keeps the current stage from being complete.
	Lacks []Lack
}

// StatusOf says how the replacement of an authority's CA stands in the spots. ok is false when none is under way.
func StatusOf(ctx context.Context, a *ca.Authority, spots []layout.Spot, byHand []string, now time.Time) (s Status, ok bool, err error) {
	r, ok := a.Rotation()
	if !ok {
		return Status{}, false, nil
	}
	s = Status{Rotation: r}
	s.NextStage, _ = r.Next()
	o := &rotator{Request: Request{Spots: spots, ByHand: byHand, Now: now}, authority: a}
	if err := o.look(ctx); err != nil {
		return s, true, err
	}
	s.Places, s.Lacks = o.places, o.lacks(r.Stage)
	return s, true, nil
}

// Advance does the next stage of the replacement of the CA, proves it before anything is in use, and says what remains. A stage
// that is not complete, because places are not in the spots, is done again with others.
//
// TrustBoth makes the new CA and adds it to every CA file; IssueNew lets the new CA issue; SwitchOver replaces the old CA's
// certificates; PruneOld takes the old CA out of the files. Between the stages the files must have reached the hosts and
// daemons must have read them; that is for the caller to be sure of.
//
// A run that was interrupted is repeated. On success of the last stage the rotation is over.
func Advance(ctx context.Context, a *ca.Authority, s Request) (Result, error) {
	o := &rotator{Request: s, authority: a}
	lock, err := durable.LockDir(ctx, a.Dir())
	if err != nil {
		return Result{}, fmt.Errorf("rotating the CA: %w", err)
	}
	defer lock.Release()
	next := ca.TrustBoth
	r, underWay := a.Rotation()
	if underWay {
		var more bool
		if next, more = r.Next(); !more { // interrupted at the very end
			next = ca.PruneOld
		}
		o.result.NotAfter = r.Old.NotAfter()
	} else {
		o.result.NotAfter = a.NotAfter()
	}
	if s.Stage != "" && s.Stage != next {
		if !underWay {
			return Result{}, &ca.StageError{Asked: s.Stage}
		}
		return Result{}, &ca.StageError{Asked: s.Stage, Next: next}
	}
	o.result.Stage = next
	if err := o.tidy(ctx); err != nil {
		return o.result, err
	}
	do := map[ca.RotationStage]func(context.Context) error{ca.TrustBoth: o.trust, ca.IssueNew: o.issue, ca.SwitchOver: o.switchOver, ca.PruneOld: o.prune}[next]
	if err := do(ctx); err != nil {
		return o.result, err
	}
	return o.result, nil
}

// rotator is one run of Advance.
type rotator struct {
	Request
	authority *ca.Authority
	places    []Place
	entries   []inventory.Entry
	seen      map[inventory.Key]bool
	result    Result
}
