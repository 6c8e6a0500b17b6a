package crl

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestMemoryStaysAFewTimesTheList counts all that is allocated for a list of 50,000 entries, and for hostile ones, garbage
// included.
func TestMemoryStaysAFewTimesTheList(t *testing.T) {
	ca := testpki.NewCA(t)
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}
	for i := range int64(50_000) {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(1<<40 + i), RevocationTime: noon, ReasonCode: 1})
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, ca.X509(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	issuer := imported(t, ca)
	list, err := Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		size  int
		times float64
		do    func()
	}{
		{"reading DER", len(der), 1, func() { _, _ = Parse(der) }},
		{"reading PEM", len(text), 4, func() { _, _ = ParsePEM(text) }},
		{"looking a serial up", len(der), 0.1, func() { _, _, _ = list.Lookup([]byte{1}) }},
		{"walking over the entries", len(der), 1, func() {
			for range list.Entries() {
			}
		}},
		{"judging it", len(der), 6, func() { _ = list.Validate(issuer, noon) }},
		{"nothing but beginnings", 1 << 20, 4, func() { _, _ = ParsePEM(bytes.Repeat([]byte("-----BEGIN X509 CRL-----\n"), (1<<20)/25)) }},
		{"a thousand empty lists", 1 << 20, 4, func() {
			_, _ = ParsePEM(bytes.Repeat([]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"), (1<<20)/52))
		}},
		{"DER that promises much", 1 << 20, 4, func() {
			_, _ = Parse(append([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1<<20)...))
		}},
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
