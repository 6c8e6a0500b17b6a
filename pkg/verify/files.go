package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/signature"
)

// A File is one file as the caller found it. The package does not read files itself.
type File struct {
	// Path is the name in libvirt's messages. Empty: libvirt was given no such file.
	Path string
	Data []byte
	// Err says why Data could not be read: an error of package os. Errors that mean that there is no file
	// (fs.ErrNotExist, ENOTDIR, ELOOP) are told from those of a file that cannot be read.
	Err error
	// Withheld stands for the Data of a private key that is not at hand; nil: Data counts.
	Withheld *WithheldKey
}

// Missing reports whether the file does not exist for libvirt's access(F_OK).
func (f File) Missing() bool {
	return errors.Is(f.Err, fs.ErrNotExist) || errors.Is(f.Err, syscall.ENOTDIR) || errors.Is(f.Err, syscall.ELOOP)
}

// strerror gives an error's text as the C library spells it.
func strerror(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		if errors.Is(err, fs.ErrNotExist) {
			errno = syscall.ENOENT
		} else if errors.Is(err, fs.ErrPermission) {
			errno = syscall.EACCES
		} else {
			return err.Error()
		}
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// Files are the credential files of one end, in the order in which libvirt comes to them. For several identities
// (11.10 and later) judge each pair with the same CA and CRL.
type Files struct {
	// Role is certs.Server or certs.Client.
	Role               certs.Role
	CA, CRL, Cert, Key File
	// CRLConfigured reports that crl_file is set in the daemon's configuration, to whatever value. The default list may
	// be absent; a configured one may not from 11.10 on.
	CRLConfigured bool
	// KeyUnknown reports that the caller has certificates to judge but not the key: nothing is said about the key then.
	KeyUnknown bool
	// NoSanity is tls_no_sanity_certificate = 1 on the server, no_sanity=1 on the client.
	NoSanity bool
	At       time.Time
	Libvirt  Version
	// Memory may be shared by many judgements; nil: none.
	Memory *Memory
}

// Loaded is what an end has after loading its files.
type Loaded struct {
	// Own is what the sanity check saw; its certificates stop where libvirt's reader stops.
	Own Own
	// CAs, Chain, Key and CRLs are what GnuTLS loads for sessions: all CAs, and of the certificate file the first with those above
	// it, in order; strangers are not sent. Chain and Key are
	// empty without an identity. Key is nil, too, where its kind is unknown here.
	CAs   []*certs.Certificate
	Chain []*certs.Certificate
	Key   crypto.Signer
	CRLs  []*crl.List
	// PEM is what the files hold, unread.
	PEM struct{ CA, Cert, Key []byte }
	// Findings are about the files and from the sanity check, in libvirt's order: the first of severity error is the one
	// it stops at.
	Findings []finding.Finding

	role certs.Role
	at   time.Time
	// paths of the files, for Advice
	caPath, certPath, crlPath string
}

// maxFile is how much the sanity check reads of a file.
const maxFile = 65536

// readError is gnutls_strerror(GNUTLS_E_FILE_ERROR).
const readError = "Error while reading file."

// Read judges and loads the files. It goes on where libvirt would stop, so that one run shows all that is wrong; what
// could be loaded is in the result either way.
func (f Files) Read() Loaded {
	l := Loaded{role: f.Role, at: f.At, caPath: f.CA.Path, certPath: f.Cert.Path, crlPath: f.CRL.Path}
	l.PEM.CA, l.PEM.Cert, l.PEM.Key = f.CA.Data, f.Cert.Data, f.Key.Data
	r := reader{Files: f, l: &l}
	if r.Memory == nil {
		r.Memory = new(Memory) // each file is read more than once
	}
	if f.Libvirt.severalIdentities() {
		r.existence()
	}
	r.sanity()
	r.load()
	return l
}

type reader struct {
	Files
	l *Loaded
	// said holds the files of which something fatal was said already.
	said map[string]bool
}

func (r *reader) fail(id string, file File, message, libvirtMessage string) {
	f := rule(id).Finding(file.Path, message)
	f.Severity, f.Effect, f.LibvirtMessage = finding.Error, ownEffect(r.Role), libvirtMessage
	r.l.Findings = append(r.l.Findings, f)
	if r.said == nil {
		r.said = map[string]bool{}
	}
	r.said[file.Path] = true
}

// there reports whether libvirt's access(F_OK) finds the file. An empty path names none.
func there(f File) bool { return f.Path != "" && !f.Missing() }

// missingErr gives the error text of a file that is not there.
func missingErr(f File) string {
	if f.Path == "" {
		return "No such file or directory"
	}
	return strerror(f.Err)
}

// existence is what 11.10 and later check first (virNetTLSConfigCheckTrust, virNetTLSConfigCheckIdentity).
func (r *reader) existence() {
	if !there(r.CA) {
		r.fail("ca-file-missing", r.CA, fmt.Sprintf("The CA file %q is not there.", r.CA.Path),
			fmt.Sprintf("CA certificate '%s' does not exist: %s", r.CA.Path, missingErr(r.CA)))
	}
	cert, key := there(r.Cert), there(r.Key)
	switch {
	case cert && !key && !r.KeyUnknown:
		id := "key-file-missing"
		if r.Role == certs.Client {
			id = "half-identity"
		}
		r.fail(id, r.Key, fmt.Sprintf("The certificate %q is there, but its key %q is not.", r.Cert.Path, r.Key.Path),
			fmt.Sprintf("Key '%s' does not exist, but certificate '%s' does: %s", r.Key.Path, r.Cert.Path, missingErr(r.Key)))
	case !cert && key && r.Role == certs.Client:
		r.fail("half-identity", r.Cert, fmt.Sprintf("The key %q is there, but its certificate %q is not.", r.Key.Path, r.Cert.Path),
			fmt.Sprintf("Certificate '%s' does not exist, but key '%s' does: %s", r.Cert.Path, r.Key.Path, missingErr(r.Cert)))
	case !cert && r.Role != certs.Client:
		but := ""
		if key && indexedCertificate.MatchString(r.Cert.Path) {
			but = fmt.Sprintf(", but key '%s' does", r.Key.Path) // only of the names with an index
		}
		r.fail("certificate-file-missing", r.Cert, fmt.Sprintf("The server's certificate %q is not there.", r.Cert.Path),
			fmt.Sprintf("Certificate '%s' does not exist%s: %s", r.Cert.Path, but, missingErr(r.Cert)))
	}
}

var indexedCertificate = regexp.MustCompile(`(^|/)servercert[0-3]\.pem$`)

// text reads a file as the sanity check does: false where there is nothing to check.
func (r *reader) text(f File) ([]byte, bool) {
	if !there(f) {
		return nil, false
	}
	if f.Err != nil {
		// access(R_OK) lets directories pass; what it does not let pass is skipped, and fails when it is loaded.
		if errors.Is(f.Err, syscall.EISDIR) {
			r.fail("file-unreadable", f, fmt.Sprintf("%q is a directory.", f.Path),
				fmt.Sprintf("Failed to read file '%s': %s", f.Path, strerror(f.Err)))
		}
		return nil, false
	}
	if len(f.Data) > maxFile {
		r.fail("file-too-large", f, fmt.Sprintf("The file has %d bytes; libvirt's own check reads at most %d.", len(f.Data), maxFile),
			fmt.Sprintf("Failed to read file '%s': Value too large for defined data type", f.Path))
		return nil, false
	}
	if i := bytes.IndexByte(f.Data, 0); i >= 0 {
		if bytes.Contains(f.Data[i:], []byte("-----BEGIN ")) {
			r.l.Findings = append(r.l.Findings, rule("nul-byte-in-file").Finding(f.Path,
				fmt.Sprintf("A NUL byte at position %d hides the rest of the file from libvirt's own check.", i)))
		}
		return f.Data[:i], true
	}
	return f.Data, true
}

// sanity is the sanity check, reading of the files included. With NoSanity it finds nothing but fills in Own.
func (r *reader) sanity() {
	o := Own{Role: r.Role, CertPath: r.Cert.Path, CAPath: r.CA.Path, At: r.At, Libvirt: r.Libvirt, Memory: r.Memory}
	before := len(r.l.Findings)
	if text, ok := r.text(r.Cert); ok {
		c, err := r.Memory.first(text)
		if err != nil {
			r.fail("certificate-not-importable", r.Cert, sentence(fmt.Sprintf("the file holds no certificate that libvirt can read: %s%s",
				strings.TrimSuffix(err.Error(), "."), insteadOf(text))),
				fmt.Sprintf("Unable to import %v certificate %s", r.Role, r.Cert.Path))
		}
		o.Cert = c
	}
	if text, ok := r.text(r.CA); ok {
		list, err := r.Memory.list(text, maxCAs)
		if err != nil {
			words := "CA certificate list"
			if r.Libvirt.severalIdentities() {
				words = "certificate list"
			}
			r.fail("ca-file-not-importable", r.CA, sentence(fmt.Sprintf("the CA file cannot be read: %s%s",
				strings.TrimSuffix(err.Error(), "."), insteadOf(text))),
				fmt.Sprintf("Unable to import %s %s", words, r.CA.Path))
		}
		o.CAs = list
		if all, err := r.Memory.list(text, 0); err == nil {
			o.CAs = all
		}
	}
	r.l.Own = o
	if r.NoSanity {
		r.l.Findings = r.l.Findings[:before]
		r.said = nil
		return
	}
	r.l.Findings = append(r.l.Findings, o.Check()...)
}

// insteadOf says what a file seems to be.
func insteadOf(text []byte) string {
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return " (the file is empty)"
	case text[0] == 0x30:
		return " (it looks like DER; libvirt reads PEM)"
	case bytes.Contains(text, []byte("BEGIN TRUSTED CERTIFICATE")):
		return " (it is a TRUSTED CERTIFICATE of openssl)"
	}
	return ""
}

