package verify

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Version is a version of libvirt for which a verdict is given. The zero value is not valid; use ParseVersion.
type Version struct {
	Major, Minor, Micro int
	// NoKeyEncipherment reports that this build no longer looks at keyEncipherment: from 11.6.0 on, and Debian's
	// 11.3.0-3+deb13u1 and later.
	NoKeyEncipherment bool
}

// The versions that were measured.
var (
	V9_0  = Version{9, 0, 0, false}
	V11_3 = Version{11, 3, 0, true} // Debian 13's; upstream 11.3.0 is "11.3.0-upstream"
	V12_8 = Version{12, 8, 0, true}
)

// Oldest is the oldest version virt-pki gives verdicts for.
var Oldest = V9_0

// Measured gives the versions measured on real daemons, oldest first.
func Measured() []Version { return []Version{V9_0, V11_3, V12_8} }

// A VersionError says why a text is no version that a verdict can be given for.
type VersionError struct {
	Text   string
	Reason string
}

// Error gives text and reason.
func (e *VersionError) Error() string { return fmt.Sprintf("libvirt version %q: %s", e.Text, e.Reason) }

// Hints names the versions there are.
func (e *VersionError) Hints() []string {
	return []string{"name a version such as 9.0, 11.3.0-3+deb13u1, 11.3.0-upstream or 12.8; measured are 9.0.0, 11.3.0 (Debian 13) and 12.8.0"}
}

var (
	versionPattern = regexp.MustCompile(`^v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:([-+~].*))?$`)
	debian13Update = regexp.MustCompile(`deb13u([1-9]\d*)`)
)

// ParseVersion reads "9.0", "9.0.0", "11.3.0-3+deb13u1", "11.3.0-upstream".
//
// The number alone does not decide about 11.3.0: Debian 13's packages carry a change of 11.6.0 since
// 11.3.0-3+deb13u1. Without a package suffix 11.3.0 is taken for Debian's, which is what is installed where that
// version is found; with any other suffix for the upstream source.
func ParseVersion(s string) (Version, error) {
	m := versionPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Version{}, &VersionError{s, "not of the form MAJOR.MINOR[.MICRO][-PACKAGE]"}
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // absent is 0
	}
	v := Version{Major: n[0], Minor: n[1], Micro: n[2]}
	if !v.AtLeast(Oldest.Major, Oldest.Minor) {
		return Version{}, &VersionError{s, "older than 9.0.0, which was not measured"}
	}
	suffix := m[4]
	v.NoKeyEncipherment = v.AtLeast(11, 6) ||
		v.Major == 11 && v.Minor == 3 && v.Micro == 0 && (suffix == "" || debian13Update.MatchString(suffix))
	return v, nil
}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Compare gives -1, 0 or 1 as v is before, equal to or after w; builds of one version are equal.
func (v Version) Compare(w Version) int {
	for _, d := range []int{v.Major - w.Major, v.Minor - w.Minor, v.Micro - w.Micro} {
		if d < 0 {
			return -1
		}
		if d > 0 {
			return 1
		}
	}
	return 0
}

// Within reports whether v lies in the bounds of a rule or finding: not before since and before until, where an empty
// text is no bound. Bounds that are no versions count as none.
func (v Version) Within(since, until string) bool {
	if w, err := ParseVersion(since); since != "" && err == nil && v.Compare(w) < 0 {
		return false
	}
	if w, err := ParseVersion(until); until != "" && err == nil && v.Compare(w) >= 0 {
		return false
	}
	return true
}

// IsMeasured reports whether the verdicts for v were compared with a real daemon of this very version.
func (v Version) IsMeasured() bool {
	for _, w := range Measured() {
		if v == w {
			return true
		}
	}
	return false
}

// severalIdentities reports whether this libvirt loads several identities and checks that the files exist before it
// looks into them (the series of 11.10.0).
func (v Version) severalIdentities() bool { return v.AtLeast(11, 10) }

// String gives major.minor.micro, with "-upstream" for the 11.3.0 that is not Debian's.
func (v Version) String() string {
	s := fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	if v.Major == 11 && v.Minor == 3 && v.Micro == 0 && !v.NoKeyEncipherment {
		s += "-upstream"
	}
	return s
}
