package vectors

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A Chain is one line of a set of verification tests: who made them says what is right, and what programs said to them was
// recorded.
type Chain struct {
	ID       string            `json:"id"`
	Files    map[string]string `json:"files"` // cacert.pem, chain.pem and crl.pem
	Purpose  string            `json:"purpose"`
	Expect   string            `json:"expect"` // accept or reject, as in Measured
	Tier     string            `json:"tier"`
	Time     string            `json:"time"`
	Measured map[string]string `json:"measured"`
}

// At gives the time as of which the chain is to be judged.
func (c Chain) At(t testing.TB) time.Time {
	t.Helper()
	if c.Time == "" {
		return time.Now()
	}
	at, err := time.Parse(time.RFC3339, c.Time)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// Chains gives NIST's PKITS and OpenSSL's verification tests by the name of their file, and skips the test where they are not:
// they are others' data and not in this repository. VIRT_PKI_CHAINS names the directory with pkits.jsonl.gz and
// openssl-verify.jsonl.gz.
func Chains(t testing.TB) map[string][]Chain {
	t.Helper()
	dir := os.Getenv("VIRT_PKI_CHAINS")
	if dir == "" {
		t.Skip("VIRT_PKI_CHAINS names no directory of verification vectors")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.jsonl.gz in %s", dir)
	}
	sets := map[string][]Chain{}
	for _, file := range files {
		sets[filepath.Base(file)] = JSON[Chain](t, file)
	}
	return sets
}
