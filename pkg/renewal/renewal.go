package renewal

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
)

// A Request says which certificates are to be replaced by new ones, and how.
type Request struct {
	// Spots are where the files are looked for. A certificate is replaced wherever it is in them.
	Spots []layout.Spot
	// Select chooses among the certificates that are in force.
	Select func(inventory.Entry) bool
	// SameKey keeps the private keys; without it new ones are made, of the kind of the old ones or of Key. A certificate whose
	// key is not beside it (it was requested) keeps its key in any case.
	SameKey bool
	Key     certs.KeyAlgorithm
	// NotAfter is the new end. Zero: by the authority's policy.
	NotAfter time.Time
	Now      time.Time
	// DryRun makes everything but what writes or signs with the CA's key.
	DryRun bool
	// Progress, when set, is told how far each stage ("issuing", "writing") has come. It is called from several goroutines.
	Progress func(stage string, done, total int)
	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

func (r Request) steps() steps.Run { return steps.Run{Progress: r.Progress, Step: r.Step} }

// A Renewed is a certificate that was, or would be, replaced.
type Renewed struct {
	Old inventory.Entry
	// New is what took its place; with DryRun its serial number is that of nothing.
	New inventory.Entry
	// KeyKept says that the private key is the old one.
	KeyKept bool
	// Files were replaced, Backups are what was in them.
	Files, Backups []string
}

// A Result says what Run did.
type Result struct {
	Renewed []Renewed
	// Elsewhere are selected certificates whose files are in none of the spots: nothing was done about them.
	Elsewhere []inventory.Entry
	// Settled are certificates that lie in the spots, but an interrupted run had not noted that: now it is.
	Settled []inventory.Entry
	// Proof is what came of the handshakes between what was renewed and all in the spots, before any file was changed.
	Proof proof.Result
	// Broken are ends that did not work before either. They were no hindrance.
	Broken []proof.Failure
}

// Run replaces certificates by new ones with the same subject, names and purposes. All are prepared, and so judged by the
// rules of every libvirt of the authority's policy, before one is signed; the new ones are recorded before files change, and
// connected in memory with each other and with their peers in the spots: if a handshake fails, a *proof.Error says so and
// nothing has changed. What is replaced is kept beside as FILE.old-TIME; key and certificate get their names one right after the
// other; and the old certificates are then superseded: known, and to be revoked if need be. One renewal at a time works on an
// authority.
//
// A run that was interrupted is repeated: what it had put in place is recognised, and the rest is done.
func Run(ctx context.Context, a *ca.Authority, r Request) (Result, error) {
	lock, err := durable.LockDir(ctx, a.Dir())
	if err != nil {
		return Result{}, fmt.Errorf("renewing: %w", err)
	}
	defer lock.Release()
	return RunLocked(ctx, a, r)
}

// RunLocked is Run for who has the lock of the authority's directory.
func RunLocked(ctx context.Context, a *ca.Authority, r Request) (Result, error) {
	w := &renewer{Request: r, authority: a, roots: map[string]*durable.Dir{}}
	defer w.close()
	if err := w.look(ctx); err != nil {
		return Result{}, err
	}
	if err := w.settle(ctx); err != nil {
		return Result{}, err
	}
	if err := w.prepare(ctx); err != nil {
		return Result{}, err
	}
	if r.DryRun {
		return w.result, nil
	}
	return w.result, w.replace(ctx)
}

// renewer is one run.
type renewer struct {
	Request
	authority *ca.Authority
	roots     map[string]*durable.Dir
	locks     []*durable.Held
	held      map[inventory.Key][]holding
	entries   []inventory.Entry
	unknown   []inventory.Entry // held, of this authority, and not in the inventory
	prepared  []*ca.Prepared    // as result.Renewed
	result    Result
	begun     bool // files have got their names
}

func (w *renewer) close() {
	for _, d := range w.roots {
		d.Close()
	}
	for _, l := range w.locks {
		_ = l.Release() // the end of the process does it otherwise
	}
}
