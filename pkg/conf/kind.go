package conf

import (
	"path"
	"strings"
)

// A Kind says which program reads a file.
type Kind int

// The kinds.
const (
	Libvirtd   Kind = iota + 1 // libvirtd.conf, the monolithic daemon
	Virtproxyd                 // virtproxyd.conf, remote access of the modular daemons
	Driver                     // virtqemud.conf, virtnetworkd.conf, ...: a modular daemon without remote access
	Client                     // libvirt.conf
	Admin                      // libvirt-admin.conf
	QEMU                       // qemu.conf
	Other                      // the grammar only: virtlogd.conf, lxc.conf, ...
)

var kindNames = [...]string{Libvirtd: "libvirtd", Virtproxyd: "virtproxyd", Driver: "driver daemon", Client: "libvirt client",
	Admin: "virt-admin", QEMU: "qemu driver", Other: "other"}

// String names the program.
func (k Kind) String() string {
	if k < Libvirtd || k > Other {
		return "unknown"
	}
	return kindNames[k]
}

// Daemon reports whether the kind is a file of a daemon that remote_daemon.c is the source of.
func (k Kind) Daemon() bool { return k == Libvirtd || k == Virtproxyd || k == Driver }

// driverDaemons are the modular daemons besides virtproxyd.
var driverDaemons = []string{"virtqemud", "virtnetworkd", "virtstoraged", "virtsecretd", "virtnodedevd", "virtinterfaced",
	"virtnwfilterd", "virtxend", "virtlxcd", "virtvboxd", "virtchd", "virtvzd", "virtbhyved", "virthypervd"}

// KindOf tells the kind from a file's name; names that are not libvirt's own are Other.
func KindOf(name string) Kind {
	base, isConf := strings.CutSuffix(path.Base(name), ".conf")
	if !isConf {
		return Other
	}
	switch base {
	case "libvirtd":
		return Libvirtd
	case "virtproxyd":
		return Virtproxyd
	case "libvirt":
		return Client
	case "libvirt-admin":
		return Admin
	case "qemu":
		return QEMU
	}
	for _, d := range driverDaemons {
		if d == base {
			return Driver
		}
	}
	return Other
}

// ParseKind reads a kind from the name of a program or of its file: libvirtd, virtproxyd, virtqemud, libvirt,
// libvirt-admin, qemu.
func ParseKind(s string) (Kind, bool) {
	k := KindOf(strings.TrimSuffix(s, ".conf") + ".conf")
	return k, k != Other
}
