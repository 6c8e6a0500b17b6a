package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"runtime"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestMemoryStaysAFewTimesTheCertificate counts all that is allocated for large and hostile certificates, garbage included.
func TestMemoryStaysAFewTimesTheCertificate(t *testing.T) {
	ca := testpki.NewCA(t)
	names := ca.Server("x", testpki.Change(func(c *x509.Certificate) {
		for i := range 20_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("a%d.example.com", i))
		}
	})).DER
	var many []testpki.Option
	for i := range 3000 {
		many = append(many, testpki.Extension(asn1.ObjectIdentifier{1, 2, 3, i}, false, []byte{5, 0}))
	}
	extensions := ca.Server("x", many...).DER
	one := ca.CertPEM()
	for _, c := range []struct {
		name  string
		size  int
		times float64
		do    func()
	}{
		{"20,000 names", len(names), 20, func() { _, _ = Import(names) }},
		{"3,000 extensions", len(extensions), 40, func() { _, _ = Import(extensions) }},
		{"a file of 1,000 certificates", 1000 * len(one), 20, func() { _, _ = ImportPEMList(bytes.Repeat(one, 1000), 0) }},
		{"the first of 1,000", 1000 * len(one), 2, func() { _, _ = ImportPEM(bytes.Repeat(one, 1000)) }},
		{"1,000 certificates before one footer", 1000 * len(one), 20, func() {
			open := bytes.ReplaceAll(one, []byte("-----END CERTIFICATE-----"), []byte("-"))
			_, _ = ImportPEMList(append(bytes.Repeat(open, 1000), "-----END "...), 0)
		}},
		{"nothing but beginnings", 1 << 20, 6, func() { _, _ = ImportPEMList(bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), (1<<20)/28), 0) }},
		{"DER that promises much", 1 << 20, 6, func() { _, _ = Import(append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1<<20)...)) }},
		{"1 MiB that is no certificate", 1 << 20, 6, func() { _, _ = ImportPEM(bytes.Repeat([]byte{'-'}, 1<<20)) }},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c.do()
		runtime.ReadMemStats(&after)
		if n := float64(after.TotalAlloc-before.TotalAlloc) / float64(c.size); n > c.times {
			t.Errorf("%s: %.2f times its size, at most %.1f were expected", c.name, n, c.times)
		} else {
			t.Logf("%s: %.2f", c.name, n)
		}
	}
}

// A block of the other label stands in for each one that is of no use, and is read once.
func TestABlockThatStandsInForManyIsReadOnce(t *testing.T) {
	const n = 2000
	text := append(bytes.Repeat([]byte("-----BEGIN CERTIFICATE-----\n"), n), pem.EncodeToMemory(&pem.Block{Type: "X509 CERTIFICATE", Bytes: testpki.NewCA(t).X509().Raw})...)
	list, err := ImportPEMList(text, 0)
	if err != nil || len(list) != n+1 {
		t.Fatalf("%d certificates, %v", len(list), err)
	}
	if list[0] != list[n] {
		t.Error("it was read again")
	}
}
