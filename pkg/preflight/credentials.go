package preflight

import (
	"sync"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
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
	all := verify.Several{Files: verify.Files{Role: w.role, CA: m.file(w.ca), CRL: m.file(w.crl), CRLConfigured: w.crlConfigured,
		NoSanity: w.noSanity, At: w.at, Libvirt: m.Libvirt, Memory: w.memory}, Advise: true}
	for _, p := range w.pairs {
		all.Identities = append(all.Identities, verify.Pair{Cert: m.file(p.Cert), Key: m.key(p.Key)})
	}
	got := all.Read()
	c := credentials{identities: got.Identities, cas: got.CAs, lists: got.CRLs, caFile: w.ca, listFile: w.crl,
		findings: got.Findings, cause: got.Cause}
	for _, l := range got.Identities {
		c.keyless = append(c.keyless, l.Key == nil)
	}
	c.trust = sync.OnceValue(func() trust { return trustOf(c) })
	return c
}

// caseOf is what tells two findings apart.
func caseOf(f finding.Finding) string { return f.Rule + "\x00" + f.Subject + "\x00" + f.Message }
