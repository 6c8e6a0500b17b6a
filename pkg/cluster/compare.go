package cluster

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
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

// judgePlace compares one place.
func (d *comparison) judgePlace(ref placeRef, seen surveyed) {
	place := d.changes.places[ref.member][ref.place]
	m := d.memberOf(ref)
	if seen.fault != nil {
		if ref.place == 0 {
			tree := d.changes.spec.tree(m)
			d.add(Step{Action: Issue, Member: m.Name, Layout: place.Kind, Blocked: true, want: -1, place: ref, Files: []string{tree},
				Why: []Why{{NotOurs, seen.fault.Error()}}, Way: "move it away: mv " + hint.Word(tree) + " " + hint.Word(tree+".old")})
		}
		return
	}
	var items []sighting
	if seen.there {
		items = seen.places[ref.place]
	}
	theirs, ours := 0, 0
	for _, w := range place.wants {
		switch d.judgeWant(ref, w, items) {
		case wantOurs:
			ours++
		case wantTheirs:
			theirs++
		}
	}
	if len(items) == 0 {
		return
	}
	d.judgeTrust(ref, items, ours, theirs)
	d.judgeModes(ref, items)
}

// whose says whose identity is in a place.
type whose int

const (
	wantMissing whose = iota
	wantOurs
	wantTheirs
)

// judgeWant compares one identity, and says whose it is that is there.
func (d *comparison) judgeWant(ref placeRef, index int, items []sighting) whose {
	w := d.changes.wants[index]
	step := Step{Action: Replace, Member: w.member.Name, Role: w.role, Layout: w.kind, want: index, place: ref}
	var certFiles, keyFiles []sighting
	for _, role := range w.fills {
		for _, s := range items {
			switch {
			case s.item.Role != role:
			case s.item.Part == layout.Cert:
				certFiles = append(certFiles, s)
			case s.item.Part == layout.Key:
				keyFiles = append(keyFiles, s)
			}
		}
	}
	there := 0
	for _, s := range append(slices.Clone(certFiles), keyFiles...) {
		if !s.There {
			continue
		}
		if there++; s.Err == nil && s.Mode.IsRegular() {
			continue
		}
		name := d.shown(ref, s.item.Path)
		switch {
		case s.Err == nil && !s.Mode.IsRegular():
			what := "a directory"
			if s.Mode&fs.ModeSymlink != 0 {
				what = "a symbolic link"
			} else if !s.Mode.IsDir() {
				what = "no file"
			}
			return d.block(step, fmt.Sprintf("%s is %s", name, what), "move it away: mv "+hint.Word(name)+" "+hint.Word(name+".old"))
		case s.Err != nil && s.item.Part == layout.Cert:
			return d.block(step, fmt.Sprintf("%s cannot be read: %v", name, s.Err), "run virt-pki as a user who may read it")
		}
	}
	if there == 0 {
		step.Action, step.Why = Issue, []Why{{Missing, "it is not there"}}
		if d.known != nil && len(items) > 0 || d.known != nil && d.survey.there {
			if e := d.lastOf(w); e != nil {
				step.Why[0].Text = fmt.Sprintf("it is not there, although %s was issued on %s", e.Serial, e.Created.UTC().Format("2006-01-02"))
			}
		}
		d.add(step)
		return wantMissing
	}
	return d.judgePair(step, w, certFiles, keyFiles)
}

// lastOf gives what was published last for an identity and is in force.
func (d *comparison) lastOf(w want) *inventory.Entry {
	var last *inventory.Entry
	for _, i := range d.byIdentity[identityOf(w.member.Name, w.role, string(w.kind))] {
		if e := &d.known.Entries[i]; e.InForce() && e.State == inventory.Published {
			last = e
		}
	}
	return last
}

// block adds a step that is not done.
func (d *comparison) block(step Step, text, way string) whose {
	step.Blocked, step.Way = true, way
	step.Why = append(step.Why, Why{NotOurs, text})
	d.add(step)
	return wantTheirs
}

// theirs handles what is not the authority's: it is left alone, unless it may be adopted or replaced.
func (d *comparison) theirs(step Step, text string, cert *certs.Certificate) whose {
	step.Why = []Why{{NotOurs, text}}
	switch {
	case d.allow.Adopt && cert != nil:
		step.Action, step.cert = TakeOver, cert
	case d.allow.Force:
		// It is kept beside.
	case cert != nil:
		step.Blocked, step.Way = true, "--adopt takes it as it is, --force replaces it and keeps it beside"
	default:
		step.Blocked, step.Way = true, "--force replaces it and keeps it beside"
	}
	d.add(step)
	return wantTheirs
}

