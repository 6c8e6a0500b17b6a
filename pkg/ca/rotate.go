package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// The files of a rotation, in the authority's directory. While rotation.json is there it alone says which CA issues, so that
// one rename moves the authority from the old CA to the new one.
const (
	rotationFile     = "rotation.json"
	nextDirectory    = "next"    // the new CA: cacert.pem and private/cakey.pem
	retiredDirectory = "retired" // CAs that were replaced, by the beginning of their certificate's SHA-256
)

// A RotationStage is a step on the way from one CA to the next.
type RotationStage string

// The stages, in order. Each holds until the next one begins.
const (
	// TrustBoth: the new CA is there and is brought into every CA file beside the old one, which goes on issuing.
	TrustBoth RotationStage = "trust"
	// IssueNew: the new CA issues; what the old one has issued is in use.
	IssueNew RotationStage = "issue"
	// SwitchOver: certificates of the old CA are replaced by certificates of the new one.
	SwitchOver RotationStage = "switch"
	// PruneOld: the old CA is taken out of every CA file.
	PruneOld RotationStage = "prune"
)

// RotationStages gives the stages in order.
func RotationStages() []RotationStage {
	return []RotationStage{TrustBoth, IssueNew, SwitchOver, PruneOld}
}

// ParseRotationStage reads a stage's name.
func ParseRotationStage(s string) (RotationStage, error) {
	for _, r := range RotationStages() {
		if string(r) == s {
			return r, nil
		}
	}
	return "", fmt.Errorf("no stage %q: trust, issue, switch or prune", s)
}

// A Rotation says how far the replacement of the CA has come.
type Rotation struct {
	// Stage is the stage that was begun last, Done whether it is complete.
	Stage RotationStage
	Done  bool
	// Begun is when the new CA was made, Changed when the stage last changed.
	Begun, Changed time.Time
	// Old and New are the two CAs. The one that issues is the authority that was asked.
	Old, New *Authority
	// SameSubject says that both have the same name: libvirt tells them apart by their key identifiers, and one revocation
	// list is both CAs'.
	SameSubject bool
}

// Next gives the stage that is to be done next: the one begun, if it is not complete. After the last there is none.
func (r Rotation) Next() (RotationStage, bool) {
	if !r.Done {
		return r.Stage, true
	}
	stages := RotationStages()
	for i, s := range stages {
		if s == r.Stage && i+1 < len(stages) {
			return stages[i+1], true
		}
	}
	return "", false
}

// A StageError says that a stage of the rotation cannot be done now.
type StageError struct {
	// Asked is the stage that was asked for, Next the one that is due; empty: there is no rotation under way.
	Asked, Next RotationStage
}

// Error names both.
func (e *StageError) Error() string {
	if e.Next == "" {
		return fmt.Sprintf("the stage %q of the CA's rotation comes later: no rotation is under way, it begins with %q", e.Asked, TrustBoth)
	}
	return fmt.Sprintf("the stage %q of the CA's rotation cannot be done now: the next one is %q", e.Asked, e.Next)
}

// Hints names the remedy.
func (e *StageError) Hints() []string {
	return []string{"what is lacking, and the next stage: virt-pki ca rotate status, with all places (--out, --pkipath, --root, --spec)"}
}

// rotationState is rotation.json.
type rotationState struct {
	Schema int           `json:"schema"`
	Stage  RotationStage `json:"stage"`
	Done   bool          `json:"done"`
	// Issuer is where the CA that issues lies: "main", the directory itself, or "next".
	Issuer  string    `json:"issuer"`
	Old     string    `json:"old"`
	New     string    `json:"new"`
	Begun   time.Time `json:"begun"`
	Changed time.Time `json:"changed"`
}

const (
	rotationSchema = 1
	inMain         = "main"
	inNext         = "next"
)

// fingerprint is the SHA-256 of a certificate in hex.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// readRotation reads rotation.json; nil: there is none.
func readRotation(dir string) (*rotationState, error) {
	path := filepath.Join(dir, rotationFile)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseRotation(text)
	if err != nil {
		return nil, &PathError{path, err.Error(), err, "put it back from a backup; it says which CA issues"}
	}
	return s, nil
}

// parseRotation reads the text of rotation.json; what it does not know is an error.
func parseRotation(text []byte) (*rotationState, error) {
	var s rotationState
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON object")
	}
	if s.Schema != rotationSchema {
		return nil, fmt.Errorf("schema %d is unknown to this program, which knows %d", s.Schema, rotationSchema)
	}
	if _, err := ParseRotationStage(string(s.Stage)); err != nil {
		return nil, err
	}
	if s.Issuer != inMain && s.Issuer != inNext {
		return nil, fmt.Errorf("issuer %q is neither %q nor %q", s.Issuer, inMain, inNext)
	}
	return &s, nil
}

