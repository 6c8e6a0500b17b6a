package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cloudflare/cfssl/auth"
)

// Options say how a client reaches its server.
type Options struct {
	// AuthKey is the shared key of ParseAuthKey.
	AuthKey []byte
	// TLS asks for TLS. CA are the CA certificates in PEM that may have certified the server; empty: those of the system. Cert
	// and Key are the client's own, in PEM.
	TLS           bool
	CA, Cert, Key []byte
	// Timeout limits each request, from the connection to the end of the answer. Zero: 30 seconds.
	Timeout time.Duration
	// Now gives the time.
	Now func() time.Time
	// Dial connects. Nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultTimeout limits a request.
const DefaultTimeout = 30 * time.Second

// A Client has certificates signed. Several goroutines may use it.
type Client struct {
	url     URL
	options Options
	tokens  *auth.Standard
	http    http.Client
	base    string
}

// NewClient makes a client. It does not connect.
func NewClient(u URL, o Options) (*Client, error) {
	if len(o.AuthKey) < minAuthKey {
		return nil, &AuthKeyError{"it is too short"}
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	base := url.URL{Scheme: "http", Host: u.Host} // it escapes the zone of an address
	if o.TLS {
		base.Scheme = "https"
	}
	c := &Client{url: u, options: o, base: base.String()}
	var err error
	if c.tokens, err = auth.New(hex.EncodeToString(o.AuthKey), nil); err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: o.Dial, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout: time.Minute, DisableCompression: true}
	if transport.DialContext == nil {
		transport.DialContext = (&net.Dialer{}).DialContext
	}
	if o.TLS {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if len(o.CA) > 0 {
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(o.CA) {
				return nil, errors.New("no certificate in PEM among the CA certificates for the signer")
			}
		}
		if len(o.Cert)+len(o.Key) > 0 {
			own, err := tls.X509KeyPair(o.Cert, o.Key)
			if err != nil {
				return nil, fmt.Errorf("the client's certificate for the signer: %w", err)
			}
			config.Certificates = []tls.Certificate{own}
		}
		transport.TLSClientConfig = config
	}
	c.http = http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// URL gives the server's.
func (c *Client) URL() URL { return c.url }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// CA gives the certificate of the CA that signs there, in PEM. It is not authenticated by more than the connection is.
func (c *Client) CA(ctx context.Context) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"label": c.url.Label, "profile": ""})
	if err != nil {
		return nil, err
	}
	r, err := c.post(ctx, infoPath, body)
	if err != nil {
		return nil, err
	}
	return []byte(r.Certificate), nil
}

