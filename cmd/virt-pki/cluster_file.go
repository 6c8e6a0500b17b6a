package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/templates"
)

// specFlag names the cluster file.
func specFlag() cli.Flag {
	return &cli.StringFlag{Name: "spec", Usage: "`FILE`: the cluster file", DefaultText: "./cluster.toml, or cluster.toml in ./authority"}
}

// specFile reads the cluster file that --spec names, or the one that is at hand.
func (p *program) specFile(c *cli.Context) (*cluster.Cluster, error) {
	name := c.String("spec")
	if name == "" {
		candidates := []string{cluster.DescriptionName, filepath.Join(cluster.AuthorityName, cluster.DescriptionName)}
		if dir := c.String("authority"); dir != "" {
			candidates = []string{filepath.Join(dir, cluster.DescriptionName)}
		}
		for _, candidate := range candidates {
			if _, err := os.Stat(candidate); err == nil {
				name = candidate
				break
			}
		}
		if name == "" {
			return nil, usage("which cluster? there is no %s", strings.Join(candidates, " or ")).
				hint("name the file: --spec FILE").hint("virt-pki plan --example > cluster.toml   # one to begin with")
		}
	}
	text, err := p.read("the cluster file", name)
	if err != nil {
		return nil, err
	}
	dir := "."
	if name != "-" {
		dir = filepath.Dir(name)
	}
	return cluster.ParseFile(name, dir, text)
}

// specAuthority opens the authority of a cluster file; nil where there is none yet.
func (p *program) specAuthority(c *cli.Context, cl *cluster.Cluster) (*ca.Authority, error) {
	dir := cl.Founding.Dir
	if _, err := os.Lstat(filepath.Join(dir, "authority.json")); errors.Is(err, os.ErrNotExist) {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 && !(len(entries) == 1 && entries[0].Name() == cluster.DescriptionName) {
			return nil, &hintedError{fmt.Errorf("%s: it is no authority, and not empty", quote(dir)), []string{"the cluster file says that the authority is there: [authority] dir"}}
		}
		return nil, nil
	}
	return p.openAuthorityIn(c, dir)
}

// foundingOf gives what makes the authority that a cluster file describes.
func (p *program) foundingOf(c *cli.Context, cl *cluster.Cluster, spec cluster.Spec, staged bool) (*ca.Authority, founding, error) {
	f := cl.Founding
	return p.foundation(c, spec, cl.Policy, asked{func() (ca.Spec, error) {
		return ca.Spec{Subject: f.Subject, Key: f.Key, NotAfter: spec.Now.Add(f.Lifetime), Constraints: f.Constraints, Policy: cl.Policy, Now: spec.Now}, nil
	}, staged})
}

// initFromFile is init --spec.
func (p *program) initFromFile(c *cli.Context) error {
	for _, f := range []string{"server", "client", "peer", "pkipath", "out", "layout", "base", "key-type", "lifetime", "qemu-group", "private-client-key",
		"home", "libvirt", "strict-key-usage", "ca-subject", "ca-key-type", "ca-lifetime", "permit", "exclude"} {
		if c.IsSet(f) {
			return usage("--%s excludes --spec", f).hint("it belongs into the file; virt-pki plan --example shows how")
		}
	}
	cl, err := p.specFile(c)
	if err != nil {
		return err
	}
	a, err := p.specAuthority(c, cl)
	if err != nil {
		return err
	}
	if a != nil {
		a.Close()
		return &hintedError{fmt.Errorf("%s: the authority is there already", quote(cl.Founding.Dir)),
			[]string{"what the file changes: virt-pki plan --spec " + pathArgument(cl.File), "to do it: virt-pki apply --spec " + pathArgument(cl.File)}}
	}
	if cl.Whole() {
		return p.makeWhole(c, cl)
	}
	return p.applyFile(c, cl, nil)
}

