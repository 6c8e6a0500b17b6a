package priority

import (
	"fmt"
	"strings"
)

// SystemFile is where GnuTLS looks for the system file where the distribution did not choose another place, and
// FedoraSystemFile is where Fedora, RHEL and their kin look. The environment variable GNUTLS_SYSTEM_PRIORITY_FILE
// overrides either.
const (
	SystemFile       = "/etc/gnutls/config"
	FedoraSystemFile = "/etc/crypto-policies/back-ends/gnutls.config"
)

// A System is the content of GnuTLS's system file: the keywords that @KEYWORD names and the overrides that apply to
// every string. A nil *System is a machine without the file, such as Debian as installed.
type System struct {
	allowlist bool
	settings  []setting // sections other than [global], in order
	err       error     // the file is malformed: GnuTLS ignores it as a whole
	ignored   []string
}

// A setting is one call of the file's parser: a name and a value within a section.
type setting struct {
	line                 int
	section, name, value string
}

// maxLine is the size of the parser's line buffer, terminator included: a longer line is cut and its rest is taken for
// a line of its own.
const maxLine = 2048

// maxRemembered is the size of the parser's buffers for a section and for the name that continuation lines go on with.
const maxRemembered = 50

// ParseSystem reads the content of a system file as GnuTLS's parser does (inih, as GnuTLS configures it). It never
// fails: where GnuTLS ignores the whole file after a syntax error, [System.Err] says so.
func ParseSystem(content []byte) *System {
	settings, err := parseINI(string(content))
	if err != nil {
		return &System{err: err}
	}
	s := &System{}
	for _, e := range settings {
		switch {
		case equalFold(e.section, "GLOBAL"):
			s.global(e)
		default:
			s.settings = append(s.settings, e)
		}
	}
	for _, e := range s.settings {
		if e.section != "" && !equalFold(e.section, "PRIORITIES") && !equalFold(e.section, "OVERRIDES") {
			s.ignored = append(s.ignored, fmt.Sprintf("line %d: unknown section [%s]", e.line, e.section))
		}
	}
	return s
}

func (s *System) global(e setting) {
	switch {
	case equalFold(e.name, "OVERRIDE-MODE"):
		switch {
		case equalFold(e.value, "ALLOWLIST"):
			s.allowlist = true
		case equalFold(e.value, "BLOCKLIST"):
			s.allowlist = false
		default:
			s.ignored = append(s.ignored, fmt.Sprintf("line %d: unknown override mode %q", e.line, e.value))
		}
	case equalFold(e.name, "KTLS"):
	default:
		s.ignored = append(s.ignored, fmt.Sprintf("line %d: unknown parameter %q in [global]", e.line, e.name))
	}
}

// Err says why GnuTLS ignores the whole file, nil if it does not.
func (s *System) Err() error {
	if s == nil {
		return nil
	}
	return s.err
}

// Allowlist says whether the file names what is allowed, as crypto-policies of Fedora and RHEL do, instead of what is
// not.
func (s *System) Allowlist() bool { return s != nil && s.allowlist }

// Ignored lists the sections and [global] parameters without effect, in words. With
// GNUTLS_SYSTEM_PRIORITY_FAIL_ON_INVALID=1 in its environment a program would end because of them.
func (s *System) Ignored() []string {
	if s == nil {
		return nil
	}
	return append([]string(nil), s.ignored...)
}

// Keyword gives the value of a keyword, the one that @KEYWORD stands for. With an allowlist SYSTEM is built from the
// overrides of the reference version.
func (s *System) Keyword(name string) (string, bool) {
	return s.keyword(name, s.resolve(build{release: Release379}))
}

func (s *System) keyword(name string, set *settings) (string, bool) {
	if s == nil || s.err != nil {
		return "", false
	}
	if s.allowlist && name == "SYSTEM" {
		return set.built, true
	}
	for _, e := range s.settings {
		if (e.section == "" || equalFold(e.section, "PRIORITIES")) && e.name == name {
			return e.value, true
		}
	}
	return "", false
}

// settings are the overrides of a system file, resolved for one build of GnuTLS.
type settings struct {
	allowlist bool
	built     string // what SYSTEM stands for with an allowlist

	hashes, curves                                  set // insecure or disabled; with an allowlist: secure or enabled
	signatures, versions, ciphers, macs, groups, kx set // insecure or disabled
	signaturesFor                                   set // insecure for certificates
	minProfile                                      Profile
	defaultPriority                                 string
	sessionHash                                     sessionHash
}

// sessionHash is what tls-session-hash asks for, from GnuTLS 3.8.1 on.
type sessionHash int

const (
	sessionHashUnset sessionHash = iota
	sessionHashRequest
	sessionHashRequire
)

var noSettings = &settings{}

func (s *settings) curveEnabled(c uint8) bool {
	if c == curveNone {
		return true
	}
	return curveGroup[c] != gNone && s.curves.has(c) == s.allowlist
}

func (s *settings) hashSecure(d uint8) bool {
	return d == dNone || s.hashes.has(d) == s.allowlist
}

// signatureSecure says whether a signature algorithm may be offered.
func (s *settings) signatureSecure(id uint8) bool {
	if s.allowlist {
		return true
	}
	return !s.signatures.has(id) && s.hashSecure(signatures[id].digest)
}

