package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/verify"
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

// A ClockError says that the clock is behind what the inventory has seen.
type ClockError struct{ Now, Seen time.Time }

// Error gives both times.
func (e *ClockError) Error() string {
	return fmt.Sprintf("it is %s by this machine's clock, but the inventory has a certificate of %s",
		e.Now.UTC().Format("2006-01-02 15:04:05"), e.Seen.UTC().Format("2006-01-02 15:04:05"))
}

// Hints names the remedy.
func (e *ClockError) Hints() []string { return []string{"set the clock: timedatectl"} }

// maxClockSkew is how far apart the clocks of those who share an inventory may be.
const maxClockSkew = 10 * time.Minute

// CheckClock reports a clock that was set back: by it, certificates would seem to begin in the future, and those that are due
// would not.
func (k Known) CheckClock(now time.Time) error {
	for _, e := range k.Entries {
		if e.Created.Sub(now) > maxClockSkew && e.State != inventory.Foreign {
			return &ClockError{now, e.Created}
		}
	}
	return nil
}

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

// publish notes that certificates are in their places, and that others of the same host, role and layout are not any more:
// those that were are superseded, those that never came so far abandoned.
func (w *applier) publish(ctx context.Context, list []inventory.Entry) error {
	if len(list) == 0 {
		return nil
	}
	identity := func(e inventory.Entry) string { return e.Host + "\x00" + e.Role.String() + "\x00" + e.Layout }
	current, keys := map[string]bool{}, map[inventory.Key]bool{}
	var published, superseded, abandoned []inventory.Key
	for _, e := range list {
		current[identity(e)], keys[e.Key] = true, true
		published = append(published, e.Key)
	}
	for _, e := range w.known.Entries {
		if keys[e.Key] || !current[identity(e)] {
			continue
		}
		switch e.State {
		case inventory.Published:
			superseded = append(superseded, e.Key)
		case inventory.Issued:
			abandoned = append(abandoned, e.Key)
		}
	}
	// In this order: as long as the new ones are not marked, the next run knows that there is something to mark.
	inv := w.authority.Inventory()
	w.steps().Say("mark as superseded")
	if err := inv.MarkSuperseded(ctx, superseded...); err != nil {
		return err
	}
	w.steps().Say("mark as abandoned")
	if err := inv.Abandon(ctx, abandoned...); err != nil {
		return err
	}
	w.steps().Say("mark as published")
	return inv.MarkPublished(ctx, published...)
}

// adopt writes a certificate that was found into the inventory: one of this CA as if it had been issued for its place, one of
// another as another program's.
func (w *applier) adopt(ctx context.Context, s Step) error {
	w.steps().Say("adopt")
	e, err := w.authority.Describe(s.cert, w.Now)
	var stranger *ca.StrangerError
	switch {
	case errors.As(err, &stranger):
		e = foreignEntry(s.cert, w.Now)
	case err != nil:
		return err
	default:
		e.Host, e.Layout = s.Member, string(s.Layout)
	}
	err = w.authority.Inventory().Record(ctx, e)
	if errors.Is(err, inventory.ErrDuplicateSerial) {
		return nil // the same certificate lies in several places
	}
	if err != nil || e.State == inventory.Foreign {
		return err
	}
	return w.publish(ctx, []inventory.Entry{e}) // it has the place of what was issued for it before
}

// foreignEntry describes another CA's certificate.
func foreignEntry(c *certs.Certificate, now time.Time) inventory.Entry {
	e := inventory.Entry{State: inventory.Foreign, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Created: now,
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})}
	e.Serial = c.SerialHex()
	if std, err := c.X509(); err == nil {
		e.Key = inventory.NewKey(std.SerialNumber, std.AuthorityKeyId)
		e.CommonName, e.Names = std.Subject.CommonName, std.DNSNames
	}
	if e.Authority == "" { // of what names its issuer by no key
		e.Authority = hex.EncodeToString(issuerHash(c.Issuer))
	}
	return e
}

