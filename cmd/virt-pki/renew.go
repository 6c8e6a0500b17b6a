package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/renewal"
)

func (p *program) renewCommand() *cli.Command {
	return &cli.Command{
		Name: "renew", Category: "live", Usage: "replace certificates by new ones, in their places", ArgsUsage: "NAME...|--due|--all",
		Description: `Issues new certificates with the same subject, names and purposes, and puts them where the old ones
lie, in the directories named. All are judged by libvirt's rules before one is signed. What is
replaced is kept beside as FILE.old-TIME; the old certificates are superseded in the inventory, and
stay known and revocable. An interrupted run is repeated.

New private keys are made, unless --same-key is given or a certificate has no key beside it.

EXAMPLES
   virt-pki renew kvm1.example.com --out ./cluster
   virt-pki renew --due --out ./cluster                 a third of the lifetime is left, or less
   virt-pki renew --due --within 30d --pkipath ./pki --dry-run
   virt-pki renew --all --same-key --authority ./authority --root /

EXIT STATUS
   0 renewed, or nothing was due   1 the files of some certificates are not in the directories
   2 wrong usage   3 could not complete`,
		Flags: append(placedFlags(), append([]cli.Flag{
			&cli.BoolFlag{Name: "due", Usage: "all that are due, see --within"},
			&cli.BoolFlag{Name: "all", Usage: "all that are in force"},
			&cli.StringFlag{Name: "within", Value: "33%", Usage: "`SPAN|SHARE`: due is what ends within this time (30d), or has this share of its lifetime left"},
			&cli.StringFlag{Name: "role", Usage: "`ROLE`: only server, client or peer"},
			&cli.BoolFlag{Name: "same-key", Usage: "keep the private keys"},
			&cli.StringFlag{Name: "key-type", Usage: "`TYPE`: of new keys: ecdsa-p256, rsa3072, ...", DefaultText: "that of the old key"},
			&cli.StringFlag{Name: "lifetime", Usage: "`SPAN`: how long they last (90d, 2y)", DefaultText: "the authority's policy"},
			dryRunFlag(), jsonFlag(), quietFlag(),
		}, keyFlags()...)...),
		Action: p.withSpec(p.renew),
	}
}

// A renewView is the answer of renew.
type renewView struct {
	Schema    int               `json:"schema"`
	DryRun    bool              `json:"dry_run,omitempty"`
	Authority string            `json:"authority"`
	Renewed   []renewedView     `json:"renewed"`
	Elsewhere []certificateView `json:"elsewhere"`
	Settled   []certificateView `json:"settled"`
	Next      []string          `json:"next"`
}

type renewedView struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Layout    string    `json:"layout"`
	OldSerial string    `json:"old_serial"`
	OldEnd    time.Time `json:"old_not_after"`
	Serial    string    `json:"serial,omitempty"`
	NotAfter  time.Time `json:"not_after"`
	KeyKept   bool      `json:"key_kept"`
	Files     []string  `json:"files"`
	Backups   []string  `json:"backups"`
}

