package early

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

func init() {
	if text, ok := answer(os.Args); ok {
		_, _ = io.WriteString(os.Stdout, text) // as the command: whoever reads the output sees what is missing
		os.Exit(0)
	}
}

// maxFile is far more than a certificate has. Larger files are the command's.
const maxFile = 1 << 20

// answer gives the output for a command line, if it is one for this package.
func answer(args []string) (text string, ok bool) {
	files, ok := named(args)
	if !ok {
		return "", false
	}
	for _, name := range files {
		data, ok := read(name)
		if !ok {
			return "", false
		}
		dn, err := certs.QueryDN(data)
		if err != nil {
			return "", false
		}
		text += dn + "\n"
	}
	return text, true
}

// named gives the files of query-dn FILE..., or of the drop-in for libvirt's tool, which takes one.
func named(args []string) (files []string, ok bool) {
	switch {
	case len(args) == 2 && filepath.Base(args[0]) == "virt-pki-query-dn":
		files = args[1:]
	case len(args) > 2 && filepath.Base(args[0]) != "virt-pki-query-dn" && args[1] == "query-dn":
		files = args[2:]
	default:
		return nil, false
	}
	for _, f := range files {
		if strings.HasPrefix(f, "-") {
			return nil, false
		}
	}
	return files, true
}

// read reads a regular file. What can be read only once, such as a pipe, is left to the command.
func read(name string) ([]byte, bool) {
	if st, err := os.Stat(name); err != nil || !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, false
	}
	data, err := os.ReadFile(name)
	return data, err == nil
}
