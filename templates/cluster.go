package templates

import (
	"strconv"
	"strings"
)

// A Cluster are the choices for a cluster file. What is empty is not chosen.
type Cluster struct {
	// Out or PkiPath is where the files are, Authority where the authority is, as seen from the file.
	Out, PkiPath, Authority string

	Subject, CAKey, CALifetime string
	Permit, Exclude            []string
	StrictKeyUsage             bool

	Role             string
	Layouts          []string
	Base             string
	Key, Lifetime    string
	Libvirt          string
	QEMUGroup        string
	PrivateClientKey bool

	Hosts, Clients []ClusterMember
}

// A ClusterMember is a host or a client of a cluster file.
type ClusterMember struct {
	Name             string
	Names, Addresses []string
	Role, Home       string
}

// TOML gives a cluster file.
func (c Cluster) TOML() ([]byte, error) { return Execute("cluster.toml.tmpl", c) }

// ExampleCluster gives a cluster file to begin with.
func ExampleCluster() ([]byte, error) {
	return Cluster{Out: "cluster", Authority: "cluster/authority", Subject: "C=GB,O=Example,CN=Example CA", Role: "peer",
		Layouts: []string{"libvirt", "qemu"}, Libvirt: "9.0",
		Hosts: []ClusterMember{
			{Name: "kvm1.example.com", Names: []string{"kvm1"}, Addresses: []string{"192.0.2.1"}},
			{Name: "kvm2.example.com", Names: []string{"kvm2"}, Addresses: []string{"192.0.2.2", "2001:db8::2"}}},
		Clients: []ClusterMember{{Name: "admin"}}}.TOML()
}

// tomlText writes a text as a basic string of TOML 1.0, which knows other escapes than Go.
func tomlText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			b.WriteString(`\u00`)
			if r < 0x10 {
				b.WriteByte('0')
			}
			b.WriteString(strconv.FormatInt(int64(r), 16))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tomlTexts writes a list of texts.
func tomlTexts(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = tomlText(s)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
