// Package templates holds the files that virt-pki writes for others, as text/template sources, and fills them in.
//
// Begin with [Daemon.Libvirtd], [Daemon.Virtproxyd], [Client.Libvirt] or [QEMU.Conf], which give a commented
// configuration file for the choices made; what is not chosen stands there as a comment with its default. [Execute] fills
// in any template by name. The configuration files stay inside what the Augeas lenses of libvirt can read, unless a name
// holds a double quote, for which those have no way.
//
// The texts are virt-pki's own. Keys and defaults are those of libvirt 9.0 to 12.8.
package templates