// judgePair compares what is there of certificates and keys. Of QEMU's identity of a peer there are two of each.
func (d *comparison) judgePair(step Step, w want, certFiles, keyFiles []sighting) whose {
	if d.known == nil {
		return d.theirs(step, "files are there, and the authority is yet to be made", nil)
	}
	var entry *inventory.Entry
	var cert *certs.Certificate
	differ, absent := false, false
	for _, s := range certFiles {
		if !s.There {
			absent = true
			continue
		}
		e, c := d.identify(s), s.cert
		if s.fault != nil {
			return d.theirs(step, fmt.Sprintf("%s is no certificate: %v", d.shown(step.place, s.item.Path), s.fault), nil)
		}
		differ = differ || cert != nil && !bytes.Equal(cert.Raw, c.Raw)
		if cert == nil || e == nil && entry != nil { // one that is not ours decides
			cert, entry = c, e
		}
	}
	if cert == nil {
		return d.judgeKeyAlone(step, w, keyFiles)
	}
	step.Serial = cert.SerialHex()
	if entry == nil {
		return d.judgeStranger(step, cert)
	}
	step.entry = *entry
	if entry.State == inventory.Foreign && entry.Authority != d.known.ID {
		issuer, _ := cert.Issuer.Text()
		d.note(w.member.Name, "", "%s (%s) was issued by %q and is in the inventory as it was found; --force replaces it", w.member.Name, w.kind, issuer)
		if !d.allow.Force {
			return wantTheirs
		}
		step.Why = []Why{{NotOurs, fmt.Sprintf("it was issued by %q", issuer)}}
		d.add(step)
		return wantTheirs
	}
	// A half that an interrupted run has left is completed before anything else is judged.
	for _, k := range keyFiles {
		if k.key.state == keyOther {
			if e := d.unfinished(w, k.key.id); e != nil && e.Key != entry.Key {
				d.addFinish(step, *e)
				return wantOurs
			}
		}
	}
	why := d.reasons(w, *entry, cert)
	if differ || absent {
		why = append(why, Why{KeyWrong, "the files of its two roles are not the same"})
		if absent {
			why[len(why)-1] = Why{Missing, "one of its certificate files is not there"}
		}
	}
	for i, k := range keyFiles {
		if k.There && k.key.state == keyPaired && certFiles[i].There {
			continue
		}
		name := d.shown(step.place, k.item.Path)
		switch {
		case !certFiles[i].There: // what the key belongs to cannot be told
		case !k.There && d.allow.Force:
			why = append(why, Why{Missing, "its key is not there"})
		case !k.There:
			step.Why = append(why, Why{Missing, "its key is not there"})
			step.Blocked, step.Way = true, "if it was made for a request, take it out of the file; else --force issues anew, with a new key"
			d.add(step)
			return wantOurs
		case k.key.state == keyUnread:
			d.note(w.member.Name, "", "%s cannot be read: whether the key is the certificate's was not looked at", name)
		case k.key.state == keyEncrypted:
			why = append(why, Why{KeyWrong, name + " is encrypted, which libvirt and QEMU cannot read"})
		case k.key.state == keyDamaged:
			why = append(why, Why{KeyWrong, name + " is no private key"})
		case k.key.state == keyOther:
			why = append(why, Why{KeyWrong, name + " is not the certificate's key"})
		}
	}
	d.mark(*entry, cert)
	if len(why) > 0 {
		step.Why = why
		d.add(step)
		return wantOurs
	}
	switch {
	case entry.State == inventory.Issued:
		step.Action, step.Why = Record, []Why{{Interrupted, "it is in its place, and an interrupted run had not noted that"}}
		d.add(step)
	case d.older(w, *entry):
		step.Action, step.Why = Record, []Why{{SupersededBy, "older certificates of it are in force, and are not in its place"}}
		d.add(step)
	}
	return wantOurs
}

// older reports whether certificates of an identity are in force that were made before the one that is in its place: an
// interrupted run has not noted that they were replaced.
func (d *comparison) older(w want, current inventory.Entry) bool {
	for _, i := range d.byIdentity[identityOf(w.member.Name, w.role, string(w.kind))] {
		e := &d.known.Entries[i]
		if e.Key != current.Key && e.InForce() && !e.Created.After(current.Created) && !d.inPlace[i] {
			return true
		}
	}
	return false
}

// identityOf is what two certificates have in common of which one takes the place of the other.
func identityOf(host string, role certs.Role, layout string) string {
	return host + "\x00" + role.String() + "\x00" + layout
}

