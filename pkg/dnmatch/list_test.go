package dnmatch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestDecideNamesTheNearestPattern(t *testing.T) {
	const dn = `C=GB,ST=London,O=Lab,CN=client1`
	for _, c := range []struct {
		name, dn           string
		patterns           []string
		reason, suggestion string
		nearest            int
	}{
		{"certtool's order", dn, []string{"CN=*", "CN=client1,O=Lab,ST=London,C=GB"},
			"pattern 2 has the RDNs in reverse order, as certtool prints them", dn, 1},
		{"certtool's order with a wildcard", dn, []string{"CN=client*,O=Lab,ST=London,C=GB"},
			"pattern 1 has the RDNs in reverse order, as certtool prints them", "C=GB,ST=London,O=Lab,CN=client*", 0},
		{"openssl's spelling", dn, []string{"C = GB, ST = London, O = Lab, CN = client1"},
			"pattern 1 has blanks around = or after commas, as openssl prints them", dn, 0},
		{"openssl's spelling behind the word that it prints", dn, []string{"subject=C = GB, ST = London, O = Lab, CN = client1"},
			"pattern 1 has a word before the name itself, and has blanks around = or after commas, as openssl prints them", dn, 0},
		{"blanks after commas", dn, []string{"C=GB, ST=London, O=Lab, CN=client1"},
			"pattern 1 has blanks around = or after commas, as openssl prints them", dn, 0},
		{"slashes", dn, []string{"/C=GB/ST=London/O=Lab/CN=client1"},
			"pattern 1 writes the name with slashes, as older openssl prints it", dn, 0},
		{"RFC 2253 by openssl: reversed and with blanks", dn, []string{"CN = client1, O = Lab, ST = London, C = GB"},
			"pattern 1 has blanks around = or after commas, as openssl prints them, and has the RDNs in reverse order, as certtool prints them", dn, 0},
		{"case of a value", dn, []string{"C=GB,ST=London,O=lab,CN=client1"},
			"pattern 1 differs in upper and lower case", dn, 0},
		{"case of a type", dn, []string{"c=GB,st=London,o=Lab,cn=client1"},
			"pattern 1 names attribute types otherwise than GnuTLS does", dn, 0},
		{"emailAddress", "CN=a,EMAIL=a@b.test", []string{"CN=a,emailAddress=a@b.test"},
			"pattern 1 names attribute types otherwise than GnuTLS does", "CN=a,EMAIL=a@b.test", 0},
		{"an OID", "CN=a,UID=x", []string{"CN=a,OID.0.9.2342.19200300.100.1.1=x"},
			"pattern 1 names attribute types otherwise than GnuTLS does", "CN=a,UID=x", 0},
		{"brackets", dn, []string{"C=GB,ST=London,O=Lab,CN=client[0-9]"},
			"pattern 1 has brackets, which GLib takes literally (fnmatch, in libvirt before 7.0, did not)", "C=GB,ST=London,O=Lab,CN=client?", 0},
		{"an escape too few", `O=Foo\, Inc.,CN=a`, []string{"O=Foo, Inc.,CN=a"},
			"pattern 1 and the name differ in backslashes, which GLib takes literally", `O=Foo\, Inc.,CN=a`, 0},
		{"an escape too many, as fnmatch needed it", `O=Foo\, Inc.,CN=a`, []string{`O=Foo\\, Inc.,CN=a`},
			"pattern 1 doubles a backslash; GLib knows no escapes", `O=Foo\, Inc.,CN=a`, 0},
		{"hex escapes", `O=Café\, Bar,CN=a`, []string{`O=Caf\C3\A9\2C Bar,CN=a`},
			"pattern 1 writes characters in hex after a backslash, as openssl prints them", `O=Café\, Bar,CN=a`, 0},
		{"an RDN less", dn, []string{"C=GB,O=Lab,CN=client1"},
			`pattern 1 lacks "ST=London", RDN 2 of the name`, dn, 0},
		{"an RDN more", dn, []string{"C=GB,ST=London,L=London,O=Lab,CN=*"},
			`pattern 1 demands "L=London", which the name does not have`, "C=GB,ST=London,O=Lab,CN=*", 0},
		{"a plus for a comma", "O=a+CN=b", []string{"O=a,CN=b"},
			"pattern 1 separates with , where the name has + or the other way round", "O=a+CN=b", 0},
		{"one value otherwise", dn, []string{"C=GB,ST=Leeds,O=Lab,CN=*"},
			`pattern 1 demands "ST=Leeds" where the name has "ST=London"`, dn, 0},
		{"the nearest of several", dn, []string{"CN=x,O=y", "C=GB,ST=Leeds,O=Lab,CN=*", "C=GB,ST=London,O=LAB,CN=client1"},
			"pattern 3 differs in upper and lower case", dn, 2},
		{"nothing near", dn, []string{"CN=other"}, "the pattern does not come near the name", dn, -1},
		{"nothing near of several", dn, []string{"CN=other", "O=else"}, "none of the patterns comes near the name", dn, -1},
		{"an empty list", dn, nil, "the list is empty: libvirt lets nobody in", dn, -1},
		{"an empty name", "", []string{"CN=a"}, "the name is empty", "", -1},
		{"a name that is not UTF-8", "CN=caf\xe9", []string{"CN=x"},
			"the pattern does not come near the name; the name is not valid UTF-8, which no program prints readably", "CN=caf\xe9", -1},
	} {
		l, err := NewList(c.patterns)
		if err != nil {
			t.Fatal(err)
		}
		d := l.Decide(c.dn)
		if d.Allowed || d.Matched != "" || d.Reason != c.reason || d.Suggestion != c.suggestion || d.Nearest != c.nearest || d.Aborts {
			t.Errorf("%s:\n got %+v\nwant reason %q, suggestion %q, nearest %d", c.name, d, c.reason, c.suggestion, c.nearest)
		}
		if d.Suggestion != "" {
			p, err := Compile(d.Suggestion)
			if err != nil || !p.Match(c.dn) {
				t.Errorf("%s: the suggestion %q does not let %q in (%v)", c.name, d.Suggestion, c.dn, err)
			}
		}
	}
}

