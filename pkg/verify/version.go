package verify

// Version is a version of libvirt for which a verdict is given. The zero value is not valid; use Parse.
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

// ParseVersion reads "9.0", "9.0.0", "11.3.0-3+deb13u1", "11.3.0-upstream".
func ParseVersion(s string) (Version, error) { panic("unimplemented") }

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// String gives major.minor.micro.
func (v Version) String() string { panic("unimplemented") }
