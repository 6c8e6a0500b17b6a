package chain

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

// A vector is one line of a set of verification tests: who made them says what is right (expect).
type vector struct {
	ID      string            `json:"id"`
	Files   map[string]string `json:"files"`
	Purpose string            `json:"purpose"`
	Expect  string            `json:"expect"`
	Tier    string            `json:"tier"`
	Time    string            `json:"time"`
}

// TestPublicVerificationVectors puts NIST's PKITS and OpenSSL's verification tests to Validate. They are others' data and
// not in this repository: VIRT_PKI_CHAINS names the directory with pkits.jsonl.gz and openssl-verify.jsonl.gz.
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
			total++
			got, why := judge(t, v)
			if got == v.Expect {
				agree++
				if otherwise[v.ID] != "" {
					t.Errorf("%s agrees now, though it should not: %s", v.ID, otherwise[v.ID])
				}
			} else if otherwise[v.ID] == "" {
				t.Errorf("%s (%s): %s, its makers say %s: %s", v.ID, v.Tier, got, v.Expect, why)
			}
		}
		t.Logf("%s: %d of %d", filepath.Base(file), agree, total)
	}
}

// otherwise names the vectors that are judged differently here, with the reason.
var otherwise = map[string]string{}

func readVectors(t *testing.T, file string) []vector {
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
	var out []vector
	s := bufio.NewScanner(z)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var v vector
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

func judge(t *testing.T, v vector) (verdict, why string) {
	t.Helper()
	q := Question{At: time.Now(), Role: map[string]certs.Role{"server": certs.Server, "client": certs.Client}[v.Purpose]}
	var err error
	if v.Time != "" {
		if q.At, err = time.Parse(time.RFC3339, v.Time); err != nil {
			t.Fatal(err)
		}
	}
	if text := v.Files["cacert.pem"]; text != "" {
		if q.Anchors, err = certs.ImportPEMList([]byte(text), 0); err != nil {
			return "reject", "CA file: " + err.Error()
		}
	}
	if q.Certificates, err = certs.ImportPEMList([]byte(v.Files["chain.pem"]), 0); err != nil {
		return "reject", "chain: " + err.Error()
	}
	if text := v.Files["crl.pem"]; text != "" {
		if q.Lists, err = crl.ParsePEM([]byte(text)); err != nil {
			return "reject", "CRL: " + err.Error()
		}
	}
	got := Validate(q)
	if got.Accepted {
		return "accept", ""
	}
	return "reject", got.Rule + ": " + got.Reason
}
