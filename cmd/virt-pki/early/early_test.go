package early

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyTheGoodCaseIsAnswered(t *testing.T) {
	cert, err := os.ReadFile("../testdata/query-dn/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string][]byte{"a.pem": cert, "b.pem": cert, "-x.pem": cert, "empty.pem": nil, "bad.pem": []byte("x"),
		"large.pem": append(bytes.Repeat([]byte("\n"), maxFile), cert...)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"virt-pki query-dn a.pem":             "CN=admin\n",
		"/usr/bin/virt-pki query-dn a.pem":    "CN=admin\n",
		"virt-pki query-dn a.pem b.pem":       "CN=admin\nCN=admin\n",
		"virt-pki-query-dn a.pem":             "CN=admin\n",
		"/opt/virt-pki-query-dn a.pem":        "CN=admin\n",
		"virt-pki-query-dn a.pem b.pem":       "",
		"virt-pki-query-dn":                   "",
		"virt-pki-query-dn query-dn a.pem":    "",
		"virt-pki-query-dn -h":                "",
		"virt-pki query-dn":                   "",
		"virt-pki":                            "",
		"virt-pki check a.pem":                "",
		"virt-pki query-dn --json a.pem":      "",
		"virt-pki query-dn a.pem --all":       "",
		"virt-pki --json query-dn a.pem":      "",
		"virt-pki query-dn -":                 "",
		"virt-pki query-dn a.pem -":           "",
		"virt-pki query-dn -x.pem":            "",
		"virt-pki query-dn -- a.pem":          "",
		"virt-pki query-dn missing.pem":       "",
		"virt-pki query-dn a.pem missing.pem": "",
		"virt-pki query-dn empty.pem":         "",
		"virt-pki query-dn bad.pem":           "",
		"virt-pki query-dn a.pem bad.pem":     "",
		"virt-pki query-dn large.pem":         "",
		"virt-pki query-dn dir":               "",
		"virt-pki query-dn fifo":              "", // and it does not wait
	} {
		if got, ok := answer(strings.Fields(line)); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", line, got, ok, want)
		}
	}
	if got, ok := answer([]string{"virt-pki", "query-dn", ""}); ok {
		t.Errorf("an empty name: %q", got)
	}
	if got, ok := answer(nil); ok {
		t.Errorf("no arguments: %q", got)
	}
}