// load is virNetTLSContextLoadCredentials.
func (r *reader) load() {
	r.loadCA()
	r.loadCRL()
	r.loadIdentity()
}

func (r *reader) loadCA() {
	old := !r.Libvirt.severalIdentities()
	switch {
	case r.CA.Path == "" && old:
		return // libvirt goes on without any CA
	case !there(r.CA):
		if old {
			r.fail("ca-file-missing", r.CA, fmt.Sprintf("The CA file %q is not there.", r.CA.Path),
				fmt.Sprintf("Cannot read CA certificate '%s': %s", r.CA.Path, missingErr(r.CA)))
		}
		return
	case r.CA.Err != nil:
		if !r.said[r.CA.Path] {
			r.fail("file-unreadable", r.CA, fmt.Sprintf("The CA file %q cannot be read: %s.", r.CA.Path, strerror(r.CA.Err)),
				fmt.Sprintf("Unable to set x509 CA certificate: %s: %s", r.CA.Path, readError))
		}
		return
	}
	// Without any PEM block GnuTLS loads no CA and is content.
	if !bytes.Contains(r.CA.Data, []byte("-----BEGIN CERTIFICATE")) && !bytes.Contains(r.CA.Data, []byte("-----BEGIN X509 CERTIFICATE")) {
		return
	}
	list, err := r.Memory.list(r.CA.Data, 0)
	if err != nil && !r.said[r.CA.Path] {
		r.fail("ca-file-not-importable", r.CA, sentence("the CA file cannot be loaded: "+strings.TrimSuffix(err.Error(), ".")),
			fmt.Sprintf("Unable to set x509 CA certificate: %s: %s", r.CA.Path, err))
	}
	r.l.CAs = list
}

