package preflight

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// livePriorities are those that real daemons and real clients are given.
var livePriorities = []string{
	"NORMAL", "PFS", "SECURE128", "SECURE192", "SECURE256", "SECURE256:%PROFILE_LOW", "SUITEB128", "SUITEB192:%PROFILE_LOW", "LEGACY", "PERFORMANCE",
	"NORMAL:-VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.1", "NORMAL:-VERS-ALL:+VERS-TLS1.0",
	"NORMAL:-GROUP-ALL:+GROUP-X448", "NORMAL:-GROUP-ALL:+GROUP-FFDHE3072", "NORMAL:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP521R1",
	"NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA", "NORMAL:-VERS-TLS1.3:-KX-ALL:+RSA", "NORMAL:-VERS-TLS1.3:-KX-ALL:+ECDHE-ECDSA",
	"NORMAL:-CIPHER-ALL:+AES-256-CCM:+AES-128-CCM", "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305", "NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+AES-256-CBC:+SHA384",
	"NORMAL:-VERS-TLS1.3:-CIPHER-ALL:+CAMELLIA-256-GCM:+CAMELLIA-128-GCM", "NORMAL:+CAMELLIA-256-GCM:%SERVER_PRECEDENCE",
	"NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA512:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SHA256", "NORMAL:-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-ECDSA-SHA256",
	"NORMAL:-VERS-TLS1.3:%FORCE_ETM:-CIPHER-ALL:+AES-128-CBC", "NORMAL:%SAFE_RENEGOTIATION:%NO_TICKETS", "NORMAL:-VERS-TLS1.3:%FALLBACK_SCSV",
	"NORMAL:+NOSUCH", "NORMAL:-VERS-TLS-ALL",
}

// hello is what a server chose, as it went over the wire.
type hello struct {
	version, suite uint16
	group          uint16 // 0: not seen
}

// A relay hands a client's connection on to a daemon and reads what the daemon chooses.
type relay struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	seen     hello
	done     chan struct{} // of the latest connection
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", r.to)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			done := make(chan struct{})
			r.seen, r.done = hello{}, done
			r.mu.Unlock()
			go func() {
				io.Copy(out, in)
				out.(*net.TCPConn).CloseWrite()
			}()
			go func() {
				defer close(done)
				var first []byte // the daemon's messages in the clear
				buf := make([]byte, 32<<10)
				for {
					n, err := out.Read(buf)
					if len(first) < 64<<10 {
						first = append(first, buf[:n]...)
						if h := readHello(first); h.version != 0 {
							r.mu.Lock()
							r.seen = h
							r.mu.Unlock()
						}
					}
					in.Write(buf[:n])
					if err != nil {
						break
					}
				}
				in.Close()
				out.Close()
			}()
		}
	}()
	return r
}

