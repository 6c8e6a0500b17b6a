package inventory

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A Key names a certificate: the serial number alone is unique only below one authority.
type Key struct {
	// Serial is the serial number in upper-case hex without leading zeros, as openssl prints it.
	Serial string
	// Authority is the authority key identifier in lower-case hex; empty where the certificate has none.
	Authority string
}

// NewKey makes a Key of the numbers in a certificate.
func NewKey(serial *big.Int, authorityKeyID []byte) Key {
	return Key{fmt.Sprintf("%X", serial), hex.EncodeToString(authorityKeyID)}
}

// String gives the serial number.
func (k Key) String() string { return k.Serial }

// ParseSerial reads a serial number in hex as people write it, with colons, blanks, a leading 0x or leading zeros, and
// gives it in the form of Key.Serial.
func ParseSerial(s string) (string, error) {
	clean := strings.TrimPrefix(strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s)), "0x")
	n, ok := new(big.Int).SetString(clean, 16)
	if !ok || n.Sign() < 0 || strings.ContainsAny(clean, "+-_") {
		return "", fmt.Errorf("%q is no serial number: hexadecimal digits are needed", s)
	}
	return fmt.Sprintf("%X", n), nil
}

// decimal gives the serial number as certdb stores it.
func (k Key) decimal() (string, error) {
	n, ok := new(big.Int).SetString(k.Serial, 16)
	if !ok {
		return "", fmt.Errorf("%q is no serial number: hexadecimal digits are needed", k.Serial)
	}
	return n.String(), nil
}

// recordedKey makes a Key of what certdb stores; it is decimal's inverse.
func recordedKey(decimal, authority string) (Key, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok {
		return Key{}, fmt.Errorf("serial number %q is no decimal number", decimal)
	}
	return Key{fmt.Sprintf("%X", n), authority}, nil
}

// State is how far a certificate has come.
type State string

// The states.
const (
	// Issued: recorded, perhaps signed, not yet where it belongs.
	Issued State = "issued"
	// Published: its files lie where they belong, or it was handed to whoever asked.
	Published State = "published"
	// Superseded: another one has taken its place; it may still be in use and can be revoked.
	Superseded State = "superseded"
	// Abandoned: recorded, but never published, because the program ended in between.
	Abandoned State = "abandoned"
	// Foreign: in certdb's table only; recorded by another program.
	Foreign State = "foreign"
)

// from lists the states from which a state can be reached, itself included: to set a state twice is no error.
func (s State) from() []State {
	switch s {
	case Published:
		return []State{Issued, Published}
	case Superseded:
		return []State{Published, Superseded}
	case Abandoned:
		return []State{Issued, Abandoned}
	}
	return nil
}

// An Entry is what the inventory knows of one certificate.
type Entry struct {
	Key
	// Host is the machine or, for a client that is no machine, the person or program it was issued to.
	Host string
	Role certs.Role
	// Layout names the place it is made for, as the caller calls it.
	Layout string
	// Subject is the subject as libvirt matches it (dn.Name.Text); CommonName its last CN, for certdb.
	Subject    string
	CommonName string
	Names      []string
	Addresses  []netip.Addr
	// KeyID is the key identifier in lower-case hex (certs.KeyID).
	KeyID               string
	NotBefore, NotAfter time.Time
	// PEM is the certificate.
	PEM []byte

	State   State
	Created time.Time
	// Revoked is nil unless certdb says the certificate is revoked. Record does not write it.
	Revoked *Revocation
}

// InForce reports whether it should be in use: it is neither revoked nor superseded nor abandoned.
func (e Entry) InForce() bool {
	return e.Revoked == nil && e.State != Superseded && e.State != Abandoned
}

// DER gives the certificate without the armour; a text that is no certificate is given as it is.
func (e Entry) DER() []byte {
	c, err := certs.ImportPEM(e.PEM)
	if err != nil {
		return e.PEM
	}
	return c.Raw
}

// A Revocation is the end of a certificate before its time.
type Revocation struct {
	At time.Time
	// Reason is the code of RFC 5280, 5.3.1.
	Reason int
}
