package dnmatch

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A List is a compiled tls_allowed_dn_list. A nil *List means that there is none: everybody may come in. An empty List
// admits nobody. It may be used by several goroutines.
type List struct {
	patterns []Pattern
	// needed holds each pattern's longest literal, one behind the other in memory: of a long list the most part is
	// refused by these alone, without a look at the patterns.
	needed []string
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
	// Nearest is the place in the list, from 0, of the pattern that Reason speaks of; -1 when it speaks of none.
	Nearest int
	// Aborts says that the daemon ends itself over this name, at the pattern Nearest: see [Pattern.Aborts].
	Aborts bool
}

// NewList compiles the entries in order.
func NewList(patterns []string) (*List, error) {
	l := &List{patterns: make([]Pattern, len(patterns))}
	for i, text := range patterns {
		p, err := Compile(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		l.patterns[i] = p
	}
	var all strings.Builder
	for _, p := range l.patterns {
		all.WriteString(p.c.needed)
	}
	rest := all.String()
	l.needed = make([]string, len(l.patterns))
	for i, p := range l.patterns {
		l.needed[i], rest = rest[:len(p.c.needed)], rest[len(p.c.needed):]
	}
	return l, nil
}

// Patterns gives the entries in order. The slice is the caller's.
func (l *List) Patterns() []Pattern {
	if l == nil {
		return nil
	}
	return append([]Pattern(nil), l.patterns...)
}

// Match gives the place of the first pattern that lets dn in, from 0. It reports false when none does; with a nil List
// it gives -1 and true. libvirt tries the patterns in this order, so that one which aborts the daemon ends the search:
// nobody is let in then.
func (l *List) Match(dn string) (index int, ok bool) {
	if l == nil {
		return -1, true
	}
	valid := utf8.ValidString(dn)
	for i, needed := range l.needed {
		if valid && !strings.Contains(dn, needed) {
			continue
		}
		p := l.patterns[i]
		if p.match(dn, valid) {
			return i, true
		}
		if (!valid || p.c.glob == nil) && p.Aborts(dn) {
			return i, false
		}
	}
	return -1, false
}

// Decide judges dn, which is the text of dn.Name.Text. Where many patterns refuse it, the explanation looks closely at
// those only that have most in common with dn.
func (l *List) Decide(dn string) Decision {
	i, ok := l.Match(dn)
	switch {
	case l == nil:
		return Decision{Allowed: true, Nearest: -1}
	case ok:
		return Decision{Allowed: true, Matched: l.patterns[i].text, Nearest: i}
	case i >= 0:
		culprit := "the name is not valid UTF-8, and"
		if l.patterns[i].c.form.faulty {
			culprit = "whatever the name,"
		}
		return Decision{Nearest: i, Aborts: true, Reason: fmt.Sprintf("%s pattern %d, which is matched backwards, makes GLib abort: "+
			"the daemon ends itself", culprit, i+1)}
	}
	d := Decision{Nearest: -1}
	if p, err := Compile(dn); err == nil && p.Match(dn) && dn != "" {
		d.Suggestion = dn
	}
	switch {
	case len(l.patterns) == 0:
		d.Reason = "the list is empty: libvirt lets nobody in"
	case dn == "":
		d.Reason = "the name is empty"
	default:
		if n, ok := l.nearest(dn); ok {
			d.Nearest, d.Reason = n.index, n.reason
			if n.suggestion != "" {
				d.Suggestion = n.suggestion
			}
			break
		}
		d.Reason = "none of the patterns comes near the name"
		if len(l.patterns) == 1 {
			d.Reason = "the pattern does not come near the name"
		}
	}
	if !utf8.ValidString(dn) {
		d.Reason += "; the name is not valid UTF-8, which no program prints readably"
	}
	return d
}