func (r *reader) loadCRL() {
	const words = "Unable to set x509 certificate revocation list: %s: %s"
	if !there(r.CRL) {
		if !r.CRLConfigured {
			return
		}
		message := fmt.Sprintf("The revocation list %q of the configuration is not there", r.CRL.Path)
		if r.Libvirt.severalIdentities() {
			text := readError
			r.fail("crl-file-missing", r.CRL, message+".", fmt.Sprintf(words, r.CRL.Path, text))
			return
		}
		f := rule("crl-file-missing").Finding(r.CRL.Path, message+"; libvirt goes on without a word, and revoked certificates are let in.")
		f.Severity, f.Effect = finding.Warning, finding.Ignores
		r.l.Findings = append(r.l.Findings, f)
		return
	}
	if r.CRL.Err != nil {
		r.fail("file-unreadable", r.CRL, fmt.Sprintf("The revocation list %q cannot be read: %s.", r.CRL.Path, strerror(r.CRL.Err)),
			fmt.Sprintf(words, r.CRL.Path, readError))
		return
	}
	lists, err := crl.ParsePEM(r.CRL.Data)
	if err != nil {
		r.fail("crl-not-importable", r.CRL, sentence("the revocation list cannot be loaded: "+err.Error()),
			fmt.Sprintf(words, r.CRL.Path, crl.GnuTLSText(err)))
		return
	}
	r.l.CRLs = lists
}

