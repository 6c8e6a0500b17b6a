package priority

import "fmt"

// An Agreement is what two ends come to.
type Agreement struct {
	Version string // TLS1.3
	Suite   Suite
	// Group is the group of the key exchange; empty where the suite needs none (RSA key exchange).
	Group string
	// Signature is the algorithm of the server's signature; empty up to TLS 1.1, where it is fixed, and with RSA key
	// exchange.
	Signature string
	// Retry says that the client guessed the group wrong and has to send its hello again (TLS 1.3).
	Retry bool
}

// A Mismatch is the reason why two ends do not come to a session. libvirt's daemon and client see a plain failure of
// the handshake, mostly without an alert.
type Mismatch struct {
	// Missing is what they have not in common: version, suite, group, signature or an extension by its name.
	Missing string
	Reason  string
	// ClientText is GnuTLS's error at the client where that is the end that gives up; empty: the server does, and the client
	// sees the connection end ("The TLS connection was non-properly terminated.").
	ClientText string
}

// Error gives the reason.
func (m *Mismatch) Error() string { return "no common " + m.Missing + ": " + m.Reason }

func mismatch(missing, format string, args ...any) *Mismatch {
	return &Mismatch{Missing: missing, Reason: fmt.Sprintf(format, args...)}
}

// atClient says that it is the client that gives up, with GnuTLS's text.
func (m *Mismatch) atClient(text string) *Mismatch {
	m.ClientText = text
	return m
}

// Common says what a client and a server with these priorities agree on, when the server's certificates have keys of
// these kinds, in order of preference (none: RSA). Both ends are GnuTLS as libvirt uses it: no resumption, no DH
// parameters of the server's own. The error is a *[Mismatch], or an *[Error] where an end cannot begin at all.
//
// The rules are those of GnuTLS's handshake: the server takes the highest version both have, then the first suite of
// the client's list that it can serve (of its own with %SERVER_PRECEDENCE), the client's first group that it knows, and
// the first signature algorithm of its own list that its key can make and the client offers.
func Common(client, server *Expansion, keys ...KeyKind) (Agreement, error) {
	if server.SetError != nil {
		return Agreement{}, server.SetError
	}
	if _, err := server.ClientHello(); err != nil {
		return Agreement{}, err // only DTLS: the server cannot begin either
	}
	hello, err := client.ClientHello()
	if err != nil {
		return Agreement{}, err
	}
	if len(keys) == 0 {
		keys = []KeyKind{KeyRSA}
	}
	n := &negotiation{client: client, server: server, hello: hello, keys: keys}
	if m := n.pickVersion(); m != nil {
		return Agreement{}, m
	}
	if client.Flags.FallbackSCSV && n.version < highest(&server.protocols, isTLS) {
		return Agreement{}, mismatch("version", "the client says that it fell back (%%FALLBACK_SCSV), and the server knows %s",
			protocolTable.name(highest(&server.protocols, isTLS)))
	}
	if m := n.renegotiation(); m != nil {
		return Agreement{}, m
	}
	n.pickGroups()
	var m *Mismatch
	if n.version == vTLS13 {
		m = n.pick13()
	} else {
		m = n.pick12()
	}
	switch {
	case n.tooOld != nil && (m == nil || m.ClientText != ""):
		return Agreement{}, n.tooOld.atClient(textVersion)
	case n.tooOld != nil:
		return Agreement{}, n.tooOld
	case m != nil:
		return Agreement{}, m
	}
	return n.agreement, nil
}

// A negotiation is a handshake on paper.
type negotiation struct {
	client, server *Expansion
	hello          *ClientHello
	keys           []KeyKind

	version       uint8
	ec, dh, group uint8     // candidates: of a curve, of a finite field, of any kind
	noGroups      bool      // the client sends no groups
	tooOld        *Mismatch // the server takes a version that the client does not have
	agreement     Agreement
}

// encipherment says whether the server's certificates allow nothing but the RSA key exchange: GnuTLS leaves TLS 1.3 out then.
func (n *negotiation) encipherment() bool {
	for _, k := range n.keys {
		if k != KeyRSAEncipherment {
			return false
		}
	}
	return true
}

