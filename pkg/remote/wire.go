package remote

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The endpoints of cfssl's API.
const (
	infoPath = "/api/v1/cfssl/info"
	signPath = "/api/v1/cfssl/authsign"
)

// maxMessage bounds requests and answers: a certificate request is two kilobytes, a certificate with its chain ten.
const maxMessage = 1 << 20

// A Request asks for one certificate.
type Request struct {
	// CSR is the certificate request in PEM.
	CSR []byte
	// Profile says what the certificate is for: the name of a role with our server, that of a signing profile with cfssl's.
	Profile string
	// Hosts are the DNS names and IP addresses of the certificate. Empty: the request's.
	Hosts []string
	// NotBefore and NotAfter are zero unless they were asked for. cfssl's server has dates of its own.
	NotBefore, NotAfter time.Time
	// Host and Layout are what the inventory of our server is told; cfssl's ignores them.
	Host, Layout string
}

// signRequest is the request of cfssl's API, with what cfssl's own client sends (signer.SignRequest) and, in the last member,
// what only ours does.
type signRequest struct {
	Hostname      string          `json:"hostname,omitempty"`
	Hosts         []string        `json:"hosts,omitempty"`
	Request       string          `json:"certificate_request"`
	Subject       json.RawMessage `json:"subject,omitempty"`
	Profile       string          `json:"profile"`
	Label         string          `json:"label,omitempty"`
	Serial        json.RawMessage `json:"serial,omitempty"`
	Extensions    json.RawMessage `json:"extensions,omitempty"`
	CRLOverride   string          `json:"crl_override,omitempty"`
	ReturnPrecert bool            `json:"ReturnPrecert,omitempty"`
	Bundle        bool            `json:"bundle,omitempty"`
	NotBefore     *time.Time      `json:"NotBefore,omitempty"`
	NotAfter      *time.Time      `json:"NotAfter,omitempty"`
	Own           *ownPart        `json:"virt_pki,omitempty"`
}

// ownPart is ours: it keeps a request from being used twice, and says what the certificate is for.
type ownPart struct {
	Time   time.Time `json:"time"`
	Nonce  string    `json:"nonce"`
	Host   string    `json:"host,omitempty"`
	Layout string    `json:"layout,omitempty"`
}

// answer is every answer of cfssl's API.
type answer struct {
	Success  bool            `json:"success"`
	Result   json.RawMessage `json:"result"`
	Errors   []message       `json:"errors"`
	Messages []message       `json:"messages"`
}

type message struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// result is what info and authsign give.
type result struct {
	Certificate string   `json:"certificate"`
	Usages      []string `json:"usages,omitempty"`
	Expiry      string   `json:"expiry,omitempty"`
}

// A URL names a server: cfssl://HOST:PORT, with a label behind it where the server has several CAs (cfssl's multirootca).
type URL struct {
	// Host is "name:port", Label may be empty.
	Host, Label string
}

// defaultPort is cfssl's.
const defaultPort = "8888"

// ParseURL reads cfssl://HOST[:PORT][/LABEL].
func ParseURL(text string) (URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return URL{}, err
	case u.Scheme != "cfssl":
		return URL{}, fmt.Errorf("the scheme is %q; write cfssl://HOST:PORT", u.Scheme)
	case u.Hostname() == "":
		return URL{}, errors.New("there is no host in it; write cfssl://HOST:PORT")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return URL{}, errors.New("only a host, a port and a label belong into it; write cfssl://HOST:PORT/LABEL")
	}
	if !isHost(u.Hostname()) {
		return URL{}, fmt.Errorf("%q is no host", u.Hostname())
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return URL{}, fmt.Errorf("%q is no port", port)
	}
	label := strings.TrimPrefix(u.Path, "/")
	if strings.Contains(label, "/") {
		return URL{}, fmt.Errorf("%q is no label", label)
	}
	return URL{Host: net.JoinHostPort(u.Hostname(), port), Label: label}, nil
}

// isHost reports whether a text is a host name in ASCII or an address.
func isHost(text string) bool {
	if strings.Contains(text, ":") {
		_, err := netip.ParseAddr(text)
		return err == nil
	}
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == ""
}

// String gives the URL.
func (u URL) String() string {
	out := url.URL{Scheme: "cfssl", Host: u.Host}
	if u.Label != "" {
		out.Path = "/" + u.Label
	}
	return out.String()
}

// Loopback reports whether an address, "host:port", is on this machine only.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	if at := strings.IndexByte(host, '%'); at >= 0 {
		host = host[:at]
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// minAuthKey is the length of the shortest key: 128 bits.
const minAuthKey = 16

// ParseAuthKey reads the shared key of client and server: hexadecimal digits, as in cfssl's configuration (auth_keys), alone in
// a file.
func ParseAuthKey(text []byte) ([]byte, error) {
	digits := strings.TrimSpace(string(text))
	key, err := hex.DecodeString(digits)
	switch {
	case digits == "":
		return nil, &AuthKeyError{"it is empty"}
	case err != nil: // without the digits
		return nil, &AuthKeyError{"it is not in hexadecimal digits"}
	case len(key) < minAuthKey:
		return nil, &AuthKeyError{fmt.Sprintf("it has %d bits, fewer than %d", 8*len(key), 8*minAuthKey)}
	case len(bytes.Trim(key, string(key[:1]))) == 0:
		return nil, &AuthKeyError{"all its octets are the same"}
	}
	return key, nil
}

// An AuthKeyError says why a text is no shared key. The text is not repeated.
type AuthKeyError struct{ Problem string }

// Error gives the reason.
func (e *AuthKeyError) Error() string { return "the HMAC key: " + e.Problem }

// Hints says how to make one.
func (e *AuthKeyError) Hints() []string {
	return []string{"make one: (umask 077; openssl rand -hex 32 >auth.key)   # and the same on the other machine"}
}

// readAll reads a message to its end, up to maxMessage.
func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err == nil && len(b) > maxMessage {
		err = errTooLarge
	}
	return b, err
}

var errTooLarge = fmt.Errorf("more than %d bytes", maxMessage)
