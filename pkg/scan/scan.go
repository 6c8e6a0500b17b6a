package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// Found is what was found in files. Its zero value is empty; several trees can be scanned into one.
type Found struct {
	// Certificates are all that were found, each once, CAs among them.
	Certificates []Certificate
	// Lists are the revocation lists that libvirt would go by, one for each issuer and file.
	Lists []List

	known map[string]int
}

// A Certificate is a certificate with the files that it was found in.
type Certificate struct {
	Cert  *certs.Certificate
	Files []string
}

// A List is a revocation list in a file.
type List struct {
	List *crl.List
	File string
}

// Limits of what Scan reads.
const (
	maxScanned     = 64 << 20
	maxScannedHead = 4096
)

// Scan looks for certificates and revocation lists in PEM in all files below a directory; shown gives the name of a file for
// the answer. It follows no links. What cannot be read is in the error, joined, and the rest is found.
func (s *Found) Scan(fsys fs.FS, shown func(string) string) error {
	var faults []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			faults = append(faults, fmt.Errorf("looking for certificates in %q: %w", shown(name), durable.Reason(err)))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !likely(name) {
			return nil
		}
		if err := s.file(fsys, name, shown(name)); err != nil {
			faults = append(faults, fmt.Errorf("looking for certificates in %q: %w", shown(name), durable.Reason(err)))
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// likely reports whether a file of this name may hold certificates: the usual endings, or none.
func likely(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".pem", ".crt", ".cer", ".cert", ".crl", "":
		return !strings.HasSuffix(name, "key.pem") // a private key need not be opened
	}
	return false
}

func (s *Found) file(fsys fs.FS, name, shown string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, maxScannedHead)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		if err == io.EOF {
			return nil
		}
		return err
	}
	head = head[:n]
	if bytes.IndexByte(head, 0) >= 0 { // no text
		return nil
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxScanned))
	if err != nil {
		return err
	}
	text := append(head, rest...)
	if bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) || bytes.Contains(text, []byte("-----BEGIN X509 CERTIFICATE-----")) {
		list, err := certs.ImportPEMList(text, 0)
		if err != nil {
			return err
		}
		for _, c := range list {
			s.add(c, shown)
		}
	}
	if bytes.Contains(text, []byte("-----BEGIN X509 CRL-----")) {
		lists, err := crl.ParsePEM(text)
		if err != nil {
			return err
		}
		for _, l := range crl.Effective(lists) {
			s.Lists = append(s.Lists, List{l, shown})
		}
	}
	return nil
}

func (s *Found) add(c *certs.Certificate, file string) {
	if s.known == nil {
		s.known = map[string]int{}
	}
	if i, ok := s.known[string(c.Raw)]; ok {
		if files := &s.Certificates[i].Files; !slices.Contains(*files, file) {
			*files = append(*files, file)
		}
		return
	}
	s.known[string(c.Raw)] = len(s.Certificates)
	s.Certificates = append(s.Certificates, Certificate{c, []string{file}})
}
