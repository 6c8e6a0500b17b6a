package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// checkLayouts judges what lies in a directory: a flat pkipath, a tree that stands for a machine's /, a home. An empty dir is
// this machine.
func (p *program) checkLayouts(dir string, o checkOptions, v *checkView) error {
	if h, err := bundle.Recognise(dir); h != nil || err != nil {
		if err != nil {
			return err
		}
		return p.checkBundle(h, o, v)
	}
	root, places, err := p.places(dir, o)
	if err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return &readError{"the directory", root, err}
	}
	defer r.Close()
	t := checkTree{fsys: r.FS(), read: func(name string) ([]byte, error) { return readBelow(r, name) }, uid: os.Geteuid(),
		shown: func(path string) string { return filepath.Join(root, path) }, all: os.Geteuid() == 0}
	t.labels, err = labelsBelow(root, t.read)
	if err != nil {
		v.Unchecked = append(v.Unchecked, "the SELinux labels: "+err.Error())
	}
	if root != "/" && t.uid != 0 {
		t.uid = -1 // a tree for another machine, made by an ordinary user: owners are not right yet
	}
	for _, place := range places {
		p.checkPlace(t, place, o, v)
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
			e := usage("%s is a file", dir)
			if strings.HasSuffix(dir, ".conf") {
				return "", nil, e.hint("virt-pki conf %s", shellQuote(dir)).hint("virt-pki preflight --conf %s", shellQuote(dir))
			}
			return "", nil, e.hint("virt-pki check --role server --ca-file cacert.pem --cert-file %s", shellQuote(dir))
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

// A checkTree is where check looks: below a directory, or in a bundle.
type checkTree struct {
	fsys fs.FS
	read func(name string) ([]byte, error)
	// withheld gives what is known of a key that is not at hand; nil: all are.
	withheld func(name string) *verify.WithheldKey
	// shown is how a path is called in findings.
	shown func(path string) string
	// uid is who should own what is not the system's, -1 for nobody in particular.
	uid int
	// labels are the SELinux labels; nil: they are not known, or of another machine.
	labels func(place layout.Place) *layout.Labels
	// all says that everything can be read here, so that what cannot be read, libvirt cannot read either.
	all bool
}

// file reads a file for a verdict.
func (t checkTree) file(name string) verify.File {
	data, err := t.read(name)
	return verify.File{Path: t.shown(name), Data: data, Err: err}
}

// key is file for a private key.
func (t checkTree) key(name string) verify.File {
	if t.withheld != nil {
		if w := t.withheld(name); w != nil {
			return verify.File{Path: t.shown(name), Withheld: w}
		}
	}
	return t.file(name)
}

// checkPlace judges one place, if anything is there.
func (p *program) checkPlace(t checkTree, place layout.Place, o checkOptions, v *checkView) {
	shown := t.shown
	audit := layout.Audit(t.fsys, place, t.uid, shown)
	if len(audit.Unchecked) == 0 && len(audit.Present) == 0 && !audit.CA {
		return
	}
	v.Findings = append(v.Findings, audit.Findings...)
	if t.labels != nil {
		if l := t.labels(place); l != nil {
			found, unchecked := layout.AuditLabels(t.fsys, place, *l, shown)
			v.Findings, v.Unchecked = append(v.Findings, found...), append(v.Unchecked, unchecked...)
		}
	}
	v.Unchecked = append(v.Unchecked, audit.Unchecked...)
	for _, role := range audit.Present {
		if o.role != 0 && role != o.role {
			continue
		}
		paths := place.Paths(role)
		set := fileSet{role: role, ca: t.file(paths.CA), cert: t.file(paths.Cert), key: t.key(paths.Key), crl: t.file(paths.CRL), qemu: place.Kind.ForQEMU()}
		for _, f := range place.Indexed(role) {
			pair := verify.Pair{Cert: t.file(f.Cert), Key: t.key(f.Key)}
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
			if errors.Is(f.Err, fs.ErrPermission) && !t.all {
				v.Unchecked = append(v.Unchecked, fmt.Sprintf("%s: permission denied; run as root", f.Path))
				denied = true
			}
		}
		if denied {
			continue
		}
		for _, p := range set.pairs() {
			v.Checked = append(v.Checked, fmt.Sprintf("%s, layout %s: %s", role, place.Kind, p.Cert.Path))
			if w := p.Key.Withheld; w != nil && w.PublicKey == nil && w.Rule == "" {
				v.Unchecked = append(v.Unchecked, fmt.Sprintf("whether %s is the key of its certificate: it could not be read when it was collected", p.Key.Path))
			}
		}
		v.judge(set, o)
	}
	if len(audit.Present) == 0 && audit.CA && (o.role == 0 || o.role == certs.Client) && len(audit.Unchecked) == 0 {
		v.Checked = append(v.Checked, fmt.Sprintf("no identity, layout %s: only the CA file is there, %s", place.Kind, shown(place.Paths(certs.Client).CA)))
	}
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
