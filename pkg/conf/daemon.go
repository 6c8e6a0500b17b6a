package conf

import (
	"fmt"
	"strconv"
	"strings"
)

// An Auth is how a connection authenticates.
type Auth string

// The ways of authentication.
const (
	AuthNone   Auth = "none"
	AuthSASL   Auth = "sasl"
	AuthPolkit Auth = "polkit"
)

// A Run says how a daemon is run, as far as that decides what it makes of its configuration. The zero value is libvirtd
// 9.0 of a distribution, built with polkit and SASL, run by root without --listen.
type Run struct {
	Libvirt Release
	// Session is a daemon that is not run by root.
	Session bool
	// Listen is libvirtd's argument --listen. virtproxyd needs none.
	Listen bool
	// SocketActivated says that systemd passes the sockets: settings of listening and of socket files are ignored.
	// TLSSocket and TCPSocket say that a -tls.socket and a -tcp.socket are among them.
	SocketActivated, TLSSocket, TCPSocket bool
	// NoPolkit and NoSASL are builds without them.
	NoPolkit, NoSASL bool
	// GroupExists looks a group up; nil: every group exists.
	GroupExists func(name string) bool
}

// A Daemon is what libvirtd, virtproxyd or a modular daemon makes of its configuration, defaults included.
// A nil pointer or list means that the setting is not there; an empty list is one.
type Daemon struct {
	Kind Kind
	Run  Run
	File *File

	ListenTLS, ListenTCP bool
	TLSPort, TCPPort     string
	ListenAddr           *string

	UnixSockGroup                                        *string
	UnixSockROPerms, UnixSockRWPerms, UnixSockAdminPerms string
	UnixSockDir                                          *string
	AuthUnixRO, AuthUnixRW, AuthTCP, AuthTLS             Auth
	TCPMinSSF                                            uint32
	AccessDrivers                                        []string
	KeyFile, CertFile, CAFile, CRLFile                   *string
	KeyFiles, CertFiles                                  []string
	TLSNoSanityCertificate, TLSNoVerifyCertificate       bool
	TLSAllowedDNList                                     []string
	TLSPriority                                          *string
	SASLAllowedUsernameList                              []string
	MinWorkers, MaxWorkers, PrioWorkers                  uint32
	MaxClients, MaxQueuedClients, MaxAnonymousClients    uint32
	MaxClientRequests                                    uint32
	AdminMinWorkers, AdminMaxWorkers                     uint32
	AdminMaxClients, AdminMaxQueuedClients               uint32
	AdminMaxClientRequests                               uint32
	KeepaliveInterval, AdminKeepaliveInterval            int32
	KeepaliveCount, AdminKeepaliveCount                  uint32
	LogLevel                                             uint32
	LogFilters, LogOutputs                               *string
	AuditLevel                                           uint32
	AuditLogging                                         bool
	HostUUID                                             *string
	HostUUIDSource                                       string
	OVSTimeout                                           uint32
}

// defaultDaemon follows daemonConfigNew.
func defaultDaemon(f *File, k Kind, run Run) *Daemon {
	d := &Daemon{Kind: k, Run: run, File: f,
		ListenTLS: k == Libvirtd, TLSPort: "16514", TCPPort: "16509",
		UnixSockROPerms: "0777", UnixSockRWPerms: "0700", UnixSockAdminPerms: "0700",
		AuthUnixRO: AuthNone, AuthUnixRW: AuthNone, AuthTCP: AuthSASL, AuthTLS: AuthNone, TCPMinSSF: 56,
		MinWorkers: 5, MaxWorkers: 20, PrioWorkers: 5,
		MaxClients: 5000, MaxQueuedClients: 1000, MaxAnonymousClients: 20, MaxClientRequests: 5,
		AdminMinWorkers: 5, AdminMaxWorkers: 20, AdminMaxClients: 5000, AdminMaxQueuedClients: 20, AdminMaxClientRequests: 5,
		KeepaliveInterval: 5, KeepaliveCount: 5, AdminKeepaliveInterval: 5, AdminKeepaliveCount: 5,
		AuditLevel: 1, HostUUIDSource: "smbios", OVSTimeout: 5,
	}
	if !run.NoPolkit && !run.Session {
		// The mode belongs to this default and stays when auth_unix_rw is set to something else.
		d.AuthUnixRO, d.AuthUnixRW, d.UnixSockRWPerms = AuthPolkit, AuthPolkit, "0777"
	}
	if run.NoSASL {
		d.AuthTCP = AuthNone
	}
	return d
}

