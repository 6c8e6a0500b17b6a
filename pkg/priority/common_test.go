package priority_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

var keyWords = map[string]priority.KeyKind{"rsa": priority.KeyRSA, "rsapss": priority.KeyRSAPSS, "p256": priority.KeyECDSAP256,
	"p384": priority.KeyECDSAP384, "p521": priority.KeyECDSAP521, "ed25519": priority.KeyEd25519, "ed448": priority.KeyEd448}

func expand(t testing.TB, s string, o priority.Options) *priority.Expansion {
	t.Helper()
	x, err := priority.Expand(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestCommonAgreesWithRecordedHandshakes(t *testing.T) {
	agreed, failed := 0, 0
	for _, line := range vectors.Lines(t, "testdata/pairs.tsv.gz") {
		// key, client, server, and either "-" or version, suite, group, signature.
		f := strings.Split(line, "\t")
		client, server := expand(t, f[1], priority.Options{}), expand(t, f[2], priority.Options{})
		want := strings.Join(f[3:], " ")
		a, err := priority.Common(client, server, keyWords[f[0]])
		got := "-"
		if err == nil {
			agreed++
			got = strings.Join([]string{a.Version, a.Suite.Name, orDash(a.Group), orDash(a.Signature)}, " ")
		} else {
			failed++
		}
		if got != want {
			t.Errorf("%s\nclient %s\nserver %s\n got %s (%v)\nwant %s", f[0], f[1], f[2], got, err, want)
		}
	}
	if agreed < 900 || failed < 1500 {
		t.Errorf("only %d agreements and %d failures are recorded", agreed, failed)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestCommonSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name, client, server string
		keys                 []priority.KeyKind
		missing, message     string
	}{
		{"no version", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-TLS1.3", nil, "version",
			"no common version: the client has TLS1.3, the server TLS1.2 TLS1.1 TLS1.0"},
		{"no group", "NORMAL:-GROUP-ALL:+GROUP-X25519", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1", nil, "group",
			"no common group: the client offers X25519, the server knows SECP384R1"},
		{"no suite for the key", "NORMAL:-VERS-TLS1.3:-KX-ALL:+ECDHE-ECDSA", "NORMAL", nil, "suite",
			"no common suite: the two have no cipher suite in common that the server's certificate can serve"},
		{"no signature for the key", "SECURE192", "NORMAL", []priority.KeyKind{priority.KeyEd25519}, "signature",
			"no common signature: none of the client's signature algorithms for TLS 1.3 fits the server's key"},
		{"no signature in TLS 1.3 for P-224", "NORMAL", "NORMAL", []priority.KeyKind{priority.KeyECDSAP224}, "signature",
			"no common signature: none of the client's signature algorithms for TLS 1.3 fits the server's key"},
		{"no TLS 1.3 for key encipherment", "NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.3", []priority.KeyKind{priority.KeyRSAEncipherment}, "suite",
			"no common suite: the two have TLS 1.3 only, for which the server's certificate cannot sign"},
		{"no RSA key exchange for key encipherment", "NORMAL:-RSA", "NORMAL", []priority.KeyKind{priority.KeyRSAEncipherment}, "suite",
			"no common suite: the two have no cipher suite in common that the server's certificate can serve"},
		{"a key of no use", "NORMAL", "NORMAL:-VERS-TLS1.3", []priority.KeyKind{priority.KeyUnusable}, "suite",
			"no common suite: the two have no cipher suite in common that the server's certificate can serve"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := priority.Common(expand(t, c.client, priority.Options{}), expand(t, c.server, priority.Options{}), c.keys...)
			var m *priority.Mismatch
			if !errors.As(err, &m) || m.Missing != c.missing || err.Error() != c.message {
				t.Errorf("got %v, want %s", err, c.message)
			}
		})
	}
}

func TestCommonWithKeysThatTLS13CannotUse(t *testing.T) {
	for _, c := range []struct {
		server string
		key    priority.KeyKind
		want   string
	}{
		// Measured with libvirtd 9.0.0 and 12.8.0.
		{"NORMAL", priority.KeyRSAEncipherment, "TLS1.2 TLS_RSA_AES_256_GCM_SHA384"},
		{"NORMAL:-VERS-TLS1.3", priority.KeyECDSAP224, "TLS1.2 TLS_ECDHE_ECDSA_AES_256_GCM_SHA384"},
		{"NORMAL:-VERS-TLS1.3", priority.KeyECDSAP192, "TLS1.2 TLS_ECDHE_ECDSA_AES_256_GCM_SHA384"},
	} {
		a, err := priority.Common(expand(t, "NORMAL", priority.Options{}), expand(t, c.server, priority.Options{}), c.key)
		if got := a.Version + " " + a.Suite.Name; err != nil || got != c.want {
			t.Errorf("%s with %s: %s, %v; want %s", c.key, c.server, got, err, c.want)
		}
	}
}

func TestCommonSaysWhenTheClientMustTryAgain(t *testing.T) {
	server := expand(t, "NORMAL:-GROUP-ALL:+GROUP-SECP521R1", priority.Options{})
	a, err := priority.Common(expand(t, "NORMAL", priority.Options{}), server)
	if err != nil || a.Group != "SECP521R1" || !a.Retry {
		t.Errorf("got %+v, %v; want a retry with SECP521R1", a, err)
	}
}

func TestClientSignatureSaysWhetherTheClientCanSign(t *testing.T) {
	for _, c := range []struct {
		client, server, version string
		key                     priority.KeyKind
		want                    string
		ok                      bool
	}{
		{"NORMAL", "NORMAL", "TLS1.3", priority.KeyECDSAP384, "ECDSA-SECP384R1-SHA384", true},
		{"NORMAL", "NORMAL", "TLS1.2", priority.KeyECDSAP384, "ECDSA-SHA256", true},
		{"NORMAL", "NORMAL", "TLS1.1", priority.KeyRSA, "", true},
		{"NORMAL", "NORMAL", "TLS1.1", priority.KeyEd25519, "", false},
		{"NORMAL", "SECURE192", "TLS1.3", priority.KeyEd25519, "", false},
		{"NORMAL", "NORMAL:-SIGN-ECDSA-SHA256", "TLS1.2", priority.KeyECDSAP256, "", false}, // the number is another's
		{"NORMAL", "NORMAL", "SSL3.0", priority.KeyRSA, "", false},
	} {
		got, ok, _ := priority.ClientSignature(expand(t, c.client, priority.Options{}), expand(t, c.server, priority.Options{}), c.version, c.key)
		if got != c.want || ok != c.ok {
			t.Errorf("%+v: got %q, %v", c, got, ok)
		}
	}
}
