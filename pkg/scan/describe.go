package scan

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Describe gives what an inventory would say of a certificate that was found, whoever has signed it. A CA has no role.
func Describe(f Certificate) inventory.Entry {
	c := f.Cert
	subject, err := c.Subject.Text()
	if err != nil {
		subject = "an unprintable name"
	}
	e := inventory.Entry{Host: subject, Subject: subject, NotBefore: c.NotBefore, NotAfter: c.NotAfter, State: inventory.Foreign}
	e.Serial = c.SerialHex()
	if std, err := c.X509(); err == nil {
		e.CommonName, e.Names = std.Subject.CommonName, std.DNSNames
		for _, ip := range std.IPAddresses {
			if addr, ok := netip.AddrFromSlice(ip); ok {
				e.Addresses = append(e.Addresses, addr.Unmap())
			}
		}
	}
	if isCA(c) {
		return e
	}
	if e.CommonName != "" {
		e.Host = e.CommonName
	}
	if eku := c.ExtKeyUsage; eku != nil {
		server, client := slices.Contains(eku.Purposes, serverAuth), slices.Contains(eku.Purposes, clientAuth)
		switch {
		case server && client:
			e.Role = certs.Peer
		case server:
			e.Role = certs.Server
		case client:
			e.Role = certs.Client
		}
	}
	if len(f.Files) > 0 {
		e.Layout = layoutOf(f.Files[0])
	}
	return e
}

func isCA(c *certs.Certificate) bool {
	return c.BasicConstraints != nil && c.BasicConstraints.CA
}

// The purposes of RFC 5280, 4.2.1.12.
const (
	serverAuth = "1.3.6.1.5.5.7.3.1"
	clientAuth = "1.3.6.1.5.5.7.3.2"
)

// layoutOf gives the layout that a file lies in, "" where that cannot be told.
func layoutOf(file string) string {
	dir := "/" + strings.TrimPrefix(path.Dir(file), "/")
	for _, k := range layout.Kinds() {
		switch {
		case k == layout.User && strings.HasSuffix(dir, "/.pki/libvirt"):
			return string(k)
		case k != layout.User && k != layout.PkiPath && strings.HasSuffix(dir, "/pki/"+string(k)):
			return string(k)
		}
	}
	return ""
}