func TestDecideLetsInByTheFirstPatternThatMatches(t *testing.T) {
	l, err := NewList([]string{"CN=b", "CN=*", "*"})
	if err != nil {
		t.Fatal(err)
	}
	if d := l.Decide("CN=a"); !d.Allowed || d.Matched != "CN=*" || d.Nearest != 1 || d.Reason != "" || d.Suggestion != "" {
		t.Errorf("got %+v", d)
	}
	var none *List
	if d := none.Decide("CN=a"); !d.Allowed || d.Matched != "" || d.Nearest != -1 {
		t.Errorf("without a list: %+v", d)
	}
	if got := l.Patterns(); len(got) != 3 || got[1].String() != "CN=*" || none.Patterns() != nil {
		t.Errorf("Patterns = %v", got)
	}
}

// TestANameThatEndsTheDaemon has the cases that were seen to end libvirtd 9.0.0, 11.3.0 and 12.8.0 with an assertion of
// g_utf8_strreverse, and those that did not.
func TestANameThatEndsTheDaemon(t *testing.T) {
	for pattern, reversed := range map[string]bool{
		"*?": true, "?*": true, "*=?": true, "*CN=?": true, "CN=*.lab.test": true, "C=GB,O=Lab,OU=x*,CN=*.lab.example.com": true,
		"*CN=*min": true, "*admin?": true,
		"C=GB,*": false, "CN=*": false, "*CN=admin": false, "*O=Lab*": false, "*,CN=*": false, "a*b*c": false,
		"C=*,CN=?dmin*": false, "C=GB,O=Lab,OU=*,CN=adm?n": false, "": false, "plain": false,
	} {
		p, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if p.Reversed() != reversed {
			t.Errorf("%q: Reversed = %v", pattern, p.Reversed())
		}
		long := strings.Repeat("x", len(pattern)) + "\xc3"
		if got := p.Aborts(long); got != reversed {
			t.Errorf("%q: Aborts(%q) = %v", pattern, long, got)
		}
		if p.Aborts("CN=é") || p.Aborts(long+"A") && reversed {
			t.Errorf("%q: aborts on a name that does no harm", pattern)
		}
	}
	l, err := NewList([]string{"CN=x", "*?", "*"})
	if err != nil {
		t.Fatal(err)
	}
	d := l.Decide("CN=\xc3")
	const want = "the name is not valid UTF-8, and pattern 2, which is matched backwards, makes GLib abort: the daemon ends itself"
	if d.Allowed || !d.Aborts || d.Nearest != 1 || d.Reason != want {
		t.Errorf("got %+v", d)
	}
	l, err = NewList([]string{"CN=*", "*?"})
	if err != nil {
		t.Fatal(err)
	}
	if d := l.Decide("CN=\xc3"); !d.Allowed || d.Aborts {
		t.Errorf("an earlier match saves the daemon, got %+v", d)
	}
	if p, err := Compile("*a\xc3"); err != nil || p.ValidUTF8() || p.Aborts("x") {
		t.Errorf("a suffix that is not UTF-8: %v, valid %v", err, p.ValidUTF8())
	}
	l, err = NewList([]string{"*a?\xc3", "*"})
	if err != nil {
		t.Fatal(err)
	}
	if d := l.Decide("anything"); d.Allowed || !d.Aborts || d.Nearest != 0 || !l.Patterns()[0].Aborts("anything") ||
		d.Reason != "whatever the name, pattern 1, which is matched backwards, makes GLib abort: the daemon ends itself" {
		t.Errorf("a pattern that cannot be reversed: %+v", d)
	}
}

func TestANULIsRefused(t *testing.T) {
	_, err := NewList([]string{"CN=a", "CN=b\x00c"})
	const want = `entry 2: pattern "CN=b\x00c": at octet 4: a NUL, where C ends the text`
	var e *PatternError
	if err == nil || err.Error() != want || !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	var zero Pattern
	if !zero.Match("") || zero.Match("x") || zero.Aborts("x") || zero.Reversed() {
		t.Error("the zero Pattern is not the empty one")
	}
}

