package cluster

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/templates"
)

// complaints gives what is wrong with a text, with the hints.
func complaints(t *testing.T, text string) string {
	t.Helper()
	_, err := ParseFile("c.toml", "/x", []byte(text))
	if err == nil {
		return ""
	}
	var all *FileError
	if !errors.As(err, &all) {
		t.Fatalf("%T: %v", err, err)
	}
	var b strings.Builder
	for _, p := range all.Problems {
		fmt.Fprintln(&b, p.Error())
		for _, h := range p.Hints() {
			fmt.Fprintln(&b, "  "+h)
		}
	}
	return b.String()
}

const good = `out = "c"
[authority]
dir = "c/authority"
[[hosts]]
name = "kvm1"
`

func TestEverythingThatIsWrongIsSaidWithItsLine(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a good file", good, ""},
		{"nothing in it", "", "c.toml: neither a host nor a client is named\n  write [[hosts]] and below it name = \"kvm1.example.com\"\n"},
		{"a misspelt key", good + "adresses = [\"192.0.2.1\"]\n",
			"c.toml:6: hosts.adresses: there is no such key\n  did you mean addresses?\n"},
		{"a misspelt table", strings.Replace(good, "[authority]", "[autority]", 1),
			"c.toml:2: autority: there is no such key\n  did you mean authority?\n"},
		{"a misspelt array of tables", good + "[[client]]\nname = \"a\"\n[[client]]\nname = \"b\"\n",
			"c.toml:6: client: there is no such key\n  did you mean clients?\n"},
		{"the name of another host", good + "[[hosts]]\nname = \"kvm2\"\nnames = [\"kvm1\"]\n",
			"c.toml:7: hosts.name: \"kvm1\" is the name of another host, as which it could pose\n"},
		{"a key with the dash of the option", "[defaults]\nprivate-client-key = true\n[[clients]]\nname = \"a\"\n",
			"c.toml:2: defaults.private-client-key: there is no such key\n  did you mean private_client_key?\n"},
		{"a key in the wrong table", "qemu_group = \"kvm\"\n" + good,
			"c.toml:1: qemu_group: there is no such key\n  it belongs into [defaults]\n"},
		{"several at once, in the order of their lines", `out = 5
[defaults]
lifetime = "forever"
layouts = "libvirt"
nonsense = 1
[[hosts]]
name = "kvm1"
addresses = ["192.0.2.1", "kvm.example.com", 7]
[[hosts]]
name = "KVM1"
[[hosts]]
role = "client"
[[clients]]
name = ""
`, `c.toml:1: out: a text is wanted, not the number 5
  write out = "cluster"
c.toml:3: defaults.lifetime: "forever" is not a length of time such as 90d, 2w, 10y or 36h
c.toml:4: defaults.layouts: a list of texts is wanted, not the text "libvirt"
  write layouts = ["libvirt"]
c.toml:5: defaults.nonsense: there is no such key
  the keys here are role, layouts, base, key, lifetime, renew, libvirt, priority, dn_list, qemu_group, private_client_key
c.toml:8: hosts.addresses: a text is wanted, not the number 7
  write addresses = ["192.0.2.1"]
c.toml:8: hosts.addresses: "kvm.example.com" is no address; write names = ["kvm.example.com"]
c.toml:10: hosts.name: "kvm1" is named on line 7 already
c.toml:11: hosts: it has no name
  write name = "kvm1.example.com"
c.toml:12: hosts.role: a client stands below [[clients]]; a host is "server", or "peer" when guests migrate to and from it
c.toml:14: clients.name: it is empty
  write name = "kvm1.example.com", or leave the line out
`},
		{"keys and tables that are there twice, and what else is wrong", `out = "a"
out = "b"
[defaults]
key = "rsa"
[defaults]
lifetme = "1y"
[[hosts]]
name = "a"
names = [
  "b",
  "c" ]
names = [
  "d"
]
lifetime = 3
`, `c.toml:2: out: it is on line 1 already
  keep one of the two
c.toml:5: defaults: it is on line 3 already
  keep one of the two
c.toml:12: hosts.names: it is on line 9 already
  keep one of the two
c.toml:15: hosts.lifetime: a text is wanted, not the number 3
  write lifetime = "365d"
`},
		{"what is no TOML, twice, and a misspelt key", `out = c
[authority]
dirr = "x"
[[hosts]]
name = "kvm1
names = ["a"]
`, `c.toml:1: out: this is not TOML: expected value but found "c" instead
c.toml:3: authority.dirr: there is no such key
  did you mean dir?
c.toml:5: hosts.name: this is not TOML: strings cannot contain newlines
`},
		{"lists and priorities", `[defaults]
dn_list = "admin"
[dn_lists.admins]
patterns = ["CN=*"]
clients = ["bob", "alise", "kvm1"]
[dn_lists.empty]
[[hosts]]
name = "kvm1"
dn_list = "nobody"
priority = "NORMAL:-VERS-TLS1.9"
[[clients]]
name = "alice"
`, `c.toml:2: defaults.dn_list: there is no list "admin"
  did you mean admins?
c.toml:5: dn_lists.admins.clients: there is no client "bob" in this file
  name it below [[clients]], or leave it out here
c.toml:5: dn_lists.admins.clients: there is no client "alise" in this file
  did you mean alice?
c.toml:5: dn_lists.admins.clients: "kvm1" is a server only, and connects to nobody
  write role = "peer" with the host if it connects to others
c.toml:6: dn_lists.empty: the list has no patterns, and lets nobody in
  write patterns = ["C=GB,O=Example,CN=*"]; virt-pki query-dn CERT prints the name of a certificate
c.toml:9: hosts.dn_list: there is no list "nobody"
  write [dn_lists.nobody] and below it patterns = [...]
c.toml:10: hosts.priority: PRIORITY
`},
		{"a flat directory has room for one", "pkipath = \"p\"\nout = \"o\"\n[[hosts]]\nname = \"a\"\n",
			"c.toml:1: pkipath: out and pkipath exclude each other\n  keep out for one tree per host, pkipath for one flat directory\n"},
		{"two servers in a flat directory", "pkipath = \"p\"\n[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"b\"\n",
			"c.toml:1: pkipath: a pkipath directory holds one server, not 2\n  make one tree per host instead: --out DIR\n"},
		{"names that cannot be", "[[clients]]\nname = \"a/b\"\n[[clients]]\nname = \"authority\"\n[[hosts]]\nname = \"ex ample\"\n",
			"c.toml:2: clients.name: this cannot be the name of a directory\nHOST"},
		{"inline tables and dotted keys", "authority.dir = \"a\"\nauthority.kye = \"rsa\"\nhosts = [ { name = \"a\" },\n  { name = \"b\", rol = \"peer\" } ]\n",
			"c.toml:2: authority.kye: there is no such key\n  did you mean key?\nc.toml:4: hosts.rol: there is no such key\n  did you mean role?\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := complaints(t, tt.text)
			if strings.Contains(tt.want, "HOST") { // a host's fault hides what is only looked at when there is none
				if !strings.Contains(got, "c.toml:6: hosts.name: ") {
					t.Errorf("got:\n%s", got)
				}
				return
			}
			if want, line, ok := cutLine(tt.want, "PRIORITY"); ok {
				if !strings.HasPrefix(got, want) || !strings.Contains(got, line) {
					t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// cutLine cuts a text before the line that ends with a mark, and gives the line without it.
func cutLine(text, mark string) (before, line string, ok bool) {
	i := strings.Index(text, mark)
	if i < 0 {
		return text, "", false
	}
	begin := strings.LastIndexByte(text[:i], '\n') + 1
	return text[:begin], text[begin:i], true
}

// optional are the lines of the template that show what may stand there.
var optional = regexp.MustCompile(`(?m)^#(\[|[a-z_]+ = )`)

func TestTheExampleParsesAndDocumentsEveryKey(t *testing.T) {
	text, err := templates.ExampleCluster()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseFile("cluster.toml", "/x", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Members) != 3 || c.Dir != "/x/cluster" || c.Founding.Dir != "/x/cluster/authority" {
		t.Errorf("%+v", c)
	}
	// With all that is optional it is still good, and has every key that there is.
	full := optional.ReplaceAllString(strings.Replace(string(text), `#pkipath = "pki"`, "", 1), "$1")
	// A key of defaults that is chosen is not shown once more, nor is one twice.
	c, err = ParseFile("cluster.toml", "/x", []byte(full))
	if err != nil {
		t.Fatalf("%v\n%s", err, full)
	}
	if got, want := len(c.Members), 5; got != want {
		t.Errorf("%d members, want %d", got, want)
	}
	for where, keys := range c.doc.asked {
		place := strings.Replace(where, "dn_lists.NAME", "dn_lists.admins", 1)
		for _, k := range keys {
			if k == "pkipath" || where == "" && slices.Contains([]string{"authority", "defaults", "dn_lists", "hosts", "clients"}, k) {
				continue
			}
			found := false
			for path := range c.doc.index.lines {
				found = found || withoutIndices(path) == withoutIndices(joinPath(place, k))
			}
			if !found {
				t.Errorf("the template does not show %s of [%s]", k, where)
			}
		}
	}
	if !strings.Contains(string(text), "\n#pkipath = ") {
		t.Error("the template does not show pkipath")
	}
}

func joinPath(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

func TestWhatIsWrittenForAClusterReadsBackAsIt(t *testing.T) {
	odd := `O=Ac\"me\\,CN=x`
	text, err := templates.Cluster{PkiPath: "..", Authority: ".", Subject: odd, Hosts: []templates.ClusterMember{{Name: "a", Addresses: []string{"::1"}}}}.TOML()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseFile("cluster.toml", "/x/authority", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := dn.Parse(odd)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Founding.Subject.Equal(want) || c.Dir != "/x" || !c.Flat || c.Founding.Dir != "/x/authority" {
		t.Errorf("%+v", c)
	}
}

func TestMembersHaveWhatTheySayAndElseTheDefaults(t *testing.T) {
	c, err := ParseFile("c.toml", "/x", []byte(`out = "/y"
[defaults]
role = "peer"
layouts = ["libvirt", "qemu"]
key = "rsa"
lifetime = "90d"
base = "O=Acme"
[[hosts]]
name = "KVM1.example.com"
names = ["kvm1"]
addresses = ["192.0.2.1"]
[[hosts]]
name = "192.0.2.2"
role = "server"
key = "ed25519"
libvirt = "9.0"
[[clients]]
name = "Jörg"
layouts = ["user"]
home = "/srv/j"
lifetime = "1y"
`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	s := c.Spec(now, dn.Name{})
	var got []string
	for _, w := range s.wants() {
		o, err := s.order(w)
		if err != nil {
			t.Fatal(err)
		}
		subject, _ := o.Subject.Text()
		got = append(got, fmt.Sprint(subject, " ", o.Role, " ", w.kind, " ", o.Key, " ", o.NotAfter.Sub(now).Hours()/24, " ", o.Names, o.Addresses, s.place(w.member, w.kind).Dir))
	}
	want := []string{
		"O=Acme,CN=kvm1.example.com server libvirt rsa3072 90 [kvm1.example.com kvm1] [192.0.2.1]",
		"O=Acme,CN=kvm1.example.com client libvirt rsa3072 90 [] []",
		"O=Acme,CN=kvm1.example.com peer qemu rsa3072 90 [kvm1.example.com kvm1] [192.0.2.1]",
		"O=Acme,CN=192.0.2.2 server libvirt ed25519 90 [] [192.0.2.2]",
		"O=Acme,CN=192.0.2.2 server qemu ed25519 90 [] [192.0.2.2]",
		"O=Acme,CN=Jörg client user rsa3072 365 [] []/srv/j",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if c.Policy.Libvirt[0].String() != "9.0.0" || c.Line("jörg") != 18 {
		t.Errorf("%v, line %d", c.Policy, c.Line("jörg"))
	}
	if s.Members[2].Kinds[0] != layout.User {
		t.Errorf("%v", s.Members[2].Kinds)
	}
}

func FuzzParseFile(f *testing.F) {
	example, err := templates.ExampleCluster()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, string(example), "a = [[[", "[[a]]\n[a]", "x.y = {a = 1, b = [1, {c = '''\n'''}]}", "[hosts]\nname=1", "hosts = [1, {}]",
		"dn_lists = {a = {patterns = ['*']}}", "a = \"\"\"\\\n\"\"\"", "\"a\\u00e9\" = 1", "[virt-pki-duplicate-1]", "a = 1\na.b = 2\n", "\ufeffout = 1"} {
		f.Add([]byte(s))
	}
	if text, err := os.ReadFile("../../templates/cluster.toml.tmpl"); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseFile("c.toml", "/x", text)
		var all *FileError
		switch {
		case err == nil:
			if len(c.Members) == 0 {
				t.Error("no members, and nothing is said")
			}
			again, err := ParseFile("c.toml", "/x", text)
			if err != nil || !slices.EqualFunc(c.Members, again.Members, func(a, b Member) bool { return a.Name == b.Name && a.Role == b.Role }) {
				t.Errorf("another answer the second time: %v", err)
			}
		case !errors.As(err, &all):
			t.Errorf("%T: %v", err, err)
		default:
			lines := strings.Count(string(text), "\n") + 1
			for _, p := range all.Problems {
				if p.Message == "" || p.Line > lines {
					t.Errorf("line %d of %d: %v", p.Line, lines, p)
				}
			}
		}
	})
}
