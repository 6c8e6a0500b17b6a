package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

// keyTexts are one RSA and one EC key in the forms in which they come, and an encrypted one.
type keyTexts struct{ rsa8, rsa1, ec8, sec1, encrypted, legacy, ssh string }

func makeKeyTexts(t testing.TB) keyTexts {
	t.Helper()
	block := func(label string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var k keyTexts
	der, err := x509.MarshalPKCS8PrivateKey(r)
	k.rsa8 = block("PRIVATE KEY", der, err)
	k.rsa1 = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil)
	der, err = x509.MarshalPKCS8PrivateKey(e)
	k.ec8 = block("PRIVATE KEY", der, err)
	der, err = x509.MarshalECPrivateKey(e)
	k.sec1 = block("EC PRIVATE KEY", der, err)
	text, err := certs.MarshalKey(e, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	k.encrypted = string(text)
	//lint:ignore SA1019 the form is old, but libvirt is given such keys
	b, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), []byte("secret"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	b.Headers["DEK-Info"] = strings.ToUpper(b.Headers["DEK-Info"]) // as OpenSSL writes it
	k.legacy = string(pem.EncodeToMemory(b))
	k.ssh = strings.ReplaceAll(k.ec8, " PRIVATE", " OPENSSH PRIVATE")
	return k
}

func importedAs(text string) string {
	_, err := certs.ImportKey([]byte(text))
	if err == nil || errors.Is(err, certs.ErrKeyUnsupported) {
		return "ok"
	}
	return err.Error()
}

const (
	notAvailable = "The requested data were not available."
	decoding     = "Base64 decoding error."
	tagError     = "ASN1 parser: Error in TAG."
	derError     = "ASN1 parser: Error in DER parsing."
	decryption   = "Decryption has failed."
)

// The wants are what libvirtd 9.0.0 and GnuTLS 3.7.9 (Debian 12) say; libvirt 12.8 with GnuTLS 3.8.13 says the same of the files
// it was given.
func TestImportKeyTakesTheBlockThatGnuTLSTakes(t *testing.T) {
	k := makeKeyTexts(t)
	secp256k1 := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: unhex("303e020100301006072a8648ce3d020106052b8104000a042730250201010420" +
		strings.Repeat("11", 32))})
	for _, c := range []struct{ name, text, want string }{
		{"PKCS#8", k.rsa8, "ok"},
		{"PKCS#1", k.rsa1, "ok"},
		{"SEC1 with its parameters before it", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + k.sec1, "ok"},
		{"nothing", "", notAvailable},
		{"OpenSSH's own form", k.ssh, notAvailable},
		{"OpenSSH's form, and PKCS#8 behind it", k.ssh + k.rsa8, "ok"},
		{"PKCS#1 labelled as PKCS#8", strings.ReplaceAll(k.rsa1, "RSA PRIVATE", "PRIVATE"), tagError},
		{"SEC1 labelled as PKCS#8", strings.ReplaceAll(k.sec1, "EC PRIVATE", "PRIVATE"), tagError},
		{"PKCS#8 labelled as PKCS#1", strings.ReplaceAll(k.rsa8, " PRIVATE", " RSA PRIVATE"), derError},
		{"PKCS#1 labelled as SEC1", strings.ReplaceAll(k.rsa1, "RSA PRIVATE", "EC PRIVATE"), derError},
		{"encrypted", k.encrypted, decryption},
		{"an encrypted key before the right one", k.encrypted + k.rsa8, "ok"},
		{"an encrypted key before one of PKCS#1", k.encrypted + k.rsa1, decryption},
		{"an encrypted key labelled as if it were not", strings.ReplaceAll(k.encrypted, "ENCRYPTED ", ""), decryption},
		{"a plain key labelled as encrypted", strings.ReplaceAll(k.rsa8, " PRIVATE", " ENCRYPTED PRIVATE"), notAvailable},
		{"encrypted in OpenSSL's old form", k.legacy, decryption},
		{"the old form with an unknown cipher", strings.Replace(k.legacy, "AES-128", "FOO", 1), "The request is invalid."},
		{"the old form with small letters", strings.Replace(k.legacy, "AES-128-CBC,", "AES-128-CBC,a", 1), "The request is invalid."},
		{"the old form with a blank behind the vector", strings.Replace(k.legacy, "\n\n", " \n\n", 1), "The request is invalid."},
		{"a header field", strings.Replace(k.rsa8, "-----\n", "-----\nComment: x\n\n", 1), decoding},
		{"another footer", strings.ReplaceAll(k.rsa8, "END PRIVATE KEY", "END SOMETHING"), "ok"},
		{"no footer", k.rsa8[:strings.Index(k.rsa8, "-----END")], decoding},
		{"carriage returns for line ends", strings.ReplaceAll(k.rsa8, "\n", "\r"), "ok"},
		{"indented", strings.ReplaceAll(k.rsa8, "\n", "\n  "), "ok"},
		{"lower case", strings.ReplaceAll(k.rsa8, "BEGIN", "begin"), notAvailable},
		{"the words in a text before it", "PRIVATE KEY-----\n" + k.rsa1, "ok"},
		{"a header without a block before it", "-----BEGIN PRIVATE KEY-----\n" + k.rsa1, decoding},
		{"a broken header before a good block", strings.Replace(k.rsa8, "KEY-----", "KEY----", 1) + k.rsa8, "Base64 unexpected header error."},
		{"ANY PRIVATE KEY", strings.ReplaceAll(k.rsa8, " PRIVATE", " ANY PRIVATE"), notAvailable},
		{"a curve that GnuTLS does not know", string(secp256k1), "ASN1 parser: Element was not found."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := importedAs(c.text); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
		t.Run(c.name+", the installed library", func(t *testing.T) {
			l := gnutls.Load(t)
			got := "ok"
			if code := l.ImportKey([]byte(c.text)); code < 0 {
				got = l.Strerror(code)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	_, err := certs.ImportKey([]byte(k.encrypted))
	var refused *certs.ImportError
	if !errors.As(err, &refused) || !refused.Encrypted() {
		t.Errorf("the refusal of an encrypted key does not say so: %v", err)
	}
}

// TestImportKeyAgreesWithTheInstalledLibraryOnDamagedFiles damages texts where it shows: in the frame, not in the numbers of a
// key, which Go looks at and GnuTLS does not.
func TestImportKeyAgreesWithTheInstalledLibraryOnDamagedFiles(t *testing.T) {
	l := gnutls.Load(t)
	k := makeKeyTexts(t)
	texts := []string{k.rsa8, k.rsa1, k.ec8, k.sec1, k.legacy, k.ssh, "PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\n", "a word\n"}
	random := mrand.New(mrand.NewPCG(3, 4))
	oks := 0
	for range 1500 {
		text := texts[random.IntN(6)]
		if random.IntN(3) == 0 {
			text = texts[random.IntN(len(texts))] + text
		}
		if random.IntN(3) == 0 {
			text += texts[random.IntN(len(texts))]
		}
		b := []byte(text)
		for range random.IntN(3) {
			// The 40 octets at either end of a block, and what is between blocks.
			frames := []int{bytes.Index(b, []byte("-----BEGIN")), bytes.LastIndex(b, []byte("-----BEGIN")), bytes.Index(b, []byte("-----END")) - 4}
			at := frames[random.IntN(len(frames))] + random.IntN(34)
			if at < 0 || at >= len(b) {
				continue
			}
			switch random.IntN(4) {
			case 0:
				b[at] = "-=\n\r\t AZ09\x00"[random.IntN(11)]
			case 1:
				b = append(b[:at], b[at+1:]...)
			case 2:
				b = append(b[:at], append([]byte{"-=\n :,x"[random.IntN(7)]}, b[at:]...)...)
			default:
				b = bytes.ReplaceAll(b, []byte("\n"), []byte([]string{"\r\n", "\r", " \n", "\n\n"}[random.IntN(4)]))
			}
		}
		want := "ok"
		if code := l.ImportKey(b); code < 0 {
			want = l.Strerror(code)
		}
		if got := importedAs(string(b)); got != want {
			t.Errorf("got %q, the library says %q of\n%q", got, want, b)
		}
		if want == "ok" {
			oks++
		}
	}
	if oks < 300 {
		t.Errorf("only %d texts were good ones", oks)
	}
}

// A key file of a stranger's may hold numbers that take hours to calculate with.
func TestHugeKeysAreNotCalculatedWith(t *testing.T) {
	number := der.Append(nil, 2, append([]byte{0x7f}, bytes.Repeat([]byte{0xff}, 100_000)...))
	numbers := der.Append(nil, 0x30, append([]byte{2, 1, 0}, bytes.Repeat(number, 8)...))
	wrapped := func(algorithm string) []byte {
		id := der.Append(nil, 0x30, der.Append(nil, 6, vectors.Hex(t, algorithm)))
		return der.Append(nil, 0x30, slices.Concat([]byte{2, 1, 0}, id, der.Append(nil, 4, numbers)))
	}
	for _, c := range []struct {
		label string
		text  []byte
		want  string
	}{
		{"RSA PRIVATE KEY", numbers, "it is larger than 32 KiB"},
		{"PRIVATE KEY", wrapped("2a864886f70d010101"), "it is larger than 32 KiB"},
		{"PRIVATE KEY", wrapped("2a8648ce3d0201"), "it is larger than 32 KiB"},
		{"RSA PRIVATE KEY", numbers[:len(numbers)-1], ""},
	} {
		_, err := certs.ImportKey(pem.EncodeToMemory(&pem.Block{Type: c.label, Bytes: c.text}))
		var k *certs.KeyError
		if errors.As(err, &k) != (c.want != "") || k != nil && (k.Text != c.want || !errors.Is(err, certs.ErrKeyUnsupported)) {
			t.Errorf("%s: %v", c.label, err)
		}
	}
}

func FuzzImportKey(f *testing.F) {
	k := makeKeyTexts(f)
	for _, s := range []string{k.rsa8, k.rsa1, k.ec8, k.sec1, k.encrypted, k.legacy, k.ssh, ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := certs.ImportKey(text); key == nil && err == nil {
			t.Error("neither key nor error")
		}
	})
}