// target is where the value of a setting goes.
func (d *Daemon) target(key string) any {
	switch key {
	case "listen_tcp":
		return &d.ListenTCP
	case "listen_tls":
		return &d.ListenTLS
	case "tls_port":
		return &d.TLSPort
	case "tcp_port":
		return &d.TCPPort
	case "listen_addr":
		return &d.ListenAddr
	case "auth_unix_rw":
		return &d.AuthUnixRW
	case "auth_unix_ro":
		return &d.AuthUnixRO
	case "auth_tcp":
		return &d.AuthTCP
	case "auth_tls":
		return &d.AuthTLS
	case "access_drivers":
		return &d.AccessDrivers
	case "unix_sock_group":
		return &d.UnixSockGroup
	case "unix_sock_admin_perms":
		return &d.UnixSockAdminPerms
	case "unix_sock_ro_perms":
		return &d.UnixSockROPerms
	case "unix_sock_rw_perms":
		return &d.UnixSockRWPerms
	case "unix_sock_dir":
		return &d.UnixSockDir
	case "tls_no_sanity_certificate":
		return &d.TLSNoSanityCertificate
	case "tls_no_verify_certificate":
		return &d.TLSNoVerifyCertificate
	case "key_file":
		return &d.KeyFile
	case "cert_file":
		return &d.CertFile
	case "key_files":
		return &d.KeyFiles
	case "cert_files":
		return &d.CertFiles
	case "ca_file":
		return &d.CAFile
	case "crl_file":
		return &d.CRLFile
	case "tls_allowed_dn_list":
		return &d.TLSAllowedDNList
	case "tls_priority":
		return &d.TLSPriority
	case "tcp_min_ssf":
		return &d.TCPMinSSF
	case "sasl_allowed_username_list":
		return &d.SASLAllowedUsernameList
	case "min_workers":
		return &d.MinWorkers
	case "max_workers":
		return &d.MaxWorkers
	case "max_clients":
		return &d.MaxClients
	case "max_queued_clients":
		return &d.MaxQueuedClients
	case "max_anonymous_clients":
		return &d.MaxAnonymousClients
	case "prio_workers":
		return &d.PrioWorkers
	case "max_client_requests":
		return &d.MaxClientRequests
	case "admin_min_workers":
		return &d.AdminMinWorkers
	case "admin_max_workers":
		return &d.AdminMaxWorkers
	case "admin_max_clients":
		return &d.AdminMaxClients
	case "admin_max_queued_clients":
		return &d.AdminMaxQueuedClients
	case "admin_max_client_requests":
		return &d.AdminMaxClientRequests
	case "audit_level":
		return &d.AuditLevel
	case "audit_logging":
		return &d.AuditLogging
	case "host_uuid":
		return &d.HostUUID
	case "host_uuid_source":
		return &d.HostUUIDSource
	case "log_level":
		return &d.LogLevel
	case "log_filters":
		return &d.LogFilters
	case "log_outputs":
		return &d.LogOutputs
	case "keepalive_interval":
		return &d.KeepaliveInterval
	case "keepalive_count":
		return &d.KeepaliveCount
	case "admin_keepalive_interval":
		return &d.AdminKeepaliveInterval
	case "admin_keepalive_count":
		return &d.AdminKeepaliveCount
	case "ovs_timeout":
		return &d.OVSTimeout
	}
	return nil
}

