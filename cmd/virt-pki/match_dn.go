package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
)

// newerGnuTLS is the rendering that differs from the reference one.
const newerGnuTLS = dn.GnuTLS384

func (p *program) matchDNCommand() *cli.Command {
	return &cli.Command{
		Name:     "match-dn",
		Category: "look",
		Usage:    "would tls_allowed_dn_list let this name in, and which pattern, or why not",
		Description: `Compares a name (as query-dn prints it) or a certificate's name with patterns as
libvirtd does: GLib's rules, "*" and "?" only. The answer of fnmatch(3), which libvirt
before 7.0 used, stands beside it.

EXAMPLES
   virt-pki match-dn --dn clientcert.pem --conf /etc/libvirt/libvirtd.conf
   virt-pki match-dn --dn 'C=GB,O=Acme,CN=admin' --pattern 'C=GB,O=Acme,CN=*'

EXIT STATUS
   0 let in   1 kept out   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dn", Usage: "`DN|CERT`: the name, or a certificate file"},
			&cli.StringSliceFlag{Name: "pattern", Usage: "`PATTERN`: an entry of the list"},
			&cli.StringFlag{Name: "conf", Usage: "`FILE`: take tls_allowed_dn_list from it (libvirtd.conf, virtproxyd.conf)"},
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
	Suggestion string        `json:"suggestion,omitempty"`
	Warnings   []string      `json:"warnings,omitempty"`
}

type patternView struct {
	Pattern string `json:"pattern"`
	GLib    bool   `json:"glib"`
	Fnmatch bool   `json:"fnmatch"`
}

func (p *program) matchDN(c *cli.Context) error {
	if c.Args().Present() {
		return usage("match-dn takes no argument %q", c.Args().First()).
			hint("virt-pki match-dn --dn %s --pattern '...'", shellQuote(c.Args().First()))
	}
	if !c.IsSet("dn") {
		return usage("match-dn needs --dn").hint("virt-pki match-dn --dn clientcert.pem --conf /etc/libvirt/libvirtd.conf")
	}
	if c.IsSet("conf") == c.IsSet("pattern") {
		return usage("match-dn needs either --conf or --pattern")
	}
	name, err := p.nameOrCertificate(c.String("dn"))
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
	switch {
	case c.Bool("json"):
		if err := p.printJSON(v); err != nil {
			return err
		}
	case !c.Bool("quiet"):
		p.printMatch(v)
	}
	if !v.Allowed {
		return status(exitFindings)
	}
	return nil
}

// matchName compares a name with patterns, one by one and as a list.
func matchName(name string, patterns []string, listed bool) (matchView, error) {
	v := matchView{Schema: 1, DN: name, Patterns: []patternView{}}
	if !listed {
		v.Allowed, v.Reason = true, "there is no tls_allowed_dn_list: libvirt does not look at names"
		return v, nil
	}
	list, err := dnmatch.NewList(patterns)
	if err != nil {
		return v, err
	}
	for _, text := range patterns {
		pattern, err := dnmatch.Compile(text)
		if err != nil {
			return v, err
		}
		v.Patterns = append(v.Patterns, patternView{text, pattern.Match(name), pattern.MatchFnmatch(name)})
	}
	d := list.Decide(name)
	v.Allowed, v.Matched, v.Reason, v.Suggestion = d.Allowed, nil, d.Reason, d.Suggestion
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
				return "", usage("--dn %q is neither a file nor a name such as C=GB,O=Acme,CN=admin", s)
			}
			return s, nil
		}
	}
	text, err := p.readFile(s)
	if err != nil {
		return "", err
	}
	cert, err := certs.ImportPEM(text)
	if err != nil {
		return "", &fileError{s, "reading the certificate", err}
	}
	name, err := cert.Subject.Text()
	if err != nil {
		return "", &fileError{s, "reading the certificate's name", err}
	}
	return name, nil
}

// A fileError says which file was in the way.
type fileError struct {
	file, doing string
	err         error
}

func (e *fileError) Error() string { return e.doing + " in " + quote(e.file) + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }
