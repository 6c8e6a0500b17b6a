package priority

// A ClientHello is what a libvirt client with this priority puts on the wire: GnuTLS over a stream with certificate
// credentials and no session to resume. Numbers are those of the TLS registries.
type ClientHello struct {
	RecordVersion uint16 `json:"record_version"`
	LegacyVersion uint16 `json:"legacy_version"`
	// SessionIDLength is 32 where the client simulates resumption for middleboxes (RFC 8446, D.4).
	SessionIDLength int      `json:"session_id_length"`
	CipherSuites    []uint16 `json:"cipher_suites"`
	// Extensions are in the order that GnuTLS 3.7 writes them. From 3.8.1 on the order is random unless
	// %NO_SHUFFLE_EXTENSIONS is set. No server name is sent: libvirt does not set one.
	Extensions          []uint16 `json:"extensions"`
	SupportedVersions   []uint16 `json:"supported_versions"`
	SupportedGroups     []uint16 `json:"supported_groups"`
	SignatureAlgorithms []uint16 `json:"signature_algorithms"`
	KeyShares           []uint16 `json:"key_shares"`
}

// The numbers of extensions (IANA, TLS ExtensionType values).
const (
	extStatusRequest        = 0x0005
	extSupportedGroups      = 0x000a
	extECPointFormats       = 0x000b
	extSignatureAlgorithms  = 0x000d
	extPadding              = 0x0015
	extEncryptThenMAC       = 0x0016
	extExtendedMasterSecret = 0x0017
	extRecordSizeLimit      = 0x001c
	extSessionTicket        = 0x0023
	extSupportedVersions    = 0x002b
	extPSKKeyExchangeModes  = 0x002d
	extKeyShare             = 0x0033
	extRenegotiationInfo    = 0xff01
)

// fallbackSCSV is the suite value of RFC 7507.
const fallbackSCSV = 0x5600

// certificateKX are the key exchanges that work with libvirt's credentials: certificates only.
const certificateKX = set(1<<kxNone | 1<<kxECDHERSA | 1<<kxECDHEECDSA | 1<<kxRSA | 1<<kxDHERSA | 1<<kxDHEDSS | 1<<kxVKOGOST12)

// ClientHello gives the hello, or an error where GnuTLS cannot begin a handshake: no TLS version is left, only DTLS
// (gnutls_handshake fails with NoPrioritiesWereSet), or the string cannot be set for a session at all.
func (x *Expansion) ClientHello() (*ClientHello, error) {
	if x.SetError != nil {
		return nil, x.SetError
	}
	top := highest(&x.protocols, isTLS)
	if top == vNone {
		e := insufficient("only DTLS versions are left, and libvirt speaks TLS")
		e.priority = x.Priority
		return nil, e
	}
	h := &ClientHello{}
	tls13 := x.protocols.has(vTLS13)
	h.LegacyVersion = wireVersion[min(top, vTLS12)]
	switch low := lowestTLS(&x.protocols); {
	case x.Flags.LatestRecordVersion:
		h.RecordVersion = h.LegacyVersion
	case low == vTLS13:
		h.RecordVersion = wireVersion[vTLS10]
	default:
		h.RecordVersion = wireVersion[low]
	}
	if tls13 && !x.Flags.NoTLS13CompatMode {
		h.SessionIDLength = 32
	}
	for _, p := range x.suites {
		if c := &suites[p]; c.min <= top && certificateKX.has(c.kx) {
			h.CipherSuites = append(h.CipherSuites, c.id)
		}
	}
	if x.Flags.FallbackSCSV {
		h.CipherSuites = append(h.CipherSuites, fallbackSCSV)
	}
	if x.Flags.NoExtensions {
		return h, nil
	}
	for _, g := range x.groups.all() {
		h.SupportedGroups = append(h.SupportedGroups, groups[g].id)
	}
	if top >= vTLS12 {
		for _, s := range x.signatures.all() {
			// GnuTLS leaves out a number that repeats the one just before it, not one that stands further back.
			if n := len(h.SignatureAlgorithms); n == 0 || h.SignatureAlgorithms[n-1] != signatures[s].id {
				h.SignatureAlgorithms = append(h.SignatureAlgorithms, signatures[s].id)
			}
		}
	}
	if tls13 {
		for _, v := range x.protocols.all() {
			if isTLS(v) {
				h.SupportedVersions = append(h.SupportedVersions, wireVersion[v])
			}
		}
		for _, g := range x.keyShares() {
			h.KeyShares = append(h.KeyShares, groups[g].id)
		}
	}
	psk := x.kx.has(kxPSK) || x.kx.has(kxDHEPSK) || x.kx.has(kxECDHEPSK)
	for _, e := range []struct {
		id   uint16
		sent bool
	}{
		{extStatusRequest, !x.Flags.NoStatusRequest},
		{extSupportedGroups, len(h.SupportedGroups) > 0},
		{extECPointFormats, len(h.SupportedGroups) > 0},
		{extSignatureAlgorithms, len(h.SignatureAlgorithms) > 0},
		{extEncryptThenMAC, x.cbc && !x.Flags.NoETM},
		{extExtendedMasterSecret, !x.Flags.NoSessionHash},
		{extSessionTicket, !x.Flags.NoTickets && !x.Flags.NoTicketsTLS12},
		{extKeyShare, tls13},
		{extSupportedVersions, tls13},
		{extRenegotiationInfo, x.Renegotiation != RenegotiationDisabled},
		{extPSKKeyExchangeModes, tls13 && (!x.Flags.NoTickets || psk)},
		{extRecordSizeLimit, true},
	} {
		if e.sent {
			h.Extensions = append(h.Extensions, e.id)
		}
	}
	// The padding against a bad firewall is written only where it is needed: for a hello of 256 to 511 bytes, counted
	// with the padding's own head.
	if n := h.length() + 4; x.Flags.Dumbfw && n >= 256 && n < 512 {
		h.Extensions = append(h.Extensions, extPadding)
	}
	return h, nil
}

