package main

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// soname is the library of GnuTLS 3.
const soname = "libgnutls.so.30"

// datum is gnutls_datum_t.
type datum struct {
	data unsafe.Pointer
	size uint32
}

// library holds the functions of libgnutls that are called. Their C signatures are those of gnutls/gnutls.h, which have
// not changed since 3.6; handles are uintptr.
type library struct {
	checkVersion func(required uintptr) string
	strerror     func(code int32) string
	isFatal      func(code int32) int32

	priorityInit     func(p *uintptr, text *byte, position *uintptr) int32
	priorityDeinit   func(p uintptr)
	prioritySuite    func(p uintptr, index uint32, suite *uint32) int32
	suiteInfo        func(suite uintptr, id *byte, kx, cipher, mac, version *int32) string
	priorityProtocol func(p uintptr, list *unsafe.Pointer) int32
	priorityCipher   func(p uintptr, list *unsafe.Pointer) int32
	priorityMAC      func(p uintptr, list *unsafe.Pointer) int32
	priorityKX       func(p uintptr, list *unsafe.Pointer) int32
	priorityGroup    func(p uintptr, list *unsafe.Pointer) int32
	prioritySign     func(p uintptr, list *unsafe.Pointer) int32
	protocolName     func(id int32) string
	cipherName       func(id int32) string
	macName          func(id int32) string
	kxName           func(id int32) string
	groupName        func(id int32) string
	signName         func(id int32) string

	credentialsNew   func(c *uintptr) int32
	credentialsTrust func(c uintptr, file *byte, format int32) int32
	credentialsCRL   func(c uintptr, file *byte, format int32) int32
	credentialsKey   func(c uintptr, cert, key *byte, format int32) int32
	// The _mem functions take a datum each.
	credentialsTrustMem func(c uintptr, text *datum, format int32) int32
	credentialsKeyMem   func(c uintptr, cert, key *datum, format int32) int32

	sessionNew        func(s *uintptr, flags uint32) int32
	sessionPriority   func(s uintptr, text *byte, position *uintptr) int32
	sessionCredential func(s uintptr, kind int32, c uintptr) int32
	serverRequest     func(s uintptr, how int32)
	transport         func(s uintptr, in, out int32)
	handshakeTimeout  func(s uintptr, milliseconds uint32)
	recordTimeout     func(s uintptr, milliseconds uint32)
	handshake         func(s uintptr) int32
	verifyPeers       func(s uintptr, status *uint32) int32
	statusPrint       func(status uint32, kind int32, out *datum, flags uint32) int32
	peers             func(s uintptr, n *uint32) uintptr
	send              func(s uintptr, data *byte, n uintptr) int
	receive           func(s uintptr, data *byte, n uintptr) int
	protocolOf        func(s uintptr) int32
	kxOf              func(s uintptr) int32
	cipherOf          func(s uintptr) int32
	macOf             func(s uintptr) int32
	groupOf           func(s uintptr) int32
	signOf            func(s uintptr) int32
	clientSignOf      func(s uintptr) int32
	ours              func(s uintptr) uintptr
	sessionFlags      func(s uintptr) uint32
	handshakeHook     func(s uintptr, kind uint32, when int32, hook uintptr)
}

// open loads the library. A missing function is an error: that library is not the one the signatures are for.
func open() (l *library, err error) {
	handle, err := purego.Dlopen(soname, purego.RTLD_NOW)
	if err != nil {
		return nil, fmt.Errorf("libgnutls is not installed or cannot be loaded: %w", err)
	}
	defer func() {
		if r := recover(); r != nil {
			l, err = nil, fmt.Errorf("%s lacks a function: %v", soname, r)
		}
	}()
	l = &library{}
	for name, f := range map[string]any{
		"gnutls_check_version":                         &l.checkVersion,
		"gnutls_strerror":                              &l.strerror,
		"gnutls_error_is_fatal":                        &l.isFatal,
		"gnutls_priority_init":                         &l.priorityInit,
		"gnutls_priority_deinit":                       &l.priorityDeinit,
		"gnutls_priority_get_cipher_suite_index":       &l.prioritySuite,
		"gnutls_cipher_suite_info":                     &l.suiteInfo,
		"gnutls_priority_protocol_list":                &l.priorityProtocol,
		"gnutls_priority_cipher_list":                  &l.priorityCipher,
		"gnutls_priority_mac_list":                     &l.priorityMAC,
		"gnutls_priority_kx_list":                      &l.priorityKX,
		"gnutls_priority_group_list":                   &l.priorityGroup,
		"gnutls_priority_sign_list":                    &l.prioritySign,
		"gnutls_protocol_get_name":                     &l.protocolName,
		"gnutls_cipher_get_name":                       &l.cipherName,
		"gnutls_mac_get_name":                          &l.macName,
		"gnutls_kx_get_name":                           &l.kxName,
		"gnutls_group_get_name":                        &l.groupName,
		"gnutls_sign_get_name":                         &l.signName,
		"gnutls_certificate_allocate_credentials":      &l.credentialsNew,
		"gnutls_certificate_set_x509_trust_file":       &l.credentialsTrust,
		"gnutls_certificate_set_x509_crl_file":         &l.credentialsCRL,
		"gnutls_certificate_set_x509_key_file":         &l.credentialsKey,
		"gnutls_certificate_set_x509_trust_mem":        &l.credentialsTrustMem,
		"gnutls_certificate_set_x509_key_mem":          &l.credentialsKeyMem,
		"gnutls_certificate_get_ours":                  &l.ours,
		"gnutls_session_get_flags":                     &l.sessionFlags,
		"gnutls_handshake_set_hook_function":           &l.handshakeHook,
		"gnutls_init":                                  &l.sessionNew,
		"gnutls_priority_set_direct":                   &l.sessionPriority,
		"gnutls_credentials_set":                       &l.sessionCredential,
		"gnutls_certificate_server_set_request":        &l.serverRequest,
		"gnutls_transport_set_int2":                    &l.transport,
		"gnutls_handshake_set_timeout":                 &l.handshakeTimeout,
		"gnutls_record_set_timeout":                    &l.recordTimeout,
		"gnutls_handshake":                             &l.handshake,
		"gnutls_certificate_verify_peers2":             &l.verifyPeers,
		"gnutls_certificate_verification_status_print": &l.statusPrint,
		"gnutls_certificate_get_peers":                 &l.peers,
		"gnutls_record_send":                           &l.send,
		"gnutls_record_recv":                           &l.receive,
		"gnutls_protocol_get_version":                  &l.protocolOf,
		"gnutls_kx_get":                                &l.kxOf,
		"gnutls_cipher_get":                            &l.cipherOf,
		"gnutls_mac_get":                               &l.macOf,
		"gnutls_group_get":                             &l.groupOf,
		"gnutls_sign_algorithm_get":                    &l.signOf,
		"gnutls_sign_algorithm_get_client":             &l.clientSignOf,
	} {
		purego.RegisterLibFunc(f, handle, name)
	}
	return l, nil
}

// cstring gives the bytes of a C string.
func cstring(s string) []byte { return append([]byte(s), 0) }
