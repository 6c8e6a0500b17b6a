package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// A Spot is a layout that is there: its CA file exists.
type Spot struct {
	Place
	// Root is the directory that stands for the machine's /.
	Root string
}

// Shown gives a path of the place as it is called on this machine.
func (s Spot) Shown(path string) string { return filepath.Join(s.Root, path) }

// Read reads a regular file of the place.
func (s Spot) Read(name string) (text []byte, err error) {
	err = durable.Within(s.Root, func(d *durable.Dir) error {
		text, _, err = ReadIn(d, name)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading %q: %w", s.Shown(name), err)
	}
	return text, err
}

// Spots lists the layouts that are in a directory: a flat one, or a tree that stands for a machine's / (as / itself does), with
// the homes in it. Links are not followed out of a tree.
func Spots(dir string) ([]Spot, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for layouts: %w", err)
	}
	defer r.Close()
	var spots []Spot
	for _, p := range append([]Place{{Kind: PkiPath, Dir: "/"}}, Places(r.FS())...) {
		switch _, err := r.Lstat(Below(p.Paths(certs.Client).CA)); {
		case err == nil:
			spots = append(spots, Spot{p, dir})
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return nil, fmt.Errorf("looking for layouts: %w", err)
		}
	}
	return spots, nil
}

// Places lists the places of a machine, the system's and those of the users whose homes are in /root and below /home, whether or
// not anything lies there. tree is the machine's /.
func Places(tree fs.FS) []Place {
	var places []Place
	for _, k := range Kinds() {
		if k != User && k != PkiPath {
			places = append(places, Place{Kind: k})
		}
	}
	places = append(places, Place{Kind: User, Dir: "/root"})
	homes, _ := fs.ReadDir(tree, "home") // where there is none nobody has one
	for _, h := range homes {
		places = append(places, Place{Kind: User, Dir: "/home/" + h.Name()})
	}
	return places
}

// Below gives a path of a machine as a name below its root.
func Below(name string) string { return below(path.Clean(name)) }

// ReadIn reads a regular file of a machine, whose root is given.
func ReadIn(d *durable.Dir, name string) ([]byte, fs.FileInfo, error) {
	const most = 256 << 20
	info, err := d.Root().Lstat(Below(name))
	if err != nil {
		return nil, nil, durable.Reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, durable.ErrNotRegular
	}
	f, err := d.Root().Open(Below(name))
	if err != nil {
		return nil, nil, durable.Reason(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	return text, info, err
}
