package priority

import "strings"

// Options say for which GnuTLS and which machine a string is expanded. The zero value is GnuTLS 3.7.9 of Debian 12
// without a system file.
type Options struct {
	// GnuTLS is the version; zero means 3.7.9.
	GnuTLS Release
	// System is the machine's system file; nil means that there is none.
	System *System
	// PostQuantum says that GnuTLS was built with ML-KEM (from 3.8.8 on; Fedora's is, Debian's is not).
	PostQuantum bool
	// SlowAES says that the machine is an x86 without AES instructions: there PERFORMANCE prefers CHACHA20-POLY1305.
	SlowAES bool
}

func (o Options) build() build { return build{o.GnuTLS.orDefault(), o.PostQuantum} }

// A Suite is a cipher suite as GnuTLS lists it.
type Suite struct {
	ID   uint16 // the number of the TLS registry
	Name string // GnuTLS's name
}

// An Expansion is what a priority string comes to. Names and order are those of gnutls-cli --list --priority, without
// the prefixes VERS-, GROUP- and SIGN- that it prints.
type Expansion struct {
	// Priority is the string as it was given, Resolved the one that @KEYWORD led to.
	Priority, Resolved string
	// GnuTLS is the version it was expanded for.
	GnuTLS Release

	Protocols    []string
	CipherSuites []Suite // those that fit the protocols; more may be formed and never offered
	Ciphers      []string
	MACs         []string
	KeyExchanges []string
	Groups       []string // a curve that is no group appears as "(null)"
	Signatures   []string
	// ClientCertificateTypes and ServerCertificateTypes are lists of X509 and RAWPK. An empty list means X.509 all the
	// same: GnuTLS falls back to it.
	ClientCertificateTypes, ServerCertificateTypes []string

	Flags         Flags
	Renegotiation Renegotiation
	Profile       Profile
	Level         Level
	VerifyFlags   uint32

	// Ignored lists, in words, the parts of the string that GnuTLS accepts and does nothing about.
	Ignored []string
	// SetError is set when GnuTLS accepts the string and then refuses to use it for a session, so that libvirt fails in
	// the same way as with a wrong string.
	SetError *Error

	protocols  list
	kx         set
	suites     []uint16 // positions in the table, all that were formed, in order
	groups     list     // effective
	signatures list     // effective
	cbc        bool     // see state.cbc
	settings   *settings
}

// maxSuites is GnuTLS's limit for the suites of a priority.
const maxSuites = 256

// Expand gives what GnuTLS makes of a priority string (gnutls_priority_init2), or an *[Error]. The time it takes does
// not grow with the string beyond GnuTLS's limit of 128 elements.
func Expand(priority string, o Options) (*Expansion, error) {
	x, err := expand(priority, o)
	if err != nil {
		err.priority = priority
		return nil, err
	}
	return x, nil
}

func expand(given string, o Options) (*Expansion, *Error) {
	priority := given
	if i := strings.IndexByte(priority, 0); i >= 0 {
		priority = priority[:i] // a C string ends here
	}
	text := priority
	for text != "" && isSpace(text[0]) {
		text = text[1:]
	}
	settings := o.System.resolve(o.build())
	if strings.HasPrefix(text, "@") {
		var err *Error
		if text, err = o.System.substitute(text, settings); err != nil {
			return nil, err
		}
	}
	s := &state{build: o.build(), settings: settings, slowAES: o.SlowAES}
	if err := s.parse(text); err != nil {
		if text != priority {
			err.Offset = 0
		}
		return nil, err
	}
	x, err := s.finish()
	if err != nil {
		return nil, err
	}
	x.Ignored = s.ignored
	x.Priority, x.Resolved, x.GnuTLS = given, text, s.build.release
	if x.SetError != nil {
		x.SetError.priority = given
	}
	return x, nil
}

