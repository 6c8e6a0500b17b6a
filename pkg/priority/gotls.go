package priority

import (
	"crypto/tls"
	"fmt"
	"slices"
)

// A TLSConfig is a priority as far as crypto/tls can follow it. The fields go into a tls.Config as they are; an empty
// CipherSuites or CurvePreferences must not be copied, as crypto/tls then takes its defaults.
type TLSConfig struct {
	MinVersion, MaxVersion uint16
	CipherSuites           []uint16 // up to TLS 1.2
	CurvePreferences       []tls.CurveID
	// Lost is what crypto/tls does otherwise, nothing left out.
	Lost []Loss
	// Exact says that nothing is lost: crypto/tls offers and accepts just what GnuTLS would.
	Exact bool
}

// A Loss is one difference between GnuTLS with a priority and crypto/tls.
type Loss struct {
	Kind string // version, suite, group, signature, order, option, profile
	Name string // GnuTLS's name of the thing
	Why  string
	// Added says that crypto/tls offers it although the priority leaves it out; otherwise it is the other way round.
	Added bool
}

// String gives the loss in one line.
func (l Loss) String() string { return l.Kind + " " + l.Name + ": " + l.Why }

// goSuites are the suites of crypto/tls up to TLS 1.2, in its own order of preference (crypto/tls,
// cipherSuitesPreferenceOrder).
var goSuites = []uint16{
	0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
	0xc012, 0x000a, 0xc023, 0xc027, 0x003c, 0xc007, 0xc011, 0x0005,
}

// goSuites13 are its suites of TLS 1.3, always offered, in its order.
var goSuites13 = []uint16{0x1301, 0x1302, 0x1303}

// goGroups are its groups, in its order of preference; the hybrid ones need TLS 1.3.
var goGroups = []uint16{0x11ec, 0x11eb, 0x11ed, 0x001d, 0x0017, 0x0018, 0x0019}

// goSignatures are the signature algorithms that it always offers up to TLS 1.2 and in TLS 1.3. SHA-1 is left out in
// Go 1.26 unless GODEBUG has tlssha1=1.
var goSignatures = []uint16{0x0804, 0x0403, 0x0807, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0503, 0x0603}

// TLSConfig maps the priority onto crypto/tls of Go 1.26. It is an error when nothing of it can be mapped, or when
// GnuTLS itself cannot begin a handshake.
func (x *Expansion) TLSConfig() (TLSConfig, error) {
	h, err := x.ClientHello()
	if err != nil {
		return TLSConfig{}, err
	}
	m := mapping{x: x, hello: h, low: lowestTLS(&x.protocols), top: highest(&x.protocols, isTLS)}
	m.versions()
	m.suites()
	m.groups()
	m.signatures()
	m.options()
	if err := m.withoutSuites(); err != nil {
		return TLSConfig{}, err
	}
	if err := m.withoutGroups(); err != nil {
		return TLSConfig{}, err
	}
	m.c.Exact = len(m.c.Lost) == 0
	return m.c, nil
}

// A mapping is a TLSConfig while it is made.
type mapping struct {
	x        *Expansion
	hello    *ClientHello
	low, top uint8 // versions
	c        TLSConfig
	suites12 []uint16 // those that crypto/tls has and can be told, of before TLS 1.3
}

func (m *mapping) lose(kind, name, format string, args ...any) {
	m.c.Lost = append(m.c.Lost, Loss{Kind: kind, Name: name, Why: fmt.Sprintf(format, args...)})
}

func (m *mapping) add(kind, name, why string) {
	m.c.Lost = append(m.c.Lost, Loss{Kind: kind, Name: name, Why: why, Added: true})
}

func (m *mapping) versions() {
	m.c.MinVersion, m.c.MaxVersion = wireVersion[m.low], wireVersion[m.top]
	for v := m.low; v <= m.top; v++ {
		if !m.x.protocols.has(v) {
			m.add("version", protocolTable.name(v), "crypto/tls cannot leave out a version between two others")
		}
	}
}

