package ca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// The entries of a backup: first what it is, then the files of the authority's directory, the cluster's file, the inventory in
// parts, and last how much that was.
const (
	entryHead      = "backup.json"
	entryFiles     = "authority/"
	entryCluster   = "cluster.toml"
	entryInventory = "inventory/"
	entryEnd       = "end.json"
)

// backupSchema is the schema of backup.json.
const backupSchema = 1

// partSize is how much of the inventory is in one entry, and so in memory.
const partSize = 1 << 20

// ListJump is by how much the numbers of revocation lists jump ahead when an authority is restored. How many lists were
// published after the backup nobody knows; one an hour for a hundred years would not be so many.
const ListJump = 1_000_000

// A Backup says what is in a backup.
type Backup struct {
	// Made is when it was made.
	Made time.Time `json:"made"`
	// Authority is the CA's identifier (Authority.ID), Subject its name as libvirt writes it, Fingerprint the SHA-256 of its
	// certificate in hex.
	Authority   string `json:"authority"`
	Subject     string `json:"subject"`
	Fingerprint string `json:"fingerprint_sha256"`
	// Key says how the CA's key lies in it.
	Key KeyKind `json:"key"`
	// Files are the names of the authority's files in it.
	Files []string `json:"files"`
	// Cluster is the text of the cluster's file, nil when there is none.
	Cluster []byte `json:"-"`
	// Certificates is how many are in the inventory, Revoked how many of them are revoked.
	Certificates int `json:"certificates"`
	Revoked      int `json:"revoked"`
	// LastList is the number of the last revocation list at the time, nil when there was none.
	LastList *big.Int `json:"last_crl_number"`
}

// backupHead is backup.json.
type backupHead struct {
	Schema      int       `json:"schema"`
	Program     string    `json:"program"`
	Made        time.Time `json:"made"`
	Authority   string    `json:"authority"`
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint_sha256"`
	Key         KeyKind   `json:"key"`
}

// backupEnd is end.json.
type backupEnd struct {
	Files        int      `json:"files"`
	Certificates int      `json:"certificates"`
	Revoked      int      `json:"revoked"`
	LastList     *big.Int `json:"last_crl_number"`
}

// KeyKind says how the CA's key lies.
type KeyKind string

// The kinds.
const (
	KeyEncrypted KeyKind = "encrypted" // in a file, with a passphrase
	KeyPlain     KeyKind = "plain"     // in a file, readable for whoever can read the file
	KeyElsewhere KeyKind = "elsewhere" // not in the authority's directory
)

// KeyKind says how the authority's key lies, and in which file.
func (a *Authority) KeyKind() (KeyKind, string, error) {
	name := filepath.Join(a.home(), keyFile)
	text, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return KeyElsewhere, "", nil
	}
	if err != nil {
		return "", name, fmt.Errorf("reading the CA key: %w", err)
	}
	defer clear(text)
	kind, err := kindOfKey(text)
	if err != nil {
		err = fmt.Errorf("reading the CA key %q: %w", name, err)
	}
	return kind, name, err
}

func kindOfKey(text []byte) (KeyKind, error) {
	_, err := certs.ParseKey(text, nil)
	switch {
	case errors.Is(err, certs.ErrPassphraseNeeded):
		return KeyEncrypted, nil
	case err != nil:
		return "", err
	}
	return KeyPlain, nil
}

// Subject gives the CA's name as libvirt writes it.
func (a *Authority) Subject() string { return nameOf(a.cert) }

