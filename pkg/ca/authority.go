package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/signer"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// A Recorder writes certificates down before they are given out. *inventory.Inventory is one.
type Recorder interface {
	Record(ctx context.Context, entries ...inventory.Entry) error
}

// An Authority issues identities under one CA certificate. Several goroutines may use it at a time.
type Authority struct {
	cert      *x509.Certificate
	policy    Policy
	limits    Constraints
	key       crypto.Signer // nil: locked, or with remote
	remote    RemoteSigner  // nil: key signs
	algorithm x509.SignatureAlgorithm
	recorder  Recorder
	// profiles are cfssl's, by whether keyEncipherment is in the key usage.
	profiles map[bool]*config.Signing
	lint     *rehearsal

	bundle [][]byte // cert, and those above it
	// These are set by Open only.
	dir       string
	inventory *inventory.Inventory
	staged    bool      // see Spec
	owned     io.Closer // the key of Use
	// below is where in dir the CA's certificate and key are, rotation and fellow what there is of a rotation (rotate.go).
	below    string
	rotation *rotationState
	fellow   *Authority
}

// New makes an authority of a CA certificate in DER and its key, which need not be in this process's memory. A nil key
// gives an authority that can prepare, but not issue.
func New(der []byte, key crypto.Signer, policy Policy, recorder Recorder) (*Authority, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the CA certificate: %w", err)
	}
	if err := checkCA(cert); err != nil {
		return nil, err
	}
	policy = policy.withDefaults()
	a := &Authority{cert: cert, policy: policy, limits: constraintsOf(cert), recorder: recorder,
		algorithm: signer.DefaultSigAlgo(publicOnly{public: cert.PublicKey}),
		profiles:  profilesOf(policy),
	}
	a.bundle = [][]byte{cert.Raw}
	a.lint = &rehearsal{ca: cert, algorithm: a.algorithm}
	if key != nil {
		err = a.setKey(key)
	}
	return a, err
}

// profilesOf gives cfssl's signing profiles for a policy.
func profilesOf(policy Policy) map[bool]*config.Signing {
	return map[bool]*config.Signing{false: signingPolicy(policy, false), true: signingPolicy(policy, true)}
}

// setKey takes the key after having checked that it is the certificate's.
func (a *Authority) setKey(key crypto.Signer) error {
	if !certs.SameKey(key.Public(), a.cert.PublicKey) {
		return fmt.Errorf("%w: the key's identifier is %s, the certificate's %s", ErrKeyMismatch,
			shortKeyID(key.Public()), shortKeyID(a.cert.PublicKey))
	}
	a.key = key
	return nil
}

// CertDER gives the CA's certificate.
func (a *Authority) CertDER() []byte { return append([]byte(nil), a.cert.Raw...) }

// CertPEM gives the CA's certificate in PEM.
func (a *Authority) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// NotBefore is when the CA's certificate begins.
func (a *Authority) NotBefore() time.Time { return a.cert.NotBefore }

// NotAfter is when the CA's certificate ends, and with it everything it has issued.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Policy gives the policy, complete with defaults.
func (a *Authority) Policy() Policy { return a.policy }

// Constraints gives what the CA may certify.
func (a *Authority) Constraints() Constraints { return a.limits }

// PublicKey gives the CA's public key.
func (a *Authority) PublicKey() crypto.PublicKey { return a.cert.PublicKey }

// Unlocked reports whether the authority has its key, or a signer that has it, and can issue.
func (a *Authority) Unlocked() bool { return a.key != nil || a.remote != nil }

// nameOf gives a certificate's subject as libvirt writes it; crypto/x509 would turn the order.
func nameOf(cert *x509.Certificate) string {
	if n, err := dn.FromDER(cert.RawSubject); err == nil {
		if text, err := n.Text(); err == nil {
			return text
		}
	}
	return cert.Subject.String()
}

// checkCA refuses a certificate that cannot be an authority's.
func checkCA(cert *x509.Certificate) error {
	switch {
	case !cert.BasicConstraintsValid:
		return fmt.Errorf("the certificate %q is no CA: it has no basicConstraints", nameOf(cert))
	case !cert.IsCA:
		return fmt.Errorf("the certificate %q is no CA: its basicConstraints say CA:FALSE", nameOf(cert))
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("the certificate %q may not sign certificates: its keyUsage lacks keyCertSign", nameOf(cert))
	}
	// crypto/x509 reports an extension here when it holds constraints of a kind it does not know.
	for _, oid := range cert.UnhandledCriticalExtensions {
		return fmt.Errorf("the CA certificate %q has a critical extension (%v) that virt-pki cannot honour", cert.Subject, oid)
	}
	if err := checkKey(cert.PublicKey); err != nil {
		return fmt.Errorf("the CA certificate %q: %w", cert.Subject, err)
	}
	return nil
}

// checkKey refuses public keys that are weak or that GnuTLS or crypto/tls has no signature for.
func checkKey(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 {
			return &KeyStrengthError{fmt.Sprintf("RSA-%d", bits), "fewer than 2048 bits are weak"}
		}
		if k.E < 3 || k.E%2 == 0 {
			return &KeyStrengthError{"RSA", fmt.Sprintf("public exponent %d", k.E)}
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return &KeyStrengthError{"ECDSA " + k.Curve.Params().Name, "this curve is weak or not used in TLS"}
		}
	case ed25519.PublicKey:
	default:
		return &KeyStrengthError{fmt.Sprintf("%T", public), "this kind of key is not supported"}
	}
	return nil
}

// shortKeyID gives a key identifier for messages.
func shortKeyID(public crypto.PublicKey) string {
	id, err := certs.KeyID(public)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%x", id)
}

// publicOnly lets cfssl choose a signature algorithm while the private key is locked.
type publicOnly struct {
	crypto.Signer
	public crypto.PublicKey
}

// Public gives the key.
func (p publicOnly) Public() crypto.PublicKey { return p.public }
