package der_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

func TestLengthsOfEveryFormAreRead(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string
		err  error
	}{
		{"0c0161", "61", nil},
		{"0c810161", "61", nil},
		{"0c8400000001" + "61", "61", nil},
		{"0c88000000000000000161", "61", nil},
		{"0c8000", "", der.ErrSyntax},                   // indefinite
		{"0c0261", "", der.ErrSyntax},                   // more than there is
		{"0c84ffffffff61", "", der.ErrSyntax},           // far more
		{"0c89ffffffffffffffffff61", "", der.ErrSyntax}, // more than fits into an int
		{"0c", "", der.ErrTag},
		{"130161", "", der.ErrTag},
		{"", "", der.ErrTag},
		{"0c84", "", nil}, // breaks off at the very end: counts as 0
	} {
		d := der.NewDecoder(vectors.Hex(t, tt.text))
		got, err := d.Contents(der.UTF8String)
		if hex.EncodeToString(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %x, %v, want %s, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
	inner := der.NewInnerDecoder(vectors.Hex(t, "0c84"))
	if _, err := inner.Contents(der.UTF8String); !errors.Is(err, der.ErrSyntax) {
		t.Errorf("a length that breaks off inside of another text: %v", err)
	}
}

// longOID is an OID whose text has 125 characters, for which libtasn1's buffer nearly is too small.
var (
	longOID     = "2a" + strings.Repeat("84ccd88504", 10) + "82b4ccd88504"
	longOIDText = "1.2" + strings.Repeat(".1234567812", 10) + ".82838946436"
)

func TestOIDsAreWrittenAsLibtasn1Does(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		err        error
	}{
		{"0603550403", "2.5.4.3", nil},
		{"06028837", "2.999", nil},
		{"0603883703", "2.999.3", nil},
		{"060127", "0.39", nil},
		{"060128", "1.0", nil},
		{"060b2a81ffffffffffffffff7f", "1.2.-1", nil},
		{"060b2a81808080808080808000", "1.2.-9223372036854775808", nil},
		{"060b2a83ffffffffffffffff7f", "", der.ErrSyntax},    // 65 bits
		{"0604550403" + "83", "2.5.4.3", nil},                // an arc that is not finished
		{"060181", "0.1", nil},                               // unless it is the only one
		{"063b" + longOID + "0514", longOIDText + ".5", nil}, // of 130 characters the first 127
		{"063b" + longOID + "0504", longOIDText + ".5", nil},
		{"063a" + longOID + "64", longOIDText + ".1", nil}, // within an arc
		{"0600", "", der.ErrSyntax},
		{"060180", "", der.ErrSyntax},
		{"0603558001", "", der.ErrSyntax},
	} {
		d := der.NewDecoder(vectors.Hex(t, tt.text))
		oid, err := d.ObjectID()
		got := ""
		if err == nil {
			got = der.OIDText(oid)
		}
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %s, %v, want %s, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
	if got := der.AppendOIDContents(nil, []uint64{1, 2, 840, 113549}); hex.EncodeToString(got) != "2a864886f70d" {
		t.Errorf("1.2.840.113549 is encoded as %x", got)
	}
}

func TestANameIsCheckedToItsEnds(t *testing.T) {
	for text, want := range map[string]error{
		"3000":                             nil,
		"30023100":                         nil,
		"300431023000":                     nil,
		"300c310a300806035504030c0161":     nil,
		"310c310a300806035504030c0161":     der.ErrSyntax, // no alternative of the CHOICE
		"300c300a300806035504030c0161":     der.ErrTag,    // the RDN is no SET
		"300c310a300804035504030c0161":     der.ErrTag,    // the type is no OID
		"300b310a300806035504030c0161":     der.ErrSyntax, // the RDN goes beyond the name
		"3080310a300806035504030c01610000": der.ErrSyntax,
	} {
		d := der.NewDecoder(vectors.Hex(t, text))
		if _, err := d.Name(); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
}

func TestAppendedElementsAreRead(t *testing.T) {
	for _, n := range []int{0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x1000000} {
		tag, contents, ok := der.Split(der.Append(nil, 0x0c, make([]byte, n)))
		if !ok || tag != der.UTF8String || len(contents) != n {
			t.Errorf("%d octets: got %v, %d, %t", n, tag, len(contents), ok)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(vectors.Hex(f, "300c310a300806035504030c0161"))
	f.Add(vectors.Hex(f, "1f8100840000"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, d := range []der.Decoder{der.NewDecoder(text), der.NewInnerDecoder(text)} {
			for _, read := range []func(*der.Decoder) error{
				func(d *der.Decoder) error { _, err := d.Name(); return err },
				func(d *der.Decoder) error { _, err := d.Any(); return err },
				func(d *der.Decoder) error { _, err := d.Bool(); return err },
				func(d *der.Decoder) error {
					oid, err := d.ObjectID()
					_ = der.OIDText(oid)
					return err
				},
			} {
				d := d
				for read(&d) == nil {
					if d.Pos() == 0 || d.Pos() > len(text) {
						t.Fatalf("at %d of %d", d.Pos(), len(text))
					}
					if d.End() == nil {
						break
					}
				}
			}
		}
		if tag, contents, ok := der.Split(text); ok && (len(contents) > len(text) || tag == der.Tag{} && len(text) == 0) {
			t.Fatal("out of bounds")
		}
	})
}