// Sign has a certificate signed and gives it in DER, as it came.
func (c *Client) Sign(ctx context.Context, r Request) ([]byte, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	wire := signRequest{Hosts: r.Hosts, Request: string(r.CSR), Profile: r.Profile, Label: c.url.Label,
		Own: &ownPart{Time: c.options.Now().UTC(), Nonce: hex.EncodeToString(nonce), Host: r.Host, Layout: r.Layout}}
	if !r.NotBefore.IsZero() {
		wire.NotBefore = &r.NotBefore
	}
	if !r.NotAfter.IsZero() {
		wire.NotAfter = &r.NotAfter
	}
	request, err := json.Marshal(wire)
	if err != nil {
		return nil, err
	}
	token, err := c.tokens.Token(request)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(auth.AuthenticatedRequest{Timestamp: c.options.Now().Unix(), Token: token, Request: request})
	if err != nil {
		return nil, err
	}
	got, err := c.post(ctx, signPath, body)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode([]byte(got.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, c.fault(Nonsense, nil, "", "its answer holds %s where one certificate in PEM is due", describePEM(block, rest))
	}
	return block.Bytes, nil
}

// describePEM says what is there instead of a certificate.
func describePEM(block *pem.Block, rest []byte) string {
	switch {
	case block == nil:
		return "no PEM"
	case block.Type != "CERTIFICATE":
		return fmt.Sprintf("a %.40q", block.Type)
	}
	return fmt.Sprintf("%d bytes more", len(bytes.TrimSpace(rest)))
}

// A Trouble says what kind of trouble there is with a server.
type Trouble string

// The kinds of trouble.
const (
	// Unreachable: no connection.
	Unreachable Trouble = "unreachable"
	// Silent: no answer within the time limit.
	Silent Trouble = "silent"
	// Untrusted: TLS failed, at either end.
	Untrusted Trouble = "untrusted"
	// Unauthenticated: the server does not accept the HMAC key.
	Unauthenticated Trouble = "unauthenticated"
	// Refused: the server does not sign this.
	Refused Trouble = "refused"
	// Nonsense: the answer is none of cfssl's API.
	Nonsense Trouble = "nonsense"
)

// An Error says why a server did not sign.
type Error struct {
	Trouble Trouble
	Server  string
	Problem string
	// Err is the cause; it may be nil.
	Err   error
	hints []string
}

// Error names the server and the problem.
func (e *Error) Error() string { return fmt.Sprintf("the signer %s: %s", e.Server, e.Problem) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hints says what to do.
func (e *Error) Hints() []string { return e.hints }

// fault makes an Error.
func (c *Client) fault(t Trouble, err error, hint, format string, a ...any) *Error {
	e := &Error{Trouble: t, Server: c.url.String(), Problem: fmt.Sprintf(format, a...), Err: err}
	if hint != "" {
		e.hints = []string{hint}
	}
	return e
}

// post sends a request and reads the answer.
func (c *Client) post(ctx context.Context, path string, body []byte) (*result, error) {
	limited, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(r)
	var text []byte
	if err == nil {
		defer response.Body.Close()
		text, err = readAll(response.Body)
	}
	if err != nil {
		return nil, c.explain(ctx, limited, err)
	}
	return c.read(path, response, text)
}

// explain gives the reason why there is no answer.
func (c *Client) explain(ctx, limited context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var dns *net.DNSError
	var operation *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errTooLarge):
		return c.fault(Nonsense, err, "", "its answer is too large: %v", errTooLarge)
	case limited.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return c.fault(Silent, err, "is it running, and is that its port? a longer limit: --signer-timeout", "it did not answer within %s", c.options.Timeout)
	case errors.As(err, &unknown):
		return c.fault(Untrusted, err, "give the CA that certified the server with --signer-ca", "its TLS certificate is from no CA that is trusted here")
	case errors.As(err, &wrongName):
		return c.fault(Untrusted, err, "use a name that is in its certificate, or give it one with this name", "its TLS certificate is for another host: %v", wrongName)
	case errors.As(err, &invalid), errors.As(err, &verification):
		return c.fault(Untrusted, err, "", "its TLS certificate does not hold: %v", cause(err))
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return c.fault(Untrusted, err, "without --signer-ca and --signer-cert no TLS is spoken", "it speaks no TLS")
	case errors.As(err, &dns):
		return c.fault(Unreachable, err, "", "its name cannot be resolved: %s", dns.Err)
	case errors.As(err, &operation) && operation.Op == "remote error":
		return c.fault(Untrusted, err, "it may want a certificate of this machine: --signer-cert and --signer-cert-key", "it ended the TLS handshake: %v", operation.Err)
	case errors.As(err, &operation) && operation.Op == "dial":
		return c.fault(Unreachable, err, "is it running, and is that its port?", "no connection: %v", cause(operation))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		hint := "if it speaks TLS, give its CA with --signer-ca"
		if c.options.TLS {
			hint = "if it wants a certificate of this machine: --signer-cert and --signer-cert-key"
		}
		return c.fault(Unreachable, err, hint, "the connection was closed before the answer")
	}
	return c.fault(Nonsense, err, "", "no answer of cfssl's API: %v", cause(err))
}

// cause gives the innermost error.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// read reads an answer.
func (c *Client) read(path string, response *http.Response, text []byte) (*result, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		switch {
		case bytes.Contains(text, []byte("HTTP request to an HTTPS server")):
			return nil, c.fault(Untrusted, err, "give its CA: --signer-ca", "it speaks TLS")
		case response.StatusCode == http.StatusNotFound:
			return nil, c.fault(Nonsense, err, "is that cfssl's port, and does its configuration have auth_keys?", "it has no %s (HTTP status 404)", path)
		}
		return nil, c.fault(Nonsense, err, "is that cfssl's port?", "its answer is none of cfssl's API (HTTP status %d)", response.StatusCode)
	}
	if !a.Success || response.StatusCode != http.StatusOK {
		said := "it refuses without a reason"
		if len(a.Errors) > 0 {
			said = fmt.Sprintf("it refuses: %s", visible(a.Errors[0].Message))
		}
		e := c.fault(Refused, nil, "", "%s", said)
		switch {
		case response.StatusCode == http.StatusUnauthorized || len(a.Errors) > 0 && a.Errors[0].Message == "invalid token":
			e.Trouble = Unauthenticated
			e.hints = []string{"the HMAC key (--signer-auth-key) must be the server's"}
		case len(a.Errors) > 0 && a.Errors[0].Message == "no authentication provider":
			e.hints = []string{"the server's profile needs an auth_key: \"profiles\": {\"server\": {\"auth_key\": \"NAME\", ...}}"}
		}
		for _, m := range a.Messages {
			e.hints = append(e.hints, visible(m.Message))
		}
		return nil, e
	}
	var r result
	if err := json.Unmarshal(a.Result, &r); err != nil || r.Certificate == "" {
		return nil, c.fault(Nonsense, err, "", "its answer holds no certificate")
	}
	return &r, nil
}

// visible makes a text of the other side fit for a message: one line, no control characters, not endless.
func visible(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + "..."
	}
	return strings.TrimSpace(text)
}