// substitute resolves a string that begins with @: the first of the keywords that exists, and what follows the colon.
func (s *System) substitute(text string, set *settings) (string, *Error) {
	names, rest, more := strings.Cut(text[1:], ":")
	for name := range strings.SplitSeq(names, ",") {
		if value, ok := s.keyword(name, set); ok {
			if more {
				value += ":" + rest
			}
			return value, nil
		}
	}
	e := &Error{Code: InvalidRequest, Element: "@" + names}
	switch {
	case s == nil:
		e.Reason = "there is no system file to look @" + names + " up in"
		e.hints = []string{"use NORMAL, or create " + SystemFile + " with a line NAME=PRIORITY"}
	case s.err != nil:
		e.Reason = "GnuTLS ignores the system file: " + s.err.Error()
		e.hints = []string{"correct the system file"}
	default:
		e.Reason = "the system file has none of the keywords " + names
		e.hints = []string{"add a line NAME=PRIORITY to the system file"}
	}
	return "", e
}

// insufficient is the error for a string that leaves nothing to negotiate.
func insufficient(reason string) *Error {
	return &Error{Code: NoPrioritiesWereSet, Reason: reason}
}

// finish does what follows the elements: consistency, suites, groups, signatures.
func (s *state) finish() (*Expansion, *Error) {
	set := s.settings
	if !set.allowlist {
		s.kx.removeSet(set.kx)
		s.groups.removeSet(set.groups)
		s.ciphers.removeSet(set.ciphers)
		s.macs.removeSet(set.macs)
		s.protocols.removeSet(set.versions)
		// SSL 3.0 is not compiled in. With an allowlist naming a version enables it, even one that does not work.
		s.protocols.remove(vSSL30)
	}
	if s.ciphers.has(cNULL) || s.kx.has(kxSRP) || s.kx.has(kxSRPRSA) || s.kx.has(kxSRPDSS) || s.kx.has(kxRSAPSK) ||
		s.flags.NoExtensions {
		s.protocols.remove(vTLS13)
	}
	if s.protocols.n == 0 {
		return nil, insufficient("no protocol version is left")
	}
	psk := s.kx.has(kxPSK) || s.kx.has(kxDHEPSK) || s.kx.has(kxECDHEPSK)
	if s.protocols.bits == 1<<vTLS13 && !psk {
		s.kx.clear()
	}

	x := &Expansion{settings: set, cbc: s.cbc}
	s.formSuites(x)
	s.keepSignatures(x)
	if x.signatures.n == 0 {
		s.protocols.remove(vTLS12, vTLS13, vDTLS12)
		if s.protocols.n == 0 {
			return nil, insufficient("no signature algorithm is left for TLS 1.2 and TLS 1.3")
		}
	}
	if s.protocols.n == 1 && s.protocols.has(vSSL30) {
		return nil, insufficient("only SSL 3.0 is left")
	}
	if len(x.suites) == 0 {
		return nil, insufficient("no cipher suite can be formed")
	}
	if s.protocols.has(vTLS13) {
		noGroup := !psk && x.groups.n == 0
		gap := !s.protocols.has(vTLS12) && s.protocols.bits&(1<<vSSL30|1<<vTLS10|1<<vTLS11) != 0
		if noGroup || gap {
			s.protocols.remove(vTLS13)
		}
	}
	if set.sessionHash != sessionHashUnset && !s.build.release.Before(Release{3, 8, 1}) {
		// The system file wins over %NO_SESSION_HASH and %COMPAT wherever they stand.
		s.flags.NoSessionHash = false
		s.flags.ForceSessionHash = set.sessionHash == sessionHashRequire
	}
	if set.minProfile != ProfileNone && s.level < set.minProfile.Level() {
		s.profile, s.level = set.minProfile, set.minProfile.Level()
	}
	if s.protocols.n == 0 {
		x.SetError = insufficient("no protocol version is left without a group for TLS 1.3")
	}

	x.protocols, x.kx = s.protocols, s.kx.bits
	x.Protocols = protocolTable.names(&s.protocols)
	x.Ciphers = cipherTable.names(&s.ciphers)
	x.MACs = macTable.names(&s.macs)
	x.KeyExchanges = kxTable.names(&s.kx)
	x.Groups = groupTable.names(&s.groups)
	x.Signatures = signatureTable.names(&s.signatures)
	x.ClientCertificateTypes = ctypeTable.names(&s.clientCerts)
	x.ServerCertificateTypes = ctypeTable.names(&s.serverCerts)
	x.Flags, x.Renegotiation = s.flags, s.renegotiation
	x.Profile, x.Level, x.VerifyFlags = s.profile, s.level, s.verify
	maxTLS, maxDTLS := highest(&s.protocols, isTLS), highest(&s.protocols, isDTLS)
	x.CipherSuites = make([]Suite, 0, len(x.suites))
	for _, p := range x.suites {
		if c := &suites[p]; c.min <= maxTLS || c.dtls != vNone && c.dtls <= maxDTLS {
			x.CipherSuites = append(x.CipherSuites, Suite{c.id, c.name})
		}
	}
	return x, nil
}

