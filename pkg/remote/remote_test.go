package remote

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

var authKey = bytes.Repeat([]byte{1, 2, 3, 4}, 8)

// signing is a Signer that gives what a function gives.
type signing struct {
	ca   []byte
	sign func(ctx context.Context, r Request) ([]byte, error)
}

func (s signing) CA() []byte              { return s.ca }
func (s signing) Lifetime() time.Duration { return 365 * 24 * time.Hour }
func (s signing) Sign(ctx context.Context, r Request) ([]byte, string, error) {
	c, err := s.sign(ctx, r)
	return c, "signed for " + r.Host, err
}

// A fixture is a server and what is needed to reach it.
type fixture struct {
	ca  *testpki.CA
	log func() []Access
	url URL
	end func() error
}

// serve starts a server until the test ends.
func serve(t *testing.T, change func(*ServerOptions)) *fixture {
	t.Helper()
	f := &fixture{ca: testpki.NewCA(t)}
	var mu sync.Mutex
	var lines []Access
	f.log = func() []Access { mu.Lock(); defer mu.Unlock(); return lines }
	leaf := f.ca.Server("kvm1.example.com").CertPEM()
	o := ServerOptions{AuthKey: authKey, Now: time.Now, Begun: time.Now(), Timeout: 5 * time.Second,
		Signer: signing{f.ca.CertPEM(), func(context.Context, Request) ([]byte, error) { return leaf, nil }},
		Log:    func(a Access) { mu.Lock(); defer mu.Unlock(); lines = append(lines, a) }}
	if change != nil {
		change(&o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = URL{Host: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, o) }()
	f.end = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { f.end() })
	return f
}

