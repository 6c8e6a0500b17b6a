package priority_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// keyed are the credentials of an end with a key of each kind.
func keyed(t *testing.T) (ca []byte, ends map[priority.KeyKind]gnutls.Side) {
	t.Helper()
	authority := testpki.NewCA(t)
	ends = map[priority.KeyKind]gnutls.Side{}
	for kind, name := range map[priority.KeyKind]string{priority.KeyRSA: testpki.RSA2048, priority.KeyECDSAP256: testpki.ECDSAP256,
		priority.KeyECDSAP384: testpki.ECDSAP384, priority.KeyECDSAP521: testpki.ECDSAP521, priority.KeyEd25519: testpki.Ed25519} {
		id := authority.Client("end", testpki.Key(name))
		ends[kind] = gnutls.Side{CA: authority.CertPEM(), Cert: id.ChainPEM(), Key: id.KeyPEM()}
	}
	// Go makes no such keys. The certificates are signed by themselves: nobody verifies them here.
	dir := t.TempDir()
	for kind, options := range map[priority.KeyKind][]string{priority.KeyRSAPSS: {"-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"},
		priority.KeyEd448: {"-algorithm", "ED448"}} {
		key, cert := filepath.Join(dir, fmt.Sprint(kind, ".key")), filepath.Join(dir, fmt.Sprint(kind, ".pem"))
		peer.OpenSSL(t, append([]string{"genpkey", "-out", key}, options...)...)
		peer.OpenSSL(t, "req", "-x509", "-new", "-key", key, "-out", cert, "-subj", "/CN=end", "-days", "30")
		var s gnutls.Side
		var err error
		if s.Key, err = os.ReadFile(key); err == nil {
			s.Cert, err = os.ReadFile(cert)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.CA = s.Cert // the client sends it only to a server that names its issuer
		ends[kind] = s
	}
	return authority.CertPEM(), ends
}

// predicted says in a line what a handshake comes to: both ends' keys are given.
func predicted(client, server *priority.Expansion, clientKey, serverKey priority.KeyKind) string {
	a, err := priority.Common(client, server, serverKey)
	var m *priority.Mismatch
	text := func() string {
		if m.ClientText == "" {
			return "The TLS connection was non-properly terminated."
		}
		return m.ClientText
	}
	if errors.As(err, &m) {
		return "fails: " + text()
	}
	if err != nil {
		return "fails: " + err.Error()
	}
	signature, sent, err := priority.ClientSignature(client, server, a.Version, clientKey)
	if errors.As(err, &m) && sent {
		return "fails at the server alone: An illegal parameter has been received."
	}
	if errors.As(err, &m) {
		return "fails: " + text()
	}
	return fmt.Sprintf("%s %s %s %s client %v %s", a.Version, a.Suite.Name, a.Group, a.Signature, sent, signature)
}

// met says the same of a handshake between two programs.
func met(t *testing.T, p gnutls.Program, client, server gnutls.Side) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server.Server = true
	server.CA = append(append([]byte(nil), server.CA...), client.CA...)
	type half struct {
		c   *gnutls.Conn
		err error
	}
	done := make(chan half, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- half{nil, err}
			return
		}
		c, err := p.Handshake(ctx, conn, server)
		done <- half{c, err}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Handshake(ctx, conn, client)
	s := <-done
	if c != nil {
		defer c.Close()
	}
	if s.c != nil {
		defer s.c.Close()
	}
	var r, sr *gnutls.Refusal
	switch {
	case errors.As(err, &r) && errors.As(s.err, &sr):
		return "fails: " + r.Text
	case errors.As(err, &r):
		return "fails at the client alone: " + r.Text
	case err != nil:
		return err.Error()
	case s.err != nil:
		if errors.As(s.err, &sr) {
			return "fails at the server alone: " + sr.Text
		}
		return s.err.Error()
	}
	a, b := c.Session(), s.c.Session()
	if a.Version != b.Version || a.Suite != b.Suite || a.Group != b.Group {
		return fmt.Sprintf("%+v and %+v", a, b)
	}
	return fmt.Sprintf("%s %s %s %s client %v %s", a.Version, a.Suite, a.Group, a.Signature, len(b.Peer) > 0, b.ClientSignature)
}

