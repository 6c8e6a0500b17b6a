package main

import (
	"cmp"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/scan"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Category: "live", Usage: "what the authority has issued", ArgsUsage: "[NAME...]",
		Description: `Lists the certificates in the authority's inventory that are in force, or those of the named hosts
and clients. With --all also what is revoked, superseded or abandoned.

With --spec it is the authority of that cluster file, and what the file asks for and nothing in
force is for is listed as missing.

With --scan also what lies in files below a directory, and where: certificates of the inventory get
their files; "unknown" are those that the authority has signed and the inventory does not know
("virt-pki inventory adopt" takes them in), "other-ca" are those of others. Without --authority the
files alone are listed, as "found".

"never-published" is what was recorded and then, as far as the inventory knows, put nowhere: a run
was killed in between. "virt-pki revoke --unpublished" clears it.

EXAMPLES
   virt-pki list --authority ./cluster/authority
   virt-pki list kvm1.example.com --all
   virt-pki list --role client --csv > clients.csv
   virt-pki list --spec cluster.toml
   virt-pki list --scan ./cluster --scan /etc/pki --authority ./cluster/authority

EXIT STATUS
   0 listed   1 nothing of the kind is there   2 wrong usage   3 could not complete`,
		Flags: append(authorityFlags(),
			&cli.StringFlag{Name: "spec", Usage: "`FILE`: the cluster file that says what there should be"},
			&cli.StringSliceFlag{Name: "scan", Usage: "`DIR`: also what is in the files below it"},
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
	v := inventoryView{Schema: 1, Certificates: []certificateView{}}
	found, err := p.scanned(c, &v)
	if err != nil {
		return err
	}
	names := c.Args().Slice()
	keep := func(e inventory.Entry) bool {
		return (len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return named(e, n) })) &&
			(f.Role == 0 || e.Role == f.Role) && (f.Layout == "" || e.Layout == f.Layout)
	}
	if len(c.StringSlice("scan")) == 0 || c.String("authority") != "" || c.IsSet("spec") {
		a, cl, err := p.openListed(c)
		if err != nil {
			return err
		}
		defer a.Close()
		v.Authority = a.Dir()
		if err := v.inventory(c, a, f, keep, found, p.now()); err != nil {
			return err
		}
		if cl != nil {
			missing, err := p.missing(c, cl, a)
			if err != nil {
				return err
			}
			for _, e := range missing {
				if keep(e) {
					v.Certificates = append(v.Certificates, viewCertificate(e))
				}
			}
		}
	} else {
		v.files(nil, found.Certificates, keep)
	}
	slices.SortStableFunc(v.Certificates, func(a, b certificateView) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Layout, b.Layout), a.NotAfter.Compare(b.NotAfter.Time), cmp.Compare(a.Serial, b.Serial))
	})
	switch {
	case c.Bool("json"):
		err = p.printJSON(v)
	case c.Bool("csv"):
		err = writeCSV(p.stdout, v.Certificates)
	case !c.Bool("quiet"):
		p.printCertificates(v.Certificates)
	}
	unknown := 0
	for _, one := range v.Certificates {
		if one.State == stateUnknown {
			unknown++
		}
	}
	if unknown > 0 && !c.Bool("quiet") {
		p.warn("the authority has signed %s that its inventory does not know", plural(unknown, "certificate"))
		p.hint("virt-pki inventory adopt %s --authority %s", strings.Join(shellQuoted(c.StringSlice("scan")), " "), pathArgument(v.Authority))
	}
	switch {
	case err != nil:
		return err
	case len(v.Certificates) == 0:
		return status(exitFindings)
	case len(v.Unchecked) > 0:
		return status(exitIncomplete)
	}
	return nil
}

// A inventoryView is the answer of list.
type inventoryView struct {
	Schema       int               `json:"schema"`
	Authority    string            `json:"authority"`
	Certificates []certificateView `json:"certificates"`
	Unchecked    []string          `json:"unchecked,omitempty"`
}

