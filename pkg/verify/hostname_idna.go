package verify

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// toASCII converts a host name as gnutls_idna_map does with libidn2 2.3.3: printable ASCII stays as it is, all else is
// mapped by UTS 46, non-transitional, with STD3 rules. ok is false where GnuTLS gives up.
func toASCII(host string) (ascii string, ok bool) {
	if isPlain([]byte(host)) {
		return host, true
	}
	if !utf8.ValidString(host) {
		return "", false
	}
	// libidn2 does not refuse the characters that STD3 disallows, it drops them.
	kept := strings.Map(func(r rune) rune {
		if isSTD3Disallowed(r) {
			return -1
		}
		return r
	}, host)
	ascii, err := profile().ToASCII(kept)
	if err != nil {
		return "", false
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if len(label) > 63 {
			return "", false
		}
	}
	return ascii, true
}

// isSTD3Disallowed reports whether the character, or what it decomposes to, has ASCII other than letters, digits,
// hyphen and dot.
func isSTD3Disallowed(r rune) bool {
	if r < utf8.RuneSelf {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
	}
	var buf [utf8.UTFMax]byte
	decomposition := norm.NFKD.PropertiesString(string(utf8.AppendRune(buf[:0], r))).Decomposition()
	for _, c := range decomposition {
		if c < utf8.RuneSelf && isSTD3Disallowed(rune(c)) {
			return true
		}
	}
	return false
}

func profile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.ValidateLabels(true),
		idna.CheckHyphens(true), idna.CheckJoiners(true), idna.BidiRule(), idna.VerifyDNSLength(false))
}
