package rotation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/proof"
)

// A ProofError says that a stage would break connections. Nothing was put into use.
type ProofError struct {
	Stage ca.RotationStage
	Proof proof.Result
}

// Error names the first failure.
func (e *ProofError) Error() string {
	s := fmt.Sprintf("the stage %q would break connections, nothing was changed: %s", e.Stage, e.Proof.Failures[0])
	if n := len(e.Proof.Failures); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// A LackError says that a stage cannot begin, because the one before is not complete everywhere.
type LackError struct {
	Stage ca.RotationStage
	Lacks []Lack
}

// Error names the first place.
func (e *LackError) Error() string {
	l := e.Lacks[0]
	s := fmt.Sprintf("the stage %q cannot begin: %s: %s", e.Stage, l.Where, l.What)
	if n := len(e.Lacks); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// Hints names the remedy.
func (e *LackError) Hints() []string {
	hints := []string{"what each host lacks: virt-pki ca rotate status, with all places (--out, --pkipath, --root)"}
	if slices.ContainsFunc(e.Lacks, func(l Lack) bool { return l.Unseen }) {
		hints = append(hints, "a host or client whose files are elsewhere, and that has them already: --by-hand NAME")
	}
	return hints
}

// An InUseError says that a rotation cannot be given up any more.
type InUseError struct {
	// Hosts have certificates of the new CA.
	Hosts []string
}

// Error names them.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the rotation cannot be given up: certificates of the new CA are in use by %s", strings.Join(e.Hosts, ", "))
}

// Hints names the remedy.
func (e *InUseError) Hints() []string {
	return []string{"carry it to its end, then rotate again: virt-pki ca rotate"}
}
