package main

import (
	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
)

func (p *program) issueCommand() *cli.Command {
	sub := func(role certs.Role, usage, args, example string) *cli.Command {
		return &cli.Command{
			Name: role.String(), Usage: usage, ArgsUsage: args,
			Description: `The identity goes into a tree of its own below --out, or into the flat directory --pkipath;
nothing is overwritten.

EXAMPLES
` + example + `

EXIT STATUS
   0 issued   2 wrong usage   3 could not complete; then nothing was published`,
			Flags: append(append([]cli.Flag{
				authorityFlag(besidePlaces), databaseFlag(),
				&cli.StringFlag{Name: "pkipath", Usage: "`DIR`: write into this flat directory"},
				&cli.StringFlag{Name: "out", Usage: "`DIR`: write a tree NAME into this directory"},
				&cli.StringFlag{Name: "subject", Usage: "`DN`: the whole subject, instead of --base and CN=NAME"},
				&cli.StringFlag{Name: "csr", Usage: "`FILE`: certify this request; its key stays where it is"},
			}, append(policyFlags(true), identityFlags()...)...), keyFlags()...),
			Action: func(c *cli.Context) error { return p.issue(c, role) },
		}
	}
	return parent("issue", "make", "one more identity, or a certificate for a request", "virt-pki issue client NAME --out DIR",
		sub(certs.Server, "an identity for a server", "NAME[,ADDRESS...]",
			"   virt-pki issue server kvm3.example.com,192.0.2.3 --out ./cluster"),
		sub(certs.Client, "an identity for a client", "NAME",
			"   virt-pki issue client bob --out ./cluster\n   virt-pki issue client bob --csr bob.csr --pkipath ./bob --authority ./cluster/authority"),
		sub(certs.Peer, "identities for a host that is server and client", "NAME[,ADDRESS...]",
			"   virt-pki issue peer kvm3.example.com,192.0.2.3 --layout libvirt,qemu --out ./cluster"))
}

func (p *program) issue(c *cli.Context, role certs.Role) error {
	if c.NArg() != 1 {
		return usage("issue %s needs one NAME", role).hint("virt-pki issue %s kvm3.example.com --out DIR", role)
	}
	member, err := cluster.ParseMember(role, c.Args().First())
	if err != nil {
		return &usageError{err.Error(), hints(err)}
	}
	spec, err := p.spec(c)
	if err != nil {
		return err
	}
	if s := c.String("subject"); s != "" {
		if c.IsSet("base") || c.IsSet("csr") {
			return usage("--subject excludes --base and --csr")
		}
		if member.Subject, err = parseDN("--subject", s); err != nil {
			return err
		}
	}
	spec.Members = []cluster.Member{member}
	for _, f := range []string{"libvirt", "strict-key-usage"} {
		if c.IsSet(f) {
			return usage("--%s is settled when the authority is made", f).hint("it stands in the authority's authority.json")
		}
	}
	authority, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer authority.Close()
	if member.Subject.IsEmpty() {
		if err := defaultBase(c, &spec, authority); err != nil {
			return err
		}
	}
	plan, err := p.issuePlan(c, spec, authority)
	if err != nil {
		return err
	}
	v := makeView{Schema: 1, Dir: spec.Dir, Authority: p.viewAuthority(authority, authority.Dir())}
	if c.Bool("dry-run") {
		v.DryRun = true
		v.plan(plan)
		return p.show(c, v, func() { p.printMade(v) })
	}
	if v.Authority.Encrypted, err = p.unlock(c, authority); err != nil {
		return err
	}
	begun := p.now()
	made, err := plan.Add(c.Context, cluster.Options{WriteOptions: writeOptions()})
	if err != nil {
		return err
	}
	v.made(made, p.now().Sub(begun))
	v.next(spec, made, v.Authority.Dir, false)
	return p.show(c, v, func() { p.printMade(v) })
}

// issuePlan plans an identity, or the certificate for a request.
func (p *program) issuePlan(c *cli.Context, spec cluster.Spec, authority *ca.Authority) (*cluster.Plan, error) {
	name := c.String("csr")
	if name == "" {
		return spec.Plan(authority)
	}
	text, err := p.read("the request", name)
	if err != nil {
		return nil, err
	}
	csr, err := ca.ParseCSR(text)
	if err != nil {
		return nil, &fileError{name, "reading the request", err}
	}
	return spec.PlanCSR(authority, csr)
}
