package priority

// Flags are the switches of a string that begin with a percent sign, as far as they last.
type Flags struct {
	ServerPrecedence  bool `json:"server_precedence,omitempty"`   // the server's order of suites decides
	NoTickets         bool `json:"no_tickets,omitempty"`          // no session tickets
	NoTicketsTLS12    bool `json:"no_tickets_tls12,omitempty"`    // no session tickets up to TLS 1.2
	NoETM             bool `json:"no_etm,omitempty"`              // no encrypt-then-MAC (RFC 7366)
	ForceETM          bool `json:"force_etm,omitempty"`           // CBC suites only with encrypt-then-MAC
	NoSessionHash     bool `json:"no_session_hash,omitempty"`     // no extended master secret (RFC 7627)
	ForceSessionHash  bool `json:"force_session_hash,omitempty"`  // extended master secret demanded (3.8.1)
	AllowSmallRecords bool `json:"allow_small_records,omitempty"` // records below 512 bytes accepted
	// Compat is %COMPAT: besides the switches it sets here, large records and a peer's wrong keyUsage are tolerated.
	Compat                 bool `json:"compat,omitempty"`
	Dumbfw                 bool `json:"dumbfw,omitempty"`                     // padding extension for a bad firewall
	FallbackSCSV           bool `json:"fallback_scsv,omitempty"`              // the suite of RFC 7507 at the end
	NoExtensions           bool `json:"no_extensions,omitempty"`              // no extension, hence no TLS 1.3
	AllowKeyUsageViolation bool `json:"allow_key_usage_violations,omitempty"` // wrong keyUsage of the peer tolerated
	NoTLS13CompatMode      bool `json:"no_tls13_compat_mode,omitempty"`       // no middlebox mode of RFC 8446 D.4
	LatestRecordVersion    bool `json:"latest_record_version,omitempty"`      // first record with the hello's version
	NoStatusRequest        bool `json:"no_status_request,omitempty"`          // no OCSP status asked for (3.8.0)
	NoShuffleExtensions    bool `json:"no_shuffle_extensions,omitempty"`      // extensions in fixed order (3.8.1)
}

// Verify flags that options set, gnutls_certificate_verify_flags.
const (
	VerifyAllowSignRSAMD2   = 1 << 4
	VerifyAllowSignRSAMD5   = 1 << 5
	VerifyDisableCRLChecks  = 1 << 9
	VerifyDisableWildcards  = 1 << 12
	VerifyAllowSignWithSHA1 = 1 << 15
)

// An option is what %NAME does. Names are compared with regard to case, unlike everything else.
type option struct {
	since    Release
	apply    func(*state)
	obsolete bool
}

func profileOption(p Profile, l Level) option {
	return option{apply: func(s *state) { s.profile, s.level = p, l }}
}

func nothing(*state) {}

