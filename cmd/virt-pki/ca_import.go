package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) caImportCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "an authority from its backup", ArgsUsage: "FILE",
		Description: `Makes the authority of a backup in a new directory. It appears whole or not at all; an authority
that is there is never overwritten. With --db its inventory goes into PostgreSQL: what is there
already stays, and revocations are added.

What was issued, revoked or published after the backup is not in it. Serial numbers are random, and
come twice from no restored authority. Numbers of revocation lists jump ahead by 1,000,000. What
lies on the hosts is found by "virt-pki list --scan DIR" and taken in by "virt-pki inventory adopt
DIR...", the revocations of their lists, too: do that before the next list is published, since a
list that lacks a revocation lets in who was revoked.

EXAMPLES
   virt-pki ca import authority.age --authority ./cluster/authority
   virt-pki ca import authority.age --dry-run                 read it whole, and say what is in it
   virt-pki ca import authority.age --authority ./authority --identity key.txt

EXIT STATUS
   0 imported   2 wrong usage   3 could not complete; then nothing was imported`,
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "authority", Usage: "`DIR`: make the authority here"},
			&cli.StringFlag{Name: "db", Usage: "`URL`: put the inventory into PostgreSQL (postgres://USER@HOST/DATABASE)", DefaultText: "$" + databaseVariable + ", or inventory.db in the authority"},
		}, backupFlags()...), append([]cli.Flag{
			&cli.StringFlag{Name: "identity", Usage: "`FILE`: of age, with the identity of a recipient"},
			&cli.StringFlag{Name: "cluster-file", Usage: "`FILE`: put the cluster's file here", DefaultText: clusterFile + " beside the authority"},
			dryRunFlag(), jsonFlag(), quietFlag(),
		}, passphraseFlags()...)...),
		Action: p.caImport,
	}
}

// An importView is the answer of ca import.
type importView struct {
	Schema    int    `json:"schema"`
	DryRun    bool   `json:"dry_run,omitempty"`
	File      string `json:"file"`
	Authority string `json:"dir"`
	ca.Backup
	// Known is how many certificates the database knew before.
	Known       int      `json:"known"`
	NextCRL     *big.Int `json:"next_crl_number"`
	ClusterFile *string  `json:"cluster_file"`
	Next        []string `json:"next"`
}

func (p *program) caImport(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("ca import needs one FILE").hint("virt-pki ca import authority.age --authority DIR")
	}
	name, dir := c.Args().First(), c.String("authority")
	if dir == "" && !c.Bool("dry-run") {
		return usage("ca import needs --authority DIR, a new directory").hint("--dry-run says what is in the backup")
	}
	source := p.database(c)
	if source != "" && !inventory.IsPostgres(source) {
		return usage("--db %s: ca import puts the inventory into PostgreSQL or into the authority's directory", shellQuote(source))
	}
	if dir != "" {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 { // before a passphrase is asked for
			return &hintedError{fmt.Errorf("importing the authority: %s: the directory is not empty", quote(dir)), []string{"name a new directory; an authority is never overwritten"}}
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return &readError{"the backup", name, err}
	}
	defer f.Close()
	key, err := p.backupKey(c, f)
	if err != nil {
		return &fileError{name, "reading the backup", err}
	}
	v := importView{Schema: 1, DryRun: c.Bool("dry-run"), File: name, Authority: dir, Next: []string{}}
	if v.DryRun {
		if v.Backup, err = ca.ReadBackup(c.Context, f, key); err != nil {
			return p.explainBackup(c, err)
		}
		v.NextCRL = new(big.Int).SetInt64(ca.ListJump + 1)
		if v.LastList != nil {
			v.NextCRL.Add(v.NextCRL, v.LastList)
		}
		return p.show(c, v, func() { p.printImported(v) })
	}
	restored, err := ca.Restore(c.Context, dir, f, ca.Import{Key: key, Inventory: source})
	if err != nil {
		return p.explainBackup(c, err)
	}
	v.Backup, v.Known, v.NextCRL = restored.Backup, restored.Known, restored.NextList
	if v.Cluster != nil {
		if v.ClusterFile, err = p.placeCluster(c, v); err != nil {
			return err
		}
	}
	authority := " --authority " + pathArgument(dir)
	v.Next = append(v.Next, "virt-pki list --scan DIR"+authority+"   # what the hosts have, and what of it the authority does not know",
		"virt-pki inventory adopt DIR..."+authority+"   # take it in, with the revocations of the hosts' lists",
		"virt-pki crl publish --out DIR"+authority+"   # only then")
	return p.show(c, v, func() { p.printImported(v) })
}

