package finding

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSeveritiesHaveNamesAndAnOrder(t *testing.T) {
	for _, s := range []Severity{Note, Warning, Error} {
		got, err := ParseSeverity(s.String())
		if err != nil || got != s {
			t.Errorf("ParseSeverity(%q) = %v, %v", s, got, err)
		}
	}
	if !(Note < Warning && Warning < Error) {
		t.Error("the severities are not in order")
	}
	if _, err := ParseSeverity("fatal"); err == nil || err.Error() != `no severity "fatal": note, warning or error` {
		t.Errorf("got %v", err)
	}
	if got := Severity(9).String(); got != "severity(9)" {
		t.Errorf("got %q", got)
	}
}

func TestWorstOfNothingIsBelowAllSeverities(t *testing.T) {
	if got := Worst(nil); got >= Note {
		t.Errorf("got %v", got)
	}
	if got := Worst([]Finding{{Severity: Note}, {Severity: Error}, {Severity: Warning}}); got != Error {
		t.Errorf("got %v", got)
	}
}

func TestJSONOfAFindingIsTheContract(t *testing.T) {
	r := Rule{ID: "a-rule", Severity: Warning, Effect: Ignores, Remedy: "cure it", Since: "9.0", Until: "11.6"}
	b, err := json.Marshal(r.Finding("file:3", "it is so"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rule":"a-rule","severity":"warning","effect":"ignores","subject":"file:3","message":"it is so",` +
		`"remedy":"cure it","since":"9.0","until":"11.6"}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	var back Finding
	if err := json.Unmarshal(b, &back); err != nil || back.Severity != Warning {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"severity":"bad"}`), &back); err == nil {
		t.Error("a severity that is none was read")
	}
}

func rules() []Rule {
	return []Rule{
		{ID: "expired", LibvirtMessages: []string{"The {role} certificate {path} has expired"}},
		{ID: "refused", LibvirtMessages: []string{"Unable to read TLS confirmation: Input/output error", "certificate"}, DependsOn: []string{"not-sent"}},
		{ID: "not-sent", DependsOn: []string{"no-identity"}},
		{ID: "no-identity"},
	}
}

func TestCatalogueRefusesWhatDoesNotFitTogether(t *testing.T) {
	if _, err := NewCatalogue(rules(), []Rule{{ID: "expired"}}); err == nil || err.Error() != `two rules are called "expired"` {
		t.Errorf("got %v", err)
	}
	if _, err := NewCatalogue([]Rule{{ID: "a", DependsOn: []string{"b"}}}); err == nil || err.Error() != `rule "a" depends on "b", which is no rule` {
		t.Errorf("got %v", err)
	}
}

func TestRulesAreFoundByIDAndByMessage(t *testing.T) {
	c, err := NewCatalogue(rules())
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := c.Rule("not-sent"); !ok || r.ID != "not-sent" {
		t.Errorf("got %v, %v", r, ok)
	}
	if _, ok := c.Rule("nothing"); ok {
		t.Error("a rule that does not exist was found")
	}
	for _, c2 := range []struct{ name, text, want string }{
		{"a message with its words filled in", "The server certificate /etc/pki/libvirt/servercert.pem has expired", "expired refused"},
		{"inside a log line", "2026-11-25 03:26:22.000+0000: 7: error : virNet: The client certificate x has expired", "expired refused"},
		{"the most specific message first", "certificate", "refused"},
		{"nothing fits", "no route to host", ""},
		{"not across lines", "The server certificate\nhas expired", "refused"},
	} {
		var got []string
		for _, r := range c.ByMessage(c2.text) {
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != c2.want {
			t.Errorf("%s: got %v, want %q", c2.name, got, c2.want)
		}
	}
}

func TestRootKeepsCausesAndDropsTheirConsequences(t *testing.T) {
	c, err := NewCatalogue(rules())
	if err != nil {
		t.Fatal(err)
	}
	fs := []Finding{
		{Rule: "refused", Subject: "a"},     // through not-sent, which is not found itself
		{Rule: "no-identity", Subject: "a"}, // the cause
		{Rule: "refused", Subject: "b"},     // another subject: no cause there
		{Rule: "expired", Subject: "a"},
		{Rule: "unknown-rule", Subject: "a"},
	}
	var got []string
	for _, f := range c.Root(fs) {
		got = append(got, f.Subject+":"+f.Rule)
	}
	if want := "a:no-identity b:refused a:expired a:unknown-rule"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %q", got, want)
	}
}

func TestRootKeepsWhatIsWorseThanItsCause(t *testing.T) {
	c, err := NewCatalogue([]Rule{{ID: "cause"}, {ID: "consequence", DependsOn: []string{"cause"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cause, consequence Severity
		kept               int
	}{{Warning, Error, 2}, {Error, Error, 1}, {Error, Note, 1}, {Note, Warning, 2}} {
		got := c.Root([]Finding{{Rule: "consequence", Severity: tt.consequence}, {Rule: "cause", Severity: tt.cause}})
		if len(got) != tt.kept {
			t.Errorf("%v of a %v: %v", tt.consequence, tt.cause, got)
		}
	}
}

func TestRootEndsOnRulesThatDependOnEachOther(t *testing.T) {
	c, err := NewCatalogue([]Rule{{ID: "a", DependsOn: []string{"b"}}, {ID: "b", DependsOn: []string{"a"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Root([]Finding{{Rule: "a"}}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func FuzzByMessage(f *testing.F) {
	f.Add("The {role} certificate {path} has expired", "The server certificate x has expired")
	f.Add("{", "(")
	f.Fuzz(func(t *testing.T, message, text string) {
		c, err := NewCatalogue([]Rule{{ID: "r", LibvirtMessages: []string{message}}})
		if err != nil {
			t.Fatal(err)
		}
		c.ByMessage(text)
		// A message without placeholders is found in itself.
		if message != "" && !strings.ContainsAny(message, "{}\n") && len(c.ByMessage(message)) != 1 {
			t.Errorf("%q is not found in itself", message)
		}
	})
}
