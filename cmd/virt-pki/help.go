package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const appDescription = `virt-pki issues the certificates that libvirt's TLS needs, checks them before a daemon is
switched over to TLS, and says after a real handshake what libvirt makes of them. Every
verdict is what real libvirt does, by version; see "virt-pki explain" for the rules.`

// appHelp is the template of the program's help.
func appHelp(commands []*cli.Command) string {
	return strings.Replace(appTemplate, "COMMAND TABLE", commandTable(commands), 1)
}

// commandTable lists the commands by their categories, both in the order of the list.
func commandTable(commands []*cli.Command) string {
	var order []string
	lines := map[string][]string{}
	for _, c := range commands {
		if lines[c.Category] == nil {
			order = append(order, c.Category)
		}
		lines[c.Category] = append(lines[c.Category], fmt.Sprintf("     %-16s %s\n", c.Name, c.Usage))
	}
	var b strings.Builder
	for _, category := range order {
		fmt.Fprintf(&b, "\n   %s\n%s", category, strings.Join(lines[category], ""))
	}
	return b.String()
}

const appTemplate = `virt-pki - {{.Usage}}

USAGE
   virt-pki COMMAND [OPTIONS] [ARGUMENTS]

{{.Description}}

COMMANDS
COMMAND TABLE
   virt-pki COMMAND --help says more. Options may stand anywhere; -- ends them.

EXIT STATUS
   0 clean   1 findings, or "no" from a matcher   2 wrong usage   3 could not complete
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

USAGE{{if or .ArgsUsage (not .VisibleCommands)}}
   {{.HelpName}}{{if .VisibleFlags}} [OPTIONS]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{end}}{{if .VisibleCommands}}
   {{.HelpName}} COMMAND [OPTIONS] [ARGUMENTS]{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
COMMANDS{{range .VisibleCommands}}
   {{printf "%-12s" .Name}} {{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
OPTIONS{{range .VisibleFlags}}
{{.}}{{end}}
{{end}}`

// The columns of the options' table: it fits a terminal of 100 columns.
const (
	helpIndent = 3
	helpColumn = 31
	helpWidth  = 98
)

func init() {
	cli.FlagStringer = flagHelp
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help", DisableDefaultText: true}
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version", DisableDefaultText: true}
	cli.VersionPrinter = func(c *cli.Context) { fmt.Fprintf(c.App.Writer, "virt-pki %s\n", c.App.Version) }
}

// flagHelp writes an option for the options' table: its names at the left, the text beside them or, where the names are
// long, below.
func flagHelp(f cli.Flag) string {
	names, text := flagDoc(f)
	left := strings.Repeat(" ", helpIndent) + names
	right := wrap(text, helpWidth-helpColumn, strings.Repeat(" ", helpColumn))
	if len(left)+2 > helpColumn {
		return left + "\n" + right
	}
	return left + right[len(left):]
}

// flagDoc gives an option's names as they are typed, with the placeholder of a value, and its text.
func flagDoc(f cli.Flag) (names, text string) {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return dashes(f.Names()[0]), ""
	}
	text = d.GetUsage()
	value := ""
	if before, rest, ok := strings.Cut(text, "`"); ok {
		if word, after, ok := strings.Cut(rest, "`"); ok {
			value, text = word, before+word+after
			if short, ok := strings.CutPrefix(after, ": "); ok && before == "" {
				text = short
			}
		}
	}
	list := []string{}
	for _, n := range f.Names() {
		if len(n) == 1 {
			list = append([]string{dashes(n)}, list...)
		} else {
			list = append(list, dashes(n))
		}
	}
	names = strings.Join(list, ", ")
	if d.TakesValue() {
		if value == "" {
			value = "VALUE"
		}
		names += " " + value
	}
	if s, ok := f.(cli.DocGenerationSliceFlag); ok && s.IsSliceFlag() {
		text += "; may be repeated"
	}
	if def := d.GetDefaultText(); def != "" && d.TakesValue() {
		text += " (default: " + strings.Trim(def, `"`) + ")"
	}
	return names, text
}
