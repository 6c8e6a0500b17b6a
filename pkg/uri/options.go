package uri

// Version is the libvirt whose reading is wanted. The zero value is 9.0.
type Version struct{ Major, Minor int }

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	if v == (Version{}) {
		v = Version{9, 0}
	}
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// Settings are those of the libvirt.conf that applies to the caller. libvirt looks at a setting only when it is needed,
// so that a wrong type stops only connections that need it; an implementation that reads the file gives libvirt's
// message as the error's text ("internal error: FILE: expected a string for 'remote_mode' parameter").
type Settings interface {
	// String gives a string setting; ok is false when it is not set.
	String(key string) (value string, ok bool, err error)
	// Strings gives a list setting.
	Strings(key string) (values []string, ok bool, err error)
}

// Fixed are settings held in memory. The value of a string setting is its one element.
type Fixed map[string][]string

// String gives the first element.
func (f Fixed) String(key string) (string, bool, error) {
	if v, ok := f[key]; ok && len(v) > 0 {
		return v[0], true, nil
	}
	return "", false, nil
}

// Strings gives all elements.
func (f Fixed) Strings(key string) ([]string, bool, error) {
	v, ok := f[key]
	return v, ok, nil
}

// Options say who asks, and from where. The zero value is an ordinary user without a home on libvirt 9.0, connecting
// read-write and without a libvirt.conf.
type Options struct {
	Libvirt Version
	// Root is an effective user ID of 0: system files only, and no session daemon.
	Root bool
	// Home is $HOME; ConfigHome is $XDG_CONFIG_HOME (empty: Home/.config); RuntimeDir is $XDG_RUNTIME_DIR (empty:
	// Home/.cache, as GLib does).
	Home, ConfigHome, RuntimeDir string
	// ReadOnly is virConnectOpenReadOnly (virsh -r).
	ReadOnly bool
	// Default is LIBVIRT_DEFAULT_URI. It goes before uri_default of libvirt.conf.
	Default string
	// NoAliases is VIR_CONNECT_NO_ALIASES.
	NoAliases bool
	// Settings are those of libvirt.conf; nil: there is none.
	Settings Settings
	// DirectDefault reports that this libvirt was built for modular daemons: then mode=auto falls back to the driver's
	// own socket where neither socket is there.
	DirectDefault bool
}

// ConfigDir is the caller's own configuration directory, root's too (virGetUserConfigDirectory).
func (o Options) ConfigDir() string {
	if o.ConfigHome != "" {
		return o.ConfigHome + "/libvirt"
	}
	return o.Home + "/.config/libvirt"
}

func (o Options) runtimeDir() string {
	if o.RuntimeDir != "" {
		return o.RuntimeDir + "/libvirt"
	}
	return o.Home + "/.cache/libvirt"
}

// ConfFile is the libvirt.conf that applies: root reads only that of the system, others only their own
// (virConfLoadConfig).
func (o Options) ConfFile() string {
	if o.Root {
		return "/etc/libvirt/libvirt.conf"
	}
	return o.ConfigDir() + "/libvirt.conf"
}
