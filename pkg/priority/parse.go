package priority

import (
	"fmt"
	"strings"
)

// maxElements is the number of elements that GnuTLS takes from a string; what follows is ignored, valid or not.
const maxElements = 128

// state is what the elements of a string change, one after the other.
type state struct {
	build    build
	settings *settings
	slowAES  bool

	protocols, ciphers, macs, kx, signatures, groups list
	clientCerts, serverCerts                         list

	flags         Flags
	renegotiation Renegotiation
	profile       Profile
	level         Level
	verify        uint32

	// cbc is set by a keyword that has block ciphers and by the name of a block cipher, in "-" too, and by nothing else:
	// only then does a client offer encrypt-then-MAC, whatever suites it offers.
	cbc     bool
	ignored []string
	filled  bool // the lists were begun: a further keyword adds
}

// isSpace is isspace of the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// parse handles the elements of a string whose @KEYWORD is resolved. On error it gives the element, GnuTLS's offset
// and the reason.
func (s *state) parse(text string) *Error {
	s.renegotiation = RenegotiationPartial
	offset := 0
	for n := 0; n < maxElements; n++ {
		element, rest, more := strings.Cut(text, ":")
		if n == 0 {
			if equalFold(element, "NONE") {
				s.filled = true
			} else {
				s.start()
				if err := s.element(element); err != nil {
					return err.at(offset, element)
				}
			}
		} else if err := s.element(element); err != nil {
			return err.at(offset, element)
		}
		if !more {
			return nil
		}
		offset += len(element) + 1
		text = strings.TrimLeft(rest, " ") // not counted in the offset: GnuTLS does not either
	}
	s.ignored = append(s.ignored, "everything after the 128th element")
	return nil
}

// start fills the lists that a string other than NONE begins with.
func (s *state) start() {
	s.protocols.add(protocolsStart...)
	s.clientCerts.add(ctypeX509)
	s.serverCerts.add(ctypeX509)
	s.signatures.add(s.defaultSignatures()...)
	s.groups.add(groupsNormal...)
}

func (s *state) defaultSignatures() []uint8 { return s.build.defaultSignatures() }

func (b build) defaultSignatures() []uint8 {
	if b.release.Before(Release{3, 8, 10}) {
		return signaturesNormal
	}
	return signaturesModern
}

var signaturesModern = append(append([]uint8{}, signaturesMLDSA...), signaturesNormal...)

// A refusal is the reason why an element is refused.
type refusal struct {
	reason   string
	hint     string
	misspelt string // a name to which the nearest known one is a hint
}

func (r *refusal) at(offset int, element string) *Error {
	e := &Error{Code: InvalidRequest, Offset: offset, Element: element, Reason: r.reason, misspelt: r.misspelt}
	if r.hint != "" {
		e.hints = []string{r.hint}
	}
	return e
}

func refuse(hint, format string, args ...any) *refusal {
	return &refusal{reason: fmt.Sprintf(format, args...), hint: hint}
}

// element handles one element other than a leading NONE.
func (s *state) element(e string) *refusal {
	if e == "" {
		return refuse("take out the superfluous colon", "an element is empty")
	}
	switch e[0] {
	case '+', '-', '!':
		return s.change(e[1:], e[0] == '+')
	case '%':
		o, ok := options[e[1:]]
		if !ok {
			return unknownOption(e[1:])
		}
		if s.build.release.Before(o.since) {
			return refuse("", "%q is known from GnuTLS %s on, this is %s", e, o.since, s.build.release)
		}
		o.apply(s)
		if o.obsolete {
			s.ignore(e, "GnuTLS does nothing about it any more")
		}
		return nil
	}
	k, ok := keywordTable.lookup(e, s.build)
	if !ok {
		return s.unknown(e)
	}
	s.keyword(&keywords[k-1], s.filled)
	s.filled = true
	return nil
}

