package ca

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudflare/cfssl/certdb"
	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/info"
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

// cfsslSigner is an authority behind cfssl's interface, for cfssl's remote and API layers. Whatever comes through it
// passes the same checks and the same inventory as any other order.
type cfsslSigner struct {
	authority *Authority
	ctx       context.Context
	now       func() time.Time
}

var _ signer.Signer = (*cfsslSigner)(nil)

// Info gives the CA's certificate.
func (s *cfsslSigner) Info(info.Req) (*info.Resp, error) {
	return &info.Resp{Certificate: string(s.authority.CertPEM()),
		ExpiryString: s.authority.policy.Lifetime.String()}, nil
}

// Policy gives the profiles.
func (s *cfsslSigner) Policy() *config.Signing { return signingPolicy(s.authority.policy, true) }

// SetPolicy does nothing: the policy is the authority's.
func (s *cfsslSigner) SetPolicy(*config.Signing) {}

// SetDBAccessor does nothing: the authority records itself, and more than certdb holds.
func (s *cfsslSigner) SetDBAccessor(certdb.Accessor) {}

// GetDBAccessor gives nothing; see SetDBAccessor.
func (s *cfsslSigner) GetDBAccessor() certdb.Accessor { return nil }

// SetReqModifier does nothing: nothing is sent.
func (s *cfsslSigner) SetReqModifier(func(*http.Request, []byte)) {}

// SigAlgo gives the algorithm of the CA's signatures.
func (s *cfsslSigner) SigAlgo() x509.SignatureAlgorithm { return s.authority.algorithm }

// Sign signs a certificate request under a profile, which is the name of a role. The subject is the request's, octet
// for octet; what a caller may not decide (another subject, extensions, serial number) is refused, not dropped.
func (s *cfsslSigner) Sign(r signer.SignRequest) ([]byte, error) {
	if r.Subject != nil || len(r.Extensions) > 0 || r.Serial != nil || r.CRLOverride != "" || r.ReturnPrecert {
		return nil, errors.New("the signing request asks for more than a certificate of its CSR")
	}
	role, err := certs.ParseRole(r.Profile)
	if err != nil {
		return nil, err
	}
	csr, err := ParseCSR([]byte(r.Request))
	if err != nil {
		return nil, err
	}
	order := csr.Order(role, csr.commonName)
	if len(r.Hosts) > 0 {
		if order.Names, order.Addresses, err = ParseHosts(r.Hosts); err != nil {
			return nil, err
		}
	}
	order.NotBefore, order.NotAfter = r.NotBefore, r.NotAfter
	prepared, err := s.authority.Prepare(s.now(), order)
	if err != nil {
		return nil, err
	}
	issued, err := s.authority.Issue(s.ctx, prepared)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued.DER}), nil
}