// suiteIndex finds a suite's position, plus one, by key exchange, cipher and MAC.
var suiteIndex = func() (index [kxVKOGOST12 + 1][cAES256CFB + 1][mPBMAC1 + 1]uint16) {
	for i, c := range suites {
		index[c.kx][c.cipher][c.mac] = uint16(i + 1)
	}
	return index
}()

// formSuites forms the suites, those of TLS 1.3 first, and collects the groups that they bring in.
func (s *state) formSuites(x *Expansion) {
	x.suites = make([]uint16, 0, 64)
	form := func(kx uint8) {
		for _, cipher := range s.ciphers.all() {
			for _, mac := range s.macs.all() {
				p := suiteIndex[kx][cipher][mac]
				if p == 0 || len(x.suites) == maxSuites || !s.settings.hashSecure(suites[p-1].prf) {
					continue
				}
				x.suites = append(x.suites, p-1)
				switch kx {
				case kxNone:
					s.collect(x, kindHybrid)
				case kxECDHERSA, kxECDHEECDSA, kxECDHEPSK, kxANONECDH, kxVKOGOST12:
					s.collect(x, kindEC)
				case kxDHERSA, kxDHEDSS, kxDHEPSK, kxANONDH:
					s.collect(x, kindDH)
				}
			}
		}
	}
	form(kxNone)
	for _, kx := range s.kx.all() {
		form(kx)
	}
	if s.protocols.has(vTLS13) {
		for _, g := range s.groups.all() {
			if s.offers(g) {
				s.collect(x, groups[g].kind)
			}
		}
	}
}

// collect appends the groups of a kind that can be offered.
func (s *state) collect(x *Expansion, kind uint8) {
	for _, g := range s.groups.all() {
		if groups[g].kind == kind && s.offers(g) {
			x.groups.add(g)
		}
	}
}

// offers says whether a group can be used at all.
func (s *state) offers(g uint8) bool {
	k := groups[g].kind
	return k != kindNone && k != kindKEM && s.settings.curveEnabled(groups[g].curve)
}

// keepSignatures filters the signature algorithms by the protocols and the system file.
func (s *state) keepSignatures(x *Expansion) {
	var sem uint8
	for _, v := range s.protocols.all() {
		if v == vTLS13 {
			sem |= sem13
		} else {
			sem |= semPre13
		}
	}
	for _, id := range s.signatures.all() {
		if signatures[id].sem&sem != 0 && s.build.offersSignature(id) && s.settings.signatureSecure(id) {
			x.signatures.add(id)
		}
	}
}

// offersSignature says whether a build uses a signature algorithm in TLS: ML-DSA had a name first and a number from
// 3.8.10 on.
func (b build) offersSignature(id uint8) bool {
	return id < sMLDSA44 || !b.release.Before(Release{3, 8, 10})
}