// home is where the CA's certificate and key lie.
func (a *Authority) home() string {
	if a.below == "" {
		return a.dir
	}
	return filepath.Join(a.dir, a.below)
}

// Rotation says how far the replacement of the CA has come; ok is false when none is under way.
func (a *Authority) Rotation() (r Rotation, ok bool) {
	if a.rotation == nil {
		return Rotation{}, false
	}
	s := a.rotation
	r = Rotation{Stage: s.Stage, Done: s.Done, Begun: s.Begun, Changed: s.Changed, Old: a, New: a}
	switch {
	case a.fellow == nil: // the last act of the last stage
	case s.Issuer == inNext:
		r.Old = a.fellow
	default:
		r.New = a.fellow
	}
	r.SameSubject = bytes.Equal(r.Old.cert.RawSubject, r.New.cert.RawSubject)
	return r, true
}

// Fellow gives the other CA while the CA is being replaced, else nil. It shares directory, policy and inventory.
func (a *Authority) Fellow() *Authority { return a.fellow }

// IDs gives the identifiers in the inventory (ID) of the CA and, while it is being replaced, of the other one.
func (a *Authority) IDs() []string {
	if a.fellow == nil {
		return []string{a.ID()}
	}
	return []string{a.ID(), a.fellow.ID()}
}

// sameName reports whether the CA is being replaced by, or replaces, one of the same name: then one list serves both.
func (a *Authority) sameName() bool {
	return a.fellow != nil && bytes.Equal(a.cert.RawSubject, a.fellow.cert.RawSubject)
}

// attach opens the other CA of a rotation.
func (a *Authority) attach(s *rotationState) error {
	a.rotation = s
	other := nextDirectory
	if s.Issuer == inNext {
		a.below, other = nextDirectory, ""
	}
	if s.Stage == PruneOld && s.Done { // only one is left
		return nil
	}
	dir := filepath.Join(a.dir, other)
	text, err := readFile(filepath.Join(dir, certFile))
	if err != nil {
		return err
	}
	bundle, err := decodePEM(filepath.Join(dir, certFile), text)
	if err != nil {
		return err
	}
	f, err := New(bundle[0], nil, a.policy, a.recorder)
	if err != nil {
		return fmt.Errorf("%q: %w", filepath.Join(dir, certFile), err)
	}
	f.dir, f.below, f.inventory, f.bundle = a.dir, other, a.inventory, bundle
	a.fellow = f
	return nil
}

// A Successor describes the CA that is to take the place of an authority's.
type Successor struct {
	// Subject is its name; empty: the same.
	Subject dn.Name
	// Key is the algorithm of its key. Empty: ECDSA P-256.
	Key certs.KeyAlgorithm
	// NotAfter is its end. Zero: ten years after Now.
	NotAfter time.Time
	// Passphrase encrypts its key. Empty: the key lies unencrypted.
	Passphrase []byte
	// Signer and Place are those of a Spec: a key that is in a token.
	Signer crypto.Signer
	Place  Place
	Now    time.Time
	// Step, when set, is called before each step on disk. Tests stop there.
	Step func(step string)
}

// spec gives what Create would be asked.
func (s Successor) spec(a *Authority) (Spec, error) {
	spec := Spec{Subject: s.Subject, Key: s.Key, NotAfter: s.NotAfter, Constraints: a.limits, Policy: a.policy, Now: s.Now}
	if spec.Subject.IsEmpty() {
		var err error
		if spec.Subject, err = dn.FromDER(a.cert.RawSubject); err != nil {
			return spec, err
		}
	}
	if bytes.Equal(spec.Subject.DER(), a.cert.RawSubject) && len(a.cert.SubjectKeyId) == 0 {
		// GnuTLS takes the first CA of the issuer's name unless key identifiers say otherwise (is_issuer).
		return spec, &SubjectError{errors.New("the CA's certificate has no subjectKeyIdentifier, so libvirt could not tell it from another of the same name"),
			"give the new one another name: --subject DN"}
	}
	return spec, nil
}

// Rehearse checks a successor as Spec.Rehearse does, and gives it as it would be, locked.
func (s Successor) Rehearse(a *Authority) (*Authority, error) {
	if a.rotation != nil {
		next, _ := mustRotation(a).Next()
		return nil, &StageError{TrustBoth, next}
	}
	spec, err := s.spec(a)
	if err != nil {
		return nil, err
	}
	return spec.Rehearse()
}

func mustRotation(a *Authority) Rotation { r, _ := a.Rotation(); return r }

