package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudflare/cfssl/auth"

	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

// A Signer signs what a Server is asked for, and records it. It gives the certificate in PEM and a short description of it for
// the log. An error that is a *RequestError is the client's fault.
type Signer interface {
	Sign(ctx context.Context, r Request) (certificate []byte, description string, err error)
	// CA gives the CA's certificate in PEM.
	CA() []byte
	// Lifetime is how long certificates last.
	Lifetime() time.Duration
}

// A RequestError says that a request is not one that may be signed.
type RequestError struct{ Err error }

// Error gives the reason.
func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *RequestError) Unwrap() error { return e.Err }

// An Access is one line of the log: what was asked, and what came of it.
type Access struct {
	Time time.Time
	// Remote is the client's address, Client the subject of its certificate, "" where it has none.
	Remote, Client string
	// Path is what was asked for, Status the HTTP status, Done what was signed or why not.
	Path   string
	Status int
	Done   string
	Took   time.Duration
}

// ServerOptions say how to serve.
type ServerOptions struct {
	Signer  Signer
	AuthKey []byte
	// TLS is made by ServerTLS; nil: plain.
	TLS *tls.Config
	// Admit, when set, judges a client's certificate, which TLS has verified, at each request. An error keeps it out.
	Admit func(ctx context.Context, client *x509.Certificate) error
	// Name, when set, gives a client's name for the log.
	Name func(client *x509.Certificate) string
	// Now gives the time.
	Now func() time.Time
	// Begun is a time before the listener was there. Requests from before it are refused: a server that ran until then may have
	// answered them. Zero: when Serve was called.
	Begun time.Time
	// Log is told of each request, from several goroutines; nil: of none.
	Log func(Access)
	// Timeout limits a request from its first byte to its answer, and how long Serve waits for requests in work when it ends.
	// Zero: 30 seconds.
	Timeout time.Duration
	// Connections is how many there may be at a time, Signing how many certificates are signed at a time. Zero: 64 and 8.
	Connections, Signing int
}

// ServerTLS makes the TLS configuration of a server: its own certificate and key in PEM, and the CA certificates that may have
// certified its clients. A client without a certificate is not served.
func ServerTLS(cert, key, clientCA []byte) (*tls.Config, error) {
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the server's TLS certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(clientCA) {
		return nil, errors.New("no certificate in PEM among the CA certificates for clients")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert}, nil
}

// Serve serves on a listener until ctx ends; then it takes no more requests, finishes those in work, and returns nil.
func Serve(ctx context.Context, l net.Listener, o ServerOptions) error {
	s, err := newServer(o)
	if err != nil {
		return err
	}
	limited := &limitListener{Listener: l, room: make(chan struct{}, s.Connections)}
	l = limited
	if o.TLS != nil {
		l = tls.NewListener(l, o.TLS.Clone())
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: s.Timeout / 3, ReadTimeout: s.Timeout, WriteTimeout: 2 * s.Timeout, IdleTimeout: s.Timeout,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(complaints{s}, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer cancel()
	if err := server.Shutdown(wait); err != nil {
		server.Close()
	}
	return nil
}

// limitListener lets a number of connections in at a time; more wait.
type limitListener struct {
	net.Listener
	room chan struct{}
}

// Accept waits for a connection, and for room.
func (l *limitListener) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, free: sync.OnceFunc(func() { <-l.room })}, nil
}

// limitedConn makes room when it is closed.
type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}

// complaints takes what net/http has to say: of handshakes that failed.
type complaints struct{ *server }

// Write has the line in the log.
func (c complaints) Write(line []byte) (int, error) {
	c.log(Access{Time: c.Now(), Done: visible(string(line))})
	return len(line), nil
}

// server answers requests.
type server struct {
	ServerOptions
	tokens *auth.Standard
	seen   *memory
	work   chan struct{}
}

