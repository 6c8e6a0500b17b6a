package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// A Pair is the certificate and the key file of one identity.
type Pair struct{ Cert, Key File }

// QEMUFiles are the files of one directory for an object tls-creds-x509, as QEMU judges them when the object is made: at
// the start of a guest, a migration, a backup or an export (crypto/tlscredsx509.c).
type QEMUFiles struct {
	// Role is the object's endpoint.
	Role    certs.Role
	CA, CRL File
	// Identities are server-cert.pem and server-key.pem (or client-...), and behind them those with the indices 0 to 3, which
	// QEMU looks for from 10.2 on. Files that are not there have their error.
	Identities []Pair
	// KeyUnknown reports that the caller has certificates to judge but not the keys: nothing is said about keys then.
	KeyUnknown bool
	At         time.Time
	QEMU       QEMUVersion
	// Memory may be shared by many judgements; nil: none.
	Memory *Memory
}

// qemuNames says which of QEMU's rules stands for which of libvirt's, where both make the same check.
var qemuNames = map[string]string{
	"certificate-expired": "qemu-certificate-expired", "certificate-not-yet-valid": "qemu-certificate-not-yet-valid",
	"leaf-is-ca": "qemu-leaf-is-ca", "extension-unreadable": "qemu-extension-unreadable",
	"no-digital-signature": "qemu-no-digital-signature", "wrong-purpose": "qemu-wrong-purpose",
	"ca-expired": "qemu-ca-expired", "ca-not-yet-valid": "qemu-ca-not-yet-valid", "ca-is-no-ca": "qemu-ca-is-no-ca",
	"ca-without-certsign": "qemu-ca-without-certsign", "unknown-issuer": "qemu-unknown-issuer",
	"insecure-algorithm": "qemu-insecure-algorithm", "cannot-check-signature": "cannot-check-signature",
}

// Check gives what keeps QEMU from making the object, in QEMU's order: the first finding of severity error has the text
// that it stops with. It goes on where QEMU would stop, so that one run shows all that is wrong.
func (f QEMUFiles) Check() []finding.Finding {
	q := &qemu{QEMUFiles: f, said: map[string]bool{}}
	if q.Memory == nil {
		q.Memory = new(Memory)
	}
	if len(q.Identities) == 0 {
		q.Identities = []Pair{{}}
	}
	if f.QEMU.chains() {
		q.checkChains()
	} else {
		q.checkFirst()
	}
	q.loadCRL()
	return q.out
}

type qemu struct {
	QEMUFiles
	out  []finding.Finding
	said map[string]bool // files of which something fatal was said
}

func (q *qemu) fail(id string, file File, message, text string) {
	f := rule(id).Finding(file.Path, message)
	f.Severity, f.Effect, f.LibvirtMessage = finding.Error, ownEffect(q.Role), text
	q.out = append(q.out, f)
	q.said[file.Path] = true
}

// take adds findings that libvirt's checks made, under QEMU's names. QEMU has no warnings.
func (q *qemu) take(fs []finding.Finding) {
	for _, f := range fs {
		if f.Severity != finding.Error && f.Rule != "cannot-check-signature" {
			continue
		}
		name, ok := qemuNames[f.Rule]
		if !ok {
			name = "qemu-not-trusted"
		}
		r := rule(name)
		f.Rule, f.Remedy = name, r.Remedy
		q.out = append(q.out, f)
	}
}

// cannotRead says that a file is there and cannot be read where QEMU reads it with GLib. From 10.2 on it asks first whether
// it may.
func (q *qemu) cannotRead(what string, file File) {
	if q.QEMU.chains() && errors.Is(file.Err, fs.ErrPermission) {
		q.fail("qemu-file-unreadable", file, fmt.Sprintf("%q cannot be read: %s.", file.Path, strerror(file.Err)),
			fmt.Sprintf("Unable to access credentials %s: %s", file.Path, strerror(file.Err)))
		return
	}
	q.fail("qemu-file-unreadable", file, fmt.Sprintf("%q cannot be read: %s.", file.Path, strerror(file.Err)),
		fmt.Sprintf("Cannot load %s %s: Error reading file “%s”: %s", what, file.Path, file.Path, strerror(file.Err)))
}

// access is QEMU's stat of a file that must be there.
func (q *qemu) access(id string, file File, what string) bool {
	if there(file) {
		return true
	}
	q.fail(id, file, fmt.Sprintf("%s %q is not there.", what, file.Path),
		fmt.Sprintf("Unable to access credentials %s: %s", file.Path, missingErr(file)))
	return false
}

