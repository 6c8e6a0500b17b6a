package main

import (
	"encoding/asn1"
	"math/big"

	"github.com/virt-pki/virt-pki/pkg/token"
)

// A hash has the beginning of its DigestInfo (RFC 8017, 9.2, note 1) and the numbers that RSASSA-PSS wants: CKM_... and
// CKG_MGF1_...
type hash struct {
	size   int
	prefix []byte
	ckm    uintptr
	mgf    uintptr
}

var hashes = map[string]hash{
	"SHA-1":   {20, []byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, 0x220, 1},
	"SHA-256": {32, []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, 0x250, 2},
	"SHA-384": {48, []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}, 0x260, 3},
	"SHA-512": {64, []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}, 0x270, 4},
}

// sign has the token sign.
func (s *session) sign(r token.Request) ([]byte, error) {
	h, ok := hashes[r.Hash]
	switch {
	case s.kind == ckkEdwards:
		if r.Hash != "" {
			return nil, fault(token.Internal, "", "Ed25519 signs no digests")
		}
		return s.call(mechanismOf(0x1057, nil), r.Digest) // CKM_EDDSA
	case !ok || len(r.Digest) != h.size:
		return nil, fault(token.Internal, "", "%d octets are no digest of %q", len(r.Digest), r.Hash)
	case s.kind == ckkEC:
		digest := r.Digest
		// FIPS 186-5, 6.4.1: the leftmost bits as many as the curve's order has; all our curves but P-521 have whole octets,
		// and no digest is longer than that.
		if n := (s.bits + 7) / 8; s.bits > 0 && len(digest) > n {
			digest = digest[:n]
		}
		raw, err := s.call(mechanismOf(0x1041, nil), digest) // CKM_ECDSA
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 || len(raw)%2 != 0 {
			return nil, fault(token.Refused, "", "token %q gave an ECDSA signature of %d octets", s.label, len(raw))
		}
		half := len(raw) / 2
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
	case r.PSS:
		if r.Salt < 0 {
			return nil, fault(token.Internal, "", "a salt of %d octets", r.Salt)
		}
		return s.call(mechanismOf(0x0d, []uintptr{h.ckm, h.mgf, uintptr(r.Salt)}), r.Digest) // CKM_RSA_PKCS_PSS
	}
	return s.call(mechanismOf(0x01, nil), append(append([]byte(nil), h.prefix...), r.Digest...)) // CKM_RSA_PKCS
}

// call does C_SignInit and C_Sign.
func (s *session) call(how *mechanism, data []byte) ([]byte, error) {
	defer how.release()
	if err := s.module.do("C_SignInit", fnSignInit, s.handle, how.pointer(), s.private); err != nil {
		return nil, err
	}
	if s.always {
		b := []byte(s.pin)
		err := s.module.do("C_Login", fnLogin, s.handle, ckuContextSpecific, octets(b), len(b))
		clear(b)
		if err != nil {
			return nil, err
		}
	}
	out := make([]byte, 2048) // RSA-16384
	n := uintptr(len(out))
	if err := s.module.do("C_Sign", fnSign, s.handle, octets(data), len(data), octets(out), pointer(&n)); err != nil {
		return nil, err
	}
	return out[:min(n, uintptr(len(out)))], nil
}
