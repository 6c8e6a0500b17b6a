package priority_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

func TestJudgeFindsWhatAnAdministratorShouldKnow(t *testing.T) {
	rsa2048 := priority.CertificateKind{Key: priority.KeyRSA, Bits: 2048, Hash: 256}
	pqc := "NORMAL:-SIGN-ML-DSA-65:-GROUP-X25519-MLKEM768"
	for _, c := range []struct {
		name, priority string
		options        priority.Options
		certificates   []priority.CertificateKind
		want           []string // rule: message
	}{
		{"nothing", "SECURE128:-VERS-ALL:+VERS-TLS1.3:%PROFILE_MEDIUM", priority.Options{}, []priority.CertificateKind{rsa2048}, nil},
		{"NORMAL", "NORMAL", priority.Options{}, []priority.CertificateKind{rsa2048}, []string{
			"priority-old-tls: the string allows TLS1.0 and TLS1.1, the oldest version should be TLS 1.2",
			"priority-sha1-signatures: the string accepts RSA-SHA1 and ECDSA-SHA1 signatures in the handshake",
			"priority-rsa-key-exchange: RSA key exchange is enabled, which has no forward secrecy",
			"priority-cbc: CBC cipher suites are enabled",
			"priority-weak-profile: certificates with RSA keys of 1024 bits are accepted (profile LOW)",
		}},
		{"SECURE256 with RSA-2048", "SECURE256:-VERS-ALL:+VERS-TLS1.3", priority.Options{}, []priority.CertificateKind{rsa2048}, []string{
			"priority-profile-refuses-key: RSA-2048 is refused by this priority string: profile HIGH wants RSA of at least 3072 bits, this is RSA-2048",
		}},
		{"a broken cipher", "SECURE128:-RSA:-AES-256-CBC:-AES-128-CBC:-VERS-ALL:+VERS-TLS1.2:+ARCFOUR-128:%PROFILE_MEDIUM", priority.Options{}, nil, []string{
			"priority-weak-cipher: the cipher ARCFOUR-128 is enabled",
		}},
		{"no CRL checks", "SECURE128:-VERS-ALL:+VERS-TLS1.3:%PROFILE_MEDIUM:%VERIFY_DISABLE_CRL_CHECKS", priority.Options{}, nil, []string{
			"priority-verification-weakened: verification of certificates is weakened by %VERIFY_DISABLE_CRL_CHECKS",
		}},
		{"an element without effect", "SECURE128:-VERS-ALL:+VERS-TLS1.3:%PROFILE_MEDIUM:+MAC-SHA256", priority.Options{}, nil, []string{
			"priority-element-ignored: GnuTLS ignores MAC-SHA256: MACs have no prefix",
		}},
		{"a misspelling", "NORMAL:-VERS-TLS10", priority.Options{}, nil, []string{
			`priority-invalid: GnuTLS refuses the priority string "NORMAL:-VERS-TLS10": no such name: "VERS-TLS10"`,
		}},
		{"post-quantum names on 3.7.9", pqc, priority.Options{}, nil, []string{
			`priority-post-quantum-names: GnuTLS refuses the priority string "` + pqc + `": SIGN-ML-DSA-65 is known from GnuTLS 3.8.9 on, this is 3.7.9`,
		}},
		{"post-quantum names on Debian's 3.8.13", pqc, priority.Options{GnuTLS: priority.Release3813}, nil, []string{
			`priority-post-quantum-names: GnuTLS refuses the priority string "` + pqc + `": GROUP-X25519-MLKEM768 is known only to builds with post-quantum algorithms`,
		}},
		{"post-quantum names where they are known", "SECURE128:-VERS-ALL:+VERS-TLS1.3:%PROFILE_MEDIUM:-SIGN-ML-DSA-65:-GROUP-X25519-MLKEM768",
			priority.Options{GnuTLS: priority.Release3813, PostQuantum: true}, nil, nil},
		{"@SYSTEM without a file", "@SYSTEM", priority.Options{}, nil, []string{
			`priority-system-keyword: GnuTLS refuses the priority string "@SYSTEM": there is no system file to look @SYSTEM up in`,
		}},
		{"nothing left", "%COMPAT", priority.Options{}, nil, []string{
			`priority-insufficient: the priority string "%COMPAT" leaves nothing to negotiate: no cipher suite can be formed`,
		}},
		{"only DTLS", "NORMAL:-VERS-ALL:+VERS-DTLS1.2", priority.Options{}, nil, []string{
			`priority-insufficient: the priority string "NORMAL:-VERS-ALL:+VERS-DTLS1.2" leaves nothing to negotiate: only DTLS versions are left, and libvirt speaks TLS`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range priority.Judge("x.conf:1", c.priority, c.options, c.certificates...) {
				got = append(got, f.Rule+": "+f.Message)
				if f.Subject != "x.conf:1" || f.Remedy == "" || f.Severity == 0 || f.Effect == "" {
					t.Errorf("incomplete finding %+v", f)
				}
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestJudgeGivesLibvirtsOwnMessage(t *testing.T) {
	for s, want := range map[string]string{
		"NORMAL:+NOSUCH": "Failed to set TLS session priority to NORMAL:+NOSUCH: The request is invalid.",
		"%COMPAT":        "Failed to set TLS session priority to %COMPAT: No or insufficient priorities were set.",
	} {
		f := priority.Judge("", s, priority.Options{})
		if len(f) != 1 || f[0].LibvirtMessage != want {
			t.Errorf("%q: got %+v", s, f)
		}
	}
}

func TestRulesFormACatalogueAndExplainTheMessages(t *testing.T) {
	c, err := finding.NewCatalogue(priority.Rules())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Rules() {
		if !strings.HasPrefix(r.ID, "priority-") || r.Title == "" || r.Text == "" || r.Remedy == "" || r.Good == "" || r.Bad == "" || r.Source == "" {
			t.Errorf("incomplete rule %+v", r)
		}
	}
	got := c.ByMessage("error : virNetTLSSessionNew:1285 : Failed to set TLS session priority to FOO: The request is invalid.")
	if len(got) != 3 {
		t.Errorf("%d rules for the message", len(got))
	}
}

func TestErrorNamesElementReasonAndHint(t *testing.T) {
	for _, c := range []struct{ s, message, hint string }{
		{"NORMAL:+SHA265", `priority string "NORMAL:+SHA265": The request is invalid. (no such name: "SHA265")`, "did you mean SHA256?"},
		{"NORMAL :-RSA", `priority string "NORMAL :-RSA": The request is invalid. ("NORMAL " has white space around it)`,
			"take the white space out: only blanks right after a colon are allowed"},
		{"NORMAL:", `priority string "NORMAL:": The request is invalid. (an element is empty)`, "take out the superfluous colon"},
		{"NORMAL:%compat", `priority string "NORMAL:%compat": The request is invalid. ("%compat" is no option: options are in upper case without blanks)`,
			"write %COMPAT"},
		{"SYSTEM", `priority string "SYSTEM": The request is invalid. (SYSTEM is no keyword without @)`,
			"write @SYSTEM for the system file's keyword"},
		{"@LIBVIRT,SYSTEM", `priority string "@LIBVIRT,SYSTEM": The request is invalid. (there is no system file to look @LIBVIRT,SYSTEM up in)`,
			"use NORMAL, or create /etc/gnutls/config with a line NAME=PRIORITY"},
	} {
		_, err := priority.Expand(c.s, priority.Options{})
		var e *priority.Error
		if !errors.As(err, &e) || err.Error() != c.message || len(e.Hints()) != 1 || e.Hints()[0] != c.hint {
			t.Errorf("%q: %v\nhints %q", c.s, err, e.Hints())
		}
	}
}

func TestDescribeSaysWhatAStringComesTo(t *testing.T) {
	for s, want := range map[string]string{
		"SECURE256": "TLS versions: TLS1.3, TLS1.2, TLS1.1, TLS1.0.\n" +
			"A client offers 12 cipher suites, first TLS_AES_256_GCM_SHA384.\n" +
			"Groups: SECP384R1, SECP521R1, FFDHE8192.\n" +
			"With TLS 1.3 a client sends key shares for SECP384R1 and FFDHE8192.\n" +
			"11 signature algorithms, first RSA-SHA384.\n" +
			"On a server, the client's order of cipher suites decides.\n" +
			"Certificates must have RSA keys of at least 3072 bits or curves of at least 256 (profile HIGH).",
		"NORMAL:-VERS-ALL:+VERS-DTLS1.2": `No session comes about: priority string "NORMAL:-VERS-ALL:+VERS-DTLS1.2": ` +
			"No or insufficient priorities were set. (only DTLS versions are left, and libvirt speaks TLS).",
	} {
		if got := strings.Join(expand(t, s, priority.Options{}).Describe(), "\n"); got != want {
			t.Errorf("%s:\n%s", s, got)
		}
	}
}

func TestItemIsTheJSONContract(t *testing.T) {
	b, err := json.Marshal([]priority.Item{priority.NewItem("SUITEB192", priority.Options{}), priority.NewItem("NORMAL:+X", priority.Options{}),
		priority.NewItem("%COMPAT", priority.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(b, &items); err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]string{
		{"string": `"SUITEB192"`, "ok": "true", "error": "null", "error_offset": "null", "protocols": `["TLS1.2"]`,
			"cipher_suites": `[{"id":"c02c","name":"TLS_ECDHE_ECDSA_AES_256_GCM_SHA384"}]`, "ciphers": `["AES-256-GCM"]`, "macs": `["AEAD"]`,
			"key_exchanges": `["ECDHE-ECDSA"]`, "groups": `["SECP384R1"]`, "signatures": `["ECDSA-SHA384","ECDSA-SECP384R1-SHA384"]`},
		{"string": `"NORMAL:+X"`, "ok": "false", "error": `"The request is invalid."`, "error_offset": "7", "protocols": "[]", "cipher_suites": "[]",
			"ciphers": "[]", "macs": "[]", "key_exchanges": "[]", "groups": "[]", "signatures": "[]"},
		{"string": `"%COMPAT"`, "ok": "false", "error": `"No or insufficient priorities were set."`, "error_offset": "null"},
	} {
		for k, v := range want {
			if string(items[i][k]) != v {
				t.Errorf("%s: %s is %s, want %s", want["string"], k, items[i][k], v)
			}
		}
	}
}
