package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// Open opens the authority of a directory, locked: it can list and prepare. Unlock gives it its key. The inventory is where
// the authority says that it is (inventory.url), else in the directory. The caller closes it.
func Open(ctx context.Context, dir string) (*Authority, error) {
	source, err := inventorySource(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	return OpenShared(ctx, dir, source)
}

// inventorySource gives where the inventory of a directory is.
func inventorySource(dir string) (string, error) {
	path := filepath.Join(dir, inventoryURL)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Join(dir, inventoryFile), nil
	}
	if err != nil {
		return "", err
	}
	source := strings.TrimSpace(string(text))
	if !inventory.IsPostgres(source) || strings.ContainsAny(source, " \n\r") {
		return "", &PathError{path, "it does not hold the URL of a database", nil, "postgres://USER@HOST/DATABASE is what belongs there"}
	}
	return source, nil
}

// OpenShared is Open for an authority whose inventory is elsewhere: the path of a file, or the URL of a PostgreSQL database
// that several operators share (inventory.Open).
func OpenShared(ctx context.Context, dir, source string) (*Authority, error) {
	return openWith(ctx, dir, source, inventory.Open)
}

// openWith is OpenShared with a way to open the inventory.
func openWith(ctx context.Context, dir, source string, open func(context.Context, string) (*inventory.Inventory, error)) (*Authority, error) {
	rotation, err := readRotation(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	home := dir
	if rotation != nil && rotation.Issuer == inNext {
		home = filepath.Join(dir, nextDirectory)
	}
	text, err := readFile(filepath.Join(home, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the authority: %w", &PathError{dir, "there is no authority here: " + certFile + " is missing",
			err, "virt-pki init makes one, also of a CA that exists: --ca-cert FILE --ca-key FILE"})
	}
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	bundle, err := decodePEM(filepath.Join(home, certFile), text)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	path := filepath.Join(dir, policyName)
	settings, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	policy, err := unmarshalPolicy(settings)
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", &PathError{path, err.Error(), err, ""})
	}
	inv, err := open(ctx, source)
	if errors.Is(err, fs.ErrNotExist) && !inventory.IsPostgres(source) { // there it is a missing socket
		return nil, fmt.Errorf("opening the authority: %w", &PathError{source, "the inventory is not there", err,
			"is it in PostgreSQL? then name it: --db postgres://USER@HOST/DATABASE; is it lost? virt-pki ca import BACKUP makes a new authority of a backup"})
	}
	if err != nil {
		return nil, fmt.Errorf("opening the authority: %w", err)
	}
	a, err := New(bundle[0], nil, policy, inv)
	if err != nil {
		inv.Close()
		return nil, fmt.Errorf("opening the authority: %q: %w", filepath.Join(home, certFile), err)
	}
	a.dir, a.inventory, a.bundle = dir, inv, bundle
	if rotation != nil {
		if err := a.attach(rotation); err != nil {
			inv.Close()
			return nil, fmt.Errorf("opening the authority: %w", err)
		}
	}
	return a, nil
}

// Inventory gives the inventory of an authority that has a directory.
func (a *Authority) Inventory() *inventory.Inventory { return a.inventory }

// Dir gives the directory as it was given to Open.
func (a *Authority) Dir() string { return a.dir }

// BundlePEM gives what belongs into every cacert.pem: the CA's certificate and, for a CA below another, those above it; while
// the CA is being replaced, those of both.
func (a *Authority) BundlePEM() []byte { return encodePEM(a.trust()) }

// trust gives the certificates of BundlePEM.
func (a *Authority) trust() [][]byte {
	if a.fellow == nil {
		return a.bundle
	}
	all := append([][]byte(nil), a.bundle...)
	for _, der := range a.fellow.bundle {
		if !slices.ContainsFunc(all, func(have []byte) bool { return bytes.Equal(have, der) }) {
			all = append(all, der)
		}
	}
	return all
}

// Certificates gives the certificates of BundlePEM, the CA's own first, as GnuTLS sees them.
func (a *Authority) Certificates() ([]*certs.Certificate, error) {
	trust := a.trust()
	out := make([]*certs.Certificate, len(trust))
	for i, der := range trust {
		c, err := certs.Import(der)
		if err != nil {
			return nil, fmt.Errorf("reading CA certificate %d: %w", i+1, err)
		}
		out[i] = c
	}
	return out, nil
}

// Close ends the use of the authority.
func (a *Authority) Close() error {
	var err error
	for _, one := range []*Authority{a, a.fellow} {
		if one != nil && one.owned != nil {
			err = errors.Join(err, one.owned.Close())
		}
	}
	if a.inventory == nil {
		return err
	}
	return errors.Join(err, a.inventory.Close())
}

