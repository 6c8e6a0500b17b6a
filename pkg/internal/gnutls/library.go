package gnutls

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is the loaded libgnutls.
type Library struct {
	strerror      func(code int32) string
	checkVersion  func(required uintptr) string
	free          func(p unsafe.Pointer)
	crtInit       func(crt *uintptr) int32
	crtDeinit     func(crt uintptr)
	crtImport     func(crt uintptr, data *datum, format int32) int32
	crtGetDN      func(crt uintptr, buf *byte, size *uint64) int32
	crtGetDN3     func(crt uintptr, dn *datum, flags uint32) int32
	crtCheckHost  func(crt uintptr, host *byte, flags uint32) uint32
	crtListImport func(list *uintptr, max *uint32, data *datum, format int32, flags uint32) int32
	crtNotAfter   func(crt uintptr) int64
	crtNotBefore  func(crt uintptr) int64
	keyInit       func(key *uintptr) int32
	keyDeinit     func(key uintptr)
	keyImport     func(key uintptr, data *datum, format int32, password uintptr, flags uint32) int32
	idnaMap       func(input *byte, length uint32, out *datum, flags uint32) int32
	verification  verification
}

// datum is gnutls_datum_t.
type datum struct {
	data unsafe.Pointer
	size uint32
}

var (
	once    sync.Once
	library *Library
	reason  string
)

// Load gives the installed library, or skips the test with the reason why there is none.
func Load(tb testing.TB) *Library {
	tb.Helper()
	once.Do(open)
	if library == nil {
		if os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1" {
			tb.Fatal(reason)
		}
		tb.Skip(reason)
	}
	return library
}

func open() {
	handle, err := purego.Dlopen("libgnutls.so.30", purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		reason = "no libgnutls: " + err.Error()
		return
	}
	l := &Library{}
	for _, f := range []struct {
		fn   any
		name string
	}{
		{&l.strerror, "gnutls_strerror"},
		{&l.checkVersion, "gnutls_check_version"},
		{&l.crtInit, "gnutls_x509_crt_init"},
		{&l.crtDeinit, "gnutls_x509_crt_deinit"},
		{&l.crtImport, "gnutls_x509_crt_import"},
		{&l.crtGetDN, "gnutls_x509_crt_get_dn"},
		{&l.crtGetDN3, "gnutls_x509_crt_get_dn3"},
		{&l.crtCheckHost, "gnutls_x509_crt_check_hostname2"},
		{&l.crtListImport, "gnutls_x509_crt_list_import"},
		{&l.crtNotAfter, "gnutls_x509_crt_get_expiration_time"},
		{&l.crtNotBefore, "gnutls_x509_crt_get_activation_time"},
		{&l.keyInit, "gnutls_x509_privkey_init"},
		{&l.keyDeinit, "gnutls_x509_privkey_deinit"},
		{&l.keyImport, "gnutls_x509_privkey_import2"},
		{&l.idnaMap, "gnutls_idna_map"},
		{&l.free, "free"},
	} {
		purego.RegisterLibFunc(f.fn, handle, f.name)
	}
	l.verification.register(handle)
	if v := l.checkVersion(0); !strings.HasPrefix(v, "3.7.9") {
		reason = "the rules under test are those of GnuTLS 3.7.9, installed is " + v
		return
	}
	library = l
}

// ImportKey is gnutls_x509_privkey_import2 of a PEM text without a password; the code is 0 or GnuTLS's error.
func (l *Library) ImportKey(pem []byte) int {
	var key uintptr
	if code := l.keyInit(&key); code < 0 {
		return int(code)
	}
	defer l.keyDeinit(key)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	d := pin(&pinner, pem)
	return int(l.keyImport(key, d, 1, 0, 0))
}

// Strerror gives GnuTLS's text for an error code.
func (l *Library) Strerror(code int) string { return l.strerror(int32(code)) }

// A Cert is an imported certificate; Close frees it.
type Cert struct {
	l *Library
	h uintptr
}

// Import is gnutls_x509_crt_import with format 0 (DER) or 1 (PEM); the code is 0 or GnuTLS's error.
func (l *Library) Import(data []byte, pem bool) (*Cert, int) {
	c := &Cert{l: l}
	if code := l.crtInit(&c.h); code < 0 {
		return nil, int(code)
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	d := pin(&pinner, data)
	format := int32(0)
	if pem {
		format = 1
	}
	if code := l.crtImport(c.h, d, format); code < 0 {
		c.Close()
		return nil, int(code)
	}
	return c, 0
}

// ListImport is gnutls_x509_crt_list_import of a PEM text with the given capacity; it gives GnuTLS's return value and
// the DN texts of what was imported ("" where there is none).
func (l *Library) ListImport(pem []byte, capacity int, flags uint32) (code int, names []string) {
	list := make([]uintptr, capacity+1)
	max := uint32(capacity)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	d := pin(&pinner, pem)
	code = int(l.crtListImport(&list[0], &max, d, 1, flags))
	for i := 0; i < code; i++ {
		c := &Cert{l, list[i]}
		name, _ := c.DN()
		names = append(names, name)
		c.Close()
	}
	return code, names
}

func pin(p *runtime.Pinner, data []byte) *datum {
	d := &datum{size: uint32(len(data))}
	if len(data) > 0 {
		p.Pin(&data[0])
		d.data = unsafe.Pointer(&data[0])
	}
	p.Pin(d)
	return d
}

// Close frees the certificate.
func (c *Cert) Close() { c.l.crtDeinit(c.h) }

// DN is gnutls_x509_crt_get_dn.
func (c *Cert) DN() (string, int) {
	buf := make([]byte, 1<<16)
	size := uint64(len(buf))
	code := c.l.crtGetDN(c.h, &buf[0], &size)
	if code == -51 && size > uint64(len(buf)) {
		buf = make([]byte, size+1)
		code = c.l.crtGetDN(c.h, &buf[0], &size)
	}
	if code < 0 {
		return "", int(code)
	}
	return string(buf[:size]), 0
}

// DNReversed is gnutls_x509_crt_get_dn3 with flags 0, what certtool prints.
func (c *Cert) DNReversed() (string, int) {
	var d datum
	if code := c.l.crtGetDN3(c.h, &d, 0); code < 0 {
		return "", int(code)
	}
	defer c.l.free(d.data)
	return string(unsafe.Slice((*byte)(d.data), d.size)), 0
}

// The flags of CheckHostname: none, or no wildcards.
const (
	VerifyDefault     = 0
	VerifyNoWildcards = 1 << 12
)

// CheckHostname is gnutls_x509_crt_check_hostname2. The host must not contain NUL.
func (c *Cert) CheckHostname(host string, flags uint32) bool {
	b := append([]byte(host), 0)
	return c.l.crtCheckHost(c.h, &b[0], flags) != 0
}

// Validity gives the activation and expiration times as Unix seconds.
func (c *Cert) Validity() (from, to int64) { return c.l.crtNotBefore(c.h), c.l.crtNotAfter(c.h) }

// IDNAMap is gnutls_idna_map with flags 0.
func (l *Library) IDNAMap(host string) (string, int) {
	b := append([]byte(host), 0)
	var d datum
	if code := l.idnaMap(&b[0], uint32(len(host)), &d, 0); code < 0 {
		return "", int(code)
	}
	defer l.free(d.data)
	return string(unsafe.Slice((*byte)(d.data), d.size)), 0
}
