package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/token"
)

func TestMain(m *testing.M) { peer.Main(m) }

// uri reads a URI of a test.
func uri(t *testing.T, text string) token.URI {
	t.Helper()
	u, err := token.ParseURI(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// checked has the key sign in every way that certificates need, and checks each signature with Go's crypto.
func checked(t *testing.T, k *token.Key) {
	t.Helper()
	message := []byte("to be signed")
	sum, long := sha256.Sum256(message), sha512.Sum512(message)
	sign := func(digest []byte, o crypto.SignerOpts) []byte {
		t.Helper()
		sig, err := k.Sign(rand.Reader, digest, o)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	switch public := k.Public().(type) {
	case *rsa.PublicKey:
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			w := h.New()
			w.Write(message)
			digest := w.Sum(nil)
			if err := rsa.VerifyPKCS1v15(public, h, digest, sign(digest, h)); err != nil {
				t.Errorf("PKCS#1 v1.5 with %v: %v", h, err)
			}
			pss := &rsa.PSSOptions{Hash: h, SaltLength: rsa.PSSSaltLengthEqualsHash}
			if err := rsa.VerifyPSS(public, h, digest, sign(digest, pss), pss); err != nil {
				t.Errorf("PSS with %v: %v", h, err)
			}
		}
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(public, sum[:], sign(sum[:], crypto.SHA256)) {
			t.Error("ECDSA with SHA-256: the signature is wrong")
		}
		if !ecdsa.VerifyASN1(public, long[:], sign(long[:], crypto.SHA512)) {
			t.Error("ECDSA with SHA-512: the signature is wrong")
		}
	case ed25519.PublicKey:
		if !ed25519.Verify(public, message, sign(message, crypto.Hash(0))) {
			t.Error("Ed25519: the signature is wrong")
		}
		big := bytes.Repeat(message, 100_000)
		if !ed25519.Verify(public, big, sign(big, crypto.Hash(0))) {
			t.Error("Ed25519 of a long message: the signature is wrong")
		}
	default:
		t.Errorf("a key of type %T", public)
	}
}

func TestAKeyIsMadeFoundAndUsedInSoftHSM(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	o := token.Options{Program: peer.Build(t, "virt-pki-pkcs11"), Env: hsm.Env, PIN: []byte(hsm.PIN)}
	for _, algorithm := range certs.KeyAlgorithms() {
		t.Run(string(algorithm), func(t *testing.T) {
			u := uri(t, "pkcs11:token=ca;object="+string(algorithm)+"?module-path="+hsm.Module)
			making := o
			making.Make = algorithm
			made, err := token.Open(context.Background(), u, making)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := certs.AlgorithmOf(made.Public()); got != algorithm || !made.Made() || made.Token() != "ca" {
				t.Errorf("a key %v, made %v, in token %q", got, made.Made(), made.Token())
			}
			checked(t, made)
			if err := made.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := made.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
				t.Error("a closed key signs")
			}
			found, err := token.Open(context.Background(), u, making)
			if err != nil {
				t.Fatal(err)
			}
			defer found.Close()
			if found.Made() || !certs.SameKey(found.Public(), made.Public()) {
				t.Error("the key that was there was not used")
			}
			checked(t, found)
			if err := found.Destroy(); err == nil {
				t.Error("a key that was there before was destroyed")
			}
		})
	}
}

func TestKeysOfOtherToolsAreUsed(t *testing.T) {
	peer.Need(t, "openssl")
	hsm := peer.NewSoftHSM(t, "other tools")
	o := token.Options{Program: peer.Build(t, "virt-pki-pkcs11"), Env: hsm.Env, PIN: []byte(hsm.PIN)}
	dir := t.TempDir()
	for i, args := range [][]string{{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}} {
		file := filepath.Join(dir, args[len(args)-1])
		peer.OpenSSL(t, append([]string{"genpkey", "-out", file}, args...)...)
		id := string(rune('a' + i))
		hsm.Util(t, "--import", file, "--token", "other tools", "--pin", hsm.PIN, "--label", "imported", "--id", "0"+string(rune('1'+i)))
		k, err := token.Open(context.Background(), uri(t, "pkcs11:token=other%20tools;id=%0"+string(rune('1'+i))+"?module-path="+hsm.Module), o)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if own, err := certs.ParseKey(text, nil); err != nil || !certs.SameKey(own.Public(), k.Public()) {
			t.Errorf("%s: not the key that was imported (%v)", id, err)
		}
		checked(t, k)
		k.Close()
	}
}

func TestWhatATokenRefusesIsSaidClearly(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca", "twin", "twin")
	program := peer.Build(t, "virt-pki-pkcs11")
	o := token.Options{Program: program, Env: hsm.Env, PIN: []byte(hsm.PIN), Make: certs.ECDSAP256}
	for _, name := range []string{"one", "two"} {
		k, err := token.Open(context.Background(), uri(t, "pkcs11:token=ca;object="+name+"?module-path="+hsm.Module), o)
		if err != nil {
			t.Fatal(err)
		}
		k.Close()
	}
	o.Make = ""
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := "?module-path=" + hsm.Module
	for _, c := range []struct {
		name, uri string
		change    func(*token.Options)
		code      token.Code
		want      string
	}{
		{"a module that is not there", "pkcs11:token=ca;object=one?module-path=/nonexistent/x.so", nil, token.NoModule,
			`the PKCS#11 module "/nonexistent/x.so": no such file or directory`},
		{"a module that is no library", "pkcs11:token=ca;object=one?module-path=" + text, nil, token.NoModule, `cannot be loaded`},
		{"a library that is no module", "pkcs11:token=ca;object=one?module-path=/lib/x86_64-linux-gnu/libm.so.6", nil, token.NoModule, `is no PKCS#11 module`},
		{"an unknown module name", "pkcs11:token=ca;object=one?module-name=nonexistent", nil, token.NoModule, `there is no PKCS#11 module "nonexistent" in`},
		{"a token that is not there", "pkcs11:token=cb;object=one" + m, nil, token.NoToken,
			`no token fits the URI; the module "` + hsm.Module + `" has: `},
		{"a token of another model", "pkcs11:token=ca;model=YubiKey;object=one" + m, nil, token.NoToken, "no token fits the URI"},
		{"two tokens that fit", "pkcs11:token=twin;object=one" + m, nil, token.NoToken, `2 tokens fit the URI: "twin, serial `},
		{"no PIN", "pkcs11:token=ca;object=one" + m, func(o *token.Options) { o.PIN = nil }, token.PINNeeded, `token "ca" wants its PIN`},
		{"a key that is not there", "pkcs11:token=ca;object=three" + m, nil, token.NoKey,
			`no private key of token "ca" fits the URI; it has: "`},
		{"two keys that fit", "pkcs11:token=ca" + m, nil, token.NoKey, `2 private keys of token "ca" fit the URI: "`},
		{"a wrong PIN", "pkcs11:token=ca;object=one" + m, func(o *token.Options) { o.PIN = []byte("secret-but-wrong") }, token.PINWrong,
			`the PIN of token "ca" is wrong; a wrong PIN was given before, and after some more it locks`},
		{"no PIN, after a wrong one", "pkcs11:token=ca;object=one" + m, func(o *token.Options) { o.PIN = nil }, token.PINNeeded,
			`token "ca" wants its PIN; a wrong PIN was given before, and after some more it locks`},
		{"a new key without a name", "pkcs11:token=ca;manufacturer=SoftHSM%20project;id=%77" + m, func(o *token.Options) { o.PIN = nil }, token.PINNeeded, `wants its PIN`},
		{"no signer program", "pkcs11:token=ca;object=one" + m, func(o *token.Options) { o.Program = "/nonexistent/virt-pki-pkcs11" }, token.NoModule,
			"virt-pki-pkcs11, which speaks with PKCS#11 tokens, cannot be started: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o
			if c.change != nil {
				c.change(&o)
			}
			k, err := token.Open(context.Background(), uri(t, c.uri), o)
			if err == nil {
				k.Close()
				t.Fatal("no error")
			}
			var e *token.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q with code %q, want %q with %q", err, e.Code, c.want, c.code)
			}
			if strings.Contains(err.Error()+strings.Join(e.Hints(), " "), "secret-but-wrong") {
				t.Errorf("the error shows the PIN: %v", err)
			}
		})
	}
	// The right one still works, and the counter is down again.
	k, err := token.Open(context.Background(), uri(t, "pkcs11:token=ca;object=one"+m), o)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

