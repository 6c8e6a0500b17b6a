package cluster

import (
	"fmt"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

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
		d.note(host, "virt-pki revoke "+hint.Word(host)+" --all --reason cessationOfOperation --authority "+hint.Word(d.known.Dir), "it is not in the file, and %s; who is to stay belongs into the file", what)
	}
	for _, name := range d.survey.others {
		if gone[name] == 0 {
			d.note(name, "", "the directory %s is there, and not in the file", filepath.Join(d.Dir, name))
		}
	}
}
