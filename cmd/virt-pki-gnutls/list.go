package main

import (
	"fmt"
	"unsafe"
)

// item is one string in the answer to list: the fields of "virt-pki priority --json", as far as the library tells.
type item struct {
	String       string   `json:"string"`
	OK           bool     `json:"ok"`
	Error        *string  `json:"error"`
	ErrorOffset  *int     `json:"error_offset"`
	Protocols    []string `json:"protocols"`
	CipherSuites []suite  `json:"cipher_suites"`
	Ciphers      []string `json:"ciphers"`
	MACs         []string `json:"macs"`
	KeyExchanges []string `json:"key_exchanges"`
	Groups       []string `json:"groups"`
	Signatures   []string `json:"signatures"`
}

type suite struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// The codes of gnutls/gnutls.h that list looks at.
const (
	invalidRequest   = -50
	dataNotAvailable = -56
)

// list asks the library what a string comes to.
func (l *library) list(s string) item {
	it := item{String: s, Protocols: []string{}, CipherSuites: []suite{}, Ciphers: []string{}, MACs: []string{}, KeyExchanges: []string{},
		Groups: []string{}, Signatures: []string{}}
	text := cstring(s)
	var p, position uintptr
	if code := l.priorityInit(&p, &text[0], &position); code < 0 {
		message := l.strerror(code)
		it.Error = &message
		if code == invalidRequest {
			// The library points into the very buffer it was given.
			offset := int(position - uintptr(unsafe.Pointer(&text[0])))
			if offset < 0 || offset > len(s) {
				offset = 0
			}
			it.ErrorOffset = &offset
		}
		return it
	}
	defer l.priorityDeinit(p)
	it.OK = true
	for i := uint32(0); ; i++ {
		var index uint32
		code := l.prioritySuite(p, i, &index)
		if code == dataNotAvailable {
			break
		}
		if code != 0 {
			continue // formed, but for none of the versions
		}
		var id [2]byte
		name := l.suiteInfo(uintptr(index), &id[0], nil, nil, nil, nil)
		it.CipherSuites = append(it.CipherSuites, suite{fmt.Sprintf("%02x%02x", id[0], id[1]), name})
	}
	for _, part := range []struct {
		out  *[]string
		list func(uintptr, *unsafe.Pointer) int32
		name func(int32) string
	}{
		{&it.Protocols, l.priorityProtocol, l.protocolName}, {&it.Ciphers, l.priorityCipher, l.cipherName},
		{&it.MACs, l.priorityMAC, l.macName}, {&it.KeyExchanges, l.priorityKX, l.kxName},
		{&it.Groups, l.priorityGroup, l.groupName}, {&it.Signatures, l.prioritySign, l.signName},
	} {
		var ids unsafe.Pointer
		n := part.list(p, &ids)
		for _, id := range unsafe.Slice((*int32)(ids), max(n, 0)) {
			name := part.name(id)
			if name == "" {
				name = "(null)"
			}
			*part.out = append(*part.out, name)
		}
	}
	return it
}
