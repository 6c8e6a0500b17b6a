package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/big"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/scan"
)

func (p *program) inventoryCopyCommand() *cli.Command {
	return &cli.Command{
		Name: "copy", Usage: "copy everything an inventory knows into another", ArgsUsage: "FROM TO",
		Description: `FROM and TO are files or PostgreSQL databases (postgres://USER@HOST/DATABASE). A file that is not
there is made; the tables in a database are made where they are missing. All is copied or nothing.
What TO knows already stays: revocations are added and never taken back, numbers of revocation
lists only rise, and another certificate of a serial number that is there stops the copy.

The authority goes on with the inventory that it has; "virt-pki inventory move" has it use another.

EXAMPLES
   virt-pki inventory copy ./authority/inventory.db postgres://pki@db.example.com/pki
   virt-pki inventory copy postgres://pki@db.example.com/pki ./backup.db

EXIT STATUS
   0 copied   2 wrong usage   3 could not complete; then nothing was copied`,
		Flags:  []cli.Flag{jsonFlag(), quietFlag()},
		Action: p.inventoryCopy,
	}
}

func (p *program) inventoryMoveCommand() *cli.Command {
	return &cli.Command{
		Name: "move", Usage: "have the authority's inventory in PostgreSQL, or back in a file", ArgsUsage: "URL|--to-file",
		Description: `Copies the authority's inventory into a PostgreSQL database, and has the authority say that it is
there: commands need no --db afterwards. The file that is left is called inventory.db.moved. With
--to-file it comes back into the authority's directory. An interrupted move is repeated. Nobody
should be issuing meanwhile.

The URL is kept without its password, which belongs into ~/.pgpass.

EXAMPLES
   virt-pki inventory move postgres://pki@db.example.com/pki --authority ./cluster/authority
   virt-pki inventory move --to-file --authority ./cluster/authority

EXIT STATUS
   0 moved, or it is there already   2 wrong usage   3 could not complete; then repeat it`,
		Flags: []cli.Flag{
			authorityFlag("./authority, else ."),
			&cli.BoolFlag{Name: "to-file", Usage: "bring it back into the authority's directory"},
			jsonFlag(), quietFlag(),
		},
		Action: p.inventoryMove,
	}
}

func (p *program) inventoryAdoptCommand() *cli.Command {
	return &cli.Command{
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
	}
}

func (p *program) inventoryMove(c *cli.Context) error {
	to := c.Args().First()
	if c.Bool("to-file") == (to != "") || c.NArg() > 1 {
		return usage("inventory move needs the URL of a database, or --to-file").hint("virt-pki inventory move postgres://USER@HOST/DATABASE --authority DIR")
	}
	if to != "" && !inventory.IsPostgres(to) {
		return usage("inventory move %s: it is not the URL of a database", shellQuote(to)).hint("postgres://USER@HOST/DATABASE")
	}
	dir, err := authorityDir(c)
	if err != nil {
		return err
	}
	n, err := ca.MoveInventory(c.Context, dir, to)
	if err != nil {
		return err
	}
	a, err := ca.Open(c.Context, dir)
	if err != nil {
		return err
	}
	defer a.Close()
	at := a.Inventory().Path()
	return p.show(c, struct {
		Schema       int    `json:"schema"`
		Authority    string `json:"authority"`
		Inventory    string `json:"inventory"`
		Certificates int    `json:"certificates"`
	}{1, dir, at, n}, func() {
		if n == 0 {
			fmt.Fprintf(p.stdout, "the inventory of %s is in %s\n", dir, at)
		} else {
			fmt.Fprintf(p.stdout, "moved %s to %s, where %s looks for them from now on\n", plural(n, "certificate"), at, dir)
		}
	})
}

// settleInventory moves the inventory of a new authority into the database that --db names. Before anything is made, check
// looks whether there is one.
func (p *program) settleInventory(c *cli.Context, dir string) error {
	source := p.database(c)
	if source == "" {
		return nil
	}
	if _, err := ca.MoveInventory(c.Context, dir, source); err != nil {
		return &hintedError{fmt.Errorf("everything is made, but the inventory still lies in %s: %w", quote(dir), err),
			[]string{"when the database is there again: virt-pki inventory move URL --authority " + pathArgument(dir)}}
	}
	return nil
}

// checkDatabase looks whether the database is there that --db names, and makes its tables.
func (p *program) checkDatabase(c *cli.Context) error {
	source := p.database(c)
	switch {
	case source == "":
		return nil
	case !inventory.IsPostgres(source):
		return usage("--db %s: a new authority's inventory is in PostgreSQL or in the authority's directory", shellQuote(source)).hint("--db postgres://USER@HOST/DATABASE")
	}
	inv, err := inventory.Open(c.Context, source)
	if err != nil {
		return err
	}
	return inv.Close()
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
	var found scan.Found
	unchecked, err := p.scanDirs(c.Args().Slice(), found.Scan)
	if err != nil {
		return err
	}
	v.Unchecked = append(v.Unchecked, unchecked...)
	got, err := scan.Adopt(c.Context, a, found, p.now(), v.DryRun)
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
	err = p.show(c, v, func() { p.printAdopted(v) })
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
	if errors.Is(err, fs.ErrNotExist) && !inventory.IsPostgres(c.Args().Get(1)) {
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
	return p.show(c, struct {
		Schema       int    `json:"schema"`
		From         string `json:"from"`
		To           string `json:"to"`
		Certificates int    `json:"certificates"`
	}{1, from.Path(), to.Path(), n}, func() {
		fmt.Fprintf(p.stdout, "copied %s from %s to %s\n", plural(n, "certificate"), from.Path(), to.Path())
	})
}
