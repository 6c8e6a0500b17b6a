package verify

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
)

// A chainVector is one line of a set of verification tests: who made them says what is right (expect), and what GnuTLS
// 3.7.9 said to them was recorded (measured.gnutls).
type chainVector struct {
	ID       string            `json:"id"`
	Files    map[string]string `json:"files"`
	Purpose  string            `json:"purpose"`
	Expect   string            `json:"expect"`
	Time     string            `json:"time"`
	Measured map[string]string `json:"measured"`
}

// otherwise names the vectors where libvirt's use of GnuTLS differs from how the vectors were put to it, with the reason.
var otherwise = map[string]string{
	"077_fail-server-leaf-purpose":                    "libvirt gives GnuTLS no purpose; it looks at extendedKeyUsage itself",
	"078_fail-client-leaf-purpose":                    "libvirt gives GnuTLS no purpose; it looks at extendedKeyUsage itself",
	"101_reject-RSA-768-root-at-auth-level-1":         "recorded without the profile LOW that a session has",
	"103_reject-RSA-768-intermediate-at-auth-level-1": "recorded without the profile LOW that a session has",
	"105_reject-RSA-768-leaf-at-auth-level-1":         "recorded without the profile LOW that a session has",
	"4.14.15_InvalidonlySomeReasonsTest15":            "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.14.20_InvalidonlySomeReasonsTest20":            "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.15.3_InvaliddeltaCRLTest3":                     "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.5.5_InvalidBasicSelfIssuedNewWithOldTest5":     "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.5.7_InvalidBasicSelfIssuedCRLSigningKeyTest7":  "recorded with all lists of one issuer; libvirt keeps the newest",
}

// TestPublicVerificationVectors puts NIST's PKITS and OpenSSL's verification tests to VerifyPeer and compares with what
// GnuTLS said. They are others' data and not in this repository: VIRT_PKI_CHAINS names the directory with
// pkits.jsonl.gz and openssl-verify.jsonl.gz.
func TestPublicVerificationVectors(t *testing.T) {
	dir := os.Getenv("VIRT_PKI_CHAINS")
	if dir == "" {
		t.Skip("VIRT_PKI_CHAINS names no directory of verification vectors")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.jsonl.gz in %s", dir)
	}
	for _, file := range files {
		total, agree := 0, 0
		for _, v := range readVectors(t, file) {
			want, ok := v.Measured["gnutls"]
			if !ok || want == "n/a" {
				continue
			}
			total++
			got, why := judgeVector(t, v)
			if got == want {
				agree++
				if why := otherwise[v.ID]; why != "" {
					t.Errorf("%s agrees now, though it should not: %s", v.ID, why)
				}
				continue
			}
			if otherwise[v.ID] != "" {
				continue
			}
			t.Errorf("%s: %s, GnuTLS says %s (expected by its makers: %s): %s", v.ID, got, want, v.Expect, why)
		}
		t.Logf("%s: %d of %d as GnuTLS", filepath.Base(file), agree, total)
	}
}

func readVectors(t *testing.T, file string) []chainVector {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []chainVector
	s := bufio.NewScanner(z)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var v chainVector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out
}

func judgeVector(t *testing.T, v chainVector) (verdict, why string) {
	t.Helper()
	at := time.Now()
	if v.Time != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, v.Time); err != nil {
			t.Fatal(err)
		}
	}
	cas, err := certs.ImportPEMList([]byte(v.Files["cacert.pem"]), 0)
	if err != nil && len(v.Files["cacert.pem"]) > 100 {
		return "reject", "CA file: " + err.Error()
	}
	chain, err := certs.ImportPEMList([]byte(v.Files["chain.pem"]), 0)
	if err != nil {
		return "reject", "chain: " + err.Error()
	}
	var lists []*crl.List
	if text := v.Files["crl.pem"]; text != "" {
		if lists, err = crl.ParsePEM([]byte(text)); err != nil {
			return "reject", "CRL: " + err.Error()
		}
	}
	verdict = "accept"
	got := VerifyPeer(chain, cas, lists, at)
	if got.Status != 0 {
		p, _ := got.Main()
		verdict, why = "reject", got.Status.Reason()+" "+p.Text
	}
	return verdict, why
}
