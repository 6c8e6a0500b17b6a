package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/scan"
)

func (p *program) revokeCommand() *cli.Command {
	return &cli.Command{
		Name: "revoke", Category: "live", Usage: "note that a certificate is no longer good", ArgsUsage: "SERIAL|FILE|NAME",
		Description: `Notes in the authority's inventory that one certificate is no longer good. It is named by its
serial number in hex, by its file, or by the host or client it was issued to; a name that means
several certificates is answered with their list, and nothing is done (--role narrows it, --all
takes them all). A certificate that the CA signed before virt-pki knew it is revoked by its file.

No host knows of it until "virt-pki crl publish" has run and the daemons have loaded the list:
libvirt goes on letting in who is not on its list, and whoever has no list at all.

With --unpublished the certificates are revoked that were recorded, and, as far as the inventory
knows, put nowhere, because a run was killed in between. They were signed, and a key may have been
on disk, so that they are not simply forgotten. Those that do lie in a directory of --scan are in
use: they are noted as published. The others are revoked and abandoned. Name every directory into
which certificates were issued. What is younger than 10 minutes (--older) may be under way, and is
left alone.

Reasons: unspecified, keyCompromise, cACompromise, affiliationChanged, superseded,
cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise.

EXAMPLES
   virt-pki revoke bob --reason keyCompromise --authority ./cluster/authority
   virt-pki revoke 5D:3E:81:... --reason superseded
   virt-pki revoke ./bob/etc/pki/libvirt/clientcert.pem
   virt-pki revoke kvm3.example.com --all --reason cessationOfOperation --dry-run
   virt-pki revoke --unpublished --scan ./cluster --authority ./cluster/authority

EXIT STATUS
   0 revoked   1 it was revoked before, and stays as it was
   2 wrong usage, or the name means several
   3 could not complete`,
		Flags: append(authorityFlags(),
			&cli.StringFlag{Name: "reason", Usage: "`REASON`: why (keyCompromise, superseded, ...)", DefaultText: "unspecified"},
			&cli.StringFlag{Name: "role", Usage: "`ROLE`: of a name's certificates only those of server, client or peer"},
			&cli.BoolFlag{Name: "all", Usage: "all certificates of the name"},
			&cli.BoolFlag{Name: "unpublished", Usage: "what was recorded and put nowhere, in the place of a name; needs --scan"},
			&cli.StringSliceFlag{Name: "scan", Usage: "`DIR`: with --unpublished: certificates lie in the files below it"},
			&cli.StringFlag{Name: "older", Value: "10m", Usage: "`SPAN`: with --unpublished: only what was recorded so long ago"},
			dryRunFlag(), jsonFlag(), quietFlag()),
		Action: p.revoke,
	}
}

