package probe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// maxFile bounds what is read of a file; libvirt's own bounds are lower, GnuTLS has none.
const maxFile = 64 << 20

// readFile is ReadFile of the zero Options.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("reading %q: more than %d bytes", path, maxFile)
	}
	return b, err
}

// settings are those of a libvirt.conf, looked at only when they are asked for, as libvirt does.
type settings struct{ file *conf.File }

// Settings reads the libvirt.conf of the caller described in o with read (nil: the system's files). A missing file is no
// settings: nil. The error is in libvirt's words.
func Settings(o uri.Options, read func(path string) ([]byte, error)) (uri.Settings, error) {
	if read == nil {
		read = readFile
	}
	path := o.ConfFile()
	b, err := read(path)
	if errors.Is(err, fs.ErrNotExist) || err != nil && strerror(err) == "Not a directory" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("Failed to open file '%s': %s", path, strerror(err)) //lint:ignore ST1005 libvirt's text
	}
	f, err := conf.Parse(b, path)
	if err != nil {
		return nil, err
	}
	return settings{f}, nil
}

// String gives a string setting (virConfGetValueString).
func (s settings) String(key string) (string, bool, error) {
	e, ok := s.file.Lookup(key)
	if !ok {
		return "", false, nil
	}
	if e.Value.Type != conf.String {
		return "", false, fmt.Errorf("internal error: %s: expected a string for '%s' parameter", s.file.Name(), key)
	}
	return e.Value.Text, true, nil
}

// Strings gives a list setting (virConfGetValueStringList).
func (s settings) Strings(key string) ([]string, bool, error) {
	e, ok := s.file.Lookup(key)
	if !ok {
		return nil, false, nil
	}
	v, ok := e.Value.Strings()
	if !ok {
		return nil, false, fmt.Errorf("internal error: %s: expected a string list for '%s' parameter", s.file.Name(), key)
	}
	return v, true, nil
}
