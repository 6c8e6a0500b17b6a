package unit

import "github.com/virt-pki/virt-pki/pkg/finding"

// Rules gives the rules of this package: how systemd has to run a daemon so that it listens. The slice is the caller's.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func ruleByID(id string) finding.Rule { return finding.Named(rules, id) }

const (
	msgListen    = "--listen parameter not permitted with systemd activation sockets, see 'man libvirtd' for further guidance"
	msgUnclaimed = "internal error: Some activation file descriptors are unclaimed"

	sourceMain    = "libvirt remote_daemon.c, main"
	sourceNet     = "libvirt daemonSetupNetworking"
	sourceUnit    = "systemd.unit(5)"
	sourceService = "systemd.service(5)"
	sourceSocket  = "systemd.socket(5)"
)

var rules = []finding.Rule{
	{
		ID: "listen-with-sockets", Title: "--listen and sockets of systemd are not used together", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "libvirtd listens either by itself, because of --listen, or on the sockets that systemd passes. With --listen and any passed socket, the " +
			"UNIX ones included, it ends. libvirtd.service wants libvirtd.socket, libvirtd-ro.socket and libvirtd-admin.socket and so starts them " +
			"even when they are disabled: only masking them lets --listen work.",
		LibvirtMessages: []string{msgListen},
		Remedy: "take --listen out of the arguments, then: systemctl stop libvirtd.service; systemctl enable --now libvirtd-tls.socket; " +
			"systemctl start libvirtd.service",
		Good: `LIBVIRTD_ARGS="--timeout 120" and an enabled libvirtd-tls.socket`, Bad: `LIBVIRTD_ARGS="--listen" and libvirtd.socket`, Source: sourceNet,
	},
	{
		ID: "daemon-arguments", Title: "The daemon knows its arguments", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "An option that the daemon does not know, a word that is none, or a --timeout that is no number ends it with exit status 1 before it reads its " +
			"configuration. virtproxyd has no --listen: it listens because of listen_tls in virtproxyd.conf, or on sockets.",
		LibvirtMessages: []string{"unrecognized option '{option}'", "unexpected, non-option, command line arguments", "Invalid value for timeout",
			"invalid option -- '{option}'"},
		Remedy: "correct the arguments where they stand; systemctl cat libvirtd.service shows where that is", Good: `VIRTPROXYD_ARGS="--timeout 120"`,
		Bad: `VIRTPROXYD_ARGS="--listen"`, Source: sourceMain,
	},
	{
		ID: "service-cannot-start", Title: "systemd can start the service", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "systemd refuses a service with two ExecStart= (a drop-in that is to replace the command needs an empty ExecStart= before its own), " +
			"one whose command cannot be read, one with an EnvironmentFile= that is not there unless a - stands before its name, and one that requires " +
			"(Requires=) a masked unit, as virtproxyd.service does its three UNIX sockets.",
		Remedy: "systemctl cat libvirtd.service; correct the drop-in; systemctl daemon-reload", Good: "ExecStart=\nExecStart=/usr/sbin/libvirtd",
		Bad: "a drop-in with one more ExecStart=", Source: sourceService,
	},
	{
		ID: "daemon-masked", Title: "The daemon's service is not masked", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:   "A masked service is started by nothing, neither by its sockets nor by hand.",
		Remedy: "systemctl unmask libvirtd.service", Good: "an enabled service", Bad: "/etc/systemd/system/libvirtd.service -> /dev/null", Source: sourceUnit,
	},
	{
		ID: "unit-condition-fails", Title: "The conditions of the daemon's service hold", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A unit with a ConditionX= that does not hold is left out: systemd does not start it, and calls that no failure, so that nothing is to be seen " +
			"but a line in the journal. With an AssertX= the start fails.",
		Remedy: "systemctl cat libvirtd.service; systemd-analyze condition --unit=libvirtd.service; systemctl edit libvirtd.service",
		Good:   "no condition, or one that holds", Bad: "ConditionPathExists=/etc/libvirt/enabled without that file", Source: sourceUnit,
	},
	{
		ID: "socket-condition-fails", Title: "The conditions of an enabled socket hold", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "A socket unit with a ConditionX= that does not hold is left out, enabled or not: nobody listens, and nothing is called a failure. With an AssertX= " +
			"the start fails.",
		Remedy: "systemd-analyze condition --unit=libvirtd-tls.socket; systemctl edit libvirtd-tls.socket",
		Good:   "no condition, or one that holds", Bad: "ConditionPathExists=/etc/pki/libvirt/servercert.pem in a drop-in, and the certificate elsewhere", Source: sourceUnit,
	},
	{
		ID: "enabled-at-first-boot", Title: "Presets say what an image's first boot enables", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "At its first boot (no /etc/machine-id, or one that says \"uninitialized\") systemd enables every unit whose preset is enable, and that is the preset " +
			"of all that no preset file names. So an image in which nobody enabled libvirtd-tls.socket or libvirtd-tcp.socket listens after its first boot; and a " +
			"daemon with a -tls.socket and without certificates does not start.",
		Remedy: "write \"disable libvirtd-tls.socket\" into /etc/systemd/system-preset/10-libvirt.preset of the image",
		Good:   "a preset file with a line for the socket", Bad: "no preset file, and an image without /etc/machine-id", Source: "systemd.preset(5), machine-id(5)",
	},
	{
		ID: "user-does-not-linger", Title: "A user's daemon runs without a login", Severity: finding.Warning, Effect: finding.NoEffect,
		Text:   "The units of a user are started when the user logs in first, and stopped at the last logout, unless the user lingers.",
		Remedy: "loginctl enable-linger USER", Good: "/var/lib/systemd/linger/USER", Bad: "a user's libvirtd.socket and nobody logged in", Source: "loginctl(1)",
	},
	{
		ID: "daemon-not-started", Title: "Something starts the daemon", Severity: finding.Error, Effect: finding.NoEffect,
		Text:      "Neither the daemon's service nor any of its sockets is enabled: nothing starts it when the machine starts, and nobody is listening then.",
		DependsOn: []string{"daemon-masked"},
		Remedy:    "systemctl enable --now libvirtd-tls.socket libvirtd.service", Good: "an enabled libvirtd.service or libvirtd.socket",
		Bad: "systemctl disable libvirtd.service libvirtd.socket", Source: sourceUnit,
	},
	{
		ID: "socket-not-started", Title: "An enabled socket runs", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Enabling a unit has effect at the next boot only. And systemd refuses to start a socket unit while its service runs, because a running daemon " +
			"cannot be given another socket: the service has to be stopped first.",
		Remedy: "systemctl stop libvirtd.service; systemctl start libvirtd-tls.socket; systemctl start libvirtd.service",
		Good:   "systemctl enable --now while the service is stopped", Bad: "systemctl enable libvirtd-tls.socket and no more",
		Source: sourceSocket, DependsOn: []string{"socket-needs-masked"},
	},
	{
		ID: "socket-not-enabled", Title: "A running socket is there after the next boot", Severity: finding.Warning, Effect: finding.NoEffect,
		Text:   "The socket was started by hand and nothing starts it when the machine starts: remote access ends with the next boot.",
		Remedy: "systemctl enable libvirtd-tls.socket", Good: "systemctl enable --now libvirtd-tls.socket", Bad: "systemctl start libvirtd-tls.socket",
		Source: sourceUnit,
	},
	{
		ID: "socket-needs-masked", Title: "What a socket unit needs can be started", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "The -tls and -tcp sockets are bound to the main socket (BindsTo=libvirtd.socket). Where that is masked, as it is to be for --listen, " +
			"they cannot be started.",
		Remedy: "systemctl unmask libvirtd.socket, or systemctl disable libvirtd-tls.socket and use --listen", Good: "libvirtd.socket is enabled",
		Bad: "libvirtd.socket is masked, libvirtd-tls.socket enabled", Source: sourceUnit,
	},
	{
		ID: "two-daemons", Title: "One of libvirtd and virtproxyd is used", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Both daemons serve /run/libvirt/libvirt-sock and the same ports. With both enabled one of them fails, or is stopped when the other one " +
			"starts; which one is a matter of order.",
		Remedy: "keep one: systemctl disable --now of all units of the other", Good: "virtproxyd.socket enabled, libvirtd.socket masked",
		Bad: "libvirtd.socket and virtproxyd.socket enabled", Source: "libvirt docs/daemons.rst",
	},
	{
		ID: "socket-name-unknown", Title: "The daemon knows every socket it is passed", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The daemon tells the passed sockets apart by the names of their units. A socket with another name, because of FileDescriptorName= or because it " +
			"comes from a unit of one's own, ends it. Its place is in a drop-in of the daemon's own socket unit.",
		LibvirtMessages: []string{msgUnclaimed},
		Remedy:          "put the ListenStream= into a drop-in: systemctl edit libvirtd-tls.socket; take FileDescriptorName= out",
		Good:            "/etc/systemd/system/libvirtd-tls.socket.d/port.conf", Bad: "my-tls.socket with Service=libvirtd.service",
		Source: "libvirt virSystemdActivationComplete",
	},
	{
		ID: "arguments-unread", Title: "Arguments stand where the service reads them", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "The service takes the daemon's arguments from one variable of one file: LIBVIRTD_ARGS of /etc/sysconfig/libvirtd (Fedora, SUSE) or " +
			"/etc/default/libvirtd (Debian 12 and later; before that it was libvirtd_opts). Others are read by nobody.",
		Remedy: "set the variable that ExecStart= of the service has", Good: `LIBVIRTD_ARGS="--listen"`,
		Bad: `libvirtd_opts="--listen" on Debian 12`, Source: "the distributions' libvirtd.service",
	},
	{
		ID: "timeout-without-sockets", Title: "A daemon that listens by itself does not end by itself", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "With --timeout the daemon ends when it had no client and no guest for so many seconds. Sockets of systemd start it again; without them nothing " +
			"does, and remote access is gone.",
		Remedy: "take --timeout out of the arguments", Good: `LIBVIRTD_ARGS="--listen"`, Bad: `LIBVIRTD_ARGS="--listen --timeout 120" with masked sockets`,
		Source: sourceMain,
	},
	{
		ID: "reload-needed", Title: "systemd has read the units", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "A unit file or a drop-in was changed after systemd had read it. Until it reads them again it uses what it knows.",
		Remedy: "systemctl daemon-reload", Good: "systemctl edit, which does it", Bad: "a drop-in written by an editor, and no more",
		Source: "systemctl(1), daemon-reload",
	},
	{
		ID: "unit-line-ignored", Title: "systemd takes every line of a unit", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "systemd skips a line that it does not understand, such as an assignment before the first [Section], with a warning in its journal only.",
		Remedy: "systemd-analyze verify libvirtd-tls.socket; correct the line", Good: "[Socket]\nListenStream=16514", Bad: "ListenStream=16514 without a section",
		Source: "systemd.syntax(7)",
	},
	{
		ID: "socket-address-added", Title: "An address replaces the one of the package", Severity: finding.Note, Effect: finding.NoEffect,
		Text:   "ListenStream= in a drop-in adds an address. To replace the one of the package, an empty ListenStream= stands before it.",
		Remedy: "systemctl edit libvirtd-tls.socket: write ListenStream= before the new address", Good: "ListenStream=\nListenStream=192.0.2.5:16514",
		Bad: "ListenStream=192.0.2.5:16600", Source: sourceSocket,
	},
}
