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
		if got := HostWithoutWildcards(cert, c.Host); got.Match != (want == 1) {
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
