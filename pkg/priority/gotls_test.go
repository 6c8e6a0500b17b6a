package priority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/priority"
)

func TestTLSConfigSaysWhatCryptoTLSCannotExpress(t *testing.T) {
	for _, c := range []struct {
		priority string
		min, max uint16
		suites   int
		lost     []string // some of what is lost
		exact    bool
	}{
		{"NORMAL", tls.VersionTLS10, tls.VersionTLS13, 14, []string{
			"suite TLS_AES_128_CCM_SHA256: crypto/tls does not have it",
			"suite TLS_DHE_RSA_AES_256_GCM_SHA384: crypto/tls does not have it",
			"group X448: crypto/tls does not have it",
			"group FFDHE2048: crypto/tls does not have it",
			"signature EdDSA-Ed448: crypto/tls does not offer it",
			"signature RSA-SHA1: crypto/tls does not offer it",
			"order suites: crypto/tls has its own order",
		}, false},
		{"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.0:+VERS-TLS1.2", tls.VersionTLS10, tls.VersionTLS13, 14,
			[]string{"version TLS1.1: crypto/tls cannot leave out a version between two others"}, false},
		{"SECURE256:-VERS-ALL:+VERS-TLS1.3", tls.VersionTLS13, tls.VersionTLS13, 0,
			[]string{"suite TLS_AES_128_GCM_SHA256: crypto/tls offers it in TLS 1.3 and cannot be told not to"}, false},
		{exactPriority, tls.VersionTLS13, tls.VersionTLS13, 0, nil, true},
	} {
		t.Run(c.priority, func(t *testing.T) {
			got, err := expand(t, c.priority, priority.Options{}).TLSConfig()
			if err != nil {
				t.Fatal(err)
			}
			if got.MinVersion != c.min || got.MaxVersion != c.max || len(got.CipherSuites) != c.suites || got.Exact != c.exact {
				t.Errorf("got %+v", got)
			}
			var lost []string
			for _, l := range got.Lost {
				lost = append(lost, l.String())
			}
			for _, l := range c.lost {
				if !slices.Contains(lost, l) {
					t.Errorf("%q is not among the losses:\n%s", l, strings.Join(lost, "\n"))
				}
			}
			if c.exact != (len(lost) == 0) {
				t.Errorf("exact is %v and lost is %v", got.Exact, lost)
			}
		})
	}
}

// exactPriority is a string that crypto/tls follows to the letter.
const exactPriority = "NONE:+VERS-TLS1.3:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+GROUP-X25519:+GROUP-SECP256R1:" +
	"+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-EdDSA-Ed25519:+SIGN-RSA-PSS-RSAE-SHA384:" +
	"+SIGN-RSA-PSS-RSAE-SHA512:+SIGN-RSA-SHA256:+SIGN-RSA-SHA384:+SIGN-RSA-SHA512:+SIGN-ECDSA-SECP384R1-SHA384:" +
	"+SIGN-ECDSA-SECP521R1-SHA512:+CTYPE-X509"

func TestTLSConfigRefusesWhatItCannotMap(t *testing.T) {
	for s, want := range map[string]string{
		"NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA":            "crypto/tls has none of its cipher suites",
		"NORMAL:-VERS-TLS1.3:-RSA:-GROUP-ALL:+GROUP-X448": "crypto/tls has none of its groups",
		"NORMAL:-VERS-ALL:+VERS-DTLS1.2":                  "No or insufficient priorities were set. (only DTLS versions are left, and libvirt speaks TLS)",
	} {
		_, err := expand(t, s, priority.Options{}).TLSConfig()
		if err == nil || err.Error() != "priority string \""+s+"\": "+want {
			t.Errorf("%s: got %v, want %s", s, err, want)
		}
	}
}

// goHello catches the ClientHello that crypto/tls sends with a configuration.
func goHello(t *testing.T, c priority.TLSConfig) *tls.ClientHelloInfo {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	var got *tls.ClientHelloInfo
	server := tls.Server(far, &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		got = h
		return nil, net.ErrClosed
	}})
	done := make(chan struct{})
	go func() {
		server.Handshake()
		far.Close()
		close(done)
	}()
	tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
		CipherSuites: c.CipherSuites, CurvePreferences: c.CurvePreferences}).Handshake()
	<-done
	if got == nil {
		t.Fatal("no hello arrived")
	}
	return got
}

