package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// checkLayouts judges what lies in a directory: a flat pkipath, a tree that stands for a machine's /, a home. An empty dir is
// this machine.
func (p *program) checkLayouts(dir string, o checkOptions, v *checkView) error {
	root, places, err := p.places(dir, o)
	if err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return &readError{"the directory", root, err}
	}
	defer r.Close()
	for _, place := range places {
		if err := p.checkPlace(r, root, place, o, v); err != nil {
			return err
		}
	}
	if len(v.Checked) == 0 && len(v.Unchecked) == 0 {
		where := "on this machine"
		if dir != "" {
			where = "in " + quote(dir)
		}
		return fmt.Errorf("there are no credentials %s%w", where, errNothing)
	}
	return nil
}

// errNothing is the tail of a message; it carries the hint.
var errNothing = nothing{}

type nothing struct{}

func (nothing) Error() string { return "" }
func (nothing) Hints() []string {
	return []string{"DIR is a flat directory with cacert.pem, or a tree with etc/pki in it; virt-pki init makes one"}
}

// places lists where to look: the root directory, and the places below it.
func (p *program) places(dir string, o checkOptions) (root string, places []layout.Place, err error) {
	system := []layout.Place{}
	for _, k := range layout.Kinds() {
		if k != layout.User && k != layout.PkiPath {
			system = append(system, layout.Place{Kind: k})
		}
	}
	switch {
	case dir == "":
		root = "/"
		places = system
		if home := p.home(); filepath.IsAbs(home) {
			places = append(places, layout.Place{Kind: layout.User, Dir: home})
		}
	default:
		st, err := os.Stat(dir)
		if err != nil {
			return "", nil, &readError{"the directory", dir, err}
		}
		if !st.IsDir() {
			return "", nil, usage("%s is a file", dir).
				hint("virt-pki check --role server --ca-file cacert.pem --cert-file %s", shellQuote(dir))
		}
		root = dir
		places = append(places, layout.Place{Kind: layout.PkiPath, Dir: "/"})
		places = append(places, system...)
		places = append(places, layout.Place{Kind: layout.User, Dir: "/"}, layout.Place{Kind: layout.User, Dir: "/root"})
		homes, _ := os.ReadDir(filepath.Join(dir, "home"))
		for _, h := range homes {
			places = append(places, layout.Place{Kind: layout.User, Dir: "/home/" + h.Name()})
		}
	}
	if o.layouts != nil {
		for _, name := range o.layouts {
			if _, err := layout.ParseKind(name); err != nil {
				return "", nil, invalid("--layout", name, err)
			}
		}
		places = slices.DeleteFunc(places, func(pl layout.Place) bool { return !slices.Contains(o.layouts, string(pl.Kind)) })
	}
	return root, places, nil
}

// checkPlace judges one place, if anything is there.
func (p *program) checkPlace(r *os.Root, root string, place layout.Place, o checkOptions, v *checkView) error {
	uid := os.Geteuid()
	if root != "/" && uid != 0 {
		uid = -1 // a tree for another machine, made by an ordinary user: owners are not right yet
	}
	shown := func(path string) string { return filepath.Join(root, path) }
	audit := layout.AuditAs(r.FS(), place, uid, shown)
	if len(audit.Unchecked) == 0 && len(audit.Present) == 0 && !audit.CA {
		return nil
	}
	v.Findings = append(v.Findings, audit.Findings...)
	v.Findings = append(v.Findings, layout.AuditLabels(r.FS(), place, root == "/" && exists("/sys/fs/selinux/enforce"),
		func(path string) (string, error) { return layout.Label(shown(path)) }, shown)...)
	v.Unchecked = append(v.Unchecked, audit.Unchecked...)
	for _, role := range audit.Present {
		if o.role != 0 && role != o.role {
			continue
		}
		paths := place.Paths(role)
		read := func(name string) verify.File {
			data, err := readBelow(r, name)
			return verify.File{Path: shown(name), Data: data, Err: err}
		}
		set := fileSet{role: role, ca: read(paths.CA), cert: read(paths.Cert), key: read(paths.Key), crl: read(paths.CRL), qemu: place.Kind.ForQEMU()}
		for _, f := range place.Indexed(role) {
			pair := verify.Pair{Cert: read(f.Cert), Key: read(f.Key)}
			if pair.Cert.Missing() && pair.Key.Missing() {
				break
			}
			set.more = append(set.more, pair)
		}
		denied := false
		looked := []verify.File{set.ca, set.cert, set.key}
		for _, p := range set.more {
			looked = append(looked, p.Cert, p.Key)
		}
		for _, f := range looked {
			if errors.Is(f.Err, fs.ErrPermission) && os.Geteuid() != 0 {
				v.Unchecked = append(v.Unchecked, fmt.Sprintf("%s: permission denied; run as root", f.Path))
				denied = true
			}
		}
		if denied {
			continue
		}
		for _, p := range set.pairs() {
			v.Checked = append(v.Checked, fmt.Sprintf("%s, layout %s: %s", role, place.Kind, p.Cert.Path))
		}
		v.judge(set, o)
	}
	if len(audit.Present) == 0 && audit.CA && (o.role == 0 || o.role == certs.Client) && len(audit.Unchecked) == 0 {
		v.Checked = append(v.Checked, fmt.Sprintf("no identity, layout %s: only the CA file is there, %s", place.Kind, shown(place.Paths(certs.Client).CA)))
	}
	return nil
}

// readBelow reads a file of a tree; links must not lead out of it. A named pipe in a file's place, which the audit reports,
// reads as empty instead of waiting for someone who writes to it.
func readBelow(r *os.Root, name string) ([]byte, error) {
	for len(name) > 0 && name[0] == '/' {
		name = name[1:]
	}
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return readOpened(f, name, err)
}
