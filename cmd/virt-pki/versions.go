package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// libvirtsFlag is --libvirt for commands that judge as one version, or as each of several.
func libvirtsFlag() cli.Flag {
	return &cli.StringFlag{Name: "libvirt", Usage: "`VERSION,...`: judge as this libvirt, or as each of these (9.0, 11.3, 12.8); auto: the installed one", DefaultText: "the oldest known"}
}

// oneLibvirtFlag is --libvirt for commands that can do with one version only.
func oneLibvirtFlag() cli.Flag {
	return &cli.StringFlag{Name: "libvirt", Usage: "`VERSION`: judge as this libvirt (9.0, 11.3, 12.8); auto: the installed one", DefaultText: "the oldest known"}
}

// asVersions reads libvirtsFlag: one version at least, each once.
func (p *program) asVersions(c *cli.Context) ([]verify.Version, error) {
	switch c.String("libvirt") {
	case "":
		return []verify.Version{verify.Oldest}, nil
	case autoVersion:
		h, err := openHost("")
		if err != nil {
			return nil, err
		}
		v, err := p.autoLibvirt(c.Context, h)
		return []verify.Version{v}, err
	}
	all, err := versions(c)
	var each []verify.Version
	for _, v := range all {
		if !slices.Contains(each, v) {
			each = append(each, v)
		}
	}
	return each, err
}

// oneVersion reads oneLibvirtFlag.
func (p *program) oneVersion(c *cli.Context) (verify.Version, error) {
	all, err := p.asVersions(c)
	switch {
	case err != nil:
		return verify.Version{}, err
	case len(all) > 1:
		return all[0], usage("--libvirt %s: %s judges as one version", c.String("libvirt"), strings.TrimPrefix(c.Command.HelpName, "virt-pki "))
	}
	return all[0], nil
}

// collected are the findings of several versions.
type collected struct {
	out    []finding.Finding
	minded map[string][]string // finding -> versions
}

func newCollected() *collected {
	return &collected{out: []finding.Finding{}, minded: map[string][]string{}}
}

func caseOf(f finding.Finding) string { return f.Rule + "\x00" + f.Subject + "\x00" + f.Message }

// add takes the findings of one version; a CA's are the same for each of several identities.
func (c *collected) add(version string, fs []finding.Finding) {
	for _, f := range fs {
		k := caseOf(f)
		if len(c.minded[k]) == 0 {
			c.out = append(c.out, f)
		}
		if !slices.Contains(c.minded[k], version) {
			c.minded[k] = append(c.minded[k], version)
		}
	}
}

// findings notes at those that not all versions mind which do.
func (c *collected) findings(whose string, versions int) []finding.Finding {
	for i, f := range c.out {
		if got := c.minded[caseOf(f)]; len(got) < versions {
			c.out[i].Evidence = mapWith(f.Evidence, whose, strings.Join(got, ", "))
		}
	}
	return c.out
}

func mapWith(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}
