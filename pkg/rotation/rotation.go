package rotation

import (
	"bytes"
	"context"
	"crypto/x509"
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
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/steps"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/proof"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

// What libvirt's check of one's own files can take of a CA file (virNetTLSContextLoadCACertListFromFile, up to libvirt 12.8):
// certificates after the sixteenth are not seen, and a file of more bytes is not read.
const (
	maxTrusted     = 16
	maxTrustedSize = 64 << 10
)

// A LimitError says that a CA file would hold more than libvirt reads of it.
type LimitError struct {
	Path string
	// CAs and Size are what the file would hold; one of them is too much.
	CAs, Size int
}

// Error names the file and the limit.
func (e *LimitError) Error() string {
	if e.CAs > maxTrusted {
		return fmt.Sprintf("%q would hold %d CAs: libvirt looks at the first %d only", e.Path, e.CAs, maxTrusted)
	}
	return fmt.Sprintf("%q would have %d bytes: libvirt reads no CA file of more than %d", e.Path, e.Size, maxTrustedSize)
}

// Hints names the remedy.
func (e *LimitError) Hints() []string {
	return []string{"take CAs out of the file that nobody needs any more, and comments"}
}

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

// lacks says what a stage has yet to give the place; empty: nothing.
func (p Place) lacks(stage ca.RotationStage) string {
	switch {
	case stage != ca.PruneOld && !p.TrustsNew:
		return "the new CA is not in its CA file"
	case stage == ca.SwitchOver && len(p.OfOld) > 0:
		return fmt.Sprintf("its %s certificate is the old CA's", p.OfOld[0])
	case stage == ca.PruneOld && p.TrustsOld:
		return "the old CA is in its CA file"
	}
	return ""
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

// tidy removes what a killed process left beside the CA files.
func (o *rotator) tidy(ctx context.Context) error {
	if o.DryRun {
		return nil
	}
	for _, s := range o.Spots {
		lock, err := durable.LockDir(ctx, s.Root)
		if err != nil {
			return fmt.Errorf("rotating the CA in %q: %w", s.Root, err)
		}
		err = durable.Within(s.Root, func(d *durable.Dir) error {
			_, err := d.RemoveLeftovers(path.Dir(layout.Below(s.Paths(certs.Client).CA)))
			return err
		})
		if err = errors.Join(err, lock.Release()); err != nil {
			return err
		}
	}
	return nil
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

// cas gives the two CAs' certificates; next is nil when there is none yet.
func (o *rotator) cas() (old, next [][]byte) {
	r, ok := o.authority.Rotation()
	if !ok {
		return derOf(o.authority), nil
	}
	return derOf(r.Old), derOf(r.New)
}

// derOf gives a CA's certificate and those above it.
func derOf(a *ca.Authority) [][]byte { return a.Chain() }

// look reads the spots and the inventory.
func (o *rotator) look(ctx context.Context) error {
	var err error
	if o.entries, err = o.authority.Inventory().List(ctx, inventory.Filter{InForce: true}); err != nil {
		return err
	}
	byKey := map[inventory.Key]inventory.Entry{}
	for _, e := range o.entries {
		byKey[e.Key] = e
	}
	revoked := map[inventory.Key]bool{}
	old, next := o.cas()
	r, _ := o.authority.Rotation()
	if r.Old != nil {
		entries, err := o.authority.Inventory().Revoked(ctx, r.Old.ID())
		if err != nil {
			return err
		}
		for _, e := range entries {
			revoked[e.Key] = true
		}
	}
	o.seen, o.places = map[inventory.Key]bool{}, nil
	for _, s := range o.Spots {
		p := Place{Spot: s}
		if err := durable.Within(s.Root, func(d *durable.Dir) error {
			text, _, err := layout.ReadIn(d, s.Paths(certs.Client).CA)
			if err != nil {
				return fmt.Errorf("reading %q: %w", s.Shown(s.Paths(certs.Client).CA), err)
			}
			held := rawCertificates(text)
			p.TrustsOld = holds(held, old[0])
			p.TrustsNew = next != nil && holds(held, next[0])
			for _, role := range []certs.Role{certs.Server, certs.Client} {
				text, _, err := layout.ReadIn(d, s.Paths(role).Cert)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				var cert *certs.Certificate
				if err == nil {
					cert, err = certs.ImportPEM(text)
				}
				if err != nil {
					return fmt.Errorf("reading %q: %w", s.Shown(s.Paths(role).Cert), err)
				}
				key, err := o.authority.KeyOf(cert)
				var stranger *ca.StrangerError
				if errors.As(err, &stranger) {
					continue
				} else if err != nil {
					return err
				}
				o.seen[key] = true
				if e, ok := byKey[key]; ok && !slices.Contains(p.Hosts, e.Host) {
					p.Hosts = append(p.Hosts, e.Host)
				}
				switch {
				case r.New != nil && r.New != r.Old && key.Authority == r.New.ID():
					p.OfNew = append(p.OfNew, role)
				case revoked[key]:
					p.Revoked = append(p.Revoked, role)
				default:
					p.OfOld = append(p.OfOld, role)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if p.TrustsOld || p.TrustsNew || len(p.OfOld)+len(p.OfNew)+len(p.Revoked) > 0 {
			o.places = append(o.places, p)
		}
	}
	return nil
}

// lacks lists what keeps a stage from being complete.
func (o *rotator) lacks(stage ca.RotationStage) []Lack {
	var out []Lack
	for _, p := range o.places {
		if what := p.lacks(stage); what != "" {
			out = append(out, Lack{p.Shown(p.Paths(certs.Client).CA), p.Hosts, what, false})
		}
	}
	r, _ := o.authority.Rotation()
	for _, e := range o.entries {
		if o.seen[e.Key] || e.State != inventory.Published || !e.NotAfter.After(o.Now) || !slices.Contains(o.authority.IDs(), e.Authority) {
			continue
		}
		old := r.Old == nil || e.Authority == r.Old.ID()
		name := strings.TrimSpace(e.Role.String() + " " + e.Host)
		if e.Layout != "" {
			name += " (" + e.Layout + ")"
		}
		if slices.Contains(o.ByHand, e.Host) {
			continue
		}
		what := "its files are in none of the directories"
		if stage == ca.SwitchOver {
			if !old {
				continue
			}
			what = "its certificate is the old CA's, and in none of the directories"
		}
		out = append(out, Lack{name, []string{e.Host}, what, true})
	}
	return out
}

// complete ends a stage if nothing is lacking any more.
func (o *rotator) complete(ctx context.Context, stage ca.RotationStage) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	o.result.Lacks = o.lacks(stage)
	o.result.Done = len(o.result.Lacks) == 0
	return o.authority.SetRotation(stage, o.result.Done, o.Now, o.Step)
}

// trust is the stage TrustBoth.
func (o *rotator) trust(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	_, next := o.cas()
	if next == nil {
		double, err := o.Successor.Rehearse(o.authority)
		if err != nil {
			return err
		}
		// Whether there is room is seen before a key is made; a double's certificate is as long as the real one, or shorter
		// by what its smaller key is.
		if _, err := o.withCA(derOf(double)); err != nil {
			return err
		}
		if o.DryRun {
			o.forecast(func(p Place) bool { return p.TrustsOld })
			return nil
		}
		if err := o.authority.BeginRotation(ctx, o.Successor); err != nil {
			return err
		}
		if err := o.look(ctx); err != nil {
			return err
		}
		_, next = o.cas()
	}
	if o.DryRun {
		o.forecast(func(p Place) bool { return p.TrustsOld && !p.TrustsNew })
		return nil
	}
	files, err := o.withCA(next)
	if err != nil {
		return err
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return err
	}
	return o.complete(ctx, ca.TrustBoth)
}

// forecast lists the files that a stage would change.
func (o *rotator) forecast(changes func(Place) bool) {
	for _, p := range o.places {
		if changes(p) {
			o.result.Changed = append(o.result.Changed, p.Shown(p.Paths(certs.Client).CA))
		}
	}
}

// A trustFile is a CA file that is to be replaced.
type trustFile struct {
	spot      layout.Spot
	was, text []byte
	// lists is what the file of revocation lists is to be, nil when it stays.
	lists []byte
}

// withCA adds a CA to the files of all places that trust the old one.
func (o *rotator) withCA(add [][]byte) ([]trustFile, error) {
	var files []trustFile
	var faults []error
	for _, p := range o.places {
		if !p.TrustsOld || p.TrustsNew {
			continue
		}
		was, err := p.Read(p.Paths(certs.Client).CA)
		if err != nil {
			return nil, err
		}
		text := slices.Clone(was)
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		held := rawCertificates(text)
		for _, der := range add {
			if !holds(held, der) {
				held = append(held, der)
				text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			}
		}
		if len(held) > maxTrusted || len(text) > maxTrustedSize {
			faults = append(faults, &LimitError{p.Shown(p.Paths(certs.Client).CA), len(held), len(text)})
		}
		files = append(files, trustFile{spot: p.Spot, was: was, text: text})
	}
	return files, errors.Join(faults...)
}

// replaceTrust proves that the places work with their new CA files, among themselves and with those that have the old ones
// yet, and puts the files into their places.
func (o *rotator) replaceTrust(ctx context.Context, files []trustFile) error {
	before, err := proof.Read(o.Spots)
	if err != nil {
		return err
	}
	// Of what is revoked nothing is proven: it is to be refused, and loses nothing with the old CA.
	before = slices.DeleteFunc(before, func(x proof.Identity) bool {
		return slices.ContainsFunc(o.places, func(p Place) bool { return p.Spot == x.Spot && slices.Contains(p.Revoked, x.Role) })
	})
	var changed []proof.Identity
	for _, x := range before {
		for _, f := range files {
			if f.spot == x.Spot {
				x.CA = f.text
			}
		}
		changed = append(changed, x)
	}
	if err := o.prove(ctx, before, changed); err != nil {
		return err
	}
	for _, f := range files {
		name := f.spot.Paths(certs.Client).CA
		if err := durable.Within(f.spot.Root, func(d *durable.Dir) error {
			d.Hook = o.steps().Hook()
			text, info, err := layout.ReadIn(d, name)
			if err != nil {
				return err
			}
			if !bytes.Equal(text, f.was) {
				return errors.New("it was changed meanwhile")
			}
			if f.lists != nil {
				// First the lists: those of a CA that is not trusted are no use, and no harm.
				crlName := f.spot.Paths(certs.Client).CRL
				_, crlInfo, err := layout.ReadIn(d, crlName)
				if err != nil {
					return err
				}
				if err := d.Write(durable.File{Name: layout.Below(crlName), Data: f.lists, Mode: crlInfo.Mode().Perm(), Replace: true}); err != nil {
					return err
				}
				o.result.Changed = append(o.result.Changed, f.spot.Shown(crlName))
			}
			return d.Write(durable.File{Name: layout.Below(name), Data: f.text, Mode: info.Mode().Perm(), Replace: true})
		}); err != nil {
			return fmt.Errorf("replacing %q: %w", f.spot.Shown(name), err)
		}
		o.result.Changed = append(o.result.Changed, f.spot.Shown(name))
	}
	return nil
}

// prove proves a change of the actors' files.
func (o *rotator) prove(ctx context.Context, before, after []proof.Identity) error {
	p := proof.New(o.authority.Policy().Libvirt, o.Now, o.steps().Workers())
	proven, broken, err := p.Change(ctx, before, nil, after, true)
	o.result.Proof, o.result.Broken = proven, broken
	if err == nil && len(proven.Failures) > 0 {
		err = &ProofError{o.result.Stage, proven}
	}
	return err
}

// A ProofError says that a stage would break connections. Nothing was put into use.
type ProofError struct {
	Stage ca.RotationStage
	Proof proof.Result
}

// Error names the first failure.
func (e *ProofError) Error() string {
	s := fmt.Sprintf("the stage %q would break connections, nothing was changed: %s", e.Stage, e.Proof.Failures[0])
	if n := len(e.Proof.Failures); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// probeLife is how long the certificates are good for that are issued for a proof and thrown away.
const probeLife = time.Hour

// issue is the stage IssueNew. The new CA issues certificates like those of a server and a client that are there, of which the
// keys are thrown away, and every place must get along with them.
func (o *rotator) issue(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	// Places may have been added since, by a host that was issued from another machine.
	if o.result.Lacks = o.lacks(ca.TrustBoth); len(o.result.Lacks) > 0 {
		return &LackError{ca.IssueNew, o.result.Lacks}
	}
	r, _ := o.authority.Rotation()
	actors, err := proof.Read(o.Spots)
	if err != nil {
		return err
	}
	var orders []ca.Order
	var models []proof.Identity
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		for _, x := range actors {
			cert, err := certs.ImportPEM(x.Cert)
			if err != nil || x.Role != role {
				continue
			}
			key, err := o.authority.KeyOf(cert)
			if err != nil {
				continue
			}
			e, err := o.authority.Inventory().Get(ctx, key)
			if err != nil {
				continue
			}
			orders = append(orders, ca.Order{Request: certs.Request{Role: role, Subject: cert.Subject, Names: e.Names, Addresses: e.Addresses,
				NotAfter: o.Now.Add(probeLife)}, Host: e.Host, Layout: "proof"})
			models = append(models, x)
			break
		}
	}
	prepared, err := r.New.PrepareAll(o.Now, orders)
	if err != nil {
		return err
	}
	if o.DryRun {
		return nil
	}
	o.steps().Say("issue")
	issued, err := r.New.IssueAll(ctx, prepared, nil)
	if err != nil {
		return err
	}
	var probes []proof.Identity
	var keys []inventory.Key
	for i, is := range issued {
		keys = append(keys, is.Entry.Key)
		x := models[i]
		x.Cert = is.PEM()
		if x.Key, err = certs.MarshalKey(is.Key, nil); err != nil {
			return err
		}
		defer clear(x.Key)
		probes = append(probes, x)
	}
	o.steps().Say("abandon")
	if err := o.authority.Inventory().Abandon(ctx, keys...); err != nil {
		return err
	}
	if err := o.prove(ctx, actors, probes); err != nil {
		return err
	}
	o.result.Done = true
	return o.authority.SetRotation(ca.IssueNew, true, o.Now, o.Step)
}

// A LackError says that a stage cannot begin, because the one before is not complete everywhere.
type LackError struct {
	Stage ca.RotationStage
	Lacks []Lack
}

// Error names the first place.
func (e *LackError) Error() string {
	l := e.Lacks[0]
	s := fmt.Sprintf("the stage %q cannot begin: %s: %s", e.Stage, l.Where, l.What)
	if n := len(e.Lacks); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// Hints names the remedy.
func (e *LackError) Hints() []string {
	hints := []string{"what each host lacks: virt-pki ca rotate status, with all places (--out, --pkipath, --root)"}
	if slices.ContainsFunc(e.Lacks, func(l Lack) bool { return l.Unseen }) {
		hints = append(hints, "a host or client whose files are elsewhere, and that has them already: --by-hand NAME")
	}
	return hints
}

// switchOver is the stage SwitchOver.
func (o *rotator) switchOver(ctx context.Context) error {
	if err := o.look(ctx); err != nil {
		return err
	}
	if lacks := o.lacks(ca.IssueNew); slices.ContainsFunc(lacks, func(l Lack) bool { return !l.Unseen }) {
		o.result.Lacks = lacks
		return &LackError{ca.SwitchOver, lacks}
	}
	r, _ := o.authority.Rotation()
	result, err := renewal.RunLocked(ctx, o.authority, renewal.Request{Spots: o.Spots, SameKey: !o.NewKeys, Now: o.Now, DryRun: o.DryRun, Step: o.Step, Progress: o.Progress,
		Select: func(e inventory.Entry) bool { return e.Authority == r.Old.ID() && e.NotAfter.After(o.Now) }})
	o.result.Renewed, o.result.Proof, o.result.Broken = result.Renewed, result.Proof, result.Broken
	if err != nil || o.DryRun {
		return err
	}
	return o.complete(ctx, ca.SwitchOver)
}

// prune is the stage PruneOld.
func (o *rotator) prune(ctx context.Context) error {
	if r, _ := o.authority.Rotation(); r.Stage == ca.PruneOld && r.Done {
		return o.finish()
	}
	if err := o.look(ctx); err != nil {
		return err
	}
	if lacks := o.lacks(ca.SwitchOver); len(lacks) > 0 {
		o.result.Lacks = lacks
		return &LackError{ca.PruneOld, lacks}
	}
	if o.DryRun {
		o.forecast(func(p Place) bool { return p.TrustsOld })
		return nil
	}
	files, err := o.withoutOld()
	if err != nil {
		return err
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return err
	}
	if err := o.complete(ctx, ca.PruneOld); err != nil || !o.result.Done {
		return err
	}
	return o.finish()
}

// finish puts the new CA into the old one's place.
func (o *rotator) finish() error {
	if o.DryRun {
		return nil
	}
	r, _ := o.authority.Rotation()
	if !r.SameSubject && r.Old != r.New {
		if err := o.dropList(r.Old); err != nil {
			return err
		}
	}
	var err error
	o.result.Done = true
	o.result.Retired, err = o.authority.FinishRotation(o.Step)
	return err
}

// dropList takes the old CA's revocation list out of the authority's file.
func (o *rotator) dropList(old *ca.Authority) error {
	_, text, err := o.authority.CRL()
	if err != nil || text == nil {
		return err
	}
	lists, err := withoutList(text, old)
	if err != nil || lists == nil {
		return err
	}
	return durable.Within(o.authority.Dir(), func(d *durable.Dir) error {
		d.Hook = o.steps().Hook()
		return d.Write(durable.File{Name: "cacrl.pem", Data: lists, Mode: 0o644, Replace: true})
	})
}

// withoutList gives a file of revocation lists without those of a CA; nil when nothing changes, or nothing would remain: a
// file without a list keeps a daemon from starting.
func withoutList(text []byte, old *ca.Authority) ([]byte, error) {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return nil, err
	}
	chain, err := certs.Import(old.CertDER())
	if err != nil {
		return nil, err
	}
	var rest []byte
	dropped := false
	for _, l := range lists {
		if l.IssuedBy(chain) {
			dropped = true
			continue
		}
		rest = append(rest, l.PEM()...)
	}
	if !dropped {
		return nil, nil
	}
	return rest, nil
}

// withoutOld takes the old CA out of the files of all places that trust it, and its revocation list with it.
func (o *rotator) withoutOld() ([]trustFile, error) {
	r, _ := o.authority.Rotation()
	old, next := o.cas()
	files, err := o.without(old, next, func(p Place) bool { return p.TrustsOld })
	if err != nil {
		return nil, err
	}
	for i := range files {
		f := &files[i]
		paths := f.spot.Paths(certs.Client)
		if len(rawCertificates(f.text)) == 0 {
			return nil, fmt.Errorf("%q would hold no CA any more", f.spot.Shown(paths.CA))
		}
		if r.SameSubject {
			continue
		}
		switch text, err := f.spot.Read(paths.CRL); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			if f.lists, err = withoutList(text, r.Old); err != nil {
				return nil, fmt.Errorf("reading %q: %w", f.spot.Shown(paths.CRL), err)
			}
		}
	}
	return files, nil
}

// without takes the certificates of one CA that the other has not got out of the CA files of the chosen places.
func (o *rotator) without(gone, stays [][]byte, chosen func(Place) bool) ([]trustFile, error) {
	drop := slices.DeleteFunc(slices.Clone(gone), func(der []byte) bool { return holds(stays, der) })
	var files []trustFile
	for _, p := range o.places {
		if !chosen(p) {
			continue
		}
		was, err := p.Read(p.Paths(certs.Client).CA)
		if err != nil {
			return nil, err
		}
		files = append(files, trustFile{spot: p.Spot, was: was, text: withoutCertificates(was, drop)})
	}
	return files, nil
}

// withoutCertificates cuts certificates out of a PEM text; everything else stays as it is.
func withoutCertificates(text []byte, drop [][]byte) []byte {
	var out []byte
	for rest := text; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			return append(out, rest...)
		}
		piece := rest[:len(rest)-len(next)]
		if holds(drop, block.Bytes) {
			begin := bytes.LastIndex(piece, []byte("-----BEGIN "))
			piece = piece[:max(begin, 0)]
		}
		out = append(out, piece...)
		rest = next
	}
}

// rawCertificates gives the certificates of a PEM text in DER.
func rawCertificates(text []byte) [][]byte {
	var out [][]byte
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil || strings.HasSuffix(block.Type, "CERTIFICATE") {
			out = append(out, block.Bytes)
		}
	}
}

// holds reports whether a certificate is among others.
func holds(list [][]byte, der []byte) bool {
	return slices.ContainsFunc(list, func(have []byte) bool { return bytes.Equal(have, der) })
}

// An InUseError says that a rotation cannot be given up any more.
type InUseError struct {
	// Hosts have certificates of the new CA.
	Hosts []string
}

// Error names them.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the rotation cannot be given up: certificates of the new CA are in use by %s", strings.Join(e.Hosts, ", "))
}

// Hints names the remedy.
func (e *InUseError) Hints() []string {
	return []string{"carry it to its end, then rotate again: virt-pki ca rotate"}
}

// Abort gives a rotation up while the new CA has issued nothing that is in use: the new CA is taken out of the CA
// files in the spots, and then out of the authority, with its key. It is repeated when it was interrupted.
func Abort(ctx context.Context, a *ca.Authority, s Request) (Result, error) {
	lock, err := durable.LockDir(ctx, a.Dir())
	if err != nil {
		return Result{}, fmt.Errorf("rotating the CA: %w", err)
	}
	defer lock.Release()
	o := &rotator{Request: s, authority: a}
	r, ok := a.Rotation()
	switch {
	case !ok:
		return Result{}, &ca.StageError{Asked: "abort"}
	case r.Stage != ca.TrustBoth && r.Stage != ca.IssueNew:
		next, _ := r.Next()
		return Result{}, &ca.StageError{Asked: "abort", Next: next}
	}
	if err := o.tidy(ctx); err != nil {
		return o.result, err
	}
	if err := o.look(ctx); err != nil {
		return o.result, err
	}
	var using []string
	for _, e := range o.entries {
		if e.Authority == r.New.ID() && (e.State == inventory.Published || o.seen[e.Key]) && e.NotAfter.After(o.Now) {
			using = append(using, e.Host)
		}
	}
	for _, p := range o.places {
		if len(p.OfNew) > 0 && len(using) == 0 {
			using = append(using, p.Shown(p.Paths(p.OfNew[0]).Cert))
		}
	}
	if len(using) > 0 {
		slices.Sort(using)
		return o.result, &InUseError{slices.Compact(using)}
	}
	trustsNew := func(p Place) bool { return p.TrustsNew }
	old, next := o.cas()
	files, err := o.without(next, old, trustsNew)
	if err != nil {
		return o.result, err
	}
	o.result.Stage, o.result.Done = "abort", true
	if o.DryRun {
		o.forecast(trustsNew)
		return o.result, nil
	}
	if err := o.replaceTrust(ctx, files); err != nil {
		return o.result, err
	}
	return o.result, a.AbortRotation(o.Step)
}