// mark remembers that an entry is in use.
func (d *comparison) mark(e inventory.Entry, cert *certs.Certificate) {
	if i, ok := d.byText[string(e.PEM)]; ok {
		d.inPlace[i] = true
	}
}

// judgeStranger handles a certificate that the inventory does not know.
func (d *comparison) judgeStranger(step Step, cert *certs.Certificate) whose {
	issuer, err := cert.Issuer.Text()
	if err != nil {
		issuer = "an unprintable name"
	}
	if d.known.issued(cert) {
		return d.theirs(step, fmt.Sprintf("the certificate %s was issued by this CA, and is not in the inventory", cert.SerialHex()), cert)
	}
	return d.theirs(step, fmt.Sprintf("the certificate %s was issued by %q", cert.SerialHex(), issuer), cert)
}

// judgeKeyAlone handles keys without certificates.
func (d *comparison) judgeKeyAlone(step Step, w want, keyFiles []sighting) whose {
	for _, k := range keyFiles {
		if k.key.state == keyOther {
			if e := d.unfinished(w, k.key.id); e != nil {
				d.addFinish(step, *e)
				return wantOurs
			}
		}
	}
	return d.theirs(step, "there is a key without a certificate, which the inventory does not know", nil)
}

func (d *comparison) addFinish(step Step, e inventory.Entry) {
	step.Action, step.entry, step.Serial = Finish, e, e.Serial
	step.Why = []Why{{Interrupted, "its key is there, and its certificate is not"}}
	d.mark(e, nil)
	d.add(step)
}

// unfinished gives the certificate of a key that lies without it.
func (d *comparison) unfinished(w want, keyID string) *inventory.Entry {
	for _, i := range d.byKeyID[keyID] {
		e := &d.known.Entries[i]
		if e.Host == w.member.Name && e.Role == w.role && e.Layout == string(w.kind) && e.Authority == d.known.ID && e.NotAfter.After(d.now) {
			return e
		}
	}
	return nil
}

// identify finds the entry of a certificate's file; nil: there is none.
func (d *comparison) identify(s sighting) *inventory.Entry {
	if s.cert == nil {
		return nil
	}
	i, ok := d.byText[string(s.Data)]
	if !ok {
		i, ok = d.byText[string(s.cert.PEM())] // with others after it, or written by another program
	}
	if !ok {
		return nil
	}
	return &d.known.Entries[i]
}

// reasons gives what speaks against a certificate of the authority's.
func (d *comparison) reasons(w want, e inventory.Entry, cert *certs.Certificate) []Why {
	var why []Why
	add := func(r Reason, format string, a ...any) { why = append(why, Why{r, fmt.Sprintf(format, a...)}) }
	switch {
	case e.Authority != d.known.ID:
		issuer, _ := cert.Issuer.Text()
		add(CAChanged, "it was issued by another key of %q", issuer)
	case e.Revoked != nil:
		add(Revoked, "it was revoked on %s (%s)", e.Revoked.At.UTC().Format("2006-01-02"), crl.Entry{Reason: e.Revoked.Reason}.ReasonText())
	case e.State == inventory.Superseded:
		add(SupersededBy, "the inventory says that another has taken its place")
	case e.State == inventory.Abandoned:
		add(SupersededBy, "the inventory says that it was never published")
	}
	o, err := d.changes.spec.order(w)
	if err != nil {
		add(NameChanged, "%v", err)
		return why
	}
	subject, err := o.Subject.Text()
	if have, _ := cert.Subject.Text(); err == nil && have != subject {
		add(NameChanged, "it is for %q, and is to be for %q", have, subject)
	}
	names, addresses := e.Names, e.Addresses
	if !sameSet(names, o.Names) {
		add(NameChanged, "%s", difference("name", names, o.Names))
	}
	if !sameSet(addresses, o.Addresses) {
		add(AddressChanged, "%s", difference("address", addresses, o.Addresses))
	}
	// One without purposes, which was adopted, is good for both.
	if e.Role != 0 && e.State != inventory.Foreign && e.Role != w.role && !(e.Role == certs.Peer && cert.ExtKeyUsage == nil) {
		add(RoleChanged, "it is for a %s, and is to be for a %s", e.Role, w.role)
	}
	if kind, ok := certs.AlgorithmOf(cert.PublicKey); w.member.Key != "" && kind != w.member.Key {
		is := string(kind)
		if !ok {
			is = "of another kind"
		}
		add(KeyTypeChanged, "its key is %s, and is to be %s", is, w.member.Key)
	}
	if text := d.compat(w, cert); text != "" {
		add(CompatChanged, "%s", text)
	}
	left := cert.NotAfter.Sub(d.now)
	switch {
	case !cert.NotAfter.Before(d.known.NotAfter) && cert.NotAfter.After(d.now):
		// A new one would end no later.
	case left <= 0:
		add(Due, "it ended on %s", cert.NotAfter.UTC().Format("2006-01-02"))
	case cert.NotBefore.After(d.now):
		add(Due, "it begins on %s only: is the clock right?", cert.NotBefore.UTC().Format("2006-01-02 15:04"))
	case d.Due.Due(cert.NotBefore, cert.NotAfter, d.now):
		add(Due, "%d of its %d days are left", int(left.Hours()/24), int(cert.NotAfter.Sub(cert.NotBefore).Hours()/24))
	}
	return why
}

