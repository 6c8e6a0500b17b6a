package crl

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

func TestDistributionPoints(t *testing.T) {
	ca := testpki.NewCA(t)
	for _, c := range []struct {
		name, value string
		points      int
		names       string // of the first point, in hex
		reasons     Reasons
		issuers     int
	}{
		{"a URI", "300b 3009 a007 a005 8603 613a62", 1, "613a62", AllReasons, 0},
		{"a name relative to the issuer", "3015 3013 a011 a10f 300d 0603550403 0c06 706f696e7431", 1,
			"302331" + "10300e06035504030c0754657374204341" + "310f300d06035504030c06706f696e7431", AllReasons, 0},
		{"some reasons", "300f 300d a007 a005 8603 613a62 8102 0560", 1, "613a62", 1<<1 | 1<<2, 0},
		{"another issuer", "301a 3018 a216 a414 3012 3110 300e 0603550403 0c07 4f74686572204c", 1, "", AllReasons, 1},
		{"two points", "3016 3009 a007 a005 8603 613a62 3009 a007 a005 8603 613a63", 2, "613a62", AllReasons, 0},
		{"no sequence", "0500", -1, "", 0, 0},
		{"rest behind it", "300b 3009 a007 a005 8603 613a62 0500", -1, "", 0, 0},
		{"a point that is none", "3002 0500", -1, "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			for _, r := range c.value {
				if r != ' ' {
					text += string(r)
				}
			}
			leaf := ca.Server("x", testpki.Extension(asn1.ObjectIdentifier{2, 5, 29, 31}, false, vectors.Hex(t, text)))
			cert, err := certs.Import(leaf.DER)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DistributionPoints(cert)
			if c.points < 0 {
				if err == nil || err.Error() != "reading cRLDistributionPoints: a distribution point cannot be read" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || len(got) != c.points {
				t.Fatalf("%+v, %v", got, err)
			}
			name := ""
			if len(got[0].Names) > 0 {
				name = hex.EncodeToString(got[0].Names[0].Value)
			}
			if len(c.names) > 8 { // only its end: how the issuer is encoded is not the point
				name = name[len(name)-32:]
				c.names = c.names[len(c.names)-32:]
			}
			if name != c.names || got[0].Reasons != c.reasons || len(got[0].Issuers) != c.issuers {
				t.Errorf("names %s reasons %x issuers %d", name, got[0].Reasons, len(got[0].Issuers))
			}
		})
	}
	plain, err := certs.Import(ca.Server("x").DER)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DistributionPoints(plain); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// scopedList makes a list with an issuingDistributionPoint and entries with extensions.
func scopedList(t testing.TB, ca *testpki.CA, scope []byte, entry ...pkix.Extension) *List {
	t.Helper()
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}
	if scope != nil {
		tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: scope}}
	}
	tmpl.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: noon, ExtraExtensions: entry},
		{SerialNumber: big.NewInt(6), RevocationTime: noon}}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, ca.X509(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestScope(t *testing.T) {
	ca := testpki.NewCA(t)
	l := scopedList(t, ca, vectors.Hex(t, "3013a007a0058603613a628201ff830205608401ff"))
	s := l.Scope
	if s == nil || !s.OnlyCA || s.OnlyUser || !s.Indirect || s.OnlyAttribute || s.Reasons != 6 || len(s.Names) != 1 || string(s.Names[0].Value) != "a:b" {
		t.Errorf("%+v", s)
	}
	if len(l.UnknownCritical) != 0 {
		t.Errorf("unknown: %v", l.UnknownCritical)
	}
	if err := l.Validate(imported(t, ca), noon); !errors.Is(err, ErrPartial) {
		t.Errorf("Validate: %v", err)
	}
	damaged := scopedList(t, ca, vectors.Hex(t, "0500"))
	if damaged.Scope != nil || len(damaged.UnknownCritical) != 1 || damaged.UnknownCritical[0] != "2.5.29.28" {
		t.Errorf("%+v %v", damaged.Scope, damaged.UnknownCritical)
	}
}

func TestEntriesOfOthersAndUnknownExtensions(t *testing.T) {
	ca := testpki.NewCA(t)
	other := vectors.Hex(t, "3010310e300c06035504030c054f74686572") // CN=Other
	names := append([]byte{0x30, byte(len(other) + 2), 0xa4, byte(len(other))}, other...)
	l := scopedList(t, ca, nil, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: names},
		pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
	var got []Entry
	for e, err := range l.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if len(got) != 2 || string(got[0].Issuer) != string(other) || !got[0].UnknownCritical || got[1].Issuer != nil || got[1].UnknownCritical {
		t.Errorf("%+v", got)
	}
}

func FuzzDistributionPoints(f *testing.F) {
	issuer, err := certs.Import(testpki.NewCA(f).DER)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"3009 3007 a005 a003 8201 61", "300b 3009 a007 a005 8603 613a62", "3015 3013 a011 a10f 300d 0603550403 0c06 706f696e7431",
		"300f 300d a007 a005 8603 613a62 8102 0560", "301a 3018 a216 a414 3012 3110 300e 0603550403 0c07 4f74686572204c", "8301ff 8101ff"} {
		f.Add(vectors.Hex(f, strings.ReplaceAll(s, " ", "")))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		c := &certs.Certificate{Issuer: issuer.Subject, Extensions: []certs.Extension{{OID: oidDistributionPoints, Value: value}}}
		if points, err := DistributionPoints(c); err != nil && points != nil {
			t.Errorf("%v with %v", points, err)
		}
		if s := readScope(value, c.Issuer); s != nil && !bytes.Equal(s.Raw, value) {
			t.Errorf("%x of %x", s.Raw, value)
		}
	})
}
