package main

import (
	"encoding/binary"
	"runtime"
	"unsafe"
)

// Attributes, classes and kinds of keys (PKCS#11 2.40, pkcs11t.h; the Edwards ones of 3.0).
const (
	ckaClass              = 0x000
	ckaToken              = 0x001
	ckaPrivate            = 0x002
	ckaLabel              = 0x003
	ckaKeyType            = 0x100
	ckaID                 = 0x102
	ckaSensitive          = 0x103
	ckaSign               = 0x108
	ckaVerify             = 0x10a
	ckaModulus            = 0x120
	ckaModulusBits        = 0x121
	ckaPublicExponent     = 0x122
	ckaExtractable        = 0x162
	ckaECParams           = 0x180
	ckaECPoint            = 0x181
	ckaAlwaysAuthenticate = 0x202

	ckoPublicKey  = 2
	ckoPrivateKey = 3

	ckkRSA     = 0x00
	ckkEC      = 0x03
	ckkEdwards = 0x40
)

// An attribute is CK_ATTRIBUTE: its type and the octets of its value.
type attribute struct {
	kind  uintptr
	value []byte
}

// rawAttribute is CK_ATTRIBUTE as C has it.
type rawAttribute struct {
	kind   uintptr
	value  unsafe.Pointer
	length uintptr
}

// number gives the octets of a CK_ULONG.
func number(n uintptr) []byte {
	b := make([]byte, unsafe.Sizeof(n))
	if len(b) == 4 {
		binary.NativeEndian.PutUint32(b, uint32(n))
	} else {
		binary.NativeEndian.PutUint64(b, uint64(n))
	}
	return b
}

// unnumber is the inverse of number; what is no CK_ULONG gives all ones.
func unnumber(b []byte) uintptr {
	switch len(b) {
	case 4:
		return uintptr(binary.NativeEndian.Uint32(b))
	case 8:
		return uintptr(binary.NativeEndian.Uint64(b))
	}
	return ^uintptr(0)
}

// truth gives the octets of a CK_BBOOL.
func truth(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

// A template is a list of attributes in memory that stays in its place until it is released.
type template struct {
	raw []rawAttribute
	pin runtime.Pinner
}

// newTemplate lays attributes out for C.
func newTemplate(list []attribute) *template {
	t := &template{raw: make([]rawAttribute, len(list))}
	for i, a := range list {
		t.raw[i] = rawAttribute{kind: a.kind, length: uintptr(len(a.value))}
		if len(a.value) > 0 {
			t.pin.Pin(&a.value[0])
			t.raw[i].value = unsafe.Pointer(&a.value[0])
		}
	}
	return t
}

// pointer gives the list's address.
func (t *template) pointer() any {
	if len(t.raw) == 0 {
		return nil
	}
	return unsafe.Pointer(&t.raw[0])
}

// release lets the memory go.
func (t *template) release() { t.pin.Unpin() }

// maxAttribute bounds what is read of one attribute.
const maxAttribute = 64 << 10

// read gives the value of an attribute of an object; nil where it has none or does not tell.
func (s *session) read(object, kind uintptr) ([]byte, error) {
	t := newTemplate([]attribute{{kind: kind}})
	defer t.release()
	err := s.module.do("C_GetAttributeValue", fnGetAttributeValue, s.handle, object, t.pointer(), 1)
	if c, ok := err.(*callError); ok && (c.rv == 0x11 || c.rv == 0x12) {
		return nil, nil
	}
	n := t.raw[0].length
	if err != nil || n == 0 || n > maxAttribute { // CK_UNAVAILABLE_INFORMATION is all ones
		return nil, err
	}
	value := make([]byte, n)
	t = newTemplate([]attribute{{kind, value}})
	defer t.release()
	if err := s.module.do("C_GetAttributeValue", fnGetAttributeValue, s.handle, object, t.pointer(), 1); err != nil {
		return nil, err
	}
	return value[:min(n, t.raw[0].length)], nil
}

// find gives the objects that have all these attributes, up to a limit.
func (s *session) find(list []attribute, limit int) ([]uintptr, error) {
	t := newTemplate(list)
	defer t.release()
	if err := s.module.do("C_FindObjectsInit", fnFindObjectsInit, s.handle, t.pointer(), len(t.raw)); err != nil {
		return nil, err
	}
	found := make([]uintptr, limit)
	total := 0
	var err error
	for total < limit && err == nil {
		var n uintptr
		err = s.module.do("C_FindObjects", fnFindObjects, s.handle, pointer(&found[total]), limit-total, pointer(&n))
		if n == 0 {
			break
		}
		total += int(min(n, uintptr(limit-total)))
	}
	if e := s.module.do("C_FindObjectsFinal", fnFindObjectsFinal, s.handle); err == nil {
		err = e
	}
	return found[:total], err
}