func (r *reader) loadIdentity() {
	cert, key := there(r.Cert), there(r.Key)
	old := !r.Libvirt.severalIdentities()
	if r.KeyUnknown && cert {
		r.loadChain(func(text string) string {
			return fmt.Sprintf("Unable to set x509 key and certificate: %s: %s", r.Cert.Path, text)
		})
		return
	}
	if old && (r.Cert.Path == "" || r.Key.Path == "") {
		r.nobody("libvirt was given no certificate or no key")
		return
	}
	if !cert || !key {
		switch {
		case r.Role == certs.Client && !cert && !key:
			r.nobody("neither certificate nor key is there")
		case !old:
			// Said by existence.
		case r.Role == certs.Client:
			missing, there := r.Key, r.Cert
			if !cert {
				missing, there = r.Cert, r.Key
			}
			f := rule("half-identity").Finding(missing.Path, fmt.Sprintf("%q is there, but %q is not: the client goes on without any "+
				"certificate, and the daemon will refuse it.", there.Path, missing.Path))
			f.Severity, f.Effect = finding.Warning, finding.Ignores
			r.l.Findings = append(r.l.Findings, f)
		case !cert:
			r.fail("certificate-file-missing", r.Cert, fmt.Sprintf("The server's certificate %q is not there.", r.Cert.Path),
				fmt.Sprintf("Cannot read certificate '%s': %s", r.Cert.Path, missingErr(r.Cert)))
		default:
			r.fail("key-file-missing", r.Key, fmt.Sprintf("The server's key %q is not there.", r.Key.Path),
				fmt.Sprintf("Cannot read private key '%s': %s", r.Key.Path, missingErr(r.Key)))
		}
		return
	}
	words := func(text string) string {
		return fmt.Sprintf("Unable to set x509 key and certificate: %s, %s: %s", r.Key.Path, r.Cert.Path, text)
	}
	// GnuTLS reads the key first.
	ok := true
	if r.Key.Err != nil {
		r.fail("file-unreadable", r.Key, fmt.Sprintf("The key %q cannot be read: %s.", r.Key.Path, strerror(r.Key.Err)), words(readError))
		ok = false
	} else if w := r.Key.Withheld; w != nil {
		if w.Rule != "" {
			ok = r.badKey(trouble{w.Rule, w.Message, w.Words}, words)
		}
	} else if k, err := certs.ImportKey(r.Key.Data); err != nil {
		ok = r.badKey(keyTrouble(r.Key.Data, err), words)
	} else {
		r.l.Key = k
	}
	if !r.loadChain(words) || !ok || !r.usableKey(words) {
		return
	}
	same := func(info []byte) bool {
		public, _, err := signature.PublicKey(info)
		return err == nil && certs.SameKey(public, r.l.Key.Public())
	}
	if w := r.Key.Withheld; w != nil {
		same = func(info []byte) bool { return bytes.Equal(publicKeyID(info), w.PublicKey) }
		if w.PublicKey == nil || publicKeyID(r.l.Chain[0].RawPublicKeyInfo) == nil {
			return
		}
	} else if _, _, err := signature.PublicKey(r.l.Chain[0].RawPublicKeyInfo); err != nil || r.l.Key == nil {
		return
	}
	if !same(r.l.Chain[0].RawPublicKeyInfo) {
		r.mismatch(same, words)
	}
}

// usableKey looks whether GnuTLS can use the public key of the first certificate at all, and where Go cannot, whether it is of
// another kind than the private key (gnutls_pcert_import_x509, _gnutls_check_key_cert_match).
func (r *reader) usableKey(words func(string) string) bool {
	info := r.l.Chain[0].RawPublicKeyInfo
	_, _, err := signature.PublicKey(info)
	if err == nil {
		return true
	}
	text := ""
	switch certs.PublicKeyUse(info) {
	case certs.KeyCurveUnknown:
		text = "The curve is unsupported"
	case certs.KeyAlgorithmUnknown:
		text = "An unimplemented or disabled feature has been requested."
	default:
		if r.l.Key != nil {
			r.mismatch(func([]byte) bool { return false }, words)
			return false
		}
		return true
	}
	r.fail("certificate-not-importable", r.Cert, fmt.Sprintf("GnuTLS cannot use the public key of the certificate %q: %v.", r.Cert.Path, err), words(text))
	return false
}

// loadChain loads the certificates of the certificate file, and reports whether it could.
func (r *reader) loadChain(words func(string) string) bool {
	if r.Cert.Err != nil {
		if !r.said[r.Cert.Path] {
			r.fail("file-unreadable", r.Cert, fmt.Sprintf("The certificate %q cannot be read: %s.", r.Cert.Path, strerror(r.Cert.Err)), words(readError))
		}
		return false
	}
	chain, err := r.Memory.list(r.Cert.Data, 0)
	if err != nil {
		if !r.said[r.Cert.Path] {
			r.badChain(err, words)
		}
		return false
	}
	r.l.Chain = kept(chain)
	return true
}

// nobody notes that a client, or an old daemon given an empty path, goes on without an identity.
func (r *reader) nobody(why string) {
	f := rule("no-client-identity").Finding(r.Cert.Path, sentence(fmt.Sprintf("the %v has no certificate: %s", r.Role, why)))
	if r.Role != certs.Client {
		f.Severity = finding.Error
	}
	r.l.Findings = append(r.l.Findings, f)
}

// badChain says what is wrong with a certificate file that the sanity check let pass or did not see.
func (r *reader) badChain(err error, words func(string) string) {
	text, id := err.Error(), "chain-not-importable"
	if _, first := certs.ImportPEM(r.Cert.Data); first != nil {
		id = "certificate-not-importable"
		if !bytes.Contains(r.Cert.Data, []byte("-----BEGIN CERTIFICATE")) && !bytes.Contains(r.Cert.Data, []byte("-----BEGIN X509 CERTIFICATE")) {
			text = "Base64 decoding error."
		}
	}
	r.fail(id, r.Cert, sentence("the certificate file cannot be loaded: "+strings.TrimSuffix(err.Error(), ".")), words(text))
}
