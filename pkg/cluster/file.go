package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Cluster is what a cluster file says: the authority, its hosts and clients, and who may connect to whom.
type Cluster struct {
	// File is the file's name as it was given.
	File string
	// Founding says how the authority is made where there is none.
	Founding Founding
	// Dir is where the members' trees are, or the flat directory itself.
	Dir string
	// Flat says that Dir is a flat directory (layout.PkiPath).
	Flat bool
	// Base begins every subject that is not given; HasBase says whether the file has one. Otherwise it is the CA's name
	// without its CN.
	Base    dn.Name
	HasBase bool
	// Members are the hosts and the clients, in the order of the file.
	Members []Member
	// Access are the allow lists of hosts.
	Access []Access
	// Due says when a certificate is renewed.
	Due expiry.Threshold
	// Policy is what the authority's certificates must be good for.
	Policy ca.Policy
	// QEMUGroup and PrivateClientKey are those of a Spec.
	QEMUGroup        string
	PrivateClientKey bool
	// Priorities are the priority strings of members, by name.
	Priorities map[string]string
	// Findings are what is worth knowing about the file: weak priority strings.
	Findings []finding.Finding

	doc   *document
	lines map[string]string // the path of a member in the file
}

// Founding says how an authority is made.
type Founding struct {
	// Dir is the authority's directory.
	Dir         string
	Subject     dn.Name
	Key         certs.KeyAlgorithm
	Lifetime    time.Duration
	Constraints ca.Constraints
}

// Access is who may connect to a host: the tls_allowed_dn_list of its daemon.
type Access struct {
	// Host is the host's name, List the list's.
	Host, List string
	// Patterns are the entries of the list.
	Patterns []string
	// Clients are members that the list must let in.
	Clients []string
}

// defaultDue is that of renew.
const defaultDue = 0.33

// defaultCALife is how long a CA lasts.
const defaultCALife = 10 * 365 * 24 * time.Hour

// BaseOf gives a CA's name without its final CN, with which subjects begin that are given by a CN only. Where a CN would
// remain there is no base: it would not be one.
func BaseOf(subject dn.Name) dn.Name {
	rdns, err := subject.RDNs()
	if err != nil {
		return dn.Name{}
	}
	isCN := func(a dn.Attribute) bool { return a.Type == "CN" }
	if n := len(rdns); n > 0 && slices.ContainsFunc(rdns[n-1], isCN) {
		subject, rdns = subject.Parent(), rdns[:n-1]
	}
	if slices.ContainsFunc(rdns, func(rdn []dn.Attribute) bool { return slices.ContainsFunc(rdn, isCN) }) {
		return dn.Name{}
	}
	return subject
}

// PolicyFor gives the policy for peers of these versions: the oldest of them and every measured one that is not older must
// accept a certificate, and so must all that are named. None: the default.
func PolicyFor(named []verify.Version, strict bool) ca.Policy {
	p := ca.Policy{StrictKeyUsage: strict}
	if len(named) == 0 {
		return p
	}
	oldest := named[0]
	for _, v := range named[1:] {
		if olderLibvirt(v, oldest) {
			oldest = v
		}
	}
	p.Libvirt = ca.Since(oldest)
	for _, v := range named {
		if !slices.Contains(p.Libvirt, v) {
			p.Libvirt = append(p.Libvirt, v)
		}
	}
	return p
}

func olderLibvirt(a, b verify.Version) bool {
	return !a.AtLeast(b.Major, b.Minor) || a.Major == b.Major && a.Minor == b.Minor && (a.Micro < b.Micro || !a.NoKeyEncipherment && b.NoKeyEncipherment)
}

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

