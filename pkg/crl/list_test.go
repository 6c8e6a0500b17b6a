package crl

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// numbered makes a list of a CA that is made at the given time and revokes the serials.
func numbered(t testing.TB, ca *testpki.CA, at time.Time, change func(*x509.RevocationList), serials ...int64) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: at, NextUpdate: at.AddDate(0, 1, 0)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: at, ReasonCode: 1})
	}
	if change != nil {
		change(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.X509(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParseReadsWhatStandsInTheList(t *testing.T) {
	ca := testpki.NewCA(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l, err := Parse(numbered(t, ca, at, nil, 1, 200, 65536))
	if err != nil {
		t.Fatal(err)
	}
	if name, err := l.Issuer.Text(); err != nil || name != "CN=Test CA" {
		t.Errorf("issuer %q, %v", name, err)
	}
	if !l.ThisUpdate.Equal(at) || !l.NextUpdate.Equal(at.AddDate(0, 1, 0)) || l.Number.Int64() != 7 || l.Len() != 3 || l.AuthorityKeyID == nil ||
		l.Delta || len(l.UnknownCritical) != 0 || l.String() != "CRL of CN=Test CA, number 7" {
		t.Errorf("%+v", l)
	}
	for _, c := range []struct {
		serial []byte
		found  bool
	}{{[]byte{1}, true}, {[]byte{0, 200}, true}, {[]byte{200}, false}, {[]byte{1, 0, 0}, true}, {[]byte{2}, false}, {nil, false}} {
		e, found, err := l.Lookup(c.serial)
		if err != nil || found != c.found {
			t.Errorf("serial %x: found %v, %v", c.serial, found, err)
		}
		if found && (e.ReasonText() != "keyCompromise" || !e.Revoked.Equal(at)) {
			t.Errorf("entry %+v", e)
		}
	}
	n := 0
	for e, err := range l.Entries() {
		if n++; err != nil || e.Reason != 1 {
			t.Errorf("entry %d: %+v, %v", n, e, err)
		}
	}
	if n != 3 {
		t.Errorf("%d entries", n)
	}
}

func TestTheSignatureIsTheIssuersOrNot(t *testing.T) {
	ca, twin := testpki.NewCA(t), testpki.NewCA(t)
	l, err := Parse(ca.CRL(1))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := certs.Import(ca.DER)
	b, _ := certs.Import(twin.DER)
	if !l.IssuedBy(a) || !l.IssuedBy(b) {
		t.Error("both have the issuer's name")
	}
	if err := l.CheckSignature(a); err != nil {
		t.Errorf("its own CA: %v", err)
	}
	if err := l.CheckSignature(b); err == nil || err.Error() != "the signature is wrong" {
		t.Errorf("another key: %v", err)
	}
}

func TestOfSeveralListsOfOneIssuerTheNewestCounts(t *testing.T) {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other"))
	old, new := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	parse := func(der []byte) *List {
		l, err := Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b, c, d := parse(numbered(t, ca, old, nil, 1)), parse(numbered(t, ca, new, nil, 2)), parse(numbered(t, other, old, nil, 3)), parse(numbered(t, ca, new, nil, 4))
	for _, x := range []struct {
		name     string
		in, want []*List
	}{
		{"old then new", []*List{a, b}, []*List{b}},
		{"new then old", []*List{b, a}, []*List{b}},
		{"the last on a tie", []*List{b, d, a}, []*List{d}},
		{"another issuer's stays", []*List{a, c, b}, []*List{b, c}},
		{"none", nil, nil},
	} {
		got := Effective(x.in)
		if len(got) != len(x.want) {
			t.Errorf("%s: %d lists", x.name, len(got))
			continue
		}
		for i := range got {
			if got[i] != x.want[i] {
				t.Errorf("%s: list %d is another", x.name, i)
			}
		}
	}
}

func TestParsePEM(t *testing.T) {
	ca := testpki.NewCA(t)
	l, err := Parse(ca.CRL(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, gnutls string
		text         []byte
		want         int
		message      string
	}{
		{"one", "", l.PEM(), 1, ""},
		{"two with text around", "", append(append([]byte("\xef\xbb\xbfthe list\r\n"), l.PEM()...), append([]byte("and\n"), l.PEM()...)...), 2, ""},
		{"indented, on one line and with another footer", "", []byte("  " + strings.ReplaceAll(strings.ReplaceAll(
			string(bytes.Replace(l.PEM(), []byte("END X509 CRL"), []byte("END SOMETHING"), 1)), "\n", "\n  "), "\n  M", " M")), 1, ""},
		{"more padding than there may be", "Base64 decoding error.", bytes.Replace(l.PEM(), []byte("\n-----END"), []byte("===\n-----END"), 1), 0,
			"X509 CRL block 1 is not valid PEM"},
		{"empty", "Base64 decoding error.", nil, 0, "no revocation list in PEM (-----BEGIN X509 CRL-----) in it: the file is empty"},
		{"DER", "Base64 decoding error.", l.Raw, 0, "no revocation list in PEM (-----BEGIN X509 CRL-----) in it: the file is DER, libvirt reads only PEM"},
		{"a certificate", "Base64 decoding error.", ca.CertPEM(), 0, "no revocation list in PEM (-----BEGIN X509 CRL-----) in it: the file holds a certificate"},
		{"cut off", "Base64 decoding error.", l.PEM()[:100], 0, "X509 CRL block 1 is not valid PEM"},
		{"garbage inside", "ASN1 parser: Error in TAG.", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{0, 0, 0}}), 0,
			"X509 CRL block 1: not a revocation list: it does not begin with a SEQUENCE"},
	} {
		lists, err := ParsePEM(c.text)
		if len(lists) != c.want {
			t.Errorf("%s: %d lists, %v", c.name, len(lists), err)
		}
		if c.message != "" && (err == nil || err.Error() != c.message || GnuTLSText(err) != c.gnutls) {
			t.Errorf("%s: %v (%s), want %s (%s)", c.name, err, GnuTLSText(err), c.message, c.gnutls)
		}
	}
}

func TestExtensionsThatGnuTLSOverlooks(t *testing.T) {
	ca := testpki.NewCA(t)
	l, err := Parse(numbered(t, ca, time.Now(), func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}},
			{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}))
	if err != nil || !l.Delta || len(l.UnknownCritical) != 1 || l.UnknownCritical[0] != "1.2.3.4" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestADamagedEntryIsAnError(t *testing.T) {
	l := &List{entries: []byte{0x30, 0x03, 0x02, 0x01, 0x01, 0x30, 0x7f}}
	if _, _, err := l.Lookup([]byte{9}); err == nil {
		t.Error("no error for a serial behind the damage")
	}
	for _, err := range l.Entries() {
		if err == nil {
			t.Error("no error while walking")
		}
	}
}

// Lengths with more octets than they need, and tags in the long form, are read by GnuTLS (measured with 3.7.9).
func TestEntriesOfOddFormsRevoke(t *testing.T) {
	const at = "170d3236303530313132303030305a"
	for name, entry := range map[string]string{
		"plain":                       "3012020107" + at,
		"a length of eight octets":    "30880000000000000012020107" + at,
		"a serial with a long length": "301a02880000000000000001" + "07" + at,
		"a tag in the long form":      "3f1012020107" + at,
		"a serial's, too":             "30131f020107" + at,
	} {
		l := &List{entries: unhex("3012020101" + at + entry)}
		if _, found, err := l.Lookup([]byte{7}); !found || err != nil || l.Len() != 2 {
			t.Errorf("%s: %v, %v, %d entries", name, found, err, l.Len())
		}
	}
}

func FuzzParse(f *testing.F) {
	ca := testpki.NewCA(f)
	f.Add(ca.CRL(1, ca.Client("a")))
	f.Add([]byte("0\x00"))
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := Parse(der)
		if err != nil {
			_, _ = ParsePEM(der)
			return
		}
		n := 0
		for range l.Entries() {
			n++
		}
		if l.Len() < n-1 {
			t.Errorf("%d entries, but Len %d", n, l.Len())
		}
		_, _, _ = l.Lookup([]byte{1})
		if again, err := ParsePEM(l.PEM()); err != nil || len(again) != 1 || !bytes.Equal(again[0].Raw, l.Raw) {
			t.Errorf("PEM and back: %v", err)
		}
	})
}

// million makes a list of a million entries, the wanted serial last.
func million(b *testing.B) (der, serial []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "Big CA"}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().AddDate(0, 1, 0)}
	base := new(big.Int).Lsh(big.NewInt(0x5a), 120)
	for i := range int64(1_000_000) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: new(big.Int).Add(base, big.NewInt(i)), RevocationTime: list.ThisUpdate})
	}
	if der, err = x509.CreateRevocationList(rand.Reader, list, issuer, key); err != nil {
		b.Fatal(err)
	}
	return der, new(big.Int).Add(base, big.NewInt(999_999)).Bytes()
}

func BenchmarkLookupInAMillion(b *testing.B) {
	der, serial := million(b)
	b.Run("Lookup", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, err := Parse(der)
			if err != nil {
				b.Fatal(err)
			}
			if _, found, err := l.Lookup(serial); !found || err != nil {
				b.Fatal(found, err)
			}
		}
	})
	b.Run("crypto-x509", func(b *testing.B) {
		want := new(big.Int).SetBytes(serial)
		b.ReportAllocs()
		for b.Loop() {
			l, err := x509.ParseRevocationList(der)
			if err != nil {
				b.Fatal(err)
			}
			found := false
			for _, e := range l.RevokedCertificateEntries {
				found = found || e.SerialNumber.Cmp(want) == 0
			}
			if !found {
				b.Fatal("not found")
			}
		}
	})
}
