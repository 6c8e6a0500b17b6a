package verify

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// shown tells lists of certificates and errors apart.
func shown(list []*certs.Certificate, err error) string {
	var text bytes.Buffer
	for _, c := range list {
		fmt.Fprintf(&text, "%x ", c.Raw[len(c.Raw)-4:])
	}
	return fmt.Sprint(text.String(), err)
}

func TestAMemoryReadsFilesAsWithoutOne(t *testing.T) {
	ca := testpki.NewCA(t)
	one := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	good, broken := one(ca.DER), one([]byte{0x30, 0x00})
	twenty := bytes.Repeat(good, 20)
	for name, text := range map[string][]byte{
		"one certificate": good, "none": []byte("nothing"), "an empty file": nil, "a broken one": broken,
		"a broken one after a good one": append(bytes.Clone(good), broken...), "twenty": twenty,
		"twenty and a broken one": append(bytes.Clone(twenty), broken...),
		"DER":                     ca.DER, "DER with PEM in it": testpki.NewCA(t, testpki.CN(string(good))).DER,
		"an X509 header": bytes.Replace(good, []byte("BEGIN CERT"), []byte("BEGIN X509 CERT"), 1),
	} {
		m := new(Memory)
		for round := range 2 {
			for _, limit := range []int{0, 1, 16, 20, 25} {
				if got, want := shown(m.list(text, limit)), shown(certs.ImportPEMList(text, limit)); got != want {
					t.Errorf("%s, limit %d, round %d: %s, want %s", name, limit, round, got, want)
				}
			}
			for _, m := range []*Memory{m, nil} {
				c, err := m.Import(text)
				d, err2 := certs.Import(text)
				if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(c.Raw, d.Raw) || err != nil && err.Error() != err2.Error() {
					t.Errorf("%s, round %d, as DER: %v, want %v", name, round, err, err2)
				}
			}
			c, err := m.first(text)
			d, err2 := certs.ImportPEM(text)
			if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(c.Raw, d.Raw) || err != nil && err.Error() != err2.Error() {
				t.Errorf("%s, round %d: %v, want %v", name, round, err, err2)
			}
		}
	}
}

// TestSignedHoldsForThatVeryCertificate makes sure that what is noted about one certificate and key says nothing about
// others.
func TestSignedHoldsForThatVeryCertificate(t *testing.T) {
	ca, other := testpki.NewCA(t), testpki.NewCA(t)
	forged := ca.Server("kvm1.example.com", testpki.BadSignature())
	at := time.Now()
	cert, trusted := imported(t, forged), imported(t, ca.Identity)
	verdict := func(m *Memory) Status { return verifyOwn(cert[0], trusted, at, m).Status }
	m := new(Memory)
	if s := verdict(m); s&SignatureFailure == 0 {
		t.Fatalf("a forged signature: %v", s)
	}
	m.Signed(forged.DER, imported(t, other.Identity)[0].RawPublicKeyInfo)
	m.Signed(ca.Server("kvm1.example.com").DER, trusted[0].RawPublicKeyInfo)
	if s := verdict(m); s&SignatureFailure == 0 {
		t.Errorf("after a note on another key and another certificate: %v", s)
	}
	m.Signed(forged.DER, trusted[0].RawPublicKeyInfo)
	if s := verdict(m); s != 0 {
		t.Errorf("the note is not used: %v", s)
	}
}

func TestAMemoryServesSeveralGoroutines(t *testing.T) {
	ca := testpki.NewCA(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.DER})
	leaf := imported(t, ca.Server("kvm1.example.com"))[0]
	m := new(Memory)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			list, err := m.list(text, 0)
			if err != nil || verifyOwn(leaf, list, time.Now(), m).Status != 0 {
				t.Error(err)
			}
		})
	}
	group.Wait()
}
