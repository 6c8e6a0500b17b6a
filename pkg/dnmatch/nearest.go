package dnmatch

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// looked is how many patterns of a long list are looked at closely when none matches. Each costs some ten microseconds,
// and a refusal must not take a daemon's worth of time however long the list is.
const looked = 4

// A near is the pattern that comes nearest to a name that is refused.
type near struct {
	index      int
	reason     string
	suggestion string
}

// A repair is one thing people get wrong in these lists: what it does to the pattern (and, where the two are to be
// compared in a way that GLib does not, to the name), and how to say it.
type repair struct {
	says string // completes "pattern 2 ..."
	// pattern changes the pattern; a nil function leaves it.
	pattern func(string) string
	// name changes the name for the comparison. With it the repaired pattern lets nobody in: the name itself is the
	// suggestion.
	name func(string) string
}

// repairs gives the repairs in the order in which they are tried and applied.
func repairs() []repair {
	return []repair{
		{says: `has a word before the name itself`, pattern: stripLabel},
		{says: "writes the name with slashes, as older openssl prints it", pattern: fromSlashes},
		{says: "has blanks around = or after commas, as openssl prints them", pattern: stripBlanks},
		{says: "names attribute types otherwise than GnuTLS does", pattern: renameTypes},
		{says: "has the RDNs in reverse order, as certtool prints them", pattern: reverseRDNs},
		{says: "writes characters in hex after a backslash, as openssl prints them", pattern: unhex},
		{says: "has brackets, which GLib takes literally (fnmatch, in libvirt before 7.0, did not)", pattern: bracketsToMarks},
		{says: "doubles a backslash; GLib knows no escapes", pattern: undouble},
		{says: "and the name differ in backslashes, which GLib takes literally", pattern: stripBackslashes, name: stripBackslashes},
		{says: "separates with , where the name has + or the other way round", pattern: plusToComma, name: plusToComma},
		{says: "differs in upper and lower case", pattern: strings.ToLower, name: strings.ToLower},
	}
}

// nearest looks for the pattern that would let dn in with the fewest repairs, or that lacks or has one RDN.
func (l *List) nearest(dn string) (near, bool) {
	candidates := l.candidates(dn)
	list := repairs()
	// More than three things wrong with one pattern is another pattern; in a long list two, for the time's sake.
	limit := 3
	if len(l.patterns) > looked {
		limit = 2
	}
	for most := 1; most <= limit; most++ {
		sets := subsets(len(list), most)
		for _, i := range candidates {
			for _, set := range sets {
				if n, ok := l.tryRepairs(i, dn, list, set); ok {
					return n, true
				}
			}
			if most == 1 {
				if n, ok := l.tryStructure(i, dn); ok {
					return n, true
				}
			}
		}
	}
	for _, i := range candidates {
		if n, ok := l.tryOneDifference(i, dn); ok {
			return n, true
		}
	}
	return near{}, false
}

// candidates gives the places of the patterns that have most in common with dn, nearest first.
func (l *List) candidates(dn string) []int {
	all := len(l.patterns)
	if all <= looked {
		places := make([]int, all)
		for i := range places {
			places[i] = i
		}
		return places
	}
	print := fingerprint(dn)
	// Sixty-five buckets by common bits; each keeps as many as are looked at.
	var buckets [65][]int
	for i, p := range l.patterns {
		if p.c == nil {
			continue
		}
		if n := bits.OnesCount64(print & p.c.print); len(buckets[n]) < looked {
			buckets[n] = append(buckets[n], i)
		}
	}
	var best []int
	for n := 64; n >= 0 && len(best) < looked; n-- {
		best = append(best, buckets[n]...)
	}
	return best[:min(looked, len(best))]
}

// seed makes fingerprints unpredictable: nobody can choose names to collide.
var seed = maphash.MakeSeed()

// fingerprint gives a set of up to 64 bits, one for each value in a name or pattern, whatever the order, case, blanks and
// separators.
func fingerprint(text string) uint64 {
	var set uint64
	var word [48]byte
	n := 0
	end := func() {
		if n > 0 {
			set |= 1 << (maphash.Bytes(seed, word[:n]) & 63)
		}
		n = 0
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c >= 0x80:
		default:
			end()
			continue
		}
		if n < len(word) {
			word[n] = c
			n++
		}
	}
	end()
	return set
}