// length gives the length of the handshake message with its head, as far as the extensions are listed.
func (h *ClientHello) length() int {
	const (
		head              = 4 // type and length of the message
		versionAndRandom  = 2 + 32
		compression       = 2 // one method, null
		lengthOfExtension = 4 // type and length
	)
	n := head + versionAndRandom + 1 + h.SessionIDLength + 2 + 2*len(h.CipherSuites) + compression + 2
	for _, e := range h.Extensions {
		n += lengthOfExtension
		switch e {
		case extStatusRequest:
			n += 5
		case extSupportedGroups:
			n += 2 + 2*len(h.SupportedGroups)
		case extECPointFormats, extRecordSizeLimit:
			n += 2
		case extSignatureAlgorithms:
			n += 2 + 2*len(h.SignatureAlgorithms)
		case extSupportedVersions:
			n += 1 + 2*len(h.SupportedVersions)
		case extRenegotiationInfo:
			n++
		case extPSKKeyExchangeModes:
			n += 3
		case extKeyShare:
			n += 2
			for _, g := range h.KeyShares {
				n += 4 + shareLength[g]
			}
		}
	}
	return n
}

// shareLength is the length of a client's key share.
var shareLength = map[uint16]int{
	0x0023: 0, 0x0026: 0, // empty, whatever that is good for
	0x0013: 1 + 2*24, 0x0015: 1 + 2*28, 0x0017: 1 + 2*32, 0x0018: 1 + 2*48, 0x0019: 1 + 2*66, 0x001d: 32, 0x001e: 56,
	0x0100: 256, 0x0101: 384, 0x0102: 512, 0x0103: 768, 0x0104: 1024,
	0x11eb: 1 + 2*32 + 1184, 0x11ec: 1184 + 32, 0x11ed: 1 + 2*48 + 1568, 0x6399: 32 + 1184,
}

// keyShares gives the groups a client sends key shares for: the first and the next one of another public key type.
func (x *Expansion) keyShares() []uint8 {
	var out, counted []uint8
	for _, g := range x.groups.all() {
		if pk := groups[g].pk; pk == pkGOST256 || pk == pkGOST512 {
			// GnuTLS 3.7 makes no share for GOST curves, 3.8 (measured from 3.8.9 on) makes one beside the others.
			if !x.GnuTLS.Before(Release{3, 8, 0}) {
				out = append(out, g)
			}
			continue
		}
		if counted == nil || groups[g].pk != groups[counted[0]].pk {
			out, counted = append(out, g), append(counted, g)
		}
		if len(counted) == 2 {
			break
		}
	}
	return out
}
