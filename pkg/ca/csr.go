package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// A CSR is a certificate signing request (PKCS#10, RFC 2986) whose signature holds.
type CSR struct {
	// Subject is the name, octet for octet.
	Subject dn.Name
	// Names and Addresses are the DNS names and IP addresses it asks for.
	Names     []string
	Addresses []netip.Addr
	Public    crypto.PublicKey
	// Ignored says what else it asks for. That is the authority's business and is not taken over.
	Ignored []string

	commonName string
	der        []byte
}

// ErrCSR says that a text is no usable certificate request.
var ErrCSR = errors.New("no certificate request")

// maxCSR bounds the text of a request.
const maxCSR = 1 << 20

// ParseCSR reads a certificate request in PEM or DER and checks its signature, which proves that whoever made it has the
// key. Weak keys and subjects that libvirt cannot live with are refused.
func ParseCSR(text []byte) (*CSR, error) {
	der, err := csrDER(text)
	if err != nil {
		return nil, err
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	if err := checkKey(r.PublicKey); err != nil {
		return nil, fmt.Errorf("the certificate request has a weak key: %w", err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the signature of the certificate request does not hold: %w", err)
	}
	c := &CSR{Public: r.PublicKey, der: der}
	if c.Subject, err = dn.FromDER(r.RawSubject); err != nil {
		return nil, fmt.Errorf("the subject of the certificate request: %w", err)
	}
	if _, c.commonName, err = checkSubject(c.Subject); err != nil {
		return nil, err
	}
	for _, ip := range r.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			c.Addresses = append(c.Addresses, a.Unmap())
		}
	}
	c.Names = r.DNSNames
	for _, e := range r.EmailAddresses {
		c.Ignored = append(c.Ignored, fmt.Sprintf("the e-mail address %q", e))
	}
	for _, u := range r.URIs {
		c.Ignored = append(c.Ignored, fmt.Sprintf("the URI %q", u))
	}
	for _, e := range r.Extensions {
		if oid := e.Id.String(); oid != "2.5.29.17" {
			name := extensionNames[oid]
			if name == "" {
				name = "extension"
			}
			c.Ignored = append(c.Ignored, fmt.Sprintf("%s (%s)", name, oid))
		}
	}
	return c, nil
}

// extensionNames are the extensions that tools put into requests.
var extensionNames = map[string]string{
	"2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage", "2.5.29.19": "basicConstraints",
	"2.5.29.30": "nameConstraints", "2.5.29.37": "extendedKeyUsage",
}

// csrDER finds the request in a text.
func csrDER(text []byte) ([]byte, error) {
	if len(text) > maxCSR {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrCSR, len(text))
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%w: the text is empty", ErrCSR)
	}
	var found []string
	for rest := text; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
			return block.Bytes, nil
		}
		found, rest = append(found, block.Type), next
	}
	switch {
	case len(found) > 0:
		return nil, fmt.Errorf("%w: the PEM text holds %s", ErrCSR, strings.Join(found, ", "))
	case text[0] == 0x30:
		return text, nil
	}
	return nil, fmt.Errorf("%w: neither PEM nor DER", ErrCSR)
}

// Order gives the order for what the request asks. The caller decides on the role, and may change names and dates.
func (c *CSR) Order(role certs.Role, host string) Order {
	return Order{Host: host, Public: c.Public, Ignored: c.Ignored, csr: c.der,
		Request: certs.Request{Role: role, Subject: c.Subject, Names: c.Names, Addresses: c.Addresses}}
}

// PrepareCSR is Prepare for a request. Role, host, layout and dates are the order's; names and addresses too, unless it
// has none: then the request's are taken. Subject and key are the request's.
func (a *Authority) PrepareCSR(now time.Time, csr *CSR, o Order) (*Prepared, error) {
	from := csr.Order(o.Role, o.Host)
	from.Layout, from.NotBefore, from.NotAfter = o.Layout, o.NotBefore, o.NotAfter
	if len(o.Names)+len(o.Addresses) > 0 {
		from.Names, from.Addresses = o.Names, o.Addresses
		from.Ignored = append(slices.Clip(csr.Ignored), csr.beyond(o)...)
	}
	return a.Prepare(now, from)
}

// beyond says which names of the request the order does not have.
func (c *CSR) beyond(o Order) (out []string) {
	names, addrs := o.Names, o.Addresses
	if o.Role != certs.Client { // the CN is among a server's names anyway
		names = append(slices.Clip(names), c.commonName)
	}
	for _, n := range c.Names {
		if !slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, n) }) {
			out = append(out, fmt.Sprintf("the name %q", n))
		}
	}
	for _, a := range c.Addresses {
		if !slices.Contains(addrs, a) {
			out = append(out, fmt.Sprintf("the address %s", a))
		}
	}
	return out
}

// IssueCSR prepares and issues a certificate for a request.
func (a *Authority) IssueCSR(ctx context.Context, now time.Time, csr *CSR, o Order) (Issued, error) {
	p, err := a.PrepareCSR(now, csr, o)
	if err != nil {
		return Issued{}, err
	}
	return a.Issue(ctx, p)
}
