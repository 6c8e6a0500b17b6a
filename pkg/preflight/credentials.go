package preflight

import (
	"sync"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// credentials are what one end loaded.
type credentials struct {
	identities []verify.Loaded // those with a certificate and a key
	cas        []*certs.Certificate
	lists      []*crl.List
	// caFile and listFile are where cas and lists stand.
	caFile, listFile string
	// trust is by what the peer is judged by RFC 5280, made when it is first asked for.
	trust func() trust
	// keyless says of each identity that its key is there but of a kind that is unknown here.
	keyless []bool

	findings []finding.Finding
	// cause is what libvirt stops at, nil if it does not.
	cause *finding.Finding
}

// A wanted set of files is to be loaded by one end.
type wanted struct {
	search
	role          certs.Role
	crlConfigured bool
	noSanity      bool
	at            time.Time
	memory        *verify.Memory
}

// load reads and judges the files of one end in libvirt's order: what is there, the end's own check, the loading.
func (m Machine) load(w wanted) credentials {
	c := credentials{caFile: w.ca, listFile: w.crl}
	pairs := w.pairs
	role := w.role
	if len(pairs) == 0 {
		// A daemon with empty lists of files has no identity and is content.
		pairs, role = []uri.Pair{{}}, certs.Client
	}
	ca, list := m.file(w.ca), m.file(w.crl)
	seen := map[string]bool{}
	var all [][]finding.Finding
	for _, p := range pairs {
		l := verify.Files{Role: role, CA: ca, CRL: list, Cert: m.file(p.Cert), Key: m.key(p.Key), CRLConfigured: w.crlConfigured,
			NoSanity: w.noSanity, At: w.at, Libvirt: m.Libvirt, Memory: w.memory}.Read()
		if c.cas == nil {
			c.cas, c.lists = l.CAs, l.CRLs
		}
		if len(l.Chain) > 0 && !unusable(l.Findings) {
			c.identities = append(c.identities, l)
			c.keyless = append(c.keyless, l.Key == nil)
		}
		var fresh []finding.Finding
		for _, f := range append(append([]finding.Finding(nil), l.Findings...), l.Advice()...) {
			if role != w.role && f.Effect == finding.RefusesOwnCertificate {
				f.Effect = finding.RefusesToStart
			}
			if seen[caseOf(f)] {
				continue
			}
			seen[caseOf(f)] = true
			fresh = append(fresh, f)
		}
		all = append(all, fresh)
	}
	c.merge(all, m.manyIdentities())
	c.trust = sync.OnceValue(func() trust { return trustOf(c) })
	return c
}

// caseOf is what tells two findings apart.
func caseOf(f finding.Finding) string { return f.Rule + "\x00" + f.Subject + "\x00" + f.Message }

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

// merge puts the findings of several identities in libvirt's order and picks the cause: from 11.10 on libvirt first sees
// whether all files are there.
func (c *credentials) merge(all [][]finding.Finding, existenceFirst bool) {
	var first, then []finding.Finding
	for _, fs := range all {
		for _, f := range fs {
			if existenceFirst && existence[f.Rule] && f.Severity == finding.Error {
				first = append(first, f)
			} else {
				then = append(then, f)
			}
		}
	}
	c.findings = append(first, then...)
	for i, f := range c.findings {
		if f.Severity == finding.Error && (f.Effect == finding.RefusesToStart || f.Effect == finding.RefusesOwnCertificate) {
			c.cause = &c.findings[i]
			return
		}
	}
}

var existence = map[string]bool{"ca-file-missing": true, "certificate-file-missing": true, "key-file-missing": true, "half-identity": true}
