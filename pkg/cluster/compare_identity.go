package cluster

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

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
