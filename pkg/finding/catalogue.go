package finding

import (
	"fmt"
	"sort"
	"strings"
)

// A Catalogue is a set of rules that can be looked up. The zero value is empty.
type Catalogue struct {
	rules []Rule // sorted by ID
}

// NewCatalogue gathers rules. It refuses two rules of one ID and a DependsOn that names none.
func NewCatalogue(sets ...[]Rule) (Catalogue, error) {
	var c Catalogue
	for _, s := range sets {
		c.rules = append(c.rules, s...)
	}
	sort.Slice(c.rules, func(i, j int) bool { return c.rules[i].ID < c.rules[j].ID })
	for i, r := range c.rules {
		if i > 0 && c.rules[i-1].ID == r.ID {
			return Catalogue{}, fmt.Errorf("two rules are called %q", r.ID)
		}
	}
	for _, r := range c.rules {
		for _, d := range r.DependsOn {
			if _, ok := c.Rule(d); !ok {
				return Catalogue{}, fmt.Errorf("rule %q depends on %q, which is no rule", r.ID, d)
			}
		}
	}
	return c, nil
}

// Named gives the rule of that ID among a package's own. It panics when there is none: the ID stands in the code, and the
// tests find a wrong one.
func Named(rules []Rule, id string) Rule {
	for _, r := range rules {
		if r.ID == id {
			return r
		}
	}
	panic("no rule " + id)
}

// Rules gives all rules, sorted by ID. The slice is the caller's.
func (c Catalogue) Rules() []Rule { return append([]Rule(nil), c.rules...) }

// Rule looks a rule up by its ID.
func (c Catalogue) Rule(id string) (Rule, bool) {
	i := sort.Search(len(c.rules), func(i int) bool { return c.rules[i].ID >= id })
	if i < len(c.rules) && c.rules[i].ID == id {
		return c.rules[i], true
	}
	return Rule{}, false
}

// ByMessage finds the rules one of whose libvirt messages stands in text (a log line, an error as the user saw it), the
// most specific message first. Of a message's {words} each stands for any text on the line. The words that libvirt puts
// before the message of a class of errors may be missing in text. If no whole message stands in it, those are found in
// which text stands, as when somebody quotes only the end of one.
func (c Catalogue) ByMessage(text string) []Rule {
	type hit struct {
		rule    Rule
		literal int // characters of the message that are not placeholders
	}
	var hits []hit
	for _, r := range c.rules {
		best := 0
		for _, m := range r.LibvirtMessages {
			if parts, n := literals(m); n > best && onOneLine(text, parts) {
				best = n
			}
			if rest := withoutClass(m); rest != m {
				if parts, n := literals(rest); n > best && n >= minQuoted && onOneLine(text, parts) {
					best = n
				}
			}
		}
		if best > 0 {
			hits = append(hits, hit{r, best})
		}
	}
	if part := strings.Trim(text, " \t\r\n."); len(hits) == 0 && len(part) >= minQuoted {
		for _, r := range c.rules {
			for _, m := range r.LibvirtMessages {
				if parts, _ := literals(m); containsAny(parts, part) {
					hits = append(hits, hit{r, 0})
					break
				}
			}
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].literal > hits[j].literal })
	rules := make([]Rule, len(hits))
	for i, h := range hits {
		rules[i] = h.rule
	}
	return rules
}

// classes are what libvirt puts before the messages of some kinds of errors (virErrorMsg).
var classes = []string{"unsupported configuration: ", "internal error: ", "invalid argument: ", "authentication failed: ",
	"configuration file syntax error: ", "operation failed: ", "Requested operation is not valid: "}

func withoutClass(message string) string {
	for _, c := range classes {
		if rest, ok := strings.CutPrefix(message, c); ok {
			return rest
		}
	}
	return message
}

// minQuoted is how long a part of a message must be to stand for it.
const minQuoted = 14

func containsAny(parts []string, text string) bool {
	for _, p := range parts {
		if strings.Contains(p, text) {
			return true
		}
	}
	return false
}

// literals splits a message at its {words} and counts the characters that are left.
func literals(message string) (parts []string, n int) {
	for {
		i := strings.IndexByte(message, '{')
		j := -1
		if i >= 0 {
			j = strings.IndexByte(message[i:], '}')
		}
		if j < 2 || strings.Trim(message[i+1:i+j], "abcdefghijklmnopqrstuvwxyz_") != "" {
			return append(parts, message), n + len(message)
		}
		parts = append(parts, message[:i])
		n += i
		message = message[i+j+1:]
	}
}

// onOneLine reports whether the parts stand on one line of text, in order.
func onOneLine(text string, parts []string) bool {
	for line := range strings.Lines(text) {
		found := true
		for _, p := range parts {
			var ok bool
			if _, line, ok = strings.Cut(line, p); !ok {
				found = false
				break
			}
		}
		if found {
			return true
		}
	}
	return false
}

// Root drops the findings that are consequences: those whose rule depends, directly or through others, on a rule that
// is also found for the same subject. What is worse than its cause stays, so that the worst severity does. Order is kept.
func (c Catalogue) Root(fs []Finding) []Finding {
	found := map[[2]string]Severity{}
	for _, f := range fs {
		k := [2]string{f.Subject, f.Rule}
		found[k] = max(found[k], f.Severity)
	}
	// follows reports whether a finding of the rule start has a cause among those found, looking upwards from rule.
	var follows func(f Finding, rule string, seen map[string]bool) bool
	follows = func(f Finding, rule string, seen map[string]bool) bool {
		r, ok := c.Rule(rule)
		if !ok || seen[rule] {
			return false
		}
		seen[rule] = true
		for _, d := range r.DependsOn {
			if s, ok := found[[2]string{f.Subject, d}]; ok && d != f.Rule && s >= f.Severity || follows(f, d, seen) {
				return true
			}
		}
		return false
	}
	var out []Finding
	for _, f := range fs {
		if !follows(f, f.Rule, map[string]bool{}) {
			out = append(out, f)
		}
	}
	return out
}
