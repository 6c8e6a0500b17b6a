package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"
)

func selfSigned(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCheckTellsAGoodSignatureFromATamperedOne(t *testing.T) {
	der := selfSigned(t)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	tbs, alg, sig, err := Split(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(alg, cert.RawSubjectPublicKeyInfo, tbs, sig); err != nil {
		t.Errorf("good signature: %v", err)
	}
	bad := append([]byte(nil), tbs...)
	bad[len(bad)-1] ^= 1
	if err := Check(alg, cert.RawSubjectPublicKeyInfo, bad, sig); !errors.Is(err, ErrMismatch) {
		t.Errorf("tampered text: %v, want ErrMismatch", err)
	}
	if alg.Insecure() || alg.String() != "ECDSA-SHA-256" {
		t.Errorf("algorithm %v, insecure %v", alg, alg.Insecure())
	}
}

func TestSmallRSAKeysAreChecked(t *testing.T) {
	// A textbook 768-bit key: the private exponent is only in this test.
	p, _ := rand.Prime(rand.Reader, 384)
	q, _ := rand.Prime(rand.Reader, 384)
	n := new(big.Int).Mul(p, q)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Sub(q, big.NewInt(1)))
	d := new(big.Int).ModInverse(big.NewInt(65537), phi)
	if d == nil {
		t.Skip("65537 divides phi; one in 65537")
	}
	size := (n.BitLen() + 7) / 8
	h := crypto.SHA256.New()
	h.Write([]byte("text"))
	digest := h.Sum(nil)
	em := make([]byte, size)
	em[1] = 1
	body := size - len(digestInfo[crypto.SHA256]) - len(digest)
	for i := 2; i < body-1; i++ {
		em[i] = 0xff
	}
	copy(em[body:], digestInfo[crypto.SHA256])
	copy(em[body+len(digestInfo[crypto.SHA256]):], digest)
	sig := new(big.Int).Exp(new(big.Int).SetBytes(em), d, n).FillBytes(make([]byte, size))
	spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	alg := algorithms["1.2.840.113549.1.1.11"]
	if err := Check(alg, spki, []byte("text"), sig); err != nil {
		t.Errorf("good: %v", err)
	}
	if err := Check(alg, spki, []byte("other"), sig); !errors.Is(err, ErrMismatch) {
		t.Errorf("other text: %v, want ErrMismatch", err)
	}
}

func TestHugeKeysAreNotCalculatedWith(t *testing.T) {
	for _, c := range []struct {
		octets int
		want   error
	}{{maxBits / 8, ErrMismatch}, {maxBits/8 + 1, ErrUnsupportedKey}} {
		n := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, c.octets))
		info, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(Algorithm{family: familyRSA, hash: crypto.SHA256}, info, nil, make([]byte, c.octets)); !errors.Is(err, c.want) {
			t.Errorf("%d octets: %v, not %v", c.octets, err, c.want)
		}
	}
	number := func(octets int) *big.Int { return new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, octets)) }
	parameters, err := asn1.Marshal(struct{ P, Q, G *big.Int }{number(1024), number(maxExponentBits/8 + 1), number(1)})
	if err != nil {
		t.Fatal(err)
	}
	public, err := asn1.Marshal(number(3))
	if err != nil {
		t.Fatal(err)
	}
	info, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, Parameters: asn1.RawValue{FullBytes: parameters}},
		asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
	if err != nil {
		t.Fatal(err)
	}
	err = Check(Algorithm{family: familyDSA, hash: crypto.SHA256}, info, nil, []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	if !errors.Is(err, ErrUnsupportedKey) || err.Error() != "keys of this kind cannot be checked here: it has exponents of 520 bits" {
		t.Errorf("DSA: %v", err)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("0\x03\x02\x01\x00"))
	f.Fuzz(func(_ *testing.T, der []byte) {
		tbs, alg, sig, err := Split(der)
		if err == nil {
			_ = Check(alg, tbs, tbs, sig)
		}
		_, _, _ = PublicKey(der)
	})
}
