package token

import "fmt"

// A Request is one line from virt-pki to virt-pki-pkcs11.
type Request struct {
	// Op is "open", "sign" or "destroy".
	Op string `json:"op"`

	// URI and PIN are open's. Without a PIN the answer may be that one is needed. A key that is not there is made when Make is
	// its algorithm (certs.KeyAlgorithm).
	URI  string  `json:"uri,omitempty"`
	PIN  *string `json:"pin,omitempty"`
	Make string  `json:"make,omitempty"`

	// Digest is what sign signs: a digest of the named hash ("SHA-256"), or for Ed25519 the whole message.
	Digest []byte `json:"digest,omitempty"`
	Hash   string `json:"hash,omitempty"`
	// PSS asks RSA keys for RSASSA-PSS with a salt of that many octets instead of PKCS#1 v1.5 (RFC 8017).
	PSS  bool `json:"pss,omitempty"`
	Salt int  `json:"salt,omitempty"`
}

// An Answer is one line back. With an Error nothing else is in it.
type Answer struct {
	Error *Error `json:"error,omitempty"`
	// Token is the token's label, Public the key in the form of SubjectPublicKeyInfo; it is empty when the token does not
	// tell. Made says that the key was made now.
	Token  string `json:"token,omitempty"`
	Public []byte `json:"public,omitempty"`
	Made   bool   `json:"made,omitempty"`
	// Signature is sign's, in the form certificates have it.
	Signature []byte `json:"signature,omitempty"`
}

// A Code says what kind of trouble there is, where a caller may want to branch.
type Code string

// The codes.
const (
	// NoModule: the module's library is not there or is none.
	NoModule Code = "no-module"
	// NoToken: no token, or several, fit the URI.
	NoToken Code = "no-token"
	// NoKey: no key, or several, fit the URI.
	NoKey Code = "no-key"
	// PINNeeded: the token wants a PIN, and none was given.
	PINNeeded Code = "pin-needed"
	// PINWrong: the token refused the PIN.
	PINWrong Code = "pin-wrong"
	// PINLocked: the token takes no PIN any more.
	PINLocked Code = "pin-locked"
	// Gone: the token, or the program that speaks with it, was lost on the way.
	Gone Code = "gone"
	// Refused: the token does not do it.
	Refused Code = "refused"
	// Internal: the two programs do not understand each other.
	Internal Code = "internal"
)

// An Error says why a token did not do what was asked. It never holds a PIN.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error gives the reason.
func (e *Error) Error() string { return e.Message }

// Hints says what to do.
func (e *Error) Hints() []string {
	if e.Hint == "" {
		return nil
	}
	return []string{e.Hint}
}

// Is reports whether the other is an Error of the same code, so that errors.Is(err, &Error{Code: PINNeeded}) branches.
func (e *Error) Is(other error) bool {
	o, ok := other.(*Error)
	return ok && o.Code == e.Code
}

// fault makes an Error.
func fault(code Code, hint, format string, a ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, a...), Hint: hint}
}
