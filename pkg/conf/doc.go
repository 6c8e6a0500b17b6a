// Package conf reads, judges and edits libvirt's configuration files: libvirtd.conf, virtproxyd.conf, libvirt.conf,
// libvirt-admin.conf, qemu.conf and, as far as TLS goes, the files of the per-driver daemons.
//
// Begin with [Parse], which gives a [File] or the [ParseError] that libvirt itself would print, with libvirt's line
// number. A File keeps every byte: [File.Marshal] is what was read, [File.Set] and [File.Unset] change one setting and
// leave the rest as it stands. On top of it are the typed views [ReadDaemon], [ReadQEMU] and [ReadClient]; where libvirt
// would refuse a value they give its message word for word as a [FatalError], and of several the one that libvirt meets
// first; [Judge] does both. [File.Effective] lists what the program would really use, and from where. [Lint] gives findings: what is
// ignored, misspelt, dangerous or about to bite; [Rules] describes them.
//
// Not done here: looking at the files that the settings name (layout, verify), opening ports, reading systemd units.
// The package opens no file; the caller hands the bytes in and writes what comes out.
//
// Followed are virconf.c (grammar, types), remote_daemon_config.c and remote_daemon.c (libvirtd and virtproxyd),
// qemu_conf.c and the client's virConnectOpenInternal and doRemoteOpen. The grammar, the order in which settings are
// read and every message were measured with libvirtd and virsh 9.0.0 (Debian 12) and libvirtd 11.3.0 (Debian 13);
// what is said of 11.10 and later rests on recordings of libvirtd 12.8.0.
package conf