// session makes a string that is likely to be of use for a session.
func session(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	s := pick("NORMAL", "NORMAL", "NORMAL", "PFS", "SECURE128", "SECURE256", "SUITEB128", "SUITEB192", "LEGACY", "PERFORMANCE")
	some := func(clear, prefix string, words ...string) {
		r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		if r.IntN(2) == 0 {
			s += ":-" + clear
			for _, w := range words[:1+r.IntN(3)] {
				s += ":+" + prefix + w
			}
			return
		}
		for _, w := range words[:1+r.IntN(2)] {
			s += pick(":-", ":+", ":-") + prefix + w
		}
	}
	for range r.IntN(4) {
		switch r.IntN(7) {
		case 0:
			some("VERS-ALL", "VERS-", "TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3", "TLS1.3", "TLS1.2")
		case 1:
			some("GROUP-ALL", "GROUP-", "SECP256R1", "SECP384R1", "SECP521R1", "X25519", "X448", "FFDHE2048", "FFDHE3072", "SECP192R1")
		case 2:
			some("SIGN-ALL", "SIGN-", "RSA-SHA256", "RSA-SHA384", "RSA-PSS-SHA256", "RSA-PSS-RSAE-SHA256", "RSA-PSS-RSAE-SHA512", "ECDSA-SHA256",
				"ECDSA-SECP256R1-SHA256", "ECDSA-SHA384", "ECDSA-SECP384R1-SHA384", "EdDSA-Ed25519", "EdDSA-Ed448", "RSA-SHA1", "ECDSA-SHA1", "ECDSA-SHA512")
		case 3:
			some("CIPHER-ALL", "", "AES-256-GCM", "AES-128-GCM", "AES-128-CBC", "AES-256-CBC", "CHACHA20-POLY1305", "AES-128-CCM", "AES-256-CCM-8",
				"CAMELLIA-128-GCM", "3DES-CBC", "NULL", "CAMELLIA-256-CBC")
		case 4:
			some("KX-ALL", "", "ECDHE-RSA", "ECDHE-ECDSA", "RSA", "DHE-RSA")
		case 5:
			some("MAC-ALL", "", "SHA1", "AEAD", "SHA256", "SHA384")
		case 6:
			s += pick(":%COMPAT", ":%SERVER_PRECEDENCE", ":%FALLBACK_SCSV", ":%NO_ETM", ":%FORCE_ETM", ":%SAFE_RENEGOTIATION", ":%DISABLE_SAFE_RENEGOTIATION",
				":%NO_TICKETS", ":%NO_SESSION_HASH", ":%NO_EXTENSIONS", ":%DISABLE_TLS13_COMPAT_MODE", ":%DUMBFW")
		}
	}
	return s
}

// TestTwoEndsComeToWhatIsPredicted lets two programs with the real library, which has libvirt's settings, meet: what
// Common and ClientSignature say must be what they come to, the client's error included. VIRT_PKI_SESSIONS=N: so many.
func TestTwoEndsComeToWhatIsPredicted(t *testing.T) {
	n := 120
	if testing.Short() {
		n = 30
	}
	if s := os.Getenv("VIRT_PKI_SESSIONS"); s != "" {
		fmt.Sscan(s, &n)
	}
	program := peer.GnutlsProgram(t)
	t.Run("here", func(t *testing.T) { meetings(t, program, n) })
	for _, name := range peer.RootNames {
		t.Run(name, func(t *testing.T) {
			root := peer.NeedRootFS(t, name)
			inside, err := os.CreateTemp(filepath.Join(root, "tmp"), "virt-pki-gnutls-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove(inside.Name()) })
			binary, err := os.ReadFile(program)
			if err == nil {
				_, err = inside.Write(binary)
			}
			if err := errors.Join(err, inside.Close(), os.Chmod(inside.Name(), 0o755)); err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(t.TempDir(), "virt-pki-gnutls")
			text := fmt.Sprintf("#!/bin/sh\nexec /usr/sbin/chroot '%s' '/tmp/%s' \"$@\"\n", root, filepath.Base(inside.Name()))
			if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			meetings(t, script, n/4)
		})
	}
}

// meetings makes n sessions of two of these programs.
func meetings(t *testing.T, program string, n int) {
	p := gnutls.Program{Path: program, Env: []string{"GNUTLS_SYSTEM_PRIORITY_FILE=/nonexistent", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"}}
	version, err := p.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release, err := priority.ParseRelease(version)
	if err != nil {
		t.Fatal(err)
	}
	o := priority.Options{GnuTLS: release}
	_, ends := keyed(t)
	r := rand.New(rand.NewPCG(20261125, uint64(n)))
	kinds := []priority.KeyKind{priority.KeyRSA, priority.KeyECDSAP256, priority.KeyRSA, priority.KeyECDSAP256, priority.KeyRSAPSS,
		priority.KeyECDSAP384, priority.KeyECDSAP521, priority.KeyEd25519, priority.KeyEd448}
	next := make(chan func())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for f := range next {
				f()
			}
		})
	}
	var mu sync.Mutex
	stand := 0
	for range n {
		var text [2]string
		var x [2]*priority.Expansion
		for i := range text {
			for x[i] == nil {
				text[i] = session(r)
				e, err := priority.Expand(text[i], o)
				if err == nil && e.SetError == nil {
					if _, err := e.ClientHello(); err == nil {
						x[i] = e
					}
				}
			}
		}
		ck, sk := kinds[r.IntN(len(kinds))], kinds[r.IntN(len(kinds))]
		next <- func() {
			client, server := ends[ck], ends[sk]
			client.Priority, server.Priority = text[0], text[1]
			want := predicted(x[0], x[1], ck, sk)
			got := met(t, p, client, server)
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasPrefix(got, "fails") {
				stand++
			}
			if got != want {
				t.Errorf("client %s %q, server %s %q:\npredicted %s\nmet       %s", ck, text[0], sk, text[1], want, got)
			}
		}
	}
	close(next)
	wg.Wait()
	t.Logf("GnuTLS %s: %d of %d came to a session", version, stand, n)
	if stand < n/4 {
		t.Errorf("only %d of %d came to a session: the comparison says little", stand, n)
	}
}
