package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
)

// A signingKey is a key with the names of what it signs with.
type signingKey struct {
	signer crypto.Signer
	spki   []byte
	id     []byte
}

// chainMutator makes small public key infrastructures, most of them with something odd, from a seed. Keys are random.
type chainMutator struct {
	*mathrand.Rand
	keys   []signingKey
	serial byte
	// constrained makes most CAs have name constraints.
	constrained bool
}

func newChainMutator(t *testing.T, seed uint64) *chainMutator {
	m := &chainMutator{Rand: mathrand.New(mathrand.NewPCG(seed, 5280))}
	add := func(k crypto.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		id := sha1.Sum(spki)
		m.keys = append(m.keys, signingKey{k, spki, id[:]})
	}
	for range 6 {
		add(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add(ed, err)
	add(rsa.GenerateKey(rand.Reader, 1024))
	add(rsa.GenerateKey(rand.Reader, 2048))
	add(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	// An RSA key that is for RSA-PSS alone, which its certificates here do not use.
	k := m.keys[8]
	point := k.spki[24:]
	k.spki = tlv(0x30, bytesOf("300b06092a864886f70d01010a"), point)
	m.keys = append(m.keys, k)
	return m
}

// A made is a certificate with what is needed to issue below it.
type made struct {
	der     []byte
	subject []byte
	key     signingKey
}

var chainNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func namedCN(cn string) []byte {
	return tlv(0x30, tlv(0x31, tlv(0x30, bytesOf("0603550403"), tlv(12, []byte(cn)))))
}

func (m *chainMutator) rare(n int) bool { return m.IntN(n) == 0 }

// sign gives the AlgorithmIdentifier and the signature function of a key.
func (m *chainMutator) algorithm(k signingKey) (id []byte, hash crypto.Hash) {
	switch k.signer.(type) {
	case *ecdsa.PrivateKey:
		if m.rare(25) {
			return bytesOf("300906072a8648ce3d0401"), crypto.SHA1
		}
		return bytesOf("300a06082a8648ce3d040302"), crypto.SHA256
	case ed25519.PrivateKey:
		return bytesOf("300506032b6570"), 0
	}
	if m.rare(12) {
		return bytesOf("300d06092a864886f70d0101050500"), crypto.SHA1
	}
	return bytesOf("300d06092a864886f70d01010b0500"), crypto.SHA256
}

func (m *chainMutator) seal(tbs, algorithm []byte, hash crypto.Hash, k signingKey) []byte {
	digest := tbs
	switch hash {
	case crypto.SHA256:
		d := sha256.Sum256(tbs)
		digest = d[:]
	case crypto.SHA1:
		d := sha1.Sum(tbs)
		digest = d[:]
	}
	sig, err := k.signer.Sign(rand.Reader, digest, hash)
	if err != nil {
		panic(err)
	}
	if m.rare(60) {
		sig[len(sig)-1] ^= 1
	}
	return tlv(0x30, tbs, algorithm, tlv(3, []byte{0}, sig))
}

func (m *chainMutator) validity() []byte {
	format := func(at time.Time) []byte { return tlv(0x17, []byte(at.Format("060102150405Z"))) }
	from, to := chainNow.AddDate(-1, 0, 0), chainNow.AddDate(1, 0, 0)
	switch m.IntN(40) {
	case 0:
		to = chainNow.AddDate(0, 0, -1)
	case 1:
		from = chainNow.AddDate(0, 0, 1)
	case 2:
		to = chainNow.Add(time.Duration(m.IntN(3)-1) * time.Second)
	case 3:
		from = chainNow.Add(time.Duration(m.IntN(3)-1) * time.Second)
	}
	return tlv(0x30, format(from), format(to))
}

func chainExtension(oid string, critical bool, value ...[]byte) []byte {
	c := bytesOf("0101ff")
	if !critical {
		c = nil
	}
	return tlv(0x30, tlv(6, bytesOf(oid)), c, tlv(4, value...))
}

// oneOf gives one of the texts in hexadecimal.
func (m *chainMutator) oneOf(from ...string) []byte { return bytesOf(from[m.IntN(len(from))]) }

// treeName gives a GeneralName as it stands in constraints.
func (m *chainMutator) treeName() []byte {
	pick := func(from ...string) []byte { return []byte(from[m.IntN(len(from))]) }
	switch m.IntN(8) {
	case 0, 1, 2:
		return tlv(0x82, pick("example.com", "example.com", "com", "", ".example.com", "other.org", "host.example.com", "EXAMPLE.com", ".", "ple.com", "org"))
	case 3:
		return tlv(0x81, pick("a@example.com", "example.com", ".example.com", "", "example.org", "A@example.com", "EXAMPLE.com", "@example.com", ".", "le.com"))
	case 4, 5:
		return tlv(0x87, m.oneOf("c0000200ffffff00", "0a000000ff000000", "c0000201ffffffff", "0000000000000000",
			"20010db8000000000000000000000000ffffffff000000000000000000000000", "c0000200ff00ff00", "c0000200"))
	case 6:
		return tlv(0xa4, namedCN("C0"))
	}
	return tlv(0x86, pick("example.com", ".example.com", ""))
}

func (m *chainMutator) nameConstraints() []byte {
	var parts [2][]byte
	for range 1 + m.IntN(3) {
		side := m.IntN(2)
		tree := tlv(0x30, m.treeName())
		if m.rare(20) {
			tree = tlv(0x30, m.treeName(), m.oneOf("800100", "800101", "810105"))
		}
		parts[side] = append(parts[side], tree...)
	}
	var out [][]byte
	for i, p := range parts {
		if p != nil || m.rare(12) {
			out = append(out, tlv(byte(0xa0+i), p))
		}
	}
	return tlv(0x30, out...)
}

// certificate makes one: ca is whether it is meant to issue others.
func (m *chainMutator) certificate(subject []byte, key signingKey, issuer *made, ca bool) *made {
	self := issuer == nil
	if self {
		issuer = &made{subject: subject, key: key}
	}
	issuerName, issuerKey := issuer.subject, issuer.key
	if m.rare(50) {
		issuerKey = m.keys[m.IntN(len(m.keys))]
	}
	algorithm, hash := m.algorithm(issuerKey)
	var extensions [][]byte
	add := func(e []byte) { extensions = append(extensions, e) }
	pathLen := []byte(nil)
	if m.rare(4) {
		pathLen = tlv(2, []byte{byte(m.IntN(4))})
	}
	switch n := m.IntN(30); {
	case ca && n < 24:
		add(chainExtension("551d13", !m.rare(3), tlv(0x30, bytesOf("0101ff"), pathLen)))
	case n < 26 || !ca && n < 20:
		add(chainExtension("551d13", !m.rare(3), m.oneOf("3000", "3000", "3003010100", "0500", "3003020100", "30030101ff")))
	}
	switch n := m.IntN(12); {
	case ca && n < 8:
		add(chainExtension("551d0f", true, m.oneOf("03020106", "03020106", "03020204")))
	case n < 9:
		add(chainExtension("551d0f", m.rare(2), m.oneOf("030205a0", "03020102", "03020780", "030100", "0500", "0303078080", "03020000")))
	}
	if !m.rare(3) {
		id := key.id
		if m.rare(25) {
			id = m.keys[m.IntN(len(m.keys))].id
		}
		e := chainExtension("551d0e", m.rare(30), tlv(4, id))
		if m.rare(40) {
			e = chainExtension("551d0e", false, m.oneOf("0400", "0500", "040101ff"))
		}
		add(e)
	}
	if !m.rare(3) {
		id := issuerKey.id
		if m.rare(25) {
			id = m.keys[m.IntN(len(m.keys))].id
		}
		e := chainExtension("551d23", m.rare(30), tlv(0x30, tlv(0x80, id)))
		switch {
		case m.rare(25):
			e = chainExtension("551d23", false, m.oneOf("3000", "30028000", "0500", "3003800101ff", "3003820101"))
		case m.rare(15):
			names := tlv(0xa1, tlv(0xa4, issuerName))
			e = chainExtension("551d23", false, tlv(0x30, tlv(0x80, id), names, tlv(0x82, []byte{byte(m.IntN(4))})))
		case m.rare(30):
			names := tlv(0xa1, tlv(0xa4, issuerName))
			e = chainExtension("551d23", false, tlv(0x30, names, tlv(0x82, []byte{byte(m.IntN(4))})))
		}
		add(e)
	}
	if ca && (m.rare(5) || m.constrained && !m.rare(3)) {
		v := m.nameConstraints()
		if m.rare(15) {
			v = m.oneOf("3000", "0500", "", "3002a000", "30", "3003a00101")
		}
		add(chainExtension("551d1e", !m.rare(3), v))
	}
	if m.rare(4) {
		add(chainExtension("551d25", m.rare(3), m.oneOf("300a06082b06010505070301", "300a06082b06010505070302", "30060604551d2500", "3000",
			"0500", "301406082b0601050507030106082b06010505070302")))
	}
	if m.rare(20) {
		add(chainExtension("2b06010505070118", m.rare(3), m.oneOf("3003020105", "3003020105", "3006020105020111", "3000", "0500", "3003020106")))
	}
	if m.rare(25) {
		add(chainExtension([]string{"2a0304", "551d20", "551d24", "551d21", "551d36", "551d1f", "2b06010505070101", "551d10", "551d12",
			"2b0601050507010e", "2b06010401d679020402", "551d2e", "6086480186f8420101"}[m.IntN(13)], !m.rare(3),
			m.oneOf("0500", "3000", "020101", "30050603550403", "3003800101")))
	}
	if !ca && !m.rare(3) {
		var names [][]byte
		pick := func(from ...string) []byte { return []byte(from[m.IntN(len(from))]) }
		for range m.IntN(4) {
			switch m.IntN(7) {
			case 0:
				names = append(names, tlv(0x81, pick("a@example.com", "b@host.example.com", "example.com", "a@example.org", "A@EXAMPLE.COM", "a@b@example.com", "@example.com")))
			case 1:
				names = append(names, tlv(0x86, pick("https://example.com/", "https://a.example.com/")))
			case 2, 3:
				names = append(names, tlv(0x87, m.oneOf("c0000201", "0a000001", "20010db8000000000000000000000001", "c00002")))
			case 4:
				names = append(names, tlv(0xa4, namedCN("C1")))
			default:
				names = append(names, tlv(0x82, pick("host.example.com", "example.com", "other.org", "xexample.com", "HOST.EXAMPLE.COM", ".example.com",
					"*.example.com", "com")))
			}
		}
		add(chainExtension("551d11", m.rare(5), tlv(0x30, names...)))
	}
	m.Shuffle(len(extensions), func(i, j int) { extensions[i], extensions[j] = extensions[j], extensions[i] })
	version := bytesOf("a003020102")
	var all []byte
	if m.rare(25) {
		version, extensions = [][]byte{nil, bytesOf("a003020101")}[m.IntN(2)], nil
	}
	if len(extensions) > 0 {
		all = tlv(0xa3, tlv(0x30, extensions...))
	}
	m.serial++
	serial := []byte{1, m.serial & 7}
	tbs := tlv(0x30, version, tlv(2, serial), algorithm, issuerName, m.validity(), subject, key.spki, all)
	return &made{m.seal(tbs, algorithm, hash, issuerKey), subject, key}
}

// A chainCase is what both are asked.
type chainCase struct {
	chain, cas [][]byte
	crls       [][]byte
}

func (m *chainMutator) revocations(issuers []*made) (out [][]byte) {
	if !m.rare(3) {
		return nil
	}
	for range 1 + m.IntN(3) {
		i := issuers[m.IntN(len(issuers))]
		algorithm, hash := m.algorithm(i.key)
		format := func(at time.Time) []byte { return tlv(0x17, []byte(at.Format("060102150405Z"))) }
		var entries []byte
		for range m.IntN(4) {
			var reason []byte
			if m.rare(3) {
				reason = tlv(0x30, tlv(0x30, bytesOf("0603551d15"), tlv(4, []byte{10, 1, byte([]int{1, 6, 8, 4}[m.IntN(4)])})))
			}
			entries = append(entries, tlv(0x30, tlv(2, []byte{1, byte(m.IntN(8))}), format(chainNow.AddDate(0, -1, 0)), reason)...)
		}
		if entries != nil {
			entries = tlv(0x30, entries)
		}
		this := chainNow.AddDate(0, 0, m.IntN(5)-3)
		tbs := tlv(0x30, bytesOf("020101"), algorithm, i.subject, format(this), format(this.AddDate(0, 0, m.IntN(10))), entries)
		out = append(out, m.seal(tbs, algorithm, hash, i.key))
	}
	return out
}

func (m *chainMutator) question() chainCase {
	key := func() signingKey {
		if m.rare(3) {
			return m.keys[m.IntN(len(m.keys))]
		}
		return m.keys[m.IntN(6)]
	}
	name := func() []byte { return namedCN(fmt.Sprintf("C%d", m.IntN(5))) }
	roots := []*made{m.certificate(name(), key(), nil, true)}
	for m.rare(3) { // another root, or the same CA once more
		if r := roots[0]; m.rare(2) {
			roots = append(roots, m.certificate(r.subject, r.key, nil, true))
		} else {
			roots = append(roots, m.certificate(name(), key(), nil, true))
		}
	}
	m.constrained = m.rare(4)
	path := []*made{roots[0]}
	length := m.IntN(4)
	if m.rare(60) {
		length = 12 + m.IntN(9)
	}
	for range length {
		path = append(path, m.certificate(name(), key(), path[len(path)-1], true))
	}
	subject := namedCN([]string{"host.example.com", "leaf", "C1", "other.org"}[m.IntN(4)])
	if m.rare(10) {
		subject = tlv(0x30, tlv(0x31, tlv(0x30, bytesOf("06092a864886f70d010901"), tlv(22, []byte("a@example.com")))), tlv(0x31,
			tlv(0x30, bytesOf("0603550403"), tlv(12, []byte("leaf")))))
	}
	var leaf *made
	switch m.IntN(30) {
	case 0:
		leaf = m.certificate(subject, key(), nil, false)
	case 1:
		leaf = path[len(path)-1]
	default:
		leaf = m.certificate(subject, key(), path[len(path)-1], m.rare(20))
	}
	var c chainCase
	all := append(slices.Clone(roots), path[1:]...)
	c.crls = m.revocations(append(slices.Clone(all), leaf))
	c.chain = [][]byte{leaf.der}
	for i := len(path) - 1; i >= 0; i-- {
		if i > 0 && !m.rare(8) || i == 0 && m.rare(3) {
			c.chain = append(c.chain, path[i].der)
		}
	}
	if m.rare(8) {
		rest := c.chain[1:]
		m.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	if m.rare(25) { // one is sent twice
		c.chain = slices.Insert(c.chain, 1+m.IntN(len(c.chain)), c.chain[m.IntN(len(c.chain))])
	}
	if m.rare(15) {
		c.chain = append(c.chain, all[m.IntN(len(all))].der)
	}
	for _, r := range roots {
		if !m.rare(15) {
			c.cas = append(c.cas, r.der)
		}
	}
	for _, p := range path[1:] {
		if m.rare(6) {
			c.cas = append(c.cas, p.der)
		}
	}
	if m.rare(20) {
		c.cas = append(c.cas, leaf.der)
	}
	if m.rare(20) {
		c.cas = append(c.cas, c.chain[m.IntN(len(c.chain))])
	}
	m.Shuffle(len(c.cas), func(i, j int) { c.cas[i], c.cas[j] = c.cas[j], c.cas[i] })
	return c
}

func pemOf(label string, ders [][]byte) []byte {
	var b bytes.Buffer
	for _, d := range ders {
		pem.Encode(&b, &pem.Block{Type: label, Bytes: d})
	}
	return b.Bytes()
}

// theirStatus gives GnuTLS's status in the bits of Status.
func theirStatus(status uint32) (out Status) {
	for bit, s := range map[int]Status{1: Invalid, 5: Revoked, 6: SignerNotFound, 7: SignerNotCA, 8: InsecureAlgorithm, 9: NotActivated,
		10: Expired, 11: SignatureFailure, 16: ConstraintsFailure, 19: MissingOCSPStatus, 21: UnknownCritical} {
		if status&(1<<bit) != 0 {
			out |= s
			status &^= 1 << bit
		}
	}
	if status != 0 {
		out |= 1 << 31
	}
	return out
}

func TestVerdictsAgreeWithTheInstalledLibraryOnGeneratedChains(t *testing.T) {
	l := gnutls.Load(t)
	l.At(chainNow)
	n, seed := 800, uint64(77)
	if s := os.Getenv("VIRT_PKI_CHAIN_CASES"); s != "" { // more, and others, by hand
		n, _ = strconv.Atoi(s)
		seed = mathrand.Uint64()
	}
	t.Logf("seed %d", seed)
	m := newChainMutator(t, seed)
	count := map[string]int{}
	failures := 0
	for i := range n {
		q := m.question()
		var lists [2][]*certs.Certificate
		bad := false
		for j, ders := range [][][]byte{q.chain, q.cas} {
			for _, d := range ders {
				c, err := certs.Import(d)
				if err != nil {
					bad = true
					break
				}
				lists[j] = append(lists[j], c)
			}
		}
		if bad || len(q.cas) == 0 {
			count["no question"]++
			continue
		}
		report := func(what string, got, want Status, v Verdict) {
			count["differ"]++
			text := ""
			for _, p := range v.Problems {
				s, _ := p.Cert.Subject.Text()
				text += fmt.Sprintf("\n  %s: %s %s", s, p.Rule, p.Text)
			}
			if failures++; failures > 12 {
				return
			}
			t.Errorf("%d: %s: got %#x, want %#x%s\nchain:\n%sCAs:\n%s%s", i, what, got, want, text, pemOf("CERTIFICATE", q.chain),
				pemOf("CERTIFICATE", q.cas), pemOf("X509 CRL", q.crls))
		}
		status, code := l.ListVerify(q.chain[:1], q.cas)
		if code < 0 {
			t.Fatalf("%d: list verify: %s", i, l.Strerror(code))
		}
		own := VerifyOwn(lists[0][0], lists[1], chainNow)
		if want := theirStatus(status); own.Status != want {
			report("own", own.Status, want, own)
		}
		count[fmt.Sprintf("own %t", status == 0)]++

		revocations, err := crl.ParsePEM(pemOf("X509 CRL", q.crls))
		if err != nil && len(q.crls) > 0 {
			t.Fatalf("%d: %v", i, err)
		}
		status, code = l.PeerVerify(q.chain, pemOf("CERTIFICATE", q.cas), pemOf("X509 CRL", q.crls), gnutls.ProfileLow)
		if code < 0 {
			t.Fatalf("%d: peer verify: %s", i, l.Strerror(code))
		}
		peer := VerifyPeer(lists[0], lists[1], revocations, chainNow)
		if want := theirStatus(status); peer.Status != want {
			report("peer", peer.Status, want, peer)
		}
		count[fmt.Sprintf("peer %#x", uint32(peer.Status))]++
	}
	t.Log(count)
	if count["own true"] < n/10 || count["peer 0x0"] < n/10 {
		t.Error("the generator is too wild: hardly anything is accepted")
	}
}
