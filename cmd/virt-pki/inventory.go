package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) inventoryCommand() *cli.Command {
	return &cli.Command{
		Name: "inventory", Category: "live", Usage: "move the inventory between a file and PostgreSQL", ArgsUsage: "copy",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("inventory %s: copy", quote(c.Args().First())).hint("virt-pki inventory copy FROM TO")
			}
			return usage("inventory what? copy").hint("virt-pki inventory copy FROM TO")
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
		}},
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
