package certs

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/scrypt"
)

// pbkdf2Iterations is what OWASP's password storage cheat sheet asks of PBKDF2-HMAC-SHA256 since 2023: a tenth of a
// second here. OpenSSL 3.0 and GnuTLS 3.7.9 read it.
const pbkdf2Iterations = 600_000

// Bounds on what a file may make us compute before its passphrase is known to be right. They are generous: both come to
// a few seconds and 256 MiB; OpenSSL's scrypt takes 16 MiB.
const (
	maxIterations = 20_000_000
	maxScryptCost = 1 << 28 // octets of memory, times the parallelisation
)

// encryptPKCS8 gives the EncryptedPrivateKeyInfo of RFC 5958 with PBES2 (RFC 8018): PBKDF2-HMAC-SHA256, AES-256-CBC.
func encryptPKCS8(key crypto.Signer, passphrase []byte) ([]byte, error) {
	return pkcs8.MarshalPrivateKey(key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: pbkdf2Iterations, HMACHash: crypto.SHA256},
	})
}

var errPBES = fmt.Errorf("%w: its encryption", errKeyDamaged)

// decryptPKCS8 gives the PrivateKeyInfo inside an EncryptedPrivateKeyInfo. youmark/pkcs8 writes but does not read for
// us: on a hostile file its reader panics (ciphertext or IV of odd length) or computes for ever (iteration count,
// scrypt cost), it takes a PBKDF2 with the optional key length for one with SHA-1, and knows no HMAC but SHA-1 and
// SHA-256.
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, &KeyError{Err: errPBES, Text: "not an EncryptedPrivateKeyInfo"}
	}
	if oid := info.Algorithm.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is encrypted with algorithm " + oid + ", not with PBES2",
			Hint: "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc -provider legacy -provider default -in FILE -out FILE.new"}
	}
	var params struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, &KeyError{Err: errPBES, Text: "no PBES2 parameters"}
	}

	var keySize int
	newBlock := aes.NewCipher
	switch oid := params.Cipher.Algorithm.String(); oid {
	case "2.16.840.1.101.3.4.1.2":
		keySize = 16
	case "2.16.840.1.101.3.4.1.22":
		keySize = 24
	case "2.16.840.1.101.3.4.1.42":
		keySize = 32
	case "1.2.840.113549.3.7":
		keySize, newBlock = 24, des.NewTripleDESCipher
	default:
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is encrypted with cipher " + oid,
			Hint: "convert it with openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.new"}
	}
	var iv []byte
	if _, err := asn1.Unmarshal(params.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, &KeyError{Err: errPBES, Text: "no initialisation vector"}
	}
	secret, err := deriveKey(params.KDF, passphrase, keySize)
	if err != nil {
		return nil, err
	}
	block, err := newBlock(secret)
	if err != nil {
		return nil, &KeyError{Err: errPBES, Text: "no cipher key"}
	}
	size := block.BlockSize()
	if len(iv) != size || len(info.Data) == 0 || len(info.Data)%size != 0 {
		return nil, &KeyError{Err: errPBES, Text: "wrong lengths"}
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	n := int(plain[len(plain)-1])
	if n == 0 || n > size {
		return nil, &KeyError{Err: ErrPassphrase}
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, &KeyError{Err: ErrPassphrase}
		}
	}
	return plain[:len(plain)-n], nil
}

// deriveKey makes the cipher key from the passphrase with PBKDF2 (RFC 8018, A.2) or scrypt (RFC 7914, 7).
func deriveKey(kdf pkix.AlgorithmIdentifier, passphrase []byte, size int) ([]byte, error) {
	switch oid := kdf.Algorithm.String(); oid {
	case "1.2.840.113549.1.5.12":
		var p struct {
			Salt       []byte
			Iterations int
			KeyLength  int                      `asn1:"optional"`
			PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, &KeyError{Err: errPBES, Text: "no PBKDF2 parameters"}
		}
		if p.Iterations < 1 || p.Iterations > maxIterations {
			return nil, &KeyError{Err: errPBES, Text: fmt.Sprintf("%d iterations of PBKDF2, allowed are 1 to %d",
				p.Iterations, maxIterations)}
		}
		if p.KeyLength != 0 && p.KeyLength != size {
			return nil, &KeyError{Err: errPBES, Text: "key length and cipher do not fit"}
		}
		h, ok := hmacHash(p.PRF.Algorithm)
		if !ok {
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is encrypted with PBKDF2 over " + p.PRF.Algorithm.String()}
		}
		secret, err := pbkdf2.Key(h, string(passphrase), p.Salt, p.Iterations, size)
		if err != nil { // FIPS 140-3 mode refuses short salts and keys
			return nil, &KeyError{Err: ErrKeyUnsupported, Text: "PBKDF2: " + err.Error()}
		}
		return secret, nil
	case "1.3.6.1.4.1.11591.4.11":
		var p struct {
			Salt    []byte
			N, R, P int
			Length  int `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, &KeyError{Err: errPBES, Text: "no scrypt parameters"}
		}
		if p.N < 2 || p.R < 1 || p.P < 1 || p.R > 1024 || p.P > 64 || p.N > maxScryptCost/128/p.R/p.P {
			return nil, &KeyError{Err: errPBES, Text: "scrypt parameters out of bounds"}
		}
		secret, err := scrypt.Key(passphrase, p.Salt, p.N, p.R, p.P, size)
		if err != nil {
			return nil, &KeyError{Err: errPBES, Text: "scrypt parameters out of bounds"}
		}
		return secret, nil
	default:
		return nil, &KeyError{Err: ErrKeyUnsupported, Text: "it is encrypted with key derivation " + oid}
	}
}

// hmacHash gives the hash of PBKDF2's pseudo-random function; absent means HMAC-SHA1.
func hmacHash(oid asn1.ObjectIdentifier) (func() hash.Hash, bool) {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, true
	case "1.2.840.113549.2.8":
		return sha256.New224, true
	case "1.2.840.113549.2.9":
		return sha256.New, true
	case "1.2.840.113549.2.10":
		return sha512.New384, true
	case "1.2.840.113549.2.11":
		return sha512.New, true
	}
	return nil, false
}

// isLegacyEncrypted reports whether a PKCS#1 or SEC1 block is encrypted in OpenSSL's way of before 1.0 (RFC 1421
// headers), as `openssl genrsa -aes256` of OpenSSL 1.1 writes it.
func isLegacyEncrypted(b *pem.Block) bool {
	//lint:ignore SA1019 the format is weak, but authorities made with OpenSSL 1.1 have it and are to be taken over
	return x509.IsEncryptedPEMBlock(b)
}

// decryptLegacy decrypts such a block.
func decryptLegacy(b *pem.Block, passphrase []byte) ([]byte, error) {
	//lint:ignore SA1019 as above
	der, err := x509.DecryptPEMBlock(b, passphrase)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, &KeyError{Err: ErrPassphrase}
	case err != nil:
		return nil, &KeyError{Err: errPBES, Text: "the DEK-Info header is not understood"}
	}
	return der, nil
}
