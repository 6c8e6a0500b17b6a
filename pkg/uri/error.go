package uri

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// An Error is a URI that libvirt refuses before any traffic, or a libvirt.conf setting that stops it.
type Error struct {
	// URI is the text as given.
	URI string
	// Rule is the ID of the rule that says why; it is among Rules().
	Rule string
	// LibvirtMessage is what virsh prints, without its "error: ".
	LibvirtMessage string
	// Outcome is finding.URIError, or finding.ClientConfError when libvirt.conf is to blame.
	Outcome finding.Outcome
	hint    string
}

// Error gives the operation, the URI and libvirt's message.
func (e *Error) Error() string { return fmt.Sprintf("URI %q: %s", e.URI, e.LibvirtMessage) }

// Hints says what to write instead.
func (e *Error) Hints() []string {
	if e.hint != "" {
		return []string{e.hint}
	}
	for _, r := range rules {
		if r.ID == e.Rule && r.Remedy != "" {
			return []string{r.Remedy}
		}
	}
	return nil
}

// Finding gives the error as a finding about the URI.
func (e *Error) Finding() finding.Finding {
	f := ruleByID(e.Rule).Finding(e.URI, e.LibvirtMessage)
	f.LibvirtMessage = e.LibvirtMessage
	if e.hint != "" {
		f.Remedy = e.hint
	}
	return f
}

// The classes of libvirt's errors that occur here, as virErrorMsg words them.
const (
	classInternal    = "internal error: "
	classInvalidArg  = "invalid argument: "
	classNoConnect   = "no connection driver available for "
	classConfSyntax  = "configuration file syntax error: "
	classUnsupported = "Operation not supported: "
)
