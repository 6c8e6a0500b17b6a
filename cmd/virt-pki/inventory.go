package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/big"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) inventoryCommand() *cli.Command {
	return &cli.Command{
		Name: "inventory", Category: "live", Usage: "take in what it does not know; move it between a file and PostgreSQL", ArgsUsage: "adopt|copy",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("inventory %s: adopt or copy", quote(c.Args().First())).hint("virt-pki inventory copy FROM TO")
			}
			return usage("inventory what? adopt or copy").hint("virt-pki inventory copy FROM TO")
		},
		Subcommands: []*cli.Command{{
			Name: "copy", Usage: "copy everything an inventory knows into another", ArgsUsage: "FROM TO",
			Description: `FROM and TO are files or PostgreSQL databases (postgres://USER@HOST/DATABASE). A file that is not
there is made; the tables in a database are made where they are missing. All is copied or nothing.
What TO knows already stays: revocations are added and never taken back, numbers of revocation
lists only rise, and another certificate of a serial number that is there stops the copy.

Afterwards use it with --db or $` + databaseVariable + `, and move the old one away, lest it is used again.

EXAMPLES
   virt-pki inventory copy ./authority/inventory.db postgres://pki@db.example.com/pki
   virt-pki inventory copy postgres://pki@db.example.com/pki ./backup.db

EXIT STATUS
   0 copied   2 wrong usage   3 could not complete; then nothing was copied`,
			Flags:  []cli.Flag{jsonFlag(), quietFlag()},
			Action: p.inventoryCopy,
		}, {
			Name: "adopt", Usage: "take in what lies in files and the inventory does not know", ArgsUsage: "DIR...",
			Description: `Looks through the files below the directories. Certificates that the authority has signed and the
inventory does not know are recorded; those that were recorded and not noted as published are noted;
what the authority's own revocation lists say is revoked, is revoked, with date and reason, and the
next list gets a higher number than any of them. Nothing that is known is changed.

So an authority that was restored from a backup learns what happened after it, and a CA that was
made by other tools gets its inventory.

EXAMPLES
   virt-pki inventory adopt ./cluster /mnt/kvm3/etc/pki --authority ./cluster/authority
   virt-pki inventory adopt ./cluster --dry-run

EXIT STATUS
   0 taken in, or nothing to take in   2 wrong usage
   3 could not complete, or not everything was readable`,
			Flags:  append(authorityFlags(), dryRunFlag(), jsonFlag(), quietFlag()),
			Action: p.inventoryAdopt,
		}},
	}
}

// An adoptView is the answer of inventory adopt.
type adoptView struct {
	Schema     int               `json:"schema"`
	DryRun     bool              `json:"dry_run,omitempty"`
	Authority  string            `json:"authority"`
	Registered []certificateView `json:"registered"`
	Published  []certificateView `json:"published"`
	Revoked    []certificateView `json:"revoked"`
	// Lists is how many of the authority's lists were found, Number the highest of their numbers.
	Lists     int      `json:"lists"`
	Number    *big.Int `json:"highest_crl_number"`
	Unchecked []string `json:"unchecked"`
}

func (p *program) inventoryAdopt(c *cli.Context) error {
	if c.NArg() == 0 {
		return usage("inventory adopt needs a DIR").hint("virt-pki inventory adopt ./cluster --authority DIR")
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	v := adoptView{Schema: 1, DryRun: c.Bool("dry-run"), Authority: a.Dir(), Registered: []certificateView{}, Published: []certificateView{},
		Revoked: []certificateView{}, Unchecked: []string{}}
	var found cluster.Scanned
	unchecked, err := p.scanDirs(c.Args().Slice(), found.Scan)
	if err != nil {
		return err
	}
	v.Unchecked = append(v.Unchecked, unchecked...)
	got, err := cluster.Adopt(c.Context, a, found, p.now(), v.DryRun)
	if err != nil {
		return err
	}
	v.Lists, v.Number = got.Lists, got.Last.Number
	for _, part := range []struct {
		from []inventory.Entry
		to   *[]certificateView
	}{{got.Registered, &v.Registered}, {got.Published, &v.Published}, {got.Revoked, &v.Revoked}} {
		for _, e := range part.from {
			*part.to = append(*part.to, viewCertificate(e))
		}
	}
	switch {
	case c.Bool("json"):
		err = p.printJSON(v)
	case !c.Bool("quiet"):
		p.printAdopted(v)
	}
	if err == nil && len(v.Unchecked) > 0 {
		return status(exitIncomplete)
	}
	return err
}

func (p *program) printAdopted(v adoptView) {
	w := p.stdout
	would := ""
	if v.DryRun {
		would = "would be "
	}
	for _, part := range []struct {
		list []certificateView
		what string
	}{{v.Registered, "recorded"}, {v.Published, "noted as published"}, {v.Revoked, "revoked, by a list that was found"}} {
		for _, e := range part.list {
			what := e.brief()
			if e.NotAfter.IsZero() { // of a serial number on a list nothing else is known
				what = "no certificate, revoked on " + date(*e.Revoked)
			}
			fmt.Fprintf(w, "%s%s: serial %s, %s\n", would, part.what, e.Serial, what)
		}
	}
	if len(v.Registered)+len(v.Published)+len(v.Revoked) == 0 {
		fmt.Fprintln(w, "nothing to take in: the inventory knows everything that is there")
	}
	if v.Number != nil {
		fmt.Fprintf(w, "%s of this authority found; the next has a higher number than %v\n", plural(v.Lists, "revocation list"), v.Number)
	}
}

func (p *program) inventoryCopy(c *cli.Context) error {
	if c.NArg() != 2 {
		return usage("inventory copy needs FROM and TO").hint("virt-pki inventory copy ./authority/inventory.db postgres://USER@HOST/DATABASE")
	}
	from, err := inventory.Open(c.Context, c.Args().Get(0))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := inventory.Open(c.Context, c.Args().Get(1))
	if errors.Is(err, fs.ErrNotExist) {
		to, err = inventory.Create(c.Context, c.Args().Get(1))
	}
	if err != nil {
		return err
	}
	defer to.Close()
	n, err := inventory.Copy(c.Context, from, to)
	if err != nil {
		return err
	}
	switch {
	case c.Bool("json"):
		return p.printJSON(struct {
			Schema       int    `json:"schema"`
			From         string `json:"from"`
			To           string `json:"to"`
			Certificates int    `json:"certificates"`
		}{1, from.Path(), to.Path(), n})
	case !c.Bool("quiet"):
		fmt.Fprintf(p.stdout, "copied %s from %s to %s\n", plural(n, "certificate"), from.Path(), to.Path())
	}
	return nil
}
