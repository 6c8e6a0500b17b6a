package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cloudflare/cfssl/signer"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Spec describes an authority to be made.
type Spec struct {
	// Subject is the CA's name.
	Subject dn.Name
	// Key is the algorithm of the CA's key. Empty: ECDSA P-256.
	Key certs.KeyAlgorithm
	// NotAfter is the CA's end. Zero: ten years after Now.
	NotAfter time.Time
	// Constraints limit what it may certify.
	Constraints Constraints
	// Passphrase encrypts the key. Empty: the key lies unencrypted.
	Passphrase []byte
	// Signer is the CA's key when it is not made here: in a token. Place says where; it is kept in the directory.
	Signer crypto.Signer
	Place  Place
	// Policy is kept in the directory.
	Policy Policy
	// Now is the time.
	Now time.Time
	// Staged says that the directory is made in a tree that nobody sees before the caller has synchronised it and given it
	// its name. Then nothing is synchronised here, and what the authority issues until it is closed is recorded as
	// published.
	Staged bool

	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// defaultYears is the lifetime of a CA.
const defaultYears = 10

// Rehearse checks a Spec and has the CA, and an identity issued by it, judged on throw-away keys, as Create does. It gives
// the authority as it would be, with a throw-away key that nobody has: orders can be prepared by it, but not issued.
func (s Spec) Rehearse() (*Authority, error) {
	_, double, err := s.template()
	return double, err
}

// Create makes a CA and its authority in a directory, which must not exist or be empty, and gives the authority,
// unlocked. The directory appears complete or not at all.
func Create(ctx context.Context, dir string, s Spec) (*Authority, error) {
	template, _, err := s.template()
	if err != nil {
		return nil, err
	}
	st, err := newStage(ctx, dir, s.Staged, s.Step)
	if err != nil {
		return nil, fmt.Errorf("creating the authority: %w", err)
	}
	defer st.close()
	key := s.Signer
	if key == nil {
		if key, err = certs.GenerateKey(s.algorithm()); err != nil {
			return nil, err
		}
	}
	der, err := selfSign(template, key)
	if err != nil {
		return nil, err
	}
	return populate(ctx, dir, st, [][]byte{der}, holder{key, nil, s.Place}, s.Passphrase, s.Policy)
}

// algorithm gives the algorithm of the CA's key.
func (s Spec) algorithm() certs.KeyAlgorithm {
	if s.Key == "" {
		return certs.ECDSAP256
	}
	return s.Key
}

// template gives the CA's certificate without its key's fields, after a rehearsal, and the rehearsed authority.
func (s Spec) template() (*x509.Certificate, *Authority, error) {
	if _, _, err := checkSubject(s.Subject); err != nil {
		return nil, nil, err
	}
	from, to := s.Now.Add(-Backdate).UTC().Truncate(time.Second), s.NotAfter.UTC().Truncate(time.Second)
	if s.NotAfter.IsZero() {
		to = s.Now.UTC().Truncate(time.Second).AddDate(defaultYears, 0, 0)
	}
	if !to.After(s.Now) {
		return nil, nil, &ValidityError{fmt.Sprintf("the CA would have ended on %s", day(to)), "ask for a date to come"}
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	kind := s.algorithm()
	switch kind { // see rehearsal.throwAway
	case certs.RSA3072, certs.RSA4096:
		kind = certs.RSA2048
	}
	throwAway, err := certs.GenerateKey(kind)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, RawSubject: s.Subject.DER(), PublicKey: throwAway.Public()}
	policy := s.Policy.withDefaults()
	if err := fill(t, signingPolicy(policy, false), profileCA, from, to); err != nil {
		return nil, nil, err
	}
	s.Constraints.apply(t)
	der, err := selfSign(t, throwAway)
	if err != nil {
		return nil, nil, err
	}
	double, err := rehearseCA(der, policy, s.Now)
	return t, double, err
}

// selfSign signs a CA's certificate with its own key.
func selfSign(template *x509.Certificate, key crypto.Signer) ([]byte, error) {
	id, err := certs.KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	t := *template
	t.PublicKey, t.SubjectKeyId, t.AuthorityKeyId = key.Public(), id, id
	t.SignatureAlgorithm = signer.DefaultSigAlgo(key)
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the CA certificate: %w", err)
	}
	return der, nil
}

