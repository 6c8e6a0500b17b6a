package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
)

func (p *program) collectCommand() *cli.Command {
	return &cli.Command{
		Name:     "collect",
		Category: "judge",
		Usage:    "bundle what check and preflight judge a host by, without any key",
		Description: `Bundles this host's certificates, CAs, revocation lists, libvirt's configuration and units, and of
every file and directory concerned whether it exists, its owner, mode and link target. Of private
keys nothing is taken but the SHA-256 of their public half; passwords, comments and what is no
certificate are left out. check and preflight take a bundle in the place of a directory;
"preflight --hosts" judges many at once. Run it as root: others cannot look everywhere.

EXAMPLES
   virt-pki collect -o kvm1.tar.gz
   virt-pki collect --dry-run                       what would be in it, and what left out
   ssh root@kvm2 virt-pki collect -o - > kvm2.tar.gz
   virt-pki collect --root /mnt/kvm3 --name kvm3.example.com --tree ./kvm3

EXIT STATUS
   0 collected   2 wrong usage   3 not collected, or not all of it could be read`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write one archive, a .tar.gz `FILE`; - is standard output"},
			&cli.StringFlag{Name: "tree", Usage: "write a directory `DIR`, laid out like /, which must not be there yet"},
			&cli.StringFlag{Name: "root", Usage: "collect from a machine whose / is `DIR`", DefaultText: "this machine"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` by which other hosts call this one", DefaultText: "its host name with the domain"},
			&cli.StringSliceFlag{Name: "pkipath", Usage: "take this flat directory `DIR` too, which URIs have for pkipath"},
			&cli.BoolFlag{Name: "force", Usage: "replace FILE even if it is no bundle"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show what would be collected and what left out; write nothing"},
			jsonFlag(), quietFlag(),
		},
		Action: p.collect,
	}
}

// A collectView is the answer of collect.
type collectView struct {
	Schema int `json:"schema"`
	// Path is what was written; null in a preview.
	Path     *string         `json:"path"`
	Manifest bundle.Manifest `json:"manifest"`
	// LeftOut says what of which file is not in the bundle, Unread which could not be read.
	LeftOut []string `json:"left_out"`
	Unread  []string `json:"unread"`
}

func (p *program) collect(c *cli.Context) error {
	if c.Args().Present() {
		return usage("collect takes no argument %q", c.Args().First()).hint("virt-pki collect -o %s", shellQuote(c.Args().First()))
	}
	file, tree := c.String("output"), c.String("tree")
	switch {
	case file != "" && tree != "":
		return usage("--output and --tree exclude each other")
	case file == "" && tree == "" && !c.Bool("dry-run"):
		return usage("collect needs -o FILE or --tree DIR").hint("virt-pki collect -o %s.tar.gz", shellQuote(hostname("host")))
	case file == "-" && c.Bool("json"):
		return usage("--json and -o - would both write to standard output")
	}
	o := bundle.Options{Name: c.String("name")}
	root := c.String("root")
	if root == "" {
		root = "/"
		o.Hostname = hostname("")
		o.Canonical = canonicalName(c.Context)
		if home := p.home(); filepath.IsAbs(home) {
			o.Homes = []string{home}
		}
	}
	for _, dir := range c.StringSlice("pkipath") {
		if c.String("root") == "" {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			dir = abs
		}
		if !filepath.IsAbs(dir) {
			return usage("--pkipath %s: with --root the path must be absolute, as on that machine", shellQuote(dir))
		}
		o.PKIPaths = append(o.PKIPaths, filepath.Clean(dir))
	}
	var err error
	if o.Labels, err = labelsOf(root); err != nil {
		p.warn("the SELinux labels are not collected: %v", err)
	}
	b, err := bundle.Collect(bundle.Disk(root), o)
	if err != nil {
		return err
	}
	v := collectView{Schema: 1, Manifest: b.Manifest, LeftOut: append([]string{}, b.LeftOut()...), Unread: append([]string{}, b.Unread()...)}
	if !c.Bool("dry-run") {
		if err := p.writeBundle(c, b, file, tree); err != nil {
			return err
		}
		if file != "-" {
			v.Path = optional(file + tree)
		}
	}
	switch {
	case c.Bool("json"):
		err = p.printJSON(v)
	case !c.Bool("quiet") && file != "-":
		p.printCollected(v)
	}
	if err != nil {
		return err
	}
	if len(v.Unread) > 0 {
		p.warn("%d files or directories could not be read, the first of them %s", len(v.Unread), visible(v.Unread[0]))
		if os.Geteuid() != 0 {
			p.hint("run it as root")
		}
		return status(exitIncomplete)
	}
	return nil
}

func (p *program) writeBundle(c *cli.Context, b *bundle.Bundle, file, tree string) error {
	switch {
	case tree != "":
		return b.WriteTree(tree)
	case file != "-":
		return b.WriteArchive(file, c.Bool("force"))
	}
	if isTerminal(p.stdout) {
		return usage("an archive does not go to a terminal").hint("virt-pki collect -o %s", shellQuote(b.FileName()))
	}
	text, err := b.Archive()
	if err == nil {
		_, err = p.stdout.Write(text)
	}
	return err
}

// printCollected says what is in the bundle and what is not.
func (p *program) printCollected(v collectView) {
	m := v.Manifest
	version := m.Libvirt
	if version == "" {
		version = "of unknown version"
	}
	fmt.Fprintf(p.stdout, "%s: libvirt %s", visible(m.Name), visible(version))
	if m.OS.Name != "" {
		fmt.Fprintf(p.stdout, ", %s", visible(m.OS.Name))
	}
	fmt.Fprintln(p.stdout)
	verb := "  content    "
	keys := 0
	for _, e := range m.Entries {
		if e.Content {
			fmt.Fprintf(p.stdout, "%s%s\n", verb, visible(e.Path))
		}
		if e.Key != nil {
			keys++
		}
	}
	for _, l := range v.LeftOut {
		fmt.Fprintf(p.stdout, "  left out   %s\n", visible(l))
	}
	for _, u := range v.Unread {
		fmt.Fprintf(p.stdout, "  not read   %s\n", visible(u))
	}
	fmt.Fprintf(p.stdout, "%d files and directories described; of %s the public half's SHA-256, no private key\n", len(m.Entries), plural(keys, "key"))
	if v.Path != nil {
		fmt.Fprintf(p.stdout, "written: %s\nnext: virt-pki check %s, or with others: virt-pki preflight --hosts DIR\n", visible(*v.Path), shellQuote(*v.Path))
	}
}

func hostname(unknown string) string {
	if h, err := os.Hostname(); err == nil && h != "" {
		return h
	}
	return unknown
}

// canonicalName asks the resolver for a host's full name, with little patience.
func canonicalName(ctx context.Context) func(string) string {
	return func(host string) string {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		full, err := net.DefaultResolver.LookupCNAME(ctx, host)
		if err != nil {
			return ""
		}
		return full
	}
}
