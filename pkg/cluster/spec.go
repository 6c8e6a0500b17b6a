package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// AuthorityName is the name of the authority's directory within what Make makes.
const AuthorityName = "authority"

// maxTreeName leaves room for the mark of an unfinished tree in a name of 255 bytes, the most that Linux has.
const maxTreeName = 200

// A Member is a host or a client of the cluster.
type Member struct {
	// Name is its host name, or a client's name; it names the member's tree and stands as CN in its certificates.
	Name string
	// Role is certs.Server, certs.Client, or certs.Peer for a host that migrates guests to and from others.
	Role certs.Role
	// Names and Addresses are what else it is called: the subjectAltName.
	Names     []string
	Addresses []netip.Addr
	// Subject is its name in certificates. Zero: the Spec's base and CN=Name.
	Subject dn.Name
	// Kinds, Key and Lifetime are its own; zero: those of the Spec. Home is its home directory in the layout layout.User;
	// empty: the Spec's.
	Kinds    []layout.Kind
	Key      certs.KeyAlgorithm
	Lifetime time.Duration
	Home     string
}

// ParseMember reads NAME[,ADDRESS...]: the first is the member's name, all of a server's are what clients may call it.
func ParseMember(role certs.Role, text string) (Member, error) {
	words := strings.Split(text, ",")
	for i, w := range words {
		words[i] = strings.TrimSpace(w)
		if words[i] == "" {
			if len(words) == 1 {
				return Member{}, errors.New("the name is empty")
			}
			return Member{}, fmt.Errorf("%q has an empty name in it", text)
		}
	}
	m := Member{Name: words[0], Role: role}
	if role == certs.Client {
		if len(words) > 1 {
			return Member{}, &MemberError{m, errors.New("a client has one name; addresses are for servers")}
		}
		return m, nil
	}
	var err error
	if m.Names, m.Addresses, err = ca.ParseHosts(words); err != nil {
		return Member{}, &MemberError{m, err}
	}
	// In the tree's name and the CN stands what stands in the certificate: an IDN in punycode.
	name, addr, err := ca.ParseHost(words[0])
	if err != nil {
		return Member{}, &MemberError{m, err}
	}
	if m.Name = name; addr.IsValid() {
		m.Name = addr.String()
	}
	return m, nil
}

// A MemberError says which member is wrong.
type MemberError struct {
	Member Member
	Err    error
}

// Error names the member.
func (e *MemberError) Error() string {
	return fmt.Sprintf("%s %q: %v", e.Member.Role, e.Member.Name, e.Err)
}

// Unwrap gives the cause.
func (e *MemberError) Unwrap() error { return e.Err }

// A Spec says what is wanted.
type Spec struct {
	Members []Member
	// Kinds are the layouts that each member gets; layout.PkiPath stands alone. Empty: layout.Libvirt.
	Kinds []layout.Kind
	// Dir is what is made: with layout.PkiPath the flat directory itself, else a directory with one tree per member, each to
	// be laid over that machine's /.
	Dir string
	// Base are the RDNs that begin every subject that is not given. Zero: none.
	Base dn.Name
	// Homes gives the home directory of a member in the layout layout.User. Nil: /home/NAME, and /root for root.
	Homes func(member string) string
	// QEMUGroup is the group that QEMU runs as; see layout.Place.
	QEMUGroup        string
	PrivateClientKey bool
	// Key is the algorithm of identities' keys. Empty: the authority's policy.
	Key certs.KeyAlgorithm
	// NotAfter is the end of identities. Zero: the authority's policy.
	NotAfter time.Time
	Now      time.Time
}

// check looks for what is wrong whatever the authority, and gives all of it.
func (s Spec) check() error {
	var errs []error
	seen, hosts := map[string]Member{}, map[string]bool{}
	for _, m := range s.Members {
		if m.Role == certs.Server || m.Role == certs.Peer {
			hosts[strings.ToLower(m.Name)] = true
		}
	}
	for _, m := range s.Members {
		fail := func(format string, a ...any) {
			errs = append(errs, &MemberError{m, fmt.Errorf(format, a...)})
		}
		key := strings.ToLower(m.Name)
		switch other, twice := seen[key]; {
		case twice && other.Role == m.Role:
			fail("it is named twice")
		case twice && !s.flat():
			fail("it is a %s already; a host that is both is a peer", other.Role)
		}
		seen[key] = m
		for _, n := range m.Names {
			// Several hosts may share an alias or an address. The name of one is its own: who holds another's can pose as it.
			if n := strings.ToLower(n); n != key && hosts[n] {
				fail("%q is the name of another host, as which it could pose", n)
			}
		}
		switch {
		case m.Role != certs.Server && m.Role != certs.Client && m.Role != certs.Peer:
			fail("it is neither server nor client nor peer")
		case m.Name == "":
			fail("it has no name")
		case m.Name == "." || m.Name == ".." || strings.Contains(m.Name, "/") || strings.HasPrefix(m.Name, "-") ||
			!utf8.ValidString(m.Name) || strings.ContainsFunc(m.Name, unicode.IsControl):
			fail("this cannot be the name of a directory")
		case !s.flat() && key == AuthorityName:
			fail("this is the name of the authority's directory")
		case strings.HasPrefix(m.Name, "."):
			fail("a name that begins with a dot would be a hidden directory")
		case len(m.Name) > maxTreeName:
			fail("%d bytes are too long for the name of a directory, which has room for %d", len(m.Name), maxTreeName)
		case m.Subject.IsEmpty() && utf8.RuneCountInString(m.Name) > 64:
			// RFC 5280, ub-common-name; GnuTLS does not mind, OpenSSL does.
			fail("%d characters are too long for a common name, which has at most 64", utf8.RuneCountInString(m.Name))
		}
	}
	if s.flat() {
		errs = append(errs, s.checkFlat()...)
	}
	if len(s.Members) == 0 {
		errs = append(errs, errors.New("neither a server nor a client is named"))
	}
	return errors.Join(errs...)
}

