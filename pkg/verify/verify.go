package verify

import (
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Own is one end's own credentials, to be judged as libvirt does before any traffic (virNetTLSContextSanityCheckCredentials,
// from 11.6 on virNetTLSCertSanityCheck): at daemon start, client connect and server-update-tls.
type Own struct {
	// Role is certs.Server or certs.Client: the end that checks itself.
	Role certs.Role
	// CertPath and CAPath are the names used in libvirt's messages.
	CertPath, CAPath string
	// Cert is the first certificate of the file; nil: there is none, nothing of the leaf is checked.
	Cert *certs.Certificate
	// CAs are all certificates of the CA file, in file order; only the first 16 are looked at, as libvirt does.
	CAs     []*certs.Certificate
	At      time.Time
	Libvirt Version
}

// Check gives the findings in libvirt's order. libvirt stops at the first one of severity error and prints its
// LibvirtMessage; Check goes on where it can, so that one run shows all that is wrong.
func (o Own) Check() []finding.Finding { panic("unimplemented") }

// Session is the judgement of one end about the certificate of the other during a connection
// (virNetTLSContextCheckCertificate).
type Session struct {
	// Local is the role of the end that judges: certs.Client judges a server.
	Local certs.Role
	// Peer is what the other end sent, leaf first; empty: it sent no certificate.
	Peer []*certs.Certificate
	CAs  []*certs.Certificate
	// CRLs are DER revocation lists; libvirt verifies neither their signature nor their dates.
	CRLs [][]byte
	// Host is the name in the client's URI; not used on the server.
	Host string
	// Allowed is tls_allowed_dn_list; nil: none. Not used on the client.
	Allowed *dnmatch.List
	At      time.Time
	Libvirt Version
}

// Check gives the findings in libvirt's order; the first of severity error is the one libvirt names.
func (s Session) Check() []finding.Finding { panic("unimplemented") }

// Rules gives the rules of this package.
func Rules() []finding.Rule { panic("unimplemented") }
