package conf

// daemonSettings are those of libvirtd.conf and virtproxyd.conf in the order in which daemonConfigLoadOptions reads
// them: the first one at fault is the one in the message. The order was measured with libvirtd 9.0.0 and 11.3.0; where
// cert_files and key_files stand rests on recorded messages of 12.8.0 (key_files before cert_files, both after their
// elder sisters).
var daemonSettings = []Setting{
	{Key: "listen_tcp", Type: TypeBool, Default: "0", remote: true, About: "accept unencrypted TCP connections"},
	{Key: "listen_tls", Type: TypeBool, Default: "1", remote: true, About: "accept TLS connections; libvirtd needs --listen as well"},
	{Key: "tls_port", Type: TypeString, Default: `"16514"`, remote: true, Range: "port number or service name", About: "port for TLS"},
	{Key: "tcp_port", Type: TypeString, Default: `"16509"`, remote: true, Range: "port number or service name", About: "port for TCP"},
	{Key: "listen_addr", Type: TypeString, remote: true, Range: "an address or a name of this host", About: "address to listen on; without it all"},
	{Key: "auth_unix_rw", Type: TypeString, Default: `"polkit"`, Range: "none, sasl, polkit", About: "authentication on the read-write socket"},
	{Key: "auth_unix_ro", Type: TypeString, Default: `"polkit"`, Range: "none, sasl, polkit", About: "authentication on the read-only socket"},
	{Key: "auth_tcp", Type: TypeString, Default: `"sasl"`, remote: true, Range: "none, sasl, polkit", About: "authentication on TCP"},
	{Key: "auth_tls", Type: TypeString, Default: `"none"`, remote: true, Range: "none, sasl, polkit", About: "authentication on TLS besides the certificate"},
	{Key: "access_drivers", Type: TypeStrings, Range: "none, polkit", About: "access control per call"},
	{Key: "unix_sock_group", Type: TypeString, Range: "a group of this host", About: "group of the sockets; without it the daemon's"},
	{Key: "unix_sock_admin_perms", Type: TypeString, Default: `"0700"`, Range: "an octal mode", About: "mode of the admin socket"},
	{Key: "unix_sock_ro_perms", Type: TypeString, Default: `"0777"`, Range: "an octal mode", About: "mode of the read-only socket"},
	{Key: "unix_sock_rw_perms", Type: TypeString, Default: `"0777"`, Range: "an octal mode", About: "mode of the read-write socket"},
	{Key: "unix_sock_dir", Type: TypeString, Default: `"/run/libvirt"`, Range: "a directory", About: "where the sockets are"},
	{Key: "tls_no_sanity_certificate", Type: TypeBool, Default: "0", remote: true, About: "skip the check of the daemon's own certificates"},
	{Key: "tls_no_verify_certificate", Type: TypeBool, Default: "0", remote: true, About: "let everybody in, tls_allowed_dn_list or not"},
	{Key: "key_file", Type: TypeString, remote: true, About: "the server's key"},
	{Key: "cert_file", Type: TypeString, remote: true, About: "the server's certificate"},
	{Key: "key_files", Type: TypeStrings, remote: true, Since: multipleIdentity, About: "keys of several identities"},
	{Key: "cert_files", Type: TypeStrings, remote: true, Since: multipleIdentity, About: "certificates of several identities"},
	{Key: "ca_file", Type: TypeString, remote: true, About: "the trusted CA certificates"},
	{Key: "crl_file", Type: TypeString, remote: true, About: "the revocation list; used only together with ca_file, cert_file and key_file"},
	{Key: "tls_allowed_dn_list", Type: TypeStrings, remote: true, About: "names of the clients that may connect; without it all of the CA"},
	{Key: "tls_priority", Type: TypeString, remote: true, Range: "a GnuTLS priority string", About: "protocol versions and algorithms"},
	{Key: "tcp_min_ssf", Type: TypeUint, Default: "56", remote: true, Range: "112 and more", About: "least strength of SASL encryption on TCP"},
	{Key: "sasl_allowed_username_list", Type: TypeStrings, About: "SASL users that may connect; without it all"},
	{Key: "min_workers", Type: TypeUint, Default: "5", About: "worker threads at start"},
	{Key: "max_workers", Type: TypeUint, Default: "20", Range: "1 and more", About: "worker threads at most"},
	{Key: "max_clients", Type: TypeUint, Default: "5000", Range: "max_anonymous_clients and more", About: "connections at most"},
	{Key: "max_queued_clients", Type: TypeUint, Default: "1000", About: "connections waiting to be accepted"},
	{Key: "max_anonymous_clients", Type: TypeUint, Default: "20", Range: "max_clients and less; 0: no limit", About: "connections not yet authenticated"},
	{Key: "prio_workers", Type: TypeUint, Default: "5", About: "worker threads for calls that cannot block"},
	{Key: "max_client_requests", Type: TypeUint, Default: "5", About: "calls of one client at a time"},
	{Key: "admin_min_workers", Type: TypeUint, Default: "5", About: "as min_workers, admin socket"},
	{Key: "admin_max_workers", Type: TypeUint, Default: "20", About: "as max_workers, admin socket"},
	{Key: "admin_max_clients", Type: TypeUint, Default: "5000", About: "as max_clients, admin socket"},
	{Key: "admin_max_queued_clients", Type: TypeUint, Default: "20", About: "as max_queued_clients, admin socket"},
	{Key: "admin_max_client_requests", Type: TypeUint, Default: "5", About: "as max_client_requests, admin socket"},
	{Key: "audit_level", Type: TypeUint, Default: "1", Range: "0 off, 1 if available, 2 or fail", About: "auditing"},
	{Key: "audit_logging", Type: TypeBool, Default: "0", About: "copy audit messages into the log"},
	{Key: "host_uuid", Type: TypeString, Range: "a UUID that is not one digit repeated", About: "this host's UUID"},
	{Key: "host_uuid_source", Type: TypeString, Default: `"smbios"`, Range: "smbios, machine-id", About: "where the host's UUID comes from"},
	{Key: "log_level", Type: TypeUint, Default: "0", Range: "0 to 4", About: "least priority that is logged"},
	{Key: "log_filters", Type: TypeString, Range: "LEVEL:MATCH ...", About: "log levels by source"},
	{Key: "log_outputs", Type: TypeString, Range: "LEVEL:stderr, LEVEL:journald, LEVEL:syslog:NAME, LEVEL:file:PATH", About: "where the log goes"},
	{Key: "keepalive_interval", Type: TypeInt, Default: "5", Range: "seconds; -1: never", About: "when a silent client is asked"},
	{Key: "keepalive_count", Type: TypeUint, Default: "5", About: "questions without an answer before it is dropped"},
	{Key: "admin_keepalive_interval", Type: TypeInt, Default: "5", About: "as keepalive_interval, admin socket"},
	{Key: "admin_keepalive_count", Type: TypeUint, Default: "5", About: "as keepalive_count, admin socket"},
	{Key: "ovs_timeout", Type: TypeUint, Default: "5", Range: "seconds", About: "time for ovs-vsctl"},

	{Key: "keepalive_required", Type: TypeAny, Unread: "libvirt no longer reads it"},
	{Key: "admin_keepalive_required", Type: TypeAny, Unread: "libvirt no longer reads it"},
	{Key: "mdns_adv", Type: TypeAny, remote: true, Unread: "mDNS was removed in libvirt 5.5.0"},
	{Key: "mdns_name", Type: TypeAny, remote: true, Unread: "mDNS was removed in libvirt 5.5.0"},
	{Key: "tls_no_verify_address", Type: TypeAny, remote: true, Unread: "libvirt does not look at the client's address; tls_allowed_dn_list says who may connect"},
	{Key: "tls_allowed_ip_list", Type: TypeAny, remote: true, Unread: "libvirt does not look at the client's address; tls_allowed_dn_list says who may connect"},
	{Key: "log_buffer_size", Type: TypeAny, Unread: "libvirt no longer reads it"},
}

// clientSettings are those of libvirt.conf. They are read when a connection needs them, in this order: uri_default
// without a URI, uri_aliases for every URI, the others by the remote driver.
var clientSettings = []Setting{
	{Key: "uri_default", Type: TypeString, About: "the URI used when none is given"},
	{Key: "uri_aliases", Type: TypeStrings, Range: "NAME=URI", About: "short names for URIs"},
	{Key: "remote_mode", Type: TypeString, Default: `"auto"`, Range: "auto, legacy, direct", About: "as mode= in a URI"},
	{Key: "remote_proxy", Type: TypeString, Default: `"auto"`, Range: "auto, netcat, native", About: "as proxy= in a URI"},
	{Key: "tls_priority", Type: TypeString, Range: "a GnuTLS priority string", About: "protocol versions and algorithms"},
}

var adminSettings = []Setting{
	{Key: "uri_default", Type: TypeString, About: "the URI used when none is given"},
	{Key: "uri_aliases", Type: TypeStrings, Range: "NAME=URI", About: "short names for URIs"},
}
