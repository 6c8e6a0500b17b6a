package installation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Plan is how a host's tree, as package cluster lays it, comes onto the machine that it is for. It can be
// printed before it is done.
type Plan struct {
	Items []Item
	// Kinds are the layouts that are in the tree.
	Kinds []layout.Kind

	root  string
	files []layout.File
	o     Options
}

// An Item is one file or directory of a Plan.
type Item struct {
	layout.Item
	Fate Fate
	// Backup is the name under which the file that is replaced is kept.
	Backup string
}

// A Fate is what becomes of a file of the tree.
type Fate string

// The fates.
const (
	Added       Fate = "new"
	Unchanged   Fate = "unchanged"
	Replaced    Fate = "replaced"
	ModeChanged Fate = "mode" // the content is right, owner or mode are not
)

// Options say how far a Plan may go.
type Options struct {
	layout.WriteOptions
	// Kinds are the layouts to install; nil: all that are in the tree.
	Kinds []layout.Kind
	// QEMUGroup is the group that QEMU runs as on this machine, see layout.Place.
	QEMUGroup string
	// Force replaces private keys, and newer revocation lists by older ones. What is replaced is kept.
	Force bool
}

// A MisfitError says that the tree is of no use as it is: a key that is not its certificate's, a file that cannot be read.
type MisfitError struct{ Findings []finding.Finding }

