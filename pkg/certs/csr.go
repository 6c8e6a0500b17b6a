package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A CertificateRequest is a PKCS#10 request (RFC 2986) whose signature was verified.
type CertificateRequest struct {
	Raw     []byte  // the complete DER
	Subject dn.Name // as encoded; see dn.Name.CheckIssuable before it goes into a certificate
	// Names, Addresses, Emails and URIs are the requested subjectAltName.
	Names     []string
	Addresses []netip.Addr
	Emails    []string
	URIs      []string

	PublicKey        crypto.PublicKey
	RawPublicKeyInfo []byte
}

// A RequestError says why a certificate request cannot be used.
type RequestError struct {
	Problem string
	Remedy  string
	Err     error // the cause, or nil
}

// Error gives the problem and its cause.
func (e *RequestError) Error() string {
	if e.Err == nil {
		return "certificate request: " + e.Problem
	}
	return fmt.Sprintf("certificate request: %s: %s", e.Problem, e.Err)
}

// Unwrap gives the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Hints gives the remedy.
func (e *RequestError) Hints() []string { return []string{e.Remedy} }

// remedyNewRequest is what helps when a request is broken.
const remedyNewRequest = `make a new one, for example "openssl req -new -key server.key -subj /CN=host.example.com -out server.csr"`

// ParseRequest reads a PKCS#10 request in PEM or DER and verifies its signature: that whoever made it has the private
// key. In PEM it takes the first block CERTIFICATE REQUEST or NEW CERTIFICATE REQUEST. Errors are *RequestError.
func ParseRequest(text []byte) (*CertificateRequest, error) {
	encoded, err := requestDER(text)
	if err != nil {
		return nil, err
	}
	r, err := x509.ParseCertificateRequest(encoded)
	if err != nil {
		return nil, &RequestError{"not a PKCS#10 request", remedyNewRequest, err}
	}
	if r.PublicKey == nil {
		return nil, &RequestError{Problem: "its public key is of an unknown kind", Remedy: "use an RSA, ECDSA or Ed25519 key"}
	}
	if err := r.CheckSignature(); err != nil {
		return nil, &RequestError{"its signature is not by its own key", remedyNewRequest, err}
	}
	subject, err := dn.FromDER(r.RawSubject)
	if err != nil {
		return nil, &RequestError{"its subject cannot be read", remedyNewRequest, err}
	}
	request := &CertificateRequest{
		Raw:              r.Raw,
		Subject:          subject,
		Names:            r.DNSNames,
		Emails:           r.EmailAddresses,
		PublicKey:        r.PublicKey,
		RawPublicKeyInfo: r.RawSubjectPublicKeyInfo,
	}
	for _, ip := range r.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return nil, &RequestError{Problem: fmt.Sprintf("its subjectAltName has an address of %d octets", len(ip)),
				Remedy: remedyNewRequest}
		}
		request.Addresses = append(request.Addresses, addr.Unmap())
	}
	for _, u := range r.URIs {
		request.URIs = append(request.URIs, u.String())
	}
	return request, nil
}

// requestDER takes the request out of PEM, if it is PEM.
func requestDER(text []byte) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, &RequestError{Problem: "empty", Remedy: remedyNewRequest}
	}
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		return text, nil
	}
	found := "no block that can be read"
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return nil, &RequestError{Problem: fmt.Sprintf("the PEM text has %s, no CERTIFICATE REQUEST", found),
				Remedy: remedyNewRequest}
		}
		switch b.Type {
		case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
			return b.Bytes, nil
		}
		found = "a " + b.Type
	}
}
