package crl

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// A mutator makes revocation lists with faults from a seed.
type mutator struct{ *rand.Rand }

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func (m mutator) oneOf(from ...string) []byte { return unhex(from[m.IntN(len(from))]) }

// element writes a TLV, rarely with another tag or length.
func (m mutator) element(tag byte, parts ...[]byte) []byte {
	contents := slices.Concat(parts...)
	if m.IntN(600) == 0 {
		tag ^= 1 << m.IntN(8)
	}
	if m.IntN(900) == 0 {
		return []byte{tag, 0}
	}
	e := der.Append(nil, tag, contents)
	switch m.IntN(900) {
	case 0, 4:
		e = append([]byte{tag, 0x84}, binary.BigEndian.AppendUint32(nil, uint32(len(contents)))...)
		e = append(e, contents...)
	case 1:
		e[1]++
	case 2:
		e[1]--
	case 3:
		e[1] = 0x80
	case 5:
		e = append([]byte{tag, 0x88}, binary.BigEndian.AppendUint64(nil, uint64(len(contents)))...)
		e = append(e, contents...)
	case 6:
		e = append([]byte{tag | 0x1f, tag & 0x1f}, e[1:]...)
	}
	return e
}

func (m mutator) time() []byte {
	if m.IntN(10) > 0 {
		return m.element(0x17, []byte("260501120000Z"))
	}
	tag := []byte{0x17, 0x18}[m.IntN(2)]
	return m.element(tag, []byte([]string{"2605011200Z", "20260501120000Z", "260501120000+0100", "20260501120000.5Z", "261301120000Z",
		"260501120000", "", "Z", "260501", "20500101000000Z", "990101000000Z", "260532120000Z", "260501250000Z", "2605011200006Z",
		"26050112000xZ", "202605011200Z", "00000000000000Z"}[m.IntN(17)]))
}

func (m mutator) extensions(n int) []byte {
	var all []byte
	for range m.IntN(n) {
		id := m.oneOf("551d14", "551d15", "551d23", "551d1c", "551d1b", "2a0304", "551d18", "551d1d", "2a83", "", "80")
		critical := m.oneOf("", "", "", "0101ff", "010100", "010101", "0100", "01020000")
		value := m.oneOf("020101", "0a0101", "0500", "", "3000", "0201ff", "0a0108")
		parts := [][]byte{m.element(6, id), critical, m.element(4, value)}
		if m.IntN(40) == 0 {
			parts = parts[:1+m.IntN(2)]
		}
		if m.IntN(40) == 0 {
			parts = append(parts, unhex("0500"))
		}
		all = append(all, m.element(0x30, parts...)...)
	}
	return m.element(0x30, all)
}

func (m mutator) serial() []byte {
	return m.element(2, m.oneOf("01", "02", "03", "0103", "00", "ff", "", "0001", "010203040506070809101112131415161718192021"))
}

func (m mutator) list() []byte {
	algorithm := unhex("300a06082a8648ce3d040302")
	if m.IntN(12) == 0 {
		algorithm = m.element(0x30, m.element(6, m.oneOf("2a8648ce3d040302", "2a03", "", "80")), m.oneOf("", "0500", "300100", "0101ff"))
	}
	outer := algorithm
	if m.IntN(25) == 0 {
		outer = unhex("300d06092a864886f70d01010b0500")
	}
	version := []byte(nil)
	if m.IntN(5) > 0 {
		version = m.element(2, m.oneOf("01", "01", "01", "01", "00", "02", "", "0001", "ff"))
	}
	name := m.element(0x30, m.oneOf("310a300806035504030c0161", "310a300806035504030c0161", "310a300806035504030c0161", "", "3100",
		"31023000", "310b300906035504030c00", "300a300806035504030c0161", "310f300d06035504030c0161060155310130"))
	var next, entries, extensions []byte
	if m.IntN(4) > 0 {
		next = m.time()
	}
	if m.IntN(5) > 0 {
		for range m.IntN(5) {
			parts := [][]byte{m.serial(), m.time()}
			if m.IntN(3) == 0 {
				parts = append(parts, m.extensions(3))
			}
			if m.IntN(60) == 0 {
				parts = append(parts, m.oneOf("0500", "020101"))
			}
			if m.IntN(60) == 0 {
				parts = parts[:1]
			}
			entries = append(entries, m.element(0x30, parts...)...)
		}
		entries = m.element(0x30, entries)
	}
	if m.IntN(2) == 0 {
		extensions = m.element(0xa0, m.extensions(4), m.oneOf("", "", "", "", "", "", "", "", "", "", "", "", "", "0500"))
	}
	tbs := m.element(0x30, version, algorithm, name, m.time(), next, entries, extensions)
	l := m.element(0x30, tbs, outer, m.element(3, m.oneOf("00aa", "00aa", "00aa", "", "00", "09ff", "0700")))
	switch m.IntN(60) {
	case 0:
		l = append(l, 0)
	case 1:
		l = l[:m.IntN(len(l))]
	case 2, 3, 4:
		l[m.IntN(len(l))] ^= 1 << m.IntN(8)
	}
	return l
}