// keyword applies an initial keyword; with add it only appends.
func (s *state) keyword(k *keyword, add bool) {
	signatures := k.signatures
	if k.modern {
		signatures = s.defaultSignatures()
	}
	ciphers := k.ciphers
	if s.slowAES && k.name == "PERFORMANCE" {
		ciphers = ciphersSlow
	}
	if !add {
		s.ciphers.clear()
		s.macs.clear()
		s.kx.clear()
		s.signatures.clear()
		s.groups.clear()
		if k.protocols != nil {
			s.protocols.clear()
		}
	}
	s.ciphers.add(ciphers...)
	for _, c := range ciphers {
		s.cbc = s.cbc || isBlock[c]
	}
	s.macs.add(k.macs...)
	s.kx.add(k.kx...)
	s.signatures.add(signatures...)
	s.groups.add(k.groups...)
	s.protocols.add(k.protocols...)
	if k.profile != ProfileNone && (s.profile == ProfileNone || s.profile > k.profile) {
		s.profile = k.profile
	}
	if s.level == LevelNone || s.level > k.level {
		s.level = k.level
	}
	s.flags.NoTickets = false
	s.flags.NoTicketsTLS12 = k.noTickets
}

// change handles what stands after "+" (add) or "-" and "!". The first kind of name that fits wins.
func (s *state) change(name string, add bool) *refusal {
	if add {
		if k, ok := keywordTable.lookup(name, s.build); ok {
			s.keyword(&keywords[k-1], true)
			return nil
		}
	}
	if id, ok := macTable.lookup(name, s.build); ok {
		s.macs.change(add, id)
		return nil
	}
	if id, ok := cipherTable.lookup(name, s.build); ok {
		s.ciphers.change(add, id)
		s.cbc = s.cbc || isBlock[id]
		return nil
	}
	if id, ok := kxTable.lookup(name, s.build); ok {
		s.kx.change(add, id)
		return nil
	}
	switch {
	case equalFold(name, "ARCFOUR-40"), equalFold(name, "RSA-EXPORT"):
		s.ignore(name, "it is no more")
		return nil
	case hasPrefixFold(name, "VERS-"):
		return s.changeVersion(name, add)
	case hasPrefixFold(name, "COMP-"):
		s.ignore(name, "there is no compression any more")
		return nil
	case hasPrefixFold(name, "CURVE-"):
		return s.changeCurve(name, add)
	case hasPrefixFold(name, "GROUP-"):
		return s.changeGroup(name, add)
	case hasPrefixFold(name, "CTYPE-"):
		return s.changeCertType(name, add)
	case hasPrefixFold(name, "SIGN-"):
		return s.changeSignature(name, add)
	case hasPrefixFold(name, "MAC-"):
		switch { // anything else after MAC- does nothing
		case hasPrefixFold(name, "MAC-ALL"):
			s.macs.changeAll(add, macsNormal)
		case hasPrefixFold(name, "MAC-GOST-ALL"):
			s.macs.changeAll(add, []uint8{mGOST28147TC26ZIMIT})
		default:
			s.ignore(name, "MACs have no prefix")
		}
		return nil
	case hasPrefixFold(name, "CIPHER-"):
		switch {
		case hasPrefixFold(name, "CIPHER-ALL"):
			s.ciphers.changeAll(add, ciphersNormal)
		case hasPrefixFold(name, "CIPHER-GOST-ALL"):
			s.ciphers.changeAll(add, []uint8{cGOST28147TC26ZCNT})
		default:
			s.ignore(name, "ciphers have no prefix")
		}
		return nil
	case hasPrefixFold(name, "KX-"):
		switch {
		case hasPrefixFold(name, "KX-ALL"):
			s.kx.changeAll(add, kxNormal)
		case hasPrefixFold(name, "KX-GOST-ALL"):
			s.kx.changeAll(add, []uint8{kxVKOGOST12})
		default:
			s.ignore(name, "key exchanges have no prefix")
		}
		return nil
	case hasPrefixFold(name, "GOST"):
		s.groups.change(add, groupsGOST...)
		s.signatures.changeAll(add, signaturesGOST)
		s.macs.changeAll(add, []uint8{mGOST28147TC26ZIMIT})
		s.ciphers.changeAll(add, []uint8{cGOST28147TC26ZCNT})
		s.kx.changeAll(add, []uint8{kxVKOGOST12})
		return nil
	}
	return s.unknown(name)
}

// ignore notes a name that GnuTLS accepts and does nothing about. Few fit into a string, but a long one is cut.
func (s *state) ignore(name, why string) {
	s.ignored = append(s.ignored, fmt.Sprintf("%.80s: %s", name, why))
}

// change adds or removes entries.
func (l *list) change(add bool, ids ...uint8) {
	if add {
		l.add(ids...)
	} else {
		l.remove(ids...)
	}
}

