package verify

import (
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestNothingIsSaidAboutAKeyThatIsNotKnown judges certificates alone: a missing key is a finding only where there should
// be one.
func TestNothingIsSaidAboutAKeyThatIsNotKnown(t *testing.T) {
	authority := testpki.NewCA(t)
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		for _, version := range Measured() {
			good := authority.Server("kvm1.example.com")
			bad := authority.Server("kvm1.example.com", testpki.Expired())
			if role == certs.Client {
				good, bad = authority.Client("admin"), authority.Client("admin", testpki.Expired())
			}
			files := Files{Role: role, CA: File{Path: "cacert.pem", Data: authority.CertPEM()},
				Cert: File{Path: "cert.pem", Data: good.CertPEM()}, KeyUnknown: true, At: time.Now(), Libvirt: version}
			l := files.Read()
			if len(l.Findings) != 0 || len(l.Chain) != 1 || l.Key != nil {
				t.Errorf("%v, libvirt %v: findings %+v, chain of %d", role, version, l.Findings, len(l.Chain))
			}
			files.Cert.Data = bad.CertPEM()
			if l := files.Read(); len(l.Findings) != 1 || l.Findings[0].Rule != "certificate-expired" {
				t.Errorf("%v, libvirt %v, expired: %+v", role, version, l.Findings)
			}
			files.KeyUnknown, files.Cert.Data = false, good.CertPEM()
			if l := files.Read(); len(l.Findings) == 0 {
				t.Errorf("%v, libvirt %v: no key, and nothing was said", role, version)
			}
		}
	}
}
