package certs_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// ask gives the library's verdict on a certificate in words.
func ask(l *gnutls.Library, text []byte, isPEM bool) string {
	c, code := l.Import(text, isPEM)
	if code < 0 {
		return "import: " + l.Strerror(code)
	}
	defer c.Close()
	name, code := c.DN()
	if code < 0 {
		return "name: " + l.Strerror(code)
	}
	return "text: " + name
}

// tell gives ours in the same words; aborts is true where the library must not be asked.
func tell(text []byte, isPEM bool) (verdict string, aborts bool) {
	read := certs.Import
	if isPEM {
		read = certs.ImportPEM
	}
	c, err := read(text)
	if err != nil {
		return "import: " + err.Error(), false
	}
	name, err := c.Subject.Text()
	if err != nil {
		return "name: " + err.Error(), errors.Is(err, dn.ErrAborts)
	}
	return "text: " + name, false
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// longOID is the start of an OID whose text has more than 120 characters.
var longOID = "2a" + strings.Repeat("84ccd88504", 10) + "82b4ccd88504"

// A mutator makes certificates with faults from a seed.
type mutator struct{ *rand.Rand }

func (m mutator) oneOf(from ...string) []byte { return unhex(from[m.IntN(len(from))]) }

// element writes a TLV, rarely with another tag or length.
func (m mutator) element(tag byte, parts ...[]byte) []byte {
	contents := slices.Concat(parts...)
	if m.IntN(1500) == 0 {
		tag ^= 1 << m.IntN(8)
	}
	if m.IntN(1500) == 0 {
		return []byte{tag, 0}
	}
	e := der.Append(nil, tag, contents)
	switch m.IntN(3000) {
	case 0:
		e = append([]byte{tag, 0x84}, binary.BigEndian.AppendUint32(nil, uint32(len(contents)))...)
		e = append(e, contents...)
	case 1:
		e[1]++
	case 2:
		e[1]--
	case 3:
		e[1] = 0x80
	}
	return e
}

// sometimes gives nothing in one of n cases.
func (m mutator) sometimes(n int, b []byte) []byte {
	if m.IntN(n) == 0 {
		return nil
	}
	return b
}

func (m mutator) algorithm() []byte {
	a := slices.Concat(m.element(6, m.oneOf("2a8648ce3d040302", "2a8648ce3d040302", "2a8648ce3d040302",
		"2a864886f70d01010b", longOID+"00", longOID+"05", longOID+"0504", longOID+"0514", longOID[2:], "2a83", "81", "")), m.oneOf("", "", "", "0500", "0500", "0101ff", "3003020101", "05"))
	if m.IntN(20) > 0 {
		a = unhex("06082a8648ce3d040302")
		if m.IntN(8) == 0 {
			a = append(a, 5, 0)
		}
	}
	return m.element(0x30, a)
}

func (m mutator) time() []byte {
	if m.IntN(4) > 0 {
		return m.element(0x17, []byte("240101000000Z"))
	}
	digits := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + m.IntN(10))
		}
		return b
	}
	month := []byte{'0', byte('1' + m.IntN(9))}
	if m.IntN(6) == 0 {
		month = digits(2)
	}
	year := digits(2)
	tag := byte(0x17)
	if m.IntN(2) == 0 {
		tag = 0x18
		year = append([][]byte{[]byte("20"), []byte("19"), []byte("99"), []byte("00"), digits(2)}[m.IntN(5)], year...)
	}
	tail := digits(8)
	if m.IntN(5) == 0 {
		tail = digits(m.IntN(16))
	}
	end := [][]byte{[]byte("Z"), []byte("Z"), []byte("Z"), []byte("Z"), []byte("Z"), []byte("Z"), []byte("z"), nil, []byte("+0100"),
		[]byte(".5Z"), []byte("."), []byte("Z0"), []byte("-0100"), []byte(" Z"), []byte(".Z")}[m.IntN(15)]
	return m.element(tag, year, month, tail, end)
}

