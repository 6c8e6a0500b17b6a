package main

import "github.com/urfave/cli/v2"

// caCommand is the parent of the commands about the authority itself; each lives in a file of its own, ca_NAME.go, and is
// listed here. Names of the list are those of the usage line.
func (p *program) caCommand(commands ...*cli.Command) *cli.Command {
	names, words := "", ""
	for i, c := range commands {
		switch {
		case i == 0:
			names, words = c.Name, c.Name
		case i == len(commands)-1:
			names, words = names+"|"+c.Name, words+" or "+c.Name
		default:
			names, words = names+"|"+c.Name, words+", "+c.Name
		}
	}
	return &cli.Command{
		Name: "ca", Category: "live", Usage: "the authority itself: " + words, ArgsUsage: names,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("ca %s: %s", quote(c.Args().First()), words).hint("virt-pki ca --help")
			}
			return usage("ca what? %s", words).hint("virt-pki ca --help")
		},
		Subcommands: commands,
	}
}
