package conf

import "sync"

// A Type is what libvirt takes for a setting.
type Type int

// The types.
const (
	TypeString Type = iota + 1
	TypeStrings
	TypeStringOrStrings
	TypeBool
	TypeInt   // signed, 32 bits
	TypeUint  // unsigned, 32 bits
	TypeLimit // a string or an unsigned integer
	TypeAny   // known and read by nobody
)

var typeNames = [...]string{TypeString: "string", TypeStrings: "list of strings", TypeStringOrStrings: "string or list of strings",
	TypeBool: "0 or 1", TypeInt: "integer", TypeUint: "unsigned integer", TypeLimit: "unsigned integer or string", TypeAny: "anything"}

// String describes the type for people.
func (t Type) String() string {
	if t < TypeString || t > TypeAny {
		return "unknown"
	}
	return typeNames[t]
}

// A Setting is one key of a configuration file.
type Setting struct {
	Key  string
	Type Type
	// Default is the value that holds without the setting, as it would be written; empty: none, see About.
	Default string
	// Range says which values are taken, where the type does not.
	Range string
	// About says in a few words what it does.
	About string
	// Since is the first release that reads it; the zero Release: all.
	Since Release
	// Unread says that the key is accepted and read by nobody, and why.
	Unread string
	// remote is set for what only daemons with remote access read.
	remote bool
}

// Settings gives all settings that libvirt reads from a file of kind k, in the order in which it reads them, and after
// them those that are known and read no more. The slice is the caller's.
func Settings(k Kind, r Release) []Setting {
	var table []Setting
	switch k {
	case Libvirtd, Virtproxyd, Driver:
		table = daemonSettings
	case Client:
		table = clientSettings
	case Admin:
		table = adminSettings
	case QEMU:
		table = qemuSettings
	}
	var out []Setting
	for _, s := range table {
		if s.remote && k == Driver || !r.AtLeast(s.Since) {
			continue
		}
		if s.Key == "listen_tls" && k == Virtproxyd {
			s.Default = "0"
		}
		out = append(out, s)
	}
	return out
}

// LookupSetting finds a setting by its key, also one that the release does not read.
func LookupSetting(k Kind, key string) (Setting, bool) {
	s, ok := settingsByKey()[k][key]
	return s, ok
}

var settingsByKey = sync.OnceValue(func() map[Kind]map[string]Setting {
	m := map[Kind]map[string]Setting{}
	for _, k := range []Kind{Libvirtd, Virtproxyd, Driver, Client, Admin, QEMU} {
		m[k] = map[string]Setting{}
		for _, s := range Settings(k, Release{1 << 15, 0}) {
			m[k][s.Key] = s
		}
	}
	return m
})

// checkType gives the error that libvirt reports for the setting's type and range, as far as those of the type go.
func (f *File) checkType(s Setting) error {
	var err error
	switch s.Type {
	case TypeString:
		_, _, err = f.String(s.Key)
	case TypeStrings:
		_, _, err = f.stringOrList(s.Key, false)
	case TypeStringOrStrings:
		_, _, err = f.stringOrList(s.Key, true)
	case TypeBool:
		_, _, err = f.Bool(s.Key)
	case TypeInt:
		_, _, err = f.Int(s.Key)
	case TypeUint:
		_, _, err = f.Uint(s.Key)
	case TypeLimit:
		err = f.limit(s.Key)
	}
	return err
}

// LookupRead reports whether the release reads the key.
func LookupRead(k Kind, r Release, key string) bool {
	s, ok := LookupSetting(k, key)
	return ok && s.Unread == "" && r.AtLeast(s.Since) && !(s.remote && k == Driver)
}
