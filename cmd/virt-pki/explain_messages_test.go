package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// TestEveryMessageLeadsSomewhere puts the messages of libvirt, QEMU and GnuTLS to explain: each has causes, the likeliest
// first as testdata/messages.txt says, and with each a command that tells it from the others.
func TestEveryMessageLeadsSomewhere(t *testing.T) {
	text, err := os.ReadFile("testdata/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		want, message, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("no tab in %q", line)
		}
		n++
		for _, said := range []string{message, "2026-11-23 10:00:00.000+0000: 4711: error : someFunction:123 : " + message, "error: " + message + "\nerror: more"} {
			m, rules := explainMessage(cat, said)
			if m == nil || len(m.Causes) == 0 {
				t.Errorf("%q leads nowhere", said)
				continue
			}
			first := m.Causes[0].Rule
			if first == "" {
				first = "-"
			}
			if first != want {
				t.Errorf("%q leads to %s first, want %s", said, first, want)
			}
			if want != "-" && (len(rules) == 0 || rules[0].ID != want) {
				t.Errorf("%q: the first rule is not %s", said, want)
			}
			for _, c := range m.Causes {
				if c.Cause == "" || c.Command == "" {
					t.Errorf("%q: a cause without words or command: %+v", said, c)
				}
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d messages", n)
	}
}

// TestCausesNameTheFault looks for causes that say what is right: titles of rules that are demands, without a text in faults.
// The packages named here have titles that name the fault.
func TestCausesNameTheFault(t *testing.T) {
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	named := slices.Concat(verify.Rules(), layout.Rules(), handshake.Rules())
	asCause := map[string]bool{}
	for _, s := range symptoms {
		for _, c := range s.causes {
			asCause[c.rule] = asCause[c.rule] || c.why == ""
		}
	}
	for _, r := range cat.Rules() {
		text, ok := faults[r.ID]
		needed := (asCause[r.ID] || len(r.LibvirtMessages) > 0) && !containsRule(named, r.ID)
		if needed && !ok {
			t.Errorf("%s comes as a cause, and is called %q", r.ID, r.Title)
		}
		if ok && (text == "" || text == r.Title) {
			t.Errorf("%s: %q is no fault", r.ID, text)
		}
	}
	for id := range faults {
		if _, ok := cat.Rule(id); !ok {
			t.Errorf("no rule %q", id)
		}
	}
}

// TestSymptomsAreSound looks for rules and commands that do not exist.
func TestSymptomsAreSound(t *testing.T) {
	cat, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	app := (&program{}).app()
	named := regexp.MustCompile(`virt-pki ([a-z-]+)`)
	for _, s := range symptoms {
		if s.text == "" || len(s.causes) == 0 || len(s.messages) == 0 {
			t.Errorf("%q is not whole", s.messages)
		}
		for _, c := range s.causes {
			if _, ok := cat.Rule(c.rule); c.rule != "" && !ok {
				t.Errorf("%q: no rule %q", s.messages[0], c.rule)
			}
			if c.rule == "" && c.why == "" {
				t.Errorf("%q: a cause without words", s.messages[0])
			}
			for _, m := range named.FindAllStringSubmatch(c.tell, -1) {
				if app.Command(m[1]) == nil {
					t.Errorf("%q: no command %q: %s", s.messages[0], m[1], c.tell)
				}
			}
		}
	}
	for _, r := range cat.Rules() {
		if tells(r.ID) == "" {
			t.Errorf("nothing tells %s", r.ID)
		}
		// A rule's own messages lead to it.
		for _, m := range r.LibvirtMessages {
			said := regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(m, "x")
			if _, rules := explainMessage(cat, said); !containsRule(rules, r.ID) {
				t.Errorf("%q does not lead to its own rule %s", said, r.ID)
			}
		}
	}
}

func containsRule(rules []finding.Rule, id string) bool {
	for _, r := range rules {
		if r.ID == id {
			return true
		}
	}
	return false
}
