package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/virt-pki/virt-pki/pkg/cluster"
)

// The exit statuses. They are part of the command line's contract.
const (
	exitClean      = 0
	exitFindings   = 1 // findings at or above --fail-on, or "no" from a matcher
	exitUsage      = 2
	exitIncomplete = 3 // virt-pki could not do its job
)

// program is one run of virt-pki: its streams and what it takes from the outside world. Nothing below pkg/ looks at
// the environment or the clock; it is handed on from here.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
}

// status is an error that only carries an exit status; everything has been said already.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a wrong command line.
type usageError struct {
	message string
	hints   []string
}

func (e *usageError) Error() string   { return e.message }
func (e *usageError) Hints() []string { return e.hints }

func usage(format string, a ...any) *usageError {
	return &usageError{message: fmt.Sprintf(format, a...)}
}

func (e *usageError) hint(format string, a ...any) *usageError {
	if h := fmt.Sprintf(format, a...); h != "" {
		e.hints = append(e.hints, h)
	}
	return e
}

// invalid is a wrong value of an option (name with its dashes), with err's reason and hints.
func invalid(option, value string, err error) *usageError {
	return &usageError{fmt.Sprintf("%s %s: %s", option, shellQuote(value), err), hints(err)}
}

// run is the whole program: arguments (args[0] is the program's name) and streams in, an exit status out.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, now: time.Now}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return p.run(ctx, args)
}

func (p *program) run(ctx context.Context, args []string) int {
	if filepath.Base(args[0]) == queryDNTool {
		return p.queryDNDropIn(args)
	}
	app := p.app()
	if words, ok := completionRequest(args); ok {
		p.complete(app, words)
		return exitClean
	}
	if len(args) > 1 && args[1] == "help" {
		args = append(append([]string{args[0]}, args[2:]...), "--help")
	}
	args, err := permute(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	return p.report(err)
}

// report says on standard error what is to be said about err, and gives the exit status.
func (p *program) report(err error) int {
	var s status
	var u *usageError
	var f *cluster.FileError
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &s):
		return int(s)
	case errors.As(err, &u):
		p.complain(err)
		return exitUsage
	case errors.As(err, &f): // one message each
		for _, problem := range f.Problems {
			p.complain(problem)
		}
		return exitIncomplete
	default:
		p.complain(err)
		return exitIncomplete
	}
}

// complain prints an error and the hints that it or its causes carry, each once.
func (p *program) complain(err error) {
	fmt.Fprintf(p.stderr, "virt-pki: error: %s\n", err)
	said := map[string]bool{}
	for _, h := range hints(err) {
		if !said[h] {
			fmt.Fprintf(p.stderr, "virt-pki: hint: %s\n", h)
		}
		said[h] = true
	}
}

func (p *program) warn(format string, a ...any) {
	fmt.Fprintf(p.stderr, "virt-pki: warning: "+format+"\n", a...)
}

func (p *program) hint(format string, a ...any) {
	fmt.Fprintf(p.stderr, "virt-pki: hint: "+format+"\n", a...)
}

// hints walks the tree of causes.
func hints(err error) []string {
	var out []string
	if h, ok := err.(interface{ Hints() []string }); ok {
		out = append(out, h.Hints()...)
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if c := u.Unwrap(); c != nil {
			out = append(out, hints(c)...)
		}
	case interface{ Unwrap() []error }:
		for _, c := range u.Unwrap() {
			out = append(out, hints(c)...)
		}
	}
	return out
}

func (p *program) app() *cli.App {
	commands := p.commands()
	app := &cli.App{
		Name:                      "virt-pki",
		Usage:                     "a PKI and TLS toolkit for libvirt",
		Version:                   version(),
		Description:               appDescription,
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // a DN is full of commas
		CustomAppHelpTemplate:     appHelp(commands),
		ExitErrHandler:            func(*cli.Context, error) {}, // the status is run's business
		Commands:                  commands,
	}
	app.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand(app, c.Args().First())
		}
		return cli.ShowAppHelp(c)
	}
	app.OnUsageError = onUsageError
	for _, c := range app.Commands {
		p.prepare(c)
	}
	return app
}

// prepare gives a command and its subcommands what urfave/cli does not inherit.
func (p *program) prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	c.CustomHelpTemplate = commandHelp
	c.HideHelpCommand = true
	if findFlag(c, "json") != nil && findFlag(c, "color") == nil {
		// So that a script can give it to every command; what has no colours has none in any case.
		c.Flags = append(c.Flags, &cli.StringFlag{Name: "color", Hidden: true, Action: func(_ *cli.Context, mode string) error {
			_, err := p.painter(mode)
			return err
		}})
	}
	for _, s := range c.Subcommands {
		p.prepare(s)
	}
}

// onUsageError words the flag package's complaints the way a user types options.
func onUsageError(c *cli.Context, err error, _ bool) error {
	e := usage("%s", err)
	command := "virt-pki"
	if c.Command != nil && c.Command.HelpName != "" {
		command = c.Command.HelpName
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: "); ok {
		e.message = "unknown option " + dashes(name)
		if c.Command != nil {
			if s := nearest(strings.TrimLeft(name, "-"), flagNames(c.Command.Flags)); s != "" {
				e.hint("did you mean --%s?", s)
			}
		}
	} else if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		e.message = fmt.Sprintf("%s: %s is not %s", dashes(m[2]), m[1], valueKind(c.Command, m[2]))
	}
	return e.hint("%s --help lists the options", command)
}

// badValue is how the flag package says that a value does not fit; the value is quoted.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-(\S+): `)

// valueKind names what an option wants.
func valueKind(cmd *cli.Command, name string) string {
	if cmd != nil {
		switch findFlag(cmd, name).(type) {
		case *cli.BoolFlag:
			return "true or false; the option takes no value"
		case *cli.IntFlag:
			return "a number"
		case *cli.DurationFlag:
			return "a length of time such as 10s or 2m"
		}
	}
	return "a value for it"
}

// dashes writes a flag as a user types it: the flag package reports -name for --name.
func dashes(name string) string {
	name = strings.TrimLeft(name, "-")
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func unknownCommand(app *cli.App, name string) error {
	e := usage("there is no command %q", name)
	if s := nearest(name, append(commandNames(app.Commands), "help")); s != "" {
		e.hint("did you mean %s?", s)
	}
	return e.hint("virt-pki --help lists the commands")
}

// version is the module's version where the binary was built from one, else "devel".
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "devel"
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(s any) bool {
	f, ok := s.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
