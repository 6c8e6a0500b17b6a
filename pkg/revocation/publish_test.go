package revocation

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// list is a revocation list of a moment.
func list(t *testing.T, ca *testpki.CA, number int64, at time.Time) *crl.List {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: at,
		NextUpdate: at.Add(24 * time.Hour)}, ca.X509(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := crl.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAListIsPutWhereItsAuthorityIsTrusted(t *testing.T) {
	ours, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other CA"))
	issuer, err := certs.Import(ours.DER)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Add(-time.Hour)
	first, second, foreign := list(t, ours, 1, begun), list(t, ours, 2, begun.Add(time.Minute)), list(t, other, 7, begun)
	for _, c := range []struct {
		name    string
		ca      []byte
		there   string // "": no list
		list    *crl.List
		dryRun  bool
		fate    Fate
		old     bool
		want    string // what is there afterwards
		refusal string // after "publishing to FILE: "
	}{
		{name: "none is there", ca: ours.CertPEM(), list: second, fate: Placed, want: string(second.PEM())},
		{name: "an older one is there", ca: ours.CertPEM(), there: string(first.PEM()), list: second, fate: Placed, old: true, want: string(second.PEM())},
		{name: "it is there already", ca: ours.CertPEM(), there: string(second.PEM()), list: second, fate: Current, old: true, want: string(second.PEM())},
		{name: "the place trusts another CA", ca: other.CertPEM(), there: string(foreign.PEM()), list: second, fate: OtherCA, want: string(foreign.PEM())},
		{name: "another CA's list is kept", ca: append(ours.CertPEM(), other.CertPEM()...), there: string(foreign.PEM()), list: second, fate: Placed,
			want: string(second.PEM()) + string(foreign.PEM())},
		{name: "a dry run", ca: ours.CertPEM(), there: string(first.PEM()), list: second, dryRun: true, fate: Placed, old: true, want: string(first.PEM())},
		{name: "a dry run without a list", ca: ours.CertPEM(), there: string(first.PEM()), dryRun: true, fate: Placed, old: true, want: string(first.PEM())},
		{name: "a newer one is there", ca: ours.CertPEM(), there: string(second.PEM()), list: first, want: string(second.PEM()), refusal: "which is not later"},
		{name: "what is there is no list", ca: ours.CertPEM(), there: "garbage\n", list: second, want: "garbage\n", refusal: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "cacrl.pem")
			if err := os.WriteFile(filepath.Join(dir, "cacert.pem"), c.ca, 0o644); err != nil {
				t.Fatal(err)
			}
			if c.there != "" {
				if err := os.WriteFile(file, []byte(c.there), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			spots, err := layout.Spots(dir)
			if err != nil || len(spots) != 1 {
				t.Fatalf("%v, %v", spots, err)
			}
			posted, err := Publish(spots, issuer, c.list, c.dryRun)
			text, _ := os.ReadFile(file)
			if string(text) != c.want {
				t.Errorf("the file has %q", text)
			}
			if c.fate == "" {
				if err == nil || !strings.HasPrefix(err.Error(), `publishing to "`+file+`": `) || !strings.Contains(err.Error(), c.refusal) || posted != nil {
					t.Errorf("%v, %v", posted, err)
				}
				var none *NoListError
				if errors.As(err, &none) != (c.refusal == "") {
					t.Errorf("%#v", err)
				}
				return
			}
			if err != nil || len(posted) != 1 || posted[0].Fate != c.fate || posted[0].Path != file || (posted[0].Old != nil) != c.old {
				t.Errorf("%+v, %v", posted, err)
			}
		})
	}
	if _, err := Publish(nil, issuer, nil, false); err == nil || err.Error() != "publishing: there is no revocation list" {
		t.Errorf("%v", err)
	}
}

func TestNothingIsPublishedWhenOnePlaceRefuses(t *testing.T) {
	ours := testpki.NewCA(t)
	issuer, err := certs.Import(ours.DER)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := t.TempDir(), t.TempDir()
	var spots []layout.Spot
	for _, dir := range []string{good, bad} {
		if err := os.WriteFile(filepath.Join(dir, "cacert.pem"), ours.CertPEM(), 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := layout.Spots(dir)
		if err != nil {
			t.Fatal(err)
		}
		spots = append(spots, found...)
	}
	if err := os.WriteFile(filepath.Join(bad, "cacrl.pem"), []byte("garbage\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var none *NoListError
	if _, err := Publish(spots, issuer, list(t, ours, 2, time.Now()), false); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(good, "cacrl.pem")); !os.IsNotExist(err) {
		t.Errorf("the other place was changed: %v", err)
	}
}
