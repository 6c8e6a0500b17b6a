package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

func TestMembersAreReadAsAnAdministratorWritesThem(t *testing.T) {
	type got struct {
		Name, Names, Addresses, Err string
	}
	for _, tt := range []struct {
		name string
		role certs.Role
		text string
		want got
	}{
		{"a name alone", certs.Server, "kvm1", got{Name: "kvm1", Names: "kvm1"}},
		{"names and addresses", certs.Server, "kvm1.example.com, 192.0.2.1,[2001:db8::1],kvm1",
			got{Name: "kvm1.example.com", Names: "kvm1.example.com kvm1", Addresses: "192.0.2.1 2001:db8::1"}},
		{"upper case and a final dot", certs.Peer, "KVM1.Example.com.", got{Name: "kvm1.example.com", Names: "kvm1.example.com"}},
		{"an IDN", certs.Server, "bücher.example", got{Name: "xn--bcher-kva.example", Names: "xn--bcher-kva.example"}},
		{"an address as the name", certs.Server, "[2001:DB8:0::1]", got{Name: "2001:db8::1", Addresses: "2001:db8::1"}},
		{"a client's name is free", certs.Client, "Jörg Müller", got{Name: "Jörg Müller"}},
		{"a client with an address", certs.Client, "admin,192.0.2.1",
			got{Err: `client "admin": a client has one name; addresses are for servers`}},
		{"an empty name", certs.Server, "kvm1,,kvm2", got{Err: `"kvm1,,kvm2" has an empty name in it`}},
		{"nothing", certs.Client, "", got{Err: "the name is empty"}},
		{"an address that is none", certs.Server, "kvm1,192.0.2.300",
			got{Err: `server "kvm1": "192.0.2.300" is no host: it looks like an IPv4 address and is none`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMember(tt.role, tt.text)
			g := got{Name: m.Name, Names: strings.Join(m.Names, " ")}
			for _, a := range m.Addresses {
				g.Addresses = strings.TrimSpace(g.Addresses + " " + a.String())
			}
			if err != nil {
				g = got{Err: err.Error()}
			}
			if d := cmp.Diff(tt.want, g); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSpecSaysAllThatIsWrong(t *testing.T) {
	server := func(name string) Member { return Member{Name: name, Role: certs.Server} }
	client := func(name string) Member { return Member{Name: name, Role: certs.Client} }
	long := strings.Repeat("a", 65)
	flat := []layout.Kind{layout.PkiPath}
	for _, tt := range []struct {
		name string
		spec Spec
		want string
	}{
		{"nothing wrong", Spec{Members: []Member{server("kvm1"), client("admin")}}, ""},
		{"nobody", Spec{}, "neither a server nor a client is named"},
		{"many things", Spec{Members: []Member{server("kvm1"), server("KVM1"), client("kvm1"), client("."), client("a/b"), client("-rf"), client(".hidden"),
			client("authority"), client(long), client(""), client("a\nb"), client("\xff"), {Name: "who"}, client(strings.Repeat("€", 67))}},
			`server "KVM1": it is named twice
client "kvm1": it is a server already; a host that is both is a peer
client ".": this cannot be the name of a directory
client "a/b": this cannot be the name of a directory
client "-rf": this cannot be the name of a directory
client ".hidden": a name that begins with a dot would be a hidden directory
client "authority": this is the name of the authority's directory
client "` + long + `": 65 characters are too long for a common name, which has at most 64
client "": it has no name
client "a\nb": this cannot be the name of a directory
client "\xff": this cannot be the name of a directory
role(0) "who": it is neither server nor client nor peer
client "` + strings.Repeat("€", 67) + `": 201 bytes are too long for the name of a directory, which has room for 200`},
		{"the name of another host", Spec{Members: []Member{server("kvm1"), {Name: "kvm2", Role: certs.Peer, Names: []string{"kvm2", "shared", "KVM1"}},
			{Name: "kvm3", Role: certs.Peer, Names: []string{"kvm3", "shared"}}}}, `peer "kvm2": "kvm1" is the name of another host, as which it could pose`},
		{"sixty-four characters in more bytes", Spec{Members: []Member{client(strings.Repeat("ü", 64))}}, ""},
		{"a long name that is not the common name",
			Spec{Members: []Member{{Name: long, Role: certs.Client, Subject: name(t, "CN=x")}}}, ""},
		{"a flat directory with the authority's name", Spec{Kinds: flat, Members: []Member{client("authority")}}, ""},
		{"a flat directory with one name in two roles", Spec{Kinds: flat, Members: []Member{server("kvm1"), client("kvm1")}}, ""},
		{"a flat directory with too many", Spec{Kinds: flat, Members: []Member{server("kvm1"), server("kvm2"), {Name: "kvm3", Role: certs.Peer}, client("a")}},
			"a pkipath directory holds one server, not 3\na pkipath directory holds one client, not 2"},
		{"a flat directory with other layouts", Spec{Kinds: []layout.Kind{layout.Libvirt, layout.PkiPath}, Members: []Member{client("a")}},
			"the layout pkipath stands alone: it is one flat directory for all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.spec.check(); err != nil {
				got = err.Error()
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestSubjectsAreTheBaseAndTheName(t *testing.T) {
	given := Member{Name: "bob", Role: certs.Client, Subject: name(t, "O=Other,CN=Bob")}
	s := Spec{Base: name(t, `C=GB,O=Acme\, Inc.,OU=a+OU=b`), Members: []Member{{Name: "Müller, Jörg", Role: certs.Client}, given}}
	for i, want := range []string{`C=GB,O=Acme\, Inc.,OU=a+OU=b,CN=Müller\, Jörg`, "O=Other,CN=Bob"} {
		o, err := s.order(s.wants()[i])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.Subject.Text(); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
