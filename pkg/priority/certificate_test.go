package priority_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

var profileColumns = []priority.Profile{priority.ProfileVeryWeak, priority.ProfileLow, priority.ProfileLegacy, priority.ProfileMedium,
	priority.ProfileHigh, priority.ProfileUltra, priority.ProfileFuture, priority.ProfileSuiteB128, priority.ProfileSuiteB192}

// profileCases: which profiles accept a self-signed certificate, in the order of profileColumns. Recorded from certtool
// --verify --verify-profile (GnuTLS 3.7.9, Debian 12).
var profileCases = []struct {
	kind    priority.CertificateKind
	accepts string
}{
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 768, Hash: 256}, "y--------"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 1024, Hash: 256}, "yy-------"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 2048, Hash: 256}, "yyyy-----"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 3072, Hash: 256}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 4096, Hash: 384}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 8192, Hash: 256}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyRSA, Bits: 8192, Hash: 512}, "yyyyyy---"},
	{priority.CertificateKind{Key: priority.KeyECDSAP256, Hash: 160}, "yy-------"},
	{priority.CertificateKind{Key: priority.KeyECDSAP256, Hash: 256}, "yyyyy--y-"},
	{priority.CertificateKind{Key: priority.KeyECDSAP256, Hash: 384}, "yyyyy--y-"},
	{priority.CertificateKind{Key: priority.KeyECDSAP256, Hash: 512}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyECDSAP384, Hash: 256}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyECDSAP384, Hash: 384}, "yyyyyy-yy"},
	{priority.CertificateKind{Key: priority.KeyECDSAP384, Hash: 512}, "yyyyyy---"},
	{priority.CertificateKind{Key: priority.KeyECDSAP521, Hash: 256}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyECDSAP521, Hash: 384}, "yyyyyy---"},
	{priority.CertificateKind{Key: priority.KeyECDSAP521, Hash: 512}, "yyyyyyy--"},
	{priority.CertificateKind{Key: priority.KeyEd25519, Hash: 512}, "yyyyy----"},
	{priority.CertificateKind{Key: priority.KeyEd448, Hash: 512}, "yyyyyy---"},
}

func TestProfilesAcceptAndRefuseAsGnuTLSDoes(t *testing.T) {
	for _, c := range profileCases {
		got := ""
		for _, p := range profileColumns {
			if p.Refuses(c.kind) == "" {
				got += "y"
			} else {
				got += "-"
			}
		}
		if got != c.accepts {
			t.Errorf("%s with a hash of %d bits: got %s, want %s", c.kind, c.kind.Hash, got, c.accepts)
		}
	}
	if why := priority.ProfileNone.Refuses(priority.CertificateKind{Bits: 512}); why != "" {
		t.Errorf("no profile refuses: %s", why)
	}
}

func TestCerttoolAgreesWithTheProfiles(t *testing.T) {
	peer.Need(t, "certtool")
	names := map[priority.Profile]string{priority.ProfileVeryWeak: "very weak"}
	for _, c := range profileCases {
		file := selfSigned(t, c.kind)
		if file == "" {
			continue
		}
		for i, p := range profileColumns {
			name := names[p]
			if name == "" {
				name = strings.ToLower(p.String())
			}
			out, _ := exec.Command("certtool", "--verify", "--load-ca-certificate", file, "--infile", file, "--verify-profile", name).Output()
			if accepted := strings.Contains(string(out), "output: Verified"); accepted != (c.accepts[i] == 'y') {
				t.Errorf("%s with a hash of %d bits, profile %s: certtool accepts: %v", c.kind, c.kind.Hash, p, accepted)
			}
		}
	}
}

// selfSigned writes a certificate of the kind, and gives "" for one that Go does not make or not in good time.
func selfSigned(t *testing.T, k priority.CertificateKind) string {
	t.Helper()
	var key crypto.Signer
	var err error
	algorithm := map[int]x509.SignatureAlgorithm{256: x509.ECDSAWithSHA256, 384: x509.ECDSAWithSHA384, 512: x509.ECDSAWithSHA512}[k.Hash]
	switch k.Key {
	case priority.KeyRSA:
		if k.Bits < 2048 || k.Bits > 4096 {
			return ""
		}
		algorithm = map[int]x509.SignatureAlgorithm{256: x509.SHA256WithRSA, 384: x509.SHA384WithRSA}[k.Hash]
		key, err = rsa.GenerateKey(rand.Reader, k.Bits)
	case priority.KeyECDSAP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case priority.KeyECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case priority.KeyECDSAP521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case priority.KeyEd25519:
		algorithm = x509.PureEd25519
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return ""
	}
	if algorithm == 0 {
		return "" // SHA-1
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		SignatureAlgorithm: algorithm, IsCA: true, BasicConstraintsValid: true}
	template.Subject.CommonName = "x"
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
