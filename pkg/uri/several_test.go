package uri

import (
	"slices"
	"strings"
	"testing"
)

func TestWhichIdentitiesAClientLoads(t *testing.T) {
	f := Files{Identity: []Pair{{"/h/clientcert.pem", "/h/clientkey.pem"}, {"/etc/c/clientcert.pem", "/etc/k/clientkey.pem"}}}
	for _, c := range []struct{ name, there, old, now string }{
		{"nothing", "", "/etc/c/clientcert.pem", "/etc/c/clientcert.pem"},
		{"one pair at home", "/h/clientcert.pem /h/clientkey.pem", "/h/clientcert.pem", "/h/clientcert.pem"},
		{"half a pair at home", "/h/clientkey.pem", "/etc/c/clientcert.pem", "/h/clientcert.pem"},
		{"the index 0 at home", "/h/clientcert0.pem /h/clientkey0.pem /etc/c/clientcert.pem /etc/k/clientkey.pem", "/etc/c/clientcert.pem", "/h/clientcert0.pem"},
		{"half of the index 0 beside a pair", "/h/clientcert.pem /h/clientkey.pem /h/clientkey0.pem", "/h/clientcert.pem", "/h/clientcert.pem /h/clientcert0.pem"},
		{"the index 1 alone", "/h/clientcert1.pem /h/clientkey1.pem", "/etc/c/clientcert.pem", "/etc/c/clientcert.pem"},
		{"a gap", "/h/clientcert0.pem /h/clientkey0.pem /h/clientcert2.pem /h/clientkey2.pem", "/etc/c/clientcert.pem", "/h/clientcert0.pem"},
		{"more than there are", "/etc/c/clientcert.pem /etc/c/clientcert0.pem /etc/c/clientcert1.pem /etc/c/clientcert2.pem /etc/k/clientkey3.pem /etc/c/clientcert4.pem",
			"/etc/c/clientcert.pem", "/etc/c/clientcert.pem /etc/c/clientcert0.pem /etc/c/clientcert1.pem /etc/c/clientcert2.pem /etc/c/clientcert3.pem"},
	} {
		exists := func(name string) bool { return slices.Contains(strings.Fields(c.there), name) }
		certs := func(pairs []Pair) string {
			var out []string
			for _, p := range pairs {
				out = append(out, p.Cert)
				if want := strings.NewReplacer("cert", "key", "/etc/c/", "/etc/k/").Replace(p.Cert); p.Key != want {
					t.Errorf("%s: the key of %s is %s", c.name, p.Cert, p.Key)
				}
			}
			return strings.Join(out, " ")
		}
		if got := certs(f.Identities(exists, Version{11, 9})); got != c.old {
			t.Errorf("%s, libvirt 11.9: %s, want %s", c.name, got, c.old)
		}
		if got := certs(f.Identities(exists, Version{11, 10})); got != c.now {
			t.Errorf("%s, libvirt 11.10: %s, want %s", c.name, got, c.now)
		}
	}
}
