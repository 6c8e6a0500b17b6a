package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// queryDNTool is the name under which virt-pki behaves as libvirt's own tool does: a symbolic link of that name serves
// scripts that call it.
const queryDNTool = "virt-pki-query-dn"

// queryDNDropIn does what virt-pki-query-dn of libvirt 9.0.0 does: the same options, results, error texts and exit
// statuses; only the usage text is our own.
func (p *program) queryDNDropIn(args []string) int {
	prog := filepath.Base(args[0])
	files, action, bad := getopt(args[1:])
	switch {
	case bad != "":
		p.say(p.stderr, prog+": "+bad+"\n"+dropInUsage(args[0]))
		return 1
	case action == 'h':
		p.say(p.stdout, dropInUsage(args[0]))
		return 0
	case action == 'v':
		p.say(p.stdout, version()+"\n")
		return 0
	case len(files) != 1:
		p.say(p.stderr, dropInUsage(args[0]))
		return 1
	}
	text, err := os.ReadFile(files[0]) // here "-" is a file's name
	if err != nil {
		p.say(p.stderr, prog+": "+toolFileError(files[0], err)+"\n")
		return 1
	}
	cert, err := certs.ImportPEM(text)
	if err != nil {
		p.say(p.stderr, "Unable to load certificate, make sure it is in PEM format: "+err.Error()+"\n")
		return 1
	}
	name, err := cert.Subject.Text()
	if err != nil {
		p.say(p.stderr, "Failed to get distinguished name: "+err.Error()+"\n")
		return 1
	}
	p.say(p.stdout, name+"\n")
	return 0
}

// dropInUsage is what virt-pki says of itself when called as virt-pki-query-dn.
func dropInUsage(prog string) string {
	return fmt.Sprintf(`Usage: %s FILE | -h | -v

Prints the distinguished name of the first certificate in the PEM file FILE
as libvirtd compares it with tls_allowed_dn_list.

  -h, --help      this text
  -v, --version   the version
`, prog)
}

// getopt reads a command line as GNU getopt_long does for -h/--help and -v/--version: options may follow arguments, may
// be abbreviated, the first one decides. bad is getopt's complaint.
func getopt(args []string) (files []string, action byte, bad string) {
	for i, a := range args {
		switch {
		case a == "--":
			return append(files, args[i+1:]...), 0, ""
		case strings.HasPrefix(a, "--"):
			name, _, hasValue := strings.Cut(a[2:], "=")
			for _, long := range []string{"help", "version"} {
				if name == "" || !strings.HasPrefix(long, name) {
					continue
				}
				if hasValue && long == "help" {
					return nil, 0, "option '--help' doesn't allow an argument"
				}
				return nil, long[0], ""
			}
			return nil, 0, "unrecognized option '" + a + "'"
		case len(a) > 1 && a[0] == '-':
			if a[1] == 'h' || a[1] == 'v' {
				return nil, a[1], ""
			}
			return nil, 0, "invalid option -- '" + a[1:2] + "'"
		default:
			files = append(files, a)
		}
	}
	return files, 0, ""
}

func (p *program) say(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
