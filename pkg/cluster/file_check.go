package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

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
