package verify

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

// otherwise names the vectors where libvirt's use of GnuTLS differs from how the vectors were put to it, with the reason.
var otherwise = map[string]string{
	"077_fail-server-leaf-purpose":                    "libvirt gives GnuTLS no purpose; it looks at extendedKeyUsage itself",
	"078_fail-client-leaf-purpose":                    "libvirt gives GnuTLS no purpose; it looks at extendedKeyUsage itself",
	"101_reject-RSA-768-root-at-auth-level-1":         "recorded without the profile LOW that a session has",
	"103_reject-RSA-768-intermediate-at-auth-level-1": "recorded without the profile LOW that a session has",
	"105_reject-RSA-768-leaf-at-auth-level-1":         "recorded without the profile LOW that a session has",
	"4.14.15_InvalidonlySomeReasonsTest15":            "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.14.20_InvalidonlySomeReasonsTest20":            "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.15.3_InvaliddeltaCRLTest3":                     "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.5.5_InvalidBasicSelfIssuedNewWithOldTest5":     "recorded with all lists of one issuer; libvirt keeps the newest",
	"4.5.7_InvalidBasicSelfIssuedCRLSigningKeyTest7":  "recorded with all lists of one issuer; libvirt keeps the newest",
}

// TestPublicVerificationVectors puts NIST's PKITS and OpenSSL's verification tests to VerifyPeer and compares with what
// GnuTLS 3.7.9 said to them.
func TestPublicVerificationVectors(t *testing.T) {
	for file, set := range vectors.Chains(t) {
		total, agree := 0, 0
		for _, v := range set {
			want, ok := v.Measured["gnutls"]
			if !ok || want == "n/a" {
				continue
			}
			total++
			got, why := judgeVector(t, v)
			if got == want {
				agree++
				if why := otherwise[v.ID]; why != "" {
					t.Errorf("%s agrees now, though it should not: %s", v.ID, why)
				}
				continue
			}
			if otherwise[v.ID] != "" {
				continue
			}
			t.Errorf("%s: %s, GnuTLS says %s (expected by its makers: %s): %s", v.ID, got, want, v.Expect, why)
		}
		t.Logf("%s: %d of %d as GnuTLS", file, agree, total)
	}
}

func judgeVector(t *testing.T, v vectors.Chain) (verdict, why string) {
	t.Helper()
	cas, err := certs.ImportPEMList([]byte(v.Files["cacert.pem"]), 0)
	if err != nil && len(v.Files["cacert.pem"]) > 100 {
		return "reject", "CA file: " + err.Error()
	}
	chain, err := certs.ImportPEMList([]byte(v.Files["chain.pem"]), 0)
	if err != nil {
		return "reject", "chain: " + err.Error()
	}
	var lists []*crl.List
	if text := v.Files["crl.pem"]; text != "" {
		if lists, err = crl.ParsePEM([]byte(text)); err != nil {
			return "reject", "CRL: " + err.Error()
		}
	}
	verdict = "accept"
	got := VerifyPeer(chain, cas, lists, v.At(t))
	if got.Status != 0 {
		p, _ := got.Main()
		verdict, why = "reject", got.Status.Reason()+" "+p.Text
	}
	return verdict, why
}
