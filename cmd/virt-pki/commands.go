package main

import (
	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// commands lists the commands as the help shows them.
func (p *program) commands() []*cli.Command {
	return []*cli.Command{
		p.checkCommand(),
		p.queryDNCommand(), p.matchDNCommand(), p.matchHostCommand(), p.uriCommand(), p.explainCommand(),
	}
}

// catalogue gathers the rules of all packages.
func catalogue() (finding.Catalogue, error) {
	return finding.NewCatalogue(verify.Rules(), uri.Rules())
}
