package verify

import "github.com/virt-pki/virt-pki/pkg/certs"

// HostMatch says whether a certificate is for a host, and through what.
type HostMatch struct {
	Match bool
	// Via is "san-dns", "san-ip", "cn", or "" without a match.
	Via string
	// Reason is one sentence: what matched, or why nothing did and what the certificate is for.
	Reason string
}

// Host judges as gnutls_x509_crt_check_hostname of Debian 12's GnuTLS 3.7.9 does with flags 0.
func Host(cert *certs.Certificate, host string) HostMatch { panic("unimplemented") }
