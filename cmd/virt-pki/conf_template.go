package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/templates"
)

func (p *program) confTemplateCommand() *cli.Command {
	return &cli.Command{
		Name:      "template",
		Usage:     "a commented configuration file for given choices, on standard output",
		ArgsUsage: "libvirtd|virtproxyd|libvirt|qemu",
		Description: `What is not chosen stands in the file as a comment with its default.

EXAMPLES
   virt-pki conf template virtproxyd --listen --dn 'O=Example,CN=admin' > virtproxyd.conf
   virt-pki conf template libvirt --alias kvm1=qemu://kvm1.example.com/system
   virt-pki conf template qemu --vnc --force-migration

EXIT STATUS
   0 printed   2 wrong usage`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "listen", Usage: "daemon: switch TLS on in the file (socket units need no such line)"},
			&cli.StringFlag{Name: "addr", Usage: "daemon: the `ADDRESS` to listen on"},
			&cli.StringFlag{Name: "port", Usage: "daemon: the `PORT` for TLS"},
			&cli.StringFlag{Name: "ca-file", Usage: "daemon: `FILE` of the CA; goes with --cert-file and --key-file"},
			&cli.StringFlag{Name: "cert-file", Usage: "daemon: `FILE` of the certificate"},
			&cli.StringFlag{Name: "key-file", Usage: "daemon: `FILE` of the private key"},
			&cli.StringFlag{Name: "crl-file", Usage: "daemon: `FILE` of the revocation list"},
			&cli.StringSliceFlag{Name: "dn", Usage: "daemon: a `PATTERN` of names that may connect"},
			&cli.StringFlag{Name: "auth-tls", Usage: "daemon: `AUTH` besides the certificate: sasl"},
			&cli.StringFlag{Name: "group", Usage: "daemon: the `GROUP` that may use the read-write socket"},
			&cli.StringFlag{Name: "priority", Usage: "daemon, libvirt: the GnuTLS priority `STRING`"},
			&cli.StringFlag{Name: "uri", Usage: "libvirt: the `URI` when none is given"},
			&cli.StringSliceFlag{Name: "alias", Usage: "libvirt: `NAME=URI`"},
			&cli.StringFlag{Name: "dir", Usage: "qemu: the `DIR` of its certificates"},
			&cli.BoolFlag{Name: "vnc", Usage: "qemu: TLS for VNC"},
			&cli.BoolFlag{Name: "spice", Usage: "qemu: TLS for SPICE"},
			&cli.BoolFlag{Name: "chardev", Usage: "qemu: TLS for character devices"},
			&cli.BoolFlag{Name: "nbd", Usage: "qemu: TLS for network disks"},
			&cli.BoolFlag{Name: "force-migration", Usage: "qemu: no migration without TLS"},
		},
		Action: p.confTemplate,
	}
}

func (p *program) confTemplate(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("conf template takes one of libvirtd, virtproxyd, libvirt, qemu")
	}
	d := templates.Daemon{Listen: c.Bool("listen"), Addr: c.String("addr"), Port: c.String("port"), CA: c.String("ca-file"),
		Cert: c.String("cert-file"), Key: c.String("key-file"), CRL: c.String("crl-file"), DNs: c.StringSlice("dn"),
		Priority: c.String("priority"), AuthTLS: c.String("auth-tls"), Group: c.String("group")}
	if len(d.DNs) == 0 {
		d.DNs = nil
	}
	var text []byte
	var err error
	switch strings.TrimSuffix(c.Args().First(), ".conf") {
	case "libvirtd":
		text, err = d.Libvirtd()
	case "virtproxyd":
		text, err = d.Virtproxyd()
	case "libvirt":
		client := templates.Client{URI: c.String("uri"), Priority: c.String("priority")}
		for _, a := range c.StringSlice("alias") {
			name, uri, ok := strings.Cut(a, "=")
			if !ok {
				return usage("--alias %s: write NAME=URI", a)
			}
			client.Aliases = append(client.Aliases, templates.Alias{Name: name, URI: uri})
		}
		text, err = client.Libvirt()
	case "qemu":
		text, err = templates.QEMU{Dir: c.String("dir"), VNC: c.Bool("vnc"), SPICE: c.Bool("spice"), Chardev: c.Bool("chardev"),
			NBD: c.Bool("nbd"), ForceMigration: c.Bool("force-migration")}.Conf()
	default:
		return usage("there is no template %q", c.Args().First()).hint("libvirtd, virtproxyd, libvirt or qemu")
	}
	if err != nil {
		return &usageError{err.Error(), hints(err)}
	}
	_, err = p.stdout.Write(text)
	return err
}
