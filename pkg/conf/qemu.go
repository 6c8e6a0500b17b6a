package conf

import "fmt"

// A QEMUConf is what the qemu driver makes of qemu.conf, as far as TLS goes.
type QEMUConf struct {
	File *File
	// DefaultCertDir is default_tls_x509_cert_dir; DefaultVerify and DefaultSecretUUID are unset if nil.
	DefaultCertDir    string
	DefaultVerify     *bool
	DefaultSecretUUID *string
	DefaultPriority   *string
	// Services are vnc, spice, rdp, chardev, migrate, backup, nbd, in this order.
	Services []QEMUService
	// MigrateForce is migrate_tls_force.
	MigrateForce bool
}

// A QEMUService is the TLS configuration of one use of TLS by QEMU.
type QEMUService struct {
	Name string
	// Enabled is vnc_tls, spice_tls, chardev_tls, nbd_tls; for the others TLS is asked for with each job.
	Enabled bool
	// OwnDir is X_tls_x509_cert_dir; nil: unset. It must exist, or the driver does not start.
	OwnDir *string
	// Verify says whether the listening side demands a certificate.
	Verify bool
	// SecretUUID is the secret with the key's passphrase, inherited or own; empty: none.
	SecretUUID string
	Priority   *string
}

// StandardDir is the directory that is used when it exists and none is configured for the service.
func (s QEMUService) StandardDir() string { return "/etc/pki/libvirt-" + s.Name }

// Dir gives the directory that QEMU will use: the configured one, else the standard one if it exists, else the default
// (virQEMUDriverConfigSetDefaults).
func (c *QEMUConf) Dir(s QEMUService, exists func(dir string) bool) string {
	switch {
	case s.OwnDir != nil:
		return *s.OwnDir
	case exists(s.StandardDir()):
		return s.StandardDir()
	}
	return c.DefaultCertDir
}

// Service finds a service by its name.
func (c *QEMUConf) Service(name string) (QEMUService, bool) {
	for _, s := range c.Services {
		if s.Name == name {
			return s, true
		}
	}
	return QEMUService{}, false
}

// ReadQEMU reads qemu.conf. The error is the *[FatalError] with which the qemu driver, and with it the daemon, refuses to
// come up: the first in libvirt's order of reading. The daemon's exit status is 0 then. With exists, directories that are
// configured and do not exist are refused as well.
func ReadQEMU(f *File, r Release, exists func(dir string) bool) (*QEMUConf, error) {
	for _, s := range Settings(QEMU, r) {
		if err := f.checkType(s); err != nil {
			return nil, f.driverFails(s.Key, err.(*FatalError).Message)
		}
		if message := f.checkQEMU(s.Key); message != "" {
			return nil, f.driverFails(s.Key, message)
		}
	}
	c := &QEMUConf{File: f, DefaultCertDir: "/etc/pki/qemu"}
	text := func(key string) *string {
		if !LookupRead(QEMU, r, key) {
			return nil
		}
		if v, ok, _ := f.String(key); ok {
			return &v
		}
		return nil
	}
	truth := func(key string) *bool {
		if v, ok, _ := f.Bool(key); ok {
			return &v
		}
		return nil
	}
	defaultDir := text("default_tls_x509_cert_dir")
	if defaultDir != nil {
		c.DefaultCertDir = *defaultDir
	}
	c.DefaultVerify, c.DefaultSecretUUID = truth("default_tls_x509_verify"), text("default_tls_x509_secret_uuid")
	c.DefaultPriority = text("default_tls_priority")
	if v := truth("migrate_tls_force"); v != nil {
		c.MigrateForce = *v
	}
	for _, name := range []string{"vnc", "spice", "rdp", "chardev", "migrate", "backup", "nbd"} {
		if name == "rdp" && !r.AtLeast(rdpKnown) {
			continue
		}
		s := QEMUService{Name: name, Verify: name != "vnc"}
		if v := truth(name + "_tls"); v != nil {
			s.Enabled = *v
		}
		s.OwnDir, s.Priority = text(name+"_tls_x509_cert_dir"), text(name+"_tls_priority")
		if s.Priority == nil {
			s.Priority = c.DefaultPriority
		}
		if v := truth(name + "_tls_x509_verify"); v != nil {
			s.Verify = *v
		} else if c.DefaultVerify != nil {
			s.Verify = *c.DefaultVerify
		}
		if v := text(name + "_tls_x509_secret_uuid"); v != nil {
			s.SecretUUID = *v
		} else if s.OwnDir == nil && c.DefaultSecretUUID != nil {
			s.SecretUUID = *c.DefaultSecretUUID
		}
		c.Services = append(c.Services, s)
	}
	if exists == nil {
		return c, nil
	}
	// In the order of virQEMUDriverConfigValidate.
	for _, name := range []string{"default", "vnc", "spice", "rdp", "chardev", "migrate", "backup", "vxhs", "nbd"} {
		key := name + "_tls_x509_cert_dir"
		if dir := text(key); dir != nil && !exists(*dir) {
			return c, f.driverFails(key, fmt.Sprintf("configuration file syntax error: %s directory '%s' does not exist", key, *dir))
		}
	}
	return c, nil
}

