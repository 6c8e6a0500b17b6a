package main

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// side is what a handshake is made with.
type side struct {
	server             bool
	in, out            int    // file descriptors
	flush              func() // waits until what was written is on its way
	priority           string
	ca, crl, cert, key string // files
	// memory holds the credentials themselves, in place of files.
	memory  *credentialBytes
	timeout time.Duration
}

// credentialBytes are PEM texts; an empty one is none.
type credentialBytes struct {
	ca         []byte
	identities []gnutls.Pair
}

// session is a session that stands.
type session struct {
	l      *library
	handle uintptr
	// keep holds on to what the library has pointers into.
	keep []any
}

// Numbers of gnutls/gnutls.h.
const (
	formatPEM      = 1
	flagServer     = 1
	flagClient     = 2
	certificates   = 1 // GNUTLS_CRD_CERTIFICATE and GNUTLS_CRT_X509
	requestNotNeed = 1 // GNUTLS_CERT_REQUEST
)

// run makes the handshake, judges the peer as the library does, and exchanges the confirmation.
func (l *library) run(s side) gnutls.Answer {
	session, o := l.shake(s)
	if o.Code != 0 {
		return o
	}
	return session.confirm(s, o)
}

// shake makes the handshake with the calls of libvirt's virNetTLSContextNew, virNetTLSSessionNew and
// virNetTLSSessionHandshake in their order. The code of the answer is 0 where it stands.
func (l *library) shake(s side) (session, gnutls.Answer) {
	o := gnutls.Answer{Schema: 1, GnuTLS: l.checkVersion(0), Stage: "credentials"}
	made := session{l: l}
	fail := func(code int32, format string, args ...any) (session, gnutls.Answer) {
		o.Code, o.Error = int(code), l.strerror(code)
		o.LibvirtMessage = fmt.Sprintf(format, args...) + ": " + o.Error
		return made, o
	}
	var credentials uintptr
	if code := l.credentialsNew(&credentials); code < 0 {
		return fail(code, "Unable to allocate x509 credentials")
	}
	if code, what := made.credentials(credentials, s); code < 0 {
		return fail(code, "%s", what)
	}
	flag := uint32(flagClient)
	if s.server {
		flag = flagServer
	}
	if code := l.sessionNew(&made.handle, flag); code < 0 {
		return fail(code, "Failed to initialize TLS session")
	}
	o.Stage = "priority"
	text := cstring(s.priority)
	made.keep = append(made.keep, text)
	if code := l.sessionPriority(made.handle, &text[0], nil); code < 0 {
		return fail(code, "Failed to set TLS session priority to %s", s.priority)
	}
	if code := l.sessionCredential(made.handle, certificates, credentials); code < 0 {
		return fail(code, "Failed set TLS x509 credentials")
	}
	if s.server {
		l.serverRequest(made.handle, requestNotNeed)
	} else {
		l.watchRequest(made.handle, &o)
	}
	l.transport(made.handle, int32(s.in), int32(s.out))
	l.handshakeTimeout(made.handle, uint32(s.timeout.Milliseconds()))
	l.recordTimeout(made.handle, uint32(s.timeout.Milliseconds()))

	o.Stage = "handshake"
	for {
		code := l.handshake(made.handle)
		if code == 0 {
			break
		}
		if l.isFatal(code) != 0 {
			return fail(code, "TLS handshake failed")
		}
	}
	made.describe(&o)
	return made, o
}