func (q *qemu) judge(path, what string) judge {
	return judge{path: path, subject: path, what: what, effect: ownEffect(q.Role), libvirt: V12_8, at: q.At}
}

// leaf and ca make the checks that libvirt makes, too; keyEncipherment is not looked at.
func (q *qemu) leaf(c *certs.Certificate, path string) []finding.Finding {
	j := q.judge(path, fmt.Sprintf("the %v certificate", q.Role))
	out := j.times(c, q.Role.String(), "certificate-expired", "certificate-not-yet-valid")
	out = append(out, j.leafConstraints(c, q.Role)...)
	out = append(out, j.usage(c, false)...)
	return withColon(append(out, j.qemuPurpose(c, q.Role)...))
}

func (q *qemu) ca(c *certs.Certificate, path, what string) []finding.Finding {
	j := q.judge(path, what)
	out := j.times(c, "CA", "ca-expired", "ca-not-yet-valid")
	out = append(out, j.caConstraints(c)...)
	return withColon(append(out, j.usage(c, true)...))
}

// withColon writes "Unable to query ..." as QEMU does.
func withColon(fs []finding.Finding) []finding.Finding {
	for i, f := range fs {
		if f.Rule == "extension-unreadable" {
			for _, words := range []string{" basic constraints ", " key usage ", " key purpose "} {
				fs[i].LibvirtMessage = strings.Replace(fs[i].LibvirtMessage, words, words[:len(words)-1]+": ", 1)
			}
		}
	}
	return fs
}

// qemuPurpose is qcrypto_tls_creds_check_cert_key_purpose: anyExtendedKeyUsage allows both roles, what QEMU does not know
// allows none; if the extension is not critical nothing is refused.
func (j judge) qemuPurpose(c *certs.Certificate, role certs.Role) []finding.Finding {
	eku := c.ExtKeyUsage
	switch {
	case eku == nil:
		return nil
	case eku.Undecodable:
		return j.unreadable(c, oidExtKeyUsage, "key purpose")
	case !eku.Critical || len(eku.Purposes) == 0:
		return nil
	}
	want := oidServerAuth
	if role == certs.Client {
		want = oidClientAuth
	}
	for _, oid := range eku.Purposes {
		if oid == want || oid == oidAnyPurpose {
			return nil
		}
	}
	return []finding.Finding{j.refuse("wrong-purpose",
		fmt.Sprintf("%s has a critical extendedKeyUsage that does not allow a TLS %v.", sentenceStart(j.what), role),
		fmt.Sprintf("Certificate %s purpose does not allow use with a TLS %v", j.path, role))}
}

// verdict adds what GnuTLS says to certificates against CAs, unless the findings have said it.
func (q *qemu) verdict(chain, cas []*certs.Certificate, found []finding.Finding, certPath string) []finding.Finding {
	c := &checker{at: q.At, memory: q.Memory}
	c.list(chain, cas)
	v := c.v
	said := found
	for _, f := range found {
		if f.Subject == certPath { // of a CA behind the leaf
			f.Subject = q.CA.Path
			said = append(said[:len(said):len(said)], f)
		}
	}
	if p, ok := unreported(v, said, chain[0], certPath, q.CA.Path); ok {
		what := fmt.Sprintf("the %v certificate", q.Role)
		if p.Cert != chain[0] {
			what += "'s issuer " + nameOf(p.Cert)
		}
		reason := strings.TrimSuffix(v.Status.Reason(), ".")
		if v.Status&(SignerNotFound|InsecureAlgorithm|Revoked) == 0 {
			reason = strings.TrimSuffix(notTrusted, ".")
		}
		found = append(found, q.judge(certPath, what).refuse(p.Rule, fmt.Sprintf("GnuTLS does not accept %s: %s.", what, p.Text),
			fmt.Sprintf("Our own certificate %s failed validation against %s: %s", certPath, q.CA.Path, reason)))
	}
	return append(found, unchecked(v, certPath)...)
}

