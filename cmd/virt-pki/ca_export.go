package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/ca"
)

func (p *program) caExportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "an encrypted backup of the whole authority", ArgsUsage: "FILE",
		Description: `Writes the authority into one encrypted file: certificate, key, policy, revocation list, the whole
inventory (from PostgreSQL, too), and the cluster's file where there is one. The file is read again,
decrypted and compared before it gets its name; one that is there is never overwritten. Nothing is
written unencrypted.

It is encrypted with the passphrase of the CA's key, which is then all that is needed to restore
it; with one of its own (--backup-passphrase-file, $` + backupVariable + `, needed where the
key is unencrypted); or for recipients of age (--recipient), whose identities alone open it.

The file is an age file with a tar archive in it: "age -d FILE | tar -t" shows what is in it.

EXAMPLES
   virt-pki ca export /mnt/usb/authority-2026-11-25.age --authority ./cluster/authority
   virt-pki ca export backup.age --recipient age1ql3z7hjy54pw...

EXIT STATUS
   0 written and verified   2 wrong usage   3 could not complete; then there is no file`,
		Flags: append(append(authorityFlags(), backupFlags()...), append([]cli.Flag{
			&cli.StringSliceFlag{Name: "recipient", Usage: "`AGE1...`: encrypt for this recipient, not with a passphrase"},
			&cli.StringFlag{Name: "cluster-file", Usage: "`FILE`: put it into the backup, too", DefaultText: clusterFile + " beside the authority, where there is one"},
			jsonFlag(), quietFlag(),
		}, passphraseFlags()...)...),
		Action: p.caExport,
	}
}

// backupVariable is the environment variable that holds the passphrase of backups.
const backupVariable = "VIRT_PKI_BACKUP_PASSPHRASE"

// clusterFile is the file that describes a cluster.
const clusterFile = "cluster.toml"

func backupFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "backup-passphrase-file", Usage: "`FILE`: the passphrase of the backup is its first line", DefaultText: "$" + backupVariable + ", or the passphrase of the CA's key"},
	}
}

// An exportView is the answer of ca export.
type exportView struct {
	Schema int    `json:"schema"`
	File   string `json:"file"`
	Size   int64  `json:"size"`
	ca.Backup
	ClusterFile *string  `json:"cluster_file"`
	Next        []string `json:"next"`
}

func (p *program) caExport(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("ca export needs one FILE").hint("virt-pki ca export authority.age --authority DIR")
	}
	file := c.Args().First()
	if file == "-" {
		return usage("ca export writes a file, which it reads again to be sure").hint("virt-pki ca export authority.age; then send that file")
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := os.Lstat(file); err == nil { // before a passphrase is asked for
		return &hintedError{fmt.Errorf("exporting the authority: %s: it is there already", quote(file)), []string{"name a new file; backups are never overwritten"}}
	}
	e := ca.Export{Now: p.now()}
	v := exportView{Schema: 1, File: file, Next: []string{}}
	if e.Cluster, v.ClusterFile, err = p.clusterText(c, a.Dir()); err != nil {
		return err
	}
	if e.Seal.Recipients = c.StringSlice("recipient"); len(e.Seal.Recipients) == 0 {
		if e.Seal.Passphrase, err = p.newBackupSecret(c, a); err != nil {
			return err
		}
	} else if c.IsSet("backup-passphrase-file") {
		return usage("--recipient excludes --backup-passphrase-file")
	}
	if v.Backup, err = a.Export(c.Context, file, e); err != nil {
		return err
	}
	if st, err := os.Stat(file); err == nil {
		v.Size = st.Size()
	}
	v.Next = append(v.Next, "virt-pki ca import "+pathArgument(file)+" --dry-run   # what is in it, at any time")
	switch {
	case c.Bool("json"):
		return p.printJSON(v)
	case !c.Bool("quiet"):
		fmt.Fprintf(p.stdout, "exported CA %s into %s, and read it back\n", visible(v.Subject), file)
		p.printBackup(v.Backup)
		fmt.Fprintf(p.stdout, "\nnext:\n  %s\n", v.Next[0])
	}
	if v.Key == ca.KeyElsewhere {
		p.warn("the CA's key is not in the authority's directory, and so not in the backup")
	}
	return nil
}

// clusterText gives the cluster's file.
func (p *program) clusterText(c *cli.Context, dir string) ([]byte, *string, error) {
	name := c.String("cluster-file")
	if name == "" {
		name = filepath.Join(dir, "..", clusterFile)
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil
		}
	}
	text, err := p.read("the cluster's file", name)
	return text, &name, err
}

// newBackupSecret gives the passphrase for a backup to be made. That of the CA's key is tried on the key: a mistyped one
// would make a backup that nobody opens.
func (p *program) newBackupSecret(c *cli.Context, a *ca.Authority) ([]byte, error) {
	if secret, ok, err := p.backupSecret(c); err != nil || ok {
		return secret, err
	}
	kind, _, err := a.KeyKind()
	if err != nil {
		return nil, err
	}
	source := p.passphrase(c)
	if kind == ca.KeyEncrypted {
		secret, err := source.forExisting(fmt.Errorf("encrypting the backup: %w", backup.ErrOpen))
		if err != nil {
			return nil, err
		}
		return secret, source.explain(a.Unlock(secret))
	}
	if secret, ok, err := source.given(); err != nil || ok {
		return secret, err
	}
	if source.none || !source.interactive() {
		return nil, &hintedError{fmt.Errorf("encrypting the backup: %w", backup.ErrOpen),
			[]string{"give one with --backup-passphrase-file or in $" + backupVariable + ", or name a --recipient of age; the CA's key has no passphrase to be taken"}}
	}
	for range passphraseTries {
		first, err := source.ask("passphrase for the backup: ")
		if err != nil {
			return nil, err
		}
		second, err := source.ask("once more: ")
		if err != nil {
			return nil, err
		}
		if len(first) > 0 && bytes.Equal(first, second) {
			return first, nil
		}
		fmt.Fprintln(p.stderr, "they differ, or are empty; again")
	}
	return nil, fmt.Errorf("no passphrase: the two differed %d times", passphraseTries)
}

// backupSecret gives the backup's own passphrase, where one is given.
func (p *program) backupSecret(c *cli.Context) ([]byte, bool, error) {
	own := passphraseSource{program: p, ctx: c.Context, file: c.String("backup-passphrase-file")}
	if own.file != "" {
		return own.given()
	}
	if v := p.getenv(backupVariable); v != "" {
		return []byte(v), true, nil
	}
	return nil, false, nil
}

// printBackup prints what is in a backup.
func (p *program) printBackup(b ca.Backup) {
	w := p.stdout
	fmt.Fprintf(w, "  %-10s %s\n", "made", b.Made.UTC().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "  %-10s %s\n", "SHA-256", b.Fingerprint)
	key := map[ca.KeyKind]string{ca.KeyEncrypted: "in it, encrypted with its own passphrase", ca.KeyPlain: "in it, without a passphrase of its own", ca.KeyElsewhere: "not in it"}[b.Key]
	fmt.Fprintf(w, "  %-10s %s\n", "key", key)
	fmt.Fprintf(w, "  %-10s %s, %d revoked\n", "inventory", plural(b.Certificates, "certificate"), b.Revoked)
	if b.LastList != nil {
		fmt.Fprintf(w, "  %-10s number %v\n", "CRL", b.LastList)
	}
	if b.Cluster != nil {
		fmt.Fprintf(w, "  %-10s in it\n", clusterFile)
	}
}
