package verify

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A keyFile is one way in which a key can lie in a file.
type keyFile struct {
	name string
	text []byte
}

// keyFiles gives a certificate and its key in the ways that openssl and certtool write it.
func keyFiles(t *testing.T, authority *testpki.CA, kind string) (cert []byte, files []keyFile) {
	id := authority.Server("kvm1.example.com", testpki.Key(kind))
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, id.KeyPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	add := func(name string, text []byte) { files = append(files, keyFile{kind + " " + name, text}) }
	run := func(args ...string) []byte {
		r := peer.Run(t, args...)
		if r.Exit != 0 {
			t.Fatal(r)
		}
		return []byte(r.Stdout)
	}
	add("PKCS#8", id.KeyPEM())
	add("certtool's dump", run("certtool", "-k", "--infile", file))
	add("encrypted", run("openssl", "pkey", "-in", file, "-aes256", "-passout", "pass:x"))
	add("DER", run("openssl", "pkey", "-in", file, "-outform", "DER"))
	add("public", run("openssl", "pkey", "-in", file, "-pubout"))
	if kind != testpki.Ed25519 {
		add("traditional", run("openssl", "pkey", "-in", file, "-traditional"))
		add("traditional, encrypted", run("openssl", "pkey", "-in", file, "-traditional", "-aes128", "-passout", "pass:x"))
	}
	if strings.HasPrefix(kind, "ecdsa") {
		add("with parameters", append(run("openssl", "ecparam", "-name", "prime256v1"), run("openssl", "ec", "-in", file)...))
	}
	return id.CertPEM(), files
}

// keyFaults change a key's file; other is another.
var keyFaults = []struct {
	name   string
	change func(r *rand.Rand, text, cert, other []byte) []byte
}{
	{"CR LF", func(_ *rand.Rand, text, _, _ []byte) []byte {
		return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}},
	{"no last line end", func(_ *rand.Rand, text, _, _ []byte) []byte { return bytes.TrimRight(text, "\n") }},
	{"text before it", func(_ *rand.Rand, text, _, _ []byte) []byte { return append([]byte("text\n"), text...) }},
	{"BOM", func(_ *rand.Rand, text, _, _ []byte) []byte { return append([]byte("\xef\xbb\xbf"), text...) }},
	{"certificate behind it", func(_ *rand.Rand, text, cert, _ []byte) []byte { return append(text, cert...) }},
	{"certificate before it", func(_ *rand.Rand, text, cert, _ []byte) []byte { return append(bytes.Clone(cert), text...) }},
	{"another key behind it", func(_ *rand.Rand, text, _, other []byte) []byte { return append(text, other...) }},
	{"another key before it", func(_ *rand.Rand, text, _, other []byte) []byte { return append(bytes.Clone(other), text...) }},
	{"another key", func(_ *rand.Rand, _, _, other []byte) []byte { return bytes.Clone(other) }},
	{"PKCS#8 as RSA", relabel("PRIVATE KEY", "RSA PRIVATE KEY")},
	{"PKCS#8 as EC", relabel("PRIVATE KEY", "EC PRIVATE KEY")},
	{"RSA as PKCS#8", relabel("RSA PRIVATE KEY", "PRIVATE KEY")},
	{"EC as RSA", relabel("EC PRIVATE KEY", "RSA PRIVATE KEY")},
	{"encrypted as plain", relabel("ENCRYPTED PRIVATE KEY", "PRIVATE KEY")},
	{"cut off", func(r *rand.Rand, text, _, _ []byte) []byte { return text[:r.IntN(len(text)+1)] }},
	{"begins late", func(r *rand.Rand, text, _, _ []byte) []byte { return text[r.IntN(len(text)+1):] }},
	{"an odd octet", func(r *rand.Rand, text, _, _ []byte) []byte {
		if len(text) > 0 {
			text[r.IntN(len(text))] = "\x00*=-_ \n"[r.IntN(7)]
		}
		return text
	}},
	{"blanks at the ends", func(_ *rand.Rand, text, _, _ []byte) []byte {
		return bytes.ReplaceAll(text, []byte("\n"), []byte(" \n"))
	}},
	{"one line", func(_ *rand.Rand, text, _, _ []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), nil) }},
	{"lower case", func(_ *rand.Rand, text, _, _ []byte) []byte { return bytes.ToLower(text) }},
	{"short footer", func(_ *rand.Rand, text, _, _ []byte) []byte {
		return bytes.ReplaceAll(text, []byte("-----END "), []byte("----END "))
	}},
	{"empty", func(*rand.Rand, []byte, []byte, []byte) []byte { return nil }},
}

func relabel(from, to string) func(*rand.Rand, []byte, []byte, []byte) []byte {
	return func(_ *rand.Rand, text, _, _ []byte) []byte {
		for _, w := range []string{"BEGIN ", "END "} {
			text = bytes.ReplaceAll(text, []byte("-----"+w+from), []byte("-----"+w+to))
		}
		return text
	}
}

func TestKeyFilesAreReadAsTheInstalledLibraryReadsThem(t *testing.T) {
	peer.Need(t, "openssl", "certtool")
	l := gnutls.Load(t)
	n, seed := 800, uint64(8)
	if s := os.Getenv("VIRT_PKI_KEY_CASES"); s != "" { // more, and others, by hand
		n, _ = strconv.Atoi(s)
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 8))
	authority := testpki.NewCA(t)
	type identity struct {
		cert  []byte
		files []keyFile
	}
	var identities []identity
	for _, kind := range []string{testpki.RSA2048, testpki.ECDSAP256, testpki.ECDSAP384, testpki.Ed25519} {
		cert, files := keyFiles(t, authority, kind)
		identities = append(identities, identity{cert, files})
	}
	count := map[string]int{}
	failures := 0
	for i := range n {
		id := identities[r.IntN(len(identities))]
		file := id.files[r.IntN(len(id.files))]
		others := identities[r.IntN(len(identities))].files
		name, text := file.name, bytes.Clone(file.text)
		for range r.IntN(3) {
			fault := keyFaults[r.IntN(len(keyFaults))]
			name += ", " + fault.name
			text = fault.change(r, text, id.cert, others[r.IntN(len(others))].text)
		}
		want := ""
		if code := l.KeyPair(id.cert, text); code < 0 {
			want = l.Strerror(code)
		}
		got := ""
		for _, f := range (Files{Role: certs.Server, CA: File{Path: "ca", Data: authority.CertPEM()}, Cert: File{Path: "c", Data: id.cert},
			Key: File{Path: "k", Data: text}, At: time.Now(), Libvirt: Measured()[0]}).Read().Findings {
			if words, ok := strings.CutPrefix(f.LibvirtMessage, "Unable to set x509 key and certificate: k, c: "); ok {
				got = words
			}
		}
		count[want]++
		if got != want {
			t.Errorf("%d: %s: got %q, want %q", i, name, got, want)
			if failures++; failures > 20 {
				t.FailNow()
			}
		}
	}
	t.Log(count)
}