// changeAll adds entries, or clears the list whatever it holds: what most -ALL words do.
func (l *list) changeAll(add bool, ids []uint8) {
	if add {
		l.add(ids...)
	} else {
		l.clear()
	}
}

func (s *state) changeVersion(name string, add bool) *refusal {
	switch {
	case hasPrefixFold(name, "VERS-TLS-ALL"):
		s.protocols.change(add, protocolsTLS...)
	case hasPrefixFold(name, "VERS-DTLS-ALL"):
		s.protocols.change(add, protocolsDTLS...)
		if !add {
			s.protocols.remove(vDTLS09)
		}
	case hasPrefixFold(name, "VERS-ALL"):
		s.protocols.changeAll(add, protocolsStart)
	default:
		id, ok := protocolTable.lookup(name[len("VERS-"):], s.build)
		if !ok {
			return s.unknown(name)
		}
		s.protocols.change(add, id)
	}
	return nil
}

func (s *state) changeCurve(name string, add bool) *refusal {
	if hasPrefixFold(name, "CURVE-ALL") {
		s.groups.changeAll(add, groupsNormal)
		return nil
	}
	id, ok := curveTable.lookup(name[len("CURVE-"):], s.build)
	if !ok {
		return s.unknown(name)
	}
	if curveGroup[id] == gNone {
		return refuse("", "this build of GnuTLS lacks the curve %s", curveTable.name(id))
	}
	if !s.settings.curveEnabled(id) {
		return refuse("", "the system file switches the curve %s off", curveTable.name(id))
	}
	s.groups.change(add, curveGroup[id])
	return nil
}

func (s *state) changeGroup(name string, add bool) *refusal {
	switch {
	case hasPrefixFold(name, "GROUP-ALL"):
		s.groups.changeAll(add, groupsNormal)
	case hasPrefixFold(name, "GROUP-DH-ALL"):
		s.groups.change(add, groupsDH...)
	case hasPrefixFold(name, "GROUP-EC-ALL"):
		s.groups.change(add, groupsEC...)
	case hasPrefixFold(name, "GROUP-GOST-ALL"):
		s.groups.change(add, groupsGOST...)
	default:
		id, ok := groupTable.lookup(name[len("GROUP-"):], s.build)
		if !ok {
			return s.unknown(name)
		}
		s.groups.change(add, id)
	}
	return nil
}

func (s *state) changeCertType(name string, add bool) *refusal {
	rest := name[len("CTYPE-"):]
	client, server := true, true
	switch {
	case hasPrefixFold(rest, "ALL"):
	case hasPrefixFold(rest, "CLI-"):
		rest, server = rest[len("CLI-"):], false
	case hasPrefixFold(rest, "SRV-"):
		rest, client = rest[len("SRV-"):], false
	}
	var ids []uint8
	all := hasPrefixFold(rest, "ALL")
	switch {
	case all:
		ids = ctypesAll
	case equalFold(rest, "X509"), equalFold(rest, "X.509"):
		ids = []uint8{ctypeX509}
	case equalFold(rest, "RAWPK"):
		ids = []uint8{ctypeRawPK}
	case client && server && hasPrefixFold(rest, "OPENPGP"):
		s.ignore(name, "there are no OpenPGP certificates any more")
		return nil
	default:
		return s.unknown(name)
	}
	if client {
		s.clientCerts.change(add, ids...)
	}
	if server {
		s.serverCerts.change(add, ids...)
	}
	return nil
}

func (s *state) changeSignature(name string, add bool) *refusal {
	switch {
	case hasPrefixFold(name, "SIGN-ALL"):
		s.signatures.changeAll(add, s.defaultSignatures())
	case hasPrefixFold(name, "SIGN-GOST-ALL"):
		s.signatures.changeAll(add, signaturesGOST)
	default:
		id, ok := signatureTable.lookup(name[len("SIGN-"):], s.build)
		if !ok {
			return s.unknown(name)
		}
		s.signatures.change(add, id)
	}
	return nil
}

// equalFold compares without regard to ASCII case; t is in upper case.
func equalFold(s, t string) bool { return len(s) == len(t) && hasPrefixFold(s, t) }

// hasPrefixFold says whether s begins with p without regard to ASCII case; p is in upper case.
func hasPrefixFold(s, p string) bool {
	if len(s) < len(p) {
		return false
	}
	for i := 0; i < len(p); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != p[i] {
			return false
		}
	}
	return true
}