// parseHostRole reads the role of a host.
func parseHostRole(s string) (certs.Role, error) {
	switch s {
	case "server":
		return certs.Server, nil
	case "peer":
		return certs.Peer, nil
	case "client":
		return 0, errors.New(`a client stands below [[clients]]; a host is "server", or "peer" when guests migrate to and from it`)
	}
	return 0, fmt.Errorf(`%q is no role of a host: "server", or "peer" when guests migrate to and from it`, s)
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

// readMember reads a host or a client.
func (r *fileReader) readMember(c *Cluster, t *table, host bool) {
	var m Member
	name, ok := t.text("name", "kvm1.example.com")
	m.Role = certs.Client
	var names []string
	var addresses []netip.Addr
	if host {
		m.Role = r.defaults.role
		if role, ok := value(t, "role", "peer", parseHostRole); ok {
			m.Role = role
		}
		names, _, _ = values(t, "names", "kvm1", func(s string) (string, error) {
			n, a, err := ca.ParseHost(s)
			if err == nil && a.IsValid() {
				err = fmt.Errorf("%s is an address; write addresses = [%q]", s, s)
			}
			return n, err
		})
		addresses, _, _ = values(t, "addresses", "192.0.2.1", func(s string) (netip.Addr, error) {
			_, a, err := ca.ParseHost(s)
			if err == nil && !a.IsValid() {
				err = fmt.Errorf("%q is no address; write names = [%q]", s, s)
			}
			return a, err
		})
	}
	if m.Home, _ = t.text("home", "/home/admin"); m.Home != "" && !filepath.IsAbs(m.Home) {
		r.problem(t.at("home"), "", "%q must be absolute, as on the machine it is for", m.Home)
	}
	m.Subject, _ = value(t, "subject", "C=GB,O=Example,CN=admin", dn.Parse)
	if m.Kinds = r.kinds(t); len(m.Kinds) == 0 {
		m.Kinds = r.defaults.kinds
	}
	if c.Flat {
		m.Kinds = nil
	}
	if m.Key, _ = value(t, "key", "ecdsa-p256", certs.ParseKeyAlgorithm); m.Key == "" {
		m.Key = r.defaults.key
	}
	if m.Lifetime, _ = value(t, "lifetime", "365d", parseLifetime); m.Lifetime == 0 {
		m.Lifetime = r.defaults.lifetime
	}
	if v, ok := value(t, "libvirt", "11.3", verify.ParseVersion); ok {
		r.versions = append(r.versions, v)
	}
	prio := r.priority(c, t)
	if prio == "" {
		prio = r.defaults.priority
	}
	list := ""
	if host {
		if list, _ = t.text("dn_list", "admins"); list == "" {
			list = r.defaults.list
		} else if _, known := r.lists[list]; !known {
			hint := fmt.Sprintf("write [dn_lists.%s] and below it patterns = [...]", list)
			var names []string
			for n := range r.lists {
				names = append(names, n)
			}
			slices.Sort(names)
			if near := nearest(list, names); near != "" {
				hint = "did you mean " + near + "?"
			}
			r.problem(t.at("dn_list"), hint, "there is no list %q", list)
			list = ""
		}
	}
	t.done()
	if !ok {
		if _, there := t.values["name"]; !there && !r.damaged {
			r.problem(t.path, `write name = "kvm1.example.com"`, "it has no name")
		}
		return
	}
	var err error
	if m.Name = name; host {
		if n, a, err := ca.ParseHost(name); err != nil {
			t.fault(t.at("name"), err)
			return
		} else if m.Name = n; a.IsValid() {
			m.Name, m.Addresses = a.String(), []netip.Addr{a}
		} else {
			m.Names = []string{n}
		}
		for _, n := range names {
			if !slices.Contains(m.Names, n) {
				m.Names = append(m.Names, n)
			}
		}
		for _, a := range addresses {
			if !slices.Contains(m.Addresses, a) {
				m.Addresses = append(m.Addresses, a)
			}
		}
	} else if m, err = parseClient(m); err != nil {
		t.fault(t.at("name"), err)
		return
	}
	key := strings.ToLower(m.Name)
	if before, twice := r.members[key]; twice {
		r.problem(t.at("name"), "", "%q is named on line %d already", m.Name, r.index.lines[before+".name"])
		return
	}
	r.members[key] = t.path
	if prio != "" {
		c.Priorities[m.Name] = prio
	}
	if list != "" {
		a := r.lists[list]
		a.Host = m.Name
		c.Access = append(c.Access, a)
	}
	c.Members = append(c.Members, m)
}

func parseClient(m Member) (Member, error) {
	if strings.Contains(m.Name, ",") {
		return m, errors.New("a client has one name; addresses are for hosts")
	}
	return m, nil
}

// checkAccess checks what the lists name.
func (r *fileReader) checkAccess(c *Cluster) {
	roles, names := map[string]certs.Role{}, []string{}
	for _, m := range c.Members {
		roles[m.Name] = m.Role
		names = append(names, m.Name)
	}
	var lists []string
	for name := range r.lists {
		lists = append(lists, name)
	}
	slices.Sort(lists)
	for _, name := range lists {
		for i, client := range r.lists[name].Clients {
			path := fmt.Sprintf("%s[%d]", joinKey(joinKey("dn_lists", name), "clients"), i)
			role, known := roles[client]
			switch {
			case !known && !r.damaged:
				hint := "name it below [[clients]], or leave it out here"
				if near := nearest(client, names); near != "" {
					hint = "did you mean " + near + "?"
				}
				r.problem(path, hint, "there is no client %q in this file", client)
			case role == certs.Server:
				r.problem(path, `write role = "peer" with the host if it connects to others`, "%q is a server only, and connects to nobody", client)
			}
		}
	}
	if d := r.defaults.list; d != "" {
		if _, known := r.lists[d]; !known {
			hint := fmt.Sprintf("write [dn_lists.%s] and below it patterns = [...]", d)
			if near := nearest(d, lists); near != "" {
				hint = "did you mean " + near + "?"
			}
			r.problem("defaults.dn_list", hint, "there is no list %q", d)
		}
	}
}

// checkSpec says at the member's line what is wrong with a member.
func (r *fileReader) checkSpec(c *Cluster) {
	err := c.Spec(time.Time{}, dn.Name{}).check()
	for _, e := range leaves(err) {
		var m *MemberError
		if errors.As(e, &m) {
			r.problem(r.members[strings.ToLower(m.Member.Name)]+".name", strings.Join(hint.Of(e), "; "), "%v", m.Err)
			continue
		}
		r.problem("pkipath", strings.Join(hint.Of(e), "; "), "%v", e)
	}
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, leaves(e)...)
		}
		return out
	}
	return []error{err}
}