// backupKey gives what opens the backup, and asks for a passphrase where one is needed and none is given.
func (p *program) backupKey(c *cli.Context, f *os.File) (backup.Key, error) {
	var key backup.Key
	var err error
	if name := c.String("identity"); name != "" {
		if key.Identities, err = p.read("the identity", name); err != nil {
			return key, err
		}
	}
	_, needed := backup.NewReader(f, backup.Key{})
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return key, err
	}
	switch {
	case errors.Is(needed, backup.ErrIdentityNeeded) && len(key.Identities) == 0:
		return key, &hintedError{needed, []string{"name the file with the identity: --identity FILE"}}
	case !errors.Is(needed, backup.ErrPassphraseNeeded):
		return key, nil // or damaged, which shows again when it is read
	}
	var ok bool
	if key.Passphrase, ok, err = p.backupSecret(c); err != nil || ok {
		return key, err
	}
	source := p.passphrase(c)
	if key.Passphrase, ok, err = source.given(); err != nil || ok {
		return key, err
	}
	if source.none || !source.interactive() {
		return key, &hintedError{needed, []string{"give it with --backup-passphrase-file or in $" + backupVariable + "; where it is that of the CA's key: --passphrase-file or $" + passphraseVariable}}
	}
	key.Passphrase, err = source.ask("passphrase of the backup: ")
	return key, err
}

// explainBackup says where a wrong passphrase came from.
func (p *program) explainBackup(c *cli.Context, err error) error {
	if !errors.Is(err, backup.ErrPassphrase) {
		return err
	}
	from := "mind the keyboard's layout and Caps Lock, and try again"
	switch {
	case c.String("backup-passphrase-file") != "":
		from = "it was taken from the first line of " + shellQuote(c.String("backup-passphrase-file"))
	case p.getenv(backupVariable) != "":
		from = "it was taken from $" + backupVariable
	case c.String("passphrase-file") != "":
		from = "it was taken from the first line of " + shellQuote(c.String("passphrase-file"))
	case p.getenv(passphraseVariable) != "":
		from = "it was taken from $" + passphraseVariable
	}
	return &hintedError{err, []string{from}}
}

// placeCluster puts the cluster's file beside the authority, where it does not overwrite another.
func (p *program) placeCluster(c *cli.Context, v importView) (*string, error) {
	name := c.String("cluster-file")
	if name == "" {
		abs, err := filepath.Abs(v.Authority)
		if err != nil {
			return nil, err
		}
		name = filepath.Join(filepath.Dir(abs), clusterFile)
	}
	if there, err := os.ReadFile(name); err == nil {
		if !bytes.Equal(there, v.Cluster) {
			p.warn("%s is there already and was left as it is; that of the backup is another", name)
			p.hint("age -d %s | tar -xO %s > cluster.restored.toml", pathArgument(v.File), clusterFile)
		}
		return &name, nil
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = out.Write(v.Cluster)
		err = errors.Join(err, out.Sync(), out.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("the authority is imported; its cluster's file is not: %w", err)
	}
	return &name, nil
}

func (p *program) printImported(v importView) {
	w := p.stdout
	if v.DryRun {
		fmt.Fprintf(w, "CA %s, whole and undamaged in %s\n", visible(v.Subject), v.File)
	} else {
		fmt.Fprintf(w, "imported CA %s into %s\n", visible(v.Subject), v.Authority)
	}
	p.printBackup(v.Backup)
	fmt.Fprintf(w, "  %-10s %v\n", "next CRL", v.NextCRL)
	if v.Known > 0 {
		fmt.Fprintf(w, "\n%s in the database before, and stayed as they were.\n", plural(v.Known, "certificate"))
	}
	if v.DryRun {
		return
	}
	fmt.Fprintf(w, "\nWhat was issued or revoked after %s is not in it.\n\nnext:\n", v.Made.UTC().Format("2006-01-02 15:04:05"))
	for _, n := range v.Next {
		fmt.Fprintf(w, "  %s\n", n)
	}
}
