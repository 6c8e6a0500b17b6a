package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// defaultDue is that of renew.
const defaultDue = 0.33

// defaultCALife is how long a CA lasts.
const defaultCALife = 10 * 365 * 24 * time.Hour

// ParseFile reads a cluster file. Relative paths in it are meant from the directory dir, which is that of the file. An error
// is a *FileError with everything that is wrong.
func ParseFile(file, dir string, text []byte) (*Cluster, error) {
	doc, values := parseTOML(file, text)
	if values == nil {
		if len(doc.problems) == 0 {
			values = map[string]any{}
		} else {
			return nil, doc.err()
		}
	}
	r := &fileReader{document: doc, dir: dir, members: map[string]string{}}
	c := &Cluster{File: file, doc: doc, lines: r.members, Priorities: map[string]string{}}
	r.read(c, doc.table("", values))
	if err := doc.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// A fileReader turns tables into a Cluster.
type fileReader struct {
	*document
	dir      string
	members  map[string]string // path by name
	versions []verify.Version
	defaults struct {
		role     certs.Role
		kinds    []layout.Kind
		key      certs.KeyAlgorithm
		lifetime time.Duration
		priority string
		list     string
	}
	lists map[string]Access
	used  map[string]bool
}

// read reads the whole file. Every table says which keys it has by asking for them; the template documents each.
func (r *fileReader) read(c *Cluster, top *table) {
	r.lists, r.used = map[string]Access{}, map[string]bool{}
	authority, defaults, lists := top.sub("authority"), top.sub("defaults"), top.sub("dn_lists")
	strict := r.readAuthority(c, orEmpty(authority, r.document, "authority"))
	r.readDefaults(c, orEmpty(defaults, r.document, "defaults"))
	out, hasOut := top.text("out", "cluster")
	flat, hasFlat := top.text("pkipath", "pki")
	switch {
	case hasOut && hasFlat:
		r.problem("pkipath", "keep out for one tree per host, pkipath for one flat directory", "out and pkipath exclude each other")
	case hasFlat:
		c.Dir, c.Flat = r.path(flat), true
	default:
		c.Dir = r.path(out)
	}
	if c.Dir == c.Founding.Dir {
		r.problem("out", "the authority has a directory of its own: [authority] dir = \"authority\"", "this is the directory of the authority, too")
	}
	r.readLists(lists)
	hosts, clients := top.each("hosts"), top.each("clients")
	for _, t := range hosts {
		r.readMember(c, t, true)
	}
	for _, t := range clients {
		r.readMember(c, t, false)
	}
	top.done()
	if len(hosts)+len(clients) == 0 && !r.damaged && !slices.ContainsFunc(r.problems, func(p *Problem) bool { return p.Key == "hosts" || p.Key == "clients" }) {
		r.problem("", "write [[hosts]] and below it name = \"kvm1.example.com\"", "neither a host nor a client is named")
	}
	r.checkAccess(c)
	c.Policy = PolicyFor(r.versions, strict)
	if len(r.problems) == 0 {
		r.checkSpec(c)
	}
}

// orEmpty stands for a table that is not there, so that its keys are known.
func orEmpty(t *table, d *document, path string) *table {
	if t == nil {
		return d.table(path, nil)
	}
	return t
}

// path gives a path of the file, which may be relative to it.
func (r *fileReader) path(s string) string {
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(r.dir, s)
}

// value reads one text with a function; an error is noted with its hints.
func value[T any](t *table, key, example string, read func(string) (T, error)) (out T, there bool) {
	s, ok := t.text(key, example)
	if !ok {
		return out, false
	}
	out, err := read(s)
	if err != nil {
		t.fault(t.at(key), err)
		return out, false
	}
	return out, true
}

// values reads a list of texts with a function.
func values[T any](t *table, key, example string, read func(string) (T, error)) (out []T, paths []string, there bool) {
	list, at, there := t.texts(key, example)
	for i, s := range list {
		v, err := read(s)
		if err != nil {
			t.fault(at[i], err)
			continue
		}
		out, paths = append(out, v), append(paths, at[i])
	}
	return out, paths, there
}

// fault notes an error of a value.
func (t *table) fault(path string, err error) {
	remedy := strings.Join(hint.Of(err), "; ")
	var member *MemberError
	if errors.As(err, &member) {
		err = member.Err
	}
	t.doc.problem(path, remedy, "%v", err)
}

func parseLifetime(s string) (time.Duration, error) {
	d, err := expiry.ParseSpan(s)
	if err == nil && d < time.Minute {
		err = fmt.Errorf("%q is too short a life for a certificate", s)
	}
	return d, err
}

func (r *fileReader) readAuthority(c *Cluster, t *table) (strict bool) {
	f := &c.Founding
	dir, ok := t.text("dir", AuthorityName)
	if !ok {
		dir = AuthorityName
	}
	f.Dir = r.path(dir)
	if f.Subject, ok = value(t, "subject", "O=Example,CN=Example CA", dn.Parse); !ok {
		f.Subject, _ = dn.Parse("CN=virt-pki CA")
	}
	f.Key, _ = value(t, "key", "ecdsa-p256", certs.ParseKeyAlgorithm)
	if f.Lifetime, ok = value(t, "lifetime", "10y", parseLifetime); !ok {
		f.Lifetime = defaultCALife
	}
	for _, key := range []string{"permit", "exclude"} {
		list, paths, _ := t.texts(key, "example.com")
		for i, s := range list {
			if err := f.Constraints.ParseConstraint(s, key == "exclude"); err != nil {
				t.fault(paths[i], err)
			}
		}
	}
	strict = t.flag("strict_key_usage")
	t.done()
	return strict
}

func (r *fileReader) readDefaults(c *Cluster, t *table) {
	d := &r.defaults
	role, ok := value(t, "role", "peer", parseHostRole)
	if d.role = role; !ok {
		d.role = certs.Server
	}
	d.kinds = r.kinds(t)
	c.Base, c.HasBase = value(t, "base", "C=GB,O=Example", dn.Parse)
	d.key, _ = value(t, "key", "ecdsa-p256", certs.ParseKeyAlgorithm)
	d.lifetime, _ = value(t, "lifetime", "365d", parseLifetime)
	if c.Due, ok = value(t, "renew", "33%", func(s string) (expiry.Threshold, error) { return expiry.ParseThreshold(s, expiry.ParseSpan) }); !ok {
		c.Due = expiry.Threshold{Share: defaultDue}
	}
	if v, ok := value(t, "libvirt", "9.0", parseVersions); ok {
		r.versions = append(r.versions, v...)
	}
	d.priority = r.priority(c, t)
	d.list, _ = t.text("dn_list", "admins")
	c.QEMUGroup, _ = t.text("qemu_group", "kvm")
	c.PrivateClientKey = t.flag("private_client_key")
	t.done()
}

// parseVersions reads several versions, as the option --libvirt has them.
func parseVersions(s string) (out []verify.Version, err error) {
	for _, w := range strings.Split(s, ",") {
		v, err := verify.ParseVersion(strings.TrimSpace(w))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// kinds reads layouts.
func (r *fileReader) kinds(t *table) []layout.Kind {
	list, paths, _ := values(t, "layouts", "libvirt", layout.ParseKind)
	seen := map[layout.Kind]bool{}
	for i, k := range list {
		switch {
		case k == layout.PkiPath:
			r.problem(paths[i], `write pkipath = "DIR" at the top of the file, in place of out`, "a flat directory is one for all")
		case seen[k]:
			r.problem(paths[i], "", "the layout %s is named twice", k)
		}
		seen[k] = true
	}
	return list
}

// priority reads a priority string and has it judged.
func (r *fileReader) priority(c *Cluster, t *table) string {
	s, ok := t.text("priority", "NORMAL:-VERS-TLS1.1")
	if !ok {
		return ""
	}
	path := t.at("priority")
	for _, f := range priority.Judge(fmt.Sprintf("%s:%d", r.file, r.index.lines[path]), s, priority.Options{}) {
		if f.Severity == finding.Error {
			r.problem(path, f.Remedy, "%s", f.Message)
			continue
		}
		c.Findings = append(c.Findings, f)
	}
	return s
}

func (r *fileReader) readLists(t *table) {
	if t == nil {
		return
	}
	var names []string
	for name := range t.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		one := t.sub(name)
		if one == nil {
			continue
		}
		a := Access{List: name}
		a.Patterns, _, _ = values(one, "patterns", "C=GB,O=Example,CN=*", func(s string) (string, error) {
			_, err := dnmatch.Compile(s)
			return s, err
		})
		a.Clients, _, _ = one.texts("clients", "admin")
		if len(a.Patterns) == 0 && one.values["patterns"] == nil {
			r.problem(one.path, "write patterns = [\"C=GB,O=Example,CN=*\"]; virt-pki query-dn CERT prints the name of a certificate", "the list has no patterns, and lets nobody in")
		}
		one.doc.asked["dn_lists.NAME"] = one.asked
		one.done()
		delete(r.asked, withoutIndices(one.path))
		r.lists[name] = a
	}
}