// Unlock reads the key. Without a passphrase an encrypted key gives certs.ErrPassphraseNeeded, with a wrong one
// certs.ErrPassphrase.
func (a *Authority) Unlock(passphrase []byte) error {
	path := filepath.Join(a.home(), keyFile)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if place, err := a.Place(); err == nil && !place.InDirectory() {
			return fmt.Errorf("reading the CA key: %w", &placeError{"it is " + place.String() + ", not in " + path, ""})
		}
		return fmt.Errorf("reading the CA key: %w", &PathError{path, "it is not there", err,
			"put it back from where it is kept, or name it: --ca-key FILE"})
	}
	if err != nil {
		return fmt.Errorf("reading the CA key: %w", err)
	}
	defer clear(text)
	key, err := certs.ParseKey(text, passphrase)
	if err != nil {
		return fmt.Errorf("reading the CA key %q: %w", path, err)
	}
	if err := a.setKey(key); err != nil {
		return fmt.Errorf("reading the CA key %q: %w", path, err)
	}
	a.unlockFellow(passphrase)
	return nil
}

// An Adoption describes a CA to be taken over.
type Adoption struct {
	// Cert is the CA's certificate in PEM; those above it may follow. Key is its private key in PEM, in any form that
	// certs.ParseKey reads. CertPath and KeyPath are their names for messages.
	Cert, Key         []byte
	CertPath, KeyPath string
	// KeyPassphrase decrypts the key; Passphrase encrypts it in the authority. Empty: it lies unencrypted.
	KeyPassphrase, Passphrase []byte
	// Signer stands for Key when that is in a token, Remote when certificates are signed elsewhere; then there is no Key, and
	// the CA's certificate is the first one. Place says where.
	Signer crypto.Signer
	Remote RemoteSigner
	Place  Place
	Policy Policy
	Now    time.Time
	// Staged is that of a Spec.
	Staged bool

	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// Adopt takes over a CA that another program made: certificate and key are copied into a new directory, as by Create.
// It refuses a certificate that is no CA, has ended or has a critical extension that could not be honoured, a key that
// is not the certificate's, and a CA that a libvirt version of the policy refuses.
func Adopt(ctx context.Context, dir string, ad Adoption) (*Authority, error) {
	bundle, key, _, err := ad.check()
	if err != nil {
		return nil, err
	}
	st, err := newStage(ctx, dir, ad.Staged, ad.Step)
	if err != nil {
		return nil, fmt.Errorf("creating the authority: %w", err)
	}
	defer st.close()
	return populate(ctx, dir, st, bundle, holder{key, ad.Remote, ad.Place}, ad.Passphrase, ad.Policy.withDefaults())
}

// Rehearse checks what Adopt checks and gives the authority as it would be, locked: orders can be prepared by it, but not
// issued.
func (ad Adoption) Rehearse() (*Authority, error) {
	bundle, _, double, err := ad.check()
	if err == nil {
		double.bundle = bundle
	}
	return double, err
}

// check gives the certificates, the key's first, the key, and the rehearsed authority.
func (ad Adoption) check() (bundle [][]byte, key crypto.Signer, double *Authority, err error) {
	if bundle, err = decodePEM(ad.CertPath, ad.Cert); err != nil {
		return nil, nil, nil, err
	}
	if key = ad.Signer; key == nil && ad.Place.InDirectory() {
		if key, err = certs.ParseKey(ad.Key, ad.KeyPassphrase); err != nil {
			return nil, nil, nil, fmt.Errorf("reading the CA key %q: %w", ad.KeyPath, err)
		}
	}
	// The certificate of the key comes first, wherever in the file it was.
	found := -1
	if key == nil { // it is elsewhere
		found = 0
	}
	for i, der := range bundle {
		if key == nil {
			break
		}
		if c, err := x509.ParseCertificate(der); err == nil && certs.SameKey(c.PublicKey, key.Public()) {
			found = i
			break
		}
	}
	if found < 0 {
		return nil, nil, nil, fmt.Errorf("%q and %q: %w", ad.CertPath, ad.KeyPath, ErrKeyMismatch)
	}
	own := bundle[found]
	bundle = append([][]byte{own}, append(bundle[:found:found], bundle[found+1:]...)...)
	policy := ad.Policy.withDefaults()
	a, err := New(own, key, policy, nil)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%q: %w", ad.CertPath, err)
	}
	if _, _, err := (&Prepared{authority: a}).validity(ad.Now, Order{}); err != nil {
		return nil, nil, nil, fmt.Errorf("%q: %w", ad.CertPath, err)
	}
	if double, err = rehearseCA(own, policy, ad.Now); err != nil {
		return nil, nil, nil, fmt.Errorf("%q: %w", ad.CertPath, err)
	}
	return bundle, key, double, nil
}

// decodePEM gives the certificates of a PEM text.
func decodePEM(path string, text []byte) ([][]byte, error) {
	var bundle [][]byte
	for rest := text; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			bundle = append(bundle, block.Bytes)
		}
		rest = next
	}
	switch {
	case len(bundle) > 0:
		return bundle, nil
	case len(bytes.TrimSpace(text)) == 0:
		return nil, &PathError{path, "is empty", nil, ""}
	case text[0] == 0x30:
		return nil, &PathError{path, "is in DER where PEM is due", nil, "convert it: openssl x509 -inform der -in FILE -out FILE.pem"}
	}
	return nil, &PathError{path, "holds no certificate in PEM", nil, ""}
}

// encodePEM gives certificates in PEM.
func encodePEM(bundle [][]byte) []byte {
	var out bytes.Buffer
	for _, der := range bundle {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a buffer takes everything
	}
	return out.Bytes()
}
