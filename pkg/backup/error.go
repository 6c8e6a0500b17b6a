package backup

import "errors"

// The simple facts. All errors of a Reader wrap one of them, or are a *DamagedError, or come from the file that is read.
var (
	// ErrNoBackup says that a file is something else.
	ErrNoBackup = errors.New("this is no backup of virt-pki")
	// ErrPassphrase says that the passphrase does not open the backup.
	ErrPassphrase = errors.New("the passphrase is wrong")
	// ErrPassphraseNeeded says that the backup is encrypted with a passphrase, and none was given.
	ErrPassphraseNeeded = errors.New("the backup is encrypted with a passphrase")
	// ErrIdentityNeeded says that the backup is encrypted for recipients, and none of their identities was given.
	ErrIdentityNeeded = errors.New("the backup is encrypted for recipients, and only one of their identities opens it")
	// ErrIdentity says that none of the identities is a recipient's.
	ErrIdentity = errors.New("the backup is encrypted for others than these identities")
	// ErrOpen says that a backup was to be written that anybody could read.
	ErrOpen = errors.New("a backup needs a passphrase or recipients")
)

// A DamagedError says that a backup is not as it was written: it was cut off or changed.
type DamagedError struct {
	Problem string
	// Err is the cause; it may be nil.
	Err error
}

// Error says what is wrong.
func (e *DamagedError) Error() string { return "the backup is damaged: " + e.Problem }

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Hints names what is left.
func (e *DamagedError) Hints() []string {
	return []string{"take another copy of it, or an older backup; nothing of this one was used"}
}

// A KeyError says that a recipient or an identity cannot be read.
type KeyError struct {
	What string
	Err  error
}

// Error gives the reason. It does not repeat an identity, which is secret.
func (e *KeyError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// Hints says how it looks.
func (e *KeyError) Hints() []string {
	return []string{"recipients begin with age1; an identity file is what age-keygen writes"}
}