// checkFlat says what does not fit into a flat directory.
func (s Spec) checkFlat() []error {
	var errs []error
	if len(s.Kinds) > 1 {
		errs = append(errs, errors.New("the layout pkipath stands alone: it is one flat directory for all"))
	}
	count := map[certs.Role]int{}
	for _, m := range s.Members {
		for _, r := range sides(m.Role) {
			count[r]++
		}
	}
	for _, r := range []certs.Role{certs.Server, certs.Client} {
		if count[r] > 1 {
			errs = append(errs, &FlatError{r, count[r]})
		}
	}
	return errs
}

// A FlatError says that a flat directory has room for one identity of a role only.
type FlatError struct {
	Role  certs.Role
	Count int
}

// Error gives the number.
func (e *FlatError) Error() string {
	return fmt.Sprintf("a pkipath directory holds one %s, not %d", e.Role, e.Count)
}

// Hints names the way for several.
func (e *FlatError) Hints() []string {
	return []string{"make one tree per host instead: --out DIR"}
}

// flat reports whether the layout is the flat directory.
func (s Spec) flat() bool {
	for _, k := range s.Kinds {
		if k == layout.PkiPath {
			return true
		}
	}
	return false
}

// sides gives the roles of the files that a member's role comes to.
func sides(r certs.Role) []certs.Role {
	if r == certs.Peer {
		return []certs.Role{certs.Server, certs.Client}
	}
	return []certs.Role{r}
}

// A want is one identity to be issued and the files it fills.
type want struct {
	member Member
	kind   layout.Kind
	role   certs.Role   // of the certificate
	fills  []certs.Role // of the files
}

// wants lists the identities, member by member. libvirt gets a key of its own for each role; QEMU one certificate with both
// purposes, saved under both names, which is the way QEMU documents for hosts that migrate.
func (s Spec) wants() []want {
	kinds := s.Kinds
	if len(kinds) == 0 {
		kinds = []layout.Kind{layout.Libvirt}
	}
	var out []want
	for _, m := range s.Members {
		own := kinds
		if len(m.Kinds) > 0 {
			own = m.Kinds
		}
		for _, k := range own {
			if k.ForQEMU() {
				out = append(out, want{m, k, m.Role, sides(m.Role)})
				continue
			}
			for _, r := range sides(m.Role) {
				out = append(out, want{m, k, r, []certs.Role{r}})
			}
		}
	}
	return out
}

// order asks the authority for it.
func (s Spec) order(w want) (ca.Order, error) {
	subject := w.member.Subject
	if subject.IsEmpty() {
		text := "CN=" + dn.Escape(w.member.Name)
		if !s.Base.IsEmpty() {
			base, err := s.Base.Text()
			if err != nil {
				return ca.Order{}, fmt.Errorf("what every subject begins with: %w", err)
			}
			text = base + "," + text
		}
		var err error
		if subject, err = dn.Parse(text); err != nil {
			return ca.Order{}, &MemberError{w.member, err}
		}
	}
	o := ca.Order{Host: w.member.Name, Layout: string(w.kind), Key: s.Key}
	o.Role, o.Subject, o.NotAfter = w.role, subject, s.NotAfter
	if w.member.Key != "" {
		o.Key = w.member.Key
	}
	if w.member.Lifetime > 0 {
		o.NotAfter = s.Now.Add(w.member.Lifetime)
	}
	if w.role != certs.Client {
		o.Names, o.Addresses = w.member.Names, w.member.Addresses
	}
	return o, nil
}

// place is where a member's files of a layout lie, on that member's machine.
func (s Spec) place(m Member, k layout.Kind) layout.Place {
	p := layout.Place{Kind: k, Group: s.QEMUGroup, PrivateClientKey: s.PrivateClientKey}
	switch k {
	case layout.User:
		if p.Dir = filepath.Join("/home", m.Name); m.Name == "root" {
			p.Dir = "/root"
		}
		if s.Homes != nil {
			p.Dir = s.Homes(m.Name)
		}
		if m.Home != "" {
			p.Dir = m.Home
		}
	case layout.PkiPath:
		p.Dir = "/"
	}
	return p
}