// client makes a client.
func client(t *testing.T, u URL, change func(*Options)) *Client {
	t.Helper()
	o := Options{AuthKey: authKey, Now: time.Now, Timeout: 5 * time.Second}
	if change != nil {
		change(&o)
	}
	c, err := NewClient(u, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestACertificateIsSignedPlain(t *testing.T) {
	var got Request
	var leaf []byte
	f := serve(t, func(o *ServerOptions) {
		s := o.Signer.(signing)
		inner := s.sign
		s.sign = func(ctx context.Context, r Request) ([]byte, error) { got = r; return inner(ctx, r) }
		o.Signer = s
		leaf, _ = inner(context.Background(), Request{})
	})
	c := client(t, f.url, nil)
	ca, err := c.CA(context.Background())
	if err != nil || !bytes.Equal(ca, f.ca.CertPEM()) {
		t.Fatalf("the CA's certificate: %s (%v)", ca, err)
	}
	want := Request{CSR: []byte("a request"), Profile: "server", Hosts: []string{"kvm1", "192.0.2.1"}, Host: "kvm1", Layout: "libvirt",
		NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	der, err := c.Sign(context.Background(), want)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err := x509.ParseCertificate(der); err != nil || !bytes.Contains(leaf, []byte("CERTIFICATE")) || cert.Subject.CommonName != "kvm1.example.com" {
		t.Errorf("certificate: %v", err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the signer was asked for\n%v, want\n%v", got, want)
	}
	if err := f.end(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	log := f.log()
	if len(log) != 2 || log[1].Status != 200 || log[1].Done != "signed for kvm1" || log[1].Path != signPath || log[1].Remote == "" {
		t.Errorf("log: %+v", log)
	}
}

func TestTLSAtBothEnds(t *testing.T) {
	other := testpki.NewCA(t)
	var seen string
	f := serve(t, func(o *ServerOptions) {
		ca := testpki.NewCA(t)
		host := ca.Server("127.0.0.1")
		var err error
		if o.TLS, err = ServerTLS(host.CertPEM(), host.KeyPEM(), ca.CertPEM()); err != nil {
			t.Fatal(err)
		}
		o.Signer = signing{ca.CertPEM(), o.Signer.(signing).sign}
		o.Name = func(c *x509.Certificate) string { return "<" + c.Subject.CommonName + ">" }
		o.Admit = func(_ context.Context, c *x509.Certificate) error {
			seen = c.Subject.CommonName
			if seen == "mallory" {
				return errors.New("mallory is not let in")
			}
			return nil
		}
		t.Cleanup(func() {})
		good = ca
	})
	own := func(i *testpki.Identity) func(*Options) {
		return func(o *Options) {
			o.TLS, o.CA = true, good.CertPEM()
			if i != nil {
				o.Cert, o.Key = i.CertPEM(), i.KeyPEM()
			}
		}
	}
	if _, err := client(t, f.url, own(good.Client("op"))).Sign(context.Background(), Request{CSR: []byte("x")}); err != nil || seen != "op" {
		t.Fatalf("as %q: %v", seen, err)
	}
	for _, c := range []struct {
		name    string
		change  func(*Options)
		trouble Trouble
		want    string
	}{
		{"a client whose name is not let in", own(good.Client("mallory")), Refused, "it refuses: mallory is not let in"},
		{"no client certificate", own(nil), Untrusted, "it ended the TLS handshake: tls: certificate required"},
		{"a client of another CA", own(other.Client("op")), Untrusted, "it ended the TLS handshake: tls: "},
		{"an expired client", own(good.Client("op", testpki.Expired())), Untrusted, "it ended the TLS handshake: tls: "},
		{"a server of another CA", func(o *Options) { own(good.Client("op"))(o); o.CA = other.CertPEM() }, Untrusted,
			"its TLS certificate is from no CA that is trusted here"},
		{"a server by another name", func(o *Options) {
			own(good.Client("op"))(o)
			o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, f.url.Host)
			}
		}, Untrusted, "its TLS certificate is for another host: x509: certificate is "},
		{"no TLS", nil, Untrusted, "it speaks TLS"},
		{"a wrong HMAC key", func(o *Options) { own(good.Client("op"))(o); o.AuthKey = bytes.Repeat([]byte{9, 8}, 16) }, Unauthenticated, "it refuses: invalid token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := f.url
			if strings.Contains(c.name, "another name") {
				u.Host = "signer.example.com:8888"
			}
			_, err := client(t, u, c.change).Sign(context.Background(), Request{CSR: []byte("x")})
			var e *Error
			if !errors.As(err, &e) || e.Trouble != c.trouble || !strings.HasPrefix(e.Problem, c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := f.end(); err != nil {
		t.Error(err)
	}
	if log := f.log(); len(log) < 2 || log[0].Client != "<op>" {
		t.Errorf("log: %+v", log)
	}
}

var good *testpki.CA

func TestServersThatMisbehave(t *testing.T) {
	leaf := string(testpki.NewCA(t).Client("x").CertPEM())
	ok := func(certificate string) string {
		text, err := json.Marshal(answer{Success: true, Result: json.RawMessage(fmt.Sprintf(`{"certificate":%q}`, certificate))})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, c := range []struct {
		name    string
		raw     func(net.Conn)   // instead of HTTP
		handle  http.HandlerFunc // HTTP
		trouble Trouble
		want    string
	}{
		{"silent", func(c net.Conn) { time.Sleep(3 * time.Second) }, nil, Silent, "it did not answer within 300ms"},
		{"answering drop by drop", nil, func(w http.ResponseWriter, r *http.Request) {
			for range 30 {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}, Silent, "it did not answer within 300ms"},
		{"hanging up", func(c net.Conn) { io.ReadFull(c, make([]byte, 20)) }, nil, Unreachable, "the connection was closed before the answer"},
		{"speaking another protocol", func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n"); io.Copy(io.Discard, c) }, nil, Nonsense, "no answer of cfssl's API: "},
		{"without end", nil, func(w http.ResponseWriter, r *http.Request) {
			for range 3000 {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1000)); err != nil {
					return
				}
			}
		}, Nonsense, "its answer is too large: more than 1048576 bytes"},
		{"a web server", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, Nonsense, "its answer is none of cfssl's API (HTTP status 200)"},
		{"without authsign", nil, http.NotFound, Nonsense, "it has no /api/v1/cfssl/authsign (HTTP status 404)"},
		{"pointing elsewhere", nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusTemporaryRedirect)
		}, Nonsense,
			"its answer is none of cfssl's API (HTTP status 307)"},
		{"refusing", nil, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprint(w, "{\"success\":false,\"result\":null,\"errors\":[{\"code\":5,\"message\":\"no \\u001b[31m\\nway\"}],\"messages\":[]}")
		}, Refused, "it refuses: no  [31m way"},
		{"refusing without a word", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "{}") }, Refused, "it refuses without a reason"},
		{"success without a certificate", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"success":true,"result":{}}`) }, Nonsense, "its answer holds no certificate"},
		{"a result of another kind", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"success":true,"result":[1]}`) }, Nonsense, "its answer holds no certificate"},
		{"no PEM", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, ok("x")) }, Nonsense, "its answer holds no PEM where one certificate in PEM is due"},
		{"a key", nil, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, ok(strings.ReplaceAll(leaf, "CERTIFICATE", "PRIVATE KEY")))
		}, Nonsense,
			`its answer holds a "PRIVATE KEY" where one certificate in PEM is due`},
		{"two certificates", nil, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, ok(leaf+leaf)) }, Nonsense, "its answer holds "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u URL
			if c.handle != nil {
				s := httptest.NewServer(c.handle)
				defer s.Close()
				u.Host = s.Listener.Addr().String()
			} else {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						go func() { defer conn.Close(); c.raw(conn) }()
					}
				}()
				u.Host = l.Addr().String()
			}
			_, err := client(t, u, func(o *Options) {
				if o.Timeout = 20 * time.Second; c.trouble == Silent {
					o.Timeout = 300 * time.Millisecond
				}
			}).Sign(context.Background(), Request{CSR: []byte("x")})
			var e *Error
			if !errors.As(err, &e) || e.Trouble != c.trouble || !strings.HasPrefix(e.Problem, c.want) {
				t.Errorf("got %v (%+v), want %q", err, e, c.want)
			}
			if !strings.HasPrefix(err.Error(), "the signer cfssl://"+u.Host+": ") {
				t.Errorf("the server is not named: %v", err)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var e *Error
	if _, err := client(t, URL{Host: l.Addr().String()}, nil).Sign(context.Background(), Request{}); !errors.As(err, &e) || e.Problem != "no connection: connection refused" {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client(t, URL{Host: l.Addr().String()}, nil).Sign(ctx, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// authentic wraps a request as cfssl's client does.
func authentic(t *testing.T, inner string) string {
	t.Helper()
	c := client(t, URL{Host: "x:1"}, nil)
	token, err := c.tokens.Token([]byte(inner))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string][]byte{"token": token, "request": []byte(inner)})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// swap puts another request under a token.
func swap(text, from, to string) string {
	encode := base64.StdEncoding.EncodeToString
	return strings.Replace(text, encode([]byte(from)), encode([]byte(to)), 1)
}

func TestRequestsThatAreRefused(t *testing.T) {
	signed := 0
	f := serve(t, func(o *ServerOptions) {
		s := o.Signer.(signing)
		inner := s.sign
		s.sign = func(ctx context.Context, r Request) ([]byte, error) {
			switch r.Profile {
			case "bad":
				return nil, &RequestError{errors.New("no such profile")}
			case "broken":
				return nil, errors.New("the token did not answer")
			}
			signed++
			return inner(ctx, r)
		}
		o.Signer = s
	})
	post := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+f.url.Host+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var a answer
		if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
			t.Fatalf("%s %s: no JSON: %v", method, path, err)
		}
		if a.Success {
			return response.StatusCode, ""
		}
		return response.StatusCode, a.Errors[0].Message
	}
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"cfssl's client, as it sends everything", "POST", signPath, authentic(t, `{"hosts":null,"certificate_request":"x","subject":null,"profile":"server","crl_override":"","label":"","serial":null,"NotBefore":"0001-01-01T00:00:00Z","NotAfter":"0001-01-01T00:00:00Z","ReturnPrecert":false,"Metadata":null}`), 200, ""},
		{"the same again", "POST", signPath, authentic(t, `{"hosts":null,"certificate_request":"x","subject":null,"profile":"server","crl_override":"","label":"","serial":null,"NotBefore":"0001-01-01T00:00:00Z","NotAfter":"0001-01-01T00:00:00Z","ReturnPrecert":false,"Metadata":null}`), 409, "this very request was answered before"},
		{"a request from now", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(0)+`","nonce":"1"}}`), 200, ""},
		{"a request from before the start", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(-time.Minute)+`","nonce":"1"}}`), 409, "the request is from "},
		{"a request from long ago", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(-time.Hour)+`","nonce":"1"}}`), 400, "the request is from "},
		{"a request from the future", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(time.Hour)+`","nonce":"1"}}`), 400, "the request is from "},
		{"no token", "POST", signPath, `{"request":"e30="}`, 401, "invalid token"},
		{"a token of another request", "POST", signPath, swap(authentic(t, `{"certificate_request":"x"}`), `{"certificate_request":"x"}`, `{"certificate_request":"y"}`), 401, "invalid token"},
		{"no JSON", "POST", signPath, `<>`, 400, "the request is none of cfssl's authsign"},
		{"no JSON inside", "POST", signPath, authentic(t, `<>`), 400, "the authenticated request is none of cfssl's authsign"},
		{"no certificate request", "POST", signPath, authentic(t, `{"profile":"server"}`), 400, "missing parameter 'certificate_request'"},
		{"another subject", "POST", signPath, authentic(t, `{"certificate_request":"x","subject":{"CN":"root"}}`), 400, "the request asks for a subject of its own; only a certificate of its CSR is given"},
		{"extensions", "POST", signPath, authentic(t, `{"certificate_request":"x","extensions":[{"id":"2.5.29.19"}]}`), 400, "the request asks for extensions; only a certificate of its CSR is given"},
		{"a serial number", "POST", signPath, authentic(t, `{"certificate_request":"x","serial":7}`), 400, "the request asks for a serial number; only a certificate of its CSR is given"},
		{"a precertificate", "POST", signPath, authentic(t, `{"certificate_request":"x","ReturnPrecert":true}`), 400, "the request asks for a precertificate; only a certificate of its CSR is given"},
		{"a layout that moves a terminal's cursor", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(0)+`","nonce":"2","layout":"\u001b[2J"}}`), 400, "the names of host and layout are too long, or not printable"},
		{"a host that is written from right to left", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(0)+`","nonce":"3","host":"kvm\u202e1"}}`), 400, "the names of host and layout are too long, or not printable"},
		{"a host too long", "POST", signPath, authentic(t, `{"certificate_request":"x","virt_pki":{"time":"`+at(0)+`","nonce":"4","host":"`+strings.Repeat("h", 256)+`"}}`), 400, "the names of host and layout are too long, or not printable"},
		{"what the signer refuses", "POST", signPath, authentic(t, `{"certificate_request":"x","profile":"bad"}`), 400, "no such profile"},
		{"what the signer cannot do", "POST", signPath, authentic(t, `{"certificate_request":"x","profile":"broken"}`), 500, "the token did not answer"},
		{"too much", "POST", signPath, strings.Repeat(" ", maxMessage+1), 413, "more than 1048576 bytes"},
		{"GET", "GET", signPath, "", 405, "only POST"},
		{"sign without authentication", "POST", "/api/v1/cfssl/sign", authentic(t, `{"certificate_request":"x"}`), 404, "there are only "},
		{"info", "POST", infoPath, `{"label":""}`, 200, ""},
		{"info without JSON", "POST", infoPath, `label`, 400, "the request is no JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, said := post(c.method, c.path, c.body)
			if status != c.status || !strings.HasPrefix(said, c.want) || c.want == "" && said != "" {
				t.Errorf("%d %q, want %d %q", status, said, c.status, c.want)
			}
		})
	}
	if signed != 2 {
		t.Errorf("%d were signed, want 2", signed)
	}
}

