package dnmatch

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/glob"
)

// A Pattern is one compiled entry of tls_allowed_dn_list. It may be used by several goroutines. The zero value is the
// empty pattern, which matches the empty name only.
type Pattern struct {
	text string
	c    *compiled
}

// compiled is what a Pattern shares between its copies.
type compiled struct {
	form  form
	glob  *glob.Pattern // nil: the pattern is not valid UTF-8 or has very many wildcards, form is to be used
	stars int
	// needed is the longest literal run of the pattern, which a name must contain: most names fail here already. It is
	// empty for a pattern that is not valid UTF-8, of which GLib reorders the octets when it reverses it.
	needed string
	print  uint64 // see fingerprint
}

// gobwasBound is the product of stars in the pattern and octets in the name above which the walk of form is used: on
// sixteen stars and a thousand octets gobwas/glob takes 40 times as long, and its time grows with more than the square.
const gobwasBound = 1 << 12

// Compile reads one entry. Every text without a NUL is a pattern. One that is not valid UTF-8 compiles too, since
// libvirt takes it: see [Pattern.ValidUTF8].
func Compile(pattern string) (Pattern, error) {
	if i := strings.IndexByte(pattern, 0); i >= 0 {
		return Pattern{}, &PatternError{Pattern: pattern, Offset: i, Reason: "a NUL, where C ends the text"}
	}
	c := &compiled{form: analyse(pattern), stars: strings.Count(pattern, "*"), print: fingerprint(pattern)}
	if wildcards := c.stars + strings.Count(pattern, "?"); wildcards > gobwasBound {
		return Pattern{text: pattern, c: c}, nil // gobwas/glob would take a hundred octets for each
	}
	if utf8.ValidString(pattern) {
		g, err := glob.Compile(translate(pattern))
		if err != nil {
			// Nothing that translate gives is a syntax error; see FuzzMatch.
			return Pattern{}, &PatternError{Pattern: pattern, Reason: err.Error()}
		}
		c.glob = g
		for run := range strings.FieldsFuncSeq(pattern, func(r rune) bool { return r == '*' || r == '?' }) {
			if len(run) > len(c.needed) {
				c.needed = run
			}
		}
	}
	return Pattern{text: pattern, c: c}, nil
}

// A PatternError says why a text is no pattern.
type PatternError struct {
	Pattern string
	Offset  int // in octets
	Reason  string
}

// Error names pattern, place and reason.
func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern %q: at octet %d: %s", e.Pattern, e.Offset, e.Reason)
}

// translate escapes what gobwas/glob treats specially and GLib does not.
func translate(pattern string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`).Replace(pattern)
}

// String gives the pattern as it was written.
func (p Pattern) String() string { return p.text }

// compiledForm gives the form of the pattern, also of the zero value.
func (p Pattern) compiledForm() form {
	if p.c == nil {
		return form{}
	}
	return p.c.form
}

// Match reports whether GLib's g_pattern_match_simple lets dn pass, as libvirt 9.0 and later do. Where GLib aborts or
// reads beyond the name it does not match.
func (p Pattern) Match(dn string) bool { return p.match(dn, utf8.ValidString(dn)) }

// match is Match for a name of which it is known whether it is valid UTF-8.
func (p Pattern) match(dn string, valid bool) bool {
	if p.c == nil {
		return dn == ""
	}
	if valid && p.c.glob != nil {
		if len(dn) < p.c.form.min || !strings.Contains(dn, p.c.needed) {
			return false
		}
		if p.c.stars*len(dn) <= gobwasBound {
			return p.c.glob.Match(dn)
		}
	}
	return p.c.form.match(dn) == yes
}

// MatchFnmatch reports whether fnmatch(pattern, dn, 0) lets dn pass, as libvirt before 7.0 did, in a UTF-8 locale: ?
// and brackets stand for characters; what does not match so, or is not valid UTF-8, is matched once more by octets, as
// glibc does.
func (p Pattern) MatchFnmatch(dn string) bool {
	return utf8Fnmatch(p.text, dn)
}

// MatchFnmatchC is MatchFnmatch in the C locale, in which systemd starts services that set no other: ? and brackets
// stand for octets.
func (p Pattern) MatchFnmatchC(dn string) bool {
	return octetFnmatch(p.text, dn)
}

// ValidUTF8 reports whether the pattern is valid UTF-8. GLib does not check; a pattern that is not so may match parts of
// characters, and can end the daemon ([Pattern.Aborts]).
func (p Pattern) ValidUTF8() bool { return utf8.ValidString(p.text) }

// Reversed reports whether GLib matches this pattern from its end: it then first reverses the name, and ends the process
// when the name is not valid UTF-8 in a way that [Pattern.Aborts] knows. This is so for patterns with wildcards, other
// than a single * at the start or the end, of which more follows the last * than precedes the first (without *: the
// same with ?).
func (p Pattern) Reversed() bool { return p.compiledForm().kind == backward }

// Aborts reports whether matching dn with this pattern ends the process, in libvirtd that is the daemon, with an
// assertion of g_utf8_strreverse: the pattern is [Pattern.Reversed], and the last character of dn, by its first octet,
// is longer than what is left of dn. The pattern itself can have that fault too; it then aborts on every name.
func (p Pattern) Aborts(dn string) bool { return p.compiledForm().match(dn) == aborts }

// Overreads reports whether GLib reads beyond the end of dn with this pattern. What happens then is not defined.
func (p Pattern) Overreads(dn string) bool { return p.compiledForm().match(dn) == overreads }