// subsets gives all sets of k out of n as bits.
func subsets(n, k int) []uint {
	var sets []uint
	for s := uint(1); s < 1<<n; s++ {
		if bits.OnesCount(s) == k {
			sets = append(sets, s)
		}
	}
	return sets
}

// tryRepairs applies a set of repairs, all of which must change something, and sees whether the name then gets in.
func (l *List) tryRepairs(i int, dn string, list []repair, set uint) (near, bool) {
	pattern, name, plain := l.patterns[i].text, dn, true
	var says []string
	for j, r := range list {
		if set&(1<<j) == 0 {
			continue
		}
		changedPattern, changedName := r.pattern(pattern), name
		if r.name != nil {
			changedName, plain = r.name(name), false
		}
		if changedPattern == pattern && changedName == name {
			return near{}, false
		}
		pattern, name = changedPattern, changedName
		says = append(says, r.says)
	}
	if analyse(pattern).match(name) != yes {
		return near{}, false
	}
	n := near{index: i, reason: fmt.Sprintf("pattern %d %s", i+1, join(says))}
	if plain {
		n.suggestion = pattern
	}
	return n, true
}

// tryStructure sees whether the pattern has one RDN more or less than the name.
func (l *List) tryStructure(i int, dn string) (near, bool) {
	pattern := stripBlanks(l.patterns[i].text)
	f := analyse(pattern)
	rdns := splitRDNs(dn)
	if len(rdns) > 64 {
		return near{}, false
	}
	for j, rdn := range rdns {
		if len(rdns) > 1 && f.match(strings.Join(without(rdns, j), ",")) == yes {
			return near{index: i, reason: fmt.Sprintf("pattern %d lacks %q, RDN %d of the name", i+1, rdn, j+1)}, true
		}
	}
	rdns = splitRDNs(pattern)
	if len(rdns) > 64 {
		return near{}, false
	}
	for j, rdn := range rdns {
		rest := strings.Join(without(rdns, j), ",")
		if len(rdns) > 1 && analyse(rest).match(dn) == yes {
			n := near{index: i, reason: fmt.Sprintf("pattern %d demands %q, which the name does not have", i+1, rdn)}
			// What is left must still say who is meant: of O=Acme,* only * would be left.
			if slices.ContainsFunc(without(rdns, j), func(s string) bool { return !strings.ContainsAny(s, "*?") }) {
				n.suggestion = rest
			}
			return n, true
		}
	}
	return near{}, false
}

// tryOneDifference sees whether exactly one RDN is otherwise.
func (l *List) tryOneDifference(i int, dn string) (near, bool) {
	have, want := splitRDNs(dn), splitRDNs(stripBlanks(l.patterns[i].text))
	if len(have) != len(want) || len(have) < 2 {
		return near{}, false
	}
	different := -1
	for j := range have {
		if analyse(want[j]).match(have[j]) == yes {
			continue
		}
		if different >= 0 {
			return near{}, false
		}
		different = j
	}
	if different < 0 {
		return near{}, false
	}
	return near{index: i, reason: fmt.Sprintf("pattern %d demands %q where the name has %q", i+1, want[different],
		have[different])}, true
}

// join puts parts into one clause.
func join(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	return strings.Join(parts[:len(parts)-1], ", ") + ", and " + parts[len(parts)-1]
}

// without gives the list without one element.
func without(list []string, i int) []string {
	return append(slices.Clone(list[:i]), list[i+1:]...)
}

// splitRDNs splits at commas that no backslash precedes. It serves names and patterns.
func splitRDNs(text string) []string {
	var rdns []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',':
			rdns = append(rdns, text[start:i])
			start = i + 1
		}
	}
	return append(rdns, text[start:])
}

func reverseRDNs(pattern string) string {
	rdns := splitRDNs(pattern)
	slices.Reverse(rdns)
	return strings.Join(rdns, ",")
}

// stripLabel takes away what programs print before a subject, and quotation marks around all.
func stripLabel(pattern string) string {
	s := strings.TrimSpace(pattern)
	for _, label := range []string{"subject=", "Subject:", "subject:", "DN:", "dn:"} {
		if rest, ok := strings.CutPrefix(s, label); ok {
			s = strings.TrimSpace(rest)
			break
		}
	}
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return s
}

