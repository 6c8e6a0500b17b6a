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

// queryDNVersion is what -v says: the version of libvirt whose tool this is a stand-in for.
const queryDNVersion = "9.0.0"

// queryDNDropIn does what virt-pki-query-dn of libvirt 9.0.0 does: the same options, results, error texts and exit
// statuses; only the usage text is our own.
func (p *program) queryDNDropIn(args []string) int {
	prog := filepath.Base(args[0])
	files, action, bad := getopt(args[1:])
	switch {
	case bad != "":
		p.say(p.stderr, args[0]+": "+bad+"\n"+dropInUsage(prog)) // getopt's messages have the path
		return 1
	case action == 'h':
		p.say(p.stdout, dropInUsage(prog))
		return 0
	case action == 'v':
		p.say(p.stdout, queryDNVersion+"\n")
		return 0
	case len(files) != 1:
		p.say(p.stderr, dropInUsage(prog))
		return 1
	}
	text, err := readWhole(files[0]) // here "-" is a file's name
	if err != nil {
		p.say(p.stderr, prog+": "+toolFileError(files[0], err)+"\n")
		return 1
	}
	name, err := certs.QueryDN(text)
	if err != nil {
		p.say(p.stderr, err.Error()+"\n")
		return 1
	}
	p.say(p.stdout, name+"\n")
	return 0
}

// readWhole reads a file as g_file_get_contents does, which takes up to 4 GiB.
func readWhole(name string) ([]byte, error) {
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() && st.Size() >= 4<<30 {
		return nil, errTooLarge{name}
	}
	return os.ReadFile(name)
}

type errTooLarge struct{ name string }

func (e errTooLarge) Error() string { return "File '" + e.name + "' is too large" }

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
			if name == "" {
				return nil, 0, "option '" + a + "' is ambiguous; possibilities: '--help' '--version'"
			}
			for _, long := range []string{"help", "version"} {
				if !strings.HasPrefix(long, name) {
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