func (m mutator) name() []byte {
	return m.element(0x30, m.oneOf("", "310a300806035504030c0161", "310a300806035504030c0161", "310a300806035504030c0161",
		"310b300906035504060c02474231003100", "3100", "31023000", "310b300906035504030c00", "310a300806035504031e0161",
		"310f300d06035504030c0161060155310130"))
}

func (m mutator) generalName() []byte {
	switch m.IntN(14) {
	case 0:
		return m.element(0xa0, m.element(6, m.oneOf("2b0601050507080700", "2b06010505070805", "2a83", "", "2b060104018237140203",
			"2b06010505070807")), m.element(0xa0, m.oneOf("0c0161", "1603616263", "", "0c0161", "0c016105", "3000", "0c80")))
	case 1:
		return m.element(0x81, m.oneOf("", "6140622e63", "00"))
	case 2:
		return m.element(0xa3, m.oneOf("", "3000"))
	case 3:
		return m.element(0xa4, m.name())
	case 4:
		return m.element(0xa5, m.oneOf("", "a0030c0161", "a1030c0161"))
	case 5:
		return m.element(0x86, m.oneOf("", "687474703a2f2f61"))
	case 6:
		return m.element(0x87, m.oneOf("", "c0000201", "c00002", "00000000000000000000000000000001"))
	case 7:
		return m.element(0x88, m.oneOf("2a0304", "", "80", "2a83", "81"))
	case 8:
		return m.element(byte(0x80+m.IntN(16)), m.oneOf("", "61", "0c0161"))
	case 9:
		return m.element(byte(0xa0+m.IntN(16)), m.oneOf("", "3000", "0c0161"))
	default:
		return m.element(0x82, m.oneOf("6578616d706c652e636f6d", "6578616d706c652e636f6d", "6578616d706c652e636f6d", "", "ff"))
	}
}

func (m mutator) extension() []byte {
	id := m.oneOf("551d0f", "551d13", "551d25", "551d0e", "551d23", "2a0304", "2a0305", "2a0306", "2a0307", "551d1f", "2a83", "",
		"80", longOID+"05", longOID+"0405", longOID+"6405", longOID+"6406", longOID+"660c", longOID)
	value := m.oneOf("", "0500", "30030101ff", "3000", "03020106", "0403020106")
	if m.IntN(2) == 0 {
		id = m.oneOf("551d11", "551d11", "551d12")
		var names [][]byte
		for range m.IntN(4) {
			names = append(names, m.generalName())
		}
		value = append(m.element(0x30, names...), m.oneOf("", "", "", "", "", "", "", "", "", "00")...)
	}
	critical := m.oneOf("", "", "", "0101ff", "010100", "010101", "0100", "01020000")
	if m.IntN(4) > 0 {
		critical = nil
	}
	return m.sometimes(60, m.element(0x30, m.sometimes(80, m.element(6, id)), critical, m.sometimes(80, m.element(4, value))))
}

func (m mutator) certificate() []byte {
	version := unhex("a003020102")
	if m.IntN(5) == 0 {
		version = m.oneOf("", "", "a003020100", "a003020101", "a003020103", "a0020200", "a00402020002", "a0040202ff02", "a0030201ff",
			"a003020180", "a0050203010203", "a00702050102030405", "a0060101ff020102", "a00302017f", "a000", "a0050201020500",
			"800102", "a0050203000000", "a00602040000000a")
	}
	serial := m.element(2, m.oneOf("01", "01", "", "00", "ff", "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"))
	inner := m.algorithm()
	outer := inner
	if m.IntN(20) == 0 {
		outer = m.algorithm()
	}
	validity := m.element(0x30, m.sometimes(60, m.time()), m.sometimes(60, m.time()), m.sometimes(60, nil))
	spki := m.element(0x30, m.algorithm(), m.element(3, m.oneOf("0004", "", "00", "09ff", "0700")))
	var ids []byte
	if m.IntN(10) == 0 {
		ids = append(ids, m.element(byte([]int{0x81, 0xa1}[m.IntN(2)]), m.oneOf("00ff", "", "00", "030200ff"))...)
	}
	if m.IntN(10) == 0 {
		ids = append(ids, m.element(byte([]int{0x82, 0xa2}[m.IntN(2)]), m.oneOf("00ff", "", "00"))...)
	}
	var extensions []byte
	if m.IntN(4) > 0 {
		var list [][]byte
		for range m.IntN(5) {
			list = append(list, m.extension())
		}
		extensions = m.element(0xa3, m.element(0x30, list...), m.oneOf("", "", "", "", "", "", "", "", "", "", "", "0500"))
	}
	tbs := m.element(0x30, version, serial, inner, m.name(), validity, m.element(0x30, unhex("310a300806035504030c0162")), spki,
		ids, extensions, m.sometimes(2, nil))
	c := m.element(0x30, tbs, outer, m.element(3, m.oneOf("0000", "", "00", "0900", "000102030405")))
	if m.IntN(100) == 0 {
		c = append(c, byte(m.IntN(2)))
	}
	if m.IntN(12) == 0 {
		c[m.IntN(len(c))] ^= 1 << m.IntN(8)
	}
	if m.IntN(150) == 0 {
		c = c[:m.IntN(len(c))]
	}
	return c
}