// fromSlashes reads /C=GB/O=x.
func fromSlashes(pattern string) string {
	rest, ok := strings.CutPrefix(pattern, "/")
	if !ok || !strings.Contains(rest, "=") {
		return pattern
	}
	var rdns []string
	for _, part := range strings.Split(rest, "/") {
		if !strings.Contains(part, "=") && len(rdns) > 0 { // a slash inside a value
			rdns[len(rdns)-1] += "/" + part
			continue
		}
		rdns = append(rdns, part)
	}
	return strings.Join(rdns, ",")
}

// stripBlanks takes away blanks around RDNs and around the first = of each.
func stripBlanks(pattern string) string {
	if !strings.Contains(pattern, " ") {
		return pattern
	}
	rdns := splitRDNs(pattern)
	for i, rdn := range rdns {
		rdn = strings.TrimLeft(rdn, " ")
		if kept := strings.TrimRight(rdn, " "); !strings.HasSuffix(kept, `\`) {
			rdn = kept
		}
		if name, value, ok := strings.Cut(rdn, "="); ok {
			rdn = strings.TrimRight(name, " ") + "=" + strings.TrimLeft(value, " ")
		}
		rdns[i] = rdn
	}
	return strings.Join(rdns, ",")
}

// renameTypes turns the names of attribute types that other programs print (lower case here) into GnuTLS's.
func renameTypes(pattern string) string {
	rdns := splitRDNs(pattern)
	for i, rdn := range rdns {
		name, value, ok := strings.Cut(rdn, "=")
		if !ok {
			continue
		}
		if other, ok := gnutlsType(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "oid.")); ok {
			rdns[i] = other + "=" + value
		}
	}
	return strings.Join(rdns, ",")
}

// gnutlsType gives GnuTLS's name (lib/x509/dn.c and common.c, _oid2str) for another program's.
func gnutlsType(name string) (string, bool) {
	switch name {
	case "emailaddress", "e", "email", "e-mail", "mail", "1.2.840.113549.1.9.1":
		return "EMAIL", true
	case "c", "country", "countryname", "2.5.4.6":
		return "C", true
	case "s", "sp", "st", "state", "stateorprovincename", "2.5.4.8":
		return "ST", true
	case "l", "locality", "localityname", "2.5.4.7":
		return "L", true
	case "o", "organization", "organizationname", "2.5.4.10":
		return "O", true
	case "ou", "organizationalunit", "organizationalunitname", "2.5.4.11":
		return "OU", true
	case "cn", "commonname", "2.5.4.3":
		return "CN", true
	case "street", "streetaddress", "2.5.4.9":
		return "street", true
	case "t", "title", "2.5.4.12":
		return "title", true
	case "serialnumber", "2.5.4.5":
		return "serialNumber", true
	case "sn", "surname", "2.5.4.4":
		return "surName", true
	case "gn", "g", "givenname", "2.5.4.42":
		return "givenName", true
	case "dc", "domaincomponent", "0.9.2342.19200300.100.1.25":
		return "DC", true
	case "uid", "userid", "0.9.2342.19200300.100.1.1":
		return "UID", true
	}
	return "", false
}

// unhex turns \HH into the octet, and backslash and octet where GnuTLS escapes that one.
func unhex(pattern string) string {
	if !strings.Contains(pattern, `\`) {
		return pattern
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+2 < len(pattern) && hexDigit(pattern[i+1]) >= 0 && hexDigit(pattern[i+2]) >= 0 {
			c := byte(hexDigit(pattern[i+1])<<4 | hexDigit(pattern[i+2]))
			if strings.IndexByte(`,+"\<>;`, c) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// hexDigit gives the value of a hexadecimal digit, -1 for anything else.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// bracketsToMarks puts ? for each closed [...].
func bracketsToMarks(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '[' {
			if end := strings.IndexByte(pattern[min(i+2, len(pattern)):], ']'); end >= 0 {
				b.WriteByte('?')
				i += 2 + end
				continue
			}
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

func undouble(pattern string) string         { return strings.ReplaceAll(pattern, `\\`, `\`) }
func stripBackslashes(pattern string) string { return strings.ReplaceAll(pattern, `\`, "") }
func plusToComma(pattern string) string      { return strings.ReplaceAll(pattern, "+", ",") }