// rehearseCA lets every libvirt of the policy judge a CA certificate, and a client's certificate
// issued by its double. It gives the authority, locked.
func rehearseCA(der []byte, policy Policy, now time.Time) (*Authority, error) {
	cert, err := certs.Import(der)
	if err != nil {
		return nil, fmt.Errorf("GnuTLS would not read the CA certificate: %w", err)
	}
	j := judgement{what: "CA certificate"}
	for _, v := range policy.Libvirt {
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			j.add(v, verify.Own{Role: role, CertPath: fileNames[role], CAPath: certFile, CAs: []*certs.Certificate{cert},
				At: now, Libvirt: v}.Check())
		}
	}
	if _, err := j.result(); err != nil {
		return nil, err
	}
	a, err := New(der, nil, policy, nil)
	if err != nil {
		return nil, err
	}
	subject, err := dn.Parse("CN=rehearsal")
	if err != nil {
		return nil, err
	}
	key := policy.Key
	if _, isRSA := a.cert.PublicKey.(*rsa.PublicKey); isRSA {
		key = certs.RSA2048 // the throw-away key that is made for the CA's double anyway
	}
	if policy.StrictKeyUsage {
		key = certs.RSA2048 // whether that suits the versions is said for each identity
	}
	_, err = a.Prepare(now, Order{Key: key, Request: certs.Request{Role: certs.Client, Subject: subject}})
	return a, err
}

// A holder has the CA's key: the key, or a signer that has it, and where that is.
type holder struct {
	key    crypto.Signer
	remote RemoteSigner
	place  Place
}

// file gives the file with the key itself, or with where it is.
func (h holder) file(passphrase []byte) (durable.File, error) {
	if h.place.InDirectory() {
		text, err := certs.MarshalKey(h.key, passphrase)
		return durable.File{Name: keyFile, Data: text, Mode: 0o600}, err
	}
	text, err := h.place.marshal()
	return durable.File{Name: placeFile, Data: text, Mode: 0o644}, err
}

// populate fills a stage, publishes it and opens the authority.
func populate(ctx context.Context, dir string, st *stage, bundle [][]byte, h holder, passphrase []byte, policy Policy) (*Authority, error) {
	a, err := New(bundle[0], h.key, policy, nil)
	if err != nil {
		return nil, err
	}
	settings, err := a.policy.marshal()
	if err != nil {
		return nil, err
	}
	secret, err := h.file(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(secret.Data)
	fail := func(err error) (*Authority, error) {
		return nil, fmt.Errorf("creating the authority in %q: %w", dir, err)
	}
	if _, err := st.Mkdir(keyDirectory, 0o700, nil); err != nil {
		return fail(st.failed(keyDirectory, err))
	}
	for _, f := range []struct {
		name    string
		content []byte
		mode    fs.FileMode
	}{{secret.Name, secret.Data, secret.Mode}, {certFile, encodePEM(bundle), 0o644}, {policyName, settings, 0o644}} {
		if err := st.write(f.name, f.content, f.mode); err != nil {
			return fail(err)
		}
	}
	_ = st.parent.Hook(durable.Step{Op: "create", Path: inventoryFile})
	create, open := inventory.Create, inventory.Open
	if st.staged {
		create, open = inventory.CreateStaged, inventory.OpenStaged
	}
	inv, err := create(ctx, filepath.Join(st.path, inventoryFile))
	if err != nil {
		return fail(st.inventoryFailed(err))
	}
	if err := inv.Close(); err != nil {
		return fail(err)
	}
	if err := st.publish(); err != nil {
		return fail(err)
	}
	opened, err := openWith(ctx, dir, filepath.Join(dir, inventoryFile), open)
	if err != nil {
		return nil, err
	}
	opened.staged, opened.remote = st.staged, h.remote
	if h.key == nil {
		return opened, nil
	}
	return opened, opened.setKey(h.key)
}
