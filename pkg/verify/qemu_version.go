package verify

import (
	"fmt"
	"strconv"
	"strings"
)

// QEMUVersion is a version of QEMU for which a verdict is given.
type QEMUVersion struct{ Major, Minor int }

// The versions of QEMU that were measured. 7.2 and 10.0 answered alike to every case.
var (
	QEMU7_2  = QEMUVersion{7, 2}
	QEMU10_0 = QEMUVersion{10, 0}
	QEMU11_1 = QEMUVersion{11, 1}
)

// MeasuredQEMU gives the versions measured on real programs, oldest first.
func MeasuredQEMU() []QEMUVersion { return []QEMUVersion{QEMU7_2, QEMU10_0, QEMU11_1} }

// A QEMUVersionError says why a text is no version of QEMU that a verdict can be given for.
type QEMUVersionError struct{ Text, Reason string }

// Error gives text and reason.
func (e *QEMUVersionError) Error() string {
	return fmt.Sprintf("QEMU version %q: %s", e.Text, e.Reason)
}

// Hints names the versions there are.
func (e *QEMUVersionError) Hints() []string {
	return []string{"name a version such as 7.2, 10.0 or 11.1, which are those that were measured; qemu-img --version shows it"}
}

// ParseQEMUVersion reads "7.2", "7.2.22", "10.0.13+ds-0".
func ParseQEMUVersion(s string) (QEMUVersion, error) {
	parts := strings.SplitN(strings.TrimSpace(s), ".", 3)
	if len(parts) < 2 {
		return QEMUVersion{}, &QEMUVersionError{s, "not of the form MAJOR.MINOR"}
	}
	major, err := strconv.ParseUint(parts[0], 10, 16)
	minor, err2 := strconv.ParseUint(parts[1], 10, 16)
	if err != nil || err2 != nil {
		return QEMUVersion{}, &QEMUVersionError{s, "not of the form MAJOR.MINOR"}
	}
	v := QEMUVersion{int(major), int(minor)}
	if !v.atLeast(QEMU7_2) {
		return QEMUVersion{}, &QEMUVersionError{s, "older than 7.2, which was not measured"}
	}
	return v, nil
}

// String gives major.minor.
func (v QEMUVersion) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v QEMUVersion) atLeast(w QEMUVersion) bool {
	return v.Major > w.Major || v.Major == w.Major && v.Minor >= w.Minor
}

// chains reports whether this QEMU loads several identities and looks at the whole chain of each instead of at every CA
// of the CA file (the series of 10.2).
func (v QEMUVersion) chains() bool { return v.atLeast(QEMUVersion{10, 2}) }
