package main

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

func (p *program) queryDNCommand() *cli.Command {
	return &cli.Command{
		Name:      "query-dn",
		Category:  "look",
		Usage:     "the name of a certificate exactly as libvirt matches it",
		ArgsUsage: "FILE...",
		Description: `Prints for each PEM file the distinguished name of its first certificate as
virt-pki-query-dn does: the text that libvirtd compares with tls_allowed_dn_list.
"-" is standard input. Called as virt-pki-query-dn it behaves as that tool does.

EXAMPLES
   virt-pki query-dn /etc/pki/libvirt/clientcert.pem
   virt-pki query-dn --all clientcert.pem     also in openssl's and certtool's spelling

EXIT STATUS
   0 all files had a name   2 wrong usage   3 some file had none`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also print what openssl and certtool make of the name"},
			jsonFlag(), quietFlag(),
		},
		Action: p.queryDN,
	}
}

// A nameView is one file's answer.
type nameView struct {
	File  string  `json:"file"`
	DN    string  `json:"dn"`
	Error *string `json:"error"`
	// With --all.
	OpenSSL  string `json:"openssl,omitempty"`
	Certtool string `json:"certtool,omitempty"`
	GnuTLS38 string `json:"gnutls_3_8,omitempty"`

	hints []string
}

func (p *program) queryDN(c *cli.Context) error {
	if !c.Args().Present() {
		return usage("query-dn needs a certificate file").hint("virt-pki query-dn /etc/pki/libvirt/clientcert.pem")
	}
	var views []nameView
	failed := false
	for _, name := range c.Args().Slice() {
		v := p.nameOf(name, c.Bool("all"))
		failed = failed || v.Error != nil
		views = append(views, v)
	}
	if c.Bool("quiet") && !c.Bool("json") {
		p.printNames(slices.DeleteFunc(views, func(v nameView) bool { return v.Error == nil }), false)
	} else if err := p.show(c, struct {
		Schema int        `json:"schema"`
		Items  []nameView `json:"items"`
	}{1, views}, func() { p.printNames(views, c.Bool("all")) }); err != nil {
		return err
	}
	if failed {
		return status(exitIncomplete)
	}
	return nil
}

// nameOf reads a certificate's name in all spellings wanted.
func (p *program) nameOf(file string, all bool) nameView {
	v := nameView{File: file}
	fail := func(msg string, hints ...string) nameView {
		v.Error, v.hints = &msg, hints
		return v
	}
	text, err := p.readFile(file)
	if err != nil {
		return fail(toolFileError(file, err))
	}
	if v.DN, err = certs.QueryDN(text); err != nil {
		return fail(err.Error(), certificateHints(file, text, err)...)
	}
	if all {
		cert, err := certs.ImportPEM(text)
		if err != nil {
			return fail(err.Error(), hints(err)...)
		}
		v.OpenSSL, v.Certtool = cert.Subject.OpenSSL(), cert.Subject.Certtool()
		if newer, err := cert.Subject.TextFor(newerGnuTLS); err == nil && newer != v.DN {
			v.GnuTLS38 = newer
		}
	}
	return v
}

// certificateHints gives what cures a certificate file that cannot be read; DER is recognised.
func certificateHints(file string, text []byte, err error) []string {
	if _, derErr := certs.Import(text); derErr == nil {
		return []string{"it is DER; libvirt reads PEM only: openssl x509 -inform DER -in " + shellQuote(file) + " -out cert.pem"}
	}
	if len(text) == 0 {
		return []string{"the file is empty"}
	}
	return hints(err)
}

// toolFileError words an unreadable file as virt-pki-query-dn does (GLib's g_file_get_contents).
func toolFileError(file string, err error) string {
	if errors.Is(err, errIsDirectory) {
		return "Error reading file “" + file + "”: Is a directory"
	}
	var pe *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &pe) && errors.As(pe.Err, &errno) {
		return "Failed to open file “" + file + "”: " + errnoText(errno)
	}
	return err.Error()
}

// errnoText is strerror's text where Go's differs only in case.
func errnoText(e syscall.Errno) string {
	s := e.Error()
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		s = string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
