package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/virt-pki/virt-pki/pkg/token"
)

// The places of functions in CK_FUNCTION_LIST (PKCS#11 2.40, pkcs11f.h), which begins with a CK_VERSION.
const (
	fnInitialize = iota
	fnFinalize
	fnGetInfo
	_
	fnGetSlotList
	fnGetSlotInfo
	fnGetTokenInfo

	fnOpenSession       = 12
	fnLogin             = 18
	fnDestroyObject     = 22
	fnGetAttributeValue = 24
	fnFindObjectsInit   = 26
	fnFindObjects       = 27
	fnFindObjectsFinal  = 28
	fnSignInit          = 42
	fnSign              = 43
	fnGenerateKeyPair   = 59

	functions = 68
)

// functionList is CK_FUNCTION_LIST. CK_ULONG and pointers are of the size of a Go uintptr on the systems that purego knows.
type functionList struct {
	version [2]byte
	call    [functions]uintptr
}

// A module is a loaded PKCS#11 module.
type module struct {
	path        string
	list        *functionList
	initialised bool
}

// directories are where modules lie on the usual systems, p11-kit's first.
var directories = []string{"/usr/lib/*/pkcs11", "/usr/lib64/pkcs11", "/usr/lib/pkcs11", "/usr/lib/softhsm", "/usr/lib64/softhsm",
	"/usr/local/lib/softhsm", "/usr/lib/*", "/usr/lib64", "/usr/lib", "/usr/local/lib"}

// modulePath gives the file of the module that a URI names; without one that of p11-kit, which knows the configured modules.
func modulePath(u token.URI) (string, error) {
	names := []string{"p11-kit-proxy.so", "libp11-kit.so.0"}
	if u.ModuleName != "" {
		names = []string{u.ModuleName + ".so", "lib" + u.ModuleName + ".so"}
	}
	in := directories
	if u.ModulePath != "" {
		st, err := os.Stat(u.ModulePath)
		switch {
		case err != nil:
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return "", fault(token.NoModule, "is the package of the token's module installed? p11-kit list-modules", "the PKCS#11 module %q: %v", u.ModulePath, err)
		case !st.IsDir():
			return u.ModulePath, nil
		}
		in = []string{u.ModulePath}
	}
	for _, d := range in {
		for _, name := range names {
			found, _ := filepath.Glob(filepath.Join(d, name)) // the patterns are ours, or no pattern
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	what := "no PKCS#11 module is named, and p11-kit, which knows the configured ones, is not installed"
	if u.ModuleName != "" {
		what = fmt.Sprintf("there is no PKCS#11 module %q in %s", u.ModuleName, strings.Join(in, ", "))
	}
	return "", fault(token.NoModule, "name its file: pkcs11:...?module-path=/usr/lib/softhsm/libsofthsm2.so", "%s", what)
}

// load loads and initialises a module.
func load(path string) (*module, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fault(token.NoModule, "", "the PKCS#11 module %q cannot be loaded: %v", path, err)
	}
	get, err := purego.Dlsym(handle, "C_GetFunctionList")
	if err != nil {
		return nil, fault(token.NoModule, "", "the library %q is no PKCS#11 module: it has no C_GetFunctionList", path)
	}
	m := &module{path: path}
	var list unsafe.Pointer
	if rv, _, _ := purego.SyscallN(get, uintptr(unsafe.Pointer(&list))); rv != 0 || list == nil {
		return nil, fault(token.NoModule, "", "the PKCS#11 module %q gives no functions: %s", path, rvName(rv))
	}
	m.list = (*functionList)(list)
	// CK_C_INITIALIZE_ARGS: only flags, CKF_OS_LOCKING_OK, since Go may move between threads.
	args := [6]uintptr{4: 2}
	if err := m.do("C_Initialize", fnInitialize, pointer(&args)); err != nil {
		return nil, fault(token.NoModule, "", "the PKCS#11 module %q does not start: %v", path, err)
	}
	m.initialised = true
	return m, nil
}

// pointer gives the address of something that purego keeps in its place during the call.
//
//go:nosplit
func pointer[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

// do calls a function of the module. Arguments are numbers (uintptr, int) and pointers to what stays in its place.
func (m *module) do(name string, fn int, args ...any) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	words := make([]uintptr, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case uintptr:
			words[i] = a
		case int:
			words[i] = uintptr(a)
		case unsafe.Pointer:
			if a != nil {
				pin.Pin((*byte)(a))
			}
			words[i] = uintptr(a)
		case nil:
		default:
			panic(fmt.Sprintf("%s: argument %d is a %T", name, i, a))
		}
	}
	rv, _, _ := purego.SyscallN(m.list.call[fn], words...)
	runtime.KeepAlive(args)
	if rv != 0 {
		return &callError{name, rv}
	}
	return nil
}