// credentials loads what the end has into the library's object, and says in libvirt's words what failed.
func (made *session) credentials(object uintptr, s side) (code int32, what string) {
	l := made.l
	if m := s.memory; m != nil {
		give := func(b []byte) *datum {
			d := &datum{unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))}
			made.keep = append(made.keep, b, d)
			return d
		}
		if len(m.ca) > 0 {
			if code = l.credentialsTrustMem(object, give(m.ca), formatPEM); code < 0 {
				return code, "Unable to set x509 CA certificate"
			}
		}
		for _, p := range m.identities {
			if len(p.Cert) == 0 || len(p.Key) == 0 {
				continue
			}
			if code = l.credentialsKeyMem(object, give(p.Cert), give(p.Key), formatPEM); code < 0 {
				return code, "Unable to set x509 key and certificate"
			}
		}
		return 0, ""
	}
	if s.ca != "" {
		if code = l.credentialsTrust(object, &cstring(s.ca)[0], formatPEM); code < 0 {
			return code, "Unable to set x509 CA certificate: " + s.ca
		}
	}
	if s.crl != "" {
		if code = l.credentialsCRL(object, &cstring(s.crl)[0], formatPEM); code < 0 {
			return code, "Unable to set x509 certificate revocation list: " + s.crl
		}
	}
	if s.cert != "" {
		if code = l.credentialsKey(object, &cstring(s.cert)[0], &cstring(s.key)[0], formatPEM); code < 0 {
			return code, "Unable to set x509 key and certificate: " + s.key + ", " + s.cert
		}
	}
	return 0, ""
}

// describe says what the handshake came to.
func (made session) describe(o *gnutls.Answer) {
	l, handle := made.l, made.handle
	o.Version, o.KeyExchange = l.protocolName(l.protocolOf(handle)), l.kxName(l.kxOf(handle))
	o.Cipher, o.MAC = l.cipherName(l.cipherOf(handle)), l.macName(l.macOf(handle))
	if suite, ok := priority.FindSuite(o.Version, o.KeyExchange, o.Cipher, o.MAC); ok {
		o.Suite, o.SuiteID = suite.Name, fmt.Sprintf("%04x", suite.ID)
	}
	o.Group, o.Signature = l.groupName(l.groupOf(handle)), l.signName(l.signOf(handle))
	o.ClientSignature = l.signName(l.clientSignOf(handle))
	var n uint32
	if first := l.peers(handle, &n); first != 0 && n > 0 {
		for _, d := range unsafe.Slice((*datum)(*(*unsafe.Pointer)(unsafe.Pointer(&first))), n) {
			o.Peer = append(o.Peer, append([]byte(nil), unsafe.Slice((*byte)(d.data), d.size)...))
		}
	}
	if own := l.ours(handle); own != 0 {
		d := *(**datum)(unsafe.Pointer(&own))
		o.Own = append([]byte(nil), unsafe.Slice((*byte)(d.data), d.size)...)
	}
	o.Sent = o.Requested && o.Own != nil
}

// confirm judges the peer as the library does (virNetTLSContextValidCertificate) and sends or reads the confirmation.
func (made session) confirm(s side, o gnutls.Answer) gnutls.Answer {
	l, session := made.l, made.handle
	fail := func(code int32, what string) gnutls.Answer {
		o.Code, o.Error = int(code), l.strerror(code)
		o.LibvirtMessage = what + ": " + o.Error
		return o
	}
	o.Stage = "verify"
	if code := l.verifyPeers(session, &o.VerifyStatus); code < 0 {
		return fail(code, "Unable to verify TLS peer")
	}
	if o.VerifyStatus != 0 {
		var text datum
		if l.statusPrint(o.VerifyStatus, certificates, &text, 0) == 0 && text.data != nil {
			o.VerifyText = string(unsafe.Slice((*byte)(text.data), text.size))
			if i := len(o.VerifyText) - 1; i >= 0 && o.VerifyText[i] == 0 {
				o.VerifyText = o.VerifyText[:i]
			}
		}
		o.Error = "the peer's certificate is not accepted"
		return o
	}

	o.Stage = "confirmation"
	confirmation := []byte{1}
	var done int
	if s.server {
		done = l.send(session, &confirmation[0], 1)
	} else {
		confirmation[0] = 0
		done = l.receive(session, &confirmation[0], 1)
	}
	switch {
	case done < 0:
		return fail(int32(done), "Unable to read TLS confirmation")
	case done != 1:
		o.Error = "the peer ended the connection without confirmation"
		return o
	case confirmation[0] != 1:
		o.Error = fmt.Sprintf("the confirmation is %#02x, want 0x01", confirmation[0])
		return o
	}
	o.Stage, o.OK = "done", true
	return o
}
