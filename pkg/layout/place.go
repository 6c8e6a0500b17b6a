package layout

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// Kind is a kind of location.
type Kind string

// The kinds. Those of QEMU are named after their directory in /etc/pki.
const (
	// Libvirt is the system's: /etc/pki/CA, /etc/pki/libvirt and its private directory.
	Libvirt Kind = "libvirt"
	// User is a user's: ~/.pki/libvirt, flat.
	User Kind = "user"
	// PkiPath is a directory for the URI parameter pkipath, flat.
	PkiPath Kind = "pkipath"
	// QEMU is the default of all of QEMU's TLS services.
	QEMU          Kind = "qemu"
	QEMUVNC       Kind = "libvirt-vnc"
	QEMUSpice     Kind = "libvirt-spice"
	QEMUChardev   Kind = "libvirt-chardev"
	QEMUMigration Kind = "libvirt-migrate"
	QEMUNBD       Kind = "libvirt-nbd"
	QEMUBackup    Kind = "libvirt-backup"
)

// Kinds gives all kinds.
func Kinds() []Kind {
	return []Kind{Libvirt, User, PkiPath, QEMU, QEMUVNC, QEMUSpice, QEMUChardev, QEMUMigration, QEMUNBD, QEMUBackup}
}

// ParseKind reads a kind's name.
func ParseKind(s string) (Kind, error) {
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		if string(k) == s {
			return k, nil
		}
		names = append(names, string(k))
	}
	return "", fmt.Errorf("no layout %q: %s", s, strings.Join(names, ", "))
}

// ForQEMU reports whether QEMU reads the files, under its own user, and not libvirt.
func (k Kind) ForQEMU() bool {
	switch k {
	case Libvirt, User, PkiPath:
		return false
	}
	return true
}

// A Place is one location.
type Place struct {
	Kind Kind
	// Dir is the home directory of User and the directory itself of PkiPath; the others' are fixed.
	Dir string
	// Group is the group QEMU runs as ("kvm" on Debian, "qemu" on Fedora), which may read the keys in QEMU's directories.
	// Empty: only root may, and QEMU cannot.
	Group string
	// PrivateClientKey gives the system's client key mode 0600 instead of the 0644 that libvirt documents and its validator
	// demands, with which every local user can act as this client.
	PrivateClientKey bool
}

// Part is what a file holds.
type Part string

// The parts.
const (
	Directory Part = "directory"
	CACert    Part = "ca-certificate"
	CRL       Part = "crl"
	Cert      Part = "certificate"
	Key       Part = "key"
)

// An Item is a file or directory with the owner and mode that belong to it.
type Item struct {
	// Path is absolute, as seen on the machine it is for.
	Path string
	Part Part
	// Role is certs.Server or certs.Client for a certificate or key, else 0.
	Role certs.Role
	Mode fs.FileMode
	// System says that root owns it; else whoever uses it.
	System bool
	// Group is the name of the group that may read it; empty: the owner's.
	Group string
	// Shared says that others than libvirt have files there (a directory such as /etc/pki): it is created where it is
	// missing and else left alone.
	Shared bool
}

// Paths are the files of one role.
type Paths struct{ CA, CRL, Cert, Key string }

// Paths gives the names under which the role's files are looked for.
func (p Place) Paths(role certs.Role) Paths {
	side := "client"
	if role == certs.Server {
		side = "server"
	}
	switch {
	case p.Kind == Libvirt:
		return Paths{"/etc/pki/CA/cacert.pem", "/etc/pki/CA/cacrl.pem", "/etc/pki/libvirt/" + side + "cert.pem",
			"/etc/pki/libvirt/private/" + side + "key.pem"}
	case p.Kind.ForQEMU():
		d := p.directory()
		return Paths{d + "/ca-cert.pem", d + "/ca-crl.pem", d + "/" + side + "-cert.pem", d + "/" + side + "-key.pem"}
	}
	d := p.directory()
	return Paths{path.Join(d, "cacert.pem"), path.Join(d, "cacrl.pem"), path.Join(d, side+"cert.pem"), path.Join(d, side+"key.pem")}
}

// maxIndex is how many identities beside the one without an index libvirt and QEMU look for.
const maxIndex = 4

