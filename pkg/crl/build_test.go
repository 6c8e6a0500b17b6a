package crl

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

func imported(t testing.TB, ca *testpki.CA) *certs.Certificate {
	t.Helper()
	c, err := certs.Import(ca.DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// draft revokes the serials, each a minute before noon, with the reasons 0, 1, 2, ... in turn.
func draft(number int64, at time.Time, serials ...int64) Draft {
	d := Draft{Number: big.NewInt(number), ThisUpdate: at, NextUpdate: at.AddDate(0, 0, 30)}
	for i, s := range serials {
		d.Entries = append(d.Entries, Entry{Serial: SerialOctets(big.NewInt(s)), Revoked: noon.Add(-time.Minute), Reason: i})
	}
	return d
}

func sign(t testing.TB, ca *testpki.CA, d Draft) *List {
	t.Helper()
	l, err := d.Sign(imported(t, ca), ca.Key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestASignedDraftIsAValidList(t *testing.T) {
	for _, key := range []string{testpki.ECDSAP256, testpki.ECDSAP384, testpki.RSA2048, testpki.Ed25519} {
		ca := testpki.NewCA(t, testpki.Key(key))
		d := draft(41, noon, 65536, 1, 200)
		l := sign(t, ca, d)
		if err := l.Validate(imported(t, ca), noon); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if l.Number.Int64() != 41 || !l.ThisUpdate.Equal(noon) || !l.NextUpdate.Equal(noon.AddDate(0, 0, 30)) || l.Delta {
			t.Errorf("%s: %+v", key, l)
		}
		var got []string
		for e, err := range l.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%v %s %d", e.SerialNumber(), e.Revoked.Format("15:04"), e.Reason))
		}
		// Reason 0 is left out; the order is the serial numbers'.
		if want := []string{"1 11:59 1", "200 11:59 2", "65536 11:59 -1"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
		// The other reader of the standard library agrees.
		std, err := x509.ParseRevocationList(l.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := std.CheckSignatureFrom(ca.X509()); err != nil || !bytes.Equal(std.RawIssuer, ca.X509().RawSubject) ||
			!bytes.Equal(std.AuthorityKeyId, ca.X509().SubjectKeyId) {
			t.Errorf("%s: %v, %+v", key, err, std)
		}
	}
}

func TestDraftsThatMustNotBeSigned(t *testing.T) {
	ca, other := testpki.NewCA(t), testpki.NewCA(t)
	with := func(change func(*Draft)) Draft {
		d := draft(1, noon, 5)
		change(&d)
		return d
	}
	for _, c := range []struct {
		name, want string
		d          Draft
		key        *testpki.CA
	}{
		{"another's key", "the key is not the issuer's", draft(1, noon), other},
		{"no number", "number <nil> is not between 1 and 2^159-1", with(func(d *Draft) { d.Number = nil }), ca},
		{"number zero", "number 0 is not between 1 and 2^159-1", draft(0, noon), ca},
		{"no date", "thisUpdate is missing", with(func(d *Draft) { d.ThisUpdate = time.Time{} }), ca},
		{"no next date", "nextUpdate 0001-01-01T00:00:00Z is not after thisUpdate 2026-03-01T12:00:00Z", with(func(d *Draft) { d.NextUpdate = time.Time{} }), ca},
		{"next within the same second", "nextUpdate 2026-03-01T12:00:00Z is not after thisUpdate 2026-03-01T12:00:00Z",
			with(func(d *Draft) { d.NextUpdate = noon.Add(999 * time.Millisecond) }), ca},
		{"twice the same", "certificate 5 is in the draft twice", draft(1, noon, 5, 5), ca},
		{"a reason for deltas", "certificate 5: reason 8 cannot stand in a complete list", with(func(d *Draft) { d.Entries[0].Reason = 8 }), ca},
		{"no such reason", "certificate 5: reason 7 cannot stand in a complete list", with(func(d *Draft) { d.Entries[0].Reason = 7 }), ca},
		{"no serial", "an entry has no serial number", with(func(d *Draft) { d.Entries[0].Serial = nil }), ca},
	} {
		_, err := c.d.Sign(imported(t, ca), c.key.Key, rand.Reader)
		var de *DraftError
		if !errors.As(err, &de) || err.Error() != "making a revocation list: "+c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestASuccessorIsNewerInNumberAndDate(t *testing.T) {
	ca := testpki.NewCA(t)
	old := sign(t, ca, draft(7, noon, 1))
	for _, c := range []struct {
		name   string
		d      Draft
		number int64
		this   time.Time
		want   string
	}{
		{"higher and later stays", draft(9, noon.Add(time.Hour)), 9, noon.Add(time.Hour), ""},
		{"a lower number rises", draft(3, noon.Add(time.Hour)), 8, noon.Add(time.Hour), ""},
		{"the same number rises", draft(7, noon.Add(time.Hour)), 8, noon.Add(time.Hour), ""},
		{"the same second", draft(8, noon.Add(600*time.Millisecond)), 8, noon.Add(time.Second), ""},
		{"a little earlier", draft(8, noon.Add(-30*time.Second)), 8, noon.Add(time.Second), ""},
		{"a clock that jumped back", draft(8, noon.Add(-time.Hour)), 8, noon,
			"the list there (CRL of CN=Test CA, number 7) is of 2026-03-01T12:00:00Z, the new one would be of 2026-03-01T11:00:00Z, which is not later"},
	} {
		err := c.d.Follow(old)
		var older *OlderError
		if c.want != "" {
			if !errors.As(err, &older) || err.Error() != c.want || !slices.Equal(older.Hints(), []string{"is the clock right? date -u"}) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || c.d.Number.Int64() != c.number || !c.d.ThisUpdate.Truncate(time.Second).Equal(c.this) {
			t.Errorf("%s: %v %v, %v", c.name, c.d.Number, c.d.ThisUpdate, err)
		}
		if err := sign(t, ca, c.d).CheckNewer(old); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := sign(t, ca, draft(7, noon.Add(time.Hour))).CheckNewer(old); err == nil || err.Error() !=
		"the list there (CRL of CN=Test CA, number 7) has number 7, the new one would have 7, which is not higher" {
		t.Errorf("the same number: %v", err)
	}
	d := draft(1, noon)
	if err := d.Follow(nil); err != nil || d.Number.Int64() != 1 {
		t.Errorf("no predecessor: %v", err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	ca, twin, other := testpki.NewCA(t), testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other"))
	l := sign(t, ca, draft(1, noon, 1, 2))
	bare, err := Parse(numbered(t, ca, noon, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, l.RevokedCertificateEntries[0])
	}, 3))
	if err != nil {
		t.Fatal(err)
	}
	damaged := *l
	damaged.entries = damaged.entries[:len(damaged.entries)-1]
	for _, c := range []struct {
		name   string
		l      *List
		ca     *testpki.CA
		at     time.Time
		kind   error
		errors string
	}{
		{"good", l, ca, noon, nil, ""},
		{"on its last second", l, ca, noon.AddDate(0, 0, 30), nil, ""},
		{"stale", l, ca, noon.AddDate(0, 0, 31), ErrStale, "the list is out of date: nextUpdate was 2026-03-31T12:00:00Z"},
		{"from the future", l, ca, noon.Add(-time.Second), ErrNotYet, "the list is from the future: thisUpdate is 2026-03-01T12:00:00Z"},
		{"another key of the name", l, twin, noon, ErrSignature, "the list's signature is not the CA's: the signature is wrong"},
		{"another CA", l, other, noon, ErrIssuer, `the list is another CA's: it is of "CN=Test CA", the CA is "CN=Other"`},
		{"an entry twice", bare, ca, noon, ErrDoubleEntry, "the list names a certificate twice: 3"},
		{"a damaged entry", &damaged, ca, noon, ErrBadEntry, "the list has an entry that cannot be read: number 2"},
	} {
		err := c.l.Validate(imported(t, c.ca), c.at)
		if c.kind == nil && err != nil || c.kind != nil && (!errors.Is(err, c.kind) || err.Error() != c.errors) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDiff(t *testing.T) {
	ca := testpki.NewCA(t)
	old := sign(t, ca, draft(1, noon, 1, 2, 3, 4))
	d := draft(2, noon.Add(time.Hour), 1, 2, 3, 9)
	d.Entries[1].Reason = 4
	d.Entries[2].Revoked = noon.Add(-time.Hour)
	c, err := Diff(old, sign(t, ca, d))
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(es []Entry) string {
		var s []string
		for _, e := range es {
			s = append(s, e.SerialNumber().String())
		}
		return strings.Join(s, " ")
	}
	if numbers(c.Added) != "9" || numbers(c.Removed) != "4" || numbers(c.Changed) != "2 3" || c.Unchanged != 1 {
		t.Errorf("%+v", c)
	}
	if c, err := Diff(old, old); err != nil || len(c.Added)+len(c.Removed)+len(c.Changed) != 0 || c.Unchanged != 4 {
		t.Errorf("with itself: %+v, %v", c, err)
	}
}

func TestParseReason(t *testing.T) {
	for s, want := range map[string]int{"keyCompromise": 1, "key-compromise": 1, "KEY_COMPROMISE": 1, "1": 1, "superseded": 4,
		"cessation of operation": 5, "aACompromise": 10, "0": 0} {
		if got, err := ParseReason(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	const names = "unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise"
	for _, s := range []string{"", "7", "8", "removeFromCRL", "stolen"} {
		if _, err := ParseReason(s); err == nil || err.Error() != fmt.Sprintf("%q is no reason for a revocation: %s", s, names) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestSerialOctetsAreThoseOfTheEncoding(t *testing.T) {
	for _, n := range []int64{0, 1, 127, 128, 255, 256, -1, -129} {
		b := big.NewInt(n)
		if got := (Entry{Serial: SerialOctets(b)}).SerialNumber(); got.Cmp(b) != 0 {
			t.Errorf("%d comes back as %v", n, got)
		}
	}
}

// A CA as certtool makes it by libvirt's instructions has keyUsage keyCertSign only, and perhaps no key identifier.
func TestACAWithoutCRLSignOrKeyIdentifierCanRevoke(t *testing.T) {
	ca := testpki.NewCA(t, testpki.KeyUsage(true, x509.KeyUsageCertSign))
	l := sign(t, ca, draft(1, noon, 1))
	if err := l.Validate(imported(t, ca), noon); !errors.Is(err, ErrMayNotSign) || err.Error() != ErrMayNotSign.Error() {
		t.Errorf("%v", err)
	}
	if CRLSign(imported(t, ca)) {
		t.Error("it has no cRLSign")
	}
	old := testpki.NewCA(t, testpki.Version1())
	if l := sign(t, old, draft(1, noon, 1)); l.Validate(imported(t, old), noon) != nil || len(l.AuthorityKeyID) != 20 {
		t.Errorf("a CA of version 1: %v, key identifier %x", l.Validate(imported(t, old), noon), l.AuthorityKeyID)
	}
}

func TestCerttoolAndOpensslReadTheListAsItWasMeant(t *testing.T) {
	const certtool, openssl = "certtool", "openssl"
	peer.Need(t, certtool, openssl)
	for _, key := range []string{testpki.ECDSAP256, testpki.RSA2048, testpki.Ed25519} {
		ca := testpki.NewCA(t, testpki.Key(key))
		now := time.Now().Truncate(time.Second)
		d := Draft{Number: big.NewInt(0x1234), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 30), Entries: []Entry{
			{Serial: SerialOctets(big.NewInt(0xabcdef)), Revoked: now.Add(-time.Hour), Reason: 1}, {Serial: SerialOctets(big.NewInt(0x77)), Revoked: now.Add(-time.Hour), Reason: 5}}}
		l := sign(t, ca, d)
		dir := t.TempDir()
		file, caFile := filepath.Join(dir, "crl.pem"), filepath.Join(dir, "ca.pem")
		for name, data := range map[string][]byte{file: l.PEM(), caFile: ca.CertPEM()} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(certtool, "--crl-info", "--infile", file).CombinedOutput()
		for _, want := range []string{"Version: 2", "CN=Test CA", "CRL Number (not critical): 1234", "Serial Number (hex): 00abcdef", "Serial Number (hex): 77"} {
			if err != nil || !strings.Contains(squeeze(string(out)), want) {
				t.Errorf("%s: certtool (%v) does not say %q:\n%s", key, err, want, out)
			}
		}
		out, err = exec.Command(openssl, "crl", "-in", file, "-noout", "-text", "-CAfile", caFile).CombinedOutput()
		for _, want := range []string{"verify OK", "X509v3 CRL Number: 4660", "Serial Number: ABCDEF", "Key Compromise", "Cessation Of Operation"} {
			if err != nil || !strings.Contains(squeeze(string(out)), want) {
				t.Errorf("%s: openssl (%v) does not say %q:\n%s", key, err, want, out)
			}
		}
		out, err = exec.Command(certtool, "--verify-crl", "--load-ca-certificate", caFile, "--infile", file).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Verified") {
			t.Errorf("%s: certtool --verify-crl: %v\n%s", key, err, out)
		}
	}
}

// squeeze makes blanks and line ends one blank each.
func squeeze(s string) string { return regexp.MustCompile(`\s+`).ReplaceAllString(s, " ") }

func FuzzDraft(f *testing.F) {
	ca := testpki.NewCA(f)
	issuer := imported(f, ca)
	f.Add([]byte{1, 2, 0x80, 0, 0xff}, int64(1), int64(0))
	f.Fuzz(func(t *testing.T, serials []byte, number, seconds int64) {
		d := Draft{Number: big.NewInt(number), ThisUpdate: noon.Add(time.Duration(seconds%1e9) * time.Second)}
		d.NextUpdate = d.ThisUpdate.Add(time.Hour)
		for i := range min(len(serials)/2, 50) {
			d.Entries = append(d.Entries, Entry{Serial: serials[2*i : 2*i+2], Revoked: noon, Reason: int(serials[i]) % 12})
		}
		l, err := d.Sign(issuer, ca.Key, rand.Reader)
		if err != nil {
			return
		}
		if err := l.Validate(issuer, d.ThisUpdate); err != nil || l.Len() != len(d.Entries) {
			t.Errorf("%v, %d entries of %d", err, l.Len(), len(d.Entries))
		}
		for _, e := range d.Entries {
			if _, found, err := l.Lookup(SerialOctets(e.SerialNumber())); !found || err != nil {
				t.Errorf("%x is not found: %v", e.Serial, err)
			}
		}
		if block, _ := pem.Decode(l.PEM()); block == nil || !bytes.Equal(block.Bytes, l.Raw) {
			t.Error("PEM and back")
		}
	})
}