func (n *negotiation) pickVersion() *Mismatch {
	fail := func() *Mismatch {
		return mismatch("version", "the client has %s, the server %s", versionWords(&n.client.protocols),
			versionWords(&n.server.protocols))
	}
	if n.client.protocols.has(vTLS13) && n.server.protocols.has(vTLS13) {
		for _, v := range n.server.protocols.all() {
			if v == vTLS13 && n.encipherment() {
				continue
			}
			if isTLS(v) && n.client.protocols.has(v) && v > n.version {
				n.version = v
			}
		}
		if n.version == 0 {
			return mismatch("suite", "the two have TLS 1.3 only, for which the server's certificate cannot sign")
		}
		n.agreement.Version = protocolTable.name(n.version)
		return nil
	}
	// The version of the hello itself decides: the client's highest, TLS 1.2 in place of TLS 1.3.
	offered := min(highest(&n.client.protocols, isTLS), vTLS12)
	switch {
	case n.server.protocols.has(offered):
		if n.version = offered; !n.client.protocols.has(offered) {
			return fail() // a client with TLS 1.3 only
		}
	case offered > highest(&n.server.protocols, isTLS):
		n.version = highest(&n.server.protocols, isTLS)
		if !n.client.protocols.has(n.version) {
			// The client sees that only when the server has found a suite for that version.
			n.tooOld = fail()
		}
	default:
		return fail()
	}
	n.agreement.Version = protocolTable.name(n.version)
	return nil
}

func versionWords(l *list) string {
	s := ""
	for _, v := range l.all() {
		if isTLS(v) {
			if s != "" {
				s += " "
			}
			s += protocolTable.name(v)
		}
	}
	return s
}

// pickGroups finds the candidates among the groups of both ends. Without the extension the server takes P-256,
// whatever its own list says.
func (n *negotiation) pickGroups() {
	if n.noGroups = len(n.hello.SupportedGroups) == 0 || n.client.Flags.NoExtensions; n.noGroups {
		n.ec = gSECP256R1
		return
	}
	first, second := &n.client.groups, &n.server.groups
	if n.server.Flags.ServerPrecedence {
		first, second = second, first
	}
	for _, g := range first.all() {
		if !second.has(g) {
			continue
		}
		switch groups[g].kind {
		case kindDH:
			if n.dh == gNone {
				n.dh = g
			}
		default:
			if n.ec == gNone {
				n.ec = g
			}
		}
		if n.group == gNone {
			n.group = g
		}
	}
}

// order gives the suites in the order that decides, as positions in the table, those that the other end has not left
// out.
func (n *negotiation) order() []uint16 {
	first, second := n.client.suites, n.server.suites
	if n.server.Flags.ServerPrecedence {
		first, second = second, first
	}
	var have [len(suites)]bool
	for _, p := range second {
		have[p] = true
	}
	var out []uint16
	for _, p := range first {
		if have[p] {
			out = append(out, p)
		}
	}
	return out
}

func (n *negotiation) pick13() *Mismatch {
	if n.group == gNone {
		return mismatch("group", "the client offers %s, the server knows %s", groupWords(&n.client.groups),
			groupWords(&n.server.groups))
	}
	for _, p := range n.order() {
		if suites[p].min != vTLS13 {
			continue
		}
		sig, ok := n.signature(n.keys)
		if !ok {
			return mismatch("signature", "none of the client's signature algorithms for TLS 1.3 fits the server's key")
		}
		if m := n.refused(sig); m != nil {
			return m
		}
		n.agreement.Suite = Suite{suites[p].id, suites[p].name}
		n.agreement.Group = groupTable.name(n.group)
		n.agreement.Signature = signatureTable.name(sig)
		n.agreement.Retry = true
		for _, s := range n.client.keyShares() {
			if s == n.group {
				n.agreement.Retry = false
			}
		}
		return nil
	}
	return mismatch("suite", "the two have no cipher suite of TLS 1.3 in common")
}

func (n *negotiation) pick12() *Mismatch {
	order := n.order()
	var last *Mismatch
	for _, p := range order {
		c := &suites[p]
		if c.min > n.version || c.min == vTLS13 || !certificateKX.has(c.kx) {
			continue
		}
		if isBlock[c.cipher] && n.server.Flags.ForceETM && !n.encryptThenMAC() {
			continue
		}
		group, ok := n.groupFor(c.kx)
		if !ok {
			last = mismatch("group", "the client offers %s, the server knows %s", groupWords(&n.client.groups),
				groupWords(&n.server.groups))
			continue
		}
		var fitting []KeyKind
		for _, k := range n.keys {
			if k.serves(c.kx) {
				fitting = append(fitting, k)
			}
		}
		if len(fitting) == 0 {
			continue
		}
		if n.version < vTLS12 && (fitting[0] == KeyRSAPSS || fitting[0] == KeyEd25519 || fitting[0] == KeyEd448) {
			return mismatch("signature", "a server key of this kind cannot sign before TLS 1.2")
		}
		a, signed := Agreement{Version: n.agreement.Version, Suite: Suite{c.id, c.name}}, uint8(sNone)
		if group != gNone {
			a.Group = groupTable.name(group)
		}
		if c.kx != kxRSA && n.version == vTLS12 {
			sig, ok := n.signature(fitting)
			if !ok {
				last = mismatch("signature", "none of the client's signature algorithms fits the server's key")
				continue
			}
			a.Signature, signed = signatureTable.name(sig), sig
		}
		if n.noGroups && group != gNone && !n.client.groups.has(group) {
			return mismatch("group", "the client names no group, the server takes %s and the client refuses that",
				groupTable.name(group)).atClient(textCurve)
		}
		if m := n.refused(signed); signed != sNone && m != nil {
			return m
		}
		if isBlock[c.cipher] && n.client.Flags.ForceETM && !n.encryptThenMAC() {
			return mismatch("encrypt-then-MAC", "the client demands it for %s, the server does not offer it", c.name).atClient(textNotEnabled)
		}
		if n.version == vTLS12 && !n.requestsCertificate() {
			return mismatch("signature", "the server asks for a client certificate without a signature that one could make").atClient(textUnknownKey)
		}
		n.agreement = a
		return nil
	}
	if last != nil {
		return last
	}
	return mismatch("suite", "the two have no cipher suite in common that the server's certificate can serve")
}

