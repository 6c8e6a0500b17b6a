package priority

import "strings"

// unknown explains why a name is refused: a blank too many, a name of another release or build, or a misspelling.
func (s *state) unknown(name string) *refusal {
	trimmed := strings.TrimFunc(name, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) })
	if trimmed != name {
		return refuse("take the white space out: only blanks right after a colon are allowed",
			"%q has white space around it", name)
	}
	if equalFold(name, "NONE") {
		return refuse("begin the string with NONE, or take it out", "NONE is allowed only at the beginning")
	}
	if name == "SYSTEM" || name == "LIBVIRT" {
		return refuse("write @"+name+" for the system file's keyword", "%s is no keyword without @", name)
	}
	for _, t := range []struct {
		prefix string
		table  *table
	}{{"", cipherTable}, {"", macTable}, {"", kxTable}, {"SIGN-", signatureTable}, {"GROUP-", groupTable}} {
		if !hasPrefixFold(name, t.prefix) {
			continue
		}
		rest := name[len(t.prefix):]
		if len(rest) > maxName {
			continue
		}
		i, ok := t.table.index[string(upper(nil, rest))]
		if !ok {
			continue
		}
		switch e := t.table.entries[i]; {
		case s.build.release.Before(e.since) && e.pqc:
			return refuse("take it out: without post-quantum groups there is nothing to switch off",
				"%s is known from GnuTLS %s on and only to builds with post-quantum algorithms, this is %s",
				t.prefix+e.name, e.since, s.build.release)
		case s.build.release.Before(e.since):
			return refuse("take it out", "%s is known from GnuTLS %s on, this is %s", t.prefix+e.name, e.since, s.build.release)
		case e.until != Release{} && !s.build.release.Before(e.until):
			return refuse("take it out", "%s is no longer known from GnuTLS %s on", t.prefix+e.name, e.until)
		case e.pqc:
			return refuse("take it out", "%s is known only to builds with post-quantum algorithms", t.prefix+e.name)
		}
	}
	r := refuse("", "no such name: %q", name)
	r.misspelt = name
	return r
}

// unknownOption explains why an option is refused.
func unknownOption(name string) *refusal {
	up := strings.ToUpper(name)
	if _, ok := options[strings.TrimSpace(up)]; ok {
		return refuse("write %"+strings.TrimSpace(up), "%q is no option: options are in upper case without blanks", "%"+name)
	}
	return refuse("", "no such option: %q", "%"+name)
}

// nearest finds the known name that differs least, when it is near enough to be a misspelling.
func nearest(name string) string {
	if len(name) < 3 || len(name) > maxName {
		return ""
	}
	name = strings.ToUpper(name)
	best, distance := "", len(name)/3+1
	consider := func(prefix string, t *table) {
		for _, e := range t.entries {
			if e.name == "" {
				continue
			}
			if d := editDistance(name, strings.ToUpper(prefix+e.name)); d < distance {
				best, distance = prefix+e.name, d
			}
		}
	}
	consider("", keywordTable)
	consider("", macTable)
	consider("", cipherTable)
	consider("", kxTable)
	consider("VERS-", protocolTable)
	consider("GROUP-", groupTable)
	consider("SIGN-", signatureTable)
	return best
}

// editDistance is Levenshtein's distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
