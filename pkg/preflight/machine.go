package preflight

import (
	"errors"
	"io/fs"
	"path"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Machine is one end: who runs there, with which libvirt, and how its files are read.
type Machine struct {
	// Root says that the daemon, or the client, is run by root.
	Root bool
	// Home, ConfigHome and RuntimeDir are $HOME, $XDG_CONFIG_HOME and $XDG_RUNTIME_DIR of whoever runs it.
	Home, ConfigHome, RuntimeDir string
	Libvirt                      verify.Version
	// GnuTLS is by what tls_priority is read; the zero value is that of Debian 12.
	GnuTLS priority.Options
	// SystemFile is the file that GnuTLS.System was read from; empty: there is none. BuildPriority is the tls_priority that
	// libvirt was built with; empty: NORMAL.
	SystemFile, BuildPriority string
	// ReadFile reads a file by the name that libvirt would use, with an error of package os.
	ReadFile func(name string) ([]byte, error)
	// Exists is access(F_OK); nil: a file exists that ReadFile does not find missing.
	Exists func(name string) bool
	// Real gives a directory's name without symbolic links; nil: there are none.
	Real func(dir string) string
	// Withheld gives what is known of a private key whose content is not at hand; nil, or a nil answer: ReadFile gives it.
	Withheld func(name string) *verify.WithheldKey
}

func (m Machine) exists(name string) bool {
	if m.Exists != nil {
		return m.Exists(name)
	}
	_, err := m.ReadFile(name)
	return err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP)
}

func (m Machine) file(name string) verify.File {
	if name == "" {
		return verify.File{Err: fs.ErrNotExist}
	}
	b, err := m.ReadFile(name)
	return verify.File{Path: name, Data: b, Err: err}
}

// key is file for a private key.
func (m Machine) key(name string) verify.File {
	if name != "" && m.Withheld != nil {
		if w := m.Withheld(name); w != nil {
			return verify.File{Path: name, Withheld: w}
		}
	}
	return m.file(name)
}

// manyIdentities is since when libvirt loads several identities and takes half a pair for an error.
func (m Machine) manyIdentities() bool { return m.Libvirt.AtLeast(11, 10) }

// A search is where one end looks for its files.
type search struct {
	ca, crl string
	pairs   []uri.Pair
}

// defaults gives the files that are used when none is configured (virNetTLSContextLocateCredentials, virNetTLSConfig*).
// dir is the client's pkipath; set says that there is one, even an empty one.
func (m Machine) defaults(role certs.Role, dir string, set bool) search {
	system := place{ca: "/etc/pki/CA", certs: "/etc/pki/libvirt", keys: "/etc/pki/libvirt/private", role: role}
	if set {
		flat := place{dir, dir, dir, role}
		return search{flat.ca + "/cacert.pem", flat.ca + "/cacrl.pem", m.identities(flat)}
	}
	user := m.Home + "/.pki/libvirt"
	home := place{user, user, user, role}
	s := search{system.ca + "/cacert.pem", system.ca + "/cacrl.pem", nil}
	if m.Root {
		s.pairs = m.identities(system)
		return s
	}
	if f := home.ca + "/cacert.pem"; m.exists(f) {
		s.ca = f
	}
	if f := home.ca + "/cacrl.pem"; m.exists(f) {
		s.crl = f
	}
	s.pairs = uri.Files{Identity: []uri.Pair{home.pair(), system.pair()}}.Identities(m.exists, uri.Version{Major: m.Libvirt.Major, Minor: m.Libvirt.Minor})
	return s
}

// identities lists the pairs of a place: from 11.10 on there are more than one.
func (m Machine) identities(p place) []uri.Pair {
	if !m.manyIdentities() {
		return []uri.Pair{p.pair()}
	}
	return p.pair().Several(m.exists)
}

// A place is a set of directories with libvirt's file names.
type place struct {
	ca, certs, keys string
	role            certs.Role
}

func (p place) pair() uri.Pair {
	name := p.role.String()
	return uri.Pair{Cert: p.certs + "/" + name + "cert.pem", Key: p.keys + "/" + name + "key.pem"}
}

// under reports whether name is dir or below it.
func under(name, dir string) bool {
	name, dir = path.Clean(name), path.Clean(dir)
	return name == dir || dir == "/" || len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/'
}