func TestImportAgreesWithTheInstalledLibraryOnDamagedCertificates(t *testing.T) {
	l := gnutls.Load(t)
	m := mutator{rand.New(rand.NewPCG(4, 2))}
	count := map[string]int{}
	failures := 0
	for i := range 8000 {
		c := m.certificate()
		got, aborts := tell(c, false)
		if aborts {
			count["aborts"]++
			continue
		}
		want := ask(l, c, false)
		if got != want {
			t.Errorf("%d: %x:\n got %q\nwant %q", i, c, got, want)
			if failures++; failures > 8 {
				t.FailNow()
			}
		}
		if got[:5] == "text:" {
			got = "text"
		}
		count[got]++
	}
	for verdict, n := range count {
		t.Logf("%6d %s", n, verdict)
	}
}

// text gives a file with PEM blocks and faults.
func (m mutator) text() []byte {
	var b []byte
	for range 1 + m.IntN(3) {
		c := m.certificate()
		if m.IntN(3) > 0 {
			c = wholesome
		}
		label := []string{"CERTIFICATE", "CERTIFICATE", "CERTIFICATE", "CERTIFICATE", "X509 CERTIFICATE", "X509 CERTIFICATE",
			"TRUSTED CERTIFICATE", "CERTIFICATE REQUEST", "PRIVATE KEY", "CERTIFICATEX", "certificate"}[m.IntN(11)]
		b = append(b, testpki.SpoiltPEM(m.Rand, label, c)...)
	}
	return b
}

// wholesome is a certificate without faults.
var wholesome = mutator{rand.New(rand.NewPCG(0, 0))}.wholesome()

func (m mutator) wholesome() []byte {
	for {
		if c := m.certificate(); len(c) > 100 {
			if verdict, _ := tell(c, false); verdict == "text: CN=b" {
				return c
			}
		}
	}
}

func TestImportPEMAgreesWithTheInstalledLibraryOnDamagedTexts(t *testing.T) {
	l := gnutls.Load(t)
	m := mutator{rand.New(rand.NewPCG(5, 1))}
	count := map[string]int{}
	for i := range 8000 {
		text := m.text()
		got, aborts := tell(text, true)
		if aborts {
			continue
		}
		if want := ask(l, text, true); got != want {
			t.Fatalf("%d: %q:\n got %q\nwant %q", i, text, got, want)
		}
		count[got]++

		capacity := 1 + m.IntN(4)
		list, err := certs.ImportPEMList(text, capacity)
		code, names := l.ListImport(text, capacity, 0)
		switch {
		case err != nil && (code >= 0 || err.Error() != l.Strerror(code)), err == nil && code != len(list):
			t.Fatalf("%d: list of %q: got %d and %v, want %d: %s", i, text, len(list), err, code, l.Strerror(code))
		case err != nil:
			count["list: "+err.Error()]++
			continue
		}
		count["list"]++
		for j, c := range list {
			if name, _ := c.Subject.Text(); name != names[j] {
				t.Fatalf("%d: %q: certificate %d: got %q, want %q", i, text, j, name, names[j])
			}
		}
	}
	t.Log(count)
}
