package cluster

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
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