// renegotiation checks RFC 5746: an end with %SAFE_RENEGOTIATION demands the extension of the other. The server does
// so in every version, and answers even with %NO_EXTENSIONS.
func (n *negotiation) renegotiation() *Mismatch {
	offered := n.client.Renegotiation != RenegotiationDisabled && !n.client.Flags.NoExtensions
	answered := offered && n.server.Renegotiation != RenegotiationDisabled
	if n.server.Renegotiation == RenegotiationSafe && !offered ||
		n.client.Renegotiation == RenegotiationSafe && !answered && n.version != vTLS13 {
		return mismatch("renegotiation", "one end demands safe renegotiation, the other does not say that it can")
	}
	return nil
}

// encryptThenMAC says whether the two use encrypt-then-MAC with block ciphers.
func (n *negotiation) encryptThenMAC() bool {
	for _, x := range []*Expansion{n.client, n.server} {
		if !x.cbc || x.Flags.NoETM {
			return false
		}
	}
	return !n.client.Flags.NoExtensions
}

// requestsCertificate says whether the server's request for a certificate names a type of key: without one the client
// gives up (TLS 1.2, certificate_types of RFC 5246, 7.4.4).
func (n *negotiation) requestsCertificate() bool {
	for _, id := range n.server.signatures.all() {
		switch signatures[id].key {
		case KeyEd25519, KeyEd448, noKey:
		default:
			return true
		}
	}
	return false
}

// groupFor gives the group for a key exchange up to TLS 1.2.
func (n *negotiation) groupFor(kx uint8) (uint8, bool) {
	switch kx {
	case kxECDHERSA, kxECDHEECDSA, kxVKOGOST12:
		return n.ec, n.ec != gNone
	case kxDHERSA, kxDHEDSS:
		return n.dh, n.dh != gNone
	}
	return gNone, true
}

// serves says whether a certificate with such a key can be used for a key exchange up to TLS 1.2.
func (k KeyKind) serves(kx uint8) bool {
	switch kx {
	case kxRSA:
		return k == KeyRSA || k == KeyRSAEncipherment
	case kxECDHERSA, kxDHERSA:
		return k == KeyRSA || k == KeyRSAPSS
	case kxECDHEECDSA:
		return k >= KeyECDSAP256 && k <= KeyECDSAP224
	}
	return false
}

// signature picks the algorithm of the server's signature.
func (n *negotiation) signature(keys []KeyKind) (uint8, bool) {
	offered := n.hello.SignatureAlgorithms
	if n.client.Flags.NoExtensions {
		offered = []uint16{0x0201, 0x0203} // RFC 5246, 7.4.1.4.1
	}
	for _, k := range keys {
		for _, id := range offered {
			if sig := signatureOf(id, n.version); sig != sNone && n.server.signatures.has(sig) && k.signs(sig, n.version) {
				return sig, true
			}
		}
	}
	return sNone, false
}

