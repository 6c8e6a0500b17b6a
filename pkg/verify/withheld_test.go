package verify

import (
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestAWithheldKeyGivesTheVerdictOfTheKeyItself compares what is said with the key's file and with what is told of it.
func TestAWithheldKeyGivesTheVerdictOfTheKeyItself(t *testing.T) {
	ca := testpki.NewCA(t)
	server, other := ca.Server("kvm1"), ca.Server("kvm2")
	sealed, err := certs.MarshalKey(server.Key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	rsa := ca.Server("kvm1", testpki.Key(testpki.RSA2048))
	for _, c := range []struct {
		name      string
		cert, key []byte
	}{
		{"the key of the certificate", server.CertPEM(), server.KeyPEM()},
		{"an RSA key", rsa.CertPEM(), rsa.KeyPEM()},
		{"another's key", server.CertPEM(), other.KeyPEM()},
		{"the key of the second certificate", append(other.CertPEM(), server.CertPEM()...), server.KeyPEM()},
		{"an encrypted key", server.CertPEM(), sealed},
		{"no key at all", server.CertPEM(), []byte("nothing")},
		{"an empty file", server.CertPEM(), nil},
		{"broken base64", server.CertPEM(), []byte("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n")},
		{"broken DER", server.CertPEM(), []byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")},
		{"broken PKCS#1", server.CertPEM(), []byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n")},
		{"a certificate that cannot be read", []byte("nothing"), server.KeyPEM()},
	} {
		for _, v := range Measured() {
			t.Run(c.name+" "+v.String(), func(t *testing.T) {
				f := Files{Role: certs.Server, CA: File{Path: "ca", Data: ca.CertPEM()}, CRL: File{Path: "crl", Err: fs.ErrNotExist},
					Cert: File{Path: "cert", Data: c.cert}, Key: File{Path: "key", Data: c.key}, At: time.Now(), Libvirt: v}
				want := f.Read().Findings
				w := Withhold(c.key)
				f.Key = File{Path: "key", Withheld: &w}
				got := f.Read()
				if got.Key != nil {
					t.Error("there is a key")
				}
				if len(got.Findings) != len(want) {
					t.Fatalf("got %v, want %v", got.Findings, want)
				}
				for i := range want {
					if got.Findings[i].Message != want[i].Message || got.Findings[i].LibvirtMessage != want[i].LibvirtMessage || got.Findings[i].Rule != want[i].Rule {
						t.Errorf("got %+v\nwant %+v", got.Findings[i], want[i])
					}
				}
			})
		}
	}
}

// TestQEMUJudgesAWithheldKeyAsTheKeyItself is the same for QEMU's files.
func TestQEMUJudgesAWithheldKeyAsTheKeyItself(t *testing.T) {
	ca := testpki.NewCA(t)
	server, other := ca.Server("kvm1"), ca.Server("kvm2")
	sealed, err := certs.MarshalKey(server.Key, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"the key of the certificate": server.KeyPEM(), "another's key": other.KeyPEM(), "an encrypted key": sealed,
		"no key at all": []byte("nothing")} {
		for _, v := range MeasuredQEMU() {
			t.Run(name+" "+v.String(), func(t *testing.T) {
				w := Withhold(key)
				judge := func(k File) []string {
					k.Path = "key"
					var out []string
					for _, f := range (QEMUFiles{Role: certs.Server, CA: File{Path: "ca", Data: ca.CertPEM()}, CRL: File{Path: "crl", Err: fs.ErrNotExist},
						Identities: []Pair{{Cert: File{Path: "cert", Data: server.CertPEM()}, Key: k}}, At: time.Now(), QEMU: v}).Check() {
						out = append(out, f.Rule+": "+f.Message+" / "+f.LibvirtMessage)
					}
					return out
				}
				if want, got := judge(File{Data: key}), judge(File{Withheld: &w}); !slices.Equal(want, got) {
					t.Errorf("got %q\nwant %q", got, want)
				}
			})
		}
	}
}
