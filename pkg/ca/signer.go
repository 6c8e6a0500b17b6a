package ca

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/signer"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// profileCA is the profile of the CA's own certificate; those of identities are called like their role.
const profileCA = "ca"

// usages are cfssl's names for the extended key usages of the roles.
var usages = map[certs.Role][]string{
	certs.Server: {"server auth"},
	certs.Client: {"client auth"},
	certs.Peer:   {"server auth", "client auth"},
}

// signingPolicy gives the policy in cfssl's terms. The default profile allows nothing: cfssl falls back to it silently
// when it does not know a profile's name, and a template cannot be filled from it.
func signingPolicy(p Policy, keyEncipherment bool) *config.Signing {
	signing := &config.Signing{
		Default: &config.SigningProfile{Expiry: p.Lifetime},
		Profiles: map[string]*config.SigningProfile{
			profileCA: {
				Usage:        []string{"cert sign", "crl sign"},
				Expiry:       p.Lifetime,
				CAConstraint: config.CAConstraint{IsCA: true, MaxPathLen: 0, MaxPathLenZero: true},
			},
		},
	}
	for role, purposes := range usages {
		usage := []string{"digital signature"}
		if keyEncipherment {
			usage = append(usage, "key encipherment")
		}
		signing.Profiles[role.String()] = &config.SigningProfile{Usage: append(usage, purposes...), Expiry: p.Lifetime}
	}
	return signing
}

// fill completes a template from a profile that must exist. The template has its PublicKey.
func fill(t *x509.Certificate, policy *config.Signing, profile string, notBefore, notAfter time.Time) error {
	p := policy.Profiles[profile]
	if p == nil {
		return fmt.Errorf("no signing profile %q", profile)
	}
	if err := signer.FillTemplate(t, policy.Default, p, notBefore, notAfter); err != nil {
		return fmt.Errorf("filling the certificate from profile %q: %w", profile, err)
	}
	return nil
}
