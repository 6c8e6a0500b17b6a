package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func TestParseKeyAlgorithm(t *testing.T) {
	for want, spellings := range map[KeyAlgorithm][]string{
		RSA2048:   {"rsa2048", "RSA-2048", "rsa:2048", "rsa_2048", " rsa 2048 "},
		RSA3072:   {"rsa", "RSA", "rsa:3072", "rsa3072"},
		RSA4096:   {"rsa4096", "rsa-4096"},
		ECDSAP256: {"ecdsa-p256", "ec", "ecdsa", "EC", "p256", "P-256", "prime256v1", "secp256r1", "nistp256", "ecdsa256", "ec:prime256v1", "ecdsa/secp256r1"},
		ECDSAP384: {"ecdsa-p384", "p384", "secp384r1", "ec384", "NIST-P384"},
		ECDSAP521: {"ecdsa-p521", "p521", "secp521r1", "ec:secp521r1"},
		Ed25519:   {"ed25519", "Ed25519", "ED-25519", "eddsa", "eddsa-ed25519"},
	} {
		for _, s := range spellings {
			if got, err := ParseKeyAlgorithm(s); err != nil || got != want {
				t.Errorf("ParseKeyAlgorithm(%q) = %q, %v; want %q", s, got, err, want)
			}
		}
	}
	for s, want := range map[string]string{
		"":          `no key algorithm ""`,
		"256":       `no key algorithm "256"`,
		"dsa":       `no key algorithm "dsa"`,
		"secp256k1": `no key algorithm "secp256k1"`,
		"ed448":     `no key algorithm "ed448"`,
		"rsa1024":   `no key algorithm "rsa1024": RSA keys are made with 2048, 3072 or 4096 bits`,
		"rsa-pss":   `no key algorithm "rsa-pss"`,
	} {
		_, err := ParseKeyAlgorithm(s)
		if err == nil || err.Error() != want {
			t.Errorf("ParseKeyAlgorithm(%q): error %v, want %s", s, err, want)
		}
		var e *KeyAlgorithmError
		if !errors.As(err, &e) || len(e.Hints()) != 1 {
			t.Errorf("ParseKeyAlgorithm(%q): no hint", s)
		}
	}
	for _, a := range KeyAlgorithms() {
		if got, err := ParseKeyAlgorithm(string(a)); got != a || err != nil {
			t.Errorf("the name %q is read as %q, %v", a, got, err)
		}
	}
}

// keysOfAllKinds makes a key of each kind; RSA-4096 is left to the long tests, it takes seconds.
func keysOfAllKinds(t testing.TB) map[KeyAlgorithm]crypto.Signer {
	t.Helper()
	keys := map[KeyAlgorithm]crypto.Signer{}
	for _, a := range KeyAlgorithms() {
		if a == RSA4096 || a == RSA3072 && testing.Short() {
			continue
		}
		key, err := GenerateKey(a)
		if err != nil {
			t.Fatal(err)
		}
		keys[a] = key
	}
	return keys
}

