package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts a command line into the order that urfave/cli understands: the command, its options, "--", its
// arguments. As with GNU getopt options may stand anywhere; urfave/cli would silently take one that stands behind the
// first argument for an argument (`query-dn cert.pem --json`), and one before the command for its own. "--" ends the
// options.
func permute(app *cli.App, args []string) ([]string, error) {
	head := []string{args[0]}
	tail := slices.Clone(args[1:])
	var cmd *cli.Command
	commands := app.Commands
	for len(commands) > 0 {
		i := firstWord(tail, commands)
		if i < 0 {
			break
		}
		next := findCommand(commands, tail[i])
		if next == nil {
			if cmd == nil {
				return nil, unknownCommand(app, tail[i])
			}
			break // the command says itself which subcommands there are
		}
		cmd = next
		head = append(head, tail[i])
		tail = slices.Delete(tail, i, i+1)
		commands = cmd.Subcommands
	}
	if cmd == nil {
		return args, nil
	}
	var options, rest []string
	for i := 0; i < len(tail); i++ {
		a := tail[i]
		if a == "--" {
			rest = append(rest, tail[i+1:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		options = append(options, a)
		name := strings.TrimLeft(a, "-")
		if strings.Contains(name, "=") || !takesValue(cmd, name) {
			continue
		}
		if i+1 >= len(tail) {
			return nil, usage("option %s needs a value", dashes(name)).hint("%s --help lists the options", strings.Join(names(head), " "))
		}
		i++
		options = append(options, tail[i])
	}
	out := append(head, options...)
	if len(rest) > 0 {
		out = append(append(out, "--"), rest...)
	}
	return out, nil
}

// names gives a command's words with the program's own name in front, not the path by which it was called.
func names(head []string) []string { return append([]string{"virt-pki"}, head[1:]...) }

// firstWord finds the first word that is neither an option nor an option's value: the place of a command's name. It
// gives -1 where there is none, or where the version is asked for.
func firstWord(args []string, commands []*cli.Command) int {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--", a == "--version", a == "-v":
			return -1
		case len(a) < 2 || a[0] != '-':
			return i
		}
		name := strings.TrimLeft(a, "-")
		if !strings.Contains(name, "=") && slices.ContainsFunc(commands, func(c *cli.Command) bool { return valued(c, name) }) {
			i++
		}
	}
	return -1
}

// valued reports whether the command or one below it has an option of that name with a value.
func valued(c *cli.Command, name string) bool {
	return takesValue(c, name) || slices.ContainsFunc(c.Subcommands, func(s *cli.Command) bool { return valued(s, name) })
}

func findCommand(cmds []*cli.Command, name string) *cli.Command {
	for _, c := range cmds {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether the option of that name is followed by a value.
func takesValue(cmd *cli.Command, name string) bool {
	f := findFlag(cmd, name)
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// findFlag gives the command's option of that name, or nil.
func findFlag(cmd *cli.Command, name string) cli.Flag {
	for _, f := range cmd.Flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}