// TestMatchingIsNotExponential gives the matchers what has brought others down.
func TestMatchingIsNotExponential(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("*a", 60) + "*b", strings.Repeat("a*", 60) + "b", strings.Repeat("*?", 60) + "b",
		strings.Repeat("*[a-z]", 40) + "b", strings.Repeat("*é", 60) + "b"} {
		p, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{strings.Repeat("a", 5000), strings.Repeat("é", 2500), strings.Repeat("a", 5000) + "\xc3"} {
			if p.Match(text) || p.MatchFnmatch(text) || p.MatchFnmatchC(text) {
				t.Errorf("%q matches a text that does not end in b", pattern)
			}
		}
	}
}

// reference is the simple rule on characters, for text that is valid UTF-8: * any run, ? one, everything else itself.
func reference(pattern, text string) bool {
	p, s := []rune(pattern), []rune(text)
	i, n, star, back := 0, 0, -1, 0
	for n < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, n
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[n]):
			i++
			n++
		case star >= 0:
			back++
			i, n = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

func FuzzMatch(f *testing.F) {
	for _, v := range vectors(f) {
		p, text := v.strings(f)
		if len(p) < 100 {
			f.Add(p, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := Compile(pattern)
		if err != nil {
			if !strings.ContainsRune(pattern, 0) {
				t.Fatal(err)
			}
			return
		}
		if len(pattern)*len(text) > 1<<16 {
			return
		}
		got := p.Match(text)
		if strings.ToValidUTF8(text, "") == text && p.ValidUTF8() && !strings.ContainsRune(text, 0) {
			if want := reference(pattern, text); got != want || (p.c.form.match(text) == yes) != want || p.c.glob.Match(text) != want {
				t.Fatalf("Match(%q, %q) = %v, by octets %v, by gobwas/glob %v, the rule says %v",
					pattern, text, got, p.c.form.match(text) == yes, p.c.glob.Match(text), want)
			}
		}
		p.MatchFnmatch(text)
		p.MatchFnmatchC(text)
	})
}

func FuzzDecide(f *testing.F) {
	f.Add("C=GB,O=Lab,CN=a", "CN=a,O=Lab,C=GB", "C = GB")
	f.Add("CN=\xc3", "*?", "*a?\xc3")
	f.Add(`O=Foo\, Inc.`, `O=Foo, Inc.`, `subject=/O=[a]`)
	f.Fuzz(func(t *testing.T, dn, one, two string) {
		l, err := NewList([]string{one, two})
		if err != nil || len(dn)+len(one)+len(two) > 300 || strings.ContainsRune(dn, 0) {
			return
		}
		first, ok := -1, false
		for i, p := range l.Patterns() {
			if ok = p.Match(dn); ok || p.Aborts(dn) {
				first = i
				break
			}
		}
		if i, got := l.Match(dn); i != first || got != ok {
			t.Fatalf("the list says %d, %v, its patterns %d, %v", i, got, first, ok)
		}
		d := l.Decide(dn)
		if d.Allowed == (d.Reason != "") {
			t.Fatalf("%+v", d)
		}
		if d.Suggestion != "" {
			if p, err := Compile(d.Suggestion); err != nil || !p.Match(dn) {
				t.Fatalf("the suggestion %q does not let %q in (%v)", d.Suggestion, dn, err)
			}
		}
	})
}

// benchmarkList has 10,000 patterns as a site may have them, none of which matches the name asked about.
func benchmarkList(b *testing.B) (*List, string) {
	b.Helper()
	var patterns []string
	for i := range 10_000 {
		switch i % 4 {
		case 0:
			patterns = append(patterns, fmt.Sprintf("C=GB,ST=London,L=London,O=Example Ltd,CN=host%d.example.com", i))
		case 1:
			patterns = append(patterns, fmt.Sprintf("C=GB,ST=London,L=London,O=Example Ltd,OU=unit%d,*", i))
		case 2:
			patterns = append(patterns, fmt.Sprintf("*,O=Example Ltd,CN=client%d*", i))
		default:
			patterns = append(patterns, fmt.Sprintf("C=GB,*,CN=host%d.*", i))
		}
	}
	l, err := NewList(patterns)
	if err != nil {
		b.Fatal(err)
	}
	return l, "C=GB,ST=London,L=London,O=Example Ltd,CN=nobody.example.com"
}

func BenchmarkMatch10000Patterns(b *testing.B) {
	l, dn := benchmarkList(b)
	for b.Loop() {
		if _, ok := l.Match(dn); ok {
			b.Fatal("it matches")
		}
	}
}

func BenchmarkDecide10000Patterns(b *testing.B) {
	l, dn := benchmarkList(b)
	for b.Loop() {
		if d := l.Decide(dn); d.Allowed {
			b.Fatal("it matches")
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile("C=GB,*,CN=host1.*"); err != nil {
			b.Fatal(err)
		}
	}
}