// Error gives the first fault.
func (e *MisfitError) Error() string {
	more := ""
	if n := len(e.Findings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return strings.TrimSuffix(e.Findings[0].Message, ".") + more
}

// Hints gives the remedies.
func (e *MisfitError) Hints() []string {
	var out []string
	for _, f := range e.Findings {
		if f.Remedy != "" && !slices.Contains(out, f.Remedy) {
			out = append(out, f.Remedy)
		}
	}
	return out
}

// A RefusedError says what is not replaced unasked.
type RefusedError struct {
	Keys  []string // private keys that are there and others
	Lists []string // revocation lists that are newer
}

// Error names the files.
func (e *RefusedError) Error() string {
	var parts []string
	if len(e.Keys) > 0 {
		parts = append(parts, "another private key is there: "+strings.Join(e.Keys, ", "))
	}
	if len(e.Lists) > 0 {
		parts = append(parts, "a newer revocation list is there: "+strings.Join(e.Lists, ", "))
	}
	return "installing: " + strings.Join(parts, "; ")
}

// Is makes it an fs.ErrExist.
func (e *RefusedError) Is(target error) bool { return target == fs.ErrExist }

// Hints names the option.
func (e *RefusedError) Hints() []string {
	return []string{"--force replaces it and keeps the old one beside it, as .bak"}
}

// ErrNoTree says that there is nothing to install.
var ErrNoTree = errors.New("there are no credentials of a host in it")

// Compare compares a host's tree with what lies below root, which is / or stands for it. Keys are compared with their
// certificates first. The errors include *MisfitError, *RefusedError and ErrNoTree.
func Compare(source fs.FS, root string, o Options) (*Plan, error) {
	on, err := openGround(root)
	if err != nil {
		return nil, err
	}
	defer on.close()
	in := &Plan{root: root, o: o}
	refused := &RefusedError{}
	var misfits []finding.Finding
	for _, place := range placesIn(source) {
		if o.Kinds != nil && !slices.Contains(o.Kinds, place.Kind) {
			continue
		}
		if place.Kind.ForQEMU() {
			place.Group = o.QEMUGroup
		}
		if place.Kind == layout.User {
			if info, err := on.root.Root().Stat(layout.Below(place.Dir)); err != nil || !info.IsDir() {
				return nil, &NoHomeError{place.Dir}
			}
		}
		files, faults, err := filesOf(source, on, place)
		if err != nil {
			return nil, err
		}
		misfits = append(misfits, faults...)
		if !slices.Contains(in.Kinds, place.Kind) {
			in.Kinds = append(in.Kinds, place.Kind)
		}
		for _, f := range files {
			if slices.ContainsFunc(in.files, func(g layout.File) bool { return g.Path == f.Path }) {
				continue // /etc/pki, which several have
			}
			item, err := in.compare(on, f, refused)
			if err != nil {
				return nil, err
			}
			in.files, in.Items = append(in.files, f), append(in.Items, item)
		}
	}
	switch {
	case len(in.files) == 0:
		return nil, ErrNoTree
	case misfits != nil:
		return nil, &MisfitError{misfits}
	case len(refused.Keys)+len(refused.Lists) > 0 && !o.Force:
		return nil, refused
	}
	return in, nil
}

// A NoHomeError says that a tree has files for a user who is not on the machine.
type NoHomeError struct{ Home string }

// Error names the home.
func (e *NoHomeError) Error() string {
	return fmt.Sprintf("the tree has files for the home directory %q, which is not there", e.Home)
}

// Hints gives the remedy.
func (e *NoHomeError) Hints() []string {
	return []string{"make the user first, or leave these files out: --layout libvirt"}
}

// placesIn lists the layouts of a tree.
func placesIn(source fs.FS) []layout.Place {
	return slices.DeleteFunc(layout.Places(source), func(p layout.Place) bool {
		_, err := fs.Stat(source, layout.Below(p.Paths(certs.Client).CA))
		return err != nil
	})
}

// filesOf reads a layout's files from the tree, and says what is wrong with them.
func filesOf(source fs.FS, on *ground, place layout.Place) ([]layout.File, []finding.Finding, error) {
	read := func(name string) verify.File {
		b, err := fs.ReadFile(source, layout.Below(name))
		return verify.File{Path: name, Data: b, Err: err}
	}
	c := layout.Contents{}
	trust := place.Paths(certs.Client)
	ca, list := read(trust.CA), read(trust.CRL)
	for _, f := range []verify.File{ca, list} {
		if f.Err != nil && !f.Missing() {
			return nil, nil, f.Err
		}
	}
	c.CA = ca.Data
	if !list.Missing() {
		c.CRL = list.Data
	}
	var faults []finding.Finding
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		paths := place.Paths(role)
		cert, key := read(paths.Cert), read(paths.Key)
		if cert.Missing() && key.Missing() {
			continue
		}
		for _, f := range []verify.File{cert, key} {
			if f.Err != nil && !f.Missing() {
				return nil, nil, f.Err
			}
		}
		own := key
		if key.Missing() {
			// The certificate for a request comes without its key, which is on the machine.
			d, name, err := on.at(paths.Key)
			if err != nil {
				return nil, nil, err
			}
			if b, err := d.ReadFile(name); err == nil {
				own = verify.File{Path: paths.Key, Data: b}
			}
		}
		loaded := verify.Files{Role: role, CA: ca, CRL: list, Cert: cert, Key: own, KeyUnknown: own.Missing(), NoSanity: true,
			At: time.Time{}, Libvirt: verify.V12_8}.Read()
		for _, f := range loaded.Findings {
			if f.Severity == finding.Error {
				faults = append(faults, f)
			}
		}
		if role == certs.Client && !key.Missing() {
			if info, err := fs.Stat(source, layout.Below(paths.Key)); err == nil && info.Mode().Perm()&0o044 == 0 {
				place.PrivateClientKey = true
			}
		}
		c.Identities = append(c.Identities, layout.Identity{Role: role, Cert: cert.Data, Key: key.Data})
	}
	return place.Fill(c), faults, nil
}

