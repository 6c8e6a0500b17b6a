package templates

// Daemon are the choices for libvirtd.conf and virtproxyd.conf. The zero value chooses nothing.
type Daemon struct {
	// Listen switches TLS on in the file. Socket units need no such line.
	Listen bool
	// Addr and Port are where TLS listens; empty: every address, 16514.
	Addr, Port string
	// CA, Cert and Key are files of one's own: all or none. CRL goes with them.
	CA, Cert, Key, CRL string
	// DNs are the names that may connect; nil: everybody with a certificate of the CA. An empty list lets nobody in.
	DNs []string
	// Priority is a GnuTLS priority string.
	Priority string
	// AuthTLS is an authentication besides the certificate: sasl, polkit; empty: none.
	AuthTLS string
	// Group may use the read-write socket without a password; empty: polkit decides.
	Group string
}

// Libvirtd gives a libvirtd.conf.
func (d Daemon) Libvirtd() ([]byte, error) { return Execute("libvirtd.conf.tmpl", d) }

// Virtproxyd gives a virtproxyd.conf.
func (d Daemon) Virtproxyd() ([]byte, error) { return Execute("virtproxyd.conf.tmpl", d) }

// An Alias is a short name for a URI.
type Alias struct{ Name, URI string }

// Client are the choices for libvirt.conf.
type Client struct {
	URI      string // the URI when none is given
	Aliases  []Alias
	Priority string
}

// Libvirt gives a libvirt.conf.
func (c Client) Libvirt() ([]byte, error) { return Execute("libvirt.conf.tmpl", c) }

// QEMU are the choices for qemu.conf.
type QEMU struct {
	// Dir is where QEMU finds its certificates; empty: /etc/pki/qemu.
	Dir string
	// VNC, SPICE, Chardev and NBD switch TLS on for these.
	VNC, SPICE, Chardev, NBD bool
	// ForceMigration refuses migration without TLS.
	ForceMigration bool
}

// Conf gives a qemu.conf.
func (q QEMU) Conf() ([]byte, error) { return Execute("qemu.conf.tmpl", q) }
