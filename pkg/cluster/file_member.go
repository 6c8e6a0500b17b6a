package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

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
