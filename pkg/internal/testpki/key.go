package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"sync"
	"testing"
)

// The kinds of keys, by the names virt-pki uses. RSA keys are made once for each test program and kind, and shared,
// because making them takes long.
const (
	RSA1024   = "rsa1024"
	RSA2048   = "rsa2048"
	RSA3072   = "rsa3072"
	RSA4096   = "rsa4096"
	ECDSAP224 = "ecdsa-p224"
	ECDSAP256 = "ecdsa-p256"
	ECDSAP384 = "ecdsa-p384"
	ECDSAP521 = "ecdsa-p521"
	Ed25519   = "ed25519"
)

// rsaKeys are the shared keys, four of each size so that a chain's keys differ.
var rsaKeys struct {
	sync.Mutex
	keys map[int][]*rsa.PrivateKey
	next map[int]int
}

// generate makes a key of a kind.
func generate(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case RSA1024:
		key, err = sharedRSA(1024)
	case RSA2048:
		key, err = sharedRSA(2048)
	case RSA3072:
		key, err = sharedRSA(3072)
	case RSA4096:
		key, err = sharedRSA(4096)
	case ECDSAP224:
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case ECDSAP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSAP521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("testpki knows no key of kind %q", kind)
	}
	if err != nil {
		t.Fatalf("making a key of kind %s: %v", kind, err)
	}
	return key
}

// sharedRSA gives the keys of a size in turn.
func sharedRSA(bits int) (crypto.Signer, error) {
	const each = 4
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if rsaKeys.keys == nil {
		rsaKeys.keys, rsaKeys.next = map[int][]*rsa.PrivateKey{}, map[int]int{}
	}
	n := rsaKeys.next[bits] % each
	rsaKeys.next[bits]++
	if n == len(rsaKeys.keys[bits]) {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		rsaKeys.keys[bits] = append(rsaKeys.keys[bits], k)
	}
	return rsaKeys.keys[bits][n], nil
}

// keyID gives the key identifier (RFC 5280, 4.2.1.2, method 1).
func keyID(t testing.TB, public crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:]
}

// sign signs with the hash that x509.CreateCertificate takes for the key.
func sign(t testing.TB, signer crypto.Signer, data []byte) []byte {
	t.Helper()
	hash := crypto.SHA256
	switch public := signer.Public().(type) {
	case ed25519.PublicKey:
		hash = 0
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 384:
			hash = crypto.SHA384
		case 521:
			hash = crypto.SHA512
		}
	}
	digest := data
	if hash != 0 {
		h := hash.New()
		h.Write(data)
		digest = h.Sum(nil)
	}
	sig, err := signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