// makeWhole makes the new cluster of a file in one step.
func (p *program) makeWhole(c *cli.Context, cl *cluster.Cluster) error {
	spec := cl.Spec(p.now(), cl.Founding.Subject)
	double, found, err := p.foundingOf(c, cl, spec, true)
	if err != nil {
		return err
	}
	if spec, err = p.withBase(cl, spec, double); err != nil {
		return err
	}
	return p.make(c, spec, double, found, nil)
}

// withBase lets subjects begin as the CA's does, which may be one that was taken over.
func (p *program) withBase(cl *cluster.Cluster, spec cluster.Spec, a *ca.Authority) (cluster.Spec, error) {
	cert, err := certs.Import(a.CertDER())
	if err != nil {
		return spec, fmt.Errorf("reading the CA certificate: %w", err)
	}
	return cl.Spec(spec.Now, cert.Subject), nil
}

// foundAlone makes the authority of a file whose trees are added afterwards.
func (p *program) foundAlone(c *cli.Context, cl *cluster.Cluster) (*ca.Authority, error) {
	spec := cl.Spec(p.now(), cl.Founding.Subject)
	double, found, err := p.foundingOf(c, cl, spec, false)
	if err != nil {
		return nil, err
	}
	if spec, err = p.withBase(cl, spec, double); err != nil {
		return nil, err
	}
	if _, err := spec.Plan(double); err != nil { // before anything is made
		return nil, err
	}
	if err := p.checkDatabase(c); err != nil {
		return nil, err
	}
	var secret []byte
	if found.inDirectory {
		if secret, err = p.passphrase(c).forNew(); err != nil {
			return nil, err
		}
	}
	made, err := found.authority(c.Context, cl.Founding.Dir, secret)
	found.settle(err == nil)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	if err := p.settleInventory(c, cl.Founding.Dir); err != nil {
		return nil, err
	}
	a, err := p.openAuthorityIn(c, cl.Founding.Dir)
	if err != nil {
		return nil, err
	}
	if found.inDirectory {
		err = a.Unlock(secret)
	} else {
		_, err = p.unlock(c, a)
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// describe gives the cluster file of what init makes from its options.
func describe(c *cli.Context, s cluster.Spec, double *ca.Authority) ([]byte, error) {
	d := templates.Cluster{Out: "..", Authority: ".", CAKey: c.String("ca-key-type"), Permit: c.StringSlice("permit"), Exclude: c.StringSlice("exclude"),
		StrictKeyUsage: c.Bool("strict-key-usage"), Lifetime: c.String("lifetime"), QEMUGroup: s.QEMUGroup, PrivateClientKey: s.PrivateClientKey,
		Key: string(s.Key), CALifetime: c.String("ca-lifetime")}
	cert, err := certs.Import(double.CertDER())
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificate: %w", err)
	}
	if d.Subject, err = cert.Subject.Text(); err != nil {
		return nil, fmt.Errorf("reading the CA certificate: %w", err)
	}
	if v := c.String("libvirt"); v != "all" {
		d.Libvirt = v
	}
	if c.IsSet("base") {
		d.Base = c.String("base")
	}
	for _, k := range s.Kinds {
		if k == layout.PkiPath {
			d.Out, d.PkiPath = "", ".."
			break
		}
		d.Layouts = append(d.Layouts, string(k))
	}
	for _, m := range s.Members {
		t := templates.ClusterMember{Name: m.Name, Home: c.String("home")}
		for _, n := range m.Names {
			if n != m.Name {
				t.Names = append(t.Names, n)
			}
		}
		for _, a := range m.Addresses {
			if a.String() != m.Name {
				t.Addresses = append(t.Addresses, a.String())
			}
		}
		if m.Role == certs.Client {
			d.Clients = append(d.Clients, t)
			continue
		}
		t.Role = m.Role.String()
		d.Hosts = append(d.Hosts, t)
	}
	return d.TOML()
}