// driverFails is a refusal of the qemu driver. The daemon that has loaded it ends with status 0.
func (f *File) driverFails(key, message string) *FatalError {
	return f.refused(key, 0, message, "Initialization of QEMU state driver failed: "+message, "Driver state initialization failed")
}

// checkQEMU gives libvirt's message for a value of the right type that is refused (virQEMUDriverConfigLoad*Entry), as far
// as the file alone decides: users, groups, plug-ins and mount points are not looked at.
func (f *File) checkQEMU(key string) string {
	e, ok := f.Lookup(key)
	if !ok {
		return ""
	}
	number := func(key string, otherwise int64) int64 {
		if e, ok := f.Lookup(key); ok {
			return e.Value.Int
		}
		return otherwise
	}
	switch key {
	case "remote_websocket_port_min", "remote_display_port_min":
		if least := map[bool]int64{true: 5900, false: 5700}[key == "remote_display_port_min"]; e.Value.Int < least {
			return fmt.Sprintf("internal error: %s: %s: port must be greater than or equal to %d", f.name, key, least)
		}
	case "remote_websocket_port_max", "remote_display_port_max":
		least := number("remote_websocket_port_min", 5700)
		if key == "remote_display_port_max" {
			least = number("remote_display_port_min", 5900)
		}
		if e.Value.Int > 65535 || e.Value.Int < least {
			return fmt.Sprintf("internal error: %s: %s: port must be between the minimal port and 65535", f.name, key)
		}
	case "migration_port_min":
		if e.Value.Int <= 0 {
			return fmt.Sprintf("internal error: %s: %s: port must be greater than 0", f.name, key)
		}
	case "migration_port_max":
		if least := number("migration_port_min", 49152); e.Value.Int > 65535 || e.Value.Int < least {
			return fmt.Sprintf("internal error: %s: %s: port must be between the minimal port %d and 65535", f.name, key, least)
		}
	case "max_core":
		if e.Value.Type == String && e.Value.Text != "unlimited" {
			return fmt.Sprintf("unsupported configuration: Unknown core size '%s'", e.Value.Text)
		}
	case "stdio_handler":
		if !oneOf(e.Value.Text, "logd", "file") {
			return "unsupported configuration: Unknown stdio handler " + e.Value.Text
		}
	case "sched_core":
		if !oneOf(e.Value.Text, "none", "vcpus", "emulator", "full") {
			return "unsupported configuration: Unknown sched_core value " + e.Value.Text
		}
	case "allow_disk_format_probing":
		if e.Value.Int == 1 {
			return "unsupported configuration: allow_disk_format_probing is no longer supported"
		}
	case "cgroup_controllers":
		for c := range e.Value.Items() {
			if !oneOf(c.Text, "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "net_cls", "perf_event", "name=systemd") {
				return fmt.Sprintf("configuration file syntax error: Unknown cgroup controller '%s'", c.Text)
			}
		}
	case "namespaces":
		for n := range e.Value.Items() {
			if n.Text != "mount" {
				return "configuration file syntax error: Unknown namespace: " + n.Text
			}
		}
	}
	return ""
}