func TestRequestsInWorkAreFinishedAtTheEnd(t *testing.T) {
	begun, goOn := make(chan bool), make(chan bool)
	f := serve(t, func(o *ServerOptions) {
		s := o.Signer.(signing)
		inner := s.sign
		s.sign = func(ctx context.Context, r Request) ([]byte, error) { close(begun); <-goOn; return inner(ctx, r) }
		o.Signer = s
	})
	done := make(chan error)
	go func() {
		_, err := client(t, f.url, nil).Sign(context.Background(), Request{CSR: []byte("x")})
		done <- err
	}()
	<-begun
	ended := make(chan error)
	go func() { ended <- f.end() }()
	time.Sleep(50 * time.Millisecond) // the listener is closed meanwhile
	if _, err := net.Dial("tcp", f.url.Host); err == nil {
		t.Error("a server that ends takes new connections")
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("the request in work: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestManyAtATimeAreLimited(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	f := serve(t, func(o *ServerOptions) {
		o.Connections, o.Signing, o.Timeout = 6, 2, 10*time.Second
		s := o.Signer.(signing)
		inner := s.sign
		s.sign = func(ctx context.Context, r Request) ([]byte, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return inner(ctx, r)
		}
		o.Signer = s
	})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			c := client(t, f.url, func(o *Options) { o.Timeout = 10 * time.Second })
			if _, err := c.Sign(context.Background(), Request{CSR: []byte("x")}); err != nil {
				t.Error(err)
			}
			c.Close()
		})
	}
	group.Wait()
	if most != 2 {
		t.Errorf("%d were signed at a time, want 2", most)
	}
}