// newServer checks the options.
func newServer(o ServerOptions) (*server, error) {
	if len(o.AuthKey) < minAuthKey {
		return nil, &AuthKeyError{"it is too short"}
	}
	tokens, err := auth.New(hex.EncodeToString(o.AuthKey), nil)
	if err != nil {
		return nil, err
	}
	if o.Begun.IsZero() {
		o.Begun = o.Now()
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Signing <= 0 {
		o.Signing = 8
	}
	return &server{ServerOptions: o, tokens: tokens, seen: &memory{until: map[[32]byte]time.Time{}}, work: make(chan struct{}, o.Signing)}, nil
}

func (s *server) log(a Access) {
	if s.Log != nil {
		s.Log(a)
	}
}

// A refusal is an answer that is no success.
type refusal struct {
	status int
	text   string
	hints  []string
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := s.Now()
	ctx, cancel := context.WithTimeout(r.Context(), s.Timeout)
	defer cancel()
	a := Access{Time: begun, Remote: r.RemoteAddr, Path: visible(r.URL.Path), Status: http.StatusOK}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		client := r.TLS.PeerCertificates[0]
		a.Client = visible(client.Subject.String())
		if s.Name != nil {
			a.Client = visible(s.Name(client))
		}
	}
	out, done, err := s.answer(ctx, r)
	reply := answer{Success: err == nil, Errors: []message{}, Messages: []message{}, Result: json.RawMessage("null")}
	a.Done = done
	if err != nil {
		no := &refusal{status: http.StatusInternalServerError, text: err.Error(), hints: hint.Of(err)}
		var request *RequestError
		switch {
		case errors.As(err, &no):
		case errors.As(err, &request):
			no.status = http.StatusBadRequest
		case ctx.Err() != nil:
			no = &refusal{status: http.StatusServiceUnavailable, text: "it could not be done in time"}
		}
		a.Status, a.Done = no.status, visible(no.text)
		reply.Errors = append(reply.Errors, message{no.status, visible(no.text)})
		for _, h := range no.hints {
			reply.Messages = append(reply.Messages, message{no.status, h})
		}
	} else if reply.Result, err = json.Marshal(out); err != nil {
		a.Status, a.Done = http.StatusInternalServerError, err.Error()
	}
	text, _ := json.Marshal(reply) // it is made of texts
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	if _, err := w.Write(append(text, '\n')); err != nil {
		a.Done += "; the answer could not be sent"
	}
	a.Took = s.Now().Sub(begun)
	s.log(a)
}

// answer gives the answer to a request, and what to say of it in the log.
func (s *server) answer(ctx context.Context, r *http.Request) (*result, string, error) {
	switch {
	case r.URL.Path != infoPath && r.URL.Path != signPath:
		return nil, "", &refusal{http.StatusNotFound, "there are only " + infoPath + " and " + signPath, nil}
	case r.Method != http.MethodPost:
		return nil, "", &refusal{http.StatusMethodNotAllowed, "only POST", nil}
	}
	if s.Admit != nil && r.TLS != nil {
		if len(r.TLS.PeerCertificates) == 0 {
			return nil, "", &refusal{http.StatusForbidden, "no client certificate", nil}
		}
		if err := s.Admit(ctx, r.TLS.PeerCertificates[0]); err != nil {
			return nil, "", &refusal{http.StatusForbidden, err.Error(), nil}
		}
	}
	body, err := readAll(r.Body)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, "", &refusal{http.StatusRequestEntityTooLarge, errTooLarge.Error(), nil}
	case err != nil:
		return nil, "", &refusal{http.StatusBadRequest, "the request did not arrive whole", nil}
	}
	if r.URL.Path == infoPath {
		var ask struct{ Label, Profile string }
		if err := json.Unmarshal(body, &ask); err != nil {
			return nil, "", &refusal{http.StatusBadRequest, "the request is no JSON object", nil}
		}
		return &result{Certificate: string(s.Signer.CA()), Usages: []string{}, Expiry: s.Signer.Lifetime().String()}, "info", nil
	}
	request, err := s.authentic(body)
	if err != nil {
		return nil, "", err
	}
	select {
	case s.work <- struct{}{}:
		defer func() { <-s.work }()
	case <-ctx.Done():
		return nil, "", &refusal{http.StatusServiceUnavailable, "too much is being signed now", []string{"try again"}}
	}
	certificate, done, err := s.Signer.Sign(ctx, request)
	if err != nil {
		return nil, "", err
	}
	return &result{Certificate: string(certificate)}, done, nil
}

// window is how far the clocks of client and server may be apart.
const window = 10 * time.Minute

