package conf

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Names as the real tool prints them are patterns that match, so that none may be called impossible.
func TestRealNamesAreNotCalledImpossible(t *testing.T) {
	b, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(names) < 50 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		for _, rule := range patternRules(name) {
			if rule == "conf-dn-pattern-never" || rule == "conf-dn-pattern-utf8" {
				t.Errorf("%q: %s", name, rule)
			}
		}
	}
}

func patternRules(p string) []string {
	l := &linter{f: &File{name: "F"}, alike: map[string]int{}}
	l.pattern(p, 1)
	var rules []string
	for _, f := range l.found {
		rules = append(rules, f.Rule)
	}
	return rules
}

func TestPatternsAreJudged(t *testing.T) {
	const never, broad, open = "conf-dn-pattern-never", "conf-dn-pattern-broad", "conf-dn-pattern-open-end"
	for p, want := range map[string][]string{
		"C=GB,O=Acme,CN=admin":      nil,
		"":                          {never},
		"admin":                     {never},
		"/C=GB/O=Acme":              {never},
		"Subject: C=GB,O=Acme":      {never},
		"subject=C = GB, O = Acme":  {never},
		"C = GB,O=Acme":             {never},
		"C=GB, O=Acme":              {never},
		"C= GB":                     {never},
		"C=GB,O=Acme ":              {never},
		`C=GB,O=Acme\ `:             nil,
		`C=GB,O=Foo "Bar"`:          {never},
		`C=GB,O=Foo \"Bar\"`:        nil,
		"c=GB,o=Acme,cn=x":          {never},
		"C=GB,O=Acme,E=a@b":         {never},
		"C=GB,O=Acme,EMAIL=a@b":     nil,
		"2.5.4.97=#0c03616263,CN=x": nil,
		`C=GB,O=Acme\, Inc,CN=x`:    nil,
		"C=GB,O=*, Inc,CN=x":        {"conf-dn-pattern-abort"},
		"CN=x,O=Acme,C=GB":          {"conf-dn-pattern-reversed"},
		"CN=*,O=Acme,C=GB":          {"conf-dn-pattern-abort", "conf-dn-pattern-reversed"},
		"CN=x[0-9]":                 {"conf-dn-pattern-class"},
		"CN={a,b}":                  {"conf-dn-pattern-class"},
		"*":                         {broad},
		"*CN=admin":                 {broad},
		"C=GB,*":                    {broad},
		"C=GB,O=Acme,CN=*":          {open},
		"DC=com,DC=example,CN=x":    nil,
		"CN=*.lab.test":             {"conf-dn-pattern-abort"},
		"O=Caf\xe9,CN=x":            {"conf-dn-pattern-utf8"},
	} {
		if got := patternRules(p); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", p, got, want)
		}
	}
}
