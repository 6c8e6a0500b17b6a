package verify

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
)

// A hostCase is a recorded answer of gnutls_x509_crt_check_hostname2.
type hostCase struct {
	ID, D   string
	DER     []byte
	Host    string
	HostHex string `json:"host_hex"`
	R       *int
	NoWild  *int
	Imp     int
	Err     string
}

func hostCases(tb testing.TB) []hostCase {
	tb.Helper()
	f, err := os.Open("testdata/hostname.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var cases []hostCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c hostCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatal(err)
		}
		if c.HostHex != "" {
			b, err := hex.DecodeString(c.HostHex)
			if err != nil {
				tb.Fatal(err)
			}
			c.Host = string(b)
		}
		cases = append(cases, c)
	}
	if len(cases) < 100 {
		tb.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func TestHostGivesWhatTheLibraryGave(t *testing.T) {
	for _, c := range hostCases(t) {
		cert, err := certs.Import(c.DER)
		if c.R == nil {
			if err == nil || err.Error() != c.Err {
				t.Errorf("%s %s: import gives %v, want %q", c.ID, c.D, err, c.Err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: import: %v", c.ID, c.D, err)
			continue
		}
		if got := Host(cert, c.Host); got.Match != (*c.R == 1) || (got.Via != "") != got.Match || got.Reason == "" {
			t.Errorf("%s %s: %q: got %+v, want %d", c.ID, c.D, c.Host, got, *c.R)
		}
		want := *c.R
		if c.NoWild != nil {
			want = *c.NoWild
		}
		if got := matchHost(cert, c.Host, false); got.Match != (want == 1) {
			t.Errorf("%s %s: %q without wildcards: got %+v, want %d", c.ID, c.D, c.Host, got, want)
		}
	}
}

func TestTheInstalledLibraryStillGivesIt(t *testing.T) {
	l := gnutls.Load(t)
	for _, c := range hostCases(t) {
		cert, code := l.Import(c.DER, false)
		if code != c.Imp {
			t.Errorf("%s %s: import gives %d, want %d", c.ID, c.D, code, c.Imp)
		}
		if code < 0 {
			continue
		}
		if got := cert.CheckHostname(c.Host, gnutls.VerifyDefault); got != (*c.R == 1) {
			t.Errorf("%s %s: %q: got %t, want %d", c.ID, c.D, c.Host, got, *c.R)
		}
		cert.Close()
	}
}

func TestTheReasonSaysWhatMatchedOrWhatTheCertificateIsFor(t *testing.T) {
	certificate := func(cn string, altNames ...[]byte) *certs.Certificate {
		t.Helper()
		algorithm := bytesOf("300a06082a8648ce3d040302")
		version, extensions := []byte(nil), []byte(nil)
		if altNames != nil {
			version = bytesOf("a003020102")
			extensions = tlv(0xa3, tlv(0x30, tlv(0x30, bytesOf("0603551d11"), tlv(4, tlv(0x30, altNames...)))))
		}
		subject := tlv(0x30, tlv(0x31, tlv(0x30, bytesOf("0603550403"), tlv(12, []byte(cn)))))
		tbs := tlv(0x30, version, bytesOf("020101"), algorithm, bytesOf("300c310a300806035504030c0161"),
			bytesOf("301e170d3234303130313030303030305a170d3334303130313030303030305a"), subject,
			tlv(0x30, algorithm, bytesOf("03020004")), extensions)
		c, err := certs.Import(tlv(0x30, tbs, algorithm, bytesOf("03020000")))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	dns := func(s string) []byte { return tlv(0x82, []byte(s)) }
	both := certificate("cn.example.com", dns("*.example.com"), tlv(0x87, []byte{192, 0, 2, 1}))
	for _, c := range []struct {
		cert *certs.Certificate
		host string
		want HostMatch
	}{
		{both, "www.example.com", HostMatch{true, ViaDNS, `the dNSName "*.example.com" is for "www.example.com"`}},
		{both, "192.0.2.1", HostMatch{true, ViaIP, `the iPAddress 192.0.2.1 is for "192.0.2.1"`}},
		{both, "192.0.2.2", HostMatch{false, "", `no iPAddress in the certificate is 192.0.2.2, and for an address nothing else counts; ` +
			`it is for "*.example.com", 192.0.2.1`}},
		{both, "a.b.example.com", HostMatch{false, "", `no name in the certificate is for "a.b.example.com" (the common name does not ` +
			`count beside an alternative name of type dNSName); it is for "*.example.com", 192.0.2.1`}},
		{certificate("cn.example.com"), "CN.example.com", HostMatch{true, ViaCN,
			`the common name "cn.example.com" is for "CN.example.com", and no subjectAltName says otherwise`}},
		{certificate("cn.example.com"), "other", HostMatch{false, "", `no name in the certificate is for "other" (the common name does ` +
			`not match either); it has no dNSName or iPAddress, and its common name is "cn.example.com"`}},
		{certificate("*.example.com", dns("san.example.org")), "-ä.example.com", HostMatch{true, ViaCN,
			`the common name "*.example.com" is for "-ä.example.com"; the host name is not valid under IDNA, so that the ` +
				`subjectAltName is not looked at`}},
	} {
		if got := Host(c.cert, c.host); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.host, got, c.want)
		}
	}
}
