package priority

import (
	"fmt"
	"strconv"
	"strings"
)

// A Release is a version of GnuTLS. The zero Release means the reference version, 3.7.9.
type Release struct{ Major, Minor, Patch int }

// The releases whose tables were measured.
var (
	Release379  = Release{3, 7, 9}  // Debian 12, the reference
	Release389  = Release{3, 8, 9}  // Debian 13
	Release3813 = Release{3, 8, 13} // the newest of the 3.8 series that was measured
)

// ParseRelease reads "3.8.9", or "3.7" and "3.8", which stand for the newest measured release of the series.
func ParseRelease(s string) (Release, error) {
	fields := strings.Split(s, ".")
	if len(fields) < 2 || len(fields) > 3 {
		return Release{}, fmt.Errorf("GnuTLS version %q: want a version such as 3.7, 3.8 or 3.8.9", s)
	}
	var n [3]int
	for i, f := range fields {
		v, err := strconv.ParseUint(f, 10, 16)
		if err != nil {
			return Release{}, fmt.Errorf("GnuTLS version %q: %q is no number", s, f)
		}
		n[i] = int(v)
	}
	r := Release{n[0], n[1], n[2]}
	if r.Before(Release{3, 7, 0}) {
		return Release{}, fmt.Errorf("GnuTLS version %q: the rules are known from 3.7 on", s)
	}
	if len(fields) == 2 {
		switch r {
		case Release{3, 7, 0}:
			return Release379, nil
		case Release{3, 8, 0}:
			return Release3813, nil
		}
	}
	return r, nil
}

// String gives the version as GnuTLS writes it.
func (r Release) String() string {
	r = r.orDefault()
	return fmt.Sprintf("%d.%d.%d", r.Major, r.Minor, r.Patch)
}

// Before says whether r is older than o.
func (r Release) Before(o Release) bool {
	if r.Major != o.Major {
		return r.Major < o.Major
	}
	if r.Minor != o.Minor {
		return r.Minor < o.Minor
	}
	return r.Patch < o.Patch
}

// SameSeries says whether the two differ in the last number at most, as 3.8.9 and 3.8.13 do.
func (r Release) SameSeries(o Release) bool {
	r, o = r.orDefault(), o.orDefault()
	return r.Major == o.Major && r.Minor == o.Minor
}

// WantsPKCS1 says whether a client chooses an RSA certificate in TLS 1.3 only where the server's request names a PKCS#1
// signature, which is never used in TLS 1.3. It does so up to 3.8.9 and no longer in 3.8.13; what was in between has not been
// measured.
func (r Release) WantsPKCS1() bool { return r.orDefault().Before(Release{3, 8, 10}) }

func (r Release) orDefault() Release {
	if r == (Release{}) {
		return Release379
	}
	return r
}

// A build is what of GnuTLS's configuration changes the meaning of a string.
type build struct {
	release Release
	pqc     bool
}
