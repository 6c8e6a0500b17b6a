package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"unsafe"

	"github.com/virt-pki/virt-pki/pkg/token"
)

// key finds the private key, or makes it.
func (s *session) key(u token.URI, algorithm string) error {
	want := []attribute{{ckaClass, number(ckoPrivateKey)}}
	if u.Object != nil {
		want = append(want, attribute{ckaLabel, []byte(*u.Object)})
	}
	if u.ID != nil {
		want = append(want, attribute{ckaID, u.ID})
	}
	found, err := s.find(want, 16)
	if err != nil {
		return err
	}
	if len(found) == 0 && algorithm != "" {
		return s.generate(u, algorithm)
	}
	if len(found) != 1 {
		return s.notOne(found)
	}
	s.private = found[0]
	return s.describe()
}

// notOne is the error for no key, or several.
func (s *session) notOne(found []uintptr) error {
	if len(found) > 1 {
		return fault(token.NoKey, "name one with object=LABEL or id=%01%02", "%d private keys of token %q fit the URI: %s", len(found), s.label, quoted(s.labels(found)))
	}
	all, err := s.find([]attribute{{ckaClass, number(ckoPrivateKey)}}, 9)
	if err != nil {
		return err
	}
	return fault(token.NoKey, "", "no private key of token %q fits the URI; it has: %s", s.label, quoted(s.labels(all)))
}

// labels names objects.
func (s *session) labels(objects []uintptr) []string {
	var out []string
	for _, o := range objects {
		label, _ := s.read(o, ckaLabel)
		id, _ := s.read(o, ckaID)
		text := string(bytes.ToValidUTF8(label, []byte("?")))
		if len(id) > 0 {
			text += ", id "
			for _, c := range id {
				text += fmt.Sprintf("%%%02X", c)
			}
		}
		out = append(out, text)
	}
	return out
}

// describe learns what kind of key it is, and where its public half is.
func (s *session) describe() error {
	kind, err := s.read(s.private, ckaKeyType)
	if err != nil {
		return err
	}
	s.kind = unnumber(kind)
	if always, err := s.read(s.private, ckaAlwaysAuthenticate); err == nil && len(always) == 1 {
		s.always = always[0] != 0
	}
	if signs, err := s.read(s.private, ckaSign); err == nil && len(signs) == 1 && signs[0] == 0 {
		return fault(token.NoKey, "", "the key in token %q may not sign (CKA_SIGN)", s.label)
	}
	id, err := s.read(s.private, ckaID)
	if err != nil {
		return err
	}
	want := []attribute{{ckaClass, number(ckoPublicKey)}, {ckaKeyType, number(s.kind)}}
	if len(id) > 0 {
		want = append(want, attribute{ckaID, id})
	} else {
		label, err := s.read(s.private, ckaLabel)
		if err != nil || len(label) == 0 {
			return err
		}
		want = append(want, attribute{ckaLabel, label})
	}
	found, err := s.find(want, 2)
	if err != nil {
		return err
	}
	if len(found) == 1 {
		s.public, s.hasPublic = found[0], true
	}
	return nil
}

// either reads an attribute of the public half, or of the private one, where some tokens have it too.
func (s *session) either(kind uintptr) ([]byte, error) {
	if s.hasPublic {
		if v, err := s.read(s.public, kind); err != nil || v != nil {
			return v, err
		}
	}
	return s.read(s.private, kind)
}

// A curve is an elliptic curve with the names that tokens have for it: CKA_EC_PARAMS in DER.
type curve struct {
	algorithm string
	params    []byte
	elliptic  elliptic.Curve // nil: Ed25519
}

// curves are the curves of certificates. Ed25519 is an OID (RFC 8410) or a name in a PrintableString (PKCS#11 3.0), which is
// the only one that SoftHSM 2.6.1 makes keys with.
var curves = []curve{
	{"ecdsa-p256", []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, elliptic.P256()},
	{"ecdsa-p384", []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, elliptic.P384()},
	{"ecdsa-p521", []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, elliptic.P521()},
	{"ed25519", append([]byte{0x13, 0x0c}, "edwards25519"...), nil},
	{"ed25519", []byte{0x06, 0x03, 0x2b, 0x65, 0x70}, nil},
}