// checkFirst is QEMU before 10.2: the first certificate of the file against all CAs, of which the first 16 are looked at.
func (q *qemu) checkFirst() {
	id := q.Identities[0]
	q.access("qemu-ca-missing", q.CA, "The CA file")
	if q.Role == certs.Server {
		if q.access("qemu-certificate-missing", id.Cert, "The server's certificate") && !q.KeyUnknown {
			q.access("qemu-certificate-missing", id.Key, "The server's key")
		}
	}
	var leaf *certs.Certificate
	if text, ok := q.firstText(id.Cert); ok {
		var err error
		if leaf, err = q.Memory.first(text); err != nil {
			q.fail("qemu-certificate-not-importable", id.Cert, sentence("the file holds no certificate that QEMU can read: "+strings.TrimSuffix(err.Error(), ".")+insteadOf(text)),
				fmt.Sprintf("Unable to import %v certificate %s: %s", q.Role, id.Cert.Path, err))
		}
	}
	var cas []*certs.Certificate
	if text, ok := q.firstText(q.CA); ok {
		var err error
		if cas, err = q.Memory.list(text, maxCAs); err != nil {
			q.fail("qemu-ca-not-importable", q.CA, sentence("the CA file cannot be read: "+strings.TrimSuffix(err.Error(), ".")+insteadOf(text)),
				fmt.Sprintf("Unable to import CA certificate list %s", q.CA.Path))
		}
	}
	var found []finding.Finding
	if leaf != nil {
		found = q.leaf(leaf, id.Cert.Path)
	}
	for i, ca := range cas {
		found = append(found, q.ca(ca, q.CA.Path, fmt.Sprintf("CA %d in the file (%s)", i+1, nameOf(ca)))...)
	}
	if leaf != nil && len(cas) > 0 {
		found = q.verdict([]*certs.Certificate{leaf}, cas, found, id.Cert.Path)
	}
	q.take(found)
	q.loadFirst(id)
}

// firstText gives what the check before 10.2 reads of a file: up to a NUL byte, without a limit. What may not be read is
// skipped, and fails when it is loaded.
func (q *qemu) firstText(f File) ([]byte, bool) {
	switch {
	case !there(f):
		return nil, false
	case errors.Is(f.Err, syscall.EISDIR):
		q.cannotRead("CA cert list", f)
		return nil, false
	case f.Err != nil:
		return nil, false
	}
	text, _, _ := bytes.Cut(f.Data, []byte{0})
	return text, true
}

// loadFirst is the loading by GnuTLS before 10.2.
func (q *qemu) loadFirst(id Pair) {
	if there(q.CA) && q.CA.Err != nil && !q.said[q.CA.Path] {
		q.fail("qemu-file-unreadable", q.CA, fmt.Sprintf("The CA file %q cannot be read: %s.", q.CA.Path, strerror(q.CA.Err)),
			fmt.Sprintf("Cannot load CA certificate '%s': %s", q.CA.Path, readError))
	}
	if !there(id.Cert) || !there(id.Key) && !q.KeyUnknown {
		return
	}
	words := func(text string) string {
		return fmt.Sprintf("Cannot load certificate '%s' & key '%s': %s", id.Cert.Path, id.Key.Path, text)
	}
	// GnuTLS reads the key first.
	if !q.KeyUnknown && id.Key.Err != nil {
		q.fail("qemu-file-unreadable", id.Key, fmt.Sprintf("The key %q cannot be read: %s.", id.Key.Path, strerror(id.Key.Err)), words(readError))
		return
	}
	key := q.key(id, words)
	switch {
	case id.Cert.Err != nil && !q.said[id.Cert.Path]:
		q.fail("qemu-file-unreadable", id.Cert, fmt.Sprintf("The certificate %q cannot be read: %s.", id.Cert.Path, strerror(id.Cert.Err)), words(readError))
		return
	case id.Cert.Err != nil:
		return
	}
	chain, err := q.Memory.list(id.Cert.Data, 0)
	if err != nil {
		if !q.said[id.Cert.Path] {
			q.fail("qemu-certificate-not-importable", id.Cert, sentence("the certificate file cannot be loaded: "+strings.TrimSuffix(err.Error(), ".")), words(err.Error()))
		}
		return
	}
	q.matches(id, chain, key, words("The certificate and the given key do not match."))
}