// What list calls certificates that were found in files and are not in the inventory.
const (
	stateUnknown = "unknown"
	stateOther   = "other-ca"
	stateFound   = "found" // by no authority's inventory
	stateNever   = "never-published"
)

// unpublishedAfter is how long a certificate that was recorded may be on its way to its place.
const unpublishedAfter = 10 * time.Minute

// neverPublished reports whether a certificate was recorded, and then, as far as the inventory knows, put nowhere.
func neverPublished(e inventory.Entry, now time.Time) bool {
	return e.State == inventory.Issued && now.Sub(e.Created) >= unpublishedAfter
}

// scanned looks into the directories of --scan.
func (p *program) scanned(c *cli.Context, v *inventoryView) (scan.Found, error) {
	var found scan.Found
	faults, err := p.scanDirs(c.StringSlice("scan"), found.Scan)
	v.Unchecked = faults
	return found, err
}

// scanDirs has every directory looked through; what cannot be read is said and given.
func (p *program) scanDirs(dirs []string, scan func(fs.FS, func(string) string) error) (unchecked []string, err error) {
	for _, dir := range dirs {
		st, err := os.Stat(dir)
		if err == nil && !st.IsDir() {
			return nil, usage("%s: it is no directory", shellQuote(dir))
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		err = scan(root.FS(), func(name string) string { return filepath.Join(dir, name) })
		root.Close()
		for _, fault := range split(err) {
			p.warn("%s", fault)
			unchecked = append(unchecked, fault.Error())
		}
	}
	return unchecked, nil
}

// inventory adds what the inventory knows, with the files that it was found in, and the other files.
func (v *inventoryView) inventory(c *cli.Context, a *ca.Authority, f inventory.Filter, keep func(inventory.Entry) bool, found scan.Found, now time.Time) error {
	all, err := a.Inventory().List(c.Context, inventory.Filter{})
	if err != nil {
		return err
	}
	files := map[string]*scan.Certificate{}
	for i := range found.Certificates {
		files[string(found.Certificates[i].Cert.Raw)] = &found.Certificates[i]
	}
	for _, e := range all {
		var at []string
		if len(files) > 0 && len(e.PEM) > 0 {
			if block, _ := pem.Decode(e.PEM); block != nil && files[string(block.Bytes)] != nil {
				at = files[string(block.Bytes)].Files
				delete(files, string(block.Bytes))
			}
		}
		gone := e.Revoked != nil || e.State == inventory.Superseded || e.State == inventory.Abandoned
		if !keep(e) || f.InForce && gone && at == nil {
			continue
		}
		view := viewCertificate(e)
		if view.Files = at; at == nil && e.Revoked == nil && neverPublished(e, now) {
			view.State = stateNever
		}
		v.Certificates = append(v.Certificates, view)
	}
	var others []scan.Certificate
	for _, one := range found.Certificates {
		if files[string(one.Cert.Raw)] != nil {
			others = append(others, one)
		}
	}
	v.files(a, others, keep)
	return nil
}

// files adds certificates that no inventory knows. The authority's own certificate is none of them.
func (v *inventoryView) files(a *ca.Authority, list []scan.Certificate, keep func(inventory.Entry) bool) {
	for _, f := range list {
		e := scan.Describe(f)
		state := stateFound
		if a != nil {
			state = stateOther
			if string(f.Cert.Raw) == string(a.CertDER()) {
				continue
			}
			if _, err := a.KeyOf(f.Cert); err == nil {
				state = stateUnknown
			}
		}
		if keep(e) {
			e.State = inventory.State(state)
			view := viewCertificate(e)
			if view.Files = f.Files; e.Role == 0 {
				view.Role = ""
			}
			if f.Cert.BasicConstraints != nil && f.Cert.BasicConstraints.CA {
				view.Role = "ca"
			}
			v.Certificates = append(v.Certificates, view)
		}
	}
}

func shellQuoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = pathArgument(w)
	}
	return out
}

