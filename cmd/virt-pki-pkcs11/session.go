package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/token"
)

// A session is what the program holds: a module, a token's session, a key.
type session struct {
	module *module
	handle uintptr
	label  string
	pin    string // for keys that want it with every signature
	ready  bool

	private, public uintptr // the key's objects; 0: there is no public one
	hasPublic       bool
	made            bool
	kind            uintptr // CKK_...
	curve           string
	bits            int
	always          bool // CKA_ALWAYS_AUTHENTICATE
}

// Flags of CK_TOKEN_INFO.
const (
	ckfLoginRequired     = 0x4
	ckfPINInitialised    = 0x8
	ckfProtectedPath     = 0x100
	ckfTokenInitialised  = 0x400
	ckfPINCountLow       = 0x10000
	ckfPINFinalTry       = 0x20000
	ckfPINLocked         = 0x40000
	ckfSerialSession     = 0x4
	ckfReadWriteSession  = 0x2
	ckuUser              = 1
	ckuContextSpecific   = 2
	unavailable          = ^uintptr(0)
	sizeOfTokenInfo      = 4096 // more than CK_TOKEN_INFO, CK_SLOT_INFO and CK_INFO have
	offsetOfTokenFlags   = 96
	offsetOfLibraryFlags = 40
)

// tokenInfo is what is looked at of a slot and its token.
type tokenInfo struct {
	slot                                uintptr
	label, manufacturer, model, serial  string
	slotDescription, slotManufacturer   string
	libraryDescription, libraryProducer string
	libraryVersion                      string
	flags                               uintptr
}

// padded gives a field that is filled with blanks.
func padded(b []byte) string {
	b = bytes.TrimRight(b, " \x00")
	return strings.ToValidUTF8(string(b), "?")
}

// word reads a CK_ULONG in a structure.
func word(b []byte) uintptr { return unnumber(b[:len(number(0))]) }

// tokenInfo asks for what a token says of itself (CK_TOKEN_INFO).
func (s *session) tokenInfo(slot uintptr) (tokenInfo, error) {
	b := make([]byte, sizeOfTokenInfo)
	if err := s.module.do("C_GetTokenInfo", fnGetTokenInfo, slot, octets(b)); err != nil {
		return tokenInfo{}, err
	}
	return tokenInfo{slot: slot, label: padded(b[:32]), manufacturer: padded(b[32:64]), model: padded(b[64:80]), serial: padded(b[80:96]),
		flags: word(b[offsetOfTokenFlags:])}, nil
}

// tokens lists the tokens that are there.
func (s *session) tokens() ([]tokenInfo, error) {
	library := make([]byte, sizeOfTokenInfo)
	if err := s.module.do("C_GetInfo", fnGetInfo, octets(library)); err != nil {
		return nil, err
	}
	var slots []uintptr
	for range 5 { // a token may be plugged in between the two calls
		var n uintptr
		if err := s.module.do("C_GetSlotList", fnGetSlotList, 1, nil, pointer(&n)); err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, nil
		}
		slots = make([]uintptr, min(n, 4096))
		n = uintptr(len(slots))
		err := s.module.do("C_GetSlotList", fnGetSlotList, 1, pointer(&slots[0]), pointer(&n))
		if c, ok := err.(*callError); ok && c.rv == 0x150 {
			continue
		}
		if err != nil {
			return nil, err
		}
		slots = slots[:min(int(n), len(slots))]
		break
	}
	var out []tokenInfo
	for _, slot := range slots {
		info, err := s.tokenInfo(slot)
		if err != nil { // pulled out, or not recognised
			continue
		}
		b := make([]byte, sizeOfTokenInfo)
		if err := s.module.do("C_GetSlotInfo", fnGetSlotInfo, slot, octets(b)); err == nil {
			info.slotDescription, info.slotManufacturer = padded(b[:64]), padded(b[64:96])
		}
		at := offsetOfLibraryFlags + len(number(0))
		if len(number(0)) == 4 {
			at = 36 + 4
		}
		info.libraryProducer = padded(library[2:34])
		info.libraryDescription = padded(library[at : at+32])
		info.libraryVersion = fmt.Sprintf("%d.%d", library[at+32], library[at+33])
		out = append(out, info)
	}
	return out, nil
}

// fits reports whether a URI's attributes of module, slot and token are this one's.
func (i tokenInfo) fits(u token.URI) bool {
	for _, c := range []struct {
		want *string
		have string
	}{{u.Token, i.label}, {u.Manufacturer, i.manufacturer}, {u.Model, i.model}, {u.Serial, i.serial},
		{u.SlotDescription, i.slotDescription}, {u.SlotManufacturer, i.slotManufacturer},
		{u.LibraryDescription, i.libraryDescription}, {u.LibraryManufacturer, i.libraryProducer}, {u.LibraryVersion, i.libraryVersion}} {
		if c.want != nil && *c.want != c.have {
			return false
		}
	}
	return u.SlotID == nil || uint64(i.slot) == *u.SlotID
}