// compare says what becomes of a file.
func (in *Plan) compare(on *ground, f layout.File, refused *RefusedError) (Item, error) {
	item := Item{Item: f.Item, Fate: Added}
	d, name, err := on.at(f.Path)
	if err != nil {
		return item, err
	}
	info, err := d.Root().Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return item, nil
	case err != nil:
		var pe *fs.PathError // its own path has the names of links in it
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: err}
	case info.Mode()&fs.ModeSymlink != 0:
		if f.Shared {
			item.Fate = Unchanged
			return item, nil
		}
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: durable.ErrSymlink}
	case f.Part == layout.Directory && info.IsDir():
		item.Fate = Unchanged
		if !f.Shared && in.differs(info, f.Item) {
			item.Fate = ModeChanged
		}
		return item, nil
	case f.Part == layout.Directory || !info.Mode().IsRegular():
		return item, &durable.Error{Op: "open", Path: d.Path(name), Err: durable.ErrNotRegular}
	}
	old, err := d.ReadFile(name)
	if err != nil {
		return item, err
	}
	if bytes.Equal(old, f.Data) {
		item.Fate = Unchanged
		if in.differs(info, f.Item) {
			item.Fate = ModeChanged
		}
		return item, nil
	}
	item.Fate = Replaced
	if item.Backup, err = freeName(on, f.Path); err != nil {
		return item, err
	}
	switch f.Part {
	case layout.Key:
		refused.Keys = append(refused.Keys, f.Path)
	case layout.CRL:
		if older(f.Data, old) {
			refused.Lists = append(refused.Lists, f.Path)
		}
	}
	return item, nil
}

// differs reports whether mode or, where they are set, owner and group are other than they should be.
func (in *Plan) differs(info fs.FileInfo, i layout.Item) bool {
	if info.Mode().Perm() != in.mode(i) {
		return true
	}
	owner, err := in.owner(i)
	st, ok := info.Sys().(*syscall.Stat_t)
	return err == nil && owner != nil && ok && (owner.UID != int(st.Uid) || i.Group != "" && owner.GID != int(st.Gid))
}

// mode is an item's mode, as layout.Write sets it.
func (in *Plan) mode(i layout.Item) fs.FileMode {
	if i.Part == layout.Key && i.Group != "" && !in.o.SetOwners {
		return 0o600
	}
	return i.Mode
}

// owner gives who shall own an item; nil: who installs it.
func (in *Plan) owner(i layout.Item) (*durable.Owner, error) {
	if !in.o.SetOwners {
		return nil, nil
	}
	o := &durable.Owner{}
	if !i.System {
		o.UID, o.GID = in.userOf(i.Path)
	}
	if i.Group != "" {
		gid, err := in.o.LookupGroup(i.Group)
		if err != nil {
			return nil, fmt.Errorf("looking up the group %q: %w", i.Group, err)
		}
		o.GID = gid
	}
	return o, nil
}

// userOf gives who owns the home directory in which a path lies.
func (in *Plan) userOf(name string) (uid, gid int) {
	home := homeOf(name)
	r, err := os.OpenRoot(in.root)
	if err != nil {
		return in.o.UID, in.o.GID
	}
	defer r.Close()
	if info, err := r.Stat(layout.Below(home)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid), int(st.Gid)
		}
	}
	return in.o.UID, in.o.GID
}

// freeName finds a name for a backup.
func freeName(on *ground, name string) (string, error) {
	for i := range 1000 {
		free := name + ".bak"
		if i > 0 {
			free = fmt.Sprintf("%s.bak.%d", name, i)
		}
		d, there, err := on.at(free)
		if err != nil {
			return "", err
		}
		taken, err := d.Has(there)
		if err != nil {
			return "", err
		}
		if !taken {
			return free, nil
		}
	}
	return "", fmt.Errorf("too many backups of %q", name)
}

// older reports whether one of the new lists is older than one that is there of the same issuer.
func older(text, there []byte) bool {
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return false // the check afterwards says so
	}
	old, err := crl.ParsePEM(there)
	if err != nil {
		return false
	}
	for _, l := range lists {
		for _, o := range old {
			var e *crl.OlderError
			if bytes.Equal(l.Issuer.DER(), o.Issuer.DER()) && errors.As(l.CheckNewer(o), &e) {
				return true
			}
		}
	}
	return false
}

