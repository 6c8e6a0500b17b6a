package testpki

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func verify(i *Identity, ca *CA, usage x509.ExtKeyUsage) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.X509())
	_, err := i.X509().Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestGoodIdentitiesAreAccepted(t *testing.T) {
	for _, kind := range []string{RSA2048, ECDSAP256, ECDSAP384, ECDSAP521, Ed25519} {
		ca := NewCA(t, Key(kind))
		if err := verify(ca.Server("kvm1.example.com", Key(kind)), ca, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("%s server: %v", kind, err)
		}
		if err := verify(ca.Client("admin", Key(kind)), ca, x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("%s client: %v", kind, err)
		}
	}
}

func TestDefectsAreInTheCertificate(t *testing.T) {
	ca := NewCA(t)
	other := NewCA(t)
	for _, tt := range []struct {
		name   string
		option Option
	}{
		{"expired", Expired()},
		{"not yet valid", NotYetValid()},
		{"bad signature", BadSignature()},
		{"forged", ForgedBy(other.Key)},
		{"wrong purpose", Purpose(true, OIDClientAuth)},
	} {
		if err := verify(ca.Server("h", tt.option), ca, x509.ExtKeyUsageServerAuth); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
	v1 := ca.Server("h", Version1()).X509()
	if v1.Version != 1 || len(v1.Extensions) != 0 {
		t.Errorf("version 1 certificate has version %d and %d extensions", v1.Version, len(v1.Extensions))
	}
	if err := v1.CheckSignatureFrom(ca.X509()); err != nil {
		t.Errorf("version 1 certificate: %v", err)
	}
	if got := string(ca.Server("h", EmptyRDN()).X509().RawSubject); got != "\x30\x02\x31\x00" {
		t.Errorf("empty RDN: subject % x", got)
	}
	usage := ca.Server("h", KeyUsage(false, x509.KeyUsageDigitalSignature)).X509()
	for _, e := range usage.Extensions {
		if e.Id.Equal(OIDKeyUsage) && e.Critical {
			t.Error("keyUsage is critical, should not be")
		}
	}
	if usage.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("keyUsage %b", usage.KeyUsage)
	}
}

func TestFlatDirectoryHoldsThePairs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	ca := NewCA(t)
	WriteFlat(t, dir, ca.Intermediate("Sub CA"), ca.Server("h"), ca.Client("c"))
	for name, mode := range map[string]os.FileMode{"cacert.pem": 0o644, "servercert.pem": 0o644, "serverkey.pem": 0o600,
		"clientcert.pem": 0o644, "clientkey.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
	}
}

func TestRevocationListNamesTheRevoked(t *testing.T) {
	ca := NewCA(t)
	gone := ca.Client("gone")
	list, err := x509.ParseRevocationList(ca.CRL(7, gone))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(ca.X509()); err != nil {
		t.Error(err)
	}
	if len(list.RevokedCertificateEntries) != 1 ||
		list.RevokedCertificateEntries[0].SerialNumber.Cmp(gone.X509().SerialNumber) != 0 {
		t.Errorf("entries %v", list.RevokedCertificateEntries)
	}
	if list.NextUpdate.Before(time.Now()) {
		t.Error("list has ended")
	}
}
