package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) caShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "what the authority is: certificate, key, inventory, revocation lists",
		Description: `Shows the CA's certificate with its name as libvirt prints it, how its key lies, what the authority
issues for whom, how many certificates are in its inventory, and where its revocation lists are.
It needs no passphrase.

EXAMPLES
   virt-pki ca show --authority ./cluster/authority
   virt-pki ca show --json

EXIT STATUS
   0 shown   2 wrong usage   3 could not complete`,
		Flags:  append(authorityFlags(), jsonFlag(), quietFlag()),
		Action: p.caShow,
	}
}

// An authorityShown is the answer of ca show.
type authorityShown struct {
	Schema      int       `json:"schema"`
	Dir         string    `json:"dir"`
	DN          string    `json:"dn"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint_sha256"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Days        int       `json:"days_left"`
	// Above are the names of the CAs above it.
	Above     []string      `json:"above"`
	Key       keyShown      `json:"key"`
	Permitted []string      `json:"permitted"`
	Excluded  []string      `json:"excluded"`
	Policy    policyShown   `json:"policy"`
	Inventory countedShown  `json:"inventory"`
	CRL       *crlShown     `json:"crl"`
	NextCRL   *big.Int      `json:"next_crl_number"`
	Warnings  []shownNotice `json:"warnings"`
}

type keyShown struct {
	Type string     `json:"type"`
	ID   string     `json:"id"`
	Kind ca.KeyKind `json:"kind"`
	File *string    `json:"file"`
	// Place says where it is when it is not in the directory.
	Place *string `json:"place"`
}

type policyShown struct {
	Libvirt        []string `json:"libvirt"`
	KeyType        string   `json:"key_type"`
	Lifetime       string   `json:"lifetime"`
	StrictKeyUsage bool     `json:"strict_key_usage"`
}

type countedShown struct {
	At           string     `json:"at"`
	Certificates int        `json:"certificates"`
	InForce      int        `json:"in_force"`
	Published    int        `json:"published"`
	Issued       int        `json:"issued"`
	Superseded   int        `json:"superseded"`
	Abandoned    int        `json:"abandoned"`
	Foreign      int        `json:"foreign"`
	Revoked      int        `json:"revoked"`
	NextEnd      *time.Time `json:"next_end"`
}

type crlShown struct {
	File    string    `json:"file"`
	Number  *big.Int  `json:"number"`
	This    time.Time `json:"this_update"`
	Next    time.Time `json:"next_update"`
	Revoked int       `json:"revoked"`
}

type shownNotice struct {
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

func (p *program) caShow(c *cli.Context) error {
	if c.Args().Present() {
		return usage("ca show takes no argument %s", quote(c.Args().First())).hint("virt-pki ca show --authority DIR")
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	v, err := p.viewShown(c, a)
	if err != nil {
		return err
	}
	return p.show(c, v, func() { p.printShown(v) })
}

func (p *program) viewShown(c *cli.Context, a *ca.Authority) (authorityShown, error) {
	now := p.now()
	v := authorityShown{Schema: 1, Dir: a.Dir(), DN: a.Subject(), Fingerprint: a.Fingerprint(), NotBefore: a.NotBefore().UTC(), NotAfter: a.NotAfter().UTC(),
		Days: daysLeft(a.NotAfter(), now), Above: []string{}, Permitted: []string{}, Excluded: []string{}, Warnings: []shownNotice{}}
	chain, err := a.Certificates()
	if err != nil {
		return v, err
	}
	v.Serial = chain[0].SerialHex()
	if v.Issuer, err = chain[0].Issuer.Text(); err != nil {
		return v, err
	}
	for _, above := range chain[1:] {
		text, err := above.Subject.Text()
		if err != nil {
			return v, err
		}
		v.Above = append(v.Above, text)
	}
	kind, file, err := a.KeyKind()
	if err != nil {
		return v, err
	}
	algorithm, _ := certs.AlgorithmOf(a.PublicKey())
	id, err := certs.KeyID(a.PublicKey())
	if err != nil {
		return v, err
	}
	v.Key = keyShown{Type: string(algorithm), ID: hex.EncodeToString(id), Kind: kind, File: optional(file)}
	place, err := a.Place()
	if err != nil {
		return v, err
	}
	if !place.InDirectory() {
		v.Key.Place = optional(place.String())
	}
	limits := a.Constraints()
	v.Permitted, v.Excluded = append(v.Permitted, limits.PermittedNames...), append(v.Excluded, limits.ExcludedNames...)
	for _, n := range limits.PermittedNets {
		v.Permitted = append(v.Permitted, n.String())
	}
	for _, n := range limits.ExcludedNets {
		v.Excluded = append(v.Excluded, n.String())
	}
	policy := a.Policy()
	v.Policy = policyShown{KeyType: string(policy.Key), Lifetime: policy.Lifetime.String(), StrictKeyUsage: policy.StrictKeyUsage}
	for _, version := range policy.Libvirt {
		v.Policy.Libvirt = append(v.Policy.Libvirt, version.String())
	}
	entries, err := a.Inventory().List(c.Context, inventory.Filter{})
	if err != nil {
		return v, err
	}
	v.count(a.Inventory().Path(), entries)
	own, _, err := a.CRL()
	if err != nil {
		return v, err
	}
	v.NextCRL = big.NewInt(1)
	if own != nil {
		v.CRL = &crlShown{a.CRLPath(), own.Number, own.ThisUpdate.UTC(), own.NextUpdate.UTC(), own.Len()}
		if own.Number != nil {
			v.NextCRL.Add(v.NextCRL, own.Number)
		}
	}
	last, err := a.Inventory().LastList(c.Context, a.ID())
	switch {
	case err == nil && last.Number.Cmp(v.NextCRL) >= 0:
		v.NextCRL = last.Number.Add(last.Number, big.NewInt(1))
	case err != nil && !errors.Is(err, inventory.ErrNotFound):
		return v, err
	}
	unlisted, err := a.Unlisted(entries)
	if err != nil {
		return v, err
	}
	v.warn(a, now, entries, len(unlisted))
	return v, nil
}

// count counts the certificates of the inventory.
func (v *authorityShown) count(at string, entries []inventory.Entry) {
	n := &v.Inventory
	n.At, n.Certificates = at, len(entries)
	for _, e := range entries {
		switch e.State {
		case inventory.Published:
			n.Published++
		case inventory.Issued:
			n.Issued++
		case inventory.Superseded:
			n.Superseded++
		case inventory.Abandoned:
			n.Abandoned++
		case inventory.Foreign:
			n.Foreign++
		}
		if e.Revoked != nil {
			n.Revoked++
		}
		if e.Revoked == nil && e.State != inventory.Superseded && e.State != inventory.Abandoned {
			n.InForce++
			if n.NextEnd == nil || e.NotAfter.Before(*n.NextEnd) {
				n.NextEnd = &e.NotAfter
			}
		}
	}
}

// warn says what is worth a look.
func (v *authorityShown) warn(a *ca.Authority, now time.Time, entries []inventory.Entry, unlisted int) {
	add := func(remedy, format string, args ...any) {
		v.Warnings = append(v.Warnings, shownNotice{fmt.Sprintf(format, args...), remedy})
	}
	authority := " --authority " + pathArgument(a.Dir())
	if v.Key.Kind == ca.KeyPlain {
		add("umask 077; openssl pkcs8 -topk8 -v2 aes-256-cbc -in "+pathArgument(*v.Key.File)+" -out cakey.new   # then put it in its place",
			"the CA's key lies UNENCRYPTED in %s", *v.Key.File)
	}
	if v.CRL != nil && !v.CRL.Next.IsZero() && v.CRL.Next.Before(now) {
		add("virt-pki crl publish"+authority+" --out DIR", "the revocation list is stale since %s", date(v.CRL.Next))
	}
	if unlisted > 0 {
		add("virt-pki crl publish"+authority+" --out DIR", "revoked, and not on the revocation list: %s", plural(unlisted, "certificate"))
	}
	stuck := 0
	for _, e := range entries {
		if neverPublished(e, now) && e.Revoked == nil {
			stuck++
		}
	}
	if stuck > 0 {
		add("virt-pki revoke --unpublished --scan DIR"+authority, "recorded, and never noted as published: %s", plural(stuck, "certificate"))
	}
}

func (p *program) printShown(v authorityShown) {
	w := p.stdout
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("CA", "%s", visible(v.DN))
	if v.Issuer != v.DN {
		row("issued by", "%s", visible(v.Issuer))
	}
	row("certificate", "%s", filepath.Join(v.Dir, "cacert.pem"))
	row("valid", "%s to %s, %s left", date(v.NotBefore), date(v.NotAfter), plural(v.Days, "day"))
	row("serial", "%s", v.Serial)
	row("SHA-256", "%s", v.Fingerprint)
	switch v.Key.Kind {
	case ca.KeyElsewhere:
		where := "not in this directory"
		if v.Key.Place != nil {
			where = *v.Key.Place
		}
		row("key", "%s, %s", v.Key.Type, where)
	default:
		how := map[ca.KeyKind]string{ca.KeyEncrypted: "encrypted", ca.KeyPlain: "UNENCRYPTED"}[v.Key.Kind]
		row("key", "%s, %s: %s", v.Key.Type, how, *v.Key.File)
	}
	if len(v.Permitted) > 0 {
		row("certifies", "only what is in %s", strings.Join(v.Permitted, ", "))
	}
	if len(v.Excluded) > 0 {
		row("certifies", "nothing in %s", strings.Join(v.Excluded, ", "))
	}
	strict := ""
	if v.Policy.StrictKeyUsage {
		strict = ", strict keyUsage"
	}
	row("issues", "for libvirt %s: %s keys, for %s%s", list(v.Policy.Libvirt), v.Policy.KeyType, spanText(v.Policy.Lifetime), strict)
	n := v.Inventory
	row("inventory", "%s", n.At)
	counts := []string{}
	for _, part := range []struct {
		n    int
		what string
	}{{n.Published, "published"}, {n.Issued, "not noted as published"}, {n.Superseded, "superseded"}, {n.Abandoned, "abandoned"}, {n.Foreign, "of other programs"}} {
		if part.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	text := plural(n.Certificates, "certificate")
	if len(counts) > 0 {
		text += ": " + strings.Join(counts, ", ")
	}
	row("", "%s; %d revoked", text, n.Revoked)
	if n.NextEnd != nil {
		row("", "the next to end: %s", date(*n.NextEnd))
	}
	if v.CRL != nil {
		row("CRL", "number %v of %s, next by %s, %s revoked: %s", v.CRL.Number, date(v.CRL.This), date(v.CRL.Next), plural(v.CRL.Revoked, "certificate"), v.CRL.File)
	} else {
		row("CRL", "none yet")
	}
	row("", "the next has number %v", v.NextCRL)
	for _, n := range v.Warnings {
		p.warn("%s", n.Message)
		p.hint("%s", n.Remedy)
	}
}

// spanText writes a lifetime in days where it is a number of them.
func spanText(s string) string {
	d, err := time.ParseDuration(s)
	if err != nil || d%(24*time.Hour) != 0 {
		return s
	}
	return plural(int(d/(24*time.Hour)), "day")
}