// key reads the key of a pair; nil where there is none to compare. Of a key that is not at hand it gives the *WithheldKey.
func (q *qemu) key(id Pair, words func(gnutls string) string) crypto.PublicKey {
	if q.KeyUnknown || id.Key.Err != nil {
		return nil
	}
	var t trouble
	if w := id.Key.Withheld; w == nil {
		k, err := certs.ImportKey(id.Key.Data)
		if err == nil {
			return k.Public()
		}
		t = keyTrouble(id.Key.Data, err)
	} else if w.Rule == "" {
		return w
	} else {
		t = trouble{w.Rule, w.Message, w.Words}
	}
	switch t.rule {
	case "cannot-check-signature":
		q.out = append(q.out, rule(t.rule).Finding(id.Key.Path, t.message))
	case "key-encrypted":
		q.fail("qemu-key-encrypted", id.Key, "The key is protected by a passphrase; QEMU needs default_tls_x509_secret_uuid in qemu.conf for it.",
			words(t.words))
	default:
		q.fail("qemu-key-not-importable", id.Key, t.message, words(t.words))
	}
	return nil
}

// matches says when the key is not that of the first certificate.
func (q *qemu) matches(id Pair, chain []*certs.Certificate, key crypto.PublicKey, text string) {
	public, _, err := signature.PublicKey(chain[0].RawPublicKeyInfo)
	if key == nil || err != nil {
		return
	}
	if w, withheld := key.(*WithheldKey); withheld {
		if w.PublicKey == nil || bytes.Equal(w.PublicKey, publicKeyID(chain[0].RawPublicKeyInfo)) {
			return
		}
	} else if certs.SameKey(public, key) {
		return
	}
	q.fail("qemu-key-mismatch", id.Key, fmt.Sprintf("The key %q is not that of the certificate %q.", id.Key.Path, id.Cert.Path), text)
}

// checkChains is QEMU from 10.2 on: all identities are loaded, then each chain is followed up to a self-signed CA.
func (q *qemu) checkChains() {
	var cas []*certs.Certificate
	if q.access("qemu-ca-missing", q.CA, "The CA file") {
		cas, _ = q.list(q.CA, "qemu-ca-not-importable", "the CA file cannot be read: ")
	}
	type loaded struct {
		Pair
		chain []*certs.Certificate
	}
	var all []loaded
	some := false
	for i, id := range q.Identities {
		cert, key := there(id.Cert), there(id.Key)
		switch {
		case !cert && !key && i == 0:
			continue
		case !cert && !key:
		case cert && !key && !q.KeyUnknown:
			q.fail("qemu-half-identity", id.Key, fmt.Sprintf("The certificate %q is there, but its key %q is not.", id.Cert.Path, id.Key.Path),
				fmt.Sprintf("Cert '%s' without corresponding key '%s'", id.Cert.Path, id.Key.Path))
		case !cert:
			q.fail("qemu-half-identity", id.Cert, fmt.Sprintf("The key %q is there, but its certificate %q is not.", id.Key.Path, id.Cert.Path),
				fmt.Sprintf("Key '%s' without corresponding cert '%s'", id.Key.Path, id.Cert.Path))
		}
		if !cert && !key {
			break
		}
		some = true
		if !cert {
			continue
		}
		chain, ok := q.list(id.Cert, "qemu-certificate-not-importable", "the certificate file cannot be read: ")
		if key && !q.KeyUnknown && id.Key.Err != nil {
			q.cannotRead("private key", id.Key)
		}
		var public crypto.PublicKey
		if key {
			public = q.key(id, func(string) string { return "Unable to import private key " + id.Key.Path })
		}
		if !ok {
			continue
		}
		words := fmt.Sprintf("Cannot set certificate '%s' & key '%s': ", id.Cert.Path, id.Key.Path)
		if len(chain) > maxDepth && !sorted(chain) {
			q.fail("qemu-chain-order", id.Cert, fmt.Sprintf("The file holds %d certificates, not each followed by its issuer; GnuTLS sorts up to %d.", len(chain), maxDepth),
				words+"The provided X.509 certificate list is not sorted (in subject to issuer order)")
		}
		q.matches(id, chain, public, words+"The certificate and the given key do not match.")
		all = append(all, loaded{id, chain})
	}
	if !some && q.Role == certs.Server {
		id := q.Identities[0]
		q.fail("qemu-certificate-missing", id.Cert, fmt.Sprintf("There is no server's certificate: neither %q nor one with an index.", id.Cert.Path),
			fmt.Sprintf("Missing server cert '%s' & key '%s'", id.Cert.Path, id.Key.Path))
	}
	for _, l := range all {
		if len(cas) > 0 {
			q.chain(l.chain, cas, l.Cert.Path)
		} else {
			q.take(q.leaf(l.chain[0], l.Cert.Path))
		}
	}
}

