package certs_test

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A queryCase is a recorded run of virt-pki-query-dn.
type queryCase struct {
	ID, K, D string
	DER      []byte
	File     []byte
	Args     []string
	RC       int
	Out      string
	OutB64   []byte `json:"out_b64"`
	Err      string
}

// input gives the contents of the file that the tool read, nil where the case is about its command line.
func (c *queryCase) input() []byte {
	switch {
	case c.DER != nil:
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
	case c.Args == nil:
		return c.File
	}
	return nil
}

func queryCases(tb testing.TB) []queryCase {
	tb.Helper()
	f, err := os.Open("testdata/query-dn.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var cases []queryCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c queryCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			tb.Fatal(err)
		}
		cases = append(cases, c)
	}
	if len(cases) < 100 {
		tb.Fatalf("only %d cases", len(cases))
	}
	return cases
}

// query gives what the tool would: exit status, stdout, stderr.
func query(file []byte) (rc int, out, stderr string) {
	text, err := certs.QueryDN(file)
	switch {
	case errors.Is(err, dn.ErrAborts):
		return -6, "", ""
	case err != nil:
		return 1, "", err.Error() + "\n"
	}
	return 0, text + "\n", ""
}

func TestQueryDNGivesWhatTheToolGave(t *testing.T) {
	for _, c := range queryCases(t) {
		file := c.input()
		if file == nil && c.Args != nil {
			continue // the command line's business
		}
		rc, out, stderr := query(file)
		want := c.Out
		if c.OutB64 != nil {
			want = string(c.OutB64)
		}
		if rc == -6 && c.RC == -6 {
			continue
		}
		if rc != c.RC || out != want || stderr != c.Err {
			t.Errorf("%s %s %s:\n got %d %q %q\nwant %d %q %q", c.ID, c.K, c.D, rc, out, stderr, c.RC, want, c.Err)
		}
	}
}
