package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/virt-pki/virt-pki/pkg/internal/archive"
)

// A Key opens a backup.
type Key struct {
	Passphrase []byte
	// Identities is the text of an identity file of age (AGE-SECRET-KEY-1...).
	Identities []byte

	fileKey []byte
	maxWork int // where it is not 0, in the place of maxWorkFactor
}

// identities gives age's.
func (k Key) identities() ([]age.Identity, error) {
	var out []age.Identity
	if len(k.fileKey) > 0 {
		return []age.Identity{age.NewInjectedFileKeyIdentity(k.fileKey)}, nil
	}
	if len(k.Passphrase) > 0 {
		id, err := age.NewScryptIdentity(string(k.Passphrase))
		if err != nil {
			return nil, err
		}
		id.SetMaxWorkFactor(cmp.Or(k.maxWork, maxWorkFactor))
		out = append(out, id)
	}
	if len(k.Identities) > 0 {
		list, err := age.ParseIdentities(bytes.NewReader(k.Identities))
		if err != nil {
			return nil, &KeyError{"the identity file", errors.New("it does not hold identities of age alone")} // age's own words may quote a part
		}
		out = append(out, list...)
	}
	return out, nil
}

// The first octets of an age file, and of one in age's armor (PEM).
const (
	magic      = "age-encryption.org/"
	armorMagic = "-----BEGIN AGE"
)

// A Reader reads a backup, entry by entry.
type Reader struct {
	plain io.Reader
	tar   *tar.Reader
	seen  map[string]bool
	ended bool
}

// NewReader opens a backup. Without a key it says what kind is needed: ErrPassphraseNeeded or ErrIdentityNeeded.
func NewReader(r io.Reader, k Key) (*Reader, error) {
	ids, err := k.identities()
	if err != nil {
		return nil, err
	}
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(len(magic))
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case strings.HasPrefix(string(head), armorMagic):
		b = bufio.NewReader(armor.NewReader(b))
	case string(head) != magic:
		return nil, ErrNoBackup
	}
	asked := len(ids) == 0
	if asked { // to learn what would open it
		ids = append(ids, nobody{})
	}
	plain, err := age.Decrypt(b, ids...)
	if err != nil {
		return nil, whyClosed(err, k, asked)
	}
	return &Reader{plain: plain, tar: tar.NewReader(plain), seen: map[string]bool{}}, nil
}

// nobody is an identity that opens nothing.
type nobody struct{}

// Unwrap is age's.
func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// whyClosed says why a backup cannot be opened.
func whyClosed(err error, k Key, asked bool) error {
	var no *age.NoIdentityMatchError
	if !errors.As(err, &no) {
		if isRead(err) {
			return err
		}
		return &DamagedError{"its beginning cannot be read", err}
	}
	byPassphrase := false
	for _, t := range no.StanzaTypes {
		byPassphrase = byPassphrase || t == "scrypt"
	}
	switch {
	case byPassphrase && len(k.Passphrase) > 0:
		return ErrPassphrase
	case byPassphrase:
		return ErrPassphraseNeeded
	case asked || len(k.Identities) == 0:
		return ErrIdentityNeeded
	}
	return ErrIdentity
}

// isRead reports whether an error is one of the operating system's about the file, not one about what is in it.
func isRead(err error) bool {
	var op interface{ Timeout() bool } // *fs.PathError, net.Error, syscall.Errno
	return errors.As(err, &op)
}

// Next gives the next entry. The error io.EOF says that there are no more, and that the backup has been seen whole.
func (r *Reader) Next() (name string, data []byte, err error) {
	if r.ended {
		return "", nil, io.EOF
	}
	h, err := r.tar.Next()
	if err == io.EOF {
		if err := r.end(); err != nil {
			return "", nil, err
		}
		return "", nil, io.EOF
	}
	if err != nil {
		return "", nil, r.damaged(err)
	}
	switch {
	case h.Typeflag != tar.TypeReg || archive.Sparse(h):
		return "", nil, &DamagedError{fmt.Sprintf("%q in it is no file", h.Name), nil}
	case !goodName(h.Name):
		return "", nil, &DamagedError{fmt.Sprintf("%q in it leads elsewhere", h.Name), nil}
	case r.seen[h.Name]:
		return "", nil, &DamagedError{fmt.Sprintf("%q is in it twice", h.Name), nil}
	case h.Size > maxEntry || len(r.seen) >= maxEntries:
		return "", nil, &DamagedError{fmt.Sprintf("%q in it is too large: %d bytes", h.Name, h.Size), nil}
	}
	r.seen[h.Name] = true
	if data, err = io.ReadAll(r.tar); err != nil { // grows with what comes, not with what the header promises
		return "", nil, r.damaged(err)
	}
	return h.Name, data, nil
}

// end reads what is after the archive: the rest of tar's last record, and age's last chunk, without which the backup is cut
// off.
func (r *Reader) end() error {
	const most = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(r.plain, most))
	switch {
	case err != nil:
		return r.damaged(err)
	case n == most:
		return &DamagedError{"there is something after its end", nil}
	}
	r.ended = true
	return nil
}

// damaged classifies an error in the middle. age cannot tell a file that ends within a chunk from one that was changed.
func (r *Reader) damaged(err error) error {
	if isRead(err) {
		return err
	}
	return &DamagedError{"it was cut off or changed", err}
}
