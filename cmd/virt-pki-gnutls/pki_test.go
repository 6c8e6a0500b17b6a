package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePKI makes an authority with an RSA server and an ECDSA client and writes it in the flat layout.
func writePKI(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	caKey := newECDSA(t)
	ca := template("ca")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	write(t, filepath.Join(dir, "cacert.pem"), "CERTIFICATE", issue(t, ca, ca, caKey.Public(), caKey))
	serverKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for role, key := range map[string]crypto.Signer{"server": serverKey, "client": newECDSA(t)} {
		write(t, filepath.Join(dir, role+"cert.pem"), "CERTIFICATE", issue(t, template(role), ca, key.Public(), caKey))
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, role+"key.pem"), "PRIVATE KEY", der)
	}
	return dir
}

func newECDSA(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
}

func issue(t *testing.T, leaf, ca *x509.Certificate, public crypto.PublicKey, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func write(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
