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
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
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

// An Import says how a backup is restored.
type Import struct {
	Key backup.Key
	// Inventory is where the inventory is put: "" for the usual file in the directory, or the URL of a PostgreSQL database,
	// which may hold something already (inventory.Load).
	Inventory string

	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// Restored says what was restored.
type Restored struct {
	Backup
	// Known is how many of the certificates the database knew before.
	Known int
	// NextList is the number from which revocation lists go on.
	NextList *big.Int
}

// A ContentError says that a backup could be opened, and what is in it is not an authority.
type ContentError struct {
	Entry string
	Err   error
}

// Error names the entry and the reason.
func (e *ContentError) Error() string { return fmt.Sprintf("the backup's %q: %v", e.Entry, e.Err) }

// Unwrap gives the reason.
func (e *ContentError) Unwrap() error { return e.Err }

// ReadBackup reads a whole backup and says what is in it; it checks what Restore checks, and writes nothing.
func ReadBackup(ctx context.Context, r io.Reader, key backup.Key) (Backup, error) {
	fail := func(err error) (Backup, error) { return Backup{}, fmt.Errorf("reading the backup: %w", err) }
	from, err := backup.NewReader(r, key)
	if err != nil {
		return fail(err)
	}
	b, err := readBackup(ctx, from)
	if err != nil {
		return fail(err)
	}
	return b, nil
}

// entries are what is in a backup, one after the other, and io.EOF at the end.
type entries interface {
	Next() (name string, text []byte, err error)
}

func readBackup(ctx context.Context, from entries) (Backup, error) {
	in, err := openBackup(from, func(string, []byte) error { return ctx.Err() })
	if err != nil {
		return Backup{}, err
	}
	count, err := inventory.CheckDump(in.next())
	if err == nil {
		err = in.finish(count)
	}
	return in.Backup, err
}

// Restore makes an authority in a directory, which must not exist or be empty, of a backup. It appears complete or not at all;
// in between nothing is on disk but its files as they were, the key as closed as it was. Numbers of revocation lists jump
// ahead by ListJump, past those that were published after the backup; serial numbers are random, and are not used twice.
//
// What was issued or revoked after the backup is not in it.
func Restore(ctx context.Context, dir string, r io.Reader, im Import) (Restored, error) {
	fail := func(err error) (Restored, error) { return Restored{}, fmt.Errorf("importing the authority: %w", err) }
	st, err := newStage(ctx, dir, false, im.Step)
	if err != nil {
		return fail(err)
	}
	defer st.close()
	from, err := backup.NewReader(r, im.Key)
	if err != nil {
		return fail(err)
	}
	in, err := openBackup(from, func(name string, text []byte) error {
		if err := st.mkdirs(path.Dir(name)); err != nil {
			return err
		}
		return st.write(name, text, restoredMode(name, text))
	})
	if err != nil {
		return fail(err)
	}
	var inv *inventory.Inventory
	if inventory.IsPostgres(im.Inventory) {
		if inv, err = inventory.Open(ctx, im.Inventory); err == nil {
			err = st.write(inventoryURL, []byte(inv.Path()+"\n"), 0o644)
		}
	} else {
		_ = st.parent.Hook(durable.Step{Op: "create", Path: inventoryFile})
		if inv, err = inventory.CreateStaged(ctx, filepath.Join(st.path, inventoryFile)); err != nil {
			err = st.inventoryFailed(err)
		}
	}
	if err != nil {
		return fail(err)
	}
	defer inv.Close()
	out := Restored{}
	loaded, err := inv.Load(ctx, inventory.Load{Authority: in.Authority, AtLeast: in.lists, Skip: ListJump, Finish: in.finish}, in.next())
	if err != nil {
		if !inventory.IsPostgres(im.Inventory) {
			err = st.inventoryFailed(err)
		}
		return fail(err)
	}
	out.Backup, out.Known, out.NextList = in.Backup, loaded.Known, new(big.Int).Add(loaded.Last, big.NewInt(1))
	if err := inv.Close(); err != nil {
		return fail(err)
	}
	if err := st.publish(); err != nil {
		return fail(err)
	}
	return out, nil
}

// restoredMode gives the mode of a restored file. Open to all are certificates, lists and settings; what else lies in the
// directory, an HMAC key perhaps, is as closed as a key.
func restoredMode(name string, text []byte) fs.FileMode {
	open := strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".json")
	if !open || strings.HasPrefix(name, keyDirectory+"/") || bytes.Contains(text, []byte("PRIVATE KEY")) {
		return 0o600
	}
	return 0o644
}

// mkdirs makes a directory of the stage and those above it.
func (s *stage) mkdirs(name string) error {
	if name == "." {
		return nil
	}
	if err := s.mkdirs(path.Dir(name)); err != nil {
		return err
	}
	_, err := s.Mkdir(name, 0o700, nil)
	return s.failed(name, err)
}

// opened is a backup that has been read up to its inventory.
type opened struct {
	Backup
	from entries
	// pending is the entry that was read and is not used yet.
	pending string
	text    []byte
	lists   *big.Int // the number of the list among the files
	end     backupEnd
}

