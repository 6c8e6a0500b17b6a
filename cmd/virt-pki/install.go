package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/installation"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/selinux"
)

func (p *program) installCommand() *cli.Command {
	return &cli.Command{
		Name:      "install",
		Category:  "make",
		Usage:     "put a host's tree, as init and issue make it, onto this machine",
		ArgsUsage: "TREE",
		Description: `Puts the files of a host's tree (a directory, or a .tar or .tar.gz of it; - is standard input)
into their places, with the owners and modes that belong there. Keys are compared with their
certificates first. What is replaced is kept beside it as .bak; a private key is replaced only
with --force, and so is a revocation list that is newer. Then the result is judged as virt-pki
check does.

EXAMPLES
   virt-pki install --dry-run ./cluster/kvm1.example.com
   virt-pki install ./cluster/kvm1.example.com
   tar -C ./cluster/kvm1 -c . | ssh root@kvm1 virt-pki install -
   virt-pki install --root /mnt ./cluster/kvm1       into a mounted system or an image

EXIT STATUS
   0 installed   1 installed, but check has findings at or above --fail-on   2 wrong usage
   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Usage: "install below `DIR`, which stands for a machine's /", DefaultText: "/"},
			&cli.StringFlag{Name: "layout", Usage: "`LAYOUT,...`: install only these: libvirt, user, qemu, libvirt-vnc, ..."},
			&cli.StringFlag{Name: "qemu-group", Usage: "`GROUP`: that QEMU runs as, and that may read its keys", DefaultText: "qemu or kvm, whichever is there"},
			&cli.BoolFlag{Name: "force", Usage: "replace private keys, and newer revocation lists; the old ones are kept"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "check everything and show what would change; change nothing"},
			atFlag(), libvirtFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
		},
		Action: p.install,
	}
}

// An installView is the answer of install.
type installView struct {
	Schema int           `json:"schema"`
	Root   string        `json:"root"`
	DryRun bool          `json:"dry_run"`
	Files  []installFile `json:"files"`
	// Check is what check says of the result; null in a preview.
	Check *checkView `json:"check"`
	Next  []string   `json:"next"`
}

type installFile struct {
	Path   string            `json:"path"`
	Action installation.Fate `json:"action"` // new, unchanged, replaced, mode
	Mode   string            `json:"mode"`
	Group  string            `json:"group,omitempty"`
	Backup string            `json:"backup,omitempty"`
	part   layout.Part
}

func (p *program) install(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("install takes one TREE").hint("virt-pki install ./cluster/kvm1.example.com")
	}
	paint, err := p.painter(c.String("color"))
	if err != nil {
		return err
	}
	co, err := p.checkOptions(c)
	if err != nil {
		return err
	}
	co.rules, co.layouts = "libvirt", nil
	root := c.String("root")
	if root == "" {
		root = "/"
	}
	o := installation.Options{WriteOptions: writeOptions(), QEMUGroup: c.String("qemu-group"), Force: c.Bool("force")}
	o.LookupGroup = groupBelow(root)
	if l := c.String("layout"); l != "" {
		for _, name := range strings.Split(l, ",") {
			k, err := layout.ParseKind(strings.TrimSpace(name))
			if err != nil {
				return invalid("--layout", name, err)
			}
			o.Kinds = append(o.Kinds, k)
		}
	}
	if o.QEMUGroup == "" {
		for _, g := range []string{"qemu", "kvm"} {
			if _, err := o.LookupGroup(g); err == nil {
				o.QEMUGroup = g
				break
			}
		}
	}
	name := c.Args().First()
	source, done, err := p.tree(name)
	if err != nil {
		return err
	}
	defer done()
	plan, err := installation.Compare(source, root, o)
	if errors.Is(err, installation.ErrNoTree) {
		return noTree(name, err)
	}
	if err != nil {
		return err
	}
	v := installView{Schema: 1, Root: root, DryRun: c.Bool("dry-run"), Files: []installFile{}, Next: []string{}}
	for _, i := range plan.Items {
		v.Files = append(v.Files, installFile{i.Path, i.Fate, fmt.Sprintf("%04o", i.Mode), i.Group, i.Backup, i.Part})
	}
	if !v.DryRun {
		if err := plan.Apply(); err != nil {
			return err
		}
		v.Check = &checkView{Schema: 1, Findings: []finding.Finding{}, Judgements: []judgement{}, Checked: []string{}}
		for _, k := range plan.Kinds {
			co.layouts = append(co.layouts, string(k))
		}
		at := ""
		if root != "/" {
			at = root
		}
		if err := p.checkLayouts(at, co, v.Check); err != nil {
			return err
		}
		if err := v.Check.conclude(co.level); err != nil {
			return err
		}
		v.next(root, plan)
	}
	err = p.show(c, v, func() { p.printInstalled(v, paint) })
	if err != nil || v.Check == nil {
		return err
	}
	switch v.Check.Verdict {
	case "fail":
		return status(exitFindings)
	case "incomplete":
		return status(exitIncomplete)
	}
	return nil
}

// tree opens what is to be installed.
func (p *program) tree(name string) (source fs.FS, done func(), err error) {
	done = func() {}
	if name == "-" {
		source, err = bundle.ReadTree(p.stdin)
		return source, done, archiveError(name, err)
	}
	unread := func(err error) (fs.FS, func(), error) {
		return nil, done, &readError{"the tree", name, err}
	}
	st, err := os.Stat(name)
	if err != nil {
		return unread(err)
	}
	if st.IsDir() {
		r, err := os.OpenRoot(name)
		if err != nil {
			return unread(err)
		}
		source, done = r.FS(), func() { r.Close() }
	} else {
		f, err := os.Open(name)
		if err != nil {
			return unread(err)
		}
		defer f.Close()
		if source, err = bundle.ReadTree(f); err != nil {
			return nil, done, archiveError(name, err)
		}
	}
	if _, err := fs.Stat(source, bundle.ManifestName); err == nil {
		done()
		return nil, func() {}, usage("%s is a bundle of virt-pki collect, which has no keys", name).
			hint("install takes a tree of virt-pki init or virt-pki issue")
	}
	return source, done, nil
}

func archiveError(name string, err error) error {
	if err == nil {
		return nil
	}
	if name == "-" {
		name = "standard input"
	}
	return fmt.Errorf("reading the archive %q: %w", name, err)
}

// noTree says what there is instead of a host's tree.
func noTree(name string, err error) error {
	e := usage("%s: %s", name, err)
	entries, _ := os.ReadDir(name)
	for _, d := range entries {
		if d.IsDir() && exists(filepath.Join(name, d.Name(), "etc/pki")) {
			return e.hint("name one host's tree: virt-pki install %s", shellQuote(filepath.Join(name, d.Name())))
		}
	}
	if exists(filepath.Join(name, "cacert.pem")) {
		return e.hint("it is a flat directory, for the URI parameter pkipath; it is used where it lies")
	}
	return e.hint("TREE has etc/pki in it; virt-pki init --out makes one for each host")
}

// groupBelow looks a group up in the machine that lies below root.
func groupBelow(root string) func(string) (int, error) {
	if root == "/" {
		return writeOptions().LookupGroup
	}
	return func(name string) (int, error) {
		text, err := os.ReadFile(filepath.Join(root, "etc/group"))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 && f[0] == name {
				return strconv.Atoi(f[2])
			}
		}
		return 0, fmt.Errorf("there is no group %q in %s", name, filepath.Join(root, "etc/group"))
	}
}

// next says what is to be done now.
func (v *installView) next(root string, plan *installation.Plan) {
	changed := slices.ContainsFunc(v.Files, func(f installFile) bool { return f.Action != installation.Unchanged && f.part != layout.Directory })
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(root, name)) }
	if mode := selinux.ReadMode(read); changed && (mode == selinux.Enforcing || mode == selinux.Permissive) {
		v.Next = append(v.Next, "restorecon -R "+shellQuote(filepath.Join(root, "etc/pki")))
	}
	if root != "/" {
		return
	}
	if changed && exists("/etc/pki/libvirt/servercert.pem") && slices.Contains(plan.Kinds, layout.Libvirt) {
		v.Next = append(v.Next, "virt-admin server-update-tls libvirtd    (a running daemon then takes the new files)")
	}
	v.Next = append(v.Next, "virt-pki preflight")
}

// printInstalled says what was changed.
func (p *program) printInstalled(v installView, paint painter) {
	for _, f := range v.Files {
		if f.Action == installation.Unchanged && f.part == layout.Directory {
			continue
		}
		extra := ""
		if f.Group != "" {
			extra = ", group " + f.Group
		}
		if f.Backup != "" {
			extra += "; the old one: " + f.Backup
		}
		if f.part == layout.Key && f.Action == installation.Replaced {
			extra += " (PRIVATE KEY)"
		}
		fmt.Fprintf(p.stdout, "%-10s %s (%s%s)\n", f.Action, visible(filepath.Join(v.Root, f.Path)), f.Mode, extra)
	}
	if v.DryRun {
		fmt.Fprintln(p.stdout, "nothing was changed")
		return
	}
	p.printCheck(*v.Check, paint)
	for _, n := range v.Next {
		fmt.Fprintf(p.stdout, "next: %s\n", n)
	}
}
