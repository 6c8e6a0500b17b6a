package installation

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// A MisfitError says that the tree is of no use as it is: a key that is not its certificate's, a file that cannot be read.
type MisfitError struct{ Findings []finding.Finding }

// Error gives the first fault.
func (e *MisfitError) Error() string {
	more := ""
	if n := len(e.Findings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return strings.TrimSuffix(e.Findings[0].Message, ".") + more
}

// Hints gives the remedies.
func (e *MisfitError) Hints() []string {
	var out []string
	for _, f := range e.Findings {
		if f.Remedy != "" && !slices.Contains(out, f.Remedy) {
			out = append(out, f.Remedy)
		}
	}
	return out
}

// A RefusedError says what is not replaced unasked.
type RefusedError struct {
	Keys  []string // private keys that are there and others
	Lists []string // revocation lists that are newer
}

// Error names the files.
func (e *RefusedError) Error() string {
	var parts []string
	if len(e.Keys) > 0 {
		parts = append(parts, "another private key is there: "+strings.Join(e.Keys, ", "))
	}
	if len(e.Lists) > 0 {
		parts = append(parts, "a newer revocation list is there: "+strings.Join(e.Lists, ", "))
	}
	return "installing: " + strings.Join(parts, "; ")
}

// Is makes it an fs.ErrExist.
func (e *RefusedError) Is(target error) bool { return target == fs.ErrExist }

// Hints names the option.
func (e *RefusedError) Hints() []string {
	return []string{"--force replaces it and keeps the old one beside it, as .bak"}
}

// ErrNoTree says that there is nothing to install.
var ErrNoTree = errors.New("there are no credentials of a host in it")

// A NoHomeError says that a tree has files for a user who is not on the machine.
type NoHomeError struct{ Home string }

// Error names the home.
func (e *NoHomeError) Error() string {
	return fmt.Sprintf("the tree has files for the home directory %q, which is not there", e.Home)
}

// Hints gives the remedy.
func (e *NoHomeError) Hints() []string {
	return []string{"make the user first, or leave these files out: --layout libvirt"}
}
