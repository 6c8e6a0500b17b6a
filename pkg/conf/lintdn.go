package conf

import (
	"iter"
	"regexp"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/dnmatch"
)

// gnutlsTypes are the types in GnuTLS's spelling, by their lower-case form, and what other tools write for them
// (GnuTLS x509/common.c; openssl's and RFC 4514's names).
var gnutlsTypes = map[string]string{
	"c": "C", "st": "ST", "l": "L", "o": "O", "ou": "OU", "cn": "CN", "dc": "DC", "uid": "UID", "street": "street", "title": "title",
	"serialnumber": "serialNumber", "description": "description", "givenname": "givenName", "surname": "surName",
	"initials": "initials", "pseudonym": "pseudonym", "dnqualifier": "dnQualifier", "postalcode": "postalCode", "name": "name",
	"businesscategory": "businessCategory", "telephonenumber": "telephoneNumber", "generationqualifier": "generationQualifier",
	"userprincipalname": "userPrincipalName", "email": "EMAIL",
	"emailaddress": "EMAIL", "e": "EMAIL", "s": "ST", "sp": "ST", "sn": "surName", "gn": "givenName", "userid": "UID",
	"countryname": "C", "stateorprovincename": "ST", "localityname": "L", "organizationname": "O", "organizationalunitname": "OU",
	"commonname": "CN", "domaincomponent": "DC",
}

// rank is the usual order of parts in a certificate, from the country down.
var rank = map[string]int8{"C": 1, "ST": 2, "L": 3, "O": 4, "OU": 5, "CN": 6, "UID": 7, "EMAIL": 7}

var (
	// blankComma is a blank behind a comma that can be no part of a value: there a backslash (or a wildcard for it)
	// would stand in front of the comma.
	blankComma = regexp.MustCompile(`[^\\*?],[ \t]`)
	blankEqual = regexp.MustCompile(`(?:^|[,+*?][ \t]*)[A-Za-z0-9.]+[ \t]+=|(?:^|[,+*?])[A-Za-z0-9.]+=[ \t]`)
	// bare is a character that GnuTLS never prints without a backslash.
	bare  = regexp.MustCompile(`(?:^|[^\\*?])["<>;]`)
	class = regexp.MustCompile(`\[[^\]]+\]|\{[^}]*,[^}]*\}`)
)

// pattern judges one entry of tls_allowed_dn_list.
func (l *linter) pattern(p string, line int) {
	never := func(why string) {
		l.add("conf-dn-pattern-never", line, "the pattern %q matches no certificate: %s", p, why)
	}
	switch {
	case p == "":
		never("it is empty")
		return
	case strings.Trim(p, "*") == "":
		l.add("conf-dn-pattern-broad", line, "the pattern %q lets every certificate of the CA in", p)
		return
	}
	if !validText(p) {
		l.add("conf-dn-pattern-utf8", line, "the pattern %q is not UTF-8 and matches no name that is", p)
	}
	if c, err := dnmatch.Compile(p); err == nil && c.Reversed() {
		l.add("conf-dn-pattern-abort", line,
			"the pattern %q makes GLib turn names round: a certificate of a trusted CA whose name is not UTF-8 aborts the daemon", p)
	}
	switch {
	case strings.HasPrefix(p, "/"):
		never("it has openssl's old form with slashes; parts are joined by commas")
		return
	case strings.HasPrefix(strings.ToLower(p), "subject"):
		never("it begins with the word subject, which is no part of the name")
		return
	case !strings.ContainsAny(p, "=*?"):
		never("it holds no TYPE=VALUE")
		return
	case blankComma.MatchString(p), blankEqual.MatchString(p):
		never("GnuTLS writes no blanks around commas and equals signs")
		return
	case strings.HasSuffix(p, " ") && !strings.HasSuffix(p, `\ `) && !strings.HasSuffix(p, "* ") && !strings.HasSuffix(p, "? "),
		strings.HasPrefix(p, " "):
		never("it begins or ends with a blank")
		return
	case bare.MatchString(p):
		never(`GnuTLS writes a backslash in front of " < > and ;`)
		return
	}
	if m := class.FindString(p); m != "" {
		l.add("conf-dn-pattern-class", line, "the pattern %q has %s, which is compared as it stands", p, m)
	}
	var ranks []int8
	for name := range typesIn(p) {
		want := gnutlsTypes[strings.ToLower(name)]
		if want != "" && want != name {
			never("GnuTLS writes " + want + "=, not " + name + "=")
			return
		}
		if r := rank[name]; r > 0 {
			ranks = append(ranks, r)
		}
	}
	if backwards(ranks) {
		l.add("conf-dn-pattern-reversed", line, "the pattern %q has its parts from the small to the great, as certtool prints them; "+
			"certificates mostly have them the other way round", p)
	}
	switch {
	case strings.HasPrefix(p, "*"):
		l.add("conf-dn-pattern-broad", line, "the pattern %q says nothing of how the name begins", p)
	case !strings.HasSuffix(p, "*"):
	case len(ranks) == 0 || maxRank(ranks) < rank["O"]:
		l.add("conf-dn-pattern-broad", line, "the pattern %q fixes no organization and no common name", p)
	default:
		l.add("conf-dn-pattern-open-end", line, "the pattern %q also matches names with further parts behind", p)
	}
}

// backwards reports whether the parts go down from the first to the last.
func backwards(ranks []int8) bool {
	if len(ranks) < 2 || ranks[0] <= ranks[len(ranks)-1] {
		return false
	}
	for i := 1; i < len(ranks); i++ {
		if ranks[i] > ranks[i-1] {
			return false
		}
	}
	return true
}

func maxRank(ranks []int8) int8 {
	m := int8(0)
	for _, r := range ranks {
		m = max(m, r)
	}
	return m
}

// typesIn gives what stands in front of an equals sign at the beginning of a part of the name.
func typesIn(pattern string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := range strings.FieldsFuncSeq(pattern, func(r rune) bool { return strings.ContainsRune(",+*?", r) }) {
			name, _, ok := strings.Cut(part, "=")
			if ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" && !yield(name) {
				return
			}
		}
	}
}
