package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestThePageOfRulesIsUpToDate compares docs/rules.md with the rules; "go test ./cmd/virt-pki -run Rules -update" rewrites it.
func TestThePageOfRulesIsUpToDate(t *testing.T) {
	const page = "../../docs/rules.md"
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := writeRulesPage(&want, cat.Rules()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the rules say; run: go test ./cmd/virt-pki -run Rules -update", page)
	}
}

// TestWhatIsSaidOfRulesIsUTF8: a sample need not be.
func TestWhatIsSaidOfRulesIsUTF8(t *testing.T) {
	for _, args := range [][]string{{"rules", "--markdown"}, {"rules", "--json"}, {"explain", "conf-dn-pattern-utf8"}, {"explain", "--json", "conf-dn-pattern-utf8"}} {
		var out bytes.Buffer
		if exit := run(append([]string{"virt-pki"}, args...), nil, &out, &out); exit != 0 || !utf8.Valid(out.Bytes()) {
			t.Errorf("%q: exit status %d, UTF-8: %v", args, exit, utf8.Valid(out.Bytes()))
		}
	}
	var out bytes.Buffer
	run([]string{"virt-pki", "explain", "conf-dn-pattern-utf8"}, nil, &out, &out)
	if want := `tls_allowed_dn_list = ["O=Caf\xe9,CN=admin"]`; !strings.Contains(out.String(), want) {
		t.Errorf("explain does not say %s:\n%s", want, &out)
	}
}

// TestRemediesNameCommandsThatExist looks at what the rules tell a user to type.
func TestRemediesNameCommandsThatExist(t *testing.T) {
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	app := (&program{}).app()
	named := regexp.MustCompile(`virt-pki ([a-z-]+)(?: ([a-z-]+))?`)
	found := 0
	for _, r := range cat.Rules() {
		for _, m := range named.FindAllStringSubmatch(r.Remedy, -1) {
			found++
			c := app.Command(m[1])
			if c == nil {
				t.Errorf("%s: there is no command %q: %s", r.ID, m[1], r.Remedy)
			} else if len(c.Subcommands) > 0 && m[2] != "" && c.Name != "conf" && findCommand(c.Subcommands, m[2]) == nil {
				t.Errorf("%s: %s has no %q: %s", r.ID, m[1], m[2], r.Remedy)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}
