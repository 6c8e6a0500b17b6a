package priority_test

import (
	"math/rand/v2"
	"strings"
)

// A generator makes priority strings of all kinds from a fixed seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func (g generator) pick(words string) string {
	f := strings.Fields(words)
	return f[g.IntN(len(f))]
}

const (
	genKeywords = "NORMAL PFS SECURE128 SECURE SECURE192 SECURE256 SUITEB128 SUITEB192 LEGACY PERFORMANCE"
	genCiphers  = "AES-256-CBC AES-192-CBC AES-128-CBC AES-128-GCM AES-256-GCM AES-128-CCM AES-256-CCM AES-128-CCM-8 AES-256-CCM-8 " +
		"ARCFOUR-128 SALSA20-256 CAMELLIA-256-CBC CAMELLIA-128-CBC CHACHA20-POLY1305 CAMELLIA-128-GCM CAMELLIA-256-GCM " +
		"GOST28147-TC26Z-CNT AES-128-XTS AES-128-SIV 3DES-CBC DES-CBC ARCFOUR-40 NULL AES-128-SIV-GCM AES-128-CFB"
	genMACs = "SHA1 SHA256 SHA384 SHA512 UMAC-96 AEAD MD5 STREEBOG-256 AES-CMAC-128 GOST28147-TC26Z-IMIT SHA3-256 MD5+SHA1 PBMAC1"
	genKX   = "ECDHE-RSA ECDHE-ECDSA RSA DHE-RSA DHE-DSS PSK RSA-PSK DHE-PSK ECDHE-PSK SRP-DSS SRP ANON-DH ANON-ECDH VKO-GOST-12 RSA-EXPORT"
	genVers = "VERS-SSL3.0 VERS-TLS1.0 VERS-TLS1.1 VERS-TLS1.2 VERS-TLS1.3 VERS-DTLS0.9 VERS-DTLS1.0 VERS-DTLS1.2 VERS-ALL " +
		"VERS-TLS-ALL VERS-DTLS-ALL VERS-TLS1.2 VERS-TLS1.3"
	genGroups = "GROUP-SECP192R1 GROUP-SECP224R1 GROUP-SECP256R1 GROUP-SECP384R1 GROUP-SECP521R1 GROUP-X25519 GROUP-X448 GROUP-GC256A " +
		"GROUP-GC256B GROUP-GC512A GROUP-FFDHE2048 GROUP-FFDHE8192 GROUP-ALL GROUP-EC-ALL GROUP-DH-ALL GROUP-GOST-ALL " +
		"CURVE-X25519 CURVE-Ed25519 CURVE-TC26-256-B CURVE-CryptoPro-A CURVE-CryptoPro-B CURVE-ALL GROUP-X25519-MLKEM768"
	genSigns = "SIGN-RSA-SHA256 SIGN-RSA-PSS-SHA384 SIGN-RSA-PSS-RSAE-SHA512 SIGN-ECDSA-SHA256 SIGN-ECDSA-SECP256R1-SHA256 " +
		"SIGN-EdDSA-Ed25519 SIGN-EdDSA-Ed448 SIGN-RSA-SHA1 SIGN-DSA-SHA1 SIGN-RSA-SHA224 SIGN-GOSTR341012-256 SIGN-ALL " +
		"SIGN-GOST-ALL SIGN-ALL SIGN-RSA-SHA3-256 SIGN-ML-DSA-65 SIGN-DSA-ALL"
	genMisc = "CIPHER-ALL MAC-ALL KX-ALL CIPHER-GOST-ALL MAC-GOST-ALL KX-GOST-ALL GOST COMP-NULL COMP-ALL CIPHER-X MAC-X KX- NONE " +
		"CTYPE-X509 CTYPE-X.509 CTYPE-RAWPK CTYPE-ALL CTYPE-CLI-ALL CTYPE-SRV-RAWPK CTYPE-OPENPGP CTYPE-CLI-OPENPGP VERS-TLS-ALLx"
	genOptions = "%COMPAT %DUMBFW %NO_EXTENSIONS %NO_TICKETS %NO_ETM %FORCE_ETM %SERVER_PRECEDENCE %SAFE_RENEGOTIATION %PROFILE_LOW " +
		"%PROFILE_SUITEB192 %LATEST_RECORD_VERSION %VERIFY_ALLOW_BROKEN %STATELESS_COMPRESSION %NO_STATUS_REQUEST %compat %FOO"
)

func (g generator) element() string {
	switch n := g.IntN(20); {
	case n < 2:
		return g.pick(genKeywords)
	case n < 4:
		return g.pick(genOptions)
	}
	pools := []string{genCiphers, genMACs, genKX, genVers, genVers, genGroups, genGroups, genSigns, genSigns, genMisc, genKeywords}
	return g.pick("+ + - - !") + g.pick(pools[g.IntN(len(pools))])
}

// full gives elements that together form suites after NONE.
func (g generator) full() []string {
	var out []string
	for _, part := range []struct {
		pool     string
		min, max int
	}{{genVers, 1, 4}, {genCiphers, 1, 6}, {genMACs, 1, 3}, {genKX, 1, 4}, {genGroups, 0, 4}, {genSigns, 1, 4}} {
		for range part.min + g.IntN(part.max-part.min+1) {
			out = append(out, "+"+g.pick(part.pool))
		}
	}
	if g.IntN(2) == 0 {
		out = append(out, "+CIPHER-ALL", "+MAC-ALL", "+KX-ALL", "+SIGN-ALL")
	}
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return append([]string{"NONE"}, out...)
}

func (g generator) priority() string {
	var elements []string
	switch g.IntN(5) {
	case 0, 1:
		elements = []string{g.pick(genKeywords)}
	case 2, 3:
		elements = g.full()
	}
	for range g.IntN(6) {
		elements = append(elements, g.element())
	}
	if len(elements) == 0 {
		elements = []string{g.element()}
	}
	var b strings.Builder
	for i, e := range elements {
		if i > 0 {
			b.WriteString(":" + strings.Repeat(" ", max(0, g.IntN(8)-6)))
		}
		if g.IntN(8) == 0 {
			e = strings.ToLower(e)
		}
		b.WriteString(e)
	}
	s := b.String()
	if g.IntN(30) == 0 {
		i := g.IntN(len(s) + 1)
		s = s[:i] + g.pick(": + - % ! A , @ x") + s[i:]
	}
	return s
}
