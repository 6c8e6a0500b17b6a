package chain

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

// TestPublicVerificationVectors puts NIST's PKITS and OpenSSL's verification tests to Validate.
func TestPublicVerificationVectors(t *testing.T) {
	for file, set := range vectors.Chains(t) {
		total, agree := 0, 0
		for _, v := range set {
			total++
			got, why := judge(t, v)
			if got == v.Expect {
				agree++
				if otherwise[v.ID] != "" {
					t.Errorf("%s agrees now, though it should not: %s", v.ID, otherwise[v.ID])
				}
			} else if otherwise[v.ID] == "" {
				t.Errorf("%s (%s): %s, its makers say %s: %s", v.ID, v.Tier, got, v.Expect, why)
			}
		}
		t.Logf("%s: %d of %d", file, agree, total)
	}
}

// otherwise names the vectors that are judged differently here, with the reason.
var otherwise = map[string]string{}

func judge(t *testing.T, v vectors.Chain) (verdict, why string) {
	t.Helper()
	q := Question{At: v.At(t), Role: map[string]certs.Role{"server": certs.Server, "client": certs.Client}[v.Purpose]}
	var err error
	if text := v.Files["cacert.pem"]; text != "" {
		if q.Anchors, err = certs.ImportPEMList([]byte(text), 0); err != nil {
			return "reject", "CA file: " + err.Error()
		}
	}
	if q.Certificates, err = certs.ImportPEMList([]byte(v.Files["chain.pem"]), 0); err != nil {
		return "reject", "chain: " + err.Error()
	}
	if text := v.Files["crl.pem"]; text != "" {
		if q.Lists, err = crl.ParsePEM([]byte(text)); err != nil {
			return "reject", "CRL: " + err.Error()
		}
	}
	got := Validate(q)
	// Who remembers the lists says the same, the first time and the second.
	q.Memory = &Memory{}
	for range 2 {
		if again := Validate(q); again.Accepted != got.Accepted || again.Text() != got.Text() {
			t.Errorf("with a memory: %v %q, without %v %q", again.Accepted, again.Text(), got.Accepted, got.Text())
		}
	}
	if got.Accepted {
		return "accept", ""
	}
	return "reject", got.Rule + ": " + got.Reason
}
