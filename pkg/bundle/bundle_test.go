package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// put writes a tree.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, full); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := fs.FileMode(0o644)
		if strings.Contains(name, "key") {
			mode = 0o600
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// secrets are texts that must not come out, in any encoding.
func secrets(keys ...[]byte) [][]byte {
	var out [][]byte
	for _, k := range keys {
		rest := k
		for {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			if !strings.Contains(b.Type, "PRIVATE") {
				continue
			}
			out = append(out, b.Bytes)
			plain := base64.StdEncoding.EncodeToString(b.Bytes)
			for i := 0; i+24 <= len(plain); i += 16 {
				out = append(out, []byte(plain[i:i+24]))
			}
		}
	}
	return out
}

func TestABundleHasNoKeyMaterial(t *testing.T) {
	ca := testpki.NewCA(t)
	server, client := ca.Server("kvm1.example.com"), ca.Client("kvm1")
	sealed, err := certs.MarshalKey(server.Key, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	//lint:ignore SA1019 what old openssl writes
	old, _ := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(weak), []byte("x"), x509.PEMCipherAES128)
	oldPEM := pem.EncodeToMemory(old)
	ec, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	ecDER, _ := x509.MarshalECPrivateKey(ec)
	ecPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})
	p8, _ := x509.MarshalPKCS8PrivateKey(ec)
	mislabelled := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p8})
	crlLabel := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: ecDER})
	sealedBlock, _ := pem.Decode(sealed)
	sealedAsCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sealedBlock.Bytes})
	appended := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(bytes.Clone(server.DER), p8...)})
	unended := bytes.TrimSuffix(ecPEM, []byte("-----END EC PRIVATE KEY-----\n"))
	otherEnd := bytes.Replace(ecPEM, []byte("END EC PRIVATE KEY"), []byte("END CERTIFICATE"), 1)
	loose := bytes.Replace(ecPEM, []byte("-----BEGIN EC"), []byte("----BEGIN EC"), 1)
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"etc/hostname":                                 "kvm1\n",
		"etc/hosts":                                    "127.0.1.1 kvm1.example.com kvm1\n",
		"etc/pki/CA/cacert.pem":                        string(ca.CertPEM()) + string(ca.KeyPEM()),
		"etc/pki/CA/cakey.pem":                         string(ca.KeyPEM()),
		"etc/pki/CA/cacrl.pem":                         string(crlLabel),
		"etc/pki/libvirt/servercert.pem":               "text about it\n" + string(unended) + "\n" + string(server.CertPEM()) + string(sealed) + string(otherEnd),
		"etc/pki/libvirt/private/serverkey.pem":        string(server.KeyPEM()),
		"etc/pki/libvirt/clientcert.pem":               string(client.CertPEM()) + string(loose),
		"etc/pki/libvirt/private/clientkey.pem":        string(sealed),
		"etc/pki/libvirt/servercert0.pem":              string(mislabelled) + string(sealedAsCert) + string(appended),
		"etc/pki/libvirt/private/serverkey0.pem":       string(oldPEM),
		"etc/pki/libvirt/servercert1.pem":              string(p8),
		"etc/pki/libvirt/private/serverkey1.pem":       string(ecPEM),
		"etc/pki/libvirt/servercert2.pem":              strings.ReplaceAll(string(mislabelled), "A", "A!"),
		"etc/pki/qemu/server-cert.pem":                 "-> /etc/pki/qemu/private/both.pem",
		"etc/pki/qemu/server-key.pem":                  "-> private/both.pem",
		"etc/pki/qemu/private/both.pem":                string(ecPEM) + string(server.CertPEM()),
		"etc/libvirt/libvirtd.conf":                    "key_file = \"/srv/k.pem\"\ncert_file = '/srv/k.pem' # pw hunter2\nca_file = \"/srv/ca.pem\"\n# vnc_password = \"hunter2\"\n",
		"srv/k.pem":                                    string(server.CertPEM()) + string(server.KeyPEM()),
		"srv/ca.pem":                                   string(ca.CertPEM()),
		"etc/libvirt/qemu.conf":                        "vnc_pasword = 'hunter2'; vnc_tls = 1\nspice_password=\"\"\"hunter2\nhunter2\n\"\"\"\ndefault_tls_x509_secret_uuid = \"6f0d9a1c-hunter2\"\nuser = \"libvirt-qemu\"\n",
		"etc/default/libvirtd":                         "LIBVIRTD_ARGS=\"--listen\"\nBACKUP_TOKEN=hunter2 \\\n hunter2\n# hunter2\n",
		"etc/sasl2/libvirt.conf":                       "mech_list: scram-sha-256\nsql_passwd: hunter2\n",
		"usr/lib/systemd/system/libvirtd.service":      "[Service]\nEnvironment=PASS=hunter2\nEnvironmentFile=-/etc/default/libvirtd\nExecStart=/usr/sbin/libvirtd $LIBVIRTD_ARGS\nSetCredential=x:hunter2\n",
		"etc/systemd/system/libvirtd-tls.socket":       "-> /dev/null",
		"root/.config/libvirt/libvirt.conf":            "uri_aliases = [ \"a=qemu://h/system?pkipath=/srv/flat\" ]\nbroken hunter2\n",
		"home/alice/.config/libvirt/libvirt.conf":      "uri_aliases = [ \"a=qemu://h/system?pkipath=/srv/flat\" ]\n",
		"srv/flat/clientcert.pem":                      string(client.CertPEM()),
		"srv/flat/clientkey.pem":                       string(client.KeyPEM()),
		"home/alice/.pki/libvirt/clientkey.pem":        "no key",
		"usr/lib/x86_64-linux-gnu/libvirt.so.0.9000.0": "",
		"etc/os-release":                               "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
	})
	b, err := Collect(Disk(dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := b.Archive()
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.Join(append(slices.Collect(values(b.files)), must(b.Manifest.marshal())), nil)
	hidden := append(secrets(ca.KeyPEM(), server.KeyPEM(), client.KeyPEM(), sealed, oldPEM, ecPEM), []byte("hunter2"), []byte("PRIVATE KEY-----"))
	hidden = append(hidden, secrets(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}))...)
	for _, s := range hidden {
		if bytes.Contains(all, s) {
			t.Errorf("the bundle holds %.60q", s)
		}
	}
	for _, d := range [][]byte{[]byte(weak.D.String()), must(ec.Bytes()), weak.D.Bytes()} {
		if bytes.Contains(all, d) {
			t.Error("the bundle holds a private number")
		}
	}
	// base64 of any alignment
	text := string(all)
	compact := strings.NewReplacer("\n", "", "\r", "", "!", "").Replace(text)
	for shift := range 3 {
		for _, der := range [][]byte{p8, ecDER, sealedBlock.Bytes} {
			if frag := base64.StdEncoding.EncodeToString(der[30+shift : 30+shift+24]); strings.Contains(compact, frag) {
				t.Errorf("the bundle holds a key in base64 (shift %d)", shift)
			}
		}
	}
	if b.Manifest.Name != "kvm1.example.com" || b.Manifest.Libvirt != "9.0.0" || b.Manifest.OS.ID != "debian" {
		t.Errorf("name %q, libvirt %q, os %+v", b.Manifest.Name, b.Manifest.Libvirt, b.Manifest.OS)
	}
	left := strings.Join(b.LeftOut(), "\n")
	for _, want := range []string{
		"/etc/pki/CA/cacert.pem: a private key (PRIVATE KEY)",
		"/etc/pki/libvirt/private/serverkey.pem: the private key",
		"/etc/libvirt/qemu.conf: the value of default_tls_x509_secret_uuid, the value of spice_password, the value of vnc_pasword",
		"/srv/k.pem: a private key (PRIVATE KEY)",
		"/etc/sasl2/libvirt.conf: all but mech_list",
	} {
		if !strings.Contains(left, want) {
			t.Errorf("what was left out does not say %q:\n%s", want, left)
		}
	}
	// The same again, and read back.
	again, err := Collect(Disk(dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if second := must(again.Archive()); !bytes.Equal(archive, second) {
		t.Error("two archives of one host differ")
	}
	back, err := Read(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.Manifest, back.Manifest); d != "" {
		t.Errorf("read back (-written +read):\n%s", d)
	}
	if d := cmp.Diff(b.files, back.files); d != "" {
		t.Errorf("read back (-written +read):\n%s", d)
	}
	h := back.Host()
	if w := h.Withheld("/srv/k.pem"); w == nil || len(w.PublicKey) != 32 {
		t.Errorf("the key of a file with certificate and key: %+v", w)
	}
	if w := h.Withheld("/etc/pki/libvirt/private/clientkey.pem"); w == nil || w.Rule != "key-encrypted" {
		t.Errorf("an encrypted key: %+v", w)
	}
	if w := h.Withheld("/etc/pki/qemu/server-key.pem"); w == nil || len(w.PublicKey) != 32 {
		t.Errorf("a key behind a link: %+v", w)
	}
	if got, err := h.ReadFile("/etc/pki/qemu/server-cert.pem"); err != nil || !bytes.Contains(got, server.CertPEM()) {
		t.Errorf("a certificate behind a link: %q, %v", got, err)
	}
	if got, _ := h.ReadFile("/etc/default/libvirtd"); string(got) != "LIBVIRTD_ARGS=\"--listen\"\n\n\n\n" {
		t.Errorf("the argument file: %q", got)
	}
	if got, _ := h.ReadFile("/etc/libvirt/qemu.conf"); string(got) != "vnc_pasword = \"left-out\"; vnc_tls = 1\nspice_password=\"\"\"left-out\n\n\"\"\"\n"+
		"default_tls_x509_secret_uuid = \"00000000-0000-0000-0000-000000000000\"\nuser = \"libvirt-qemu\"\n" {
		t.Errorf("qemu.conf: %q", got)
	}
	if info, err := fs.Lstat(h.FS(), "etc/pki/qemu/server-key.pem"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := fs.Lstat(h.FS(), "etc/pki/libvirt/private/serverkey.pem"); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info, err)
	}
	if link, err := fs.ReadLink(h.FS(), "etc/systemd/system/libvirtd-tls.socket"); link != "/dev/null" || err != nil {
		t.Errorf("the masked unit leads to %q, %v", link, err)
	}
	if !h.Exists("/etc/pki/libvirt/private") || h.Exists("/etc/pki/libvirt/private/serverkey2.pem") || h.Exists("/etc/pki/libvirt-vnc") {
		t.Error("what is there and what is not")
	}
	if !slices.Contains(back.Manifest.PKIPaths, "/srv/flat") || h.Withheld("/srv/flat/clientkey.pem") == nil {
		t.Error("the pkipath of an alias was not collected")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func values[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}