// ClientSignature says with which algorithm a client with a key of this kind signs in a session of this version; empty
// up to TLS 1.1, where it is fixed. Where sent is false and err is nil the client sends no certificate, and libvirt's
// daemon refuses it with "No certificate was found": with TLS 1.3 when no algorithm is left, or (see
// [Release.WantsPKCS1]) for an RSA key when the server names no PKCS#1 algorithm, though none is used then; before that when the server does not ask for keys of this
// kind, which it never does for RSA-PSS and the Edwards curves. The error is a [*Mismatch]: the client
// would send it, but cannot sign, or the server does not take the signature; with TLS 1.3 sent is true then, since the client
// is done and waits for the confirmation.
func ClientSignature(client, server *Expansion, version string, key KeyKind) (name string, sent bool, err error) {
	v, known := protocolTable.lookup(version, build{})
	if !known || !isTLS(v) {
		return "", false, nil
	}
	if v < vTLS13 {
		class := KeyRSA
		switch key {
		case KeyRSA:
		case KeyECDSAP256, KeyECDSAP384, KeyECDSAP521, KeyECDSAP192, KeyECDSAP224:
			class = anyECDSA
		default:
			return "", false, nil
		}
		if v < vTLS12 {
			return "", true, nil
		}
		if !server.asksFor(class) {
			return "", false, nil
		}
	} else if key == KeyRSA && client.GnuTLS.WantsPKCS1() && !server.namesPKCS1() {
		return "", false, nil
	}
	for _, s := range server.signatures.all() {
		if sig := signatureOf(signatures[s].id, v); sig != sNone && client.signatures.has(sig) && key.signs(sig, v) {
			if !server.signatures.has(sig) {
				// With TLS 1.3 the client is done by then.
				return "", v == vTLS13, mismatch("signature", "the client takes %s, which the server refuses", signatureTable.name(sig))
			}
			return signatureTable.name(sig), true, nil
		}
	}
	if v == vTLS13 {
		return "", false, nil
	}
	return "", false, mismatch("signature", "none of the server's signature algorithms fits the client's key and is in its own list").
		atClient(textNotEnabled)
}

// asksFor says whether a server's request for a certificate in TLS 1.2 names keys of a class: RSA or any ECDSA
// (certificate_types of RFC 5246, 7.4.4, which GnuTLS makes of its signature algorithms).
func (x *Expansion) asksFor(class KeyKind) bool {
	for _, id := range x.signatures.all() {
		switch k := signatures[id].key; {
		case k == class, class == KeyRSA && k == KeyRSAPSS, class == anyECDSA && k >= KeyECDSAP256 && k <= KeyECDSAP521:
			return true
		}
	}
	return false
}

// namesPKCS1 says whether a server's request in TLS 1.3 names an algorithm by which GnuTLS recognises that RSA keys will do.
func (x *Expansion) namesPKCS1() bool {
	for _, id := range x.signatures.all() {
		if signatures[id].key == KeyRSA && signatures[id].id&0xff == 1 {
			return true
		}
	}
	return false
}

// The texts of GnuTLS with which a client gives up.
const (
	textNotEnabled = "An algorithm that is not enabled was negotiated."
	textUnknownKey = "An unknown public key algorithm was encountered."
	textIllegal    = "An illegal parameter has been received."
	textSignature  = "The signature algorithm is not supported."
	textVersion    = "A packet with illegal or unsupported version was received."
	textCurve      = "The curve is unsupported"
)

// refused says that the client refuses the server's choice, though it offered its number: ECDSA-SHA256 and
// ECDSA-SECP256R1-SHA256 share one.
func (n *negotiation) refused(sig uint8) *Mismatch {
	if n.client.signatures.has(sig) {
		return nil
	}
	m := mismatch("signature", "the server takes %s, which the client refuses", signatureTable.name(sig))
	if n.version == vTLS13 {
		return m.atClient(textIllegal)
	}
	return m.atClient(textSignature)
}

// signatureOf gives the algorithm that a number stands for in a version of TLS.
func signatureOf(id uint16, version uint8) uint8 {
	sem := semPre13
	if version == vTLS13 {
		sem = sem13
	}
	for i := range signatures {
		if s := &signatures[i]; s.id == id && s.sem&sem != 0 {
			return uint8(i)
		}
	}
	return sNone
}

// signs says whether the key can make a signature in a version of TLS.
func (k KeyKind) signs(id, version uint8) bool {
	s := &signatures[id]
	if version == vTLS13 && s.sem&sem13 == 0 || version != vTLS13 && s.sem&semPre13 == 0 {
		return false
	}
	if version == vTLS13 && (s.digest == dSHA1 || s.id&0xff == 1 && s.id>>8 >= 4 && s.id>>8 <= 6) {
		return false // RFC 8446, 4.2.3: RSASSA-PKCS1-v1_5 and SHA-1 are for certificates only
	}
	switch s.key {
	case anyECDSA:
		return k >= KeyECDSAP256 && k <= KeyECDSAP521 || k == KeyECDSAP192 || k == KeyECDSAP224
	case KeyRSAPSS:
		return k == KeyRSAPSS
	}
	return s.key == k
}

func groupWords(l *list) string {
	if l.n == 0 {
		return "none"
	}
	s := ""
	for i, g := range l.all() {
		if i > 0 {
			s += " "
		}
		s += groupTable.name(g)
	}
	return s
}
