package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// The flags that several commands share. Each function gives a fresh flag, since urfave/cli keeps state in them.

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON (schema 1) instead of text"}
}

func quietFlag() cli.Flag {
	return &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing but errors"}
}

func failOnFlag() cli.Flag {
	return &cli.StringFlag{Name: "fail-on", Value: "error", Usage: "`LEVEL`: exit with 1 for findings from this one up: note, warning, error"}
}

func atFlag() cli.Flag {
	return &cli.StringFlag{Name: "at", Usage: "`TIME`: judge as of then (2027-01-31, 2027-01-31T12:00:00Z, +90d)", DefaultText: "now"}
}

func libvirtFlag() cli.Flag {
	return &cli.StringFlag{Name: "libvirt", Usage: "`VERSION,...`: the libvirt versions that must accept it (9.0,11.3,12.8); auto: the installed one", DefaultText: "all known ones"}
}

func colorFlag() cli.Flag {
	return &cli.StringFlag{Name: "color", Value: "auto", Usage: "`WHEN`: colours in text: auto, never, always"}
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "`TIME`: limit of each stage of a connection"}
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what would be done; do nothing"}
}

// values gives the values of a flag that may be given once or several times.
func values(c *cli.Context, name string) []string {
	if s := c.String(name); s != "" && !strings.HasPrefix(s, "[") {
		return []string{s}
	}
	return c.StringSlice(name)
}

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE`: replace this file, at once", DefaultText: "standard output"}
}

// failOn reads --fail-on.
func failOn(c *cli.Context) (finding.Severity, error) {
	s, err := finding.ParseSeverity(c.String("fail-on"))
	if err != nil {
		return 0, invalid("--fail-on", c.String("fail-on"), err)
	}
	return s, nil
}

// judging reads --fail-on and --color, which the commands have that judge.
func (p *program) judging(c *cli.Context) (level finding.Severity, paint painter, err error) {
	if level, err = failOn(c); err == nil {
		paint, err = p.painter(c.String("color"))
	}
	return level, paint, err
}

// at reads --at; without it the present time.
func (p *program) at(c *cli.Context) (time.Time, error) {
	s := c.String("at")
	if s == "" {
		return p.now(), nil
	}
	if d, ok := strings.CutPrefix(s, "+"); ok {
		span, err := parseSpan(d)
		if err != nil {
			return time.Time{}, invalid("--at", s, err)
		}
		return p.now().Add(span), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--at %s: not a time", shellQuote(s)).hint("write 2027-01-31, 2027-01-31T12:00:00Z or +90d")
}

// parseSpan reads a length of time in days, weeks, years or Go's units: 90d, 2w, 10y, 36h.
func parseSpan(s string) (time.Duration, error) { return expiry.ParseSpan(s) }

// versions reads --libvirt; without it all measured versions.
func versions(c *cli.Context) ([]verify.Version, error) {
	s := c.String("libvirt")
	if s == "" || s == "all" {
		return verify.Measured(), nil
	}
	var out []verify.Version
	for _, w := range strings.Split(s, ",") {
		v, err := verify.ParseVersion(strings.TrimSpace(w))
		if err != nil {
			return nil, invalid("--libvirt", w, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// maxInput bounds what is read from one file: no certificate, configuration or list is anywhere near it.
const maxInput = 64 << 20

// read reads a file that something is to be read from, for an error that says what and where.
func (p *program) read(what, name string) ([]byte, error) {
	text, err := p.readFile(name)
	if err != nil {
		return nil, &readError{what, name, err}
	}
	return text, nil
}

// A readError says which file cannot be read.
type readError struct {
	what, name string
	err        error
}

func (e *readError) Error() string {
	reason := e.err
	var pe *fs.PathError
	if errors.As(reason, &pe) {
		reason = pe.Err
	}
	return fmt.Sprintf("reading %s %q: %s", e.what, e.name, reason)
}

func (e *readError) Unwrap() error { return e.err }

// Hints names what lets this user read it.
func (e *readError) Hints() []string {
	if errors.Is(e.err, fs.ErrPermission) {
		return []string{"run virt-pki as a user who may read it: ls -l " + shellQuote(e.name)}
	}
	return nil
}

// readFile reads a file, or standard input for "-", up to maxInput. A directory or a larger file is an error.
func (p *program) readFile(name string) ([]byte, error) {
	if name == "-" {
		return readLimited(p.stdin, "standard input")
	}
	f, err := os.Open(name)
	return readOpened(f, name, err)
}

// readOpened reads and closes a file that was just opened; err is that of opening it.
func readOpened(f *os.File, name string, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDirectory}
	}
	return readLimited(f, name)
}

var errIsDirectory error = syscall.EISDIR // so that its text in libvirt's messages is the C library's

func readLimited(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxInput {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d MiB", maxInput>>20)}
	}
	return b, nil
}

// parseDN reads the distinguished name that a flag was given.
func parseDN(flag, text string) (dn.Name, error) {
	n, err := dn.Parse(text)
	if err != nil {
		return dn.Name{}, invalid(flag, text, err)
	}
	return n, nil
}
