package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// parcel lists what a bundle consists of: names without a leading slash, parents before children; a directory has no data.
func (b *Bundle) parcel() (names []string, data map[string][]byte, err error) {
	manifest, err := b.Manifest.marshal()
	if err != nil {
		return nil, nil, err
	}
	data = map[string][]byte{ManifestName: manifest}
	seen := map[string]bool{}
	for p, text := range b.files {
		p = strings.TrimPrefix(p, "/")
		data[p] = text
		for dir := path.Dir(p); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			names = append(names, dir)
		}
	}
	for p := range data {
		names = append(names, p)
	}
	sort.Strings(names)
	return names, data, nil
}

// Archive gives the bundle as a .tar.gz with everything in a directory of the host's name. It is the same, octet for octet,
// for the same host.
func (b *Bundle) Archive() ([]byte, error) {
	names, data, err := b.parcel()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	top := directoryName(b.Manifest.Name)
	head := func(name string, kind byte, mode, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: mode, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	}
	if err := head(top+"/", tar.TypeDir, 0o700, 0); err != nil {
		return nil, err
	}
	for _, n := range names {
		text, file := data[n]
		if !file {
			err = head(top+"/"+n+"/", tar.TypeDir, 0o700, 0)
		} else if err = head(top+"/"+n, tar.TypeReg, 0o600, int64(len(text))); err == nil {
			_, err = t.Write(text)
		}
		if err != nil {
			return nil, fmt.Errorf("packing %q: %w", n, err)
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// directoryName makes a file name of a host's name.
func directoryName(name string) string {
	s := strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' {
			return '_'
		}
		return r
	}, name)
	if strings.Trim(s, ".") == "" {
		return "host"
	}
	return s
}

// FileName is the usual name of the bundle's archive.
func (b *Bundle) FileName() string { return directoryName(b.Manifest.Name) + ".tar.gz" }

// WriteArchive writes the archive with mode 0600, whole or not at all. A file of that name is replaced if it is a bundle
// itself, and with force whatever it is.
func (b *Bundle) WriteArchive(name string, force bool) error {
	text, err := b.Archive()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(name); err == nil && !force {
		if _, err := Load(name); err != nil {
			return &OccupiedError{name, "is no bundle"}
		}
	}
	return durable.WriteFile(name, text, 0o600, true)
}

// An OccupiedError says that something is in a bundle's place.
type OccupiedError struct{ Path, Reason string }

// Error names the path.
func (e *OccupiedError) Error() string {
	return fmt.Sprintf("writing %q: it is there already and %s", e.Path, e.Reason)
}

// Is makes it an fs.ErrExist.
func (e *OccupiedError) Is(target error) bool { return target == fs.ErrExist }

// Hints gives the remedy.
func (e *OccupiedError) Hints() []string { return []string{"choose another name, or remove it first"} }

// WriteTree writes the bundle as a directory, which must not be there or be empty. It appears whole or not at all, with mode
// 0700; files have mode 0600.
func (b *Bundle) WriteTree(dir string) error {
	names, data, err := b.parcel()
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(abs); err == nil && len(entries) > 0 {
		return &OccupiedError{dir, "is not empty"}
	}
	parent, err := durable.Open(filepath.Dir(abs))
	if err != nil {
		return fmt.Errorf("writing %q: %w", dir, err)
	}
	defer parent.Close()
	stage, err := parent.Stage(filepath.Base(abs))
	if err != nil {
		return fmt.Errorf("writing %q: %w", dir, err)
	}
	defer stage.Discard()
	for _, n := range names {
		if text, file := data[n]; file {
			err = stage.Write(durable.File{Name: n, Data: text, Mode: 0o600})
		} else {
			_, err = stage.Mkdir(n, 0o700, nil)
		}
		if err != nil {
			return err
		}
	}
	return stage.Publish(0o700, nil)
}
