package verify

import (
	"io/fs"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Several is one end's files with all its identities, in libvirt's order: up to 11.9 there is one.
type Several struct {
	// Files is what all identities have in common; its Cert and Key do not count.
	Files
	Identities []Pair
	// Advise adds what Loaded.Advice says of each.
	Advise bool
}

// Credentials are what one end loads.
type Credentials struct {
	// Identities are those that libvirt has: with a certificate and a key.
	Identities []Loaded
	CAs        []*certs.Certificate
	// CAText is what the CA file holds.
	CAText []byte
	CRLs   []*crl.List
	// Findings are in libvirt's order, each once; Cause is the one that it stops at, nil if it does not.
	Findings []finding.Finding
	Cause    *finding.Finding
}

// Read judges and loads them as Files.Read does, and in libvirt's order: from 11.10 on it first sees whether all files are
// there. Without an identity the end goes on, with the CA file alone (a daemon whose lists of files are empty).
func (s Several) Read() Credentials {
	c := Credentials{CAText: s.CA.Data}
	f := s.Files
	identities := s.Identities
	if len(identities) == 0 {
		identities, f.Role = []Pair{{Cert: noFile, Key: noFile}}, certs.Client
	}
	seen := map[string]bool{}
	var first, then []finding.Finding
	for _, p := range identities {
		f.Cert, f.Key = p.Cert, p.Key
		l := f.Read()
		if c.CAs == nil {
			c.CAs, c.CRLs = l.CAs, l.CRLs
		}
		if len(l.Chain) > 0 && !unusable(l.Findings) {
			c.Identities = append(c.Identities, l)
		}
		found := append([]finding.Finding(nil), l.Findings...)
		if s.Advise {
			found = append(found, l.Advice()...)
		}
		for _, g := range found {
			if f.Role != s.Role && g.Effect == finding.RefusesOwnCertificate {
				g.Effect = finding.RefusesToStart
			}
			key := g.Rule + "\x00" + g.Subject + "\x00" + g.Message
			if seen[key] {
				continue
			}
			seen[key] = true
			if f.Libvirt.severalIdentities() && existence[g.Rule] && g.Severity == finding.Error {
				first = append(first, g)
			} else {
				then = append(then, g)
			}
		}
	}
	c.Findings = append(first, then...)
	for i, g := range c.Findings {
		if g.Severity == finding.Error && (g.Effect == finding.RefusesToStart || g.Effect == finding.RefusesOwnCertificate) {
			c.Cause = &c.Findings[i]
			break
		}
	}
	return c
}

var noFile = File{Err: fs.ErrNotExist}

// unusable says that libvirt has no identity from these files.
func unusable(fs []finding.Finding) bool {
	for _, f := range fs {
		switch f.Rule {
		case "no-client-identity", "half-identity":
			return true
		}
	}
	return false
}

var existence = map[string]bool{"ca-file-missing": true, "certificate-file-missing": true, "key-file-missing": true, "half-identity": true}
