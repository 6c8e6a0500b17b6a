package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
)

// newerGnuTLS is the rendering that differs from the reference one.
const newerGnuTLS = dn.GnuTLS384

func (p *program) matchDNCommand() *cli.Command {
	return &cli.Command{
		Name:      "match-dn",
		Category:  "look",
		Usage:     "would tls_allowed_dn_list let this name in, and by which pattern, or why not",
		ArgsUsage: "[CERT]",
		Description: `Compares a name (as query-dn prints it) or a certificate's name with patterns as
libvirtd does: GLib's rules, "*" and "?" only. The answer of fnmatch(3), which libvirt
before 7.0 used, stands beside it.

EXAMPLES
   virt-pki match-dn clientcert.pem --conf /etc/libvirt/libvirtd.conf
   virt-pki match-dn --dn 'C=GB,O=Acme,CN=admin' --pattern 'C=GB,O=Acme,CN=*'

EXIT STATUS
   0 let in   1 kept out   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dn", Usage: "`DN|CERT`: the name, or a certificate file, instead of CERT"},
			&cli.StringSliceFlag{Name: "pattern", Usage: "`PATTERN`: an entry of the list"},
			&cli.StringFlag{Name: "conf", Aliases: []string{"c"}, Usage: "`FILE`: take tls_allowed_dn_list from it (libvirtd.conf, virtproxyd.conf)"},
			jsonFlag(), quietFlag(),
		},
		Action: p.matchDN,
	}
}

// A matchView is the answer of match-dn.
type matchView struct {
	Schema     int           `json:"schema"`
	DN         string        `json:"dn"`
	Allowed    bool          `json:"allowed"`
	Matched    *string       `json:"matched"`
	Patterns   []patternView `json:"patterns"`
	Reason     string        `json:"reason,omitempty"`
	Suggestion *string       `json:"suggestion"` // an entry that would let this name in
	Warnings   []string      `json:"warnings"`
}

type patternView struct {
	Pattern string `json:"pattern"`
	GLib    bool   `json:"glib"`
	Fnmatch bool   `json:"fnmatch"`
}

func (p *program) matchDN(c *cli.Context) error {
	const example = "virt-pki match-dn clientcert.pem --conf /etc/libvirt/libvirtd.conf"
	subject := c.String("dn")
	switch {
	case c.NArg() > 1 || c.NArg() == 1 && c.IsSet("dn"):
		return usage("match-dn compares one name, and %q is another", c.Args().Get(c.NArg()-1)).hint(example)
	case c.NArg() == 1:
		subject = c.Args().First()
	case !c.IsSet("dn"):
		return usage("match-dn needs a certificate or --dn").hint(example)
	}
	switch {
	case c.IsSet("conf") && c.IsSet("pattern"):
		return usage("--conf and --pattern exclude each other")
	case !c.IsSet("conf") && !c.IsSet("pattern"):
		return usage("match-dn needs --conf or --pattern, to compare the name with").hint(example)
	}
	name, err := p.nameOrCertificate(subject)
	if err != nil {
		return err
	}
	patterns := c.StringSlice("pattern")
	listed := true
	if c.IsSet("conf") {
		if patterns, listed, err = p.allowedList(c.String("conf")); err != nil {
			return err
		}
	}
	v, err := matchName(name, patterns, listed)
	if err != nil {
		return err
	}
	if err := p.show(c, v, func() { p.printMatch(v) }); err != nil {
		return err
	}
	if !v.Allowed {
		return status(exitFindings)
	}
	return nil
}

// matchName compares a name with patterns, one by one and as a list.
func matchName(name string, patterns []string, listed bool) (matchView, error) {
	v := matchView{Schema: 1, DN: name, Patterns: []patternView{}, Warnings: []string{}}
	if !listed {
		v.Allowed, v.Reason = true, "there is no tls_allowed_dn_list: libvirt does not look at names"
		return v, nil
	}
	list, err := dnmatch.NewList(patterns)
	if err != nil {
		return v, err
	}
	if !utf8.ValidString(name) {
		v.Warnings = append(v.Warnings, "the name is not valid UTF-8, which GLib's matcher demands: never issue such a certificate")
	}
	for i, text := range patterns {
		pattern, err := dnmatch.Compile(text)
		if err != nil {
			return v, err
		}
		switch {
		case pattern.Aborts(name):
			v.Warnings = append(v.Warnings, fmt.Sprintf("pattern %d, %q, and this name end the daemon: an assertion fails in g_utf8_strreverse",
				i+1, text))
		case pattern.Overreads(name):
			v.Warnings = append(v.Warnings, fmt.Sprintf("with pattern %d, %q, GLib reads beyond the end of this name: what happens is not defined",
				i+1, text))
		case !pattern.ValidUTF8():
			v.Warnings = append(v.Warnings, fmt.Sprintf("pattern %d, %q, is not valid UTF-8: it can end the daemon", i+1, text))
		}
		v.Patterns = append(v.Patterns, patternView{text, pattern.Match(name), pattern.MatchFnmatch(name)})
	}
	d := list.Decide(name)
	v.Allowed, v.Reason, v.Suggestion = d.Allowed, d.Reason, optional(d.Suggestion)
	if d.Allowed {
		v.Matched = &d.Matched
	}
	return v, nil
}

// nameOrCertificate reads what --dn was given: a file that exists, or else the name itself.
func (p *program) nameOrCertificate(s string) (string, error) {
	if s != "-" {
		if _, err := os.Stat(s); err != nil {
			if !strings.Contains(s, "=") && errors.Is(err, fs.ErrNotExist) {
				return "", usage("%q is neither a file nor a name such as C=GB,O=Acme,CN=admin", s)
			}
			return s, nil
		}
	}
	text, err := p.read("the certificate", s)
	if err != nil {
		return "", err
	}
	name, err := certs.QueryDN(text)
	if err != nil {
		return "", certificateError(s, text, err)
	}
	return name, nil
}

// certificateError says that a file's certificate cannot be read, and what cures it.
func certificateError(file string, text []byte, err error) error {
	return &hintedError{&fileError{file, "reading the certificate", plainError{err}}, certificateHints(file, text, err)}
}

// A hintedError is an error with hints of its caller's.
type hintedError struct {
	err   error
	hints []string
}

func (e *hintedError) Error() string   { return e.err.Error() }
func (e *hintedError) Unwrap() error   { return e.err }
func (e *hintedError) Hints() []string { return e.hints }

// plainError takes the hints from an error: its caller has better ones.
type plainError struct{ error }

// A fileError says which file was in the way.
type fileError struct {
	file, doing string
	err         error
}

func (e *fileError) Error() string { return e.doing + " in " + quote(e.file) + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }
