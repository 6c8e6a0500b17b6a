package gnutls

import (
	"errors"
	"fmt"
)

// Build is the command that builds the program and puts it beside virt-pki.
const Build = "go install github.com/virt-pki/virt-pki/cmd/..."

// The kinds of Trouble, for errors.Is.
var (
	// ErrMissing says that the program is not there, or cannot be started.
	ErrMissing = errors.New("virt-pki-gnutls is missing")
	// ErrNoLibrary says that it found no libgnutls that it can use.
	ErrNoLibrary = errors.New("no usable libgnutls")
	// ErrCrashed says that it ended before its work was done.
	ErrCrashed = errors.New("virt-pki-gnutls crashed")
	// ErrHangs says that it did not answer in time, which is not the peer's silence: the program has that limit itself.
	ErrHangs = errors.New("virt-pki-gnutls hangs")
	// ErrNonsense says that what it answered is not what it should be: another program, or one of another release.
	ErrNonsense = errors.New("virt-pki-gnutls answers nonsense")
	// ErrSystemFile says that an end's system file is none that the library could read: it is in a bundle.
	ErrSystemFile = errors.New("GnuTLS cannot read the machine's system file")
)

// A Trouble says why GnuTLS could not be asked. It says nothing about the connection.
type Trouble struct {
	// Kind is one of the errors of this package.
	Kind error
	// Path is the program's file; empty where none was found.
	Path string
	// Detail is what was seen, the program's own words among it.
	Detail string
}

// Error gives kind, program and detail.
func (t *Trouble) Error() string {
	s := t.Kind.Error()
	if t.Path != "" {
		s += fmt.Sprintf(" (%s)", t.Path)
	}
	if t.Detail != "" {
		s += ": " + t.Detail
	}
	return s
}

// Unwrap gives the kind.
func (t *Trouble) Unwrap() error { return t.Kind }

// Hints gives what cures it.
func (t *Trouble) Hints() []string {
	switch t.Kind {
	case ErrMissing:
		return []string{Build + ", which builds virt-pki-gnutls beside virt-pki; or --gnutls-program FILE"}
	case ErrNoLibrary:
		return []string{"apt-get install libgnutls30 (dnf install gnutls): the library that libvirt uses"}
	case ErrSystemFile:
		return []string{"--system-config FILE, with a copy of it"}
	case ErrNonsense:
		return []string{Build + ", for the two programs of one release"}
	}
	return []string{"virt-pki-gnutls version, to see whether it runs at all; --tls-engine go does without it"}
}

// A Refusal is GnuTLS's own error: no session came about.
type Refusal struct {
	// Stage is where: credentials, priority or handshake.
	Stage string
	// Code and Text are GnuTLS's error.
	Code int
	Text string
	// LibvirtMessage is what libvirt makes of it in its words for the stage, before "authentication failed: " and the like.
	LibvirtMessage string
	// GnuTLS is the version of the library.
	GnuTLS string
}

// Error gives stage and text.
func (r *Refusal) Error() string {
	return fmt.Sprintf("GnuTLS %s: %s: %s", r.GnuTLS, r.Stage, r.Text)
}

// The codes of gnutls/gnutls.h that a caller looks at.
const (
	CodeTimeout       = -319 // the peer did not answer in time
	CodePrematureEnd  = -110 // the connection ended without a close_notify
	CodeFatalAlert    = -12
	CodeUnexpected    = -15 // an unexpected packet
	CodePull          = -54 // reading failed, as with a reset connection
	CodeNoCertificate = -49 // of the peer
)