// printCertificates prints a table.
func (p *program) printCertificates(list []certificateView) {
	if len(list) == 0 {
		p.warn("there is no such certificate in the inventory")
		return
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "NAME\tROLE\tLAYOUT\tUNTIL\tDAYS\tSTATE\tSERIAL")
	filed := slices.ContainsFunc(list, func(c certificateView) bool { return len(c.Files) > 0 })
	if filed {
		fmt.Fprint(w, "\tFILE")
	}
	fmt.Fprintln(w)
	now := p.now()
	for _, c := range list {
		state := c.State
		if c.Revoked != nil {
			state = "revoked"
		}
		until, days := "-", "-" // of a revocation that was learnt from a list nothing else is known
		if !c.NotAfter.IsZero() {
			until, days = date(c.NotAfter.Time), strconv.Itoa(daysLeft(c.NotAfter.Time, now))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", dash(visible(c.Name)), dash(c.Role), dash(c.Layout), until, days, state, c.Serial)
		if filed {
			fmt.Fprintf(w, "\t%s", dash(someFiles(c.Files)))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

// someFiles names the first of several files.
func someFiles(files []string) string {
	switch len(files) {
	case 0:
		return ""
	case 1:
		return visible(files[0])
	}
	return fmt.Sprintf("%s and %d more", visible(files[0]), len(files)-1)
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
	_ = w.Write([]string{"serial", "name", "role", "layout", "dn", "names", "not_before", "not_after", "state", "revoked", "reason", "files"})
	for _, c := range list {
		revoked, reason := "", ""
		if c.Revoked != nil {
			revoked, reason = c.Revoked.Format(time.RFC3339), *c.Reason
		}
		_ = w.Write([]string{c.Serial, noFormula(c.Name), c.Role, noFormula(c.Layout), noFormula(c.DN), noFormula(strings.Join(c.Names, " ")),
			c.NotBefore.String(), c.NotAfter.String(), c.State, revoked, reason, noFormula(strings.Join(c.Files, " "))})
	}
	w.Flush()
	return w.Error()
}

// noFormula gives a text of a certificate or of a file's name for a CSV file: one that a spreadsheet would take for a formula,
// and run, has an apostrophe before it.
func noFormula(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// missingState is the state of what a cluster file asks for and was never issued.
const missingState = "missing"

// openListed opens the authority, by the cluster file where one is given.
func (p *program) openListed(c *cli.Context) (*ca.Authority, *cluster.Cluster, error) {
	if !c.IsSet("spec") {
		a, err := p.openAuthority(c)
		if which := (*usageError)(nil); errors.As(err, &which) {
			which.hint("files alone, without an authority: --scan DIR")
		}
		return a, nil, err
	}
	if c.IsSet("authority") {
		return nil, nil, usage("--spec excludes --authority: the file names it")
	}
	cl, err := p.specFile(c)
	if err != nil {
		return nil, nil, err
	}
	a, err := p.specAuthority(c, cl)
	if err == nil && a == nil {
		err = &hintedError{fmt.Errorf("%s: there is no authority yet", quote(cl.Founding.Dir)), []string{"make it: virt-pki init --spec " + pathArgument(cl.File)}}
	}
	return a, cl, err
}

// missing gives what a cluster file asks for and nothing in force is for.
func (p *program) missing(c *cli.Context, cl *cluster.Cluster, a *ca.Authority) ([]inventory.Entry, error) {
	entries, err := a.Inventory().List(c.Context, inventory.Filter{InForce: true})
	if err != nil {
		return nil, err
	}
	wanted, err := cl.Missing(entries)
	if err != nil {
		return nil, err
	}
	for i := range wanted {
		wanted[i].State = missingState
	}
	return wanted, nil
}
