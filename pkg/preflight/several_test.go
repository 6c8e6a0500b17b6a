package preflight

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// TestWhichOfSeveralIdentitiesAClientSends gives virsh 12.8 several identities against daemons 12.8 that ask for this or that:
// virsh, verify with Go's TLS and with GnuTLS, and the prediction must come to the same, and the daemon must see the same
// certificate of virsh and of verify.
func TestWhichOfSeveralIdentitiesAClientSends(t *testing.T) {
	place := peer.Place{Root: peer.NeedRootFS(t, "sid")}
	helper := &gnutls.Program{Path: peer.GnutlsProgram(t)}
	a, b := testpki.NewCA(t, testpki.CN("CA A")), testpki.NewCA(t, testpki.CN("CA B"))
	both := append(a.CertPEM(), b.CertPEM()...)
	daemon := func(server *testpki.Identity, trusts []byte, priority string) *peer.Libvirtd {
		dir := peer.Dir(t)
		testpki.WriteFlat(t, dir, a, server, nil)
		if err := os.WriteFile(filepath.Join(dir, "cacert.pem"), trusts, 0o644); err != nil {
			t.Fatal(err)
		}
		return peer.Start(t, peer.Options{Dir: dir, Place: place, LogLevel: 1, Conf: []string{fmt.Sprintf("tls_priority = %q", priority)}}).MustBeReady(t)
	}
	const ecdsaOnly, rsaOnly = "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SECP256R1-SHA256", "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256"
	daemons := map[string]*peer.Libvirtd{
		"of A":             daemon(a.Server("localhost"), a.CertPEM(), "NORMAL"),
		"of both":          daemon(a.Server("localhost"), both, "NORMAL"),
		"of B and A":       daemon(a.Server("localhost"), append(b.CertPEM(), a.CertPEM()...), "NORMAL"),
		"for ECDSA":        daemon(a.Server("localhost"), both, ecdsaOnly),
		"for RSA":          daemon(a.Server("localhost", testpki.Key(testpki.RSA2048)), both, rsaOnly),
		"with TLS 1.2":     daemon(a.Server("localhost"), both, "NORMAL:-VERS-TLS1.3"),
		"of A, 1.2, ECDSA": daemon(a.Server("localhost"), a.CertPEM(), "NORMAL:-VERS-TLS1.3:-SIGN-ALL:+SIGN-ECDSA-SHA256"),
	}
	rsaKey := testpki.Key(testpki.RSA2048)
	for _, c := range []struct {
		name string
		// identities by their index, "" for none.
		identities map[string]*testpki.Identity
		change     func(dir string)
		want       map[string]string // daemon -> the name that is sent, "-" for none; or an outcome
	}{
		{name: "the first where all fit", identities: map[string]*testpki.Identity{"": a.Client("plain"), "0": b.Client("zero"), "1": a.Client("one")},
			want: map[string]string{"of A": "plain", "of both": "plain", "of B and A": "zero", "with TLS 1.2": "plain"}},
		// The order in which the daemon names its CAs counts before that of the files.
		{name: "the first of the CA that the daemon names first",
			identities: map[string]*testpki.Identity{"": b.Client("plain"), "0": b.Client("zero"), "1": a.Client("one"), "2": a.Client("two")},
			want:       map[string]string{"of A": "one", "of both": "one", "of B and A": "plain", "of A, 1.2, ECDSA": "one"}},
		{name: "those with an index alone", identities: map[string]*testpki.Identity{"0": b.Client("zero"), "1": a.Client("one")},
			want: map[string]string{"of A": "one", "of both": "one", "of B and A": "zero"}},
		{name: "none of a CA that the daemon names", identities: map[string]*testpki.Identity{"": b.Client("plain"), "0": b.Client("zero")},
			want: map[string]string{"of A": "-", "of both": "plain"}},
		{name: "RSA before ECDSA", identities: map[string]*testpki.Identity{"": a.Client("plain", rsaKey), "0": a.Client("zero")},
			want: map[string]string{"of A": "plain", "for ECDSA": "zero", "for RSA": "plain", "with TLS 1.2": "plain", "of A, 1.2, ECDSA": "zero"}},
		{name: "ECDSA before RSA", identities: map[string]*testpki.Identity{"": a.Client("plain"), "0": a.Client("zero", rsaKey)},
			want: map[string]string{"of A": "plain", "for ECDSA": "plain", "for RSA": "zero", "with TLS 1.2": "plain"}},
		{name: "the right CA with the wrong key before the wrong CA with the right one",
			identities: map[string]*testpki.Identity{"": a.Client("plain", rsaKey), "0": b.Client("zero")},
			want:       map[string]string{"for ECDSA": "zero", "of A, 1.2, ECDSA": "-"}},
		{name: "a gap ends them", identities: map[string]*testpki.Identity{"": b.Client("plain"), "1": a.Client("one")},
			want: map[string]string{"of A": "-", "of both": "plain"}},
		{name: "an index above the last", identities: map[string]*testpki.Identity{"4": a.Client("four")},
			want: map[string]string{"of A": "-"}},
		{name: "one of them has expired", identities: map[string]*testpki.Identity{"": a.Client("plain"), "0": a.Client("zero", testpki.Expired())},
			want: map[string]string{"of A": string(finding.ClientLocal)}},
		{name: "half of one is there", identities: map[string]*testpki.Identity{"": a.Client("plain"), "0": a.Client("zero")},
			change: func(dir string) { os.Remove(dir + "/clientkey0.pem") },
			want:   map[string]string{"of A": string(finding.ClientLocal)}},
	} {
		dir := peer.Dir(t)
		write := func(name string, text []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("cacert.pem", both)
		for index, id := range c.identities {
			write("clientcert"+index+".pem", id.CertPEM())
			write("clientkey"+index+".pem", id.KeyPEM())
		}
		if c.change != nil {
			c.change(dir)
		}
		for name, want := range c.want {
			t.Run(c.name+", a daemon "+name, func(t *testing.T) {
				d := daemons[name]
				outcome := finding.Connected
				switch want {
				case "-":
					outcome = finding.ServerRejectsClient
				case string(finding.ClientLocal):
					outcome, want = finding.ClientLocal, "-"
				}
				u := fmt.Sprintf("test+tls://localhost:%d/default?pkipath=%s", d.Port, dir)
				r := newRelay(t, net.JoinHostPort(d.Addr, fmt.Sprint(d.Port)))
				through := strings.Replace(u, fmt.Sprintf(":%d/", d.Port), fmt.Sprintf(":%d/", r.port()), 1)

				before := len(d.Log())
				o, message := virshSays(place.Virsh(t, through))
				if outcome == finding.ClientLocal {
					o = outcome // virshSays does not know such messages, verify says them, too
				}
				if o != outcome {
					t.Errorf("virsh met %s %q, want %s", o, message, outcome)
				}
				if got := seen(d, before, want); got != want && outcome != finding.ClientLocal {
					t.Errorf("virsh sent %s, want %s", got, want)
				}
				for _, engine := range []handshake.Engine{handshake.EngineGo, handshake.EngineGnuTLS} {
					if outcome == finding.ClientLocal && engine == handshake.EngineGnuTLS {
						continue
					}
					before = len(d.Log())
					v, err := probe.Dial(t.Context(), through, probe.Options{URI: uri.Options{Settings: uri.Fixed{}}, Libvirt: verify.V12_8, At: time.Now(),
						GnuTLS: helper, Engine: engine})
					if err != nil || v.Outcome != outcome || oneEnd(v.LibvirtMessage) != message {
						t.Errorf("verify with %v met %s %q (%v), virsh %q: %+v", engine, v.Outcome, v.LibvirtMessage, err, message, v.Findings)
					}
					if got := seen(d, before, want); got != want && outcome != finding.ClientLocal {
						t.Errorf("verify with %v sent %s, want %s", engine, got, want)
					}
					sent := "-"
					if id := c.identities[strings.TrimSuffix(strings.TrimPrefix(v.Identity, dir+"/clientcert"), ".pem")]; v.Identity != "" && id != nil {
						sent = id.X509().Subject.CommonName
					}
					if sent != want {
						t.Errorf("verify with %v says it sent %q", engine, v.Identity)
					}
				}
				text, err := os.ReadFile(d.ConfFile)
				if err != nil {
					t.Fatal(err)
				}
				m := Machine{Root: true, Libvirt: verify.V12_8, ReadFile: os.ReadFile}
				s := Daemon{Machine: m, Kind: conf.Libvirtd, Conf: text, ConfFile: d.ConfFile, Run: conf.Run{Listen: true}, At: time.Now()}.Start(t.Context())
				p, err := s.Connect(t.Context(), u, Client{Machine: m, At: time.Now(), Program: helper})
				if err != nil || p.Outcome != outcome || p.LibvirtMessage != message {
					t.Errorf("predicted %s %q (%v), virsh met %q", p.Outcome, p.LibvirtMessage, err, message)
				}
			})
		}
	}
}

var peerName = regexp.MustCompile(`Peer DN is CN=(\w+)`)

// seen gives the name of the client's certificate that the daemon logs; "-": it says that there was none, or nothing.
func seen(d *peer.Libvirtd, from int, want string) string {
	for range 200 {
		if m := peerName.FindStringSubmatch(d.Log()[from:]); m != nil {
			return m[1]
		}
		if want == "-" && strings.Contains(d.Log()[from:], "No certificate was found") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "-"
}
