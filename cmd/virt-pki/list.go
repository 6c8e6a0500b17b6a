package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Category: "live", Usage: "what the authority has issued", ArgsUsage: "[NAME...]",
		Description: `Lists the certificates in the authority's inventory that are in force, or those of the named hosts
and clients. With --all also what is revoked, superseded or never was published.

EXAMPLES
   virt-pki list --authority ./cluster/authority
   virt-pki list kvm1.example.com --all
   virt-pki list --role client --csv > clients.csv

EXIT STATUS
   0 listed   1 nothing of the kind is there   2 wrong usage   3 could not complete`,
		Flags: append(authorityFlags(),
			&cli.BoolFlag{Name: "all", Usage: "also what is revoked, superseded or abandoned"},
			&cli.StringFlag{Name: "role", Usage: "`ROLE`: only server, client or peer"},
			&cli.StringFlag{Name: "layout", Usage: "`LAYOUT`: only of this layout"},
			&cli.BoolFlag{Name: "csv", Usage: "print CSV"},
			jsonFlag(), quietFlag()),
		Action: p.list,
	}
}

func (p *program) list(c *cli.Context) error {
	f := inventory.Filter{InForce: !c.Bool("all"), Layout: c.String("layout")}
	if s := c.String("role"); s != "" {
		var err error
		if f.Role, err = certs.ParseRole(s); err != nil {
			return invalid("--role", s, err)
		}
	}
	if c.Bool("csv") && c.Bool("json") {
		return usage("--csv excludes --json")
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	entries, err := a.Inventory().List(c.Context, f)
	if err != nil {
		return err
	}
	names := c.Args().Slice()
	v := struct {
		Schema       int               `json:"schema"`
		Authority    string            `json:"authority"`
		Certificates []certificateView `json:"certificates"`
	}{1, a.Dir(), []certificateView{}}
	for _, e := range entries {
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return named(e, n) }) {
			v.Certificates = append(v.Certificates, viewCertificate(e))
		}
	}
	slices.SortStableFunc(v.Certificates, func(a, b certificateView) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Layout, b.Layout), a.NotAfter.Compare(b.NotAfter))
	})
	switch {
	case c.Bool("json"):
		err = p.printJSON(v)
	case c.Bool("csv"):
		err = writeCSV(p.stdout, v.Certificates)
	case !c.Bool("quiet"):
		p.printCertificates(v.Certificates)
	}
	if err == nil && len(v.Certificates) == 0 {
		return status(exitFindings)
	}
	return err
}

// printCertificates prints a table.
func (p *program) printCertificates(list []certificateView) {
	if len(list) == 0 {
		p.warn("there is no such certificate in the inventory")
		return
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tLAYOUT\tUNTIL\tDAYS\tSTATE\tSERIAL")
	now := p.now()
	for _, c := range list {
		state := c.State
		if c.Revoked != nil {
			state = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", dash(visible(c.Name)), dash(c.Role), dash(c.Layout), date(c.NotAfter), daysLeft(c.NotAfter, now), state, c.Serial)
	}
	w.Flush()
}

// dash stands for nothing in a table.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// daysLeft gives the whole days until then, negative afterwards.
func daysLeft(t, now time.Time) int {
	left := t.Sub(now)
	days := int(left / (24 * time.Hour))
	if left < 0 && left%(24*time.Hour) != 0 {
		days--
	}
	return days
}

// writeCSV writes certificates by RFC 4180.
func writeCSV(out io.Writer, list []certificateView) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"serial", "name", "role", "layout", "dn", "names", "not_before", "not_after", "state", "revoked", "reason"})
	for _, c := range list {
		revoked, reason := "", ""
		if c.Revoked != nil {
			revoked, reason = c.Revoked.Format(time.RFC3339), *c.Reason
		}
		_ = w.Write([]string{c.Serial, c.Name, c.Role, c.Layout, c.DN, strings.Join(c.Names, " "), c.NotBefore.Format(time.RFC3339),
			c.NotAfter.Format(time.RFC3339), c.State, revoked, reason})
	}
	w.Flush()
	return w.Error()
}
