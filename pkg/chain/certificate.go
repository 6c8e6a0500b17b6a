package chain

import (
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// The extensions that are processed.
const (
	oidSubjectKey        = "2.5.29.14"
	oidKeyUsage          = "2.5.29.15"
	oidSubjectAltName    = "2.5.29.17"
	oidIssuerAltName     = "2.5.29.18"
	oidBasicConstraints  = "2.5.29.19"
	oidNameConstraints   = "2.5.29.30"
	oidDistributions     = "2.5.29.31"
	oidPolicies          = "2.5.29.32"
	oidPolicyMappings    = "2.5.29.33"
	oidAuthorityKey      = "2.5.29.35"
	oidPolicyConstraints = "2.5.29.36"
	oidPurposes          = "2.5.29.37"
	oidFreshest          = "2.5.29.46"
	oidInhibitAny        = "2.5.29.54"
	oidAuthorityInfo     = "1.3.6.1.5.5.7.1.1"
	oidSubjectInfo       = "1.3.6.1.5.5.7.1.11"
	oidTLSFeature        = "1.3.6.1.5.5.7.1.24"
)

var processed = map[string]bool{
	oidSubjectKey: true, oidKeyUsage: true, oidSubjectAltName: true, oidIssuerAltName: true, oidBasicConstraints: true,
	oidNameConstraints: true, oidDistributions: true, oidPolicies: true, oidPolicyMappings: true, oidAuthorityKey: true,
	oidPolicyConstraints: true, oidPurposes: true, oidFreshest: true, oidInhibitAny: true, oidAuthorityInfo: true,
	oidSubjectInfo: true, oidTLSFeature: true,
}

// A certificate is one with what section 6 asks of it, read once.
type certificate struct {
	*certs.Certificate
	subject, issuer         string // to be compared, see comparable
	subjectNames            []string
	selfIssued              bool
	authorityKey            []byte
	subjectKey              []byte
	unreadable              string // the OID of an extension that is damaged or doubled
	unknownCritical         string
	names                   *nameConstraints
	policies                *policySet
	points                  []crl.DistributionPoint
	isCA                    bool
	requireExplicit, noMaps int // of policyConstraints, -1 where absent
	inhibitAny              int // -1 where absent
}

// read reads what of a certificate package certs does not.
func read(c *certs.Certificate) *certificate {
	k := &certificate{Certificate: c, requireExplicit: -1, noMaps: -1, inhibitAny: -1}
	k.subjectNames = comparableRDNs(c.Subject)
	k.subject, k.issuer = whole(k.subjectNames), whole(comparableRDNs(c.Issuer))
	k.selfIssued = k.subject == k.issuer
	k.isCA = c.BasicConstraints != nil && c.BasicConstraints.CA
	seen := map[string]bool{}
	for _, e := range c.Extensions {
		bad := seen[e.OID]
		seen[e.OID] = true
		s := cryptobyte.String(e.Value)
		switch e.OID {
		case oidBasicConstraints:
			bad = bad || c.BasicConstraints == nil || c.BasicConstraints.Undecodable
		case oidKeyUsage:
			bad = bad || c.KeyUsage == nil || c.KeyUsage.Undecodable
		case oidPurposes:
			bad = bad || c.ExtKeyUsage == nil || c.ExtKeyUsage.Undecodable
		case oidSubjectAltName:
			bad = bad || !c.HasAltNames
		case oidSubjectKey:
			var id cryptobyte.String
			if s.ReadASN1(&id, casn1.OCTET_STRING) {
				k.subjectKey = id
			}
		case oidAuthorityKey:
			var seq, id cryptobyte.String
			if s.ReadASN1(&seq, casn1.SEQUENCE) && seq.ReadOptionalASN1(&id, new(bool), casn1.Tag(0).ContextSpecific()) {
				k.authorityKey = id
			}
		case oidNameConstraints:
			k.names = readNameConstraints(s)
			bad = bad || k.names == nil
		case oidPolicies:
			k.policies = readPolicies(s, k.policies)
			bad = bad || k.policies == nil
		case oidPolicyMappings:
			if k.policies == nil {
				k.policies = &policySet{}
			}
			bad = bad || !k.policies.readMappings(s)
		case oidPolicyConstraints:
			bad = bad || !k.readPolicyConstraints(s)
		case oidInhibitAny:
			bad = bad || !s.ReadASN1Integer(&k.inhibitAny) || k.inhibitAny < 0
		case oidDistributions:
			points, err := crl.DistributionPoints(c)
			k.points = points
			bad = bad || err != nil
		default:
			if e.Critical && !processed[e.OID] && k.unknownCritical == "" {
				k.unknownCritical = e.OID
			}
		}
		if bad && k.unreadable == "" {
			k.unreadable = e.OID
		}
	}
	return k
}

func (c *certificate) certSign() bool { return c.KeyUsage.Bits&x509.KeyUsageCertSign != 0 }

// crlSign reports whether the certificate's key may sign revocation lists.
func (c *certificate) crlSign() bool {
	return c.KeyUsage == nil || c.KeyUsage.Bits&x509.KeyUsageCRLSign != 0
}

func (c *certificate) name() string { return nameText(c.Subject) }

func nameText(n dn.Name) string {
	text, err := n.Text()
	if err != nil {
		return "(a name without a text)"
	}
	return fmt.Sprintf("%q", text)
}
