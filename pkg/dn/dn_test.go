package dn_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

// attribute is SET { SEQUENCE { OID, value } } with both in hexadecimal.
func attribute(t testing.TB, oid, value string) []byte {
	t.Helper()
	return der.Append(nil, 0x31, der.Append(nil, 0x30, append(der.Append(nil, 6, vectors.Hex(t, oid)), vectors.Hex(t, value)...)))
}

func name(rdns ...[]byte) []byte { return der.Append(nil, 0x30, slices.Concat(rdns...)) }

const (
	cn = "550403"
	c  = "550406"
)

func TestTextOfEveryKindOfValue(t *testing.T) {
	for _, tt := range []struct {
		what     string
		oid      string
		value    string
		want     string
		want384  string // "": the same
		mustFail error
	}{
		{"a UTF8String", cn, "0c0161", "CN=a", "", nil},
		{"invalid UTF-8 stays as it is", cn, "0c0161" + "", "CN=a", "", nil},
		{"a Latin-1 octet in a UTF8String stays as it is", cn, "0c01e9", "CN=\xe9", "", nil},
		{"Teletex in ASCII", cn, "140161", "CN=a", "", nil},
		{"other Teletex is hex with an escape", cn, "1404636166e9", `CN=\#636166e9`, "", nil},
		{"BMPString", cn, "1e0400e90041", "CN=éA", "", nil},
		{"an unpaired surrogate", cn, "1e02d800", `CN=\#d800`, "", nil},
		{"UniversalString is never decoded", cn, "1c0400000041", `CN=\#00000041`, "", nil},
		{"an IA5String is not a DirectoryString", cn, "160161", "CN=#160161", "", nil},
		{"a longer length than needed is kept in hex", "2a0304", "0c8103616263", "1.2.3.4=#0c8103616263", "", nil},
		{"a NUL makes it hex", cn, "0c03610062", "CN=#0c03610062", "", nil},
		{"an empty DirectoryString", cn, "0c00", "", "", dn.ErrEmptyValue},
		{"an empty C", c, "1300", "C=#1300", "C=", nil},
		{"an empty C of the wrong type", c, "0c00", "C=#0c00", "C=", nil},
		{"a C of the wrong type", c, "0c024742", "C=#0c024742", "", nil},
		{"an unknown attribute, empty", "2a0304", "1300", "1.2.3.4=#1300", "", nil},
		{"EMAIL must be IA5String", "2a864886f70d010901", "1603614062", "EMAIL=a@b", "", nil},
		{"a NUL in localKeyID", "2a864886f70d010915", "0403610062", "", "", dn.ErrOctetString},
		{"escapes", cn, "0c0a2c2b225c3c3e3b233d2f", `CN=\,\+\"\\\<\>\;#=/`, "", nil},
		{"spaces at both ends", cn, "0c03202020", `CN=\  \ `, "", nil},
		{"one space", cn, "0c0120", `CN=\ `, "", nil},
		{"a hash at the start", cn, "0c022361", `CN=\#a`, "", nil},
		{"an arc that is not finished is dropped", "55040383", "0c0161", "CN=a", "", nil},
		{"an arc of 64 bits is negative", "2a81ffffffffffffffff7f", "0c0161", "1.2.-1=#0c0161", "", nil},
		{"a long OID", "2a" + strings.Repeat("84ccd88504", 12), "0c0161", "", "", dn.ErrLongOID},
	} {
		n, err := dn.FromDER(name(attribute(t, tt.oid, tt.value)))
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		if got, err := n.Text(); got != tt.want || tt.mustFail != nil && !errors.Is(err, tt.mustFail) || tt.mustFail == nil && err != nil {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.what, got, err, tt.want, tt.mustFail)
		}
		if want := cmpOr(tt.want384, tt.want); tt.mustFail == nil {
			if got, err := n.TextFor(dn.GnuTLS384); got != want || err != nil {
				t.Errorf("%s, GnuTLS 3.8.4: got %q, %v, want %q", tt.what, got, err, want)
			}
		}
	}
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func TestSeparatorsAndMissingParts(t *testing.T) {
	a, b := attribute(t, cn, "0c0161"), attribute(t, cn, "0c0162")
	empty := []byte{0x31, 0}
	for _, tt := range []struct {
		what string
		der  []byte
		want string
		err  *dn.Error
	}{
		{"an empty RDN first or in the middle leaves no trace", name(empty, a, empty, b), "CN=a,CN=b", nil},
		{"an empty RDN at the end leaves a comma", name(b, empty), "CN=b,", nil},
		{"no RDN", name(), "", dn.ErrEmpty},
		{"one empty RDN", name(empty), "", dn.ErrAborts},
		{"one RDN with an empty attribute", name([]byte{0x31, 2, 0x30, 0}), "", dn.ErrAborts},
		{"duplicates are kept", name(a, a), "CN=a,CN=a", nil},
		{"a multi-valued RDN", name(der.Append(nil, 0x31, append(a[2:], b[2:]...))), "CN=a+CN=b", nil},
	} {
		n, err := dn.FromDER(tt.der)
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		got, err := n.Text()
		if got != tt.want || tt.err == nil && err != nil || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.what, got, err, tt.want, tt.err)
		}
	}
	if got, err := (dn.Name{}).Text(); got != "" || !errors.Is(err, dn.ErrEmpty) {
		t.Errorf("the zero Name: %q, %v", got, err)
	}
	if got := (dn.Name{}).DER(); string(got) != "\x30\x00" {
		t.Errorf("the zero Name encodes as %x", got)
	}
}