// set reads one setting into its target.
func set[T any](f *File, key string, to *T, read func(string) (T, bool, error)) error {
	v, ok, err := read(key)
	if ok && err == nil {
		*to = v
	}
	return err
}

func (d *Daemon) read(key string) error {
	f := d.File
	switch to := d.target(key).(type) {
	case *bool:
		return set(f, key, to, f.Bool)
	case *uint32:
		return set(f, key, to, f.Uint)
	case *int32:
		return set(f, key, to, f.Int)
	case *string:
		return set(f, key, to, f.String)
	case *[]string:
		return set(f, key, to, f.Strings)
	case **string:
		return set(f, key, to, func(k string) (*string, bool, error) {
			v, ok, err := f.String(k)
			return &v, ok, err
		})
	case *Auth:
		return set(f, key, to, func(k string) (Auth, bool, error) {
			v, ok, err := f.String(k)
			return Auth(v), ok, err
		})
	}
	return nil
}

// ReadDaemon gives what a daemon makes of the file: its configuration, and the refusal on which it would end, a
// *[FatalError], or nil. The configuration is valid as far as it was read. Of several faults the refusal is the one that
// the daemon meets first: while it loads the file, then host UUID, logging, access drivers, client limits, socket group
// and modes, and the paths of TLS files if it listens for TLS here.
//
// What the files hold that the settings name, whether ports and addresses are free: not looked at.
func ReadDaemon(f *File, k Kind, run Run) (*Daemon, error) {
	d := defaultDaemon(f, k, run)
	steps := []func() error{d.load, d.checkHostUUID, d.checkLogging, d.checkAccess, d.checkLimits, d.checkSockets, d.checkTLSFiles}
	for _, step := range steps {
		if err := step(); err != nil {
			return d, err
		}
	}
	return d, nil
}

// load follows daemonConfigLoadOptions.
func (d *Daemon) load() error {
	for _, s := range Settings(d.Kind, d.Run.Libvirt) {
		if err := d.read(s.Key); err != nil {
			return err
		}
		if err := d.checkLoaded(s.Key); err != nil {
			return err
		}
	}
	return nil
}

// checkLoaded is what daemonConfigLoadOptions looks at beside types, just behind the setting.
func (d *Daemon) checkLoaded(key string) error {
	f := d.File
	switch key {
	case "auth_unix_rw", "auth_unix_ro", "auth_tcp", "auth_tls":
		switch a := *d.target(key).(*Auth); a {
		case AuthNone, AuthSASL, AuthPolkit:
		default:
			return f.bad(key, fmt.Sprintf("unsupported configuration: %s: %s: unsupported auth %s", f.name, key, a))
		}
	case "tcp_min_ssf":
		if _, ok := f.Lookup(key); ok && d.TCPMinSSF < 112 {
			return f.bad(key, "unsupported configuration: minimum SSF levels lower than 112 are not supported")
		}
	case "max_workers":
		if d.MaxWorkers == 0 {
			return f.bad(key, "internal error: 'max_workers' must be greater than 0")
		}
	case "cert_files":
		return d.checkIdentities()
	}
	return nil
}

// checkIdentities looks at the pairs of 11.10 and later.
func (d *Daemon) checkIdentities() error {
	for _, key := range []string{"cert_files", "key_files"} {
		if _, ok := d.File.Lookup(key); !ok {
			continue
		}
		if _, ok := d.File.Lookup(strings.TrimSuffix(key, "s")); ok {
			return d.File.bad(key,
				"unsupported configuration: cert_file/key_file are mutually exclusive with cert_files/key_files")
		}
	}
	certs, keys := len(d.certificates()), len(d.keys())
	if certs != keys {
		key := "cert_file"
		for _, k := range []string{"key_files", "key_file", "cert_files", "cert_file"} {
			if _, ok := d.File.Lookup(k); ok {
				key = k
			}
		}
		return d.File.bad(key, fmt.Sprintf("unsupported configuration: Number of certificates (%d) must match number of keys (%d)",
			certs, keys))
	}
	return nil
}

