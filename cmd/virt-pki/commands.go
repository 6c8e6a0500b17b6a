package main

import (
	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/chain"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// commands lists the commands as the help shows them.
func (p *program) commands() []*cli.Command {
	return []*cli.Command{
		p.initCommand(), p.planCommand(), p.applyCommand(),
		p.issueCommand(), p.installCommand(), p.checkCommand(), p.collectCommand(), p.preflightCommand(), p.verifyCommand(),
		p.queryDNCommand(), p.matchDNCommand(), p.matchHostCommand(), p.uriCommand(), p.priorityCommand(), p.confCommand(), p.explainCommand(), p.rulesCommand(),
		p.renewCommand(), p.reloadCommand(), p.revokeCommand(),
		parent("crl", "live", "revocation lists: publish, show, check, diff", "virt-pki crl show FILE",
			p.crlPublishCommand(), p.crlShowCommand(), p.crlCheckCommand(), p.crlDiffCommand()),
		p.drillCommand(), p.listCommand(), p.expiryCommand(), p.reportCommand(),
		parent("inventory", "live", "take in what it does not know; move it between a file and PostgreSQL", "virt-pki inventory copy FROM TO",
			p.inventoryAdoptCommand(), p.inventoryCopyCommand(), p.inventoryMoveCommand()),
		parent("ca", "live", "the authority itself: show, rotate, export, import or serve", "virt-pki ca --help",
			p.caShowCommand(), p.caRotateCommand(), p.caExportCommand(), p.caImportCommand(), p.caServeCommand()),
		p.completionCommand(), p.manCommand(),
	}
}

// catalogue gathers the rules of all packages.
func catalogue() (finding.Catalogue, error) {
	return finding.NewCatalogue(ca.Rules(), cluster.Rules(), verify.Rules(), layout.Rules(), handshake.Rules(), uri.Rules(), probe.Rules(),
		conf.Rules(), priority.Rules(), preflight.Rules(), chain.Rules(),
		unit.Rules())
}