// options are GnuTLS's %options (lib/priority-options.gperf).
var options = map[string]option{
	"COMPAT": {apply: func(s *state) {
		s.flags.AllowSmallRecords = true
		s.flags.NoETM = true
		s.flags.NoSessionHash = true
		s.flags.Dumbfw = true
		s.flags.Compat = true
	}},
	"DUMBFW":                           {apply: func(s *state) { s.flags.Dumbfw = true }},
	"NO_EXTENSIONS":                    {apply: func(s *state) { s.flags.NoExtensions = true }},
	"NO_TICKETS":                       {apply: func(s *state) { s.flags.NoTickets = true }},
	"NO_TICKETS_TLS12":                 {apply: func(s *state) { s.flags.NoTicketsTLS12 = true }},
	"NO_ETM":                           {apply: func(s *state) { s.flags.NoETM = true }},
	"FORCE_ETM":                        {apply: func(s *state) { s.flags.ForceETM = true }},
	"NO_SESSION_HASH":                  {apply: func(s *state) { s.flags.NoSessionHash = true }},
	"FORCE_SESSION_HASH":               {since: Release{3, 8, 1}, apply: func(s *state) { s.flags.ForceSessionHash = true }},
	"SERVER_PRECEDENCE":                {apply: func(s *state) { s.flags.ServerPrecedence = true }},
	"FALLBACK_SCSV":                    {apply: func(s *state) { s.flags.FallbackSCSV = true }},
	"SAFE_RENEGOTIATION":               {apply: func(s *state) { s.renegotiation = RenegotiationSafe }},
	"PARTIAL_RENEGOTIATION":            {apply: func(s *state) { s.renegotiation = RenegotiationPartial }},
	"UNSAFE_RENEGOTIATION":             {apply: func(s *state) { s.renegotiation = RenegotiationUnsafe }},
	"DISABLE_SAFE_RENEGOTIATION":       {apply: func(s *state) { s.renegotiation = RenegotiationDisabled }},
	"SSL3_RECORD_VERSION":              {apply: func(s *state) { s.flags.LatestRecordVersion = false }},
	"LATEST_RECORD_VERSION":            {apply: func(s *state) { s.flags.LatestRecordVersion = true }},
	"DISABLE_TLS13_COMPAT_MODE":        {apply: func(s *state) { s.flags.NoTLS13CompatMode = true }},
	"ALLOW_SMALL_RECORDS":              {apply: func(s *state) { s.flags.AllowSmallRecords = true }},
	"DEBUG_ALLOW_KEY_USAGE_VIOLATIONS": {apply: func(s *state) { s.flags.AllowKeyUsageViolation = true }},
	"DISABLE_WILDCARDS":                {apply: func(s *state) { s.verify |= VerifyDisableWildcards }},
	"VERIFY_ALLOW_SIGN_RSA_MD5":        {apply: func(s *state) { s.verify |= VerifyAllowSignRSAMD5 }},
	"VERIFY_ALLOW_SIGN_WITH_SHA1":      {apply: func(s *state) { s.verify |= VerifyAllowSignWithSHA1 }},
	"VERIFY_ALLOW_BROKEN":              {apply: func(s *state) { s.verify |= VerifyAllowSignRSAMD2 | VerifyAllowSignRSAMD5 }},
	"VERIFY_DISABLE_CRL_CHECKS":        {apply: func(s *state) { s.verify |= VerifyDisableCRLChecks }},
	"PROFILE_VERY_WEAK":                profileOption(ProfileVeryWeak, LevelVeryWeak),
	"PROFILE_LOW":                      profileOption(ProfileLow, LevelLow),
	"PROFILE_LEGACY":                   profileOption(ProfileLegacy, LevelLegacy),
	"PROFILE_MEDIUM":                   profileOption(ProfileMedium, LevelMedium),
	"PROFILE_HIGH":                     profileOption(ProfileHigh, LevelHigh),
	"PROFILE_ULTRA":                    profileOption(ProfileUltra, LevelUltra),
	"PROFILE_FUTURE":                   profileOption(ProfileFuture, LevelFuture),
	"PROFILE_SUITEB128":                profileOption(ProfileSuiteB128, LevelHigh),
	// GnuTLS really sets SUITEB128 here; the level is checked with its corpus.
	"PROFILE_SUITEB192":           profileOption(ProfileSuiteB128, LevelHigh),
	"STATELESS_COMPRESSION":       {obsolete: true, apply: nothing},
	"VERIFY_ALLOW_X509_V1_CA_CRT": {obsolete: true, apply: nothing},
	"NEW_PADDING":                 {obsolete: true, apply: nothing},
	"NO_STATUS_REQUEST":           {since: Release{3, 8, 0}, apply: func(s *state) { s.flags.NoStatusRequest = true }},
	"NO_SHUFFLE_EXTENSIONS":       {since: Release{3, 8, 1}, apply: func(s *state) { s.flags.NoShuffleExtensions = true }},
}

// Renegotiation is how a session treats RFC 5746.
type Renegotiation int

// The treatments of renegotiation, in GnuTLS's numbers.
const (
	RenegotiationDisabled Renegotiation = iota // the extension is neither sent nor used
	RenegotiationUnsafe                        // insecure renegotiation allowed
	RenegotiationPartial                       // first handshake allowed without the extension: the default
	RenegotiationSafe                          // the extension is demanded
)

// String gives the word of the option that sets it.
func (r Renegotiation) String() string {
	return [...]string{"disabled", "unsafe", "partial", "safe"}[r]
}