// Apply puts the tree onto the machine: what is replaced is kept first, then all files are written and synchronised under
// temporary names and get their own one right after the other, keys before certificates.
func (in *Plan) Apply() error {
	on, err := openGround(in.root)
	if err != nil {
		return err
	}
	defer on.close()
	for _, i := range in.Items {
		if i.Backup == "" {
			continue
		}
		if err := keep(on, i, in.o.SetOwners); err != nil {
			return fmt.Errorf("keeping %q: %w", i.Path, err)
		}
	}
	// A user's files have other owners than the next user's.
	groups := map[string][]layout.File{}
	var order []string
	for _, f := range in.files {
		home := homeOf(f.Path)
		if groups[home] == nil {
			order = append(order, home)
		}
		f.Path = strings.TrimPrefix(f.Path, home)
		groups[home] = append(groups[home], f)
	}
	for _, home := range order {
		d, _, err := on.at(home + "/")
		if err != nil {
			return err
		}
		o := in.o.WriteOptions
		o.Replace, o.ReplaceKeys = true, in.o.Force
		if o.UID, o.GID = 0, 0; home != "" {
			o.UID, o.GID = in.userOf(home)
		}
		if _, err := layout.Write(d, groups[home], o); err != nil {
			return err
		}
	}
	for _, i := range in.Items {
		if i.Fate != ModeChanged {
			continue
		}
		owner, err := in.owner(i.Item)
		if err != nil {
			return err
		}
		d, name, err := on.at(i.Path)
		if err != nil {
			return err
		}
		if owner != nil {
			if err := d.Root().Lchown(name, owner.UID, owner.GID); err != nil {
				return err
			}
		}
		if err := d.Root().Chmod(name, in.mode(i.Item)); err != nil {
			return err
		}
	}
	return nil
}

// keep copies a file that is to be replaced, with its mode and, where they are set, its owner.
func keep(on *ground, i Item, owners bool) error {
	d, name, err := on.at(i.Path)
	if err != nil {
		return err
	}
	info, err := d.Root().Lstat(name)
	if err != nil {
		return err
	}
	old, err := d.ReadFile(name)
	if err != nil {
		return err
	}
	_, backup, err := on.at(i.Backup)
	if err != nil {
		return err
	}
	if i.Part == layout.Key {
		defer clear(old)
	}
	var owner *durable.Owner
	if st, ok := info.Sys().(*syscall.Stat_t); ok && owners {
		owner = &durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return d.Write(layout.Backup(backup, i.Part, old, info, owner))
}

// A ground is where an installation puts its files: below the machine's root, and what is a user's below the user's home. So no
// link that the user has made there leads root, who installs, to files and directories of others.
type ground struct {
	root  *durable.Dir
	homes map[string]*durable.Dir
}

func openGround(root string) (*ground, error) {
	d, err := durable.Open(root)
	return &ground{d, map[string]*durable.Dir{}}, err
}

func (g *ground) close() {
	g.root.Close()
	for _, d := range g.homes {
		d.Close()
	}
}

// at gives the directory that a path of the machine is worked on from, and its name there.
func (g *ground) at(name string) (*durable.Dir, string, error) {
	home := homeOf(name)
	if home == "" {
		return g.root, layout.Below(name), nil
	}
	if g.homes[home] == nil {
		d, err := g.root.Below(layout.Below(home))
		if err != nil {
			return nil, "", err
		}
		g.homes[home] = d
	}
	return g.homes[home], layout.Below(strings.TrimPrefix(name, home)), nil
}

// homeOf gives the home directory that a path is in, "" where it is in none.
func homeOf(name string) string {
	if strings.HasPrefix(name, "/root/") || name == "/root" {
		return "/root"
	}
	if rest, ok := strings.CutPrefix(name, "/home/"); ok {
		user, _, _ := strings.Cut(rest, "/")
		return "/home/" + user
	}
	return ""
}
