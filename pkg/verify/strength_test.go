package verify

import (
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestStrength judges peers by what a session's tls_priority demands of them.
func TestStrength(t *testing.T) {
	sha1, small := fixture(t, "sha1-leaf.pem"), fixture(t, "rsa768-leaf.pem")
	ca := testpki.NewCA(t)
	good := imported(t, ca.Server("kvm1.example.com"), ca.Identity)
	revoked := ca.Server("kvm1.example.com")
	named := imported(t, revoked, ca.Identity)
	list := ca.CRL(1, revoked)
	// seen notes of which certificates a profile is asked, and whether as an issuer.
	type asked struct {
		leaf, anchor bool
	}
	var seen []asked
	refuse := func(why string, anchors bool) func(*certs.Certificate, bool) string {
		return func(c *certs.Certificate, anchor bool) string {
			seen = append(seen, asked{c.BasicConstraints == nil || !c.BasicConstraints.CA, anchor})
			if anchor == anchors {
				return why
			}
			return ""
		}
	}
	lenient := func(*certs.Certificate, bool) string { return "" } // the fixture's key is small, too
	const insecureText = "Certificate failed validation: The certificate uses an insecure algorithm"
	for _, c := range []struct {
		name     string
		chain    []*certs.Certificate // leaf, CA
		strength Strength
		crl      bool
		want     string // the rule, "" accepted
		message  string
	}{
		{"NORMAL takes a good one", good, Strength{}, false, "", ""},
		{"SHA-1 is refused", sha1, Strength{Refuses: lenient}, false, "insecure-algorithm", insecureText},
		{"%VERIFY_ALLOW_SIGN_WITH_SHA1 takes it", sha1, Strength{Refuses: lenient, AllowSHA1: true}, false, "", ""},
		{"%VERIFY_ALLOW_SIGN_RSA_MD5 does not", sha1, Strength{Refuses: lenient, AllowMD5: true}, false, "insecure-algorithm", insecureText},
		{"NORMAL refuses RSA with 768 bits", small, Strength{}, false, "key-too-small", insecureText},
		{"a profile that refuses nothing takes them", small, Strength{Refuses: lenient}, false, "", ""},
		{"a profile that refuses the leaf", good, Strength{Refuses: refuse("it is too weak", false)}, false, "key-too-small", insecureText},
		{"a profile that refuses the issuer", good, Strength{Refuses: refuse("it is too weak", true)}, false, "key-too-small", insecureText},
		{"a revoked one", named, Strength{}, true, "certificate-revoked", "Certificate failed validation: The certificate has been revoked."},
		{"%DISABLE_CRL_CHECKS takes it", named, Strength{NoCRL: true}, true, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Session{Local: certs.Client, Peer: c.chain[:1], CAs: c.chain[1:], Host: "kvm1.example.com", At: time.Now(), Libvirt: V12_8, Strength: c.strength}
			if c.crl {
				s.CRLs = [][]byte{list}
			}
			var message, id string
			for _, f := range s.Check() {
				if f.Rule != "host-mismatch" { // the fixtures have names of their own
					message, id = f.LibvirtMessage, f.Rule
					break
				}
			}
			if id != c.want || message != c.message {
				t.Errorf("%q [%s], want %q [%s]", message, id, c.message, c.want)
			}
		})
	}
	both := map[asked]bool{}
	for _, a := range seen {
		both[a] = true
	}
	if !both[asked{true, false}] || !both[asked{false, true}] {
		t.Errorf("the profile was asked of %v", seen)
	}
	// The own check knows no priority.
	if v := VerifyOwn(small[0], small[1:], time.Now()); v.Status != 0 {
		t.Errorf("the own check minds the size of a key: %v", v.Status.Reason())
	}
}
