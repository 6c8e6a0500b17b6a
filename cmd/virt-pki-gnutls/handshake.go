package main

import (
	"fmt"
	"time"
	"unsafe"
)

// side is what a handshake is made with.
type side struct {
	server             bool
	in, out            int // file descriptors
	priority           string
	ca, crl, cert, key string
	timeout            time.Duration
}

// outcome is the answer to client and server.
type outcome struct {
	Schema int    `json:"schema"`
	GnuTLS string `json:"gnutls"`
	OK     bool   `json:"ok"`
	// Stage is where it ended: credentials, priority, handshake, verify, confirmation or done.
	Stage string `json:"stage"`
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"` // GnuTLS's text
	// LibvirtMessage is what libvirt makes of it.
	LibvirtMessage string `json:"libvirt_message,omitempty"`
	Version        string `json:"version,omitempty"`
	KeyExchange    string `json:"key_exchange,omitempty"`
	Cipher         string `json:"cipher,omitempty"`
	MAC            string `json:"mac,omitempty"`
	Group          string `json:"group,omitempty"`
	Signature      string `json:"signature,omitempty"` // of the server
	// ClientSignature is the algorithm of the client's signature, empty where it sent no certificate.
	ClientSignature string   `json:"client_signature,omitempty"`
	VerifyStatus    uint32   `json:"verify_status"`
	VerifyText      string   `json:"verify_text,omitempty"`
	Peer            [][]byte `json:"peer,omitempty"` // the peer's certificates in DER, base64 in JSON
}

// Numbers of gnutls/gnutls.h.
const (
	formatPEM      = 1
	flagServer     = 1
	flagClient     = 2
	certificates   = 1 // GNUTLS_CRD_CERTIFICATE and GNUTLS_CRT_X509
	requestNotNeed = 1 // GNUTLS_CERT_REQUEST
)

// run makes the handshake with the calls of libvirt's virNetTLSContextNew, virNetTLSSessionNew,
// virNetTLSSessionHandshake and virNetTLSContextValidCertificate in their order.
func (l *library) run(s side) outcome {
	o := outcome{Schema: 1, GnuTLS: l.checkVersion(0), Stage: "credentials"}
	fail := func(code int32, format string, args ...any) outcome {
		o.Code, o.Error = int(code), l.strerror(code)
		o.LibvirtMessage = fmt.Sprintf(format, args...) + ": " + o.Error
		return o
	}
	var credentials, session uintptr
	if code := l.credentialsNew(&credentials); code < 0 {
		return fail(code, "Unable to allocate x509 credentials")
	}
	if s.ca != "" {
		if code := l.credentialsTrust(credentials, &cstring(s.ca)[0], formatPEM); code < 0 {
			return fail(code, "Unable to set x509 CA certificate: %s", s.ca)
		}
	}
	if s.crl != "" {
		if code := l.credentialsCRL(credentials, &cstring(s.crl)[0], formatPEM); code < 0 {
			return fail(code, "Unable to set x509 certificate revocation list: %s", s.crl)
		}
	}
	if s.cert != "" {
		if code := l.credentialsKey(credentials, &cstring(s.cert)[0], &cstring(s.key)[0], formatPEM); code < 0 {
			return fail(code, "Unable to set x509 key and certificate: %s, %s", s.key, s.cert)
		}
	}
	flag := uint32(flagClient)
	if s.server {
		flag = flagServer
	}
	if code := l.sessionNew(&session, flag); code < 0 {
		return fail(code, "Failed to initialize TLS session")
	}
	o.Stage = "priority"
	if code := l.sessionPriority(session, &cstring(s.priority)[0], nil); code < 0 {
		return fail(code, "Failed to set TLS session priority to %s", s.priority)
	}
	if code := l.sessionCredential(session, certificates, credentials); code < 0 {
		return fail(code, "Failed set TLS x509 credentials")
	}
	if s.server {
		l.serverRequest(session, requestNotNeed)
	}
	l.transport(session, int32(s.in), int32(s.out))
	l.handshakeTimeout(session, uint32(s.timeout.Milliseconds()))
	l.recordTimeout(session, uint32(s.timeout.Milliseconds()))

	o.Stage = "handshake"
	for {
		code := l.handshake(session)
		if code == 0 {
			break
		}
		if l.isFatal(code) != 0 {
			return fail(code, "TLS handshake failed")
		}
	}
	o.Version, o.KeyExchange = l.protocolName(l.protocolOf(session)), l.kxName(l.kxOf(session))
	o.Cipher, o.MAC = l.cipherName(l.cipherOf(session)), l.macName(l.macOf(session))
	o.Group, o.Signature = l.groupName(l.groupOf(session)), l.signName(l.signOf(session))
	o.ClientSignature = l.signName(l.clientSignOf(session))
	var n uint32
	if first := l.peers(session, &n); first != 0 && n > 0 {
		for _, d := range unsafe.Slice((*datum)(*(*unsafe.Pointer)(unsafe.Pointer(&first))), n) {
			o.Peer = append(o.Peer, append([]byte(nil), unsafe.Slice((*byte)(d.data), d.size)...))
		}
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
