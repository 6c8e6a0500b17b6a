package ca

import (
	"errors"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// The simple facts.
var (
	// ErrLocked says that the authority's key has not been read yet: see Authority.Unlock.
	ErrLocked = errors.New("the CA's private key is locked")
	// ErrSpent says that a Prepared was issued before. Each is good for one certificate.
	ErrSpent = errors.New("this certificate was signed already")
	// ErrKeyMismatch says that a private key belongs to another certificate.
	ErrKeyMismatch = errors.New("the private key does not belong to the CA certificate")
)

// A VersionError says that a libvirt version that must accept a certificate would refuse it. Nothing was signed.
type VersionError struct {
	Version verify.Version
	// What is the certificate: "server certificate", "CA certificate".
	What string
	// Findings are what that version objects to, all of severity error.
	Findings []finding.Finding
	hints    []string
}

// Error gives the version, the reason and libvirt's message.
func (e *VersionError) Error() string {
	text := fmt.Sprintf("libvirt %s would refuse this %s", e.Version, e.What)
	if len(e.Findings) > 0 {
		text += ": " + e.Findings[0].Message
		if m := e.Findings[0].LibvirtMessage; m != "" {
			text += fmt.Sprintf(" (libvirt: %q)", m)
		}
	}
	return text
}

// Hints gives what cures it.
func (e *VersionError) Hints() []string { return e.hints }

// A SubjectError says why a subject cannot be in a certificate.
type SubjectError struct {
	Err  error
	hint string
}

// Error gives the reason.
func (e *SubjectError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *SubjectError) Unwrap() error { return e.Err }

// Hints gives what cures it.
func (e *SubjectError) Hints() []string { return oneHint(e.hint) }

// A HostError says why a text is no host that can be in a certificate.
type HostError struct {
	Host, Problem string
	hint          string
}

// Error gives the text and what is wrong with it.
func (e *HostError) Error() string { return fmt.Sprintf("%q is no host: %s", e.Host, e.Problem) }

// Hints gives what cures it.
func (e *HostError) Hints() []string { return oneHint(e.hint) }

// A ConstraintError says that a name or address lies outside what the CA may certify (RFC 5280, 4.2.1.10). libvirt
// would refuse the certificate, because GnuTLS checks name constraints.
type ConstraintError struct {
	// Name is the DNS name or address.
	Name string
	// Excluded is the constraint that forbids it; empty when it is in none of Permitted.
	Excluded  string
	Permitted []string
}

// Error names the constraint.
func (e *ConstraintError) Error() string {
	if e.Excluded != "" {
		return fmt.Sprintf("%q is excluded by the CA's name constraint %q", e.Name, e.Excluded)
	}
	return fmt.Sprintf("%q is outside the CA's name constraints (permitted: %s)", e.Name, strings.Join(e.Permitted, ", "))
}

// Hints gives what cures it.
func (e *ConstraintError) Hints() []string {
	return []string{"use a name the CA may certify, or another CA: openssl x509 -noout -ext nameConstraints -in cacert.pem"}
}

// A ValidityError says that dates do not fit.
type ValidityError struct {
	Problem string
	hint    string
}

// Error gives the dates.
func (e *ValidityError) Error() string { return e.Problem }

// Hints gives what cures it.
func (e *ValidityError) Hints() []string { return oneHint(e.hint) }

// A KeyStrengthError says that a public key is too weak or of a kind that cannot be certified.
type KeyStrengthError struct{ Key, Problem string }

// Error gives the key and what is wrong with it.
func (e *KeyStrengthError) Error() string { return fmt.Sprintf("%s key: %s", e.Key, e.Problem) }

// Hints gives what cures it.
func (e *KeyStrengthError) Hints() []string {
	return []string{"use RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519"}
}

// An OrderError says which of several orders has a fault.
type OrderError struct {
	Order Order
	Err   error
}

// Error gives the role, the host and the fault.
func (e *OrderError) Error() string {
	return fmt.Sprintf("%s %q: %v", e.Order.Role, e.Order.Host, e.Err)
}

// Unwrap gives the fault.
func (e *OrderError) Unwrap() error { return e.Err }

// oneHint makes a list of a hint that may be empty.
func oneHint(hint string) []string {
	if hint == "" {
		return nil
	}
	return []string{hint}
}
