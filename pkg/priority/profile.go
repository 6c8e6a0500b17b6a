package priority

import (
	"fmt"
	"strings"
)

// Profile is a certificate verification profile, in GnuTLS's numbers (gnutls_certificate_verification_profiles_t): how
// strong the keys and signatures of the peer's certificates must be.
type Profile int

// The profiles.
const (
	ProfileNone      Profile = 0
	ProfileVeryWeak  Profile = 1
	ProfileLow       Profile = 2
	ProfileLegacy    Profile = 4
	ProfileMedium    Profile = 5
	ProfileHigh      Profile = 6
	ProfileUltra     Profile = 7
	ProfileFuture    Profile = 8
	ProfileSuiteB128 Profile = 32
	ProfileSuiteB192 Profile = 33
)

// Level is a security level, in GnuTLS's numbers (gnutls_sec_param_t): the smallest finite-field group that a client
// accepts.
type Level int

// The levels.
const (
	LevelNone     Level = 0
	LevelVeryWeak Level = 15
	LevelWeak     Level = 20
	LevelLow      Level = 25
	LevelLegacy   Level = 30
	LevelMedium   Level = 35
	LevelHigh     Level = 40
	LevelUltra    Level = 45
	LevelFuture   Level = 50
)

// A profileRow is one row of the table of profiles.
type profileRow struct {
	name  string
	level Level
}

var profileRows = map[Profile]profileRow{
	ProfileVeryWeak:  {"VERY_WEAK", LevelVeryWeak},
	ProfileLow:       {"LOW", LevelLow},
	ProfileLegacy:    {"LEGACY", LevelLegacy},
	ProfileMedium:    {"MEDIUM", LevelMedium},
	ProfileHigh:      {"HIGH", LevelHigh},
	ProfileUltra:     {"ULTRA", LevelUltra},
	ProfileFuture:    {"FUTURE", LevelFuture},
	ProfileSuiteB128: {"SUITEB128", LevelHigh},
	ProfileSuiteB192: {"SUITEB192", LevelUltra},
}

// profileInFile reads the value of min-verification-profile in a system file: the same names in any case, except that
// "very weak" has a space there (GnuTLS lib/profiles.c).
func profileInFile(value string) (Profile, bool) {
	for p, r := range profileRows {
		if equalFold(value, strings.ReplaceAll(r.name, "_", " ")) {
			return p, true
		}
	}
	return ProfileNone, false
}

// String gives the name that a %PROFILE_ option has for it, NONE for no profile.
func (p Profile) String() string {
	if p == ProfileNone {
		return "NONE"
	}
	if r, ok := profileRows[p]; ok {
		return r.name
	}
	return fmt.Sprintf("profile(%d)", int(p))
}

// Level is the security level of the profile.
func (p Profile) Level() Level { return profileRows[p].level }

// A levelRow is one row of GnuTLS's table of security parameters (lib/algorithms/secparams.c).
type levelRow struct {
	name               string
	bits, rsa, dh, ecc int
}

var levelRows = map[Level]levelRow{
	LevelVeryWeak: {"VERY_WEAK", 64, 767, 767, 0},
	LevelWeak:     {"WEAK", 72, 1008, 1008, 160},
	LevelLow:      {"LOW", 80, 1024, 1024, 160},
	LevelLegacy:   {"LEGACY", 96, 1776, 1776, 192},
	LevelMedium:   {"MEDIUM", 112, 2048, 2048, 224},
	LevelHigh:     {"HIGH", 128, 3072, 3072, 256},
	LevelUltra:    {"ULTRA", 192, 8192, 8192, 384},
	LevelFuture:   {"FUTURE", 256, 15360, 15360, 512},
}

// String gives GnuTLS's name for the level, NONE for none.
func (l Level) String() string {
	if l == LevelNone {
		return "NONE"
	}
	if r, ok := levelRows[l]; ok {
		return r.name
	}
	return fmt.Sprintf("level(%d)", int(l))
}

// Bits is the security level in bits of a symmetric key.
func (l Level) Bits() int { return levelRows[l].bits }

// MinRSA is the smallest RSA modulus, in bits, that the level accepts; finite-field groups have the same bound.
func (l Level) MinRSA() int { return levelRows[l].rsa }

// MinECC is the smallest elliptic curve, in bits, that the level accepts.
func (l Level) MinECC() int { return levelRows[l].ecc }
