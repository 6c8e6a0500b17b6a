package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Category:  "help",
		Usage:     "the manual page, or that of one command, for man",
		ArgsUsage: "[COMMAND]",
		Description: `EXAMPLES
   virt-pki man | man -l -
   virt-pki man check | man -l -
   virt-pki man > /usr/local/share/man/man1/virt-pki.1

EXIT STATUS
   0 printed   2 wrong usage`,
		Action: func(c *cli.Context) error {
			app := p.app()
			if !c.Args().Present() {
				_, err := fmt.Fprint(p.stdout, manual(app))
				return err
			}
			cmd := findCommand(app.Commands, c.Args().First())
			if cmd == nil {
				return unknownCommand(app, c.Args().First())
			}
			_, err := fmt.Fprint(p.stdout, commandManual(cmd))
			return err
		},
	}
}

// manual writes virt-pki(1) from the same texts as the help.
func manual(app *cli.App) string {
	var b strings.Builder
	manHead(&b, "virt-pki", app.Usage)
	b.WriteString(".SH SYNOPSIS\n.B virt-pki\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n")
	b.WriteString(".SH DESCRIPTION\n")
	manText(&b, app.Description)
	b.WriteString(".PP\nOptions may stand anywhere on the command line; \\fB\\-\\-\\fR ends them. The result goes to standard output,\n" +
		"everything else to standard error.\n")
	b.WriteString(".SH COMMANDS\n")
	for _, c := range app.Commands {
		manCommandSection(&b, c, "virt-pki")
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, s := range []struct{ status, text string }{
		{"0", "clean"},
		{"1", "findings at or above \\-\\-fail\\-on, or \"no\" from a matcher"},
		{"2", "wrong usage"},
		{"3", "virt\\-pki could not do its job"},
	} {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", s.status, s.text)
	}
	b.WriteString(".SH ENVIRONMENT\n")
	for _, v := range []struct{ name, text string }{
		{passphraseVariable, "the passphrase of the CA's key, where \\-\\-passphrase\\-file is not given"},
		{backupVariable, "the passphrase of a backup, where \\-\\-backup\\-passphrase\\-file is not given"},
		{databaseVariable, "where the inventory is, where \\-\\-db is not given"},
		{gnutlsVariable, "the program virt\\-pki\\-gnutls, where \\-\\-gnutls\\-program is not given"},
		{tokenVariable, "the program virt\\-pki\\-pkcs11, where it is not beside virt\\-pki"},
		{"NO_COLOR", "when set, no colours"},
		{"LIBVIRT_DEFAULT_URI, HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR", "as for libvirt"},
	} {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", v.name, v.text)
	}
	b.WriteString(".SH SEE ALSO\n.BR libvirtd (8),\n.BR virsh (1),\n.BR virt\\-pki\\-validate (1),\n.BR virt\\-pki\\-query\\-dn (1)\n")
	return b.String()
}

// commandManual writes the page of one command, virt-pki-COMMAND(1).
func commandManual(c *cli.Command) string {
	var b strings.Builder
	manHead(&b, "virt-pki-"+c.Name, c.Usage)
	b.WriteString(".SH SYNOPSIS\n")
	manCommandSection(&b, c, "virt-pki")
	b.WriteString(".SH SEE ALSO\n.BR virt\\-pki (1)\n")
	return b.String()
}

func manHead(b *strings.Builder, name, usage string) {
	fmt.Fprintf(b, ".TH %s 1 \"\" \"virt-pki %s\" \"User Commands\"\n.SH NAME\n%s \\- %s\n",
		strings.ToUpper(roff(name)), roff(version()), roff(name), roff(usage))
}

// manCommandSection writes a command: usage, description, options, then the commands below it.
func manCommandSection(b *strings.Builder, c *cli.Command, parent string) {
	full := parent + " " + c.Name
	fmt.Fprintf(b, ".SS %s", roff(full))
	if len(c.Subcommands) > 0 {
		b.WriteString(" \\fICOMMAND\\fR")
	} else {
		b.WriteString(" [\\fIOPTIONS\\fR]")
	}
	if c.ArgsUsage != "" && len(c.Subcommands) == 0 {
		fmt.Fprintf(b, " \\fI%s\\fR", roff(c.ArgsUsage))
	}
	fmt.Fprintf(b, "\n%s.\n.PP\n", roff(strings.ToUpper(c.Usage[:1])+c.Usage[1:]))
	manText(b, c.Description)
	for _, f := range c.Flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		names, text := flagDoc(f)
		if i := strings.LastIndexByte(names, ' '); i >= 0 && !strings.HasPrefix(names[i+1:], "-") {
			names = "\\fB" + roff(names[:i]) + "\\fR \\fI" + roff(names[i+1:]) + "\\fR"
		} else {
			names = "\\fB" + roff(names) + "\\fR"
		}
		fmt.Fprintf(b, ".TP\n%s\n%s\n", names, roff(text))
	}
	for _, s := range c.Subcommands {
		manCommandSection(b, s, full)
	}
}

// manText writes a help text: paragraphs are filled, headings in capitals stand out, indented lines stay as they are.
func manText(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	verbatim := false
	for _, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, "   ")
		if verbatim && !indented {
			b.WriteString(".fi\n.RE\n")
			verbatim = false
		}
		switch {
		case line == "":
			b.WriteString(".PP\n")
		case indented && !verbatim:
			b.WriteString(".RS 4\n.nf\n")
			verbatim = true
			fallthrough
		case indented:
			b.WriteString(roff(strings.TrimPrefix(line, "   ")) + "\n")
		case line == strings.ToUpper(line):
			fmt.Fprintf(b, ".B %s\n", roff(line))
		default:
			b.WriteString(roff(line) + "\n")
		}
	}
	if verbatim {
		b.WriteString(".fi\n.RE\n")
	}
}

// roff escapes what roff would take for a command or change: backslashes, hyphens, quotes, a leading dot.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