// Fingerprint gives the SHA-256 of the CA's certificate in lower-case hex.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// An Export says how a backup is made.
type Export struct {
	Seal backup.Seal
	Now  time.Time
	// Cluster is the text of the cluster's file, when there is one.
	Cluster []byte

	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// Export writes a backup of the whole authority into a new file (mode 0600): every file of its directory, and the inventory as
// of one moment, wherever that is. The authority may be locked; its key is taken as it lies. Before the file gets its name it
// is read again, decrypted and compared. A file that is there is never overwritten.
func (a *Authority) Export(ctx context.Context, file string, e Export) (Backup, error) {
	if a.inventory == nil || a.dir == "" {
		return Backup{}, errors.New("the authority has no inventory")
	}
	fail := func(err error) (Backup, error) { return Backup{}, fmt.Errorf("exporting the authority: %w", err) }
	// No list is made, and nothing renewed, while its files are read.
	held, err := durable.LockDir(ctx, a.dir)
	if err != nil {
		return fail(err)
	}
	defer held.Release()
	abs, err := filepath.Abs(file)
	if err != nil {
		return fail(err)
	}
	d, err := durable.Open(filepath.Dir(abs))
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	d.Hook = func(s durable.Step) error {
		if e.Step != nil {
			e.Step(s.Op + " " + s.Path)
		}
		return ctx.Err()
	}
	var b Backup
	var w *backup.Writer
	pending, err := d.Prepare(durable.File{Name: filepath.Base(abs), Mode: 0o600, Stream: func(to io.Writer) (err error) {
		if w, err = backup.NewWriter(to, e.Seal, e.Now); err != nil {
			return err
		}
		if b, err = a.export(ctx, w, e); err != nil {
			return err
		}
		return w.Close()
	}})
	if err != nil {
		return fail(err)
	}
	defer pending.Discard()
	if e.Step != nil {
		e.Step("verify " + abs)
	}
	f, err := pending.Open()
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if err := w.Check(f); err != nil {
		return fail(err)
	}
	if err := pending.Publish(); err != nil {
		return fail(err)
	}
	if err := d.SyncDir("."); err != nil {
		return fail(err)
	}
	return b, nil
}

// export fills a backup.
func (a *Authority) export(ctx context.Context, w *backup.Writer, e Export) (Backup, error) {
	kind, _, err := a.KeyKind()
	if err != nil {
		return Backup{}, err
	}
	b := Backup{Made: e.Now.UTC().Truncate(time.Second), Authority: a.ID(), Subject: a.Subject(), Fingerprint: a.Fingerprint(), Key: kind, Cluster: e.Cluster}
	if err := addJSON(w, entryHead, backupHead{backupSchema, "virt-pki", b.Made, b.Authority, b.Subject, b.Fingerprint, b.Key}); err != nil {
		return b, err
	}
	if b.Files, err = a.exportFiles(w); err != nil {
		return b, err
	}
	if e.Cluster != nil {
		if err := w.Add(entryCluster, e.Cluster); err != nil {
			return b, err
		}
	}
	var part bytes.Buffer
	parts := 0
	flush := func() error {
		if part.Len() == 0 {
			return nil
		}
		err := w.Add(fmt.Sprintf("%s%06d.jsonl", entryInventory, parts), part.Bytes())
		parts++
		part.Reset()
		return err
	}
	count, err := a.inventory.Dump(ctx, func(line []byte) error {
		part.Write(line)
		part.WriteByte('\n')
		if part.Len() < partSize {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return b, err
	}
	b.Certificates, b.Revoked = count.Certificates, count.Revoked
	if own, _, err := a.CRL(); err != nil {
		return b, err
	} else if own != nil {
		b.LastList = own.Number
	}
	return b, addJSON(w, entryEnd, backupEnd{len(b.Files), b.Certificates, b.Revoked, b.LastList})
}

func addJSON(w *backup.Writer, name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.Add(name, append(text, '\n'))
}

// exportFiles adds every file of the directory but the inventory, which is taken from the database, and what killed processes
// left.
func (a *Authority) exportFiles(w *backup.Writer) (names []string, err error) {
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return &PathError{filepath.Join(a.dir, name), "cannot be read: " + reason(err), err, ""}
		}
		switch {
		case durable.IsLeftover(d.Name()) && d.IsDir():
			return fs.SkipDir
		case durable.IsLeftover(d.Name()) || d.IsDir() || name == inventoryFile || strings.HasPrefix(name, inventoryFile+"-") ||
			name == movedFile || name == inventoryURL:
			return nil
		case !d.Type().IsRegular():
			return &PathError{filepath.Join(a.dir, name), "is neither a file nor a directory", nil, "what it is for virt-pki does not know; move it away"}
		}
		text, err := root.ReadFile(name)
		if err != nil {
			return &PathError{filepath.Join(a.dir, name), "cannot be read: " + reason(err), err, ""}
		}
		defer clear(text)
		names = append(names, name)
		return w.Add(entryFiles+name, text)
	})
	return names, err
}