func TestAKeyComesBackAsItWasWritten(t *testing.T) {
	for a, key := range keysOfAllKinds(t) {
		if got, ok := AlgorithmOf(key.Public()); !ok || got != a {
			t.Errorf("a generated %s key is %q, %v", a, got, ok)
		}
		for _, passphrase := range []string{"", "correct horse"} {
			text, err := MarshalKey(key, []byte(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			want := "-----BEGIN PRIVATE KEY-----\n"
			if passphrase != "" {
				want = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
			}
			if !strings.HasPrefix(string(text), want) {
				t.Errorf("%s: the text begins with %.40q", a, text)
			}
			got, err := ParseKey(text, []byte(passphrase))
			if err != nil {
				t.Errorf("%s with passphrase %q: %v", a, passphrase, err)
			} else if !SameKey(got.Public(), key.Public()) {
				t.Errorf("%s: another key came back", a)
			}
		}
	}
	if _, err := GenerateKey("rsa512"); err == nil || err.Error() != `no key algorithm "rsa512"` {
		t.Errorf("GenerateKey(rsa512): %v", err)
	}
}

// foreignKeys gives PEM texts of one key in every form that other programs write.
func foreignKeys(t testing.TB) (texts map[string]string, ec, rsaKey crypto.Signer, ed ed25519.PrivateKey) {
	t.Helper()
	block := func(label string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	edDER, edErr := x509.MarshalPKCS8PrivateKey(ed)
	ecText := block("EC PRIVATE KEY", sec1, err)
	p256, perr := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7})
	return map[string]string{
		"SEC1":                                ecText,
		"SEC1 behind EC PARAMETERS":           block("EC PARAMETERS", p256, perr) + ecText,
		"SEC1 labelled as PKCS#8":             block("PRIVATE KEY", sec1, err),
		"SEC1 behind a byte order mark":       "\ufeff" + ecText,
		"SEC1 with CRLF":                      strings.ReplaceAll(ecText, "\n", "\r\n"),
		"SEC1 behind certtool's dump":         "Public Key Info:\n\tPublic Key Algorithm: EC/ECDSA\n\n" + ecText,
		"SEC1 behind a certificate":           block("CERTIFICATE", []byte{0x30, 0}, nil) + ecText,
		"SEC1 behind a block that is cut off": "-----BEGIN CERTIFICATE-----\nMII\n" + ecText,
		"PKCS#1":                              block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rk), nil),
		"cfssl's Ed25519":                     block("Ed25519 PRIVATE KEY", edDER, edErr),
	}, ecKey, rk, ed
}

func TestParseKeyReadsWhatOtherProgramsWrite(t *testing.T) {
	texts, ec, rsaKey, ed := foreignKeys(t)
	for name, text := range texts {
		key, err := ParseKey([]byte(text), []byte("not needed"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !SameKey(key.Public(), ec.Public()) && !SameKey(key.Public(), rsaKey.Public()) && !SameKey(key.Public(), ed.Public()) {
			t.Errorf("%s: another key", name)
		}
	}
}

// pbes2 encrypts nothing of worth with given parameters, to have parameters that no sane program writes.
func pbes2(t testing.TB, kdf, cipher pkix.AlgorithmIdentifier, data []byte) string {
	t.Helper()
	params, err := asn1.Marshal(struct{ A, B pkix.AlgorithmIdentifier }{kdf, cipher})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		A pkix.AlgorithmIdentifier
		D []byte
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13},
		Parameters: asn1.RawValue{FullBytes: params}}, data})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
}

func algorithm(t testing.TB, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	t.Helper()
	der, err := asn1.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}
}

var (
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidAES256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
}