func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// chosen gives what the daemon chose in the latest connection.
func (r *relay) chosen() hello {
	r.mu.Lock()
	done := r.done
	r.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-time.After(5 * time.Second):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// helloRetry is the random of a HelloRetryRequest (RFC 8446, 4.1.3), by its beginning.
const helloRetry = "\xcf\x21\xad\x74\xe5\x9a\x61\x11"

// readHello reads the ServerHello and the group of a ServerKeyExchange in the records of a server.
func readHello(b []byte) hello {
	var messages []byte
	for len(b) >= 5 && (b[0] == 22 || b[0] == 20) { // ChangeCipherSpec may stand between
		n := int(binary.BigEndian.Uint16(b[3:]))
		if len(b) < 5+n {
			break
		}
		if b[0] == 22 {
			messages = append(messages, b[5:5+n]...)
		}
		b = b[5+n:]
	}
	var h hello
	for len(messages) >= 4 {
		n := int(messages[1])<<16 | int(messages[2])<<8 | int(messages[3])
		if len(messages) < 4+n {
			break
		}
		kind, m := messages[0], messages[4:4+n]
		messages = messages[4+n:]
		switch kind {
		case 2: // ServerHello
			if string(m[2:10]) == helloRetry {
				continue
			}
			h.version = binary.BigEndian.Uint16(m)
			rest := m[35+int(m[34]):]
			h.suite = binary.BigEndian.Uint16(rest)
			for rest = rest[3:]; len(rest) > 2; {
				extensions := rest[2:]
				for len(extensions) >= 4 {
					id, size := binary.BigEndian.Uint16(extensions), int(binary.BigEndian.Uint16(extensions[2:]))
					body := extensions[4 : 4+size]
					switch id {
					case 43:
						h.version = binary.BigEndian.Uint16(body)
					case 51:
						h.group = binary.BigEndian.Uint16(body)
					}
					extensions = extensions[4+size:]
				}
				break
			}
		case 12: // ServerKeyExchange: of a named curve, or of a finite field, which is told by its size
			if m[0] == 3 {
				h.group = binary.BigEndian.Uint16(m[1:])
			} else {
				h.group = map[uint16]uint16{256: 0x0100, 384: 0x0101, 512: 0x0102, 768: 0x0103, 1024: 0x0104}[binary.BigEndian.Uint16(m)]
			}
		}
	}
	return h
}

var wireNames = map[uint16]string{0x0301: "TLS1.0", 0x0302: "TLS1.1", 0x0303: "TLS1.2", 0x0304: "TLS1.3"}

var groupNames = map[uint16]string{0x17: "SECP256R1", 0x18: "SECP384R1", 0x19: "SECP521R1", 0x1d: "X25519", 0x1e: "X448",
	0x100: "FFDHE2048", 0x101: "FFDHE3072", 0x102: "FFDHE4096", 0x103: "FFDHE6144", 0x104: "FFDHE8192"}

// oneEnd makes the two texts for the end of a connection one: which of them it is depends on whether the daemon, who gives
// up before it reads anything, was faster than the hello.
func oneEnd(message string) string {
	return strings.ReplaceAll(message, "Error in the pull function.", "The TLS connection was non-properly terminated.")
}

// virshSays reads virsh's result: the outcome, and its message.
func virshSays(r peer.Result) (finding.Outcome, string) {
	text := strings.TrimSpace(r.Stderr)
	message := oneEnd(strings.TrimPrefix(text[strings.LastIndexByte(text, '\n')+1:], "error: "))
	switch {
	case r.Exit == 0:
		return finding.Connected, ""
	case strings.HasPrefix(message, "Failed to set TLS session priority"):
		return finding.ClientLocal, message
	case message == "authentication failed: Failed to verify peer's certificate":
		return finding.ClientRejectsServer, message
	case strings.HasPrefix(message, "Unable to read TLS confirmation"):
		return finding.ServerRejectsClient, message
	case strings.HasPrefix(message, msgHandshake):
		return finding.HandshakeFails, message
	}
	return finding.Outcome("virsh: " + r.String()), message
}

// TestRealLibvirtComesToWhatTwoPrioritiesAreSaidToComeTo gives real daemons and real clients each of many priorities, with
// RSA and ECDSA identities: what preflight predicts, what virsh meets, and what verify meets must be the same, version,
// suite and group, which are read off the wire, included.
func TestRealLibvirtComesToWhatTwoPrioritiesAreSaidToComeTo(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "virt-admin")
	helper := &gnutls.Program{Path: peer.GnutlsProgram(t)}
	ca := testpki.NewCA(t)
	dirs := map[string]string{}
	for _, kind := range []string{testpki.RSA2048, testpki.ECDSAP256} {
		dirs[kind] = peer.Dir(t)
		testpki.WriteFlat(t, dirs[kind], ca, ca.Server("localhost", testpki.Key(kind)), ca.Client("admin", testpki.Key(kind)))
	}
	n := len(livePriorities)
	steps := []int{0, 13}
	if testing.Short() {
		steps = steps[:1]
	}
	var mu sync.Mutex
	outcomes := map[finding.Outcome]int{}
	var group sync.WaitGroup
	next := make(chan int)
	for range 2 {
		group.Go(func() {
			for i := range next {
				for _, kind := range []string{testpki.RSA2048, testpki.ECDSAP256} {
					d := peer.Start(t, peer.Options{Dir: dirs[kind], Conf: []string{fmt.Sprintf("tls_priority = %q", livePriorities[i])}}).MustBeReady(t)
					r := newRelay(t, net.JoinHostPort(d.Addr, fmt.Sprint(d.Port)))
					text, err := os.ReadFile(d.ConfFile)
					if err != nil {
						t.Error(err)
						return
					}
					s := Daemon{Machine: hostMachine(), Kind: conf.Libvirtd, Conf: text, ConfFile: d.ConfFile, Run: conf.Run{Listen: true}, At: time.Now()}.Start(t.Context())
					clients := []string{"NORMAL"}
					for j, step := range steps {
						clients = append(clients, livePriorities[(i+step+j)%n])
					}
					for j, client := range clients {
						clientKind := kind
						if j%2 == 1 {
							clientKind = map[string]string{testpki.RSA2048: testpki.ECDSAP256, testpki.ECDSAP256: testpki.RSA2048}[kind]
						}
						params := "pkipath=" + dirs[clientKind] + "&tls_priority=" + url.QueryEscape(client)
						name := fmt.Sprintf("daemon %s %s, client %s %s", livePriorities[i], kind, client, clientKind)
						o := compareAll(t, name, s, r, d, params, helper)
						mu.Lock()
						outcomes[o]++
						mu.Unlock()
					}
					d.Stop()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	t.Logf("%v", outcomes)
	for _, o := range []finding.Outcome{finding.Connected, finding.HandshakeFails, finding.ClientLocal, finding.ClientRejectsServer} {
		if outcomes[o] < 3 && !testing.Short() {
			t.Errorf("only %d times %s: the comparison says little", outcomes[o], o)
		}
	}
}

func hostMachine() Machine {
	return Machine{Root: os.Geteuid() == 0, Libvirt: verify.V9_0, ReadFile: os.ReadFile}
}

// compareAll compares prediction, virsh and verify for one pair, and gives the outcome.
func compareAll(t *testing.T, name string, s *Server, r *relay, d *peer.Libvirtd, params string, helper *gnutls.Program) finding.Outcome {
	c, err := s.Connect(t.Context(), fmt.Sprintf("test+tls://localhost:%d/default?%s", d.Port, params),
		Client{Machine: hostMachine(), At: time.Now(), Program: helper})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return ""
	}
	relayed := fmt.Sprintf("test+tls://localhost:%d/default?%s", r.port(), params)
	o, message := virshSays(peer.Virsh(t, relayed))
	if o != c.Outcome || message != c.LibvirtMessage {
		t.Errorf("%s:\npredicted %s %q\nvirsh met %s %q", name, c.Outcome, c.LibvirtMessage, o, message)
	}
	if c.Outcome == finding.Connected && c.Engine == "" {
		t.Errorf("%s: no proof was made", name)
	}
	check := func(who string, h hello) {
		if c.TLS == "" {
			return // no session was predicted
		}
		suite, _ := priority.SuiteByID(h.suite)
		if wireNames[h.version] != c.TLS || suite.Name != c.Suite || groupNames[h.group] != c.Group {
			t.Errorf("%s:\npredicted %s %s %s\n%s met %s %s %s", name, c.TLS, c.Suite, c.Group, who, wireNames[h.version], suite.Name, groupNames[h.group])
		}
	}
	if o != finding.ClientLocal {
		check("virsh", r.chosen())
	}
	v, err := probe.Dial(t.Context(), relayed, probe.Options{URI: uri.Options{Settings: uri.Fixed{}}, Libvirt: verify.V9_0, At: time.Now(), GnuTLS: helper})
	if err != nil {
		t.Errorf("%s: verify: %v", name, err)
		return o
	}
	if v.Outcome != o || oneEnd(v.LibvirtMessage) != message {
		t.Errorf("%s:\nverify met %s %q\nvirsh met  %s %q", name, v.Outcome, v.LibvirtMessage, o, message)
	}
	if o != finding.ClientLocal && strings.HasPrefix(v.Server.Engine, "gnutls") {
		check("verify", r.chosen())
	}
	return o
}
