package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxString is libvirt's bound on strings (REMOTE_STRING_MAX).
const maxString = 4194304

// encoder writes XDR (RFC 4506).
type encoder struct{ b []byte }

func (e *encoder) uint32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) int32(v int32)   { e.uint32(uint32(v)) }

func (e *encoder) bytes(v []byte) {
	e.uint32(uint32(len(v)))
	e.b = append(e.b, v...)
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) string(v string) { e.bytes([]byte(v)) }

// chars writes an array of char, which is not opaque data: each takes four bytes (remote_auth_sasl_start_args).
func (e *encoder) chars(v []byte) {
	e.uint32(uint32(len(v)))
	for _, c := range v {
		e.int32(int32(int8(c)))
	}
}

// optional writes a string that may be absent.
func (e *encoder) optional(v *string) {
	if v == nil {
		e.uint32(0)
		return
	}
	e.uint32(1)
	e.string(*v)
}

var errShort = errors.New("the payload ends early")

// decoder reads XDR. The first error stays; what is read after it is zero. Nothing is allocated beyond the payload.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uint32() uint32 {
	if d.err != nil {
		return 0
	}
	if len(d.b) < 4 {
		d.err = errShort
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) int32() int32 { return int32(d.uint32()) }

func (d *decoder) uint64() uint64 {
	high := d.uint32()
	return uint64(high)<<32 | uint64(d.uint32())
}

func (d *decoder) bytes(limit int) []byte {
	n := d.uint32()
	if d.err != nil {
		return nil
	}
	if uint64(n) > uint64(limit) {
		d.err = fmt.Errorf("a length of %d is beyond the limit of %d", n, limit)
		return nil
	}
	padded := (int(n) + 3) &^ 3
	if padded > len(d.b) {
		d.err = errShort
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[padded:]
	return v
}

// chars reads an array of char.
func (d *decoder) chars(limit int) []byte {
	n := d.uint32()
	switch {
	case d.err != nil:
		return nil
	case uint64(n) > uint64(limit):
		d.err = fmt.Errorf("a length of %d is beyond the limit of %d", n, limit)
		return nil
	case int(n) > len(d.b)/4:
		d.err = errShort
		return nil
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(d.uint32())
	}
	return v
}

func (d *decoder) string() string { return string(d.bytes(maxString)) }

// optional reads a string that may be absent.
func (d *decoder) optional() (string, bool) {
	if !d.bool() {
		return "", false
	}
	return d.string(), true
}

// bool reads the flag before an optional value.
func (d *decoder) bool() bool {
	switch v := d.uint32(); {
	case d.err != nil:
	case v == 1:
		return true
	case v > 1:
		d.err = fmt.Errorf("%d is no boolean", v)
	}
	return false
}

// end reports the first error, or bytes left over.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return fmt.Errorf("%d bytes are left over", len(d.b))
	}
	return d.err
}
