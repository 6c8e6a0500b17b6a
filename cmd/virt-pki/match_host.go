package main

import (
	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) matchHostCommand() *cli.Command {
	return &cli.Command{
		Name:      "match-host",
		Category:  "look",
		Usage:     "would a libvirt client accept this server certificate for these host names",
		ArgsUsage: "CERT HOST...",
		Description: `Compares the host part of a URI with a certificate as libvirt's client does
(gnutls_x509_crt_check_hostname): addresses with iPAddress entries only, names with
dNSName entries, the CN only where there are neither.

EXAMPLES
   virt-pki match-host /etc/pki/libvirt/servercert.pem kvm1.example.com 192.0.2.7 ::1

EXIT STATUS
   0 all match   1 some do not   2 wrong usage   3 could not complete`,
		Flags:  []cli.Flag{jsonFlag(), quietFlag()},
		Action: p.matchHost,
	}
}

type hostView struct {
	Host   string  `json:"host"`
	Match  bool    `json:"match"`
	Via    *string `json:"via"`
	Reason string  `json:"reason"`
}

func (p *program) matchHost(c *cli.Context) error {
	if c.NArg() < 2 {
		return usage("match-host needs a certificate and at least one host").
			hint("virt-pki match-host /etc/pki/libvirt/servercert.pem kvm1.example.com")
	}
	text, err := p.read("the certificate", c.Args().First())
	if err != nil {
		return err
	}
	cert, err := certs.ImportPEM(text)
	if err != nil {
		return certificateError(c.Args().First(), text, err)
	}
	all := true
	views := []hostView{}
	for _, host := range c.Args().Slice()[1:] {
		m := verify.Host(cert, host)
		all = all && m.Match
		views = append(views, hostView{host, m.Match, optional(m.Via), m.Reason})
	}
	err = p.show(c, struct {
		Schema int        `json:"schema"`
		Items  []hostView `json:"items"`
	}{1, views}, func() { p.printHosts(views) })
	if err == nil && !all {
		return status(exitFindings)
	}
	return err
}
