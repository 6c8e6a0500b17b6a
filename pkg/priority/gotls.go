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
	var c TLSConfig
	lose := func(kind, name, format string, args ...any) {
		c.Lost = append(c.Lost, Loss{Kind: kind, Name: name, Why: fmt.Sprintf(format, args...)})
	}
	add := func(kind, name, why string) {
		c.Lost = append(c.Lost, Loss{Kind: kind, Name: name, Why: why, Added: true})
	}
	low, top := lowestTLS(&x.protocols), highest(&x.protocols, isTLS)
	c.MinVersion, c.MaxVersion = wireVersion[low], wireVersion[top]
	for v := low; v <= top; v++ {
		if !x.protocols.has(v) {
			add("version", protocolTable.name(v), "crypto/tls cannot leave out a version between two others")
		}
	}

	var suites12, suites13 []uint16
	for _, p := range x.suites {
		s := &suites[p]
		switch {
		case s.min > top || !certificateKX.has(s.kx):
		case s.min == vTLS13:
			if slices.Contains(goSuites13, s.id) {
				suites13 = append(suites13, s.id)
			} else {
				lose("suite", s.name, "crypto/tls does not have it")
			}
		case low == vTLS13: // offered by GnuTLS but of no use: no version goes with it
		case slices.Contains(goSuites, s.id):
			c.CipherSuites = append(c.CipherSuites, s.id)
			suites12 = append(suites12, s.id)
		default:
			lose("suite", s.name, "crypto/tls does not have it")
		}
	}
	if top == vTLS13 {
		for _, id := range goSuites13 {
			if !slices.Contains(suites13, id) {
				add("suite", suiteName(id), "crypto/tls offers it in TLS 1.3 and cannot be told not to")
			}
		}
		if !inOrder(suites13, goSuites13) {
			lose("order", "suites of TLS 1.3", "crypto/tls has its own order")
		}
	}
	if !inOrder(suites12, goSuites) {
		lose("order", "suites", "crypto/tls has its own order")
	}

	var offered []uint16
	for _, g := range x.groups.all() {
		id := groups[g].id
		if slices.Contains(goGroups, id) && (groups[g].kind != kindHybrid || top == vTLS13) {
			c.CurvePreferences = append(c.CurvePreferences, tls.CurveID(id))
			offered = append(offered, id)
		} else {
			lose("group", groupTable.name(g), "crypto/tls does not have it")
		}
	}
	if !inOrder(offered, goGroups) {
		lose("order", "groups", "crypto/tls has its own order")
	}

	if top >= vTLS12 {
		for _, id := range h.SignatureAlgorithms {
			if !slices.Contains(goSignatures, id) {
				lose("signature", x.signatureName(id), "crypto/tls does not offer it")
			}
		}
		for _, id := range goSignatures {
			if !slices.Contains(h.SignatureAlgorithms, id) {
				add("signature", x.signatureName(id), "crypto/tls offers it and cannot be told not to")
			}
		}
		if !inOrder(h.SignatureAlgorithms, goSignatures) {
			lose("order", "signatures", "crypto/tls has its own order")
		}
	}

	for _, o := range []struct {
		on   bool
		name string
	}{
		{x.Flags.ServerPrecedence, "SERVER_PRECEDENCE"}, {x.Flags.ForceETM, "FORCE_ETM"},
		{x.Flags.NoSessionHash, "NO_SESSION_HASH"}, {x.Flags.ForceSessionHash, "FORCE_SESSION_HASH"},
		{x.Flags.Dumbfw, "DUMBFW"}, {x.Flags.FallbackSCSV, "FALLBACK_SCSV"}, {x.Flags.NoExtensions, "NO_EXTENSIONS"},
		{x.Flags.NoTLS13CompatMode, "DISABLE_TLS13_COMPAT_MODE"}, {x.Flags.LatestRecordVersion, "LATEST_RECORD_VERSION"},
		{x.Renegotiation == RenegotiationSafe, "SAFE_RENEGOTIATION"},
		{x.Renegotiation == RenegotiationDisabled, "DISABLE_SAFE_RENEGOTIATION"},
	} {
		if o.on {
			lose("option", "%"+o.name, "crypto/tls has no such setting")
		}
	}
	if x.cbc && !x.Flags.NoETM && slices.ContainsFunc(x.suites, func(p uint16) bool {
		return suites[p].min < vTLS13 && low < vTLS13 && certificateKX.has(suites[p].kx) && isBlock[suites[p].cipher]
	}) {
		lose("option", lostETM, "crypto/tls does not have the extension")
	}

	if low < vTLS13 && len(c.CipherSuites) == 0 {
		if top < vTLS13 {
			return TLSConfig{}, fmt.Errorf("priority string %q: crypto/tls has none of its cipher suites", x.Priority)
		}
		for v := low; v < vTLS13; v++ {
			if x.protocols.has(v) {
				lose("version", protocolTable.name(v), "crypto/tls has none of the cipher suites for it")
			}
		}
		c.MinVersion = wireVersion[vTLS13] // with an empty list crypto/tls would take its defaults
	}
	if len(c.CurvePreferences) == 0 && (c.MaxVersion == tls.VersionTLS13 || needsGroup(c.CipherSuites)) {
		// An empty list would mean the defaults, groups that the string leaves out.
		if c.CipherSuites = withoutGroup(c.CipherSuites); len(c.CipherSuites) == 0 || c.MinVersion == tls.VersionTLS13 {
			return TLSConfig{}, fmt.Errorf("priority string %q: crypto/tls has none of its groups", x.Priority)
		}
		if c.MaxVersion == tls.VersionTLS13 {
			lose("version", "TLS1.3", "crypto/tls has none of the groups for it")
			c.MaxVersion = tls.VersionTLS12
		}
		for _, id := range suites12 {
			if !slices.Contains(c.CipherSuites, id) {
				lose("suite", suiteName(id), "crypto/tls has none of the groups for it")
			}
		}
	}
	if len(c.CurvePreferences) == 0 {
		for _, id := range goGroups {
			if g := groupByID(id); groups[g].kind != kindHybrid || c.MaxVersion == tls.VersionTLS13 {
				add("group", groupTable.entries[g].name, "crypto/tls offers it and cannot be told not to")
			}
		}
	}
	c.Exact = len(c.Lost) == 0
	return c, nil
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