// BeginRotation makes the CA that is to take this one's place and begins the stage TrustBoth. The new CA is complete in the
// directory before rotation.json names it; what an interrupted call left is made anew. The caller holds the lock of the
// directory.
func (a *Authority) BeginRotation(ctx context.Context, s Successor) error {
	if a.rotation != nil {
		next, _ := mustRotation(a).Next()
		return &StageError{TrustBoth, next}
	}
	spec, err := s.spec(a)
	if err != nil {
		return err
	}
	template, _, err := spec.template()
	if err != nil {
		return err
	}
	key := s.Signer
	if key == nil {
		if key, err = certs.GenerateKey(spec.algorithm()); err != nil {
			return err
		}
	}
	der, err := selfSign(template, key)
	if err != nil {
		return err
	}
	secret, err := holder{key, nil, s.Place}.file(s.Passphrase)
	if err != nil {
		return err
	}
	defer clear(secret.Data)
	return a.inDirectory(s.Step, func(d *durable.Dir) error {
		if err := d.RemoveStages(nextDirectory); err != nil {
			return err
		}
		// Nobody trusts what lies there without rotation.json.
		if err := removeTree(d, nextDirectory, s.Step); err != nil {
			return err
		}
		st, err := d.Stage(nextDirectory)
		if err != nil {
			return err
		}
		defer st.Discard()
		if _, err := st.Mkdir(keyDirectory, 0o700, nil); err != nil {
			return err
		}
		for _, f := range []durable.File{secret, {Name: certFile, Data: encodePEM([][]byte{der}), Mode: 0o644}} {
			if err := st.Write(f); err != nil {
				return err
			}
		}
		if err := st.Publish(0o700, nil); err != nil {
			return err
		}
		state := &rotationState{Schema: rotationSchema, Stage: TrustBoth, Issuer: inMain, Old: fingerprint(a.cert.Raw), New: fingerprint(der),
			Begun: s.Now.UTC().Truncate(time.Second), Changed: s.Now.UTC().Truncate(time.Second)}
		if err := writeRotation(d, state); err != nil {
			return err
		}
		if err := a.attach(state); err != nil {
			return err
		}
		return a.fellow.setKey(key)
	})
}

// SetRotation notes that a stage has begun, or is complete. Stages come in their order: to skip one is a *StageError. With
// IssueNew the new CA becomes this authority, and the old one its Fellow. The caller holds the lock of the directory.
func (a *Authority) SetRotation(stage RotationStage, done bool, now time.Time, step func(string)) error {
	r, ok := a.Rotation()
	if !ok {
		return &StageError{Asked: stage}
	}
	if next, _ := r.Next(); next != stage && !(r.Stage == stage && r.Done && done) {
		return &StageError{stage, next}
	}
	state := *a.rotation
	state.Stage, state.Done, state.Changed = stage, done, now.UTC().Truncate(time.Second)
	if stage == IssueNew {
		state.Issuer = inNext
	}
	if err := a.inDirectory(step, func(d *durable.Dir) error { return writeRotation(d, &state) }); err != nil {
		return err
	}
	if state.Issuer != a.rotation.Issuer {
		f := a.fellow
		*a, *f = *f, *a
		a.fellow, f.fellow = f, nil
		f.rotation = nil
	}
	a.rotation = &state
	return nil
}

// FinishRotation ends a rotation whose last stage is complete: the new CA takes the old one's place in the directory, and the
// old one with its key is kept under retired/. An interrupted call is repeated. The caller holds the lock of the directory.
func (a *Authority) FinishRotation(step func(string)) (retired string, err error) {
	r, ok := a.Rotation()
	if !ok || r.Stage != PruneOld || !r.Done {
		next, _ := r.Next()
		return "", &StageError{"finish", next}
	}
	state := *a.rotation
	shelf := path.Join(retiredDirectory, state.Old[:16])
	return filepath.Join(a.dir, filepath.FromSlash(shelf)), a.inDirectory(step, func(d *durable.Dir) error {
		if state.Issuer == inNext {
			// rotation.json says until below that the new CA lies in next/; meanwhile nobody reads the two files that are replaced.
			if err := a.shelve(d, shelf, state.Old); err != nil {
				return err
			}
			for _, name := range []string{placeFile, keyFile, certFile} {
				text, info, err := readIn(d, path.Join(nextDirectory, name))
				switch {
				case errors.Is(err, fs.ErrNotExist):
					if err := removeTree(d, name, step); err != nil {
						return err
					}
					continue
				case err != nil:
					return err
				}
				err = d.Write(durable.File{Name: name, Data: text, Mode: info.Mode().Perm(), Replace: true})
				clear(text)
				if err != nil {
					return err
				}
			}
			state.Issuer = inMain
			if err := writeRotation(d, &state); err != nil {
				return err
			}
		}
		a.below, a.rotation = "", &state
		if err := removeTree(d, nextDirectory, step); err != nil {
			return err
		}
		if err := removeTree(d, rotationFile, step); err != nil {
			return err
		}
		a.rotation = nil
		return d.SyncDir(".")
	})
}

