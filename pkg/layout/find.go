package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A Search says who looks for credentials, and how.
type Search struct {
	Role certs.Role // certs.Server or certs.Client
	// Root says that the effective user is root: only the system's places are looked at.
	Root bool
	// Home is the user's home directory, absolute.
	Home string
	// PkiPath is the URI's pkipath; when set, everything comes from there, whether or not it exists.
	PkiPath string
	// StrictPairs follows libvirt 11.10 and later, where half a pair is an error (measured on 12.8); before, a user's
	// half pair was passed over for the system's.
	StrictPairs bool
}

// Found are the files that libvirt then uses.
type Found struct {
	// Paths are the names as libvirt would print them. CRL is empty when there is none: it is optional. Cert and Key are
	// empty when a client goes on without a certificate, which is for the server to refuse.
	Paths
	// MissingCA, MissingCert and MissingKey say that libvirt looks for the file and will not find it: for the CA fatal
	// to both, for the others fatal to a server.
	MissingCA, MissingCert, MissingKey bool
}

// A HalfPairError says that of certificate and key only one exists, which libvirt from 11.10 on refuses. Its text is
// libvirt's.
type HalfPairError struct {
	Missing, Present string
	// MissingCert says that the certificate is missing; else it is the key.
	MissingCert bool
}

// Error gives libvirt's text.
func (e *HalfPairError) Error() string {
	missing, present := "Key", "certificate"
	if e.MissingCert {
		missing, present = "Certificate", "key"
	}
	return fmt.Sprintf("%s '%s' does not exist, but %s '%s' does: No such file or directory", missing, e.Missing, present, e.Present)
}

// Hints gives the remedy.
func (e *HalfPairError) Hints() []string {
	return []string{fmt.Sprintf("put %s beside %s, or take that away", e.Missing, e.Present)}
}

// Find gives the files that a libvirt of that user would use, below the root that fsys is (virNetTLSContextLocateCredentials,
// from 11.10 on virNetTLSConfig*). CA and CRL are looked for each on its own, certificate and key as a pair. Only
// un-indexed names are looked at. A name exists when access(2) with F_OK finds it: a file that cannot be read is not
// passed over, a dangling link is.
//
// Errors are a *HalfPairError, or say that something could not be looked at.
func Find(fsys fs.FS, s Search) (Found, error) {
	if s.Role != certs.Server && s.Role != certs.Client {
		return Found{}, fmt.Errorf("looking for the credentials of a %v: only a server and a client look for them", s.Role)
	}
	l := look{fsys: fsys}
	home := Place{Kind: User, Dir: s.Home}.Paths(s.Role)
	system := Place{Kind: Libvirt}.Paths(s.Role)
	var f Found
	pairFrom := system
	switch {
	case s.PkiPath != "":
		f.Paths = Place{Kind: PkiPath, Dir: s.PkiPath}.Paths(s.Role)
		pairFrom = f.Paths
	case s.Root || s.Home == "":
		f.Paths = system
	default:
		f.Paths = system
		if l.exists(home.CA) {
			f.CA = home.CA
		}
		if l.exists(home.CRL) {
			f.CRL = home.CRL
		}
		cert, key := l.exists(home.Cert), l.exists(home.Key)
		if cert != key && s.StrictPairs && l.err == nil {
			return Found{}, half(home, cert)
		}
		if cert && key {
			pairFrom = home
		}
	}
	f.Cert, f.Key = pairFrom.Cert, pairFrom.Key
	f.MissingCA, f.MissingCert, f.MissingKey = !l.exists(f.CA), !l.exists(f.Cert), !l.exists(f.Key)
	if !l.exists(f.CRL) {
		f.CRL = ""
	}
	if l.err != nil {
		return Found{}, l.err
	}
	if f.MissingCert != f.MissingKey && s.StrictPairs && !(s.Role == certs.Server && f.MissingCert) {
		// A server's key without its certificate is said to be a missing certificate, as if there were no key.
		return Found{}, half(pairFrom, !f.MissingCert)
	}
	if s.Role == certs.Client && (f.MissingCert || f.MissingKey) {
		f.Cert, f.Key = "", ""
	}
	return f, nil
}

func half(p Paths, cert bool) error {
	if cert {
		return &HalfPairError{Missing: p.Key, Present: p.Cert}
	}
	return &HalfPairError{Missing: p.Cert, Present: p.Key, MissingCert: true}
}

// look remembers the first thing that could not be looked at.
type look struct {
	fsys fs.FS
	err  error
}

// exists follows links below the root. What cannot be looked at is neither there nor not.
func (l *look) exists(name string) bool {
	_, err := fs.Stat(l.fsys, below(path.Clean(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && l.err == nil {
		l.err = fmt.Errorf("looking for %q: %w", name, cause(err))
	}
	return err == nil
}