// compat says which libvirt of those that must would not accept the certificate. What the rules look at besides dates and
// names is alike for many certificates, and is judged once.
func (d *comparison) compat(w want, cert *certs.Certificate) string {
	shape := d.shape[:0]
	shape = append(shape, byte(w.role), byte(len(w.fills)), byte(cert.Version))
	shape = append(append(shape, cert.SignatureAlgorithm...), 0)
	kind, ok := certs.AlgorithmOf(cert.PublicKey)
	if !ok {
		shape = fmt.Appendf(shape, "%T", cert.PublicKey)
	}
	shape = append(append(shape, kind...), 0)
	for _, x := range cert.Extensions {
		shape = append(append(shape, x.OID...), 0)
		if x.Critical {
			shape = append(shape, 1)
		}
		switch x.OID {
		case "2.5.29.14", "2.5.29.17", "2.5.29.35": // identifiers and names
		default:
			shape = append(append(shape, x.Value...), 0)
		}
	}
	d.shape = shape
	key := string(shape)
	if text, ok := d.shapes[key]; ok {
		return text
	}
	text := d.judgeShape(w, cert)
	d.shapes[key] = text
	return text
}

func (d *comparison) judgeShape(w want, cert *certs.Certificate) string {
	at := d.now
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		at = cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2)
	}
	for _, role := range w.fills {
		own := verify.Own{Role: role, CertPath: "certificate", CAPath: "CA", Cert: cert, CAs: d.known.CAs, At: at}
		for _, v := range d.versions() {
			own.Libvirt = v
			for _, f := range own.Check() {
				// Of another CA, or a CA that has ended: other reasons.
				if f.Severity == finding.Error && !strings.Contains(f.Message, "issuer") && !strings.Contains(f.LibvirtMessage, "CA certificate") {
					return fmt.Sprintf("libvirt %s refuses it: %s", v, f.Message)
				}
			}
		}
	}
	return ""
}

// sameSet compares lists whose order does not count.
func sameSet[T comparable](a, b []T) bool {
	if slices.Equal(a, b) {
		return true
	}
	within := func(a, b []T) bool {
		return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
	}
	return within(a, b) && within(b, a)
}

// difference says what is too much or missing in a certificate.
func difference[T comparable](what string, have, want []T) string {
	var parts []string
	for _, x := range want {
		if !slices.Contains(have, x) {
			parts = append(parts, fmt.Sprintf("it lacks the %s %v", what, x))
		}
	}
	for _, x := range have {
		if !slices.Contains(want, x) {
			parts = append(parts, fmt.Sprintf("it has the %s %v, which the file does not", what, x))
		}
	}
	const most = 3
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	return strings.Join(parts, ", ")
}

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

// judgeModes compares owners and modes.
func (d *comparison) judgeModes(ref placeRef, items []sighting) {
	kind := d.changes.places[ref.member][ref.place].Kind
	step := Step{Member: d.memberOf(ref).Name, Layout: kind, want: -1, place: ref}
	for _, s := range items {
		if !s.There || s.Err != nil && s.Mode == 0 || s.Mode&fs.ModeSymlink != 0 || s.Mode.IsDir() != (s.item.Part == layout.Directory) {
			continue
		}
		if ref.place > 0 && s.item.Shared {
			continue // it was looked at with the first place
		}
		step.Files, step.item = nil, s.item
		if uid, gid, ok := d.owner(s.item); ok && (s.UID != uid || gid >= 0 && s.GID != gid) {
			step.Files = []string{d.shown(ref, s.item.Path)}
			step.Action = SetOwner
			step.Why = []Why{{OwnerWrong, fmt.Sprintf("it belongs to %d:%d, and is to belong to %d:%s", s.UID, s.GID, uid, orAny(gid))}}
			d.add(step)
		}
		if want, text := modeFault(kind, s); text != "" {
			step.Action, step.item.Mode, step.Files = SetMode, want, []string{d.shown(ref, s.item.Path)}
			step.Why = []Why{{ModeWrong, text}}
			d.add(step)
		}
	}
}

