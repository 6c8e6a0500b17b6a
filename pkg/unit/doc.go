// Package unit reads how systemd runs libvirt's daemons: unit files with their drop-ins, the environment and argument
// files they name, the arguments that come out, and the sockets that systemd passes.
//
// Call [New] with the root of a machine's files (os.DirFS("/"), or any tree that stands for one) and then [Tree.Survey]:
// it says of libvirtd and virtproxyd whether they are installed, what starts them, with which arguments, and on which
// addresses their sockets listen, and [Survey.Findings] says what is wrong with it. What systemctl show prints about the
// running state can be given to it, see [ParseShow]; the package runs nothing itself. [Tree.Load], [Tree.State] and
// [Tree.Command] are the parts, and work for any unit.
//
// The unit grammar is that of systemd.syntax(7), systemd.unit(5), systemd.exec(5) and systemd.service(5): search path,
// drop-ins, masks and aliases, empty assignments, Environment= and EnvironmentFile=, splitting and substitution of
// ExecStart=. It was compared with systemd 252: states with systemctl --root, units as systemd --test loads them, environment files
// and substitution with its library, and what is passed and started with the two programs running together. What the daemons make of
// arguments and sockets follows main and daemonSetupNetworking of libvirt's remote_daemon.c and virSystemdActivation, confirmed
// with libvirtd 9.0.0, 11.3.0 and 12.8.0, and with a virtproxyd 9.0.0 built from Debian's source, which ships none.
//
// Presets, and what the first boot of an image enables, are those of systemctl list-unit-files and systemctl preset-all; [NewUser] gives
// the units of a user's manager. Conditions and asserts are worked out as far as files tell, see [Tree.Holds], and were
// compared with systemd-analyze condition; a socket or service whose condition fails is left out of the survey's prediction.
//
// Not done: running generators (units that they have written are read), conditions about the running machine, and
// specifiers that depend on it.
package unit
