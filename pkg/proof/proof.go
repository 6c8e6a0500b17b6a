package proof

import (
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// A Result is what came of the handshakes between servers and clients.
type Result struct {
	// Pairs is the number of (server, client) pairs there are, Handshakes of those that were connected, each under the
	// rules of Versions on both ends.
	Pairs, Handshakes int
	Versions          []string
	// Failures are the pairs that did not come together, in order.
	Failures []Failure
}

// A Failure is a pair that did not come together, or an end that could not even begin: then only that one is named.
type Failure struct {
	Server, Client string
	// Host is what the client called the server.
	Host string
	// Version is the libvirt whose rules were broken; empty for a name, which all compare alike.
	Version string
	Outcome finding.Outcome
	Message string
}

// An Error says that what was issued does not work. Nothing of it was published.
type Error struct{ Result Result }

// Error names the first failure.
func (e *Error) Error() string {
	s := "the certificates issued do not work: " + e.Result.Failures[0].String()
	if n := len(e.Result.Failures); n > 1 {
		s += fmt.Sprintf(" (and %d more)", n-1)
	}
	return s
}

// String says who failed, under which libvirt, and why.
func (f Failure) String() string {
	var who []string
	if f.Server != "" {
		who = append(who, fmt.Sprintf("server %q", f.Server))
	}
	if f.Client != "" {
		who = append(who, fmt.Sprintf("client %q", f.Client))
	}
	s := strings.Join(who, ", ")
	if f.Host != "" && f.Host != f.Server {
		s += fmt.Sprintf(" as %q", f.Host)
	}
	if f.Version != "" {
		s += " under libvirt " + f.Version
	}
	return fmt.Sprintf("%s: %s: %s", s, f.Outcome, f.Message)
}