// publicKey gives the public key in the form of SubjectPublicKeyInfo; nil when the token does not tell.
func (s *session) publicKey() ([]byte, error) {
	switch s.kind {
	case ckkRSA:
		n, err := s.either(ckaModulus)
		if err != nil || n == nil {
			return nil, err
		}
		e, err := s.either(ckaPublicExponent)
		if err != nil || len(e) == 0 || len(e) > 8 {
			return nil, err
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		s.bits = key.N.BitLen()
		return x509.MarshalPKIXPublicKey(key)
	case ckkEC, ckkEdwards:
		params, err := s.either(ckaECParams)
		if err != nil {
			return nil, err
		}
		var c *curve
		for i := range curves {
			if bytes.Equal(curves[i].params, params) {
				c = &curves[i]
			}
		}
		if c == nil {
			return nil, fault(token.Refused, "", "the key in token %q is on a curve that certificates for libvirt do not have (CKA_EC_PARAMS %x)", s.label, params)
		}
		s.curve = c.algorithm
		if c.elliptic != nil {
			s.bits = c.elliptic.Params().BitSize
		}
		point, err := s.either(ckaECPoint)
		if err != nil || point == nil {
			return nil, err
		}
		// The point is an OCTET STRING; older modules give its contents alone.
		var inner []byte
		if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
			point = inner
		}
		if c.elliptic == nil {
			if len(point) != ed25519.PublicKeySize {
				return nil, fault(token.Refused, "", "the public key in token %q has %d octets, not %d", s.label, len(point), ed25519.PublicKeySize)
			}
			return x509.MarshalPKIXPublicKey(ed25519.PublicKey(point))
		}
		key, err := ecdsa.ParseUncompressedPublicKey(c.elliptic, point)
		if err != nil {
			return nil, fault(token.Refused, "", "the public key in token %q is no point on its curve", s.label)
		}
		return x509.MarshalPKIXPublicKey(key)
	}
	return nil, fault(token.Refused, "", "the key in token %q is of a kind that certificates for libvirt do not have (CKA_KEY_TYPE 0x%x)", s.label, s.kind)
}

// generate makes the key pair in the token. The private key cannot leave it.
func (s *session) generate(u token.URI, algorithm string) error {
	if u.Object == nil && u.ID == nil {
		return fault(token.NoKey, "name it: pkcs11:token=TOKEN;object=NAME", "a new key needs a name in the URI, object or id")
	}
	id := u.ID
	if id == nil {
		id = make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return err
		}
	}
	label := "virt-pki CA"
	if u.Object != nil {
		label = *u.Object
	}
	both := []attribute{{ckaToken, truth(true)}, {ckaLabel, []byte(label)}, {ckaID, id}}
	public := append([]attribute{{ckaVerify, truth(true)}}, both...)
	private := append([]attribute{{ckaPrivate, truth(true)}, {ckaSensitive, truth(true)}, {ckaExtractable, truth(false)}, {ckaSign, truth(true)}}, both...)
	mechanism := uintptr(0)
	switch algorithm {
	case "rsa2048", "rsa3072", "rsa4096":
		var bits uintptr
		fmt.Sscanf(algorithm, "rsa%d", &bits)
		public = append(public, attribute{ckaModulusBits, number(bits)}, attribute{ckaPublicExponent, []byte{1, 0, 1}})
	default:
		for _, c := range curves {
			if c.algorithm == algorithm && mechanism == 0 {
				public = append(public, attribute{ckaECParams, c.params})
				mechanism = 0x1040 // CKM_EC_KEY_PAIR_GEN
				if c.elliptic == nil {
					mechanism = 0x1055 // CKM_EC_EDWARDS_KEY_PAIR_GEN
				}
			}
		}
		if mechanism == 0 {
			return fault(token.Refused, "", "no key %q can be made in a token", algorithm)
		}
	}
	pub, priv := newTemplate(public), newTemplate(private)
	defer pub.release()
	defer priv.release()
	how := mechanismOf(mechanism, nil)
	defer how.release()
	err := s.module.do("C_GenerateKeyPair", fnGenerateKeyPair, s.handle, how.pointer(), pub.pointer(), len(pub.raw), priv.pointer(), len(priv.raw),
		pointer(&s.public), pointer(&s.private))
	if c, ok := err.(*callError); ok {
		switch c.rv {
		case 0x70, 0x130, 0x140, 0x13, 0x62: // MECHANISM_INVALID, DOMAIN_PARAMS_INVALID, CURVE_NOT_SUPPORTED, ...
			return fault(token.Refused, "choose another: --ca-key-type ecdsa-p256, rsa3072, ...", "token %q does not make %s keys (%v)", s.label, algorithm, err)
		case 0xb5, 0xe2:
			return fault(token.Refused, "", "token %q is write-protected", s.label)
		}
	}
	if err != nil {
		return err
	}
	s.hasPublic, s.made = true, true
	kind, err := s.read(s.private, ckaKeyType)
	s.kind = unnumber(kind)
	return err
}

// destroy removes the key that was made.
func (s *session) destroy() error {
	if !s.made {
		return fault(token.Internal, "", "the key was not made now")
	}
	err := s.module.do("C_DestroyObject", fnDestroyObject, s.handle, s.private)
	if e := s.module.do("C_DestroyObject", fnDestroyObject, s.handle, s.public); err == nil {
		err = e
	}
	s.ready = false
	return err
}

// rawMechanism is CK_MECHANISM.
type rawMechanism struct {
	kind      uintptr
	parameter unsafe.Pointer
	length    uintptr
}

// A mechanism is one in memory that stays in its place.
type mechanism struct {
	template // for its pin
	raw      *rawMechanism
}

// mechanismOf makes one with a parameter of machine words.
func mechanismOf(kind uintptr, parameter []uintptr) *mechanism {
	m := &mechanism{raw: &rawMechanism{kind: kind}}
	m.pin.Pin(m.raw)
	if len(parameter) > 0 {
		m.pin.Pin(&parameter[0])
		m.raw.parameter, m.raw.length = unsafe.Pointer(&parameter[0]), uintptr(len(parameter))*unsafe.Sizeof(parameter[0])
	}
	return m
}

func (m *mechanism) pointer() any { return unsafe.Pointer(m.raw) }
