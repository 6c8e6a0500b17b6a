package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/selinux"
)

// labelsBelow says what is known of the SELinux labels of the machine whose / is root. A tree that has no policy, such as one that init has
// made, gets its labels when it is installed; then only flat directories are compared, with the policy of this machine.
func labelsBelow(root string, read selinux.Reader) (func(layout.Place) *layout.Labels, error) {
	label := func(path string) (string, error) { return layout.Label(filepath.Join(root, path)) }
	own, err := policyLabels(read, root == "/")
	if own != nil || err != nil || root == "/" {
		if own == nil {
			own = &layout.Labels{Mode: selinux.ReadMode(read)}
		}
		own.Read = label
		return func(layout.Place) *layout.Labels { return own }, err
	}
	flat, err := policyLabels(os.ReadFile, true)
	if flat == nil {
		return nil, err
	}
	abs, _ := filepath.Abs(root)
	expected := flat.Expected
	flat.Read = label
	flat.Expected = func(path string, kind fs.FileMode) (string, error) { return expected(filepath.Join(abs, path), kind) }
	return func(p layout.Place) *layout.Labels {
		if p.Kind == layout.PkiPath {
			return flat
		}
		return nil
	}, nil
}

// labelsOf gives the labels of a machine whose / is root for collect; nil: it has no SELinux.
func labelsOf(root string) (*layout.Labels, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, nil // collect says it
	}
	defer r.Close()
	read := func(name string) ([]byte, error) { return readBelow(r, name) }
	if root == "/" {
		read = os.ReadFile
	}
	l, err := policyLabels(read, root == "/")
	if l == nil {
		mode := selinux.ReadMode(read)
		if mode == selinux.Absent {
			return nil, err
		}
		l = &layout.Labels{Mode: mode}
	}
	l.Read = func(path string) (string, error) { return layout.Label(filepath.Join(root, path)) }
	return l, err
}

// policyLabels reads a machine's policy; nil: it has none. resolve says that it is this one, where links can be followed.
func policyLabels(read selinux.Reader, resolve bool) (*layout.Labels, error) {
	p, err := selinux.Load(read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &layout.Labels{Mode: selinux.ReadMode(read), Customizable: p.Customizable, Expected: func(path string, kind fs.FileMode) (string, error) {
		if resolve {
			// restorecon follows links, but for the file itself.
			if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
				path = filepath.Join(dir, filepath.Base(path))
			}
		}
		return p.Label(path, kind)
	}}, nil
}