func TestAClientThatDawdlesIsLetGo(t *testing.T) {
	f := serve(t, func(o *ServerOptions) { o.Connections, o.Timeout = 1, 600*time.Millisecond })
	slow, err := net.Dial("tcp", f.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST /api/v1/cfssl/info HTTP/1.1\r\nHost: x\r\n")
	// It holds the only connection; after a while it holds it no longer.
	if _, err := client(t, f.url, nil).CA(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct{ text, want, trouble string }{
		{"cfssl://ca.example.com:8888", "cfssl://ca.example.com:8888", ""},
		{"cfssl://ca.example.com", "cfssl://ca.example.com:8888", ""},
		{"cfssl://[2001:db8::1]:9", "cfssl://[2001:db8::1]:9", ""},
		{"cfssl://h:1/primary", "cfssl://h:1/primary", ""},
		{"https://h:1", "", `the scheme is "https"; write cfssl://HOST:PORT`},
		{"cfssl://::", "", `":" is no host`},
		{"cfssl:///x", "", "there is no host in it; write cfssl://HOST:PORT"},
		{"cfssl://u:p@h:1", "", "only a host, a port and a label belong into it; write cfssl://HOST:PORT/LABEL"},
		{"cfssl://h:1?x", "", "only a host, a port and a label belong into it; write cfssl://HOST:PORT/LABEL"},
		{"cfssl://h:0", "", `"0" is no port`},
		{"cfssl://h:70000", "", `"70000" is no port`},
		{"cfssl://h:1/a/b", "", `"a/b" is no label`},
		{"127.0.0.1:8888", "", "first path segment in URL cannot contain colon"},
	} {
		u, err := ParseURL(c.text)
		if (err == nil) != (c.trouble == "") || err != nil && err.Error() != c.trouble || err == nil && u.String() != c.want {
			t.Errorf("%s: %s, %v", c.text, u, err)
		}
	}
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "0.0.0.0:1": false, ":1": false, "[::]:1": false,
		"192.0.2.1:1": false, "127.0.0.53:1": true, "h:1": false} {
		if Loopback(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}

func TestAuthKeys(t *testing.T) {
	if k, err := ParseAuthKey([]byte("0123456789abcdefABCDEF9876543210\n")); err != nil || len(k) != 16 {
		t.Errorf("%x, %v", k, err)
	}
	for text, want := range map[string]string{
		"": "the HMAC key: it is empty", " \n": "the HMAC key: it is empty", "secret": "the HMAC key: it is not in hexadecimal digits",
		"0123456789abcdef": "the HMAC key: it has 64 bits, fewer than 128", "file:/etc/key": "the HMAC key: it is not in hexadecimal digits",
		strings.Repeat("00", 32): "the HMAC key: all its octets are the same",
	} {
		if _, err := ParseAuthKey([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewClient(URL{Host: "h:1"}, Options{}); err == nil {
		t.Error("a client without a key")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Serve(context.Background(), l, ServerOptions{Now: time.Now}); err == nil {
		t.Error("a server without a key")
	}
}

// FuzzRequest holds that no request makes the server panic or is taken without a token.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"token":"","request":"e30="}`), []byte(`{"certificate_request":"x","profile":"server","hosts":["a"],"virt_pki":{"time":"2026-01-01T00:00:00Z"}}`))
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := newServer(ServerOptions{AuthKey: authKey, Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, outer, inner []byte) {
		if _, err := s.authentic(outer); err == nil {
			t.Error("taken without a token")
		}
		token, err := s.tokens.Token(inner)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string][]byte{"token": token, "request": inner})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.authentic(text)
		if err == nil && len(r.CSR) == 0 {
			t.Error("taken without a certificate request")
		}
		if _, again := s.authentic(text); err == nil && again == nil {
			t.Error("taken twice")
		}
	})
}

// FuzzAnswer holds that no answer makes the client panic.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"success":true,"result":{"certificate":"x"},"errors":[],"messages":[]}`))
	f.Add(400, []byte(`{"success":false,"result":null,"errors":[{"code":1,"message":"m"}],"messages":[{"code":1,"message":"h"}]}`))
	c, err := NewClient(URL{Host: "h:1"}, Options{AuthKey: authKey, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		r, err := c.read(signPath, &http.Response{StatusCode: status}, text)
		if err == nil && (r.Certificate == "" || status != 200) {
			t.Error("an answer without certificate is taken")
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("control characters get through: %q", err)
		}
	})
}

// FuzzParseURL holds that a URL that is read is written so that it is read as the same again.
func FuzzParseURL(f *testing.F) {
	f.Add("cfssl://[2001:db8::1%25eth0]:8888/primary")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Errorf("%q became %q, then %q (%v)", text, u, again, err)
		}
	})
}

func TestALinkLocalAddressIsDialledWithItsZone(t *testing.T) {
	u, err := ParseURL("cfssl://[fe80::1%25eth0]:8888")
	if err != nil {
		t.Fatal(err)
	}
	dialled := ""
	c, err := NewClient(u, Options{AuthKey: bytes.Repeat([]byte("ab"), 16), Now: time.Now, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = address
		return nil, errors.New("no")
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CA(t.Context()); err == nil || dialled != "[fe80::1%eth0]:8888" {
		t.Errorf("dialled %q: %v", dialled, err)
	}
}
