package certs

import (
	"net/netip"
	"time"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A Request asks for one identity. It says what is wanted, not how the extensions are written: that is the
// authority's business, who knows which libvirt versions must accept it.
type Request struct {
	Role    Role
	Subject dn.Name
	// Names are DNS names in ASCII (IDN already in punycode), Addresses IP addresses without zone: the subjectAltName.
	Names     []string
	Addresses []netip.Addr
	// NotBefore and NotAfter bound the validity. Zero: the authority's defaults.
	NotBefore, NotAfter time.Time
}
