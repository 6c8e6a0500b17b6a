package main

import (
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

// Numbers of gnutls/gnutls.h.
const (
	certificateRequest = 13
	hookBefore         = 0
)

// watchRequest notes what a server's request for a certificate says. It only listens: which certificate is sent is the
// library's choice, as it is for libvirt.
func (l *library) watchRequest(session uintptr, o *gnutls.Answer) {
	hook := purego.NewCallback(func(_, _, _, incoming uintptr, message uintptr) uintptr {
		if uint32(incoming) == 0 || message == 0 {
			return 0
		}
		d := *(**datum)(unsafe.Pointer(&message))
		o.Requested = true
		o.Authorities = authorities(append([]byte(nil), unsafe.Slice((*byte)(d.data), d.size)...))
		return 0
	})
	l.handshakeHook(session, certificateRequest, hookBefore, hook)
}

// authorities gives the names of the CAs in a CertificateRequest, of TLS 1.3 (RFC 8446, 4.3.2 and 4.2.4) or of an older
// version (RFC 5246, 7.4.4); TLS 1.3's begins with an empty context, the others with the kinds of certificates, of which
// there is at least one. What does not follow the rules has no names.
func authorities(message []byte) [][]byte {
	if len(message) == 0 {
		return nil
	}
	if message[0] == 0 {
		extensions, ok := vector(message[1:], 2)
		for ok && len(extensions) >= 4 {
			kind := int(extensions[0])<<8 | int(extensions[1])
			body, good := vector(extensions[2:], 2)
			if !good {
				return nil
			}
			if kind == 47 {
				names, _ := vector(body, 2)
				return list(names)
			}
			extensions = extensions[4+len(body):]
		}
		return nil
	}
	kinds, ok := vector(message, 1)
	if !ok {
		return nil
	}
	rest := message[1+len(kinds):]
	// TLS 1.2 has a list of signature algorithms in between. Without it the names fill the message.
	if names, ok := vector(rest, 2); ok && 2+len(names) == len(rest) {
		return list(names)
	}
	algorithms, ok := vector(rest, 2)
	if !ok {
		return nil
	}
	names, _ := vector(rest[2+len(algorithms):], 2)
	return list(names)
}

// vector reads what has its length in front, in so many octets.
func vector(b []byte, octets int) ([]byte, bool) {
	if len(b) < octets {
		return nil, false
	}
	n := 0
	for _, o := range b[:octets] {
		n = n<<8 | int(o)
	}
	if len(b) < octets+n {
		return nil, false
	}
	return b[octets : octets+n], true
}

// list splits a list of vectors.
func list(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		one, ok := vector(b, 2)
		if !ok {
			return nil
		}
		out = append(out, one)
		b = b[2+len(one):]
	}
	return out
}