// addTrees makes the trees of members that have none.
func (w *applier) addTrees(ctx context.Context) error {
	if w.plan == nil {
		return nil
	}
	made, err := w.plan.Add(ctx, w.Options)
	if err != nil {
		return err
	}
	w.applied.Closed, w.applied.Proof = made.Closed, made.Proof
	issued := map[string]Identity{}
	var entries []inventory.Entry
	for i, id := range made.Identities {
		issued[id.Member+"\x00"+id.Role.String()+"\x00"+string(id.Layout)] = id
		entries = append(entries, inventory.Entry{Key: inventory.Key{Serial: id.Serial, Authority: w.authority.ID()}, Host: id.Member,
			Role: w.plan.wants[i].role, Layout: string(id.Layout)})
	}
	for _, s := range w.changes.Steps {
		if id, ok := issued[s.Member+"\x00"+s.Role.String()+"\x00"+string(s.Layout)]; ok && s.Action == Issue && !s.Blocked {
			w.done(s, Done{New: id.Serial, NotAfter: id.NotAfter})
		}
	}
	return w.publish(ctx, entries)
}

// changeTrees issues, proves and puts in place what belongs into trees that exist.
func (w *applier) changeTrees(ctx context.Context, steps []Step) error {
	if err := w.issue(ctx); err != nil {
		return err
	}
	files, err := w.files(steps)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return nil
	}
	d, err := durable.Open(w.changes.spec.Dir)
	if err != nil {
		return fmt.Errorf("applying: %w", err)
	}
	defer d.Close()
	err = w.prove(ctx, d, files)
	if err == nil {
		err = w.replace(ctx, files)
	}
	// Whatever happened: what the inventory says is what lies there.
	var published []inventory.Entry
	var abandoned []inventory.Key
	for _, j := range w.jobs {
		switch {
		case j.put:
			published = append(published, j.entry)
		case j.issued != nil:
			abandoned = append(abandoned, j.entry.Key)
		}
	}
	quiet := context.WithoutCancel(ctx)
	err = errors.Join(err, w.publish(quiet, published))
	if err != nil && len(abandoned) > 0 {
		err = errors.Join(err, w.abandon(quiet, abandoned))
	}
	for _, j := range w.jobs {
		if j.put {
			w.done(j.step, Done{New: j.entry.Serial, NotAfter: j.entry.NotAfter, Backups: j.backups})
		}
	}
	return err
}

// abandon gives up what was issued and does not lie in its place. A key that lies there without its certificate makes it one
// that is to be finished.
func (w *applier) abandon(ctx context.Context, keys []inventory.Key) error {
	view, err := w.changes.spec.Look(ctx, nil)
	if err != nil {
		return nil // it stays "issued", and the next run looks after it
	}
	lying := map[string]bool{}
	for _, m := range view.members {
		for _, p := range m.places {
			for _, s := range p {
				if s.key.state == keyOther {
					lying[s.key.id] = true
				}
			}
		}
	}
	var gone []inventory.Key
	for _, j := range w.jobs {
		if slices.Contains(keys, j.entry.Key) && !lying[j.entry.KeyID] {
			gone = append(gone, j.entry.Key)
		}
	}
	return w.authority.Inventory().Abandon(ctx, gone...)
}

// issue signs and records what the jobs need.
func (w *applier) issue(ctx context.Context) error {
	var prepared []*ca.Prepared
	var issuing []*job
	for _, j := range w.jobs {
		if j.prepared != nil {
			prepared, issuing = append(prepared, j.prepared), append(issuing, j)
		}
	}
	if len(prepared) == 0 {
		return nil
	}
	w.steps().Say("issue")
	issued, err := w.authority.IssueAll(ctx, prepared, w.steps().Report("issuing", len(prepared)))
	if err != nil {
		return err
	}
	for i, j := range issuing {
		j.issued, j.entry = &issued[i], issued[i].Entry
		if j.key, err = certs.MarshalKey(issued[i].Key, nil); err != nil {
			return fmt.Errorf("writing the key of %q: %w", j.step.Member, err)
		}
	}
	return nil
}

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

func (w *applier) rootOf(s Step) string {
	return w.changes.spec.tree(w.changes.wants[w.changes.places[s.place.member][s.place.place].wants[0]].member)
}

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

