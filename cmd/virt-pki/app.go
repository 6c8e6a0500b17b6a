package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
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
	// With "--" before it urfave/cli takes no notice of the completion flag and would run the command on a TAB.
	if n := len(args) - 1; n > 0 && args[n] == "--generate-bash-completion" {
		for _, a := range args[:n] {
			if a == "--" {
				return exitClean
			}
		}
	}
	app := p.app()
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
	switch {
	case err == nil:
		return exitClean
	case errors.As(err, &s):
		return int(s)
	case errors.As(err, &u):
		p.complain(err)
		return exitUsage
	default:
		p.complain(err)
		return exitIncomplete
	}
}

// complain prints an error and the hints that it or its causes carry.
func (p *program) complain(err error) {
	fmt.Fprintf(p.stderr, "virt-pki: error: %s\n", err)
	for _, h := range hints(err) {
		fmt.Fprintf(p.stderr, "virt-pki: hint: %s\n", h)
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
	app := &cli.App{
		Name:                      "virt-pki",
		Usage:                     "a PKI and TLS toolkit for libvirt",
		Version:                   version(),
		Description:               appDescription,
		Reader:                    p.stdin,
		Writer:                    p.stdout,
		ErrWriter:                 p.stderr,
		HideHelpCommand:           true,
		EnableBashCompletion:      true,
		Suggest:                   true,
		DisableSliceFlagSeparator: true, // a DN is full of commas
		CustomAppHelpTemplate:     appHelp,
		ExitErrHandler:            func(*cli.Context, error) {}, // the status is run's business
		Commands:                  p.commands(),
	}
	app.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand(app, c.Args().First())
		}
		return cli.ShowAppHelp(c)
	}
	app.OnUsageError = onUsageError
	for _, c := range app.Commands {
		prepare(c)
	}
	return app
}

// prepare gives a command and its subcommands what urfave/cli does not inherit.
func prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	c.CustomHelpTemplate = commandHelp
	c.HideHelpCommand = true
	for _, s := range c.Subcommands {
		prepare(s)
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	e := usage("%s", strings.TrimPrefix(err.Error(), "flag provided but not defined: "))
	if strings.HasPrefix(err.Error(), "flag provided but not defined: ") {
		name := strings.TrimPrefix(err.Error(), "flag provided but not defined: ")
		e.message = fmt.Sprintf("unknown option %s", dashes(name))
		if s := suggestFlag(c, name); s != "" {
			e.hint("did you mean %s?", s)
		}
	}
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != "virt-pki" {
		e.hint("virt-pki %s --help lists the options", c.Command.Name)
	}
	return e
}

// dashes writes a flag as a user types it: the flag package reports -name for --name.
func dashes(name string) string {
	name = strings.TrimLeft(name, "-")
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func suggestFlag(c *cli.Context, name string) string {
	if c.Command == nil {
		return ""
	}
	s := cli.SuggestFlag(c.Command.Flags, strings.TrimLeft(name, "-"), false)
	return s
}

func unknownCommand(app *cli.App, name string) error {
	e := usage("there is no command %q", name)
	if s := cli.SuggestCommand(app.Commands, name); s != "" {
		e.hint("did you mean %s?", strings.TrimPrefix(s, "Did you mean "))
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
