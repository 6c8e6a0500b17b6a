package renewal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
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

// A KeyStateError says why the private key beside a certificate cannot be kept or replaced.
type KeyStateError struct {
	Path, Problem string
	hint          string
}

// Error names the file.
func (e *KeyStateError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Problem) }

// Hints names the remedy.
func (e *KeyStateError) Hints() []string { return []string{e.hint} }

// holding is a certificate in a spot, with its key's file.
type holding struct {
	layout.Spot
	role     certs.Role
	cert     *certs.Certificate
	text     []byte // the certificate's file
	certInfo fs.FileInfo
	key      []byte // the key's file, nil where there is none
	keyInfo  fs.FileInfo
}

// path gives the file of a part as it is called on this machine.
func (h holding) path(p layout.Part) string {
	paths := h.Paths(h.role)
	if p == layout.Key {
		return h.Shown(paths.Key)
	}
	return h.Shown(paths.Cert)
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

// root opens the root of a spot, once, and keeps others from writing below it.
func (w *renewer) root(ctx context.Context, s layout.Spot) (*durable.Dir, error) {
	if d := w.roots[s.Root]; d != nil {
		return d, nil
	}
	d, err := durable.Open(s.Root)
	if err != nil {
		return nil, err
	}
	lock, err := durable.LockDir(ctx, s.Root)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("renewing in %q: %w", s.Root, err)
	}
	w.locks = append(w.locks, lock)
	d.Hook = w.steps().Hook()
	w.roots[s.Root] = d
	return d, nil
}

// look finds what lies in the spots and what the inventory knows.
func (w *renewer) look(ctx context.Context) error {
	w.held = map[inventory.Key][]holding{}
	var err error
	if w.entries, err = w.authority.Inventory().List(ctx, inventory.Filter{}); err != nil {
		return err
	}
	known := map[inventory.Key]bool{}
	for _, e := range w.entries {
		known[e.Key] = true
	}
	for _, s := range w.Spots {
		d, err := w.root(ctx, s)
		if err != nil {
			return err
		}
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			h := holding{Spot: s, role: role}
			paths := s.Paths(role)
			if h.text, h.certInfo, err = layout.ReadIn(d, paths.Cert); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				h.cert, err = certs.ImportPEM(h.text)
			}
			if err != nil {
				return fmt.Errorf("reading %q: %w", h.path(layout.Cert), err)
			}
			key, err := w.authority.KeyOf(h.cert)
			var stranger *ca.StrangerError
			if errors.As(err, &stranger) {
				continue
			}
			if err != nil {
				return err
			}
			if h.key, h.keyInfo, err = layout.ReadIn(d, paths.Key); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("reading %q: %w", h.path(layout.Key), err)
			}
			if !w.DryRun {
				for _, name := range []string{paths.Key, paths.Cert} {
					if _, err := d.RemoveLeftovers(path.Dir(layout.Below(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
						return err
					}
				}
			}
			if !known[key] {
				e, err := w.authority.Describe(h.cert, w.Now)
				if err != nil {
					return err
				}
				e.Layout = string(s.Kind)
				known[key], w.unknown = true, append(w.unknown, e)
				w.entries = append(w.entries, e)
			}
			w.held[key] = append(w.held[key], h)
		}
	}
	return nil
}

// settle notes what an interrupted run did not come to note: a certificate that lies in its place is published, and the one
// whose place it took is superseded.
func (w *renewer) settle(ctx context.Context) error {
	for i := range w.entries {
		e := &w.entries[i]
		if e.State != inventory.Issued || len(w.held[e.Key]) == 0 {
			continue
		}
		var replaced []inventory.Key
		for j := range w.entries {
			o := &w.entries[j]
			if o.State == inventory.Published && len(w.held[o.Key]) == 0 && samePlace(*o, *e) && !o.Created.After(e.Created) {
				replaced = append(replaced, o.Key)
				o.State = inventory.Superseded
			}
		}
		e.State = inventory.Published
		w.result.Settled = append(w.result.Settled, *e)
		if w.DryRun {
			continue
		}
		// In this order: when it ends in between, this one is still to be settled.
		if err := w.authority.Inventory().MarkSuperseded(ctx, replaced...); err != nil {
			return err
		}
		if err := w.authority.Inventory().MarkPublished(ctx, e.Key); err != nil {
			return err
		}
	}
	return nil
}

