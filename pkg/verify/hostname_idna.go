package verify

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/bidirule"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// toASCII converts a host name as gnutls_idna_map does with libidn2 2.3.3: printable ASCII stays as it is, all else is
// mapped by UTS 46 with STD3 rules, non-transitional, and the labels must be valid under IDNA2008. If a character is
// disallowed there (a symbol, for example), GnuTLS tries again, transitional, and then libidn2 does not ask for IDNA2008.
// ok is false where GnuTLS gives up.
func toASCII(host string) (ascii string, ok bool) {
	if isPlain([]byte(host)) {
		return host, true
	}
	if !utf8.ValidString(host) {
		return "", false
	}
	labels := strings.Split(strings.Map(toDot, host), ".")
	p := profiles()
	mapped := make([]string, len(labels))
	for i, label := range labels {
		if label = strings.Map(dropSTD3, label); strings.EqualFold(label, acePrefix) {
			return "", false
		}
		if strings.ContainsFunc(label, p.isTooYoung) {
			return "", false
		}
		if mapped[i], ok = mapLabel(p.nontransitional, label); !ok {
			return "", false
		}
		labels[i] = label
	}
	for i, label := range labels {
		switch p.check(label, mapped[i]) {
		case labelBad:
			return "", false
		case labelDisallowed:
			for j, label := range labels {
				if mapped[j], ok = mapLabel(p.transitional, label); !ok {
					return "", false
				}
			}
			return strings.Join(mapped, "."), true
		}
	}
	return strings.Join(mapped, "."), true
}

const (
	acePrefix    = "xn--"
	maxLabelSize = 63
)

// toDot maps the other full stops of UTS 46.
func toDot(r rune) rune {
	switch r {
	case '\u3002', '\uff0e', '\uff61':
		return '.'
	}
	return r
}

// dropSTD3 drops the characters that STD3 disallows, themselves or what they are mapped to: libidn2 does not refuse them.
func dropSTD3(r rune) rune {
	if isSTD3Disallowed(r) {
		return -1
	}
	return r
}

// isSTD3Disallowed reports whether the character, or what it decomposes to, has ASCII other than letters, digits,
// hyphen and dot.
func isSTD3Disallowed(r rune) bool {
	if r < utf8.RuneSelf {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
	}
	for _, c := range norm.NFKD.PropertiesString(string(r)).Decomposition() {
		if c < utf8.RuneSelf && isSTD3Disallowed(rune(c)) {
			return true
		}
	}
	return false
}

// idnaProfiles are the conversions that toASCII needs.
type idnaProfiles struct {
	nontransitional, transitional, joiners *idna.Profile
	assigned, assigned15                   *unicode.RangeTable
}

// isTooYoung reports whether libidn2 2.3.3, whose mapping has the characters of Unicode 14, does not know the character.
func (p *idnaProfiles) isTooYoung(r rune) bool {
	return r >= utf8.RuneSelf && (!unicode.Is(p.assigned15, r) || unicode.Is(newIn15, r))
}

// newIn15 has the characters that came with Unicode 15.0.
var newIn15 = &unicode.RangeTable{
	R16: []unicode.Range16{{0xcf3, 0xcf3, 1}, {0xece, 0xece, 1}},
	R32: []unicode.Range32{
		{0x10efd, 0x10eff, 1}, {0x1123f, 0x11241, 1}, {0x11b00, 0x11b09, 1}, {0x11f00, 0x11f10, 1}, {0x11f12, 0x11f3a, 1},
		{0x11f3e, 0x11f59, 1}, {0x1342f, 0x1342f, 1}, {0x13439, 0x13455, 1}, {0x1b132, 0x1b132, 1}, {0x1b155, 0x1b155, 1},
		{0x1d2c0, 0x1d2d3, 1}, {0x1df25, 0x1df2a, 1}, {0x1e030, 0x1e06d, 1}, {0x1e08f, 0x1e08f, 1}, {0x1e4d0, 0x1e4f9, 1},
		{0x1f6dc, 0x1f6dc, 1}, {0x1f774, 0x1f776, 1}, {0x1f77b, 0x1f77f, 1}, {0x1f7d9, 0x1f7d9, 1}, {0x1fa75, 0x1fa77, 1},
		{0x1fa87, 0x1fa88, 1}, {0x1faad, 0x1faaf, 1}, {0x1fabb, 0x1fabd, 1}, {0x1fabf, 0x1fabf, 1}, {0x1face, 0x1facf, 1},
		{0x1fada, 0x1fadb, 1}, {0x1fae8, 0x1fae8, 1}, {0x1faf7, 0x1faf8, 1}, {0x2b739, 0x2b739, 1}, {0x31350, 0x323af, 1},
	},
}

