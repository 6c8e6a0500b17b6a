package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"filippo.io/age"
)

// A Seal says how a backup is encrypted: with a passphrase, or for recipients.
type Seal struct {
	Passphrase []byte
	// Recipients are public keys of age (age1..., age1pq1...).
	Recipients []string
	// WorkFactor is the logarithm of scrypt's cost. Zero: 18. Tests take less.
	WorkFactor int
}

// defaultWorkFactor costs about a second and 256 MiB, maxWorkFactor four times as much: more would let a forged file stop
// the machine.
const (
	defaultWorkFactor = 18
	maxWorkFactor     = 20
)

// maxEntry bounds one entry; the largest that an authority has are revocation lists.
const maxEntry = 256 << 20

// maxEntries bounds their number.
const maxEntries = 1 << 20

// recipients gives age's, and what remembers the file's key, so that Check can read what it cannot decrypt otherwise.
func (s Seal) recipients() ([]age.Recipient, *spy, error) {
	if len(s.Passphrase) > 0 {
		if len(s.Recipients) > 0 {
			return nil, nil, errors.New("a passphrase excludes recipients")
		}
		r, err := age.NewScryptRecipient(string(s.Passphrase))
		if err != nil {
			return nil, nil, err
		}
		factor := s.WorkFactor
		if factor == 0 {
			factor = defaultWorkFactor
		}
		if factor < 1 || factor > maxWorkFactor {
			return nil, nil, fmt.Errorf("work factor %d is not from 1 to %d", factor, maxWorkFactor)
		}
		r.SetWorkFactor(factor)
		return []age.Recipient{r}, nil, nil
	}
	if len(s.Recipients) == 0 {
		return nil, nil, ErrOpen
	}
	var out []age.Recipient
	for _, text := range s.Recipients {
		list, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, nil, &KeyError{"a recipient", err}
		}
		out = append(out, list...)
	}
	ear := &spy{RecipientWithLabels: withLabels{out[0]}}
	out[0] = ear
	return out, ear, nil
}

// withLabels gives a recipient the interface of those with labels, of which one without has none.
type withLabels struct{ age.Recipient }

// WrapWithLabels is age's.
func (w withLabels) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	if l, ok := w.Recipient.(age.RecipientWithLabels); ok {
		return l.WrapWithLabels(fileKey)
	}
	stanzas, err := w.Wrap(fileKey)
	return stanzas, nil, err
}

// Wrap is age's.
func (w withLabels) Wrap(fileKey []byte) ([]*age.Stanza, error) { return w.Recipient.Wrap(fileKey) }

// A spy is a recipient that remembers the key of the file.
type spy struct {
	age.RecipientWithLabels
	key []byte
}

// Wrap is age's.
func (s *spy) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	s.key = bytes.Clone(fileKey)
	return s.RecipientWithLabels.(age.Recipient).Wrap(fileKey)
}

// WrapWithLabels is age's.
func (s *spy) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	s.key = bytes.Clone(fileKey)
	return s.RecipientWithLabels.WrapWithLabels(fileKey)
}

// A Writer writes a backup. Close completes it.
type Writer struct {
	seal Seal
	ear  *spy
	age  io.WriteCloser
	tar  *tar.Writer
	now  time.Time
	sums []sum
	seen map[string]bool
}

// A sum is what an entry comes to.
type sum struct {
	name string
	hash [sha256.Size]byte
}

// NewWriter begins a backup. now is the date of its entries.
func NewWriter(w io.Writer, s Seal, now time.Time) (*Writer, error) {
	to, ear, err := s.recipients()
	if err != nil {
		return nil, err
	}
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypting the backup: %w", err)
	}
	return &Writer{seal: s, ear: ear, age: sealed, tar: tar.NewWriter(sealed), now: now.UTC().Truncate(time.Second), seen: map[string]bool{}}, nil
}

// Add adds an entry. Names are relative, with slashes, and each is there once.
func (w *Writer) Add(name string, data []byte) error {
	switch {
	case !goodName(name):
		return fmt.Errorf("%q cannot be the name of an entry in a backup", name)
	case w.seen[name]:
		return fmt.Errorf("%q is in the backup already", name)
	case len(data) > maxEntry:
		return fmt.Errorf("%q is too large for a backup: %d bytes, at most %d", name, len(data), maxEntry)
	case len(w.sums) >= maxEntries:
		return fmt.Errorf("too many entries for a backup: more than %d", maxEntries)
	}
	h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: w.now, Typeflag: tar.TypeReg}
	err := w.tar.WriteHeader(h)
	if err == nil {
		_, err = w.tar.Write(data)
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	w.seen[name] = true
	w.sums = append(w.sums, sum{name, sha256.Sum256(data)})
	return nil
}

// goodName reports whether a name leads nowhere but below the directory that it is unpacked in.
func goodName(name string) bool {
	return len(name) <= 200 && name == path.Clean(name) && name != "." && !strings.HasPrefix(name, "/") && name != ".." && !strings.HasPrefix(name, "../") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd || r == '\\' })
}

// Close completes the backup. It does not close what it writes to.
func (w *Writer) Close() error {
	err := w.tar.Close()
	if err == nil {
		err = w.age.Close()
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// Check reads a backup that was written, decrypts it and compares it with what was added. What was encrypted for recipients
// is read with the key of the file, which the Writer still has.
func (w *Writer) Check(r io.Reader) error {
	key := Key{Passphrase: w.seal.Passphrase}
	if w.ear != nil {
		key.fileKey = w.ear.key
	}
	back, err := NewReader(r, key)
	if err != nil {
		return fmt.Errorf("reading the backup back: %w", err)
	}
	for i := 0; ; i++ {
		name, data, err := back.Next()
		switch {
		case err == io.EOF && i == len(w.sums):
			return nil
		case err == io.EOF:
			return &DamagedError{fmt.Sprintf("read back, it has %d of %d entries", i, len(w.sums)), nil}
		case err != nil:
			return fmt.Errorf("reading the backup back: %w", err)
		case i >= len(w.sums) || name != w.sums[i].name || sha256.Sum256(data) != w.sums[i].hash:
			return &DamagedError{fmt.Sprintf("read back, %q is not what was written", name), nil}
		}
		clear(data)
	}
}