// quoted lists texts for a message.
func quoted(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	var out []string
	for i, s := range list {
		if i == 8 {
			out = append(out, "...")
			break
		}
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}

// choose finds the token.
func (s *session) choose(u token.URI) (tokenInfo, error) {
	all, err := s.tokens()
	if err != nil {
		return tokenInfo{}, err
	}
	var fit []tokenInfo
	var labels []string
	for _, i := range all {
		if i.flags&ckfTokenInitialised == 0 && u.SlotID == nil { // SoftHSM shows a free slot as one
			continue
		}
		labels = append(labels, i.label)
		if i.fits(u) {
			fit = append(fit, i)
		}
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return tokenInfo{}, fault(token.NoToken, "is it plugged in, and does this user see it? p11tool --provider "+s.module.path+" --list-tokens",
			"no token fits the URI; the module %q has: %s", s.module.path, quoted(labels))
	}
	labels = nil
	for _, i := range fit {
		labels = append(labels, i.label+", serial "+i.serial)
	}
	return tokenInfo{}, fault(token.NoToken, "name one with token=LABEL and serial=NUMBER", "%d tokens fit the URI: %s", len(fit), quoted(labels))
}

// open does what the request of that name asks for.
func (s *session) open(r token.Request) (a token.Answer, err error) {
	u, err := token.ParseURI(r.URI)
	if err != nil {
		return a, fault(token.Internal, "", "the URI: %v", err)
	}
	path, err := modulePath(u)
	if err != nil {
		return a, err
	}
	if s.module, err = load(path); err != nil {
		return a, err
	}
	info, err := s.choose(u)
	if err != nil {
		return a, err
	}
	s.label = info.label
	if err := s.login(info, r.PIN, r.Make != ""); err != nil {
		return a, err
	}
	if err := s.key(u, r.Make); err != nil {
		return a, err
	}
	a.Token, a.Made = s.label, s.made
	if a.Public, err = s.publicKey(); err != nil {
		return a, err
	}
	s.ready = true
	return a, nil
}

// login opens a session, and logs in where the token wants it.
func (s *session) login(info tokenInfo, pin *string, write bool) error {
	flags := uintptr(ckfSerialSession)
	if write {
		flags |= ckfReadWriteSession
	}
	if err := s.module.do("C_OpenSession", fnOpenSession, info.slot, flags, nil, nil, pointer(&s.handle)); err != nil {
		return err
	}
	if info.flags&ckfLoginRequired == 0 {
		return nil
	}
	var err error
	switch {
	case info.flags&ckfPINLocked != 0:
		return fault(token.PINLocked, "the security officer sets a new one: pkcs11-tool --init-pin, softhsm2-util --init-token", "the PIN of token %q is locked", s.label)
	case info.flags&ckfPINInitialised == 0:
		return fault(token.Refused, "the security officer sets one: pkcs11-tool --init-pin", "token %q has no user PIN yet", s.label)
	case info.flags&ckfProtectedPath != 0: // typed at the reader
		err = s.module.do("C_Login", fnLogin, s.handle, ckuUser, nil, 0)
	case pin == nil:
		return fault(token.PINNeeded, "", "token %q wants its PIN%s", s.label, triesLeft(info.flags))
	default:
		s.pin = *pin
		b := []byte(*pin)
		err = s.module.do("C_Login", fnLogin, s.handle, ckuUser, octets(b), len(b))
		clear(b)
	}
	c, ok := err.(*callError)
	if !ok {
		return err
	}
	switch c.rv {
	case 0xa0, 0xa1, 0xa2: // PIN_INCORRECT, PIN_INVALID, PIN_LEN_RANGE
		left := ""
		if now, err := s.tokenInfo(info.slot); err == nil {
			left = triesLeft(now.flags)
		}
		return fault(token.PINWrong, "", "the PIN of token %q is wrong%s", s.label, left)
	case 0xa4:
		return fault(token.PINLocked, "the security officer sets a new one: pkcs11-tool --init-pin, softhsm2-util --init-token", "the PIN of token %q is locked", s.label)
	case 0xa3:
		return fault(token.Refused, "set a new one: pkcs11-tool --change-pin", "the PIN of token %q has expired", s.label)
	case 0x100: // USER_ALREADY_LOGGED_IN: nobody but this process could have
		return nil
	}
	return err
}

// triesLeft says what the token's flags say about wrong PINs.
func triesLeft(flags uintptr) string {
	switch {
	case flags&ckfPINLocked != 0:
		return "; the PIN is locked now"
	case flags&ckfPINFinalTry != 0:
		return "; one try is left before it locks"
	case flags&ckfPINCountLow != 0:
		return "; a wrong PIN was given before, and after some more it locks"
	}
	return ""
}

// close logs out and lets the module go.
func (s *session) close() {
	if s.module != nil {
		s.module.close()
	}
}