// replace writes the files, tree by tree.
func (w *applier) replace(ctx context.Context, trees []*treeFiles) error {
	report := w.steps().Report("writing", len(trees))
	for n, t := range trees {
		if err := ctx.Err(); err != nil {
			return err
		}
		backups, closed, err := w.replaceIn(ctx, t)
		if err != nil {
			return fmt.Errorf("changing %q: %w", t.root, err)
		}
		w.applied.Closed = append(w.applied.Closed, closed...)
		for _, j := range t.jobs {
			j.put = true
			for _, f := range j.step.Files {
				j.backups = append(j.backups, backups[f]...)
			}
		}
		for _, s := range t.steps {
			w.done(s, Done{Backups: backups[s.Files[0]]})
		}
		if report != nil {
			report(n + 1)
		}
	}
	return nil
}

// replaceIn writes the files of one tree; the backups are by file, as they are called here.
func (w *applier) replaceIn(ctx context.Context, t *treeFiles) (backups map[string][]string, closed []string, err error) {
	d, err := durable.Open(t.root)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	d.Hook = w.steps().Hook()
	lock, err := durable.LockDir(ctx, t.root)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Release()
	backups = map[string][]string{}
	spot := layout.Spot{Root: t.root}
	cleaned := map[string]bool{}
	files := slices.Clone(t.files)
	for i := range files {
		f := &files[i]
		if f.Part == layout.Directory {
			continue
		}
		if dir := path.Dir(layout.Below(f.Path)); !cleaned[dir] {
			cleaned[dir] = true
			if _, err := d.RemoveLeftovers(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
		}
		was, info, err := layout.ReadIn(d, f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("reading %q: %w", spot.Shown(f.Path), err)
		case bytes.Equal(was, f.Data):
			continue
		}
		kept, err := layout.KeepBeside(d, f.Path, f.Part, was, info, w.Now)
		if f.Part == layout.Key {
			clear(was)
		}
		if err != nil {
			return nil, nil, err
		}
		backups[spot.Shown(f.Path)] = append(backups[spot.Shown(f.Path)], spot.Shown(kept))
		// A mode that is good stays, and so does the owner: QEMU's group may have been let in.
		s := sighting{item: f.Item, Sight: durable.Sight{There: true, Mode: info.Mode()}}
		if _, fault := modeFault(w.kindOf(t, f.Path), s); fault == "" {
			f.Mode, f.Group = info.Mode().Perm(), ""
		}
	}
	options := w.WriteOptions
	options.Replace, options.ReplaceKeys = true, true
	written, err := layout.Write(d, files, options)
	for _, name := range written.Closed {
		closed = append(closed, spot.Shown(name))
	}
	return backups, closed, err
}

// kindOf gives the layout that a file belongs to.
func (w *applier) kindOf(t *treeFiles, name string) layout.Kind {
	for _, p := range w.changes.places[t.member] {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			paths := p.Paths(role)
			if name == paths.Cert || name == paths.Key || name == paths.CA || name == paths.CRL {
				return p.Kind
			}
		}
	}
	return ""
}

// setModes gives files and directories the modes and owners they should have.
func (w *applier) setModes(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if s.Action != SetMode && s.Action != SetOwner {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := layout.Below(s.item.Path)
		err := durable.Within(w.rootOf(s), func(d *durable.Dir) error {
			info, err := d.Root().Lstat(name)
			if err != nil {
				return err
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return durable.ErrSymlink
			}
			w.steps().Say("%s %s", s.Action, s.Files[0])
			if s.Action == SetMode {
				return d.Root().Chmod(name, s.item.Mode)
			}
			comparison := comparison{known: &w.known}
			uid, gid, _ := comparison.owner(s.item)
			return d.Root().Lchown(name, uid, gid)
		})
		if err != nil {
			return fmt.Errorf("changing %q: %w", s.Files[0], durable.Reason(err))
		}
		w.done(s, Done{})
	}
	return nil
}

// mergedList gives the authority's list and, of what is in a file, the lists of other CAs.
func mergedList(list *crl.List, text []byte) []byte {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		lists = nil
	}
	return ca.MergeLists(list, lists)
}

// issuerHash stands for an issuer that has no key identifier.
func issuerHash(issuer dn.Name) []byte {
	sum := sha256.Sum256(issuer.DER())
	return sum[:20]
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