// Whole reports whether everything can be made in one step that happens or does not: the authority is to be in the directory
// of the files, and that is not there or empty.
func (c *Cluster) Whole() bool {
	dir, err := filepath.Abs(c.Dir)
	return err == nil && c.Founding.Dir == filepath.Join(c.Dir, AuthorityName) && Spec{Dir: c.Dir}.free(dir) == nil
}

// Spec gives what the file asks for as a Spec. The subject is the CA's, with whose name subjects begin unless the file says
// another beginning.
func (c *Cluster) Spec(now time.Time, subject dn.Name) Spec {
	s := Spec{Members: c.Members, Dir: c.Dir, Base: c.Base, QEMUGroup: c.QEMUGroup, PrivateClientKey: c.PrivateClientKey, Now: now}
	if !c.HasBase {
		s.Base = BaseOf(subject)
	}
	if c.Flat {
		s.Kinds = []layout.Kind{layout.PkiPath}
	}
	return s
}

// Line gives the line of a member in the file, 0 for one that is not in it.
func (c *Cluster) Line(member string) int {
	path, ok := c.lines[strings.ToLower(member)]
	if !ok {
		return 0
	}
	return c.doc.index.lines[path+".name"]
}

// Missing gives what the file asks for and none of the entries, which are those in force, is for.
func (c *Cluster) Missing(entries []inventory.Entry) ([]inventory.Entry, error) {
	identity := func(host string, role certs.Role, kind string) string {
		return host + "\x00" + role.String() + "\x00" + kind
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[identity(e.Host, e.Role, e.Layout)] = true
	}
	var out []inventory.Entry
	s := c.Spec(time.Time{}, c.Founding.Subject)
	for _, w := range s.wants() {
		if there[identity(w.member.Name, w.role, string(w.kind))] {
			continue
		}
		o, err := s.order(w)
		if err != nil {
			return nil, err
		}
		e := inventory.Entry{Host: w.member.Name, Role: w.role, Layout: string(w.kind), Names: o.Names, Addresses: o.Addresses}
		if e.Subject, err = o.Subject.Text(); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