// text gives a file with PEM blocks and faults.
func (m mutator) text() []byte {
	var b []byte
	for range 1 + m.IntN(3) {
		l := m.list()
		label := []string{"X509 CRL", "X509 CRL", "X509 CRL", "X509 CRL", "X509 CRL", "CRL", "X509 CRLX", "CERTIFICATE", "x509 crl"}[m.IntN(9)]
		b = append(b, testpki.SpoiltPEM(m.Rand, label, l)...)
	}
	return b
}

// holder gives a certificate of the issuer with a serial number.
func holder(serial []byte) []byte {
	seq := func(parts ...[]byte) []byte { return der.Append(nil, 0x30, slices.Concat(parts...)) }
	algorithm := unhex("300a06082a8648ce3d040302")
	validity := unhex("301e170d3234303130313030303030305a170d3334303130313030303030305a")
	tbs := seq(unhex("a003020102"), der.Append(nil, 2, serial), algorithm, unhex("300c310a300806035504030c0161"), validity,
		unhex("300c310a300806035504030c0162"), seq(algorithm, unhex("03020004")))
	return seq(tbs, algorithm, unhex("03020000"))
}

// cases gives the number of cases and the seed, by hand others and more.
func cases(t *testing.T, n int, seed uint64) (int, mutator) {
	if s := os.Getenv("VIRT_PKI_CRL_CASES"); s != "" {
		n, _ = strconv.Atoi(s)
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return n, mutator{rand.New(rand.NewPCG(seed, 509))}
}

func TestListsAreReadAsTheInstalledLibraryReadsThem(t *testing.T) {
	l := gnutls.Load(t)
	n, m := cases(t, 5000, 3)
	serials := [][]byte{{1}, {2}, {3}, {1, 3}, {0, 1}}
	var holders []*gnutls.Cert
	for _, s := range serials {
		c, code := l.Import(holder(s), false)
		if code < 0 {
			t.Fatal(l.Strerror(code))
		}
		defer c.Close()
		holders = append(holders, c)
	}
	issuer, err := certs.Import(holder([]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	failures := 0
	for i := range n {
		text := m.list()
		entries, revoked, code := l.CRL(text, holders...)
		want := "read"
		if code < 0 {
			want = l.Strerror(code)
		}
		got := "read"
		list, err := Parse(text)
		if err != nil {
			got = GnuTLSText(err)
		}
		count[want]++
		bad := got != want
		if !bad && err == nil && string(list.Issuer.DER()) == string(issuer.Issuer.DER()) {
			if list.Len() != max(entries, 0) {
				t.Errorf("%d: %x: %d entries, want %d", i, text, list.Len(), entries)
				bad = true
			}
			for j, s := range serials {
				_, found, err := list.Lookup(s)
				if yes := found && err == nil; yes != (revoked[j] == 1) {
					t.Errorf("%d: %x: %x revoked: %v (%v), want %d", i, text, s, found, err, revoked[j])
					bad = true
				}
				count["revoked"] += max(revoked[j], 0)
			}
		}
		if got != want {
			t.Errorf("%d: %x: got %q (%v), want %q", i, text, got, err, want)
		}
		if bad {
			if failures++; failures > 25 {
				t.FailNow()
			}
		}
	}
	t.Log(count)
}

func TestFilesOfListsAreReadAsTheInstalledLibraryReadsThem(t *testing.T) {
	l := gnutls.Load(t)
	n, m := cases(t, 5000, 4)
	count := map[string]int{}
	failures := 0
	for i := range n {
		text := m.text()
		code := l.CRLFile(text)
		want := "read"
		if code < 0 {
			want = l.Strerror(code)
		}
		lists, err := ParsePEM(text)
		got := "read"
		if err != nil {
			got = GnuTLSText(err)
		}
		count[want]++
		if got != want || err == nil && len(lists) != code {
			t.Errorf("%d: %q: got %q %d (%v), want %q %d", i, text, got, len(lists), err, want, code)
			if failures++; failures > 25 {
				t.FailNow()
			}
		}
	}
	t.Log(count)
}