func (p *program) renew(c *cli.Context) error {
	r, err := p.renewal(c)
	if err != nil {
		return err
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	names := c.Args().Slice()
	if len(names) > 0 {
		all, err := a.Inventory().List(c.Context, inventory.Filter{})
		if err != nil {
			return err
		}
		for _, n := range names {
			if !slices.ContainsFunc(all, func(e inventory.Entry) bool { return named(e, n) }) {
				e := &hintedError{fmt.Errorf("%s: no such name in the inventory", quote(n)), []string{"virt-pki list --authority " + shellQuote(a.Dir())}}
				if near := nearest(n, hostNames(all)); near != "" {
					e.hints = append([]string{"did you mean " + near + "?"}, e.hints...)
				}
				return e
			}
		}
	}
	if r.DryRun {
		result, err := renewal.Run(c.Context, a, r)
		if err != nil {
			return err
		}
		return p.printRenewed(c, a.Dir(), result)
	}
	if _, err := p.unlock(c, a); err != nil {
		return err
	}
	result, err := renewal.Run(c.Context, a, r)
	if err != nil {
		return err
	}
	return p.printRenewed(c, a.Dir(), result)
}

// renewal decodes the flags.
func (p *program) renewal(c *cli.Context) (renewal.Request, error) {
	r := renewal.Request{SameKey: c.Bool("same-key"), Now: p.now(), DryRun: c.Bool("dry-run")}
	names, chosen := c.Args().Slice(), 0
	for _, is := range []bool{len(names) > 0, c.Bool("due"), c.Bool("all")} {
		if is {
			chosen++
		}
	}
	if chosen != 1 {
		return r, usage("renew needs either NAMEs, --due or --all").hint("virt-pki renew --due --out DIR")
	}
	within, err := expiry.ParseThreshold(c.String("within"), parseSpan)
	if err != nil {
		return r, invalid("--within", c.String("within"), err)
	}
	if c.IsSet("within") && !c.Bool("due") {
		return r, usage("--within belongs to --due")
	}
	var role certs.Role
	if s := c.String("role"); s != "" {
		if role, err = certs.ParseRole(s); err != nil {
			return r, invalid("--role", s, err)
		}
	}
	if s := c.String("key-type"); s != "" {
		if r.Key, err = certs.ParseKeyAlgorithm(s); err != nil {
			return r, invalid("--key-type", s, err)
		}
		if r.SameKey {
			return r, usage("--key-type excludes --same-key")
		}
	}
	if s := c.String("lifetime"); s != "" {
		life, err := parseSpan(s)
		if err != nil {
			return r, invalid("--lifetime", s, err)
		}
		r.NotAfter = r.Now.Add(life)
	}
	r.Select = func(e inventory.Entry) bool {
		switch {
		case role != 0 && e.Role != role:
			return false
		case len(names) > 0:
			return slices.ContainsFunc(names, func(n string) bool { return named(e, n) })
		case c.Bool("due"):
			return within.Due(e.NotBefore, e.NotAfter, r.Now)
		}
		return true
	}
	if len(values(c, "out"))+len(values(c, "pkipath"))+len(values(c, "root")) == 0 {
		return r, usage("where are the files to be replaced? --out, --pkipath or --root").hint("virt-pki renew ... --out DIR   # with one tree per host, as init makes it")
	}
	r.Spots, err = p.spots(c)
	return r, err
}

func (p *program) printRenewed(c *cli.Context, authority string, r renewal.Result) error {
	v := renewView{Schema: 1, DryRun: c.Bool("dry-run"), Authority: authority, Renewed: []renewedView{}, Elsewhere: []certificateView{},
		Settled: []certificateView{}, Next: []string{}}
	for _, n := range r.Renewed {
		one := renewedView{Name: n.Old.Host, Role: n.Old.Role.String(), Layout: n.Old.Layout, OldSerial: n.Old.Serial, OldEnd: n.Old.NotAfter,
			Serial: n.New.Serial, NotAfter: n.New.NotAfter, KeyKept: n.KeyKept, Files: n.Files, Backups: n.Backups}
		if v.DryRun {
			one.Serial = ""
		}
		if one.Backups == nil {
			one.Backups = []string{}
		}
		v.Renewed = append(v.Renewed, one)
	}
	for _, e := range r.Elsewhere {
		v.Elsewhere = append(v.Elsewhere, viewCertificate(e))
	}
	for _, e := range r.Settled {
		v.Settled = append(v.Settled, viewCertificate(e))
	}
	if len(v.Renewed) > 0 && !v.DryRun {
		v.Next = append(v.Next, "virt-pki reload --run   # on each host, when the files are there: server-update-tls, or a restart where its files have other paths")
	}
	if err := p.show(c, v, func() { p.printRenewal(v) }); err != nil {
		return err
	}
	if len(v.Elsewhere) > 0 {
		return status(exitFindings)
	}
	return nil
}

func (p *program) printRenewal(v renewView) {
	w := p.stdout
	for _, e := range v.Settled {
		fmt.Fprintf(w, "noted    %s: an interrupted run had put it in place\n", e.brief())
	}
	verb := "renewed "
	if v.DryRun {
		verb = "would renew"
	}
	for _, n := range v.Renewed {
		what := strings.TrimSpace(n.Role + " " + visible(n.Name))
		key := "new key"
		if n.KeyKept {
			key = "same key"
		}
		fmt.Fprintf(w, "%s %s (%s): until %s, was %s, %s\n", verb, what, n.Layout, date(n.NotAfter), date(n.OldEnd), key)
		for _, f := range n.Files {
			if len(v.Renewed) <= 6 || v.DryRun {
				fmt.Fprintf(w, "           %s\n", f)
			}
		}
	}
	if len(v.Renewed) == 0 {
		fmt.Fprintln(w, "nothing to renew")
	}
	for _, e := range v.Elsewhere {
		p.warn("%s: its files are not in these directories, and were not replaced", e.brief())
	}
	if len(v.Next) > 0 {
		fmt.Fprintf(w, "\nnext:\n")
		for _, n := range v.Next {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
}
