package ca

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/backup"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

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
