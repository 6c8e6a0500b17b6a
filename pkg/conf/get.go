package conf

import (
	"fmt"
	"math"
)

// The typed readers follow virConfGetValueString, -StringList, -Bool, -Int, -UInt and -ULLong of virconf.c. Ok is
// false when the setting is not there; an error is a *FatalError with libvirt's text.

// String reads a string setting.
func (f *File) String(key string) (value string, ok bool, err error) {
	e, ok := f.Lookup(key)
	switch {
	case !ok:
		return "", false, nil
	case e.Value.Type != String:
		return "", false, f.wrongType(key, "a string")
	}
	return e.Value.Text, true, nil
}

// Strings reads a setting that is a list of strings. An empty list is not nil.
func (f *File) Strings(key string) (values []string, ok bool, err error) {
	return f.stringList(key, false)
}

// StringOrStrings reads a setting that is a list of strings or one string.
func (f *File) StringOrStrings(key string) (values []string, ok bool, err error) {
	return f.stringList(key, true)
}

func (f *File) stringList(key string, single bool) ([]string, bool, error) {
	v, ok, err := f.stringOrList(key, single)
	if !ok || err != nil {
		return nil, false, err
	}
	if v.Type == String {
		return []string{v.Text}, true, nil
	}
	items, _ := v.Strings()
	return items, true, nil
}

// stringOrList finds a list of strings, or a single one where that will do.
func (f *File) stringOrList(key string, single bool) (Value, bool, error) {
	want := "a string list"
	if single {
		want = "a string or string list"
	}
	e, ok := f.Lookup(key)
	switch {
	case !ok:
		return Value{}, false, nil
	case single && e.Value.Type == String:
		return e.Value, true, nil
	case e.Value.Type != List:
		return Value{}, false, f.wrongType(key, want)
	}
	if !e.Value.allStrings() {
		// The same text, of another class; and always the one of a list.
		return Value{}, false, f.bad(key, fmt.Sprintf("configuration file syntax error: %s: expected a string list for '%s' parameter",
			f.name, key))
	}
	return e.Value, true, nil
}

// Bool reads a setting that is 0 or 1.
func (f *File) Bool(key string) (value, ok bool, err error) {
	e, ok := f.Lookup(key)
	switch {
	case !ok:
		return false, false, nil
	case e.Value.Type != Integer || e.Value.Negative:
		return false, false, f.wrongType(key, "a bool")
	case uint64(e.Value.Int) > 1:
		return false, false, f.outOfRange(key, "0 or 1")
	}
	return e.Value.Int == 1, true, nil
}

// Int reads a signed integer of 32 bits.
func (f *File) Int(key string) (value int32, ok bool, err error) {
	e, ok := f.Lookup(key)
	switch {
	case !ok:
		return 0, false, nil
	case e.Value.Type != Integer:
		return 0, false, f.wrongType(key, "a signed integer")
	case e.Value.Int < math.MinInt32 || e.Value.Int > math.MaxInt32:
		return 0, false, f.outOfRange(key, "in range -2147483648:2147483647")
	}
	return int32(e.Value.Int), true, nil
}

// Uint reads an unsigned integer of 32 bits.
func (f *File) Uint(key string) (value uint32, ok bool, err error) {
	e, ok := f.Lookup(key)
	switch {
	case !ok:
		return 0, false, nil
	case e.Value.Type != Integer || e.Value.Negative:
		return 0, false, f.wrongType(key, "an unsigned integer")
	case uint64(e.Value.Int) > math.MaxUint32:
		return 0, false, f.outOfRange(key, "in range 0:4294967295")
	}
	return uint32(e.Value.Int), true, nil
}

// limit reads a resource limit of qemu.conf: a string or an unsigned integer of 64 bits.
func (f *File) limit(key string) error {
	e, ok := f.Lookup(key)
	if !ok || e.Value.Type == String || e.Value.Type == Integer && !e.Value.Negative {
		return nil
	}
	return f.wrongType(key, "an unsigned integer")
}
