package priority_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/priority"
)

func TestParseSystemReadsKeywordsAsGnuTLSDoes(t *testing.T) {
	for _, c := range []struct{ name, file, keyword, want string }{
		{"a plain line", "SYSTEM=NORMAL\n", "SYSTEM", "NORMAL"},
		{"a colon separates as well", "SYSTEM:NORMAL:-RSA\n", "SYSTEM", "NORMAL:-RSA"},
		{"names are compared with case", "system=NORMAL\n", "SYSTEM", "none"},
		{"the first of two wins", "A=NORMAL\nA=PFS\n", "A", "NORMAL"},
		{"a comment needs white space before it", "A=NORMAL#x\nB=NORMAL #x\n", "A", "NORMAL#x"},
		{"a comment with white space before it", "A=NORMAL#x\nB=NORMAL #x\n", "B", "NORMAL"},
		{"an indented key is lost", "A=NORMAL\n  B=PFS\n", "B", "none"},
		{"an indented key in a new section is not", "A=NORMAL\n[priorities]\n  B=PFS\n", "B", "PFS"},
		{"another section is none of keywords", "[bogus]\nA=NORMAL\n", "A", "none"},
		{"a syntax error makes the file void", "A=NORMAL\nnonsense\n", "A", "none"},
		{"a section without end makes the file void", "A=NORMAL\n[x\n", "A", "none"},
		{"a byte order mark is skipped", "\xef\xbb\xbfA=NORMAL\n", "A", "NORMAL"},
		{"an empty value counts", "A=\n", "A", ""},
		{"an overlong line is cut", "A=" + strings.Repeat("x", 2045) + "B=PFS\n", "B", "PFS"},
		{"with an allowlist SYSTEM is built", "[global]\noverride-mode=allowlist\n[overrides]\nenabled-version=TLS1.2\ntls-enabled-kx=RSA\n" +
			"[priorities]\nSYSTEM=PFS\n", "SYSTEM", "NONE:+RSA:+VERS-TLS1.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := priority.ParseSystem([]byte(c.file)).Keyword(c.keyword)
			if !ok {
				got = "none"
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Recorded from libgnutls 3.7.9 (Debian 12): the level and profile of a priority structure under such a system file.
func TestTheSystemFilesProfileIsReadByGnuTLSsNames(t *testing.T) {
	for value, want := range map[string]priority.Profile{
		"very weak": priority.ProfileVeryWeak, "VERY WEAK": priority.ProfileVeryWeak, "Very Weak": priority.ProfileVeryWeak,
		"very_weak": priority.ProfileNone, "veryweak": priority.ProfileNone, "low": priority.ProfileLow, "LOW": priority.ProfileLow,
		"none": priority.ProfileNone, "suiteb128": priority.ProfileSuiteB128, "suiteb192": priority.ProfileSuiteB192,
		"future": priority.ProfileFuture, "medium": priority.ProfileMedium, "medium x": priority.ProfileNone,
	} {
		s := priority.ParseSystem([]byte("[overrides]\nmin-verification-profile = " + value + "\n"))
		x, err := priority.Expand("NONE:+VERS-TLS1.2:+CIPHER-ALL:+MAC-ALL:+KX-ALL:+SIGN-ALL:+GROUP-ALL", priority.Options{System: s})
		if err != nil {
			t.Fatal(err)
		}
		if x.Profile != want || x.Level != want.Level() {
			t.Errorf("%q: profile %v, level %v, want %v", value, x.Profile, x.Level, want)
		}
	}
}

// Recorded from libgnutls 3.8.13 and 3.8.9 (the extension extended_master_secret in their hellos) and 3.7.9.
func TestTheSystemFilesSessionHashWinsOverTheString(t *testing.T) {
	for _, c := range []struct {
		gnutls   priority.Release
		value, s string
		sends    bool
	}{
		{priority.Release3813, "request", "NORMAL:%COMPAT", true},
		{priority.Release3813, "require", "NORMAL:%COMPAT:%NO_SESSION_HASH", true},
		{priority.Release389, "REQUEST", "%NO_SESSION_HASH:NORMAL", true},
		{priority.Release3813, "foo", "NORMAL:%COMPAT", false},
		{priority.Release3813, "request x", "NORMAL:%NO_SESSION_HASH", false},
		{priority.Release379, "request", "NORMAL:%COMPAT", false},
	} {
		system := priority.ParseSystem([]byte("[overrides]\ntls-session-hash = " + c.value + "\n"))
		x, err := priority.Expand(c.s, priority.Options{System: system, GnuTLS: c.gnutls})
		if err != nil {
			t.Fatal(err)
		}
		h, err := x.ClientHello()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(h.Extensions, 0x17); got != c.sends {
			t.Errorf("%v, %q, %q: extended_master_secret %v, want %v", c.gnutls, c.value, c.s, got, c.sends)
		}
	}
}

func TestSystemSaysWhatGnuTLSIgnores(t *testing.T) {
	s := priority.ParseSystem([]byte("[global]\noverride-mode = both\nfoo = 1\nktls = true\n[bogus]\na=b\n"))
	want := `[line 2: unknown override mode "both" line 3: unknown parameter "foo" in [global] line 6: unknown section [bogus]]`
	if got := fmt.Sprint(s.Ignored()); got != want || s.Err() != nil || s.Allowlist() {
		t.Errorf("got %s, %v", got, s.Err())
	}
	s = priority.ParseSystem([]byte("A=B\n\nnonsense\n"))
	if s.Err() == nil || s.Err().Error() != "line 3: neither a section nor NAME=VALUE" {
		t.Errorf("got %v", s.Err())
	}
	if _, err := priority.Expand("@A", priority.Options{System: s}); err == nil ||
		err.Error() != `priority string "@A": The request is invalid. (GnuTLS ignores the system file: line 3: neither a section nor NAME=VALUE)` {
		t.Errorf("got %v", err)
	}
}