// profiles makes them when they are first needed.
var profiles = sync.OnceValue(func() *idnaProfiles {
	with := func(transitional, joiners bool) *idna.Profile {
		return idna.New(idna.MapForLookup(), idna.Transitional(transitional), idna.StrictDomainName(false),
			idna.ValidateLabels(true), idna.CheckHyphens(true), idna.CheckJoiners(joiners), idna.VerifyDNSLength(false))
	}
	// What is younger is unassigned to libidn2 2.3.3 in its check of labels.
	return &idnaProfiles{with(false, false), with(true, false), with(false, true),
		rangetable.Assigned("12.0.0"), rangetable.Assigned("15.0.0")}
})

// mapLabel maps one label with UTS 46.
func mapLabel(p *idna.Profile, label string) (ascii string, ok bool) {
	ascii, err := p.ToASCII(label)
	return ascii, err == nil && len(ascii) <= maxLabelSize
}

type labelVerdict int

const (
	labelFine labelVerdict = iota
	labelDisallowed
	labelBad
)

// check is libidn2's check of a label under IDNA2008 (RFC 5891, 5.4); what is ASCII after the mapping is not checked.
func (p *idnaProfiles) check(label, mapped string) labelVerdict {
	if !strings.HasPrefix(mapped, acePrefix) ||
		strings.HasPrefix(strings.ToLower(norm.NFKC.String(label)), acePrefix) {
		return labelFine
	}
	text, err := p.nontransitional.ToUnicode(mapped)
	if err != nil {
		return labelBad
	}
	if first, _ := utf8.DecodeRuneInString(text); unicode.Is(unicode.M, first) {
		return labelBad
	}
	allAssigned := true
	for _, r := range text {
		if r < utf8.RuneSelf {
			continue
		}
		if !unicode.Is(p.assigned, r) {
			allAssigned = false
		} else if isIDNADisallowed(r) {
			return labelDisallowed
		}
	}
	if !allAssigned {
		return labelBad
	}
	if _, err := p.joiners.ToASCII(mapped); err != nil {
		return labelBad
	}
	if bidirule.DirectionString(text) == bidi.RightToLeft && !bidirule.ValidString(text) {
		return labelBad
	}
	return labelFine
}

// isIDNADisallowed derives the property DISALLOWED of RFC 5892, section 3, for a character that UTS 46 lets through.
func isIDNADisallowed(r rune) bool {
	switch {
	case strings.ContainsRune("\u00df\u03c2\u06fd\u06fe\u0f0b\u3007"+"\u00b7\u0375\u05f3\u05f4\u30fb", r),
		0x660 <= r && r <= 0x669, 0x6f0 <= r && r <= 0x6f9: // exceptions: PVALID, CONTEXTO
		return false
	case strings.ContainsRune("\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b", r): // exceptions: DISALLOWED
		return true
	case r == 0x200c || r == 0x200d: // CONTEXTJ
		return false
	case 0x1100 <= r && r <= 0x11ff, 0xa960 <= r && r <= 0xa97c, 0xd7b0 <= r && r <= 0xd7fb: // OldHangulJamo
		return true
	case 0x20d0 <= r && r <= 0x20ff, 0x1d100 <= r && r <= 0x1d24f: // IgnorableBlocks
		return true
	case unicode.In(r, unicode.White_Space, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector): // IgnorableProperties
		return true
	}
	return !unicode.In(r, unicode.Ll, unicode.Lu, unicode.Lo, unicode.Lm, unicode.Mn, unicode.Mc, unicode.Nd)
}
