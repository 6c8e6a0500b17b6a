package conf

import (
	"fmt"
	"strconv"
	"strings"
)

// An Origin says where a value comes from.
type Origin struct {
	// File and Line are empty when it is libvirt's default.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// String gives "default" or file:line.
func (o Origin) String() string {
	if o.File == "" {
		return "default"
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// An EffectiveSetting is a setting with the value that the program would use.
type EffectiveSetting struct {
	Key string `json:"key"`
	// Value is the value in libvirt's syntax, empty where there is none.
	Value  string `json:"value"`
	Origin Origin `json:"origin"`
	// Instead says what is used where a setting has no value and libvirt none that could be written for it.
	Instead string `json:"instead,omitempty"`
	// Unused says why the value counts for nothing in this run; empty: it counts.
	Unused string `json:"unused,omitempty"`
}

// Effective lists what a program would really use, in libvirt's order of reading: the first of duplicates, else the
// default. For the daemons' files the run decides some defaults and what is ignored.
func (f *File) Effective(k Kind, run Run) []EffectiveSetting {
	var d *Daemon
	if k.Daemon() {
		d, _ = ReadDaemon(f, k, run)
	}
	var out []EffectiveSetting
	for _, s := range Settings(k, run.Libvirt) {
		if s.Unread != "" {
			continue
		}
		e := EffectiveSetting{Key: s.Key, Value: s.Default}
		if d != nil && s.Default != "" {
			e.Value = daemonDefault(f, k, run, s)
		}
		if at, ok := f.Lookup(s.Key); ok {
			e.Value = strings.TrimSpace(f.text[at.Value.Start:at.Value.End])
			e.Origin = Origin{f.name, at.Line}
		} else if d != nil && e.Value == "" {
			e.Instead = d.instead(s.Key)
		}
		if d != nil {
			e.Unused = d.unused(s.Key)
		}
		out = append(out, e)
	}
	return out
}

// daemonDefault writes the default of this run.
func daemonDefault(f *File, k Kind, run Run, s Setting) string {
	switch v := defaultDaemon(f, k, run).target(s.Key).(type) {
	case *Auth:
		return strconv.Quote(string(*v))
	case *string:
		return strconv.Quote(*v)
	case *bool:
		if *v {
			return "1"
		}
		return "0"
	}
	return s.Default
}

// instead says what a daemon with remote access uses where a setting is missing (virNetTLSContextLocateCredentials,
// daemonSetupNetworking, virNetTLSContextCheckCertDN).
func (d *Daemon) instead(key string) string {
	if d.Kind != Libvirtd && d.Kind != Virtproxyd {
		return ""
	}
	files, err := d.TLSFiles()
	place := func(system, user string) string {
		switch {
		case err != nil || !files.Default:
			return ""
		case d.Run.Session:
			return "~/.pki/libvirt/" + user + ", else " + system
		}
		return system
	}
	switch key {
	case "ca_file":
		return place("/etc/pki/CA/cacert.pem", "cacert.pem")
	case "cert_file":
		return place("/etc/pki/libvirt/servercert.pem", "servercert.pem")
	case "key_file":
		return place("/etc/pki/libvirt/private/serverkey.pem", "serverkey.pem")
	case "crl_file":
		if err == nil && !files.Default {
			return "no list, whatever lies in the default place"
		}
		if at := place("/etc/pki/CA/cacrl.pem", "cacrl.pem"); at != "" {
			return at + ", if it is there"
		}
	case "tls_allowed_dn_list":
		if !d.TLSNoVerifyCertificate {
			return "every certificate of the CA"
		}
		return "everybody, by tls_no_verify_certificate"
	case "tls_priority":
		return "what libvirt was built with: NORMAL, on Fedora and RHEL @LIBVIRT,SYSTEM"
	case "listen_addr":
		return "all addresses"
	}
	return ""
}

// unused says why a setting counts for nothing in this run of the daemon.
func (d *Daemon) unused(key string) string {
	switch key {
	case "listen_tls", "listen_tcp", "tls_port", "tcp_port", "listen_addr", "unix_sock_group", "unix_sock_ro_perms",
		"unix_sock_rw_perms", "unix_sock_admin_perms", "unix_sock_dir":
		if d.Run.SocketActivated {
			return "systemd passes the sockets; the .socket units decide"
		}
	}
	switch key {
	case "listen_tls", "listen_tcp":
		if d.Kind == Libvirtd && !d.Run.Listen {
			return "libvirtd runs without --listen"
		}
	case "crl_file":
		if t, err := d.TLSFiles(); err == nil && t.Default && d.CRLFile != nil {
			return "used only together with ca_file, cert_file and key_file"
		}
	case "tls_allowed_dn_list":
		if d.TLSNoVerifyCertificate && d.TLSAllowedDNList != nil {
			return "tls_no_verify_certificate = 1 lets everybody in"
		}
	}
	return ""
}