func TestATokenThatIsLostOnTheWay(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	u := uri(t, "pkcs11:token=ca;object=root?module-path="+hsm.Module)
	// A program in between that notes its process, so that the test can end it.
	dir := t.TempDir()
	script := filepath.Join(dir, "virt-pki-pkcs11")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $$ >>"+dir+"/pids\nexec "+peer.Build(t, "virt-pki-pkcs11")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := token.Open(context.Background(), u, token.Options{Program: script, Env: hsm.Env, PIN: []byte(hsm.PIN), Make: certs.ECDSAP256})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	checked(t, k)
	pids, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil {
		t.Fatal(err)
	}
	peer.Place{}.Must(t, "kill", "-9", strings.TrimSpace(string(pids)))
	sum := sha256.Sum256(nil)
	if _, err := k.Sign(rand.Reader, sum[:], crypto.SHA256); !errors.Is(err, &token.Error{Code: token.Gone}) {
		t.Fatalf("signing with a program that was killed: %v", err)
	}
	checked(t, k) // it was started again
	if all, err := os.ReadFile(filepath.Join(dir, "pids")); err != nil || strings.Count(string(all), "\n") != 2 {
		t.Errorf("processes: %q (%v)", all, err)
	}
	// The token is gone for a while.
	pids, _ = os.ReadFile(filepath.Join(dir, "pids"))
	lines := strings.Fields(string(pids))
	if err := os.Rename(hsm.Tokens, hsm.Tokens+".away"); err != nil {
		t.Fatal(err)
	}
	peer.Place{}.Must(t, "kill", "-9", lines[len(lines)-1])
	for range 2 {
		_, err := k.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err == nil {
			t.Fatal("signed without a token")
		}
	}
	if err := os.Rename(hsm.Tokens+".away", hsm.Tokens); err != nil {
		t.Fatal(err)
	}
	checked(t, k)
}