// Indexed gives the names of the identities beside the one of Paths, in the order in which they are looked for: by libvirt
// from 11.10 on (servercert0.pem) and by QEMU from 10.2 on (server-cert-0.pem). Whoever looks stops at the first index of
// which neither file is there.
func (p Place) Indexed(role certs.Role) []Paths {
	plain := p.Paths(role)
	out := make([]Paths, maxIndex)
	for i := range out {
		out[i] = plain
		index := strconv.Itoa(i)
		if p.Kind.ForQEMU() {
			index = "-" + index
		}
		out[i].Cert = strings.TrimSuffix(plain.Cert, ".pem") + index + ".pem"
		out[i].Key = strings.TrimSuffix(plain.Key, ".pem") + index + ".pem"
	}
	return out
}

// directory is where the place's files lie, or for Libvirt most of them.
func (p Place) directory() string {
	switch p.Kind {
	case Libvirt:
		return "/etc/pki/libvirt"
	case User:
		return path.Join(p.Dir, ".pki/libvirt")
	case PkiPath:
		return path.Clean(p.Dir)
	}
	return "/etc/pki/" + string(p.Kind)
}

// Items lists what belongs into the place for the roles (certs.Server, certs.Client), parents before children. The CRL is
// among them; it is the only one that may be absent.
func (p Place) Items(roles ...certs.Role) []Item {
	var items []Item
	dir := func(path string, mode fs.FileMode, shared bool) {
		items = append(items, Item{Path: path, Part: Directory, Mode: mode, System: p.system(), Shared: shared})
	}
	switch {
	case p.Kind == Libvirt:
		dir("/etc/pki", 0o755, true)
		dir("/etc/pki/CA", 0o755, true)
		dir("/etc/pki/libvirt", 0o755, false)
		dir("/etc/pki/libvirt/private", 0o755, false)
	case p.Kind == User:
		dir(path.Join(p.Dir, ".pki"), 0o700, true)
		dir(p.directory(), 0o700, false)
	case p.Kind == PkiPath:
		dir(p.directory(), 0o700, false)
	default:
		dir("/etc/pki", 0o755, true)
		dir(p.directory(), 0o755, false)
	}
	public := fs.FileMode(0o600)
	if p.system() {
		public = 0o644
	}
	trust := p.Paths(certs.Client)
	items = append(items, Item{Path: trust.CA, Part: CACert, Mode: public, System: p.system()},
		Item{Path: trust.CRL, Part: CRL, Mode: public, System: p.system()})
	for _, role := range roles {
		items = append(items, p.pair(role, p.Paths(role))...)
	}
	return items
}

// pair gives the key and the certificate of one identity.
func (p Place) pair(role certs.Role, f Paths) []Item {
	public, private := fs.FileMode(0o600), fs.FileMode(0o600)
	if p.system() {
		public = 0o644
	}
	key := Item{Path: f.Key, Part: Key, Role: role, Mode: private, System: p.system()}
	switch {
	case p.Kind.ForQEMU() && p.Group != "":
		key.Mode, key.Group = 0o640, p.Group
	case p.Kind == Libvirt && role == certs.Client && !p.PrivateClientKey:
		key.Mode = 0o644
	}
	return []Item{key, {Path: f.Cert, Part: Cert, Role: role, Mode: public, System: p.system()}}
}

// system reports whether root owns the place.
func (p Place) system() bool { return p.Kind == Libvirt || p.Kind.ForQEMU() }

// An Identity is a certificate with its key, in PEM, for one role.
type Identity struct {
	Role      certs.Role
	Cert, Key []byte
}

// Contents are what goes into a place.
type Contents struct {
	CA         []byte // one or more certificates
	CRL        []byte // nil: none
	Identities []Identity
}

// A File is an item with its content; directories have none.
type File struct {
	Item
	Data []byte
}

// Fill joins the place's items with contents, in the order in which they are to be written: directories, CA, CRL, and
// each key before its certificate, so that a reader never finds a certificate without its key.
func (p Place) Fill(c Contents) []File {
	roles := make([]certs.Role, len(c.Identities))
	for i, id := range c.Identities {
		roles[i] = id.Role
	}
	var out []File
	for _, item := range p.Items(roles...) {
		f := File{Item: item}
		switch item.Part {
		case CACert:
			f.Data = c.CA
		case CRL:
			if c.CRL == nil {
				continue
			}
			f.Data = c.CRL
		case Cert, Key:
			for _, id := range c.Identities {
				if id.Role == item.Role && item.Part == Cert {
					f.Data = id.Cert
				} else if id.Role == item.Role {
					f.Data = id.Key
				}
			}
			if f.Data == nil { // a CSR's key lies elsewhere
				continue
			}
		}
		out = append(out, f)
	}
	return out
}