func orAny(gid int) string {
	if gid < 0 {
		return "any"
	}
	return fmt.Sprint(gid)
}

// owner gives who should own an item, where that is known: the system's.
func (d *comparison) owner(item layout.Item) (uid, gid int, ok bool) {
	if d.known == nil || d.known.owner == nil || !item.System || item.Shared {
		return 0, 0, false
	}
	gid = -1
	if item.Group != "" && d.known.owner.LookupGroup != nil {
		if n, err := d.known.owner.LookupGroup(item.Group); err == nil {
			gid = n
		}
	}
	return 0, gid, true
}

// modeFault says what is wrong with a mode. Keys may be more closed than they need to be; QEMU's may be open to a group that
// the file does not name.
func modeFault(kind layout.Kind, s sighting) (fs.FileMode, string) {
	perm, want := s.Mode.Perm(), s.item.Mode.Perm()
	open := perm &^ want
	switch {
	case s.item.Part == layout.Key && kind.ForQEMU() && s.item.Group == "":
		open &^= 0o040
	case s.item.Part == layout.Directory && s.Mode&fs.ModeSticky != 0:
		open &^= 0o022
	}
	lacks := want &^ perm
	if s.item.Part == layout.Key || s.item.Shared && s.item.Part == layout.Directory {
		lacks = 0
	}
	if s.item.Shared {
		open &= 0o022
	}
	switch {
	case open != 0 && s.item.Part == layout.Key:
		return want, fmt.Sprintf("its mode is %04o: others can read or replace the private key; it is to be %04o", perm, want)
	case open&0o022 != 0:
		return want, fmt.Sprintf("its mode is %04o: others can replace what libvirt trusts; it is to be %04o", perm, want)
	case open != 0 || lacks != 0:
		return want, fmt.Sprintf("its mode is %04o, and is to be %04o", perm, want)
	}
	return 0, ""
}

// unlisted says that revocations are on no list yet: no daemon knows of them.
func (d *comparison) unlisted() {
	if d.known == nil || len(d.known.Unlisted) == 0 {
		return
	}
	where := "--out "
	if d.Flat {
		where = "--pkipath "
	}
	what := "1 certificate is"
	if n := len(d.known.Unlisted); n > 1 {
		what = fmt.Sprintf("%d certificates are", n)
	}
	d.note("", "virt-pki crl publish "+where+hint.Word(d.Dir)+" --authority "+hint.Word(d.known.Dir), "%s revoked and on no revocation list yet: daemons let them in", what)
}

// dropped says what is in force and not in the file any more. Nothing is done about it.
func (d *comparison) dropped() {
	if d.known == nil {
		return
	}
	members, wanted := map[string]bool{}, map[string]bool{}
	for _, m := range d.Members {
		members[m.Name] = true
	}
	for _, w := range d.changes.wants {
		wanted[w.member.Name+"\x00"+w.role.String()+"\x00"+string(w.kind)] = true
	}
	gone := map[string]int{}
	var order []string
	for i, e := range d.known.Entries {
		if !e.InForce() || e.State == inventory.Foreign || !e.NotAfter.After(d.now) || d.inPlace[i] {
			continue
		}
		key := e.Host + "\x00" + e.Role.String() + "\x00" + e.Layout
		switch {
		case !members[e.Host]:
			if gone[e.Host]++; gone[e.Host] == 1 {
				order = append(order, e.Host)
			}
		case !wanted[key]:
			d.note(e.Host, "virt-pki revoke "+e.Serial+" --reason cessationOfOperation --authority "+hint.Word(d.known.Dir),
				"its certificate %s (%s, %s) is in force, and the file does not ask for it any more", e.Serial, e.Role, e.Layout)
		}
	}
	for _, host := range order {
		what := "1 certificate of it is in force"
		if gone[host] > 1 {
			what = fmt.Sprintf("%d certificates of it are in force", gone[host])
		}
		d.note(host, "virt-pki revoke "+hint.Word(host)+" --all --reason cessationOfOperation --authority "+hint.Word(d.known.Dir), "it is not in the file, and %s", what)
	}
	for _, name := range d.survey.others {
		if gone[name] == 0 {
			d.note(name, "", "the directory %s is there, and not in the file", filepath.Join(d.Dir, name))
		}
	}
}
