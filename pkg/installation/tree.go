package installation

import (
	"io/fs"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// placesIn lists the layouts of a tree.
func placesIn(source fs.FS) []layout.Place {
	return slices.DeleteFunc(layout.Places(source), func(p layout.Place) bool {
		_, err := fs.Stat(source, layout.Below(p.Paths(certs.Client).CA))
		return err != nil
	})
}

// filesOf reads a layout's files from the tree, and says what is wrong with them.
func filesOf(source fs.FS, on *ground, place layout.Place) ([]layout.File, []finding.Finding, error) {
	read := func(name string) verify.File {
		b, err := fs.ReadFile(source, layout.Below(name))
		return verify.File{Path: name, Data: b, Err: err}
	}
	c := layout.Contents{}
	trust := place.Paths(certs.Client)
	ca, list := read(trust.CA), read(trust.CRL)
	for _, f := range []verify.File{ca, list} {
		if f.Err != nil && !f.Missing() {
			return nil, nil, f.Err
		}
	}
	c.CA = ca.Data
	if !list.Missing() {
		c.CRL = list.Data
	}
	var faults []finding.Finding
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		paths := place.Paths(role)
		cert, key := read(paths.Cert), read(paths.Key)
		if cert.Missing() && key.Missing() {
			continue
		}
		for _, f := range []verify.File{cert, key} {
			if f.Err != nil && !f.Missing() {
				return nil, nil, f.Err
			}
		}
		own := key
		if key.Missing() {
			// The certificate for a request comes without its key, which is on the machine.
			d, name, err := on.at(paths.Key)
			if err != nil {
				return nil, nil, err
			}
			if b, err := d.ReadFile(name); err == nil {
				own = verify.File{Path: paths.Key, Data: b}
			}
		}
		loaded := verify.Files{Role: role, CA: ca, CRL: list, Cert: cert, Key: own, KeyUnknown: own.Missing(), NoSanity: true,
			At: time.Time{}, Libvirt: verify.V12_8}.Read()
		for _, f := range loaded.Findings {
			if f.Severity == finding.Error {
				faults = append(faults, f)
			}
		}
		if role == certs.Client && !key.Missing() {
			if info, err := fs.Stat(source, layout.Below(paths.Key)); err == nil && info.Mode().Perm()&0o044 == 0 {
				place.PrivateClientKey = true
			}
		}
		c.Identities = append(c.Identities, layout.Identity{Role: role, Cert: cert.Data, Key: key.Data})
	}
	return place.Fill(c), faults, nil
}
