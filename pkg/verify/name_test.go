package verify

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A name in two string types, and one with a blank behind it.
var (
	printableLab = []byte("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x13\x03Lab")
	utf8Lab      = []byte("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03Lab")
	blankLab     = []byte("\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x0c\x04Lab ")
)

// libvirtd 9.0.0 and 12.8.0 start with a certificate whose issuer is its CA's name in another string type, and clients refuse
// it: the session looks the CA up by the octets of the name, the own check compares the texts.
func TestANameInAnotherStringTypeIsTheSameForTheOwnCheckOnly(t *testing.T) {
	ca := testpki.NewCA(t, func(s *testpki.Spec) { s.Template.RawSubject = utf8Lab })
	for _, c := range []struct {
		name   string
		issuer []byte
		own    Status
		peer   Status
	}{
		{"the same octets", utf8Lab, 0, 0},
		{"another string type", printableLab, 0, Invalid | SignerNotFound},
		{"another text", blankLab, Invalid | SignerNotFound, Invalid | SignerNotFound},
	} {
		leaf := imported(t, ca.Server("kvm1", func(s *testpki.Spec) { s.IssuerDER = c.issuer }))
		cas := imported(t, ca.Identity)
		if got := VerifyOwn(leaf[0], cas, time.Now()).Status; got != c.own {
			t.Errorf("%s: the own check says %b, want %b", c.name, got, c.own)
		}
		if got := VerifyPeer(leaf, cas, nil, time.Now()).Status; got != c.peer {
			t.Errorf("%s: the session says %b, want %b", c.name, got, c.peer)
		}
	}
}

func extensionOf(oid, value string) pkix.Extension {
	var id asn1.ObjectIdentifier
	for _, arc := range strings.Split(oid, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			panic(err)
		}
		id = append(id, n)
	}
	return pkix.Extension{Id: id, Value: []byte(value)}
}

func TestBucketsAreThoseOfGnuTLSsTable(t *testing.T) {
	for der, want := range map[string]uint64{"\x30\x00": (0 + 0x30<<9) % 127} {
		name, err := dn.FromDER([]byte(der))
		if err != nil {
			t.Fatal(err)
		}
		if got := bucket(name); got != want {
			t.Errorf("bucket of %x: %d, want %d", der, got, want)
		}
	}
}

// A client certificate that demands an OCSP answer is refused by libvirtd 9.0.0 and 12.8.0 as one of a server is by virsh.
func TestMustStapleIsRefusedOnBothEnds(t *testing.T) {
	ca := testpki.NewCA(t)
	staple := func(s *testpki.Spec) {
		s.Template.ExtraExtensions = append(s.Template.ExtraExtensions, extensionOf("1.3.6.1.5.5.7.1.24", "\x30\x03\x02\x01\x05"))
	}
	for _, c := range []struct {
		local certs.Role
		peer  *testpki.Identity
	}{{certs.Client, ca.Server("kvm1", staple)}, {certs.Server, ca.Client("alice", staple)}} {
		s := Session{Local: c.local, Peer: imported(t, c.peer), CAs: imported(t, ca.Identity), Host: "kvm1", At: time.Now(), Libvirt: V9_0}
		message, rule, _ := first(s.Check())
		if rule != "must-staple" || message != "Certificate failed validation: The certificate is not trusted." {
			t.Errorf("a %v says %q (%s)", c.local, message, rule)
		}
	}
}

// virsh 9.0.0 sends a certificate with a keyUsage without bits, or one that cannot be read.
func TestAKeyUsageWithoutBitsDoesNotKeepTheClientFromSending(t *testing.T) {
	ca := testpki.NewCA(t)
	for value, want := range map[string]bool{"\x03\x01\x00": true, "\x30\x00": true, "\x03\x02\x05\x20": false, "\x03\x02\x07\x80": true} {
		leaf := ca.Client("alice", func(s *testpki.Spec) {
			s.Template.KeyUsage = 0
			s.Template.ExtraExtensions = append(s.Template.ExtraExtensions, extensionOf("2.5.29.15", value))
		})
		if _, sent := Sends(imported(t, leaf), nil); sent != want {
			t.Errorf("keyUsage %x: sent %v, want %v", value, sent, want)
		}
	}
}

// GnuTLS counts privateKeyUsagePeriod as unknown where it is critical (libvirtd and virsh 9.0.0 and 12.8.0).
func TestACriticalPrivateKeyUsagePeriodIsUnknown(t *testing.T) {
	ca := testpki.NewCA(t)
	leaf := ca.Server("kvm1", func(s *testpki.Spec) {
		e := extensionOf("2.5.29.16", "\x30\x11\x80\x0f20200101000000Z")
		e.Critical = true
		s.Template.ExtraExtensions = append(s.Template.ExtraExtensions, e)
	})
	if got := VerifyPeer(imported(t, leaf), imported(t, ca.Identity), nil, time.Now()).Status; got != Invalid|UnknownCritical {
		t.Errorf("status %b, want %b", got, Invalid|UnknownCritical)
	}
}

// A key and a certificate of different kinds do not fit together, also where Go does not know the certificate's kind.
func TestAKeyOfAnotherKindThanTheCertificateIsAMismatch(t *testing.T) {
	ca := testpki.NewCA(t)
	for _, c := range []struct{ name, info, want string }{
		{"Ed448", "\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\x00" + string(make([]byte, 57)), "The certificate and the given key do not match."},
		{"a curve that GnuTLS does not know", "\x30\x11\x30\x0c\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x01\x2a\x03\x01\x00", "The curve is unsupported"},
		{"an algorithm that GnuTLS does not know", "\x30\x09\x30\x04\x06\x02\x2a\x03\x03\x01\x00", "An unimplemented or disabled feature has been requested."},
	} {
		leaf := ca.Server("kvm1")
		cert := imported(t, leaf)[0]
		cert.RawPublicKeyInfo = []byte(c.info)
		l := Loaded{Key: leaf.Key, Chain: []*certs.Certificate{cert}}
		r := reader{Files: Files{Role: certs.Server, Cert: File{Path: "/c.pem"}, Key: File{Path: "/k.pem"}}, l: &l}
		if r.usableKey(func(text string) string { return text }) {
			t.Errorf("%s: the pair is taken", c.name)
		} else if got := l.Findings[0].LibvirtMessage; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// libvirtd 12.8.0 says more about half a pair among the names with an index than about that without.
func TestHalfAPairWithAnIndex(t *testing.T) {
	const none = "Certificate '%s' does not exist%s: No such file or directory"
	for cert, but := range map[string]string{"/etc/pki/libvirt/servercert.pem": "", "/etc/pki/libvirt/servercert1.pem": ", but key '/key.pem' does"} {
		ca := testpki.NewCA(t)
		l := Files{Role: certs.Server, CA: File{Path: "/ca.pem", Data: ca.CertPEM()}, Cert: File{Path: cert, Err: fs.ErrNotExist},
			Key: File{Path: "/key.pem", Data: ca.KeyPEM()}, At: time.Now(), Libvirt: V12_8}.Read()
		if got, _, _ := first(l.Findings); got != fmt.Sprintf(none, cert, but) {
			t.Errorf("%q", got)
		}
	}
}