// openBackup reads the head and the files, gives each file away, and checks that they are an authority.
func openBackup(from entries, give func(name string, text []byte) error) (*opened, error) {
	in := &opened{from: from}
	name, text, err := from.Next()
	if err == io.EOF || err == nil && name != entryHead {
		return nil, backup.ErrNoBackup
	}
	if err != nil {
		return nil, err
	}
	var head backupHead
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, &ContentError{name, err}
	}
	if head.Schema != backupSchema {
		return nil, &ContentError{name, fmt.Errorf("schema %d; this program knows schema %d", head.Schema, backupSchema)}
	}
	in.Backup = Backup{Made: head.Made, Authority: head.Authority, Subject: head.Subject, Fingerprint: head.Fingerprint, Key: head.Key}
	small := map[string][]byte{}
	for {
		if in.pending, in.text, err = from.Next(); err == io.EOF {
			return nil, &ContentError{entryEnd, errors.New("it is missing")}
		} else if err != nil {
			return nil, err
		}
		switch file, ours := strings.CutPrefix(in.pending, entryFiles); {
		case ours:
			switch file {
			case inventoryFile, movedFile, inventoryURL:
				return nil, &ContentError{in.pending, errors.New("it is not kept in this way")}
			case certFile, keyFile, policyName, crlFile, rotationFile, path.Join(nextDirectory, certFile), path.Join(nextDirectory, keyFile):
				small[file] = bytes.Clone(in.text)
			}
			for at := path.Dir(file); at != "."; at = path.Dir(at) {
				if strings.HasPrefix(path.Base(at), ".") {
					return nil, &ContentError{in.pending, errors.New("a hidden directory is none of an authority's")}
				}
			}
			in.Files = append(in.Files, file)
			err := give(file, in.text)
			clear(in.text)
			if err != nil {
				return nil, err
			}
		case in.pending == entryCluster:
			in.Cluster = in.text
		default:
			defer clear(small[keyFile])
			defer clear(small[path.Join(nextDirectory, keyFile)])
			return in, in.check(small)
		}
	}
}

// check judges the files.
func (in *opened) check(files map[string][]byte) error {
	certFile, keyFile := certFile, keyFile
	if text := files[rotationFile]; text != nil {
		state, err := parseRotation(text)
		if err != nil {
			return &ContentError{entryFiles + rotationFile, err}
		}
		if state.Issuer == inNext { // it is the new CA that the head names
			certFile, keyFile = path.Join(nextDirectory, certFile), path.Join(nextDirectory, keyFile)
		}
	}
	for _, name := range []string{certFile, policyName} {
		if files[name] == nil {
			return &ContentError{entryFiles + name, errors.New("it is missing")}
		}
	}
	policy, err := unmarshalPolicy(files[policyName])
	if err != nil {
		return &ContentError{entryFiles + policyName, err}
	}
	bundle, err := decodePEM(certFile, files[certFile])
	if err != nil {
		return &ContentError{entryFiles + certFile, err}
	}
	a, err := New(bundle[0], nil, policy, nil)
	if err != nil {
		return &ContentError{entryFiles + certFile, err}
	}
	if a.ID() != in.Authority || a.Fingerprint() != in.Fingerprint {
		return &ContentError{entryFiles + certFile, fmt.Errorf("it is not the certificate that %s names", entryHead)}
	}
	in.Subject = a.Subject()
	key, there := files[keyFile]
	kind := KeyElsewhere
	if there {
		if kind, err = kindOfKey(key); err != nil {
			return &ContentError{entryFiles + keyFile, err}
		}
	}
	if kind != in.Key {
		return &ContentError{entryFiles + keyFile, fmt.Errorf("it is %s, and %s says %s", kind, entryHead, in.Key)}
	}
	if kind == KeyPlain {
		private, err := certs.ParseKey(key, nil)
		if err == nil {
			err = a.setKey(private)
		}
		if err != nil {
			return &ContentError{entryFiles + keyFile, err}
		}
	}
	if text := files[crlFile]; text != nil {
		lists, err := crl.ParsePEM(text)
		if err != nil {
			return &ContentError{entryFiles + crlFile, err}
		}
		issuer, err := certs.Import(bundle[0])
		if err != nil {
			return &ContentError{entryFiles + certFile, err}
		}
		for _, l := range lists {
			if l.IssuedBy(issuer) && l.Number != nil && (in.lists == nil || l.Number.Cmp(in.lists) > 0) {
				in.lists = l.Number
			}
		}
	}
	return nil
}

// next gives the lines of the inventory, and io.EOF when the whole backup has been seen, to its last octet.
func (in *opened) next() func() ([]byte, error) {
	var lines [][]byte
	return func() ([]byte, error) {
		for len(lines) == 0 {
			name, text := in.pending, in.text
			switch {
			case strings.HasPrefix(name, entryInventory):
				lines = slices.Collect(bytes.Lines(text))
			case name == entryEnd:
				if err := json.Unmarshal(text, &in.end); err != nil {
					return nil, &ContentError{name, err}
				}
				_, _, err := in.from.Next()
				if err == nil {
					err = &ContentError{name, errors.New("something follows it")}
				}
				return nil, err
			default:
				return nil, &ContentError{name, errors.New("it is not known")}
			}
			var err error
			if in.pending, in.text, err = in.from.Next(); err == io.EOF {
				return nil, &ContentError{entryEnd, errors.New("it is missing")}
			} else if err != nil {
				return nil, err
			}
		}
		line := bytes.TrimSuffix(lines[0], []byte("\n"))
		lines = lines[1:]
		return line, nil
	}
}

// finish compares what was read with what the backup says that it holds.
func (in *opened) finish(count inventory.Dumped) error {
	in.Certificates, in.Revoked, in.LastList = count.Certificates, count.Revoked, in.end.LastList
	if in.end.Files != len(in.Files) || in.end.Certificates != count.Certificates || in.end.Revoked != count.Revoked {
		return &ContentError{entryEnd, fmt.Errorf("it counts %d files and %d certificates, %d of them revoked; there are %d, %d and %d", in.end.Files,
			in.end.Certificates, in.end.Revoked, len(in.Files), count.Certificates, count.Revoked)}
	}
	return nil
}