// shelve copies the old CA to its place among those that were replaced, unless an interrupted call has overwritten it in the
// directory already: then it is there.
func (a *Authority) shelve(d *durable.Dir, shelf, old string) error {
	text, _, err := readIn(d, certFile)
	if err != nil {
		return err
	}
	bundle, err := decodePEM(certFile, text)
	if err != nil {
		return err
	}
	if fingerprint(bundle[0]) != old {
		return nil
	}
	for _, dir := range []string{retiredDirectory, shelf, path.Join(shelf, keyDirectory)} {
		if _, err := d.Mkdir(dir, 0o700, nil); err != nil {
			return err
		}
		if _, err := d.RemoveLeftovers(dir); err != nil {
			return err
		}
	}
	// The certificate last: where it is there, the rest is. The key in the directory may be the new CA's by now.
	if _, _, err := readIn(d, path.Join(shelf, certFile)); err == nil {
		return nil
	}
	for _, name := range []string{placeFile, keyFile, certFile} {
		text, info, err := readIn(d, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = d.Write(durable.File{Name: path.Join(shelf, name), Data: text, Mode: info.Mode().Perm() & 0o644, Replace: true})
		clear(text)
		if err != nil {
			return err
		}
	}
	return nil
}

// AbortRotation gives a rotation up: the old CA is the authority, and the new one with its key is removed. The caller has made
// sure that nothing of the new CA is in use, and holds the lock of the directory.
func (a *Authority) AbortRotation(step func(string)) error {
	r, ok := a.Rotation()
	if !ok {
		return &StageError{Asked: "abort"}
	}
	if r.Stage != TrustBoth && r.Stage != IssueNew {
		next, _ := r.Next()
		return &StageError{"abort", next}
	}
	return a.inDirectory(step, func(d *durable.Dir) error {
		if err := removeTree(d, rotationFile, step); err != nil {
			return err
		}
		if err := d.SyncDir("."); err != nil {
			return err
		}
		if a.rotation.Issuer == inNext {
			f := a.fellow
			*a, *f = *f, *a
		}
		a.fellow, a.rotation = nil, nil
		return removeTree(d, nextDirectory, step)
	})
}

// inDirectory works in the authority's directory.
func (a *Authority) inDirectory(step func(string), work func(*durable.Dir) error) error {
	d, err := durable.Open(a.dir)
	if err != nil {
		return fmt.Errorf("rotating the CA: %w", err)
	}
	defer d.Close()
	d.Hook = func(s durable.Step) error {
		if step != nil {
			step(s.Op + " " + s.Path)
		}
		return nil
	}
	// What a killed process left; only who has the lock writes here.
	for _, dir := range []string{".", keyDirectory, nextDirectory, path.Join(nextDirectory, keyDirectory)} {
		if _, err := d.RemoveLeftovers(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotating the CA: %w", err)
		}
	}
	if err := work(d); err != nil {
		return fmt.Errorf("rotating the CA: %w", err)
	}
	return nil
}

// writeRotation writes rotation.json.
func writeRotation(d *durable.Dir, s *rotationState) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return d.Write(durable.File{Name: rotationFile, Data: append(text, '\n'), Mode: 0o644, Replace: true})
}

// readIn reads a file of the directory.
func readIn(d *durable.Dir, name string) ([]byte, fs.FileInfo, error) {
	info, err := d.Root().Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%q: %w", name, durable.ErrNotRegular)
	}
	f, err := d.Root().Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	return text, info, err
}

// removeTree removes a file or directory that may not be there.
func removeTree(d *durable.Dir, name string, step func(string)) error {
	if _, err := d.Root().Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if step != nil {
		step("remove " + name)
	}
	return d.Root().RemoveAll(name)
}

// unlockFellow reads the other CA's key with the same passphrase. Where that key is not in the directory, or not to be read
// with it, the other CA stays locked: that matters only to whoever makes revocation lists.
func (a *Authority) unlockFellow(passphrase []byte) {
	f := a.fellow
	if f == nil {
		return
	}
	text, err := readFile(filepath.Join(f.home(), keyFile))
	if err != nil {
		return
	}
	defer clear(text)
	var key crypto.Signer
	if key, err = certs.ParseKey(text, passphrase); err == nil {
		_ = f.setKey(key) // one that does not belong leaves it locked
	}
}

// Chain gives the CA's certificate and, for a CA below another, those above it, in DER. Unlike BundlePEM it never holds the other
// CA of a rotation.
func (a *Authority) Chain() [][]byte { return append([][]byte(nil), a.bundle...) }