// certificates gives the configured certificate files, one or several.
func (d *Daemon) certificates() []string { return files(d.CertFile, d.CertFiles) }
func (d *Daemon) keys() []string         { return files(d.KeyFile, d.KeyFiles) }

func files(one *string, several []string) []string {
	if one != nil {
		return []string{*one}
	}
	return several
}

// checkHostUUID follows virSetHostUUIDStr and daemonSetupHostUUID: a UUID goes before its source.
func (d *Daemon) checkHostUUID() error {
	if d.HostUUID != nil {
		if !validHostUUID(*d.HostUUID) {
			return d.File.refused("host_uuid", ExitConfig, "invalid host UUID: "+*d.HostUUID, "Can't setup host uuid")
		}
		return nil
	}
	if s := d.HostUUIDSource; s != "smbios" && s != "machine-id" {
		return d.File.refused("host_uuid_source", ExitConfig, "invalid UUID source: "+s, "Can't setup host uuid")
	}
	return nil
}

// cSpace are the characters of C's isspace.
const cSpace = " \t\n\v\f\r"

// validHostUUID follows virUUIDParse (hyphens and blanks between any two bytes) and virUUIDIsValid (not one byte
// repeated).
func validHostUUID(s string) bool {
	s = strings.TrimLeft(s, cSpace)
	var bytes []string
	for len(bytes) < 16 {
		switch {
		case s == "":
			return false
		case s[0] == '-' || s[0] == ' ':
			s = s[1:]
		case len(s) >= 2 && isHex(s[0]) && isHex(s[1]):
			bytes = append(bytes, strings.ToLower(s[:2]))
			s = s[2:]
		default:
			return false
		}
	}
	if strings.TrimLeft(s, cSpace) != "" {
		return false
	}
	for _, b := range bytes {
		if b != bytes[0] {
			return true
		}
	}
	return false
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// checkAccess follows virAccessManagerNewStack.
func (d *Daemon) checkAccess() error {
	for _, a := range d.AccessDrivers {
		if a != "none" && (a != "polkit" || d.Run.NoPolkit) {
			return d.File.refused("access_drivers", ExitConfig,
				fmt.Sprintf("internal error: Cannot find security driver '%s'", a), "Can't initialize access manager")
		}
	}
	return nil
}

// checkLimits follows virNetServerNew.
func (d *Daemon) checkLimits() error {
	if d.MaxClients >= d.MaxAnonymousClients {
		return nil
	}
	key := "max_clients"
	if _, ok := d.File.Lookup(key); !ok {
		key = "max_anonymous_clients"
	}
	return d.File.refused(key, ExitLimits, "internal error: The overall maximum number of clients must not be less than the number "+
		"of clients waiting for authentication")
}

// checkSockets follows the beginning of daemonSetupNetworking: group, then modes. Under socket activation too: the
// values are read and then not used.
func (d *Daemon) checkSockets() error {
	if d.UnixSockGroup != nil && !d.groupExists(*d.UnixSockGroup) {
		return d.File.refused("unix_sock_group", ExitNetwork,
			fmt.Sprintf("invalid argument: Failed to parse group '%s'", strings.TrimPrefix(*d.UnixSockGroup, "+")))
	}
	for _, m := range []struct{ key, mode string }{
		{"unix_sock_ro_perms", d.UnixSockROPerms},
		{"unix_sock_admin_perms", d.UnixSockAdminPerms},
		{"unix_sock_rw_perms", d.UnixSockRWPerms},
	} {
		if _, ok := parseMode(m.mode); !ok {
			return d.File.refused(m.key, ExitNetwork, fmt.Sprintf("Failed to parse mode '%s'", m.mode))
		}
	}
	return nil
}

// groupExists follows virGetGroupID: a name, or a number; behind a + only a number.
func (d *Daemon) groupExists(name string) bool {
	number, plus := strings.CutPrefix(name, "+")
	if !plus && name != "" && (d.Run.GroupExists == nil || d.Run.GroupExists(name)) {
		return true
	}
	number = strings.TrimLeft(number, cSpace)
	if n := strings.TrimLeft(number, "+-"); len(number)-len(n) <= 1 {
		number = n
	}
	_, err := strconv.ParseUint(number, 10, 32)
	return err == nil
}

// parseMode follows virStrToLong_i with base 8: what strtol takes, into an int.
func parseMode(s string) (int64, bool) {
	m, err := strconv.ParseInt(strings.TrimLeft(s, cSpace), 8, 32)
	return m, err == nil
}

// Mode gives a mode of sockets as a number, 0 for one that libvirt refuses.
func Mode(octal string) uint32 {
	m, ok := parseMode(octal)
	if !ok {
		return 0
	}
	return uint32(m) & 0o7777
}

// ListensTLS reports whether the daemon would accept TLS connections.
func (d *Daemon) ListensTLS() bool {
	switch {
	case d.Kind != Libvirtd && d.Kind != Virtproxyd:
		return false
	case d.Run.SocketActivated:
		return d.Run.TLSSocket
	}
	return d.ListenTLS && (d.Run.Listen || d.Kind == Virtproxyd)
}

// ListensTCP reports whether the daemon would accept TCP connections.
func (d *Daemon) ListensTCP() bool {
	if d.Run.SocketActivated && (d.Kind == Libvirtd || d.Kind == Virtproxyd) {
		return d.Run.TCPSocket
	}
	return (d.Kind == Libvirtd && d.Run.Listen || d.Kind == Virtproxyd) && d.ListenTCP
}

// TLSFiles are the credentials a configuration names.
type TLSFiles struct {
	// Default says that no file is configured: the default paths are used, and the default revocation list if it is
	// there. The other fields are empty then.
	Default bool
	CA      string
	Certs   []string
	Keys    []string
	// CRL is empty if none is configured; the default one is not used then.
	CRL string
	// HasCRL says that crl_file is set, be it to an empty string.
	HasCRL bool
}

// TLSFiles gives the credentials that the daemon would load, or the *[FatalError] where the settings do not go together
// (daemonSetupNetworking). crl_file alone counts for nothing.
func (d *Daemon) TLSFiles() (TLSFiles, error) {
	certs, keys := d.certificates(), d.keys()
	if d.CAFile == nil && certs == nil && keys == nil {
		return TLSFiles{Default: true}, nil
	}
	several := d.Run.Libvirt.AtLeast(multipleIdentity)
	plural := func(old, since string) string {
		if several {
			return since
		}
		return old
	}
	var key, text string
	switch {
	case d.CAFile == nil:
		key, text = "ca_file", plural("No CA certificate path set to match server key/cert",
			"No CA certificate path set to match server key(s)/cert(s)")
	case certs == nil:
		key, text = "cert_file", plural("No server certificate path set to match server key",
			"No server certificate path(s) set to match server key(s)")
	case keys == nil:
		key, text = "key_file", plural("No server key path set to match server cert",
			"No server key path(s) set to match server cert(s)")
	}
	if text != "" {
		return TLSFiles{}, d.File.refused(key, ExitNetwork, "unsupported configuration: "+text)
	}
	t := TLSFiles{CA: *d.CAFile, Certs: certs, Keys: keys}
	if d.CRLFile != nil {
		t.CRL, t.HasCRL = *d.CRLFile, true
	}
	return t, nil
}

func (d *Daemon) checkTLSFiles() error {
	if !d.ListensTLS() {
		return nil
	}
	_, err := d.TLSFiles()
	return err
}