// octets gives the address of the first of some octets.
func octets(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Pointer(&b[0])
}

// close ends the use of the module.
func (m *module) close() {
	if m.initialised {
		_ = m.do("C_Finalize", fnFinalize, nil) // it logs out and ends all sessions
	}
}

// A callError is a function's return value, a CK_RV.
type callError struct {
	call string
	rv   uintptr
}

// Error gives the call and the value's name.
func (e *callError) Error() string { return fmt.Sprintf("%s: %s", e.call, rvName(e.rv)) }

// code says what kind of trouble it is.
func (e *callError) code() token.Code {
	switch e.rv {
	case 0x30, 0x31, 0x32, 0x05, 0xb0, 0xb3, 0xe0, 0xe1, 0x101, 0x190, 0x60, 0x82: // of device, session, token, and objects that are lost
		return token.Gone
	case 0xa0:
		return token.PINWrong
	case 0xa4:
		return token.PINLocked
	}
	return token.Refused
}

// rvName gives the name of a CK_RV.
func rvName(rv uintptr) string {
	if n := rvNames[rv]; n != "" {
		return "CKR_" + n
	}
	return fmt.Sprintf("CKR 0x%x", rv)
}

// rvNames are the return values that occur here (PKCS#11 2.40, pkcs11t.h).
var rvNames = map[uintptr]string{
	0x02: "HOST_MEMORY", 0x03: "SLOT_ID_INVALID", 0x05: "GENERAL_ERROR", 0x06: "FUNCTION_FAILED", 0x07: "ARGUMENTS_BAD",
	0x0a: "CANT_LOCK", 0x10: "ATTRIBUTE_READ_ONLY", 0x11: "ATTRIBUTE_SENSITIVE", 0x12: "ATTRIBUTE_TYPE_INVALID",
	0x13: "ATTRIBUTE_VALUE_INVALID", 0x1b: "ACTION_PROHIBITED", 0x20: "DATA_INVALID", 0x21: "DATA_LEN_RANGE",
	0x30: "DEVICE_ERROR", 0x31: "DEVICE_MEMORY", 0x32: "DEVICE_REMOVED", 0x50: "FUNCTION_CANCELED",
	0x54: "FUNCTION_NOT_SUPPORTED", 0x60: "KEY_HANDLE_INVALID", 0x62: "KEY_SIZE_RANGE", 0x63: "KEY_TYPE_INCONSISTENT",
	0x68: "KEY_FUNCTION_NOT_PERMITTED", 0x70: "MECHANISM_INVALID", 0x71: "MECHANISM_PARAM_INVALID", 0x82: "OBJECT_HANDLE_INVALID",
	0x90: "OPERATION_ACTIVE", 0x91: "OPERATION_NOT_INITIALIZED", 0xa0: "PIN_INCORRECT", 0xa1: "PIN_INVALID", 0xa2: "PIN_LEN_RANGE",
	0xa3: "PIN_EXPIRED", 0xa4: "PIN_LOCKED", 0xb0: "SESSION_CLOSED", 0xb1: "SESSION_COUNT", 0xb3: "SESSION_HANDLE_INVALID",
	0xb5: "SESSION_READ_ONLY", 0xd0: "TEMPLATE_INCOMPLETE", 0xd1: "TEMPLATE_INCONSISTENT", 0xe0: "TOKEN_NOT_PRESENT",
	0xe1: "TOKEN_NOT_RECOGNIZED", 0xe2: "TOKEN_WRITE_PROTECTED", 0x100: "USER_ALREADY_LOGGED_IN", 0x101: "USER_NOT_LOGGED_IN",
	0x102: "USER_PIN_NOT_INITIALIZED", 0x103: "USER_TYPE_INVALID", 0x130: "DOMAIN_PARAMS_INVALID", 0x140: "CURVE_NOT_SUPPORTED",
	0x150: "BUFFER_TOO_SMALL", 0x190: "CRYPTOKI_NOT_INITIALIZED",
}
