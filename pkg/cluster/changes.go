package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// An Action is what a step does.
type Action string

// The actions, in the order in which they are done.
const (
	// MakeAuthority makes the authority.
	MakeAuthority Action = "make-authority"
	// SetPolicy has the authority issue for other libvirt versions.
	SetPolicy Action = "set-policy"
	// Record notes in the inventory that a certificate is in its place.
	Record Action = "record"
	// TakeOver takes a certificate that is there into the inventory as it is.
	TakeOver Action = "adopt"
	// Issue makes an identity where there is none, Replace one in the place of another, which is kept beside.
	Issue   Action = "issue"
	Replace Action = "replace"
	// Finish puts a certificate beside the key that an interrupted run has left.
	Finish Action = "finish"
	// WriteCA and WriteCRL put the CA's certificate or the revocation list into a place.
	WriteCA  Action = "write-ca"
	WriteCRL Action = "write-crl"
	// SetMode and SetOwner change what a file or directory has.
	SetMode  Action = "set-mode"
	SetOwner Action = "set-owner"
)

// A Reason says in one word why something is to be done.
type Reason string

// The reasons.
const (
	Missing        Reason = "missing"
	Due            Reason = "due"
	NameChanged    Reason = "name-changed"
	AddressChanged Reason = "address-changed"
	RoleChanged    Reason = "role-changed"
	KeyTypeChanged Reason = "key-type-changed"
	CompatChanged  Reason = "compat-changed"
	CAChanged      Reason = "ca-changed"
	ModeWrong      Reason = "mode-wrong"
	OwnerWrong     Reason = "owner-wrong"
	Revoked        Reason = "revoked"
	SupersededBy   Reason = "superseded"
	NotOurs        Reason = "not-ours"
	KeyWrong       Reason = "key-wrong"
	Interrupted    Reason = "interrupted"
	ListChanged    Reason = "list-changed"
)

// A Why is a reason with what was found.
type Why struct {
	Reason Reason
	Text   string
}

// A Step is one thing to be done.
type Step struct {
	Action Action
	// Member and Layout say for whom; Role is the certificate's, 0 where it is about none.
	Member string
	Role   certs.Role
	Layout layout.Kind
	Why    []Why
	// Files are concerned, as they are called here.
	Files []string
	// Serial is that of the certificate that is there.
	Serial string
	// Blocked says that it is not done, and Way how to have it done.
	Blocked bool
	Way     string

	want  int // index of Spec.wants
	place placeRef
	item  layout.Item
	cert  *certs.Certificate // to be adopted
	entry inventory.Entry    // to be recorded, finished or replaced
}

// placeRef names a place in a Survey.
type placeRef struct{ member, place int }

// A Note is worth knowing, and nothing is done about it.
type Note struct {
	Member string
	Text   string
	// Command, if any, does something about it.
	Command string
}

// Changes are what is to be done so that the files are what the cluster file asks for.
type Changes struct {
	Steps    []Step
	Notes    []Note
	Findings []finding.Finding
	// Identities is the number of those that the file asks for.
	Identities int

	spec   Spec
	wants  []want
	places [][]aPlace
}

// Blocked counts the steps that are not done.
func (c Changes) Blocked() int {
	n := 0
	for _, s := range c.Steps {
		if s.Blocked {
			n++
		}
	}
	return n
}

// Known is what an authority knows, for Compare.
type Known struct {
	// ID, Bundle, CAs, NotAfter and Policy are those of the authority; Dir is where it is.
	ID       string
	Dir      string
	Bundle   []byte
	CAs      []*certs.Certificate
	NotAfter time.Time
	Policy   ca.Policy
	Entries  []inventory.Entry
	// Unlisted are those of them that are revoked and on no list yet.
	Unlisted []inventory.Entry
	// List is its revocation list, ListText the text of the file; nil: there is none.
	List     *crl.List
	ListText []byte
	// owner says who should own things; nil: nothing is known, or can be done.
	owner *layout.WriteOptions
	// issued reports whether the authority has signed a certificate.
	issued func(*certs.Certificate) bool
}

// A RotatingError says that the authority's CA is being replaced: which certificates and CA files are right is then for the
// stages of the rotation to say.
type RotatingError struct {
	Authority string
	Stage     ca.RotationStage
}

// Error names the stage.
func (e *RotatingError) Error() string {
	return fmt.Sprintf("the CA of %q is being replaced (stage %q): nothing is planned meanwhile", e.Authority, e.Stage)
}

// Hints names the way on.
func (e *RotatingError) Hints() []string {
	return []string{"how far it is: virt-pki ca rotate status --authority " + hint.Word(e.Authority)}
}

// Know asks an authority. The options say whether owners count, which only root can set.
func Know(ctx context.Context, a *ca.Authority, o layout.WriteOptions) (Known, error) {
	k := Known{ID: a.ID(), Dir: a.Dir(), Bundle: a.BundlePEM(), NotAfter: a.NotAfter(), Policy: a.Policy(),
		issued: func(c *certs.Certificate) bool { _, err := a.KeyOf(c); return err == nil }}
	if o.SetOwners {
		k.owner = &o
	}
	if r, ok := a.Rotation(); ok {
		next, _ := r.Next()
		return k, &RotatingError{a.Dir(), next}
	}
	var err error
	if k.CAs, err = a.Certificates(); err != nil {
		return k, err
	}
	if k.List, k.ListText, err = a.CRL(); err != nil {
		return k, err
	}
	if k.Entries, err = a.Inventory().List(ctx, inventory.Filter{}); err != nil {
		return k, err
	}
	k.Unlisted, err = a.Unlisted(k.Entries)
	return k, err
}

// Allowance is what Compare may propose about files that are not the authority's.
type Allowance struct {
	// Adopt takes them into the inventory as they are; Force replaces them, and keeps them beside.
	Adopt, Force bool
}

// Compare says what is to be done. It looks at nothing but its arguments: the same ones give the same answer. A nil known
// stands for an authority that is yet to be made.
func (c *Cluster) Compare(known *Known, v Survey, now time.Time, allow Allowance) Changes {
	subject := c.Founding.Subject
	if known != nil {
		subject = known.CAs[0].Subject
	}
	s := c.Spec(now, subject)
	wants := s.wants()
	d := comparison{Cluster: c, known: known, survey: v, now: now, allow: allow,
		changes: Changes{spec: s, wants: wants, places: s.wantedPlaces(wants), Identities: len(wants), Findings: slices.Clone(c.Findings)}}
	d.run()
	return d.changes
}
