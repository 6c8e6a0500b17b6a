package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

func issue(t *testing.T, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestImportGivesTheFieldsOfAUsualCertificate(t *testing.T) {
	from, to := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC), time.Date(2055, 1, 1, 0, 0, 0, 0, time.UTC)
	raw := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(0x0abc), Subject: pkix.Name{CommonName: "a"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageDecipherOnly, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
	})
	c, err := certs.Import(raw)
	if err != nil {
		t.Fatal(err)
	}
	if c.Version != 3 || c.SerialHex() != "0ABC" || !c.NotBefore.Equal(from) || !c.NotAfter.Equal(to) || c.PublicKey == nil ||
		c.SignatureAlgorithm != "1.2.840.10045.4.3.2" || !c.Issuer.Equal(c.Subject) {
		t.Errorf("got %+v", c)
	}
	if b := c.BasicConstraints; b == nil || !b.Critical || !b.CA || b.PathLen != 0 || b.Undecodable {
		t.Errorf("basicConstraints: %+v", b)
	}
	if k := c.KeyUsage; k == nil || !k.Critical || k.Bits != x509.KeyUsageDigitalSignature|x509.KeyUsageDecipherOnly {
		t.Errorf("keyUsage: %+v", k)
	}
	if e := c.ExtKeyUsage; e == nil || e.Critical || !slices.Equal(e.Purposes, []string{"1.3.6.1.5.5.7.3.1"}) {
		t.Errorf("extendedKeyUsage: %+v", e)
	}
	if n := c.AltNames; len(n) != 2 || n[0].Kind != certs.DNSName || string(n[0].Value) != "a.example" || n[1].Kind != certs.IPAddress ||
		string(n[1].Value) != "\xc0\x00\x02\x01" || !c.HasAltNames {
		t.Errorf("alternative names: %+v", n)
	}
	parsed, err := c.X509()
	if err != nil || !bytes.Equal(parsed.RawTBSCertificate, c.RawTBS) || !bytes.Equal(parsed.RawSubjectPublicKeyInfo, c.RawPublicKeyInfo) {
		t.Errorf("X509: %v", err)
	}
	if again, _ := c.X509(); again != parsed {
		t.Error("X509 is computed twice")
	}
	raw[len(raw)-1] ^= 1
	if bytes.Equal(raw, c.Raw) {
		t.Error("Import keeps the caller's slice")
	}
}

func TestBrokenExtensionsAreReportedNotRefused(t *testing.T) {
	extension := func(oid, value string) []byte { return element(0x30, unhex("0603"+oid), element(4, unhex(value))) }
	algorithm := unhex("300a06082a8648ce3d040302")
	tbs := element(0x30, unhex("a003020102020101"), algorithm, unhex("3000"),
		unhex("301e170d3234303130313030303030305a170d3334303130313030303030305a"), unhex("3000"),
		element(0x30, algorithm, unhex("03020004")),
		element(0xa3, element(0x30, extension("551d0f", "0500"), extension("551d13", "30020101"), extension("551d25", "3001"))))
	c, err := certs.Import(element(0x30, tbs, algorithm, unhex("03020000")))
	if err != nil {
		t.Fatal(err)
	}
	if !c.BasicConstraints.Undecodable || c.BasicConstraints.CA || !c.KeyUsage.Undecodable || !c.ExtKeyUsage.Undecodable || c.PublicKey != nil {
		t.Errorf("got %+v %+v %+v %v", c.BasicConstraints, c.KeyUsage, c.ExtKeyUsage, c.PublicKey)
	}
	if _, err := c.X509(); err == nil {
		t.Error("crypto/x509 reads it now: the test has lost its point")
	}
}

func TestSerialHexIsWhatOpenSSLPrints(t *testing.T) {
	peer.Need(t, "openssl")
	base := issue(t, &x509.Certificate{SerialNumber: big.NewInt(0x1122), Subject: pkix.Name{CommonName: "a"}})
	for _, serial := range []string{"0001", "0abc", "7fff", "80ff", "ffff", "ff00", "0000"} {
		text := bytes.Replace(base, unhex("02021122"), unhex("0202"+serial), 1)
		c, err := certs.Import(text)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("openssl", "x509", "-noout", "-serial", "-inform", "DER")
		command.Stdin = bytes.NewReader(text)
		out, err := command.Output()
		if err != nil {
			continue // newer versions refuse what is not minimal
		}
		if got, want := c.SerialHex(), strings.TrimPrefix(strings.TrimSpace(string(out)), "serial="); got != want {
			t.Errorf("%s: got %s, want %s", serial, got, want)
		}
	}
}

func TestValidityAgreesWithTheInstalledLibrary(t *testing.T) {
	l := gnutls.Load(t)
	for _, text := range []string{"240101000000Z", "2401010000Z", "24010100001Z", "240230000060Z", "491231235959Z", "500101000000Z",
		"700101000000Z", "20240101000000Z", "00010101000000Z", "19691231235959Z", "99991231235959Z", "20230431000000Z"} {
		tag := byte(0x17)
		if len(text) == 15 {
			tag = 0x18
		}
		algorithm := unhex("300a06082a8648ce3d040302")
		tbs := element(0x30, unhex("a003020102020101"), algorithm, unhex("3000"),
			element(0x30, element(tag, []byte(text)), element(0x17, []byte("340101000000Z"))), unhex("3000"),
			element(0x30, algorithm, unhex("03020004")))
		whole := element(0x30, tbs, algorithm, unhex("03020000"))
		c, err := certs.Import(whole)
		theirs, code := l.Import(whole, false)
		if err != nil || code != 0 {
			t.Errorf("%s: %v, %d", text, err, code)
			continue
		}
		from, to := theirs.Validity()
		theirs.Close()
		if c.NotBefore.Unix() != from || c.NotAfter.Unix() != to {
			t.Errorf("%s: got %d to %d, want %d to %d", text, c.NotBefore.Unix(), c.NotAfter.Unix(), from, to)
		}
	}
}

// Recorded from libgnutls 3.7.9 with libtasn1 4.19.0 (Debian 12): the two algorithms of this certificate differ behind the
// 127th character of their text, where libtasn1 cuts it off, so that they are the same and the import succeeds.
func TestAlgorithmsThatDifferBehindWhatLibtasn1KeepsAreTheSame(t *testing.T) {
	c, err := certs.Import(unhex("3081d9308193a003020102020101303d063b2a84ccd8850484ccd8850484ccd8850484ccd8850484ccd8850484ccd885" +
		"0484ccd8850484ccd8850484ccd8850484ccd8850482b4ccd885040514300431023000301e170d363231333839333130" +
		"3837325a170d3234303130313030303030305a300c310a300806035504030c01623012300c06082a8648ce3d04030205" +
		"0003020700a3023000303d063b2a84ccd8850484ccd8850484ccd8850484ccd8850484ccd8850484ccd8850484ccd885" +
		"0484ccd8850484ccd8850484ccd8850482b4ccd88504050403020000"))
	if err != nil {
		t.Fatal(err)
	}
	if name, err := c.Subject.Text(); name != "CN=b" || err != nil {
		t.Errorf("got %q, %v", name, err)
	}
}