// What crypto/tls offers beyond the priority, and what it leaves out, must stand among the losses: checked against the
// hello that it really sends.
func TestTLSConfigListsEveryDifferenceOfTheRealHello(t *testing.T) {
	g := newGenerator(3)
	checked := 0
	for range 1500 {
		s := g.priority()
		x, err := priority.Expand(s, priority.Options{})
		if err != nil {
			continue
		}
		c, err := x.TLSConfig()
		if err != nil {
			continue
		}
		want, err := x.ClientHello()
		if err != nil {
			t.Fatal(err)
		}
		checked++
		got := goHello(t, c)
		lost := map[string]int{}
		for _, l := range c.Lost {
			lost[l.Kind]++
		}
		sets := []struct {
			kind      string
			got, want []uint16
		}{
			{"suite", got.CipherSuites, want.CipherSuites},
			{"group", curves(got.SupportedCurves), want.SupportedGroups},
			{"signature", schemes(got.SignatureSchemes), want.SignatureAlgorithms},
		}
		for _, set := range sets {
			if set.kind == "suite" && c.MinVersion == tls.VersionTLS13 {
				continue // suites of old versions that GnuTLS offers in vain
			}
			if set.kind == "signature" && c.MaxVersion < tls.VersionTLS12 {
				continue
			}
			if n := difference(set.got, set.want); n > 0 && lost[set.kind] == 0 {
				t.Errorf("%q: %s differ in %d, none is listed:\n   go %x\nGnuTLS %x\n%v", s, set.kind, n, set.got, set.want, c.Lost)
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d strings were checked", checked)
	}
}

func curves(l []tls.CurveID) (out []uint16) {
	for _, c := range l {
		out = append(out, uint16(c))
	}
	return out
}

func schemes(l []tls.SignatureScheme) (out []uint16) {
	for _, c := range l {
		out = append(out, uint16(c))
	}
	return out
}

func difference(a, b []uint16) int {
	n := 0
	for _, x := range a {
		if !slices.Contains(b, x) && x != 0x00ff {
			n++
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) && x != 0x5600 { // %FALLBACK_SCSV is an option, not a suite
			n++
		}
	}
	return n
}

func TestCoveredAgreementsAreWhatTwoCryptoTLSEndsCanReach(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{
		{"NORMAL", "NORMAL"}, {"NORMAL:-VERS-TLS1.3", "NORMAL"}, {"SECURE128:-VERS-ALL:+VERS-TLS1.2", "PFS"},
		{"NORMAL:-GROUP-ALL:+GROUP-SECP384R1", "NORMAL"}, {exactPriority, exactPriority},
	} {
		client, server := expand(t, pair[0], priority.Options{}), expand(t, pair[1], priority.Options{})
		a, err := priority.Common(client, server, priority.KeyECDSAP256)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.TLSConfig()
		if err != nil {
			t.Fatal(err)
		}
		if !c.Covers(a) {
			t.Errorf("%v: %+v is not covered", pair, a)
			continue
		}
		near, far := net.Pipe()
		s := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS10})
		go s.Handshake()
		conn := tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
			CipherSuites: c.CipherSuites, CurvePreferences: c.CurvePreferences})
		if err := conn.Handshake(); err != nil {
			t.Errorf("%v: %v", pair, err)
		} else if v := tls.VersionName(conn.ConnectionState().Version); v != strings.Replace(a.Version, "TLS", "TLS ", 1) {
			t.Errorf("%v: version %s, want %s", pair, v, a.Version)
		}
		near.Close()
		far.Close()
	}
	x := expand(t, "NORMAL:-VERS-TLS1.3:-KX-ALL:+DHE-RSA:+ECDHE-RSA", priority.Options{})
	a, err := priority.Common(x, x)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := x.TLSConfig(); err != nil || c.Covers(a) {
		t.Errorf("%s is covered (%v)", a.Suite.Name, err)
	}
}