// authentic reads a request for a signature whose token holds, and which was not made before.
func (s *server) authentic(body []byte) (Request, error) {
	var outer auth.AuthenticatedRequest
	if err := json.Unmarshal(body, &outer); err != nil || len(outer.Request) == 0 {
		return Request{}, &refusal{http.StatusBadRequest, "the request is none of cfssl's authsign", nil}
	}
	if !s.tokens.Verify(&outer) {
		return Request{}, &refusal{http.StatusUnauthorized, "invalid token", nil}
	}
	var in signRequest
	if err := json.Unmarshal(outer.Request, &in); err != nil {
		return Request{}, &refusal{http.StatusBadRequest, "the authenticated request is none of cfssl's authsign", nil}
	}
	now := s.Now()
	until := time.Time{} // as long as this process lives
	if in.Own != nil {
		if off := in.Own.Time.Sub(now); off > window || off < -window {
			return Request{}, &refusal{http.StatusBadRequest, fmt.Sprintf("the request is from %s, and it is %s here",
				in.Own.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)), []string{"set the clocks right: timedatectl"}}
		}
		if in.Own.Time.Before(s.Begun) {
			return Request{}, &refusal{http.StatusConflict, fmt.Sprintf("the request is from %s, before this server began at %s, and may have been answered",
				in.Own.Time.UTC().Format(time.RFC3339Nano), s.Begun.UTC().Format(time.RFC3339Nano)), []string{"try again; if it stays so, set the clocks right: timedatectl"}}
		}
		until = in.Own.Time.Add(window + time.Minute)
	}
	if !s.seen.first(sha256.Sum256(outer.Request), now, until) {
		return Request{}, &refusal{http.StatusConflict, "this very request was answered before", []string{"make a new certificate request"}}
	}
	return in.request()
}

// request gives what is asked for. What a client may not decide is refused, not dropped.
func (in signRequest) request() (Request, error) {
	for _, more := range []struct {
		what  string
		asked bool
	}{{"a subject of its own", !absent(in.Subject)}, {"a serial number", !absent(in.Serial)}, {"extensions", !absent(in.Extensions)},
		{"a place of revocation lists", in.CRLOverride != ""}, {"a precertificate", in.ReturnPrecert}, {"a bundle", in.Bundle}} {
		if more.asked {
			return Request{}, &refusal{http.StatusBadRequest, "the request asks for " + more.what + "; only a certificate of its CSR is given", nil}
		}
	}
	r := Request{CSR: []byte(in.Request), Profile: in.Profile, Hosts: in.Hosts}
	if in.Hostname != "" { // as signer.SplitHosts
		r.Hosts = strings.Split(in.Hostname, ",")
	}
	if in.Request == "" {
		return r, &refusal{http.StatusBadRequest, "missing parameter 'certificate_request'", nil}
	}
	if in.NotBefore != nil {
		r.NotBefore = *in.NotBefore
	}
	if in.NotAfter != nil {
		r.NotAfter = *in.NotAfter
	}
	if in.Own != nil {
		// They go into the inventory, and from there onto terminals.
		if !isName(in.Own.Host, 255) || !isName(in.Own.Layout, 64) {
			return r, &refusal{http.StatusBadRequest, "the names of host and layout are too long, or not printable", nil}
		}
		r.Host, r.Layout = in.Own.Host, in.Own.Layout
	}
	return r, nil
}

// isName reports whether a text is printable and no longer than that.
func isName(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// absent reports whether a member is not there, or says nothing.
func absent(m json.RawMessage) bool {
	switch strings.TrimSpace(string(m)) {
	case "", "null", "[]", "{}":
		return true
	}
	return false
}

// A memory remembers requests.
type memory struct {
	mu    sync.Mutex
	until map[[32]byte]time.Time // zero: for good
}

// maxSeen bounds the memory. When it is full of requests without a time, the oldest are not known, and all of those go.
const maxSeen = 1 << 17

// first reports whether a request is seen for the first time.
func (m *memory) first(digest [32]byte, now, until time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.until[digest]; ok {
		return false
	}
	if len(m.until) >= maxSeen {
		for d, t := range m.until {
			if t.IsZero() || t.Before(now) {
				delete(m.until, d)
			}
		}
	}
	m.until[digest] = until
	return true
}
