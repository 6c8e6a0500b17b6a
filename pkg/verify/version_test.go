package verify

import (
	"errors"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Version
		text     string
	}{
		{"two numbers", "9.0", V9_0, "9.0.0"},
		{"three numbers", "9.0.0", V9_0, "9.0.0"},
		{"Debian 12's package", "9.0.0-4+deb12u2", V9_0, "9.0.0"},
		{"11.3 alone is Debian's", "11.3", V11_3, "11.3.0"},
		{"Debian 13's package with the backport", "11.3.0-3+deb13u1", V11_3, "11.3.0"},
		{"a later one of Debian 13", "11.3.0-3+deb13u3", V11_3, "11.3.0"},
		{"Debian's package before the backport", "11.3.0-2", Version{11, 3, 0, false}, "11.3.0-upstream"},
		{"upstream 11.3.0", "11.3.0-upstream", Version{11, 3, 0, false}, "11.3.0-upstream"},
		{"in between still demands keyEncipherment", "10.0", Version{10, 0, 0, false}, "10.0.0"},
		{"11.5 too", "11.5.0", Version{11, 5, 0, false}, "11.5.0"},
		{"11.6 no longer", "11.6.0", Version{11, 6, 0, true}, "11.6.0"},
		{"11.9 no longer", "11.9", Version{11, 9, 0, true}, "11.9.0"},
		{"measured last", "12.8.0-1", V12_8, "12.8.0"},
		{"a future one goes by the last rules", "v13.1", Version{13, 1, 0, true}, "13.1.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseVersion(c.in)
			if err != nil || got != c.want || got.String() != c.text {
				t.Errorf("ParseVersion(%q) = %+v (%s), %v; want %+v (%s)", c.in, got, got, err, c.want, c.text)
			}
			again, err := ParseVersion(got.String())
			if err != nil || again != got {
				t.Errorf("its text %q reads as %+v, %v", got, again, err)
			}
		})
	}
}

func TestParseVersionRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"8.10":    `libvirt version "8.10": older than 9.0.0, which was not measured`,
		"0.9.4":   `libvirt version "0.9.4": older than 9.0.0, which was not measured`,
		"":        `libvirt version "": not of the form MAJOR.MINOR[.MICRO][-PACKAGE]`,
		"latest":  `libvirt version "latest": not of the form MAJOR.MINOR[.MICRO][-PACKAGE]`,
		"9.0.0.1": `libvirt version "9.0.0.1": not of the form MAJOR.MINOR[.MICRO][-PACKAGE]`,
	} {
		_, err := ParseVersion(in)
		var v *VersionError
		if !errors.As(err, &v) || err.Error() != want {
			t.Errorf("ParseVersion(%q): %v, want %s", in, err, want)
		} else if len(v.Hints()) != 1 {
			t.Errorf("no hint for %q", in)
		}
	}
}

func TestWithinIsFromSinceUpToButWithoutUntil(t *testing.T) {
	for _, c := range []struct {
		v            Version
		since, until string
		want         bool
	}{
		{V9_0, "", "", true},
		{V9_0, "9.0", "11.6.0", true},
		{V11_3, "11.10.0", "", false},
		{Version{11, 6, 0, true}, "", "11.6.0", false},
		{Version{11, 5, 0, false}, "", "11.6.0", true},
		{V12_8, "11.10.0", "", true},
	} {
		if got := c.v.Within(c.since, c.until); got != c.want {
			t.Errorf("%v within %q..%q: %v, want %v", c.v, c.since, c.until, got, c.want)
		}
	}
	if !V11_3.IsMeasured() || (Version{11, 3, 0, false}).IsMeasured() {
		t.Error("Debian's 11.3.0 was measured, upstream's not")
	}
}