func TestParseKeyRefusesInPlainWords(t *testing.T) {
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := MarshalKey(key, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(label string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	x25519DER, _ := x509.MarshalPKCS8PrivateKey(x25519)
	type info struct {
		V int
		A pkix.AlgorithmIdentifier
		K []byte
	}
	otherKind := func(oid ...int) []byte {
		der, err := asn1.Marshal(info{0, pkix.AlgorithmIdentifier{Algorithm: oid}, []byte{4, 0}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	k1, err := asn1.Marshal(info{0, algorithm(t, asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1},
		asn1.ObjectIdentifier{1, 3, 132, 0, 10}), []byte{0x30, 0}})
	if err != nil {
		t.Fatal(err)
	}
	good := algorithm(t, oidAES256, make([]byte, 16))
	for _, c := range []struct {
		name, text, passphrase, want string
		is                           error
		hint                         bool
	}{
		{"an encrypted key without a passphrase", string(encrypted), "",
			"the private key is encrypted and needs a passphrase", ErrPassphraseNeeded, false},
		{"a wrong passphrase", string(encrypted), "wrong", "the passphrase does not decrypt the private key", ErrPassphrase, false},
		{"nothing", "", "", "no private key in PEM: the text is empty", ErrNoKey, false},
		{"blanks", " \n", "", "no private key in PEM: the text is empty", ErrNoKey, false},
		{"other text", "hello", "", "no private key in PEM", ErrNoKey, false},
		{"DER", "\x30\x77", "", "no private key in PEM: it looks like DER", ErrNoKey, true},
		{"a certificate", block("CERTIFICATE", []byte{0x30, 0}), "", `no private key in PEM: only "CERTIFICATE"`, ErrNoKey, false},
		{"a key that is cut off", string(encrypted[:100]), "x", "no private key in PEM: the PEM block is damaged or cut off", ErrNoKey, false},
		{"a huge text", strings.Repeat("x", maxKeyText+1), "", "no private key in PEM: 1048577 bytes are too many for a private key", ErrNoKey, false},
		{"OpenSSH's form", block("OPENSSH PRIVATE KEY", []byte("x")), "", "private key of an unsupported kind: it is in OpenSSH's own form", ErrKeyUnsupported, true},
		{"DSA", block("DSA PRIVATE KEY", []byte("x")), "", `private key of an unsupported kind: a PEM block "DSA PRIVATE KEY"`, ErrKeyUnsupported, false},
		{"X25519", block("PRIVATE KEY", x25519DER), "", "private key of an unsupported kind: it cannot sign", ErrKeyUnsupported, false},
		{"Ed448", block("PRIVATE KEY", otherKind(1, 3, 101, 113)), "", "private key of an unsupported kind: algorithm 1.3.101.113", ErrKeyUnsupported, false},
		{"RSA-PSS", block("PRIVATE KEY", otherKind(1, 2, 840, 113549, 1, 1, 10)), "", "private key of an unsupported kind: it is restricted to RSA-PSS", ErrKeyUnsupported, true},
		{"secp256k1", block("PRIVATE KEY", k1), "", "private key of an unsupported kind: elliptic curve 1.3.132.0.10", ErrKeyUnsupported, false},
		{"RSA without a key inside", block("PRIVATE KEY", otherKind(1, 2, 840, 113549, 1, 1, 1)), "", "damaged private key: the PKCS#8 structure holds no valid key", errKeyDamaged, false},
		{"rubbish as PKCS#8", block("PRIVATE KEY", []byte("rubbish")), "", "damaged private key: not a PKCS#8 structure", errKeyDamaged, false},
		{"rubbish as PKCS#1", block("RSA PRIVATE KEY", []byte("rubbish")), "", "damaged private key: not a PKCS#1 structure", errKeyDamaged, false},
		{"rubbish as SEC1", block("EC PRIVATE KEY", []byte("rubbish")), "", "damaged private key: not a SEC1 structure", errKeyDamaged, false},
		{"rubbish as encrypted", block("ENCRYPTED PRIVATE KEY", []byte("rubbish")), "x", "damaged private key: its encryption: not an EncryptedPrivateKeyInfo", errKeyDamaged, false},
		{"PBKDF2 for ever", pbes2(t, algorithm(t, oidPBKDF2, pbkdf2Parameters{[]byte("salt"), 2147483647}), good, make([]byte, 16)), "x",
			"damaged private key: its encryption: 2147483647 iterations of PBKDF2, allowed are 1 to 20000000", errKeyDamaged, false},
		{"scrypt with all memory", pbes2(t, algorithm(t, oidScrypt, struct {
			S       []byte
			N, R, P int
		}{[]byte("salt"), 1 << 30, 8, 1}), good, make([]byte, 16)), "x", "damaged private key: its encryption: scrypt parameters out of bounds", errKeyDamaged, false},
		{"a ciphertext of odd length", pbes2(t, algorithm(t, oidPBKDF2, pbkdf2Parameters{[]byte("salt"), 1}), good, make([]byte, 15)), "x",
			"damaged private key: its encryption: wrong lengths", errKeyDamaged, false},
		{"a short initialisation vector", pbes2(t, algorithm(t, oidPBKDF2, pbkdf2Parameters{[]byte("salt"), 1}),
			algorithm(t, oidAES256, make([]byte, 3)), make([]byte, 16)), "x", "damaged private key: its encryption: wrong lengths", errKeyDamaged, false},
		{"an unknown cipher", pbes2(t, algorithm(t, oidPBKDF2, pbkdf2Parameters{[]byte("salt"), 1}),
			algorithm(t, asn1.ObjectIdentifier{1, 2, 3}, make([]byte, 16)), make([]byte, 16)), "x",
			"private key of an unsupported kind: it is encrypted with cipher 1.2.3", ErrKeyUnsupported, true},
	} {
		start := time.Now()
		_, err := ParseKey([]byte(c.text), []byte(c.passphrase))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v\nwant %s", c.name, err, c.want)
		}
		var e *KeyError
		if !errors.Is(err, c.is) || !errors.As(err, &e) || len(e.Hints()) > 0 != c.hint {
			t.Errorf("%s: %#v is not %v, or its hints are not as wanted", c.name, err, c.is)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s took %v", c.name, d)
		}
	}
}

// TestNoErrorHoldsKeyMaterial damages keys in every place and looks for their octets in what is said about it.
func TestNoErrorHoldsKeyMaterial(t *testing.T) {
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range der {
		for _, flip := range []byte{1, 0x20, 0xff} {
			bad := bytes.Clone(der)
			bad[i] ^= flip
			_, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bad}), nil)
			if err == nil {
				continue
			}
			refused++
			for j := 0; j+4 <= len(secret); j++ {
				if bytes.Contains([]byte(err.Error()), secret[j:j+4]) || strings.Contains(err.Error(), hex.EncodeToString(secret[j:j+4])) {
					t.Fatalf("octet %d damaged: %v holds a part of the key", i, err)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

func TestKeyIDAndSameKey(t *testing.T) {
	// The public key of RFC 8410, 10.1, as crypto/x509 writes it; its ID by sha1sum over these 32 octets.
	public, err := hex.DecodeString("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")
	if err != nil {
		t.Fatal(err)
	}
	id, err := KeyID(ed25519.PublicKey(public))
	if err != nil || hex.EncodeToString(id) != "a28cc1f86e5960d3e03ae75c962c97a8d448293c" {
		t.Errorf("KeyID = %x, %v", id, err)
	}
	if _, err := KeyID("no key"); err == nil {
		t.Error("KeyID of a string gives no error")
	}
	a, _ := GenerateKey(ECDSAP256)
	b, _ := GenerateKey(ECDSAP256)
	if !SameKey(a.Public(), a.Public()) || SameKey(a.Public(), b.Public()) || SameKey(nil, nil) || SameKey(a.Public(), nil) ||
		SameKey(a.Public(), ed25519.PublicKey(public)) {
		t.Error("SameKey does not tell keys apart")
	}
}

// TestOpenSSLAndCerttoolReadOurKeys has both programs read the key and give its public half.
func TestOpenSSLAndCerttoolReadOurKeys(t *testing.T) {
	peer.Need(t, "openssl", "certtool")
	dir := t.TempDir()
	for a, key := range keysOfAllKinds(t) {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		want := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		for _, passphrase := range []string{"", "correct horse"} {
			text, err := MarshalKey(key, []byte(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "key.pem")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := exec.Command("openssl", "pkey", "-in", file, "-passin", "pass:"+passphrase, "-pubout").CombinedOutput()
			if err != nil || string(got) != want {
				t.Errorf("openssl on %s, passphrase %q: %v\n%s", a, passphrase, err, got)
			}
			args := []string{"--load-privkey", file, "--pubkey-info"}
			if passphrase != "" {
				args = append(args, "--password", passphrase)
			}
			got, err = exec.Command("certtool", args...).CombinedOutput()
			if err != nil || !strings.Contains(string(got), want) {
				t.Errorf("certtool on %s, passphrase %q: %v\n%s", a, passphrase, err, got)
			}
		}
	}
}

// TestWeReadTheKeysOfOpenSSLAndCerttool covers what an authority that is taken over may have.
func TestWeReadTheKeysOfOpenSSLAndCerttool(t *testing.T) {
	peer.Need(t, "openssl", "certtool")
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.pem")
	out := filepath.Join(dir, "out.pem")
	must := func(args ...string) {
		t.Helper()
		if got, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, got)
		}
	}
	must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", plain)
	text, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	type maker struct {
		name string
		args []string
		same bool // it holds the key of plain.pem
	}
	makers := []maker{
		{"openssl ec", []string{"openssl", "ec", "-in", plain, "-out", out}, true},
		{"openssl ecparam with parameters", []string{"openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", out}, false},
		{"openssl's older encryption", []string{"openssl", "ec", "-aes256", "-in", plain, "-out", out, "-passout", "pass:geheim"}, true},
		{"openssl genrsa -traditional", []string{"openssl", "genrsa", "-traditional", "-aes128", "-passout", "pass:geheim", "-out", out, "2048"}, false},
		{"openssl with scrypt", []string{"openssl", "pkcs8", "-topk8", "-scrypt", "-in", plain, "-out", out, "-passout", "pass:geheim"}, true},
		{"certtool RSA", []string{"certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", out}, false},
		{"certtool EC", []string{"certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", out}, false},
		{"certtool Ed25519", []string{"certtool", "--generate-privkey", "--key-type", "ed25519", "--outfile", out}, false},
	}
	for _, prf := range []string{"hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"} {
		for _, c := range []string{"aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"} {
			makers = append(makers, maker{"openssl " + c + " " + prf, []string{"openssl", "pkcs8", "-topk8", "-v2", c, "-v2prf", prf,
				"-in", plain, "-out", out, "-passout", "pass:geheim"}, true})
		}
	}
	for _, c := range []string{"aes-128", "aes-192", "aes-256", "3des"} {
		makers = append(makers, maker{"certtool " + c, []string{"certtool", "--to-p8", "--load-privkey", plain, "--pkcs-cipher", c,
			"--password", "geheim", "--outfile", out}, true})
	}
	for _, m := range makers {
		os.Remove(out)
		must(m.args...)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParseKey(text, []byte("geheim"))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if m.same && !SameKey(key.Public(), want.Public()) {
			t.Errorf("%s: another key", m.name)
		}
		if bytes.Contains(text, []byte("ENCRYPTED")) {
			if _, err := ParseKey(text, nil); !errors.Is(err, ErrPassphraseNeeded) {
				t.Errorf("%s without passphrase: %v", m.name, err)
			}
			if _, err := ParseKey(text, []byte("falsch")); !errors.Is(err, ErrPassphrase) {
				t.Errorf("%s with a wrong passphrase: %v", m.name, err)
			}
		}
	}
	// PKCS#12's own scheme cannot be read; the message has to say so.
	must("certtool", "--to-p8", "--load-privkey", plain, "--pkcs-cipher", "3des-pkcs12", "--password", "geheim", "--outfile", out)
	text, err = os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(text, []byte("geheim")); !errors.Is(err, ErrKeyUnsupported) ||
		err.Error() != "private key of an unsupported kind: it is encrypted with algorithm 1.2.840.113549.1.12.1.3, not with PBES2" {
		t.Errorf("PKCS#12's encryption: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	texts, _, _, _ := foreignKeys(f)
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Add([]byte(pbes2(f, algorithm(f, oidPBKDF2, pbkdf2Parameters{[]byte("salt"), 1}), algorithm(f, oidAES256, make([]byte, 16)), make([]byte, 32))))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseKey(text, []byte("x"))
		if err != nil {
			var e *KeyError
			if !errors.As(err, &e) {
				t.Fatalf("an error of type %T: %v", err, err)
			}
			return
		}
		again, err := MarshalKey(key, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseKey(again, nil)
		if err != nil || !SameKey(key.Public(), back.Public()) {
			t.Fatalf("written and read again it is another key: %v", err)
		}
	})
}

func BenchmarkDecryptKey(b *testing.B) {
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	text, err := MarshalKey(key, []byte("x"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ParseKey(text, []byte("x")); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAKeySigns makes sure that what ParseKey gives is of use.
func TestAKeySigns(t *testing.T) {
	texts, _, _, _ := foreignKeys(t)
	key, err := ParseKey([]byte(texts["SEC1"]), nil)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], signature) {
		t.Errorf("no good signature: %v", err)
	}
}
