package verify

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"sort"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Sends reports whether a GnuTLS client sends its certificate to a server that names acceptable CAs, and if not why, as
// a finding about the certificate (find_x509_client_cert). A server that names none gets the certificate.
func Sends(chain []*certs.Certificate, acceptable []dn.Name) (finding.Finding, bool) {
	if len(chain) == 0 {
		return rule("no-client-identity").Finding("client", "The client has no certificate to send."), false
	}
	leaf := chain[0]
	subject := fmt.Sprintf("client certificate %s", nameOf(leaf))
	keep := func(format string, args ...any) (finding.Finding, bool) {
		f := rule("client-certificate-not-sent").Finding(subject, fmt.Sprintf("The client does not send its certificate: "+format, args...))
		f.LibvirtMessage = "Unable to verify TLS peer: No certificate was found."
		return f, false
	}
	// A keyUsage without any bit, or one that cannot be read, forbids nothing.
	if leaf.KeyUsage != nil && leaf.KeyUsage.Bits != 0 && leaf.KeyUsage.Bits&x509.KeyUsageDigitalSignature == 0 {
		return keep("its keyUsage has no digitalSignature, without which GnuTLS cannot sign the handshake.")
	}
	if len(acceptable) == 0 {
		return finding.Finding{}, true
	}
	if issuedBy(chain, acceptable) < len(acceptable) {
		return finding.Finding{}, true
	}
	issuer, err := chain[len(chain)-1].Issuer.Text()
	if err != nil {
		issuer = "an unreadable name"
	}
	return keep("its issuer %q is not among the %d CAs that the daemon names.", issuer, len(acceptable))
}

// issuedBy gives the place of the first acceptable name that issued a certificate of the chain, and behind the last without one.
func issuedBy(chain []*certs.Certificate, acceptable []dn.Name) int {
	for i, name := range acceptable {
		for _, c := range chain {
			if bytes.Equal(c.Issuer.DER(), name.DER()) {
				return i
			}
		}
	}
	return len(acceptable)
}

// Order gives the order in which a GnuTLS client with several identities looks for one to send (find_x509_client_cert): those
// whose issuer the server names first come first, and only among these counts the order of the files. The first of
// them that Sends, and whose key fits the server's algorithms, is sent (measured with libvirt 12.8).
func Order(chains [][]*certs.Certificate, acceptable []dn.Name) []int {
	out := make([]int, len(chains))
	for i := range out {
		out[i] = i
	}
	sort.SliceStable(out, func(i, j int) bool {
		return issuedBy(chains[out[i]], acceptable) < issuedBy(chains[out[j]], acceptable)
	})
	return out
}
