package priority

import "fmt"

// The error codes of GnuTLS that a priority string can bring (gnutls/gnutls.h).
const (
	InvalidRequest      = -50  // GNUTLS_E_INVALID_REQUEST: the string has an element that GnuTLS does not know
	NoPrioritiesWereSet = -326 // GNUTLS_E_NO_PRIORITIES_WERE_SET: nothing that could be negotiated is left
)

// An Error is GnuTLS's refusal of a priority string.
type Error struct {
	// Code is GnuTLS's error code, InvalidRequest or NoPrioritiesWereSet.
	Code int
	// Offset is the position that GnuTLS reports, in bytes. It counts no blanks skipped after a colon and is 0 when the
	// string was not parsed as it was given (leading white space, @KEYWORD), so it can point to the wrong place.
	Offset int
	// Element is the element at fault, as far as one is.
	Element string
	// Reason says in a few words what is wrong.
	Reason string

	priority string
	hints    []string
	misspelt string
}

// Text is GnuTLS's own text for the code in the C locale, the end of libvirt's message
// "Failed to set TLS session priority to STRING: TEXT".
func (e *Error) Text() string {
	if e.Code == NoPrioritiesWereSet {
		return "No or insufficient priorities were set."
	}
	return "The request is invalid."
}

// Error gives the string, GnuTLS's text and the reason.
func (e *Error) Error() string {
	s := fmt.Sprintf("priority string %q: %s", e.priority, e.Text())
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// Hints gives what would cure it, most likely first.
func (e *Error) Hints() []string {
	// The search for the nearest name takes longer than all the rest, so it is made only when asked for.
	if near := nearest(e.misspelt); near != "" {
		return append(e.hints[:len(e.hints):len(e.hints)], "did you mean "+near+"?")
	}
	return e.hints
}

// LibvirtMessage is what libvirt reports: the client at once, the daemon in its log for each connection
// (virnettlscontext.c, virNetTLSSessionNew).
func (e *Error) LibvirtMessage() string {
	return fmt.Sprintf("Failed to set TLS session priority to %s: %s", e.priority, e.Text())
}
