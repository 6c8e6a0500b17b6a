package main

const appDescription = `virt-pki issues the certificates that libvirt's TLS needs, checks them before a daemon is
switched over to TLS, and says after a real handshake what libvirt makes of them. Every
verdict is what real libvirt does, by version; see "virt-pki explain" for the rules.`

const appHelp = `virt-pki - {{.Usage}}

USAGE
   virt-pki COMMAND [OPTIONS] [ARGUMENTS]

{{.Description}}

COMMANDS{{range .VisibleCategories}}{{if .Name}}

   {{.Name}}{{end}}{{range .VisibleCommands}}
     {{printf "%-12s" .Name}} {{.Usage}}{{end}}{{end}}

   virt-pki COMMAND --help says more. Options may stand anywhere; -- ends them.

EXIT STATUS
   0 clean   1 findings, or "no" from a matcher   2 wrong usage   3 could not complete
`

const commandHelp = `{{.HelpName}} - {{.Usage}}

USAGE
   {{.HelpName}}{{if .Subcommands}} COMMAND{{end}}{{if .VisibleFlags}} [OPTIONS]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleCommands}}
COMMANDS{{range .VisibleCommands}}
   {{printf "%-12s" .Name}} {{.Usage}}{{end}}
{{end}}{{if .VisibleFlags}}
OPTIONS{{range .VisibleFlags}}
   {{.}}{{end}}
{{end}}`
