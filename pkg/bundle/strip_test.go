package bundle

import (
	"bytes"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// TestWhatIsTakenOutChangesNoVerdict judges files as they are and as they are passed on.
func TestWhatIsTakenOutChangesNoVerdict(t *testing.T) {
	ca := testpki.NewCA(t)
	server, other := ca.Server("kvm1"), ca.Server("kvm2")
	crl := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: ca.CRL(1, other)})
	cert := string(server.CertPEM())
	for _, c := range []struct{ name, ca, crl, cert string }{
		{"as they should be", string(ca.CertPEM()), string(crl), cert},
		{"text around", "subject=CN\n" + string(ca.CertPEM()) + "\nmore", "x\n" + string(crl), "Certificate:\n" + cert + "text"},
		{"the key before the certificate", string(ca.CertPEM()), string(crl), string(server.KeyPEM()) + cert},
		{"the key behind the certificate", string(ca.CertPEM()), string(crl), cert + string(server.KeyPEM())},
		{"a key and no certificate", string(ca.CertPEM()), string(crl), string(server.KeyPEM())},
		{"DER", string(ca.DER), string(ca.CRL(2)), string(server.DER)},
		{"empty", "", "", ""},
		{"white space", "\n", " \n", "\t\n"},
		{"nonsense", "x", "y", "z"},
		{"broken base64", strings.Replace(string(ca.CertPEM()), "M", "!", 1), strings.Replace(string(crl), "M", "!", 1), strings.Replace(cert, "M", "!", 1)},
		{"cut short", string(ca.CertPEM()[:200]), string(crl[:150]), cert[:200]},
		{"no footer", strings.Split(string(ca.CertPEM()), "-----END")[0], strings.Split(string(crl), "-----END")[0], strings.Split(cert, "-----END")[0]},
		{"another footer", string(ca.CertPEM()), string(crl), strings.Replace(cert, "END CERTIFICATE", "END X509 CERTIFICATE", 1)},
		{"a trusted certificate of openssl", strings.ReplaceAll(string(ca.CertPEM()), "CERTIFICATE", "TRUSTED CERTIFICATE"), string(crl), strings.ReplaceAll(cert, "CERTIFICATE", "TRUSTED CERTIFICATE")},
		{"the old label", strings.ReplaceAll(string(ca.CertPEM()), "CERTIFICATE", "X509 CERTIFICATE"), string(crl), strings.ReplaceAll(cert, "CERTIFICATE", "X509 CERTIFICATE")},
		{"a certificate in the list's place", string(ca.CertPEM()), cert, cert},
		{"a NUL byte", string(ca.CertPEM()) + "\x00" + string(ca.CertPEM()), string(crl), "x\x00" + cert},
		{"more than 64 KiB", string(ca.CertPEM()) + strings.Repeat("# text\n", 10000), string(crl), cert},
		{"CR LF", strings.ReplaceAll(string(ca.CertPEM()), "\n", "\r\n"), strings.ReplaceAll(string(crl), "\n", "\r\n"), strings.ReplaceAll(cert, "\n", "\r\n")},
		{"a chain", string(ca.CertPEM()) + string(ca.CertPEM()), string(crl) + string(crl), cert + string(ca.CertPEM())},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, v := range verify.Measured() {
				files := func(f func(string) []byte) verify.Files {
					return verify.Files{Role: certs.Server, CA: verify.File{Path: "ca", Data: f(c.ca)}, CRL: verify.File{Path: "crl", Data: f(c.crl)},
						Cert: verify.File{Path: "cert", Data: f(c.cert)}, Key: verify.File{Path: "key", Data: server.KeyPEM()}, At: time.Now(), Libvirt: v}
				}
				want := files(func(s string) []byte { return []byte(s) }).Read()
				got := files(func(s string) []byte { b, _ := stripPEM([]byte(s)); return b }).Read()
				if d := cmp.Diff(want.Findings, got.Findings); d != "" {
					t.Errorf("libvirt %s (-as they are +as they are passed on):\n%s", v, d)
				}
				if len(want.CAs) != len(got.CAs) || len(want.Chain) != len(got.Chain) || len(want.CRLs) != len(got.CRLs) {
					t.Errorf("libvirt %s: other certificates or lists are loaded", v)
				}
			}
		})
	}
}

