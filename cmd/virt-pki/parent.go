package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// parent makes a command that only says which commands there are below it; hint is one that can be typed.
func parent(name, category, about, hint string, commands ...*cli.Command) *cli.Command {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Name
	}
	last := len(names) - 1
	words := strings.Join(names[:last], ", ") + " or " + names[last]
	return &cli.Command{
		Name: name, Category: category, Usage: about,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("%s %s: %s", name, quote(c.Args().First()), words).hint("%s", hint)
			}
			return usage("%s what? %s", name, words).hint("%s", hint)
		},
		Subcommands: commands,
	}
}
