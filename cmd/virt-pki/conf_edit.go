package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

func editFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "show what would change, and change nothing"},
		&cli.BoolFlag{Name: "no-backup", Usage: "do not keep the old file as FILE.bak"},
		&cli.BoolFlag{Name: "force", Usage: "write also what libvirt would refuse"},
		forFlag(), sessionFlag(), oneLibvirtFlag(), quietFlag(),
	}
}

func (p *program) confSetCommand() *cli.Command {
	return &cli.Command{
		Name:      "set",
		Usage:     "change one setting and leave every other byte as it is",
		ArgsUsage: "KEY VALUE FILE",
		Description: `VALUE is written as one types it: 1 or yes, text with or without quotes, ["a", "b"] for a list.
Where KEY stands already its value is replaced (of several the first, which is the one libvirt
reads); else it goes behind the comment that shows it, else to the end. The file is replaced in
one step, with its owner and mode; the old one stays as FILE.bak. A value that libvirt would
refuse is not written. A running daemon reads its configuration only when it is started again.

EXAMPLES
   virt-pki conf set listen_tls 1 /etc/libvirt/virtproxyd.conf
   virt-pki conf set -n tls_allowed_dn_list '["O=Example,CN=admin"]' /etc/libvirt/libvirtd.conf

EXIT STATUS
   0 written, or nothing to change   2 wrong usage   3 could not complete; then nothing was written`,
		Flags:  editFlags(),
		Action: p.confSet,
	}
}

func (p *program) confUnsetCommand() *cli.Command {
	return &cli.Command{
		Name:      "unset",
		Usage:     "take a setting out, every line of it",
		ArgsUsage: "KEY FILE",
		Description: `The rest of the file stays as it is, and the old one is kept, as with conf set.

EXAMPLES
   virt-pki conf unset tls_priority /etc/libvirt/libvirtd.conf

EXIT STATUS
   0 written, or nothing to change   2 wrong usage   3 could not complete; then nothing was written`,
		Flags:  editFlags(),
		Action: p.confUnset,
	}
}

func (p *program) confSet(c *cli.Context) error {
	if c.NArg() != 3 {
		return usage("conf set takes KEY VALUE FILE").hint("virt-pki conf set listen_tls 1 /etc/libvirt/virtproxyd.conf")
	}
	key, text, name := c.Args().Get(0), c.Args().Get(1), c.Args().Get(2)
	f, kind, run, err := p.parseConf(c, name)
	if err != nil {
		return err
	}
	if _, ok := conf.LookupSetting(kind, key); !ok && kind != conf.Other && !c.Bool("force") {
		e := usage("%s does not read a setting %q", kind, key)
		if near, ok := conf.LikelySetting(kind, key); ok {
			e.hint("did you mean %s?", near)
		}
		return e.hint("--force writes it all the same")
	}
	value, err := conf.ParseValue(kind, key, text)
	if err != nil {
		message := err.Error()
		if !strings.Contains(message, key) {
			message = key + ": " + message
		}
		return &usageError{message, hints(err)}
	}
	changed, err := f.Set(key, value)
	if err != nil {
		return err
	}
	return p.replaceConf(c, f, changed, kind, run)
}

func (p *program) confUnset(c *cli.Context) error {
	if c.NArg() != 2 {
		return usage("conf unset takes KEY FILE").hint("virt-pki conf unset tls_no_verify_certificate /etc/libvirt/libvirtd.conf")
	}
	f, kind, run, err := p.parseConf(c, c.Args().Get(1))
	if err != nil {
		return err
	}
	changed, err := f.Unset(c.Args().Get(0))
	if err != nil {
		return err
	}
	return p.replaceConf(c, f, changed, kind, run)
}

// replaceConf writes the changed file, or shows what would change.
func (p *program) replaceConf(c *cli.Context, old, changed *conf.File, kind conf.Kind, run conf.Run) error {
	name, before, after := old.Name(), old.Marshal(), changed.Marshal()
	if bytes.Equal(before, after) {
		if !c.Bool("quiet") {
			fmt.Fprintf(p.stdout, "%s: nothing to change\n", visible(name))
		}
		return nil
	}
	_, was := conf.Judge(before, name, kind, run)
	_, is := conf.Judge(after, name, kind, run)
	if is != nil && (was == nil || was.Error() != is.Error()) && !c.Bool("force") {
		return &refusedEdit{file: name, kind: kind, message: refusalText(is)}
	}
	for _, f := range newErrors(judgeConf(before, name, kind, run), judgeConf(after, name, kind, run)) {
		p.warn("%s: %s [%s]", visible(f.Subject), visible(f.Message), f.Rule)
		if f.Remedy != "" {
			p.hint("%s", visible(f.Remedy))
		}
	}
	diff := lineDiff(name, string(before), string(after))
	if c.Bool("dry-run") {
		fmt.Fprint(p.stdout, diff)
		return nil
	}
	if name == "-" {
		_, err := p.stdout.Write(after)
		return err
	}
	backup, err := layout.ReplaceFile(name, after, !c.Bool("no-backup"))
	if err != nil {
		return err
	}
	if !c.Bool("quiet") {
		fmt.Fprint(p.stdout, diff)
		if backup != "" {
			fmt.Fprintf(p.stdout, "the old file is %s\n", visible(backup))
		}
		if kind.Daemon() {
			fmt.Fprintf(p.stdout, "the daemon reads it when it is started again: systemctl restart %s\n", kind)
		}
	}
	return nil
}

// newErrors gives the errors that a change brings: what libvirt reads without a word and what all the same goes wrong.
func newErrors(was, is confView) []finding.Finding {
	return slices.DeleteFunc(is.Findings, func(f finding.Finding) bool {
		return f.Severity < finding.Error || slices.ContainsFunc(was.Findings, func(g finding.Finding) bool {
			return g.Rule == f.Rule && g.Message == f.Message
		})
	})
}

// A refusedEdit is a change that libvirt would not take.
type refusedEdit struct {
	file    string
	kind    conf.Kind
	message string
}

func (e *refusedEdit) Error() string {
	return fmt.Sprintf("%s would refuse the changed %s: %s", e.kind, e.file, e.message)
}

func (e *refusedEdit) Hints() []string { return []string{"--force writes it all the same"} }

// lineDiff is a unified diff of two texts that differ in one place.
func lineDiff(name, before, after string) string {
	const context = 3
	a, b := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	from := max(head-context, 0)
	ea, eb := min(len(a)-tail+context, len(a)), min(len(b)-tail+context, len(b))
	trim := func(lines []string) []string { // the empty piece behind the last newline is no line
		if n := len(lines); n > 0 && lines[n-1] == "" {
			return lines[:n-1]
		}
		return lines
	}
	var out strings.Builder
	line := func(mark, text string) {
		out.WriteString(mark + text)
		if !strings.HasSuffix(text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
	la, lb := trim(a[from:ea]), trim(b[from:eb])
	fmt.Fprintf(&out, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", name, name, from+1, len(la), from+1, len(lb))
	for _, t := range a[from:head] {
		line(" ", t)
	}
	for _, t := range trim(a[head : len(a)-tail]) {
		line("-", t)
	}
	for _, t := range trim(b[head : len(b)-tail]) {
		line("+", t)
	}
	for _, t := range trim(a[len(a)-tail : ea]) {
		line(" ", t)
	}
	return out.String()
}
