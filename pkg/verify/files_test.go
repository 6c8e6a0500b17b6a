package verify

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

func absent(path string) File {
	return File{Path: path, Err: &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}}
}

func denied(path string) File {
	return File{Path: path, Err: &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}}
}

// serverFiles are good files of a server.
func serverFiles(t testing.TB, ca *testpki.CA, leaf *testpki.Identity) Files {
	t.Helper()
	return Files{Role: certs.Server, CA: File{Path: "/ca.pem", Data: ca.CertPEM()}, CRL: absent("/crl.pem"),
		Cert: File{Path: "/cert.pem", Data: leaf.CertPEM()}, Key: File{Path: "/key.pem", Data: leaf.KeyPEM()}, At: time.Now(), Libvirt: V9_0}
}

func clientFiles(t testing.TB, ca *testpki.CA, leaf *testpki.Identity) Files {
	f := serverFiles(t, ca, leaf)
	f.Role = certs.Client
	return f
}

// A refusal is a set of files and the text with which libvirt refuses it.
type refusal struct {
	name    string
	f       Files
	message string // with 9.0
	new     string // with 12.8; "=" the same
	rule    string
}

func refusals(t testing.TB) []refusal {
	ca := testpki.NewCA(t)
	srv, cli := ca.Server("kvm1.example.com"), ca.Client("admin")
	s, c := serverFiles(t, ca, srv), clientFiles(t, ca, cli)
	with := func(f Files, change func(*Files)) Files { change(&f); return f }
	encrypted, err := certs.MarshalKey(srv.Key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	junk := []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	const keyWords = "Unable to set x509 key and certificate: /key.pem, /cert.pem: "
	const crlWords = "Unable to set x509 certificate revocation list: /crl.pem: "
	return []refusal{
		{"all is good", s, "", "=", ""},
		{"a client without an identity", with(c, func(f *Files) { f.Cert, f.Key = absent("/cert.pem"), absent("/key.pem") }), "", "=", ""},
		{"no CA", with(s, func(f *Files) { f.CA = absent("/ca.pem") }), "Cannot read CA certificate '/ca.pem': No such file or directory",
			"CA certificate '/ca.pem' does not exist: No such file or directory", "ca-file-missing"},
		{"the CA's path goes through a file", with(c, func(f *Files) { f.CA = File{Path: "/ca.pem", Err: syscall.ENOTDIR} }),
			"Cannot read CA certificate '/ca.pem': Not a directory", "CA certificate '/ca.pem' does not exist: Not a directory", "ca-file-missing"},
		{"no server certificate", with(s, func(f *Files) { f.Cert = absent("/cert.pem") }), "Cannot read certificate '/cert.pem': No such file or directory",
			"Certificate '/cert.pem' does not exist: No such file or directory", "certificate-file-missing"},
		{"no server key", with(s, func(f *Files) { f.Key = absent("/key.pem") }), "Cannot read private key '/key.pem': No such file or directory",
			"Key '/key.pem' does not exist, but certificate '/cert.pem' does: No such file or directory", "key-file-missing"},
		{"a client's key without certificate", with(c, func(f *Files) { f.Cert = absent("/cert.pem") }), "",
			"Certificate '/cert.pem' does not exist, but key '/key.pem' does: No such file or directory", "half-identity"},
		{"a client's certificate without key", with(c, func(f *Files) { f.Key = absent("/key.pem") }), "",
			"Key '/key.pem' does not exist, but certificate '/cert.pem' does: No such file or directory", "half-identity"},
		{"ca_file is empty", with(s, func(f *Files) { f.CA = File{} }), "", "CA certificate '' does not exist: No such file or directory", "ca-file-missing"},
		{"key_file is empty", with(s, func(f *Files) { f.Key = File{} }), "",
			"Key '' does not exist, but certificate '/cert.pem' does: No such file or directory", "key-file-missing"},
		{"the CA may not be read", with(c, func(f *Files) { f.CA = denied("/ca.pem") }), "Unable to set x509 CA certificate: /ca.pem: Error while reading file.",
			"=", "file-unreadable"},
		{"the certificate may not be read", with(c, func(f *Files) { f.Cert = denied("/cert.pem") }), keyWords + "Error while reading file.", "=", "file-unreadable"},
		{"the key may not be read", with(c, func(f *Files) { f.Key = denied("/key.pem") }), keyWords + "Error while reading file.", "=", "file-unreadable"},
		{"the certificate is a directory", with(s, func(f *Files) { f.Cert = File{Path: "/cert.pem", Err: syscall.EISDIR} }),
			"Failed to read file '/cert.pem': Is a directory", "=", "file-unreadable"},
		{"the certificate is DER", with(s, func(f *Files) { f.Cert.Data = srv.DER }), "Unable to import server certificate /cert.pem", "=", "certificate-not-importable"},
		{"a client's certificate is cut off", with(c, func(f *Files) { f.Cert.Data = f.Cert.Data[:200] }), "Unable to import client certificate /cert.pem", "=",
			"certificate-not-importable"},
		{"the CA file is empty", with(c, func(f *Files) { f.CA.Data = nil }), "Unable to import CA certificate list /ca.pem",
			"Unable to import certificate list /ca.pem", "ca-file-not-importable"},
		{"garbage beside a good CA", with(s, func(f *Files) { f.CA.Data = append(ca.CertPEM(), junk...) }), "Unable to import CA certificate list /ca.pem",
			"Unable to import certificate list /ca.pem", "ca-file-not-importable"},
		{"garbage in the 18th place", with(s, func(f *Files) { f.CA.Data = append(bytes.Repeat(ca.CertPEM(), 17), junk...) }),
			"Unable to set x509 CA certificate: /ca.pem: ASN1 parser: Error in TAG.", "=", "ca-file-not-importable"},
		{"64 KiB are read", with(s, func(f *Files) { f.CA.Data = pad(ca.CertPEM(), 65536) }), "", "=", ""},
		{"more are not", with(s, func(f *Files) { f.CA.Data = pad(ca.CertPEM(), 65537) }), "Failed to read file '/ca.pem': Value too large for defined data type", "=",
			"file-too-large"},
		{"unless the check is off", with(s, func(f *Files) { f.CA.Data, f.NoSanity = pad(ca.CertPEM(), 65537), true }), "", "=", ""},
		{"a NUL byte before the CA", with(s, func(f *Files) { f.CA.Data = append([]byte("x\x00"), ca.CertPEM()...) }), "Unable to import CA certificate list /ca.pem",
			"Unable to import certificate list /ca.pem", "ca-file-not-importable"},
		{"the key is of another certificate", with(s, func(f *Files) { f.Key.Data = cli.KeyPEM() }), keyWords + "The certificate and the given key do not match.", "=",
			"key-mismatch"},
		{"the key has a passphrase", with(s, func(f *Files) { f.Key.Data = encrypted }), keyWords + "Decryption has failed.", "=", "key-encrypted"},
		{"the key is DER", with(s, func(f *Files) { b, _ := pem.Decode(srv.KeyPEM()); f.Key.Data = b.Bytes }), keyWords + "The requested data were not available.", "=",
			"key-not-importable"},
		{"the key file is empty", with(s, func(f *Files) { f.Key.Data = nil }), keyWords + "The requested data were not available.", "=", "key-not-importable"},
		{"the key is cut off", with(s, func(f *Files) { f.Key.Data = f.Key.Data[:100] }), keyWords + "Base64 decoding error.", "=", "key-not-importable"},
		{"the key is not base64", with(s, func(f *Files) { f.Key.Data = []byte("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n") }),
			keyWords + "Base64 decoding error.", "=", "key-not-importable"},
		{"the key is no PKCS#8", with(s, func(f *Files) { f.Key.Data = []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") }),
			keyWords + "ASN1 parser: Error in TAG.", "=", "key-not-importable"},
		{"the key is no PKCS#1", with(s, func(f *Files) {
			f.Key.Data = []byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
		}),
			keyWords + "ASN1 parser: Error in DER parsing.", "=", "key-not-importable"},
		{"garbage behind the leaf", with(s, func(f *Files) { f.Cert.Data = append(srv.CertPEM(), junk...) }), keyWords + "ASN1 parser: Error in TAG.", "=",
			"chain-not-importable"},
		{"an empty certificate with the check off", with(s, func(f *Files) { f.Cert.Data, f.NoSanity = nil, true }), keyWords + "Base64 decoding error.", "=",
			"certificate-not-importable"},
		{"an empty CA file with the check off", with(s, func(f *Files) { f.CA.Data, f.NoSanity = nil, true }), "", "=", ""},
		{"the CRL is DER", with(s, func(f *Files) { f.CRL = File{Path: "/crl.pem", Data: ca.CRL(1)} }), crlWords + "Base64 decoding error.", "=", "crl-not-importable"},
		{"the CRL is empty", with(s, func(f *Files) { f.CRL = File{Path: "/crl.pem"} }), crlWords + "Base64 decoding error.", "=", "crl-not-importable"},
		{"the CRL is a certificate", with(s, func(f *Files) { f.CRL = File{Path: "/crl.pem", Data: ca.CertPEM()} }), crlWords + "Base64 decoding error.", "=",
			"crl-not-importable"},
		{"the CRL is not base64", with(s, func(f *Files) {
			f.CRL = File{Path: "/crl.pem", Data: []byte("-----BEGIN X509 CRL-----\n!!!!\n-----END X509 CRL-----\n")}
		}), crlWords + "Base64 decoding error.", "=", "crl-not-importable"},
		{"the CRL is no CRL inside", with(s, func(f *Files) {
			f.CRL = File{Path: "/crl.pem", Data: []byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")}
		}), crlWords + "ASN1 parser: Error in TAG.", "=", "crl-not-importable"},
		{"a configured CRL that is not there", with(s, func(f *Files) { f.CRLConfigured = true }), "", crlWords + "Error while reading file.", "crl-file-missing"},
		{"crl_file is empty", with(s, func(f *Files) { f.CRL, f.CRLConfigured = File{}, true }), "",
			"Unable to set x509 certificate revocation list: : Error while reading file.", "crl-file-missing"},
		{"the sanity check comes before what is missing, but not in 12.8", with(s, func(f *Files) {
			f.Cert.Data, f.Key = ca.Server("x", testpki.Expired()).CertPEM(), absent("/key.pem")
		}), "The server certificate /cert.pem has expired", "Key '/key.pem' does not exist, but certificate '/cert.pem' does: No such file or directory", "*"},
	}
}

func TestFilesAreRefusedInLibvirtsWords(t *testing.T) {
	for _, x := range refusals(t) {
		t.Run(x.name, func(t *testing.T) {
			for _, v := range []Version{V9_0, V12_8} {
				want := x.message
				if v == V12_8 && x.new != "=" {
					want = x.new
				}
				f := x.f
				f.Libvirt = v
				got, rule, _ := first(f.Read().Findings)
				if got != want {
					t.Errorf("%v: %q, want %q", v, got, want)
				}
				if want != "" && rule != x.rule && x.rule != "*" {
					t.Errorf("%v: rule %s, want %s", v, rule, x.rule)
				}
			}
		})
	}
}

// pad adds text before a PEM block up to a size.
func pad(text []byte, size int) []byte {
	return append(append(bytes.Repeat([]byte("x"), size-len(text)-1), '\n'), text...)
}

func TestWhatIsLoaded(t *testing.T) {
	ca := testpki.NewCA(t)
	inter := ca.Intermediate("Intermediate")
	leaf := inter.Server("kvm1.example.com")
	f := serverFiles(t, ca, leaf)
	f.CA.Data = append(inter.CertPEM(), ca.CertPEM()...)
	f.Cert.Data = leaf.ChainPEM()
	f.CRL = File{Path: "/crl.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: inter.CRL(1)})}
	l := f.Read()
	if len(l.CAs) != 2 || len(l.Chain) != 2 || l.Key == nil || len(l.CRLs) != 1 || len(l.Findings) != 0 {
		t.Errorf("%d CAs, chain of %d, key %v, %d CRLs, findings %v", len(l.CAs), len(l.Chain), l.Key != nil, len(l.CRLs), l.Findings)
	}
	if a := l.Advice(); len(a) != 0 {
		t.Errorf("advice %v", a)
	}
	f = clientFiles(t, ca, ca.Client("admin"))
	f.Key = absent("/key.pem")
	if l := f.Read(); len(l.Chain) != 0 || l.Key != nil || finding.Worst(l.Findings) != finding.Warning {
		t.Errorf("half a pair in 9.0: %+v", l.Findings)
	}
}

func TestAdviceAboutFiles(t *testing.T) {
	ca := testpki.NewCA(t)
	inter := ca.Intermediate("Intermediate")
	leaf := inter.Server("kvm1.example.com")
	f := serverFiles(t, ca, leaf)
	f.CA.Data = append(inter.CertPEM(), ca.CertPEM()...)
	f.CRL = File{Path: "/crl.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: inter.CRL(1, leaf)})}
	var got []string
	for _, a := range f.Read().Advice() {
		got = append(got, a.Rule)
	}
	if want := "own-certificate-revoked intermediate-not-sent"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if err := fmt.Sprint(f.Read().Findings); strings.Contains(err, "error") {
		t.Error(err)
	}
}

// FuzzRead takes one end's files as they come and connects what was loaded to itself.
func FuzzRead(f *testing.F) {
	ca := testpki.NewCA(f)
	leaf := ca.Peer("kvm1.example.com")
	crl := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: ca.CRL(1, leaf)})
	f.Add(ca.CertPEM(), leaf.CertPEM(), leaf.KeyPEM(), crl)
	f.Add(append(ca.CertPEM(), leaf.CertPEM()...), leaf.ChainPEM(), []byte{}, []byte{0})
	at := time.Now()
	f.Fuzz(func(t *testing.T, ca, cert, key, crl []byte) {
		l := Files{Role: certs.Client, CA: File{Path: "/ca", Data: ca}, Cert: File{Path: "/cert", Data: cert}, Key: File{Path: "/key", Data: key},
			CRL: File{Path: "/crl", Data: crl}, At: at, Libvirt: V9_0}.Read()
		_ = l.Advice()
		s := Session{Local: certs.Client, Peer: l.Chain, CAs: l.CAs, Lists: l.CRLs, Host: "kvm1.example.com", At: at, Libvirt: V12_8}
		for _, fd := range append(s.Check(), s.Advice()...) {
			if fd.Rule == "" || fd.Message == "" {
				t.Errorf("an empty finding: %+v", fd)
			}
		}
	})
}