// samePlace reports whether two entries are for the same host, role and layout.
func samePlace(a, b inventory.Entry) bool {
	return a.Host == b.Host && a.Role == b.Role && a.Layout == b.Layout && a.Subject == b.Subject
}

// prepare decides about every selected certificate, and has the new ones judged.
func (w *renewer) prepare(ctx context.Context) error {
	var orders []ca.Order
	var faults []error
	for _, e := range w.entries {
		if !e.InForce() || e.State == inventory.Foreign && len(w.held[e.Key]) == 0 || !w.Select(e) {
			continue
		}
		held := w.held[e.Key]
		if len(held) == 0 {
			if e.State == inventory.Published {
				w.result.Elsewhere = append(w.result.Elsewhere, e)
			}
			continue
		}
		order, kept, err := w.order(e, held)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		n := Renewed{Old: e, KeyKept: kept}
		for _, h := range held {
			n.Files = append(n.Files, h.path(layout.Cert))
			if !kept {
				n.Files = append(n.Files, h.path(layout.Key))
			}
		}
		orders, w.result.Renewed = append(orders, order), append(w.result.Renewed, n)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	var err error
	if w.prepared, err = w.authority.PrepareAll(w.Now, orders); err != nil {
		return err
	}
	for i, p := range w.prepared {
		n := &w.result.Renewed[i].New
		*n = w.result.Renewed[i].Old
		n.Key = inventory.NewKey(p.Serial(), nil)
		n.NotBefore, n.NotAfter, n.State, n.PEM, n.Created = p.Order().NotBefore, p.Order().NotAfter, "", nil, w.Now
	}
	return nil
}

// order makes the order for what takes a certificate's place.
func (w *renewer) order(e inventory.Entry, held []holding) (o ca.Order, kept bool, err error) {
	cert := held[0].cert
	o = ca.Order{Request: certs.Request{Role: e.Role, Subject: cert.Subject, Names: e.Names, Addresses: e.Addresses, NotAfter: w.NotAfter},
		Host: e.Host, Layout: e.Layout, Key: w.Key}
	if e.State == inventory.Foreign { // another program's row
		d, err := w.authority.Describe(cert, w.Now)
		if err != nil {
			return o, false, err
		}
		o.Role, o.Names, o.Addresses, o.Host, o.Layout = d.Role, d.Names, d.Addresses, d.Host, string(held[0].Kind)
	}
	if kept = w.SameKey || slices.ContainsFunc(held, func(h holding) bool { return h.key == nil }); kept {
		o.Public = cert.PublicKey
	} else if o.Key == "" {
		o.Key, _ = certs.AlgorithmOf(cert.PublicKey) // of another kind: by the policy
	}
	for _, h := range held {
		if h.key == nil {
			continue
		}
		switch key, err := certs.ParseKey(h.key, nil); {
		case errors.Is(err, certs.ErrPassphraseNeeded) && !kept:
			return o, kept, &KeyStateError{h.path(layout.Key), "the key is encrypted, a new one would not be", "keep it: virt-pki renew --same-key"}
		case errors.Is(err, certs.ErrPassphraseNeeded):
		case err != nil && kept:
			return o, kept, fmt.Errorf("reading the key %q: %w", h.path(layout.Key), err)
		case err == nil && kept && !certs.SameKey(key.Public(), cert.PublicKey):
			return o, kept, &KeyStateError{h.path(layout.Key), "the key is not that of the certificate beside it", "make a new one: virt-pki renew without --same-key"}
		case err == nil && kept:
			o.Holder = key
		}
	}
	return o, kept, nil
}

// replace signs, and puts everything into its place.
func (w *renewer) replace(ctx context.Context) error {
	if len(w.prepared) == 0 {
		return nil
	}
	inv := w.authority.Inventory()
	for _, e := range w.unknown {
		if !slices.ContainsFunc(w.result.Renewed, func(n Renewed) bool { return n.Old.Key == e.Key }) {
			continue
		}
		if err := inv.Record(ctx, e); err != nil {
			return err
		}
	}
	w.steps().Say("issue")
	issued, err := w.authority.IssueAll(ctx, w.prepared, w.steps().Report("issuing", len(w.prepared)))
	if err != nil {
		return err
	}
	var keys, old []inventory.Key
	for i := range issued {
		n := &w.result.Renewed[i]
		n.New = issued[i].Entry
		keys = append(keys, n.New.Key)
		if n.Old.State != inventory.Foreign { // another program's row has no state
			old = append(old, n.Old.Key)
		}
	}
	files, err := w.contents(issued)
	defer func() {
		for _, f := range files {
			if f.part == layout.Key {
				clear(f.now)
			}
		}
	}()
	if err == nil {
		err = w.prove(ctx, files)
	}
	if err == nil {
		err = w.put(ctx, files)
	}
	if err != nil {
		if !w.begun { // nothing is in its place
			w.steps().Say("abandon")
			err = errors.Join(err, inv.Abandon(ctx, keys...))
		}
		return err
	}
	// In this order: what is published and not to be found any more would look like a certificate that is used elsewhere.
	w.steps().Say("supersede")
	if err := supersede(ctx, inv, w.result.Renewed, old); err != nil {
		return err
	}
	w.steps().Say("mark")
	if err := inv.MarkPublished(ctx, keys...); err != nil {
		return err
	}
	for i := range w.result.Renewed {
		w.result.Renewed[i].New.State = inventory.Published
	}
	return nil
}

// supersede notes that certificates were replaced. One that was never marked as published is so first.
func supersede(ctx context.Context, inv *inventory.Inventory, list []Renewed, old []inventory.Key) error {
	var unmarked []inventory.Key
	for _, n := range list {
		if n.Old.State == inventory.Issued {
			unmarked = append(unmarked, n.Old.Key)
		}
	}
	if err := inv.MarkPublished(ctx, unmarked...); err != nil {
		return err
	}
	return inv.MarkSuperseded(ctx, old...)
}

// A newFile is one file that gets new content.
type newFile struct {
	holding
	of       int // in result.Renewed
	name     string
	part     layout.Part
	was, now []byte
	info     fs.FileInfo
	backup   string
	pending  *durable.Pending
}

// contents composes the files: of each certificate the keys first, as everywhere.
func (w *renewer) contents(issued []ca.Issued) ([]*newFile, error) {
	var files []*newFile
	for i := range issued {
		n := &w.result.Renewed[i]
		n.Files = nil
		for _, h := range w.held[n.Old.Key] {
			paths := h.Paths(h.role)
			if !n.KeyKept {
				key, err := certs.MarshalKey(issued[i].Key, nil)
				if err != nil {
					return files, err
				}
				files = append(files, &newFile{holding: h, of: i, name: paths.Key, part: layout.Key, was: h.key, now: key, info: h.keyInfo})
			}
			above := rest(h.text)
			if n.New.Authority != n.Old.Authority { // of another CA, which had others above it
				above = nil
			}
			files = append(files, &newFile{holding: h, of: i, name: paths.Cert, part: layout.Cert, was: h.text,
				now: append(issued[i].PEM(), above...), info: h.certInfo})
		}
	}
	return slices.DeleteFunc(files, func(f *newFile) bool { return bytes.Equal(f.was, f.now) }), nil
}

// prove connects what will be there with what is: while the files are on their way to the hosts, both are in use.
func (w *renewer) prove(ctx context.Context, files []*newFile) error {
	before, err := proof.Read(w.Spots)
	if err != nil {
		return err
	}
	type end struct {
		spot layout.Spot
		role certs.Role
	}
	changed, rotated := map[end]proof.Identity{}, false
	for _, x := range before {
		changed[end{x.Spot, x.Role}] = x
	}
	touched := map[end]bool{}
	for _, f := range files {
		at := end{f.Spot, f.role}
		x := changed[at]
		if f.part == layout.Key {
			x.Key = f.now
		} else {
			x.Cert = f.now
		}
		changed[at], touched[at] = x, true
		n := w.result.Renewed[f.of]
		rotated = rotated || n.New.Authority != n.Old.Authority
	}
	var replaced, unchanged, after []proof.Identity
	for _, x := range before {
		at := end{x.Spot, x.Role}
		if touched[at] {
			replaced, after = append(replaced, x), append(after, changed[at])
		} else {
			unchanged = append(unchanged, x)
		}
	}
	w.steps().Say("prove")
	w.result.Proof, w.result.Broken, err = proof.New(w.authority.Policy().Libvirt, w.Now, w.steps().Workers()).Change(ctx, replaced, unchanged, after, rotated)
	if err == nil && len(w.result.Proof.Failures) > 0 {
		err = &proof.Error{Result: w.result.Proof}
	}
	return err
}

// fewFiles is up to how many files are synchronised one by one. Above it the file systems are, at once: that is what makes a
// thousand hosts as quick as one, and dear for one on a machine that has other things to write.
const fewFiles = 32

// put writes all files and the backups of what they replace beside their places, makes that durable, and gives them their
// names, one right after the other.
func (w *renewer) put(ctx context.Context, files []*newFile) error {
	defer func() {
		for _, f := range files {
			if f.pending != nil {
				f.pending.Discard() // of those that have no name yet
			}
		}
	}()
	dirs := make([]*durable.Dir, 0, len(w.roots))
	for _, d := range w.roots {
		dirs = append(dirs, d)
	}
	many := len(files) > fewFiles
	if many {
		for _, d := range dirs {
			d.Unsynced()
		}
	}
	progress := w.steps().Report("writing", len(files))
	for i, f := range files {
		d := w.roots[f.Root]
		var err error
		if f.backup, err = w.backup(d, f.holding, f.name, f.part, f.was, f.info); err == nil {
			// Owner and mode stay: QEMU's group may have been let in.
			f.pending, err = d.Prepare(durable.File{Name: layout.Below(f.name), Data: f.now, Mode: f.info.Mode().Perm(), Replace: true})
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("renewing %q: %w", w.result.Renewed[f.of].Old.Host, err)
		}
		if progress != nil {
			progress(i + 1)
		}
	}
	if many {
		w.steps().Say("syncfs")
		if err := durable.SyncAll(dirs); err != nil {
			return fmt.Errorf("renewing: %w", err)
		}
	}
	touched := map[string]map[string]bool{}
	for _, f := range files {
		n := &w.result.Renewed[f.of]
		w.begun = true
		if err := f.pending.Publish(); err != nil {
			return fmt.Errorf("renewing %q: %w", n.Old.Host, err)
		}
		n.Files, n.Backups = append(n.Files, f.Shown(f.name)), append(n.Backups, f.backup)
		if touched[f.Root] == nil {
			touched[f.Root] = map[string]bool{}
		}
		touched[f.Root][path.Dir(layout.Below(f.name))] = true
	}
	if many {
		w.steps().Say("syncfs")
		return durable.SyncAll(dirs)
	}
	for _, root := range sortedKeys(touched) {
		for _, dir := range sortedKeys(touched[root]) {
			if err := w.roots[root].SyncDir(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// rest gives what follows the first certificate in a file: those above it, which stay.
func rest(text []byte) []byte {
	const end = "-----END CERTIFICATE-----"
	i := bytes.Index(text, []byte(end))
	if i < 0 {
		return nil
	}
	after := bytes.TrimLeft(text[i+len(end):], "\r\n\t ")
	if !bytes.Contains(after, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil
	}
	return after
}

// backup keeps what a file holds.
func (w *renewer) backup(d *durable.Dir, h holding, name string, part layout.Part, data []byte, info fs.FileInfo) (string, error) {
	to, err := layout.KeepBeside(d, name, part, data, info, w.Now)
	return h.Shown(to), err
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return keys
}