func sorted(chain []*certs.Certificate) bool {
	for i, c := range chain[1:] {
		if !isIssuer(chain[i], c) {
			return false
		}
	}
	return true
}

// list reads a file of certificates from 10.2 on.
func (q *qemu) list(f File, id, words string) ([]*certs.Certificate, bool) {
	if f.Err != nil {
		q.cannotRead("CA cert list", f)
		return nil, false
	}
	text, _, _ := bytes.Cut(f.Data, []byte{0})
	list, err := q.Memory.list(text, 0)
	if err == nil {
		return list, true
	}
	gnutls := err.Error()
	if !bytes.Contains(text, []byte("-----BEGIN CERTIFICATE")) && !bytes.Contains(text, []byte("-----BEGIN X509 CERTIFICATE")) {
		gnutls = "No certificate was found."
	}
	q.fail(id, f, sentence(words+strings.TrimSuffix(err.Error(), ".")+insteadOf(text)), fmt.Sprintf("Unable to import certificate %s: %s", f.Path, gnutls))
	return nil, false
}

// chain is the check of one identity from 10.2 on: the leaf, the CAs behind it, that each is the issuer of the one before,
// the CAs above up to one that is self-signed, and then GnuTLS's verdict.
func (q *qemu) chain(chain, cas []*certs.Certificate, path string) {
	found := q.leaf(chain[0], path)
	for i, c := range chain[1:] {
		found = append(found, q.ca(c, path, fmt.Sprintf("certificate %d in the file (%s)", i+2, nameOf(c)))...)
	}
	// refuse ends the check; words has the names of certificates in it.
	refuse := func(id, message, words string, cs ...*certs.Certificate) {
		var names []any
		for _, c := range cs {
			text, err := c.Subject.Text()
			if err != nil {
				words, names = "Unable to fetch cert DN: %s", []any{err}
				break
			}
			names = append(names, text)
		}
		f := rule(id).Finding(path, message)
		f.Severity, f.Effect, f.LibvirtMessage = finding.Error, ownEffect(q.Role), fmt.Sprintf(words, names...)
		q.take(found)
		q.out = append(q.out, f)
	}
	for i, c := range chain[1:] {
		if !isIssuer(chain[i], c) {
			refuse("qemu-chain-order", fmt.Sprintf("Certificate %d in the file (%s) is not the issuer of the one before it (%s).", i+2, nameOf(c), nameOf(chain[i])),
				"Cert '%s' does not match issuer of cert '%s'", c, chain[i])
			return
		}
	}
	top := chain[len(chain)-1]
	for range len(cas) + 1 {
		if isIssuer(top, top) {
			found = append(found, q.ca(top, q.CA.Path, "the CA "+nameOf(top))...)
			break
		}
		var issuer *certs.Certificate
		for _, ca := range cas {
			if isIssuer(top, ca) {
				issuer = ca
				break
			}
		}
		if issuer == nil {
			refuse("qemu-no-issuer", fmt.Sprintf("The issuer of %s is not in the CA file; QEMU wants all CAs up to a self-signed one, in the two files together.", nameOf(top)),
				"Cert '%s' has no issuer in CA chain", top)
			return
		}
		if !isIssuer(issuer, issuer) {
			found = append(found, q.ca(issuer, q.CA.Path, "the CA "+nameOf(issuer))...)
		}
		top = issuer
	}
	q.take(q.verdict(chain, cas, found, path))
}

// loadCRL loads the revocation list, which only a server looks for.
func (q *qemu) loadCRL() {
	if q.Role != certs.Server || !there(q.CRL) {
		return
	}
	words := fmt.Sprintf("Cannot load CRL '%s': ", q.CRL.Path)
	switch {
	case q.CRL.Err != nil && q.QEMU.chains() && errors.Is(q.CRL.Err, fs.ErrPermission):
		q.cannotRead("CRL", q.CRL)
		return
	case q.CRL.Err != nil:
		q.fail("qemu-file-unreadable", q.CRL, fmt.Sprintf("The revocation list %q cannot be read: %s.", q.CRL.Path, strerror(q.CRL.Err)), words+readError)
		return
	}
	if _, err := crl.ParsePEM(q.CRL.Data); err != nil {
		q.fail("qemu-crl-not-importable", q.CRL, sentence("the revocation list cannot be loaded: "+err.Error()), words+crl.GnuTLSText(err))
	}
}