func TestParseEncodesWithTheTypeThatPrintsReadably(t *testing.T) {
	for _, tt := range []struct{ text, value string }{
		{"C=GB", "13024742"},
		{"CN=host", "1304686f7374"},
		{"CN=é", "0c02c3a9"},
		{"CN=a_b", "0c03615f62"},
		{"DC=example", "16076578616d706c65"},
		{"EMAIL=a@b", "1603614062"},
		{"serialNumber=1", "130131"},
		{"OGRN=123", "1203313233"},
		{"XmppAddr=a", "0c0161"},
		{"1.2.840.113549.1.9.20=é", "1e0200e9"},
		{"1.2.840.113549.1.9.21=a", "040161"},
		{"1.2.840.113549.1.9.7=a", "130161"},
		{"CN=#1603616263", "1603616263"},
		{"1.2.3.4=#0c8103616263", "0c8103616263"},
	} {
		n, err := dn.Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		rdns, err := n.RDNs()
		if err != nil || len(rdns) != 1 || len(rdns[0]) != 1 {
			t.Errorf("%s: %v, %v", tt.text, rdns, err)
			continue
		}
		if got := hex.EncodeToString(rdns[0][0].Value); got != tt.value {
			t.Errorf("%s: value %s, want %s", tt.text, got, tt.value)
		}
		checkRoundTrip(t, tt.text)
	}
}

func TestParseTakesOtherSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"c=GB, o=Red Hat , cn = name":             "C=GB,O=Red Hat,CN=name",
		"emailAddress=a@b,E=c@d":                  "EMAIL=a@b,EMAIL=c@d",
		"SN=a,surname=b,GN=c,STREET=d,S=e,T=f":    "surName=a,surName=b,givenName=c,street=d,ST=e,title=f",
		"2.5.4.3=a,OID.2.5.4.10=b":                "CN=a,O=b",
		`CN=a\2cb\c3\a9`:                          `CN=a\,bé`,
		`CN=\ a\ `:                                `CN=\ a\ `,
		"userid=a+commonName=b,domainComponent=c": "UID=a+CN=b,DC=c",
		"friendlyName=x":                          "1.2.840.113549.1.9.20=x",
		"CN=#0C0161":                              "CN=a",
		`CN=a\=b`:                                 "CN=a=b",
		"O=Example  ,CN=a":                        "O=Example,CN=a",
	} {
		n, err := dn.Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got, err := n.Text(); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParseSaysWhereAndHowToMendIt(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", `name "": at character 1: the name is empty`},
		{"/C=GB/CN=a", `name "/C=GB/CN=a": at character 1: this is OpenSSL's old form with slashes`},
		{"C=GB,,CN=a", `name "C=GB,,CN=a": at character 6: an attribute is missing here`},
		{"CN=é,", `name "CN=é,": at character 6: an attribute is missing here`},
		{"CN=a+", `name "CN=a+": at character 6: an attribute is missing here`},
		{"O=Red Hat, Inc.,CN=a", `name "O=Red Hat, Inc.,CN=a": at character 12: "Inc." has no equals sign`},
		{"=a", `name "=a": at character 1: the attribute's name is missing`},
		{"XX=a", `name "XX=a": at character 1: there is no attribute "XX"`},
		{"CN=", `name "CN=": at character 4: CN has no value`},
		{"CN=a\xff", `name "CN=a\xff": at character 5: invalid UTF-8`},
		{`CN=\ff`, `name "CN=\\ff": at character 4: the value of CN is not valid UTF-8`},
		{`CN="a"`, `name "CN=\"a\"": at character 4: a quotation mark that is not escaped`},
		{"CN=a;O=b", `name "CN=a;O=b": at character 5: ';' is not escaped`},
		{`CN=a\`, `name "CN=a\\": at character 5: a backslash that escapes nothing`},
		{`CN=a\z`, `name "CN=a\\z": at character 5: a backslash that escapes nothing`},
		{"CN=a\x00", `name "CN=a\x00": at character 5: a NUL character`},
		{"CN=#xyz", `name "CN=#xyz": at character 4: not hexadecimal after the #`},
		{"CN=#0c05", `name "CN=#0c05": at character 4: not one DER element after the #`},
		{"CN=#0c00", `name "CN=#0c00": at character 1: GnuTLS refuses this name: ASN1 parser: Value is not valid.`},
		{"1.2.3=a", `name "1.2.3=a": at character 7: GnuTLS prints 1.2.3 in hexadecimal only`},
		{"3.2=#0c0161", `name "3.2=#0c0161": at character 1: "3.2" is not an OID`},
		{"1.2.x=#0c0161", `name "1.2.x=#0c0161": at character 1: "1.2.x" is not an OID`},
	} {
		_, err := dn.Parse(tt.text)
		var p *dn.ParseError
		if !errors.As(err, &p) || err.Error() != tt.want || len(p.Hints()) != 1 || p.Remedy == "" {
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

// checkRoundTrip checks that a text of GnuTLS's own comes back from Parse, or is refused for a reason that is known.
func checkRoundTrip(t *testing.T, text string) {
	t.Helper()
	n, err := dn.Parse(text)
	var refused *dn.ParseError
	switch {
	case errors.As(err, &refused):
		switch {
		case !utf8.ValidString(text), strings.HasSuffix(refused.Problem, "has no value"), strings.HasSuffix(text, ","),
			strings.HasSuffix(text, "+"), strings.Contains(text, "+,"), refused.Problem == "an attribute is missing here":
		default:
			t.Errorf("%q is GnuTLS's own, but is refused: %v", text, err)
		}
	case err != nil:
		t.Errorf("%q: %v", text, err)
	default:
		if got, err := n.Text(); got != text || err != nil {
			t.Errorf("%q comes back as %q, %v", text, got, err)
		}
	}
}

func TestEveryReadableValueComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune(" ,+\"\\<>;#=/*?'-.:@_aZ09é日😀\n\t\x7f")
	types := []string{"CN", "C", "EMAIL", "DC", "OGRN", "XmppAddr", "serialNumber", "street", "1.2.840.113549.1.9.20",
		"1.2.840.113549.1.9.21", "1.2.840.113549.1.9.7"}
	for range 5000 {
		var b strings.Builder
		for i := range 1 + r.IntN(4) {
			if i > 0 {
				b.WriteByte(",+"[r.IntN(2)])
			}
			value := make([]rune, 1+r.IntN(6))
			for j := range value {
				value[j] = alphabet[r.IntN(len(alphabet))]
			}
			b.WriteString(types[r.IntN(len(types))] + "=" + dn.Escape(string(value)))
		}
		n, err := dn.Parse(b.String())
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		if got, err := n.Text(); got != b.String() || err != nil {
			t.Fatalf("%q comes back as %q, %v", b.String(), got, err)
		}
		again, err := dn.FromDER(n.DER())
		if err != nil || !again.Equal(n) || !n.Reverse().Reverse().Equal(n) {
			t.Fatalf("%q: %v", b.String(), err)
		}
	}
}

func TestTheTablesOIDsAndNamesBelongTogether(t *testing.T) {
	for _, oid := range knownOIDs {
		n, err := dn.FromDER(name(attribute(t, oid, "0203010203")))
		if err != nil {
			t.Fatal(err)
		}
		rdns, err := n.RDNs()
		if err != nil {
			t.Fatal(err)
		}
		a := rdns[0][0]
		byOID, err := dn.Parse(a.OID + "=#0203010203")
		if err != nil || !byOID.Equal(n) {
			t.Errorf("%s: %v", a.OID, err)
		}
		byName, err := dn.Parse(strings.ToUpper(a.Type) + "=#0203010203")
		if err != nil || !byName.Equal(n) {
			t.Errorf("%s: %v", a.Type, err)
		}
	}
}

func TestCommonNamesLooksAtCommonNamesOnly(t *testing.T) {
	n, err := dn.FromDER(name(attribute(t, c, "1300"), attribute(t, "55040a", "0c00"), attribute(t, cn, "0c03612c62"), attribute(t, cn, "160161")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.CommonNames(); !slices.Equal(got, []string{`a\,b`, "#160161"}) || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := n.Text(); !errors.Is(err, dn.ErrEmptyValue) {
		t.Errorf("Text gives %v", err)
	}
}

func TestNamesThatShouldNotBeIssued(t *testing.T) {
	a := attribute(t, cn, "0c0161")
	for _, tt := range []struct {
		what string
		der  []byte
		want string
	}{
		{"a usual name", name(a), ""},
		{"an empty name", name(), "the subject cannot be used: The requested data were not available."},
		{"only empty RDNs", name([]byte{0x31, 0}), "the subject cannot be used: " + dn.ErrAborts.Text},
		{"an empty RDN", name([]byte{0x31, 0}, a), `the subject "CN=a" has an empty RDN`},
		{"an empty attribute", name(a, []byte{0x31, 2, 0x30, 0}), `the subject "CN=a," has an empty attribute`},
		{"invalid UTF-8 in a PrintableString", name(attribute(t, cn, "1301c3")), `the subject "CN=\xc3" is not valid UTF-8: ` +
			"libvirtd can abort on it\nthe subject's CN=\xc3 has characters that do not belong to its type, PrintableString"},
		{"a line end", name(attribute(t, cn, "0c03610a62")), `the subject "CN=a\nb" has a control character`},
		{"letters in a number", name(attribute(t, "2a85036401", "120161")),
			"the subject's OGRN=a has characters that do not belong to its type, NumericString"},
	} {
		n, err := dn.FromDER(tt.der)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(n.CheckIssuable()); got != cmpOr(tt.want, "<nil>") {
			t.Errorf("%s: got %s\nwant %s", tt.what, got, tt.want)
		}
	}
}

func TestOpenSSLPrintsWhatOpenSSLGives(t *testing.T) {
	peer.Need(t, "openssl")
	texts := []string{"C=GB,O=Red Hat,CN=name", `O=Red Hat\, Inc.,CN=a+UID=b,CN=c`, `CN=\ a\ `, `CN=\#a`, `CN=a"b\\c`, `CN=a\<b\>\;\+`,
		"CN=é日本😀", "CN=a\n\t\x7f", "EMAIL=a@b,DC=c,surName=d,givenName=e,street=f,dnQualifier=g,gender=M", "1.2.3.4=#0c0161",
		"CN=#140161", "CN=#1e0400e90041", "CN=#1c0400000041", "CN=#160161", "CN=#1403e9e8e7", "CN=#30030c0161", "2.5.4.97=#0c0161",
		"2.5.4.45=#0c0161", "1.2.840.113549.1.9.2=#0c0161", "1.2.840.113556.1.4.656=#0c0161", "XmppAddr=a,OGRN=1,INN=2",
		"jurisdictionOfIncorporationCountryName=GB,placeOfBirth=x,name=n,pseudonym=p,role=#0c0161"}
	for _, text := range texts {
		text = strings.ReplaceAll(text, "role=", "2.5.4.72=")
		text = strings.ReplaceAll(text, `a"b`, `a\"b`)
		n, err := dn.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		command := exec.Command("openssl", "x509", "-noout", "-subject", "-inform", "DER")
		command.Stdin = strings.NewReader(string(certificate(n.DER())))
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", text, err, out)
			continue
		}
		if got, want := "subject="+n.OpenSSL()+"\n", string(out); got != want {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestCerttoolPrintsWhatCerttoolGives(t *testing.T) {
	peer.Need(t, "certtool")
	for _, text := range []string{"C=GB,O=Red Hat,CN=name", `O=Red Hat\, Inc.,CN=a+UID=b,CN=c`, `CN=\ a\ ,EMAIL=a@b`, "CN=é"} {
		n, err := dn.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("certtool", "-i", "--inder")
		command.Stdin = strings.NewReader(string(certificate(n.DER())))
		out, _ := command.Output() // its status tells of the certificate's odd key
		if want := "\tSubject: " + n.Certtool() + "\n"; !strings.Contains(string(out), want) {
			t.Errorf("%q: %q is not in %s", text, want, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"C=GB,O=Red Hat,CN=name", `CN=\ a\,\2c+UID=#0c0161`, "1.2.-1=#0500", "E=é, SN = x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := dn.Parse(text)
		if err != nil {
			_ = err.Error()
			return
		}
		printed, err := n.Text()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again, err := dn.Parse(printed); err != nil {
			if utf8.ValidString(printed) {
				t.Fatalf("%q prints as %q, which is refused: %v", text, printed, err)
			}
		} else if got, _ := again.Text(); got != printed {
			t.Fatalf("%q prints as %q and then as %q", text, printed, got)
		}
	})
}

func FuzzFromDER(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(2, 2))}
	for range 20 {
		f.Add(g.name())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := dn.FromDER(text)
		if err != nil {
			return
		}
		if string(n.DER()) != string(text) {
			t.Fatal("the encoding changed")
		}
		_, _ = n.RDNs()
		_, _ = n.CommonNames()
		_, _, _ = n.OpenSSL(), n.Certtool(), n.CheckIssuable()
		_, _ = n.TextFor(dn.GnuTLS384)
		if printed, err := n.Text(); err == nil {
			checkRoundTrip(t, printed)
		}
	})
}

func BenchmarkText(b *testing.B) {
	n, err := dn.Parse("C=GB,ST=Somewhere,L=There,O=Example\\, Inc.,OU=Virtualisation,CN=host.example.com")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Text(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParentDropsTheLastRDN(t *testing.T) {
	for text, want := range map[string]string{
		"C=GB,O=Acme,CN=Acme CA":  "C=GB,O=Acme",
		"C=GB,O=a+O=b,CN=c+UID=d": "C=GB,O=a+O=b",
		"CN=virt-pki CA":          "",
	} {
		n, err := dn.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		parent := n.Parent()
		if want == "" {
			if !parent.IsEmpty() {
				t.Errorf("the parent of %s is not empty", text)
			}
			continue
		}
		if got, err := parent.Text(); err != nil || got != want {
			t.Errorf("the parent of %s is %q (%v), want %q", text, got, err, want)
		}
	}
	if !(dn.Name{}).Parent().IsEmpty() {
		t.Error("the empty name has a parent")
	}
}
