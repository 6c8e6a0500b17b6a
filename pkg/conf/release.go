package conf

import "fmt"

// A Release is a version of libvirt. The zero Release means the reference version, 9.0.
type Release struct{ Major, Minor int }

// The releases that were measured.
var (
	Release9_0  = Release{9, 0}
	Release11_3 = Release{11, 3}
	Release12_8 = Release{12, 8}
)

var (
	overflowRefused  = Release11_3     // the first release measured that refuses numbers beyond 63 bits
	multipleIdentity = Release{11, 10} // cert_files, key_files, indexed default names
	qemuPriority     = Release{11, 6}  // *_tls_priority of qemu.conf
	rdpKnown         = Release{11, 3}  // rdp_* of qemu.conf: not in 9.0, in 11.3
)

// String gives the version as major.minor.0.
func (r Release) String() string {
	r = r.orDefault()
	return fmt.Sprintf("%d.%d.0", r.Major, r.Minor)
}

// AtLeast reports whether r is o or later.
func (r Release) AtLeast(o Release) bool {
	r = r.orDefault()
	return r.Major > o.Major || r.Major == o.Major && r.Minor >= o.Minor
}

func (r Release) orDefault() Release {
	if r == (Release{}) {
		return Release9_0
	}
	return r
}