func (m *mapping) suites() {
	var suites13 []uint16
	for _, p := range m.x.suites {
		s := &suites[p]
		switch {
		case s.min > m.top || !certificateKX.has(s.kx):
		case s.min == vTLS13:
			if slices.Contains(goSuites13, s.id) {
				suites13 = append(suites13, s.id)
			} else {
				m.lose("suite", s.name, "crypto/tls does not have it")
			}
		case m.low == vTLS13: // offered by GnuTLS but of no use: no version goes with it
		case slices.Contains(goSuites, s.id):
			m.c.CipherSuites = append(m.c.CipherSuites, s.id)
			m.suites12 = append(m.suites12, s.id)
		default:
			m.lose("suite", s.name, "crypto/tls does not have it")
		}
	}
	if m.top == vTLS13 {
		for _, id := range goSuites13 {
			if !slices.Contains(suites13, id) {
				m.add("suite", suiteName(id), "crypto/tls offers it in TLS 1.3 and cannot be told not to")
			}
		}
		if !inOrder(suites13, goSuites13) {
			m.lose("order", "suites of TLS 1.3", "crypto/tls has its own order")
		}
	}
	if !inOrder(m.suites12, goSuites) {
		m.lose("order", "suites", "crypto/tls has its own order")
	}
}

func (m *mapping) groups() {
	var offered []uint16
	for _, g := range m.x.groups.all() {
		id := groups[g].id
		if slices.Contains(goGroups, id) && (groups[g].kind != kindHybrid || m.top == vTLS13) {
			m.c.CurvePreferences = append(m.c.CurvePreferences, tls.CurveID(id))
			offered = append(offered, id)
		} else {
			m.lose("group", groupTable.name(g), "crypto/tls does not have it")
		}
	}
	if !inOrder(offered, goGroups) {
		m.lose("order", "groups", "crypto/tls has its own order")
	}
}

func (m *mapping) signatures() {
	if m.top >= vTLS12 {
		for _, id := range m.hello.SignatureAlgorithms {
			if !slices.Contains(goSignatures, id) {
				m.lose("signature", m.x.signatureName(id), "crypto/tls does not offer it")
			}
		}
		for _, id := range goSignatures {
			if !slices.Contains(m.hello.SignatureAlgorithms, id) {
				m.add("signature", m.x.signatureName(id), "crypto/tls offers it and cannot be told not to")
			}
		}
		if !inOrder(m.hello.SignatureAlgorithms, goSignatures) {
			m.lose("order", "signatures", "crypto/tls has its own order")
		}
	}
}

func (m *mapping) options() {
	for _, o := range []struct {
		on   bool
		name string
	}{
		{m.x.Flags.ServerPrecedence, "SERVER_PRECEDENCE"}, {m.x.Flags.ForceETM, "FORCE_ETM"},
		{m.x.Flags.NoSessionHash, "NO_SESSION_HASH"}, {m.x.Flags.ForceSessionHash, "FORCE_SESSION_HASH"},
		{m.x.Flags.Dumbfw, "DUMBFW"}, {m.x.Flags.FallbackSCSV, "FALLBACK_SCSV"}, {m.x.Flags.NoExtensions, "NO_EXTENSIONS"},
		{m.x.Flags.NoTLS13CompatMode, "DISABLE_TLS13_COMPAT_MODE"}, {m.x.Flags.LatestRecordVersion, "LATEST_RECORD_VERSION"},
		{m.x.Renegotiation == RenegotiationSafe, "SAFE_RENEGOTIATION"},
		{m.x.Renegotiation == RenegotiationDisabled, "DISABLE_SAFE_RENEGOTIATION"},
	} {
		if o.on {
			m.lose("option", "%"+o.name, "crypto/tls has no such setting")
		}
	}
	if m.x.cbc && !m.x.Flags.NoETM && slices.ContainsFunc(m.x.suites, func(p uint16) bool {
		return suites[p].min < vTLS13 && m.low < vTLS13 && certificateKX.has(suites[p].kx) && isBlock[suites[p].cipher]
	}) {
		m.lose("option", lostETM, "crypto/tls does not have the extension")
	}
}

// withoutSuites leaves out the versions for which no cipher suite is left.
func (m *mapping) withoutSuites() error {
	if m.low < vTLS13 && len(m.c.CipherSuites) == 0 {
		if m.top < vTLS13 {
			return fmt.Errorf("priority string %q: crypto/tls has none of its cipher suites", m.x.Priority)
		}
		for v := m.low; v < vTLS13; v++ {
			if m.x.protocols.has(v) {
				m.lose("version", protocolTable.name(v), "crypto/tls has none of the cipher suites for it")
			}
		}
		m.c.MinVersion = wireVersion[vTLS13] // with an empty list crypto/tls would take its defaults
	}
	return nil
}