// TestRedactedConfigurationsHaveTheSameVerdict compares settings and refusals.
func TestRedactedConfigurationsHaveTheSameVerdict(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"nothing to hide", "libvirtd.conf", "listen_tls = 1\ntls_port=\"16514\" ; auth_tls = \"none\"\n", "listen_tls = 1\ntls_port=\"16514\" ; auth_tls = \"none\"\n"},
		{"comments", "libvirtd.conf", "# secret\nlisten_tls = 1 # x\n", "#\nlisten_tls = 1 #\n"},
		{"a password", "qemu.conf", "vnc_password = 'x y'\n", "vnc_password = \"left-out\"\n"},
		{"a password of the wrong type", "qemu.conf", "vnc_password = 4711\n", "vnc_password = 0\n"},
		{"a list where none belongs", "qemu.conf", "vnc_password = [ \"a\",\n \"b\" ]\n", "vnc_password = [\n\"left-out\"]\n"},
		{"a misspelt password", "qemu.conf", "vncpassword = \"x\"\n", "vncpassword = \"left-out\"\n"},
		{"broken grammar", "qemu.conf", "vnc_listen = \"0.0.0.0\"\nvnc_password = \"x\nhunter2\n\nuser = \"root\"\n", "vnc_listen = \"0.0.0.0\"\n\n\n\nuser = \"root\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := redactConf([]byte(c.text), c.file)
			if d := cmp.Diff(c.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			kind := conf.KindOf(c.file)
			_, before := conf.Judge([]byte(c.text), c.file, kind, conf.Run{})
			_, after := conf.Judge(got, c.file, kind, conf.Run{})
			if (before == nil) != (after == nil) || before != nil && c.name != "broken grammar" && before.Error() != after.Error() {
				if c.name != "broken grammar" {
					t.Errorf("libvirt says %v, and of the redacted file %v", before, after)
				}
			}
		})
	}
}

func TestOfUnitsStaysWhatConcernsTheDaemons(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`Environment=LIBVIRTD_ARGS="--timeout 120"`, `Environment=LIBVIRTD_ARGS="--timeout 120"`},
		{`Environment="LIBVIRTD_ARGS=--listen --timeout 120" GNUTLS_CPUID_OVERRIDE=1`, `Environment="LIBVIRTD_ARGS=--listen --timeout 120" GNUTLS_CPUID_OVERRIDE=1`},
		{`Environment=LIBVIRTD_ARGS=--listen OTHER=hunter2`, ``},
		{`Environment="A=LIBVIRTD_ARGS=x"`, ``},
		{`ExecStart=/usr/sbin/libvirtd $LIBVIRTD_ARGS`, `ExecStart=/usr/sbin/libvirtd $LIBVIRTD_ARGS`},
		{`PrivateTmp=yes`, `PrivateTmp=yes`},
		{`ExecStartPre=/usr/bin/login --password hunter2`, ``},
		{`# hunter2`, ``},
	} {
		if got, _ := redactUnit([]byte(c.line)); string(got) != c.want {
			t.Errorf("%s: got %q", c.line, got)
		}
	}
}

func FuzzStripPEM(f *testing.F) {
	ca := testpki.NewCA(f)
	f.Add(ca.CertPEM())
	f.Add(append(ca.KeyPEM(), ca.CertPEM()...))
	f.Add([]byte("-----BEGIN X-----BEGIN CERTIFICATE-----\n-----END -----BEGIN PRIVATE KEY-----"))
	key := ca.KeyPEM()
	block, _ := pem.Decode(key)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, b := range [][]byte{text, append(bytes.Clone(text), key...), append(bytes.Clone(key), text...)} {
			out, _ := stripPEM(b)
			if bytes.Contains(out, key[40:80]) || bytes.Contains(out, block.Bytes) {
				t.Fatalf("the key is still there:\n%s", out)
			}
		}
	})
}

func FuzzRedactConf(f *testing.F) {
	f.Add([]byte("vnc_password = \"x\"\nuser = 'root'; group=\"\"\"a\nb\"\"\"\n"))
	f.Add([]byte("a = [ \"x\", 1 ]\n# comment"))
	f.Fuzz(func(t *testing.T, text []byte) {
		out, _ := redactConf(text, "qemu.conf")
		if before, err := conf.Parse(text, "qemu.conf"); err == nil {
			after, err := conf.Parse(out, "qemu.conf")
			if err != nil || before.Len() != after.Len() {
				t.Fatalf("%q became %q: %v", text, out, err)
			}
			kept := slices.Collect(after.Entries())
			for i, e := range slices.Collect(before.Entries()) {
				if g := kept[i]; g.Key != e.Key || g.Line != e.Line || g.Value.Type != e.Value.Type {
					t.Fatalf("%q became %q", text, out)
				}
			}
		}
	})
}
