package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// A WithheldKey is what is known of a private key whose content is not at hand: it stays on its machine, and only its public
// half was told. The zero value is a key of which nothing is known but that it is there.
type WithheldKey struct {
	// PublicKey is the SHA-256 of the key's SubjectPublicKeyInfo in DER; nil: not known.
	PublicKey []byte
	// Rule is why GnuTLS or virt-pki cannot read the key ("key-encrypted", "key-not-importable", "cannot-check-signature");
	// empty: it can. Message says it in a sentence, Words are GnuTLS's.
	Rule, Message, Words string
}

// Withhold gives what may be told about a private key: the content of its file does not occur in it.
func Withhold(key []byte) WithheldKey {
	k, err := certs.ImportKey(key)
	if err != nil {
		t := keyTrouble(key, err)
		return WithheldKey{Rule: t.rule, Message: t.message, Words: t.words}
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return WithheldKey{}
	}
	sum := sha256.Sum256(der)
	return WithheldKey{PublicKey: sum[:]}
}

// publicKeyID gives the SHA-256 of a SubjectPublicKeyInfo as x509.MarshalPKIXPublicKey would write it; nil for a key that
// Go does not know.
func publicKeyID(info []byte) []byte {
	public, _, err := signature.PublicKey(info)
	if err != nil {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(der)
	return sum[:]
}

// trouble is what is wrong with a key file.
type trouble struct{ rule, message, words string }

// keyTrouble says what is wrong with a key file, with GnuTLS's text for it. Both readers have refused it, or GnuTLS's alone.
func keyTrouble(data []byte, err error) trouble {
	var refused *certs.ImportError
	if !errors.As(err, &refused) {
		return trouble{"cannot-check-signature", sentence("whether the key belongs to the certificate was not checked: " + err.Error()), ""}
	}
	if refused.Encrypted() {
		return trouble{"key-encrypted", "The key is protected by a passphrase, which libvirt cannot be given.", refused.Text}
	}
	why := "GnuTLS says: " + refused.Text
	if _, own := certs.ParseKey(data, nil); own != nil {
		why = own.Error()
	}
	return trouble{"key-not-importable", sentence("the key cannot be read: " + strings.TrimSuffix(why, ".")), refused.Text}
}

// badKey notes what is wrong with a key file. It reports whether libvirt can use it.
func (r *reader) badKey(t trouble, words func(string) string) bool {
	if t.rule == "cannot-check-signature" {
		r.l.Findings = append(r.l.Findings, rule(t.rule).Finding(r.Key.Path, t.message))
		return true
	}
	r.fail(t.rule, r.Key, t.message, words(t.words))
	return false
}

// mismatch says that the key is not that of the first certificate; same tells of each certificate whether it has the key.
func (r *reader) mismatch(same func(info []byte) bool, words func(string) string) {
	message := fmt.Sprintf("The key %q is not that of the certificate %q.", r.Key.Path, r.Cert.Path)
	for i, c := range r.l.Chain[1:] {
		if same(c.RawPublicKeyInfo) {
			message = fmt.Sprintf("The key %q is that of certificate %d in %q; the certificate of the key must come first.", r.Key.Path, i+2, r.Cert.Path)
		}
	}
	r.fail("key-mismatch", r.Key, message, words("The certificate and the given key do not match."))
}