func TestAProgramThatMisbehaves(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"silence", "exec sleep 60", "the token did not answer within 300ms"},
		{"the end at once", "echo boom >&2; exit 4", "virt-pki-pkcs11, which speaks with the token, has ended: exit status 4: boom"},
		{"garbage", "read x; echo garbage; exec sleep 60", "virt-pki-pkcs11, which speaks with the token, has ended"},
		{"a line without end", "read x; exec tr '\\0' x </dev/zero", "virt-pki-pkcs11, which speaks with the token, has ended"},
		{"no key", `read x; echo '{}'; exec sleep 60`, `token "" does not tell the public key of its private key`},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := filepath.Join(t.TempDir(), "p")
			if err := os.WriteFile(script, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			limit := 20 * time.Second
			if c.name == "silence" {
				limit = 300 * time.Millisecond
			}
			_, err := token.Open(context.Background(), uri(t, "pkcs11:token=x"), token.Options{Program: script, Timeout: limit,
				Env: []string{"PATH=" + os.Getenv("PATH")}})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestManySignaturesAtATime(t *testing.T) {
	hsm := peer.NewSoftHSM(t, "ca")
	k, err := token.Open(context.Background(), uri(t, "pkcs11:token=ca;object=root?module-path="+hsm.Module),
		token.Options{Program: peer.Build(t, "virt-pki-pkcs11"), Env: hsm.Env, PIN: []byte(hsm.PIN), Make: certs.ECDSAP256})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			sum := sha256.Sum256([]byte{byte(i)})
			sig, err := k.Sign(rand.Reader, sum[:], crypto.SHA256)
			if err != nil || !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), sum[:], sig) {
				t.Errorf("signature %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if !k.Made() || k.Destroy() != nil {
		t.Error("the key that was made cannot be removed")
	}
	if _, err := token.Open(context.Background(), k.URI(), token.Options{Program: peer.Build(t, "virt-pki-pkcs11"), Env: hsm.Env, PIN: []byte(hsm.PIN)}); !errors.Is(err, &token.Error{Code: token.NoKey}) {
		t.Errorf("after Destroy: %v", err)
	}
}
