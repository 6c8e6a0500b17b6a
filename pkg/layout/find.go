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
	// StrictPairs follows libvirt 11.10 and later, where half a pair is an error and further identities are looked for under
	// names with an index (measured on 12.8); before, a user's half pair was passed over for the system's, and there was one
	// identity.
	StrictPairs bool
}

// Found are the files that libvirt then uses.
type Found struct {
	// Paths are the names as libvirt would print them. CRL is empty when there is none: it is optional. Cert and Key are
	// empty when a client goes on without a certificate, which is for the server to refuse.
	Paths
	// More are the further identities, in the order of preference; CA and CRL are those of Paths. Where the names without an
	// index are not there, Paths has the first with one.
	More []Paths
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
// from 11.10 on virNetTLSConfig*). CA and CRL are looked for each on its own, certificate and key as a pair. A name exists when access(2) with F_OK finds it: a file that cannot be read is not
// passed over, a dangling link is.
//
// Errors are a *HalfPairError, or say that something could not be looked at.
func Find(fsys fs.FS, s Search) (Found, error) {
	if s.Role != certs.Server && s.Role != certs.Client {
		return Found{}, fmt.Errorf("looking for the credentials of a %v: only a server and a client look for them", s.Role)
	}
	l := look{fsys: fsys}
	homePlace, systemPlace := Place{Kind: User, Dir: s.Home}, Place{Kind: Libvirt}
	home, system := homePlace.Paths(s.Role), systemPlace.Paths(s.Role)
	var f Found
	var places []Place // where the pair is looked for
	switch {
	case s.PkiPath != "":
		flat := Place{Kind: PkiPath, Dir: s.PkiPath}
		f.Paths = flat.Paths(s.Role)
		places = []Place{flat}
	case s.Root || s.Home == "":
		f.Paths = system
		places = []Place{systemPlace}
	default:
		f.Paths = system
		if l.exists(home.CA) {
			f.CA = home.CA
		}
		if l.exists(home.CRL) {
			f.CRL = home.CRL
		}
		places = []Place{homePlace, systemPlace}
	}
	var err error
	if s.StrictPairs {
		err = f.several(&l, places, s.Role)
	} else {
		f.pair(&l, places, s.Role)
	}
	f.MissingCA, f.MissingCert, f.MissingKey = !l.exists(f.CA), !l.exists(f.Cert), !l.exists(f.Key)
	if !l.exists(f.CRL) {
		f.CRL = ""
	}
	for i := range f.More {
		f.More[i].CA, f.More[i].CRL = f.CA, f.CRL
	}
	switch {
	case l.err != nil:
		return Found{}, l.err
	case err != nil:
		return Found{}, err
	}
	if s.Role == certs.Client && (f.MissingCert || f.MissingKey) {
		f.Cert, f.Key = "", ""
	}
	return f, nil
}

// pair picks the one pair of before 11.10: the first place that has both files, or else the last.
func (f *Found) pair(l *look, places []Place, role certs.Role) {
	for i, p := range places {
		paths := p.Paths(role)
		if i == len(places)-1 || l.exists(paths.Cert) && l.exists(paths.Key) {
			f.Cert, f.Key = paths.Cert, paths.Key
			return
		}
	}
}

// several finds the identities of 11.10 and later: all of the first place that has any.
func (f *Found) several(l *look, places []Place, role certs.Role) error {
	for i, p := range places {
		last := i == len(places)-1
		plain := p.Paths(role)
		var list []Paths
		cert, key := l.exists(plain.Cert), l.exists(plain.Key)
		if cert && key {
			list = append(list, plain)
		}
		for _, more := range p.Indexed(role) {
			c, k := l.exists(more.Cert), l.exists(more.Key)
			if !c && !k {
				break
			}
			if c != k && cert == key {
				return half(more, c)
			}
			list = append(list, more)
		}
		switch {
		case cert != key && role == certs.Server && key && last && len(list) == 0:
			// A server's key without its certificate is said to be a missing certificate, as if there were no key.
		case cert != key:
			return half(plain, cert)
		}
		if len(list) > 0 {
			f.Cert, f.Key, f.More = list[0].Cert, list[0].Key, list[1:]
			return nil
		}
		f.Cert, f.Key = plain.Cert, plain.Key
	}
	return nil
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