// withoutGroups leaves out what needs a group where none is left.
func (m *mapping) withoutGroups() error {
	if len(m.c.CurvePreferences) == 0 && (m.c.MaxVersion == tls.VersionTLS13 || needsGroup(m.c.CipherSuites)) {
		// An empty list would mean the defaults, groups that the string leaves out.
		if m.c.CipherSuites = withoutGroup(m.c.CipherSuites); len(m.c.CipherSuites) == 0 || m.c.MinVersion == tls.VersionTLS13 {
			return fmt.Errorf("priority string %q: crypto/tls has none of its groups", m.x.Priority)
		}
		if m.c.MaxVersion == tls.VersionTLS13 {
			m.lose("version", "TLS1.3", "crypto/tls has none of the groups for it")
			m.c.MaxVersion = tls.VersionTLS12
		}
		for _, id := range m.suites12 {
			if !slices.Contains(m.c.CipherSuites, id) {
				m.lose("suite", suiteName(id), "crypto/tls has none of the groups for it")
			}
		}
	}
	if len(m.c.CurvePreferences) == 0 {
		for _, id := range goGroups {
			if g := groupByID(id); groups[g].kind != kindHybrid || m.c.MaxVersion == tls.VersionTLS13 {
				m.add("group", groupTable.entries[g].name, "crypto/tls offers it and cannot be told not to")
			}
		}
	}
	return nil
}

// Covers says whether crypto/tls with this configuration can speak what an agreement names, whatever else is lost.
func (c TLSConfig) Covers(a Agreement) bool {
	v, _ := protocolTable.lookup(a.Version, build{})
	if w := wireVersion[v]; w < c.MinVersion || w > c.MaxVersion {
		return false
	}
	if v == vTLS13 {
		if !slices.Contains(goSuites13, a.Suite.ID) {
			return false
		}
	} else if !slices.Contains(c.CipherSuites, a.Suite.ID) {
		return false
	}
	if a.Group != "" {
		g, ok := groupTable.lookup(a.Group, build{release: Release3813, pqc: true})
		if !ok || !slices.Contains(c.CurvePreferences, tls.CurveID(groups[g].id)) {
			return false
		}
	}
	if a.Signature != "" {
		s, ok := signatureTable.lookup(a.Signature, build{release: Release3813})
		return ok && slices.Contains(goSignatures, signatures[s].id)
	}
	return true
}

// Suffices says whether crypto/tls may stand in for GnuTLS at a client with the priority this was made of: it offers
// nothing that the priority leaves out, no option is lost, and what the client comes to with a daemon that has libvirt's
// own NORMAL, be its certificate RSA or ECDSA, is something it can speak. A session that it makes is then one that GnuTLS
// would have made too, if perhaps with another suite; when it fails, GnuTLS might still have found something.
func (c TLSConfig) Suffices(client *Expansion, o Options) bool {
	for _, l := range c.Lost {
		if l.Added || l.Kind == "option" && l.Name != lostETM {
			return false
		}
	}
	daemon, err := Expand("NORMAL", o)
	if err != nil {
		return false
	}
	for _, key := range []KeyKind{KeyRSA, KeyECDSAP256} {
		if a, err := Common(client, daemon, key); err != nil || !c.Covers(a) {
			return false
		}
	}
	return true
}

// lostETM is an extension that no outcome depends on unless it is forced.
const lostETM = "encrypt-then-MAC"

// inOrder says whether the entries of got that want has stand in want's order.
func inOrder(got, want []uint16) bool {
	last := -1
	for _, id := range got {
		if i := slices.Index(want, id); i >= 0 {
			if i < last {
				return false
			}
			last = i
		}
	}
	return true
}

func suiteByID(id uint16) *suite {
	for i := range suites {
		if suites[i].id == id {
			return &suites[i]
		}
	}
	return nil
}

func groupByID(id uint16) uint8 {
	for i := range groups {
		if groups[i].id == id {
			return uint8(i)
		}
	}
	return gNone
}

func suiteName(id uint16) string { return suiteByID(id).name }

// signatureName gives the name for a number, that of an algorithm of the string where several share it.
func (x *Expansion) signatureName(id uint16) string {
	for _, s := range x.signatures.all() {
		if signatures[s].id == id {
			return signatureTable.name(s)
		}
	}
	for i := range signatures {
		if signatures[i].id == id {
			return signatureTable.name(uint8(i))
		}
	}
	return fmt.Sprintf("%04x", id)
}

func needsGroup(ids []uint16) bool { return len(withoutGroup(ids)) < len(ids) }

// withoutGroup gives the suites whose key exchange needs no group.
func withoutGroup(ids []uint16) []uint16 {
	var out []uint16
	for _, id := range ids {
		if suiteByID(id).kx == kxRSA {
			out = append(out, id)
		}
	}
	return out
}
