package dnmatch

// A Pattern is one compiled entry of tls_allowed_dn_list. It may be used by several goroutines.
type Pattern struct {
	text string
}

// Compile reads one entry. Every valid UTF-8 text is a pattern.
func Compile(pattern string) (Pattern, error) { panic("unimplemented") }

// String gives the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match reports whether GLib's g_pattern_match_simple lets dn pass, as libvirt 9.0 and later do.
func (p Pattern) Match(dn string) bool { panic("unimplemented") }

// MatchFnmatch reports whether fnmatch(pattern, dn, 0) lets dn pass, as libvirt before 7.0 did.
func (p Pattern) MatchFnmatch(dn string) bool { panic("unimplemented") }

// A List is a compiled tls_allowed_dn_list. A nil *List means that there is none: everybody may come in. An empty List
// admits nobody.
type List struct {
	patterns []Pattern
}

// A Decision says whether a name is let in, and why.
type Decision struct {
	Allowed bool
	// Matched is the first pattern that lets the name in; empty if none.
	Matched string
	// Reason says in one sentence why it is not let in, the nearest pattern named ("pattern 2 has the RDNs in reverse
	// order, as certtool prints them").
	Reason string
	// Suggestion is a pattern that would let this very name in.
	Suggestion string
}

// NewList compiles the entries in order.
func NewList(patterns []string) (*List, error) { panic("unimplemented") }

// Decide judges dn, which is the text of dn.Name.Text.
func (l *List) Decide(dn string) Decision { panic("unimplemented") }
