package gnutls

import (
	"runtime"
	"time"

	"github.com/ebitengine/purego"
)

// now is what the library takes for the time; see At.
var now int64

// verification holds the functions that judge chains.
type verification struct {
	listVerify     func(chain *uintptr, n int32, cas *uintptr, m int32, crls uintptr, k int32, flags uint32, status *uint32) int32
	allocate       func(credentials *uintptr) int32
	release        func(credentials uintptr)
	trust          func(credentials uintptr, pem *datum, format int32) int32
	crls           func(credentials uintptr, pem *datum, format int32) int32
	trusted        func(credentials uintptr, list *uintptr)
	trustedVerify  func(list uintptr, chain *uintptr, n uint32, data uintptr, elements uint32, flags uint32, status *uint32, f uintptr) int32
	setTimeSource  func(f uintptr)
	setKey         func(credentials uintptr, cert, key *datum, format int32) int32
	crlInit        func(crl *uintptr) int32
	crlDeinit      func(crl uintptr)
	crlImport      func(crl uintptr, data *datum, format int32) int32
	crlCount       func(crl uintptr) int32
	revoked        func(cert uintptr, crls *uintptr, n int32) int32
	timeIsSetByNow bool
}

func (v *verification) register(handle uintptr) {
	for _, f := range []struct {
		fn   any
		name string
	}{
		{&v.listVerify, "gnutls_x509_crt_list_verify"},
		{&v.allocate, "gnutls_certificate_allocate_credentials"},
		{&v.release, "gnutls_certificate_free_credentials"},
		{&v.trust, "gnutls_certificate_set_x509_trust_mem"},
		{&v.crls, "gnutls_certificate_set_x509_crl_mem"},
		{&v.trusted, "gnutls_certificate_get_trust_list"},
		{&v.trustedVerify, "gnutls_x509_trust_list_verify_crt2"},
		{&v.setKey, "gnutls_certificate_set_x509_key_mem"},
		{&v.crlInit, "gnutls_x509_crl_init"},
		{&v.crlDeinit, "gnutls_x509_crl_deinit"},
		{&v.crlImport, "gnutls_x509_crl_import"},
		{&v.crlCount, "gnutls_x509_crl_get_crt_count"},
		{&v.revoked, "gnutls_x509_crt_check_revocation"},
		{&v.setTimeSource, "gnutls_global_set_time_function"},
	} {
		purego.RegisterLibFunc(f.fn, handle, f.name)
	}
}

// At makes the library take t for the time from here on. Tests that use it must not run at the same time.
func (l *Library) At(t time.Time) {
	now = t.Unix()
	if l.verification.timeIsSetByNow {
		return
	}
	l.verification.timeIsSetByNow = true
	l.verification.setTimeSource(purego.NewCallback(func(at *int64) uintptr {
		if at != nil {
			*at = now
		}
		return uintptr(now)
	}))
}

// importAll imports certificates in DER. Those that cannot be imported give an error's code.
func (l *Library) importAll(ders [][]byte) (handles []uintptr, release func(), code int) {
	var all []*Cert
	release = func() {
		for _, c := range all {
			c.Close()
		}
	}
	for _, der := range ders {
		c, code := l.Import(der, false)
		if code < 0 {
			release()
			return nil, func() {}, code
		}
		all = append(all, c)
		handles = append(handles, c.h)
	}
	return handles, release, 0
}

// first gives the address of the first element, nil where there is none.
func first(handles []uintptr) *uintptr {
	if len(handles) == 0 {
		return nil
	}
	return &handles[0]
}

// ListVerify is gnutls_x509_crt_list_verify with flags 0 and no CRLs, which is libvirt's check of its own certificate.
// It gives the status, or an error's code.
func (l *Library) ListVerify(chain, cas [][]byte) (status uint32, code int) {
	c, release, code := l.importAll(chain)
	defer release()
	if code < 0 {
		return 0, code
	}
	a, releaseCAs, code := l.importAll(cas)
	defer releaseCAs()
	if code < 0 {
		return 0, code
	}
	code = int(l.verification.listVerify(first(c), int32(len(c)), first(a), int32(len(a)), 0, 0, 0, &status))
	runtime.KeepAlive(c)
	runtime.KeepAlive(a)
	return status, code
}

// ProfileLow are the verify flags of the profile LOW, which a session with the priority NORMAL has.
const ProfileLow = 2 << 24

// PeerVerify loads a CA file and, if there is one, a file of CRLs into credentials as libvirt does, and judges a peer's
// chain by them as gnutls_certificate_verify_peers2 does: gnutls_x509_trust_list_verify_crt2 with the session's flags.
// It gives the status, or an error's code.
func (l *Library) PeerVerify(chain [][]byte, caPEM, crlPEM []byte, flags uint32) (status uint32, code int) {
	v := &l.verification
	var credentials uintptr
	if code := v.allocate(&credentials); code < 0 {
		return 0, int(code)
	}
	defer v.release(credentials)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	if code := v.trust(credentials, pin(&pinner, caPEM), 1); code < 0 {
		return 0, int(code)
	}
	if len(crlPEM) > 0 {
		if code := v.crls(credentials, pin(&pinner, crlPEM), 1); code < 0 {
			return 0, int(code)
		}
	}
	c, release, code := l.importAll(chain)
	defer release()
	if code < 0 {
		return 0, code
	}
	var list uintptr
	v.trusted(credentials, &list)
	code = int(v.trustedVerify(list, first(c), uint32(len(c)), 0, 0, flags, &status, 0))
	runtime.KeepAlive(c)
	return status, code
}

// CRLFile loads a file of CRLs into credentials as libvirt does. It gives GnuTLS's return value: their number, or an error's
// code.
func (l *Library) CRLFile(pem []byte) int {
	return l.load(func(credentials uintptr, file func([]byte) *datum) int {
		return int(l.verification.crls(credentials, file(pem), 1))
	})
}

// KeyPair loads a certificate file and its key's into credentials as libvirt does. It gives an error's code, or 0.
func (l *Library) KeyPair(cert, key []byte) int {
	return l.load(func(credentials uintptr, file func([]byte) *datum) int {
		return min(0, int(l.verification.setKey(credentials, file(cert), file(key), 1)))
	})
}

// load calls f with new credentials, and with what makes a file's content ready for GnuTLS.
func (l *Library) load(f func(credentials uintptr, file func([]byte) *datum) int) int {
	v := &l.verification
	var credentials uintptr
	if code := v.allocate(&credentials); code < 0 {
		return int(code)
	}
	defer v.release(credentials)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	return f(credentials, func(content []byte) *datum {
		d := pin(&pinner, append(append([]byte{}, content...), 0)) // an empty file is no null pointer
		d.size--
		return d
	})
}

// CRL imports a CRL in DER. It gives the number of its entries and what gnutls_x509_crt_check_revocation says of each
// certificate, or an error's code.
func (l *Library) CRL(der []byte, certificates ...*Cert) (entries int, revoked []int, code int) {
	v := &l.verification
	var crl uintptr
	if code := v.crlInit(&crl); code < 0 {
		return 0, nil, int(code)
	}
	defer v.crlDeinit(crl)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	if code := v.crlImport(crl, pin(&pinner, der), 0); code < 0 {
		return 0, nil, int(code)
	}
	for _, c := range certificates {
		revoked = append(revoked, int(v.revoked(c.h, &crl, 1)))
	}
	return int(v.crlCount(crl)), revoked, 0
}