// resolve reads the overrides for a build. Names that the build does not know are skipped.
func (s *System) resolve(b build) *settings {
	if s == nil || s.err != nil {
		return noSettings
	}
	r := &settings{allowlist: s.allowlist}
	var kx, groups, ciphers, macs, signatures, versions list
	for _, e := range s.settings {
		if !equalFold(e.section, "OVERRIDES") {
			continue
		}
		word := firstWord(e.value)
		// pick does one key: block is its name in a blocklist, allow in an allowlist.
		pick := func(block, allow string, t *table, blocked *set, allowed *list) bool {
			name := block
			if s.allowlist {
				name = allow
			}
			if !equalFold(e.name, name) {
				return false
			}
			if id, ok := t.lookup(word, b); ok {
				if s.allowlist && allowed != nil {
					allowed.add(id)
				} else {
					blocked.add(id)
				}
			}
			return true
		}
		if equalFold(e.name, "TLS-DISABLED-GROUP") || equalFold(e.name, "TLS-ENABLED-GROUP") {
			if hasPrefixFold(word, "GROUP-") {
				word = word[len("GROUP-"):]
			}
		}
		switch {
		case pick("INSECURE-HASH", "SECURE-HASH", digestTable, &r.hashes, nil):
		case pick("INSECURE-SIG", "SECURE-SIG", signatureTable, &r.signatures, &signatures):
		case pick("INSECURE-SIG-FOR-CERT", "SECURE-SIG-FOR-CERT", signatureTable, &r.signaturesFor, nil):
		case pick("DISABLED-VERSION", "ENABLED-VERSION", protocolTable, &r.versions, &versions):
		case pick("DISABLED-CURVE", "ENABLED-CURVE", curveTable, &r.curves, nil):
		case pick("TLS-DISABLED-CIPHER", "TLS-ENABLED-CIPHER", cipherTable, &r.ciphers, &ciphers):
		case pick("TLS-DISABLED-MAC", "TLS-ENABLED-MAC", macTable, &r.macs, &macs):
		case pick("TLS-DISABLED-GROUP", "TLS-ENABLED-GROUP", groupTable, &r.groups, &groups):
		case pick("TLS-DISABLED-KX", "TLS-ENABLED-KX", kxTable, &r.kx, &kx):
		case equalFold(e.name, "MIN-VERIFICATION-PROFILE"):
			if p, ok := profileInFile(e.value); ok {
				r.minProfile = p
			}
		case equalFold(e.name, "TLS-SESSION-HASH"):
			switch {
			case equalFold(e.value, "REQUEST"):
				r.sessionHash = sessionHashRequest
			case equalFold(e.value, "REQUIRE"):
				r.sessionHash = sessionHashRequire
			}
		case equalFold(e.name, "DEFAULT-PRIORITY-STRING"):
			r.defaultPriority = e.value
		}
	}
	if s.allowlist {
		var built strings.Builder
		built.WriteString("NONE")
		for _, part := range []struct {
			prefix string
			l      *list
			t      *table
		}{{"", &kx, kxTable}, {"GROUP-", &groups, groupTable}, {"", &ciphers, cipherTable}, {"", &macs, macTable},
			{"SIGN-", &signatures, signatureTable}, {"VERS-", &versions, protocolTable}} {
			for _, id := range part.l.all() {
				built.WriteString(":+" + part.prefix + part.t.name(id))
			}
		}
		r.built = built.String()
	}
	return r
}

// firstWord gives the first word of a value: the rest has no effect.
func firstWord(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for i := 0; i < len(s); i++ {
		if isSpace(s[i]) {
			return s[:i]
		}
	}
	return s
}

// parseINI gives the settings of an INI file, or an error for the first line that is none.
func parseINI(content string) ([]setting, error) {
	var out []setting
	section, remembered := "", ""
	for n := 1; content != ""; n++ {
		var line string
		line, content = cutLine(content)
		if n == 1 {
			line = strings.TrimPrefix(line, "\xef\xbb\xbf")
		}
		trimmed := trimSpace(line)
		indented := line != "" && isSpace(line[0])
		switch {
		case trimmed == "", trimmed[0] == ';', trimmed[0] == '#':
		case indented && remembered != "":
			value := trimmed[:find(trimmed, "")]
			out = append(out, setting{n, section, remembered, trimSpace(value)})
		case trimmed[0] == '[':
			end := 1 + find(trimmed[1:], "]")
			if end >= len(trimmed) || trimmed[end] != ']' {
				return nil, fmt.Errorf("line %d: section without ]", n)
			}
			section, remembered = remember(trimmed[1:end]), ""
		default:
			end := find(trimmed, "=:")
			if end >= len(trimmed) || trimmed[end] != '=' && trimmed[end] != ':' {
				return nil, fmt.Errorf("line %d: neither a section nor NAME=VALUE", n)
			}
			name := trimSpace(trimmed[:end])
			value := trimmed[end+1:]
			value = trimSpace(value[:find(value, "")])
			remembered = remember(name)
			out = append(out, setting{n, section, name, value})
		}
	}
	return out, nil
}

// cutLine takes a line off content as fgets with a buffer of maxLine does. A NUL ends the line as it ends a C string.
func cutLine(content string) (line, rest string) {
	n := min(len(content), maxLine-1)
	if i := strings.IndexByte(content[:n], '\n'); i >= 0 {
		n = i + 1
	}
	line, rest = content[:n], content[n:]
	if i := strings.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	return line, rest
}

// find gives the position of the first of chars or of an inline comment, len(s) if there is neither.
func find(s, chars string) int {
	wasSpace := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if strings.IndexByte(chars, c) >= 0 || wasSpace && (c == ';' || c == '#') {
			return i
		}
		wasSpace = isSpace(c)
	}
	return len(s)
}

func remember(s string) string { return s[:min(len(s), maxRemembered-1)] }

func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
