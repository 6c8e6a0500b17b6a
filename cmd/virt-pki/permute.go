package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts options before the positional arguments, as GNU getopt does: urfave/cli would silently take an option
// that stands behind the first argument for an argument (`query-dn cert.pem --json`). "--" ends the options.
func permute(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	cmd := app.Command(args[1])
	if cmd == nil {
		return args, nil
	}
	head := 2
	for len(cmd.Subcommands) > 0 && len(args) > head {
		sub := findCommand(cmd.Subcommands, args[head])
		if sub == nil {
			break
		}
		cmd = sub
		head++
	}
	var options, rest []string
	tail := args[head:]
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
			return nil, usage("option %s needs a value", dashes(name)).hint("virt-pki %s --help lists the options", cmd.Name)
		}
		i++
		options = append(options, tail[i])
	}
	out := append(append([]string{}, args[:head]...), options...)
	if len(rest) > 0 {
		if rest[0] == "--generate-bash-completion" {
			return append(out, rest...), nil
		}
		out = append(append(out, "--"), rest...)
	}
	return out, nil
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
	for _, f := range cmd.Flags {
		for _, n := range f.Names() {
			if n == name {
				d, ok := f.(cli.DocGenerationFlag)
				return ok && d.TakesValue()
			}
		}
	}
	return false
}