// A certificateView shows an entry of the inventory.
type certificateView struct {
	Serial    string     `json:"serial"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Layout    string     `json:"layout"`
	DN        string     `json:"dn"`
	Names     []string   `json:"names"`
	NotBefore moment     `json:"not_before"`
	NotAfter  moment     `json:"not_after"`
	State     string     `json:"state"`
	Revoked   *time.Time `json:"revoked"`
	Reason    *string    `json:"reason"`
	// Files are where it was found, with --scan.
	Files []string `json:"files,omitempty"`
}

// A moment is a time that may not be known: then null in JSON, and empty in CSV.
type moment struct{ time.Time }

// MarshalJSON gives the time as RFC 3339 has it.
func (m moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return m.Time.MarshalJSON()
}

// String gives the time as RFC 3339 has it.
func (m moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

func viewCertificate(e inventory.Entry) certificateView {
	v := certificateView{Serial: e.Serial, Name: e.Host, Role: e.Role.String(), Layout: e.Layout, DN: e.Subject, Names: slices.Clone(e.Names),
		NotBefore: moment{e.NotBefore}, NotAfter: moment{e.NotAfter}, State: string(e.State)}
	if e.State == inventory.Foreign {
		v.Name, v.Role = e.CommonName, "" // another program's row says no more
	}
	if v.Names == nil {
		v.Names = []string{}
	}
	for _, a := range e.Addresses {
		v.Names = append(v.Names, a.String())
	}
	if e.Revoked != nil {
		reason := crl.Entry{Reason: e.Revoked.Reason}.ReasonText()
		v.Revoked, v.Reason = &e.Revoked.At, &reason
	}
	return v
}

// brief describes a certificate in half a line.
func (v certificateView) brief() string {
	s := strings.TrimSpace(v.Role + " " + visible(v.Name))
	if v.Layout != "" {
		s += ", " + v.Layout
	}
	s += ", until " + date(v.NotAfter.Time)
	switch {
	case v.Revoked != nil:
		s += ", revoked on " + date(*v.Revoked)
	case v.State != string(inventory.Published):
		s += ", " + v.State
	}
	return s
}

// A revokeView is the answer of revoke.
type revokeView struct {
	Schema       int               `json:"schema"`
	DryRun       bool              `json:"dry_run,omitempty"`
	Authority    string            `json:"authority"`
	Reason       string            `json:"reason"`
	Certificates []certificateView `json:"certificates"`
	// Already are certificates that were revoked before, and stay as they were.
	Already []certificateView `json:"already"`
	// Published and Young are not revoked, with --unpublished: they lie in the directories, or may be under way.
	Published []certificateView `json:"published,omitempty"`
	Young     []certificateView `json:"young,omitempty"`
	Next      []string          `json:"next"`
}

func (p *program) revoke(c *cli.Context) error {
	if c.Bool("unpublished") {
		return p.revokeUnpublished(c)
	}
	if c.IsSet("scan") || c.IsSet("older") {
		return usage("--scan and --older belong to --unpublished")
	}
	if c.NArg() != 1 {
		return usage("revoke needs one SERIAL, FILE or NAME").hint("virt-pki revoke bob --reason keyCompromise").
			hint("virt-pki list shows what there is")
	}
	reason := 0
	if s := c.String("reason"); s != "" {
		var err error
		if reason, err = crl.ParseReason(s); err != nil {
			return invalid("--reason", s, err)
		}
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	found, err := p.resolve(c, a, c.Args().First())
	if err != nil {
		return err
	}
	v := revokeView{Schema: 1, DryRun: c.Bool("dry-run"), Authority: a.Dir(), Reason: crl.Entry{Reason: reason}.ReasonText(),
		Certificates: []certificateView{}, Already: []certificateView{}, Next: []string{}}
	var keys []inventory.Key
	for _, e := range found.entries {
		if e.Revoked != nil {
			v.Already = append(v.Already, viewCertificate(e))
			continue
		}
		keys = append(keys, e.Key)
		v.Certificates = append(v.Certificates, viewCertificate(e))
	}
	if len(keys) > 0 && !v.DryRun {
		if found.register != nil {
			if _, err := a.Register(c.Context, found.register, p.now()); err != nil {
				return err
			}
		}
		now := p.now()
		if err := a.Inventory().RevokeAll(c.Context, keys, now, reason); err != nil {
			return err
		}
		for i := range v.Certificates {
			at := now.UTC().Truncate(time.Second)
			v.Certificates[i].Revoked, v.Certificates[i].Reason = &at, &v.Reason
		}
	}
	if err := v.next(a, keys); err != nil {
		return err
	}
	if err := p.show(c, v, func() { p.printRevoked(v) }); err != nil {
		return err
	}
	if len(v.Certificates) == 0 {
		return status(exitFindings)
	}
	return nil
}

// next says what is to be done for a revocation to have an effect.
func (v *revokeView) next(a *ca.Authority, keys []inventory.Key) error {
	place, err := a.Place()
	if err != nil {
		return err
	}
	switch {
	case len(keys) == 0:
	case place.Remote != nil:
		for _, k := range keys {
			v.Next = append(v.Next, "virt-pki revoke "+k.Serial+" --reason "+v.Reason+"   # on the machine that signs, "+place.Remote.URL)
		}
		v.Next = append(v.Next, "virt-pki crl publish   # there; the list is made of what its inventory knows")
	default:
		v.Next = append(v.Next, "virt-pki crl publish --authority "+shellQuote(a.Dir())+" --out DIR   # or --pkipath DIR, --root DIR")
	}
	return nil
}

// revokeUnpublished revokes what was recorded and lies nowhere.
func (p *program) revokeUnpublished(c *cli.Context) error {
	if c.Args().Present() || c.IsSet("all") || c.IsSet("role") {
		return usage("--unpublished excludes names, --role and --all").hint("virt-pki revoke --unpublished --scan DIR")
	}
	if len(c.StringSlice("scan")) == 0 {
		return usage("--unpublished needs --scan DIR: what lies there is in use, and is not revoked").
			hint("virt-pki revoke --unpublished --scan ./cluster   # every directory into which certificates were issued")
	}
	older, err := parseSpan(c.String("older"))
	if err != nil {
		return invalid("--older", c.String("older"), err)
	}
	text := c.String("reason")
	if text == "" {
		text = "cessationOfOperation"
	}
	reason, err := crl.ParseReason(text)
	if err != nil {
		return invalid("--reason", text, err)
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	var found scan.Found
	unchecked, err := p.scanDirs(c.StringSlice("scan"), found.Scan)
	if err != nil {
		return err
	}
	if len(unchecked) > 0 {
		return &hintedError{errors.New("not everything could be looked at, and a certificate that is in use would be revoked; nothing was done"),
			[]string{"run it as a user who may read all of it"}}
	}
	now := p.now()
	got, err := scan.GiveUp(c.Context, a, found, scan.GivingUp{Now: now, Older: older, Reason: reason, DryRun: c.Bool("dry-run")})
	if err != nil {
		return err
	}
	v := revokeView{Schema: 1, DryRun: c.Bool("dry-run"), Authority: a.Dir(), Reason: crl.Entry{Reason: reason}.ReasonText(),
		Certificates: []certificateView{}, Already: []certificateView{}, Next: []string{}}
	var keys []inventory.Key
	for _, e := range got.Revoked {
		keys = append(keys, e.Key)
		v.Certificates = append(v.Certificates, viewCertificate(e))
	}
	for _, e := range got.Published {
		v.Published = append(v.Published, viewCertificate(e))
	}
	for _, e := range got.Young {
		v.Young = append(v.Young, viewCertificate(e))
	}
	if err := v.next(a, keys); err != nil {
		return err
	}
	return p.show(c, v, func() {
		if len(v.Certificates)+len(v.Published)+len(v.Young) == 0 {
			fmt.Fprintln(p.stdout, "nothing to revoke: everything was published")
		}
		p.printRevoked(v)
	})
}

func (p *program) printRevoked(v revokeView) {
	verb := "revoked"
	if v.DryRun {
		verb = "would revoke"
	}
	for _, e := range v.Certificates {
		what := strings.TrimSpace(e.Role + " " + visible(e.Name))
		fmt.Fprintf(p.stdout, "%s %s: serial %s, %s, reason %s\n", verb, what, e.Serial, visible(e.DN), v.Reason)
	}
	for _, e := range v.Already {
		fmt.Fprintf(p.stdout, "was revoked already: %s, serial %s, on %s, reason %s\n", visible(e.Name), e.Serial, e.Revoked.Format(time.RFC3339), *e.Reason)
	}
	for _, e := range v.Published {
		fmt.Fprintf(p.stdout, "in use, and noted as published: %s, serial %s\n", e.brief(), e.Serial)
	}
	for _, e := range v.Young {
		fmt.Fprintf(p.stdout, "may be under way, and left alone: %s, serial %s\n", e.brief(), e.Serial)
	}
	if len(v.Certificates) > 0 {
		fmt.Fprintf(p.stdout, "\nNo host knows of it until the list is published and the daemons have loaded it.\n\nnext:\n")
		for _, n := range v.Next {
			fmt.Fprintf(p.stdout, "  %s\n", n)
		}
	}
}

// resolved is what an argument means.
type resolved struct {
	entries []inventory.Entry
	// register is a certificate of the CA that the inventory does not know yet.
	register *certs.Certificate
}

// An ambiguousError says that a name means several certificates.
type ambiguousError struct {
	name    string
	command string
	options string
	entries []inventory.Entry
}

func (e *ambiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s means %d certificates; nothing was done:", quote(e.name), len(e.entries))
	for _, x := range e.entries {
		fmt.Fprintf(&b, "\n   %s  %s", x.Serial, viewCertificate(x).brief())
	}
	return b.String()
}

func (e *ambiguousError) Hints() []string {
	return []string{e.command + " " + e.entries[0].Serial + e.options + "   # one of them", e.command + " " + shellQuote(e.name) + " --all" + e.options}
}

// resolve finds the certificates that an argument means: a file, a serial number or a name.
func (p *program) resolve(c *cli.Context, a *ca.Authority, arg string) (resolved, error) {
	var role certs.Role
	if s := c.String("role"); s != "" {
		var err error
		if role, err = certs.ParseRole(s); err != nil {
			return resolved{}, invalid("--role", s, err)
		}
	}
	if st, err := os.Stat(arg); err == nil && st.Mode().IsRegular() {
		return p.resolveFile(c, a, arg)
	}
	all, err := a.Inventory().List(c.Context, inventory.Filter{})
	if err != nil {
		return resolved{}, err
	}
	serial, notSerial := inventory.ParseSerial(arg)
	var bySerial, byName []inventory.Entry
	for _, e := range all {
		switch {
		case notSerial == nil && e.Serial == serial && slices.Contains(a.IDs(), e.Authority):
			bySerial = append(bySerial, e)
		case slices.Contains(a.IDs(), e.Authority) && (role == 0 || e.Role == role) && named(e, arg):
			byName = append(byName, e)
		}
	}
	if len(bySerial) > 0 && len(byName) > 0 {
		return resolved{}, usage("%s is a serial number and a name", quote(arg)).hint("give the certificate's file, or the serial number with colons")
	}
	if len(bySerial) > 0 {
		return resolved{entries: bySerial}, nil
	}
	if len(byName) == 0 {
		e := &hintedError{fmt.Errorf("%s: no such file, serial number or name in the inventory", quote(arg)),
			[]string{"virt-pki list --all --authority " + shellQuote(a.Dir()) + "   # what there is"}}
		if near := nearest(arg, hostNames(all)); near != "" {
			e.hints = append([]string{"did you mean " + near + "?"}, e.hints...)
		} else if notSerial == nil && len(serial) >= 8 {
			e.hints = append(e.hints, "a certificate that was issued before virt-pki knew the CA is named by its file")
		}
		return resolved{}, e
	}
	// What has ended cannot be misused, and what is revoked already cannot be meant, unless there is nothing else.
	live := slices.DeleteFunc(slices.Clone(byName), func(e inventory.Entry) bool { return e.Revoked != nil || e.NotAfter.Before(p.now()) })
	if len(live) == 0 {
		return resolved{entries: byName}, nil
	}
	if len(live) > 1 && !c.Bool("all") {
		e := &ambiguousError{arg, "virt-pki " + c.Command.Name, " --authority " + shellQuote(a.Dir()), live}
		return resolved{}, &usageError{e.Error(), e.Hints()}
	}
	return resolved{entries: live}, nil
}

// named reports whether a name is that of an entry: the host or client it was issued to, or its CN.
func named(e inventory.Entry, name string) bool {
	return strings.EqualFold(e.Host, name) || strings.EqualFold(e.CommonName, name)
}

func hostNames(all []inventory.Entry) []string {
	var out []string
	for _, e := range all {
		if e.Host != "" && !slices.Contains(out, e.Host) {
			out = append(out, e.Host)
		}
	}
	return out
}

// resolveFile finds the entry of the first certificate in a file.
func (p *program) resolveFile(c *cli.Context, a *ca.Authority, name string) (resolved, error) {
	text, err := p.read("the certificate", name)
	if err != nil {
		return resolved{}, err
	}
	cert, err := importCertificate(text)
	if err != nil {
		return resolved{}, &fileError{name, "reading the certificate", err}
	}
	key, err := a.KeyOf(cert)
	if err != nil {
		return resolved{}, &fileError{name, "looking at the certificate", err}
	}
	e, err := a.Inventory().Get(c.Context, key)
	if errors.Is(err, inventory.ErrNotFound) {
		subject, _ := cert.Subject.Text()
		return resolved{register: cert, entries: []inventory.Entry{{Key: key, CommonName: subject, Subject: subject, NotBefore: cert.NotBefore,
			NotAfter: cert.NotAfter, State: inventory.Foreign}}}, nil
	}
	return resolved{entries: []inventory.Entry{e}}, err
}

// importCertificate reads the first certificate of a PEM file, or a DER file.
func importCertificate(text []byte) (*certs.Certificate, error) {
	if bytes.HasPrefix(text, []byte{0x30}) {
		return certs.Import(text)
	}
	return certs.ImportPEM(text)
}
