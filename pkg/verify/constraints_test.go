package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// Recorded from libgnutls 3.7.9-2+deb12u7 (Debian 12), which has the name constraints of GnuTLS 3.8.13.
func TestNamesAreWithinSubtreesAsGnuTLSHasThem(t *testing.T) {
	for _, c := range []struct {
		kind       certs.AltNameKind
		name, tree string
		want       bool
	}{
		{certs.DNSName, "host.example.com", "example.com", true},
		{certs.DNSName, "example.com", "example.com", true},
		{certs.DNSName, "HOST.EXAMPLE.COM", "example.com", true}, // case does not count
		{certs.DNSName, "host.example.com", "EXAMPLE.com", true},
		{certs.DNSName, "host.example.com", ".example.com", true}, // a leading dot: what is below
		{certs.DNSName, "example.com", ".example.com", false},
		{certs.DNSName, ".example.com", ".example.com", true},
		{certs.DNSName, "xexample.com", "example.com", false},
		{certs.DNSName, "com", "example.com", false},
		{certs.DNSName, "host.example.com.", "example.com", true}, // dots at the end do not count
		{certs.RFC822Name, "a@example.com", "example.com", true},
		{certs.RFC822Name, "a@EXAMPLE.COM", "example.com", true},
		{certs.RFC822Name, "A@example.com", "a@example.com", false}, // before the @ case counts
		{certs.RFC822Name, "a@host.example.com", "example.com", false},
		{certs.RFC822Name, "a@host.example.com", ".example.com", true},
		{certs.RFC822Name, "a@b@example.com", "example.com", true},
		{certs.RFC822Name, "example.com", "example.com", true},
		{certs.RFC822Name, "example.com", "a@example.com", false},
	} {
		got := relate(subtree{c.kind, []byte(c.name)}, subtree{c.kind, []byte(c.tree)}).within()
		if got != c.want {
			t.Errorf("%q in %q: got %v, want %v", c.name, c.tree, got, c.want)
		}
	}
}

func TestSubtreesThatGnuTLSCannotReadFailTheWholeExtension(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "3000": true, "0500": false, "300000": false, "3002a000": true,
		"300fa00d300b8209612e6578616d706c65": true,
		"3007a005300382012e":                 false, // "."
		"3007a005300381012e":                 false,
		"300aa00830068204612e2e62":           false, // "a..b"
		"300ea00c300a8708c0000200ff00ff00":   false, // a mask with holes
		"300ea00c300a8708c0000200ffffff00":   true,
		"300aa00830068704c0000200":           false,
	} {
		var n constraints
		if got := n.append(bytesOf(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestWhatIsPermittedTwiceIsWhatBothPermit(t *testing.T) {
	dns := func(names ...string) (out []subtree) {
		for _, n := range names {
			out = append(out, subtree{certs.DNSName, []byte(n)})
		}
		return out
	}
	ip := func(b ...byte) subtree { return subtree{certs.IPAddress, b} }
	ten, tenOne := ip(10, 0, 0, 0, 255, 0, 0, 0), ip(10, 1, 0, 0, 255, 255, 0, 0)
	text := func(list []subtree) string {
		var out []string
		for _, t := range list {
			if t.kind == certs.IPAddress {
				out = append(out, fmt.Sprintf("%x", t.name))
			} else {
				out = append(out, string(t.name))
			}
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		name                   string
		a, b                   constraints
		permitted              string
		excluded               int
		refusesDNS, refusesNot string
	}{
		{"a part of the other", constraints{permitted: dns("example.com")}, constraints{permitted: dns("a.example.com", "b.example.com", "org")},
			"a.example.com b.example.com", 0, "x.org", "x.a.example.com"},
		{"nothing in common", constraints{permitted: dns("example.com")}, constraints{permitted: dns("example.org")},
			"", 1, "example.com", ""},
		{"an empty name has nothing in common with another", constraints{permitted: dns("")}, constraints{permitted: dns("example.org")},
			"", 1, "example.org", ""},
		{"another kind is kept", constraints{permitted: dns("example.com")}, constraints{permitted: []subtree{ten}},
			"example.com 0a000000ff000000", 0, "x.org", "example.com"},
		{"networks", constraints{permitted: []subtree{ten}}, constraints{permitted: []subtree{tenOne}}, "0a010000ffff0000", 0, "", "any"},
		{"what is excluded adds up", constraints{excluded: dns("example.com")}, constraints{excluded: dns("org", "a.example.com")},
			"", 2, "x.org", "net"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := c.a
			n.merge(c.b)
			if got := text(n.permitted); got != c.permitted {
				t.Errorf("permitted %q, want %q", got, c.permitted)
			}
			if got := len(n.excluded); got != c.excluded {
				t.Errorf("excluded %q, want %d", text(n.excluded), c.excluded)
			}
			if c.refusesDNS != "" && n.dns([]byte(c.refusesDNS)) {
				t.Errorf("%s is allowed", c.refusesDNS)
			}
			if c.refusesNot != "" && !n.dns([]byte(c.refusesNot)) {
				t.Errorf("%s is refused", c.refusesNot)
			}
		})
	}
}
