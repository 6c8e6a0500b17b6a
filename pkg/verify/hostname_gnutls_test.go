package verify

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
)

func TestIDNAAgreesWithTheInstalledLibraryOnEveryCharacter(t *testing.T) {
	l := gnutls.Load(t)
	last := rune(utf8.MaxRune)
	if testing.Short() {
		last = 0xffff
	}
	failures := 0
	for r := rune(0x80); r <= last; r++ {
		switch {
		case r == 0xd800:
			r = 0xe000
		case r == 0x3400 || r == 0x4e00 || r == 0xac00: // the middle of large blocks of one kind
			r += 0x1900
		case r == 0x20000 || r == 0x17000:
			r += 0x1000
		case r == 0x32400:
			r = 0xe0000
		case r == 0xe1000:
			r = utf8.MaxRune - 0x10
		}
		for _, host := range []string{"ab" + string(r) + "cd.example", string(r), "ß" + string(r), "😀" + string(r)} {
			want, code := l.IDNAMap(host)
			got, ok := toASCII(host)
			if ok != (code == 0) || ok && got != want {
				t.Errorf("%U %q: got %q %t, want %q %d", r, host, got, ok, want, code)
				if failures++; failures > 30 {
					t.FailNow()
				}
			}
		}
	}
}

// pieces are what host names and names in certificates are made of.
var pieces = []string{"www", "WWW", "example", "com", "a", "b", "-", "*", "*", "w*", ".", ".", ".", ".", ".", "..", " ", "_", "xn--4ca",
	"xn--", "ä", "ß", "😀", "ς", "א", "1", "日本", "\u200d", "क्", "\u0300", "\xff", "\n", "。", "192.0.2.1", "2001:db8::1", ":", "%eth0",
	"[", "]", "::ffff:192.0.2.1", "0x7f.1", "01", "\\", ",", "#", "≠", "٠", "ab--", "\u00ad", "ｗ", "XN--4CA", "xn--ls8h", "xn--zca"}

type hostMutator struct{ *rand.Rand }

func (m hostMutator) text() string {
	if m.IntN(3) > 0 {
		return []string{"www.example.com", "a.example.com", "*.example.com", "example.com", "WWW.EXAMPLE.com", "192.0.2.1", "2001:db8::1",
			"www.example.com.", "*.com", "*w.example.com", "xn--4ca.example.com", "ä.example.com", "😀.example.com", "-ä.example.com",
			"", "192.0.2.01", "*", "x.*.com", "a b.example.com", "a,b.example.com", "*.*.com"}[m.IntN(21)]
	}
	var b strings.Builder
	for range 1 + m.IntN(6) {
		b.WriteString(pieces[m.IntN(len(pieces))])
	}
	return b.String()
}

// long gives a text, rarely one about as long as GnuTLS has room for.
func (m hostMutator) long() []byte {
	s := m.text()
	if m.IntN(8) == 0 {
		s = strings.Repeat("x", max(0, 250+m.IntN(10)-len(s))) + s
	}
	if s == "" {
		s = "e"
	}
	return []byte(s)
}

func tlv(tag byte, parts ...[]byte) []byte { return der.Append(nil, tag, slices.Concat(parts...)) }

func bytesOf(hexadecimal string) []byte {
	b, err := hex.DecodeString(hexadecimal)
	if err != nil {
		panic(err)
	}
	return b
}

func (m hostMutator) altName() []byte {
	other := func(oid string, value []byte) []byte {
		return tlv(0xa0, tlv(6, bytesOf(oid)), tlv(0xa0, value))
	}
	stringTag := []byte{12, 22, 19, 30, 4}[m.IntN(5)]
	switch m.IntN(16) {
	case 0:
		return tlv(0x81, m.long())
	case 1:
		return tlv(0x86, m.long())
	case 2:
		return other("2b06010505070807", tlv(22, m.long())) // SRV
	case 3:
		return other("2b06010505070807", tlv(stringTag, m.long()))
	case 4:
		return other("2b06010505070805", tlv(12, m.long())) // XMPP
	case 5:
		return other("2b06010505070805", tlv(stringTag, m.long()))
	case 6:
		return other("2b060104018237140203", tlv(12, m.long())) // UPN
	case 7:
		return other([]string{"2b060104018237140203", "2a0304", "2b0601050202"}[m.IntN(3)], tlv(stringTag, m.long()))
	case 8:
		return tlv(0x88, bytesOf("2a0304"), []byte(strings.Repeat("\x01", m.IntN(2)*m.IntN(400))))
	case 9:
		cn := tlv(0x31, tlv(0x30, bytesOf("0603550403"), tlv(12, m.long())))
		return tlv(0xa4, tlv(0x30, cn))
	case 10, 11:
		return tlv(0x87, bytesOf([]string{"c0000201", "20010db8000000000000000000000001", "00000000000000000000ffffc0000201", "c00002",
			"c0000201ffffff00", strings.Repeat("00", 250+m.IntN(10))}[m.IntN(6)]))
	default:
		return tlv(0x82, m.long())
	}
}

func (m hostMutator) certificate() []byte {
	algorithm := bytesOf("300a06082a8648ce3d040302")
	var subject []byte
	for range []int{1, 1, 1, 1, 0, 2}[m.IntN(6)] {
		tag := []byte{12, 12, 12, 19, 20, 22, 30}[m.IntN(7)]
		value := m.long()
		if tag == 30 {
			var wide []byte
			for _, c := range value {
				wide = append(wide, 0, c)
			}
			value = wide
		}
		attribute := tlv(0x30, bytesOf([]string{"0603550403", "0603550403", "0603550403", "060355040a"}[m.IntN(4)]), tlv(tag, value))
		if m.IntN(30) == 0 {
			attribute = append(attribute, bytesOf("30070603550403"+"0c00")...)
		}
		if m.IntN(30) == 0 {
			attribute = append(bytesOf("3000"), attribute...)
		}
		subject = append(subject, tlv(0x31, attribute)...)
	}
	var extensions []byte
	if m.IntN(3) > 0 {
		var names []byte
		for range m.IntN(4) {
			names = append(names, m.altName()...)
		}
		extensions = append(extensions, tlv(0x30, bytesOf("0603551d11"), tlv(4, tlv(0x30, names)))...)
	}
	if m.IntN(4) == 0 {
		eku := bytesOf([]string{"3000", "300a06082b06010505070301", "300a06082b06010505070302", "30060604551d2500", "0500", "30",
			"301406082b0601050507030106082b06010505070302", "300b0609608648018af8420401", "300b06096086480186f8420401", "",
			"300c060a6086480186f845010801", "300d060b6086480186f84501080100", "300a06082b06010505070302ff"}[m.IntN(13)])
		extensions = append(extensions, tlv(0x30, bytesOf("0603551d25"), tlv(4, eku))...)
	}
	if m.IntN(4) == 0 {
		bc := bytesOf([]string{"30030101ff", "3000", "0500", "3006"}[m.IntN(4)])
		extensions = append(extensions, tlv(0x30, bytesOf("0603551d13"), tlv(4, bc))...)
	}
	version := bytesOf("a003020102")
	if extensions != nil {
		extensions = tlv(0xa3, tlv(0x30, extensions))
	} else if m.IntN(2) == 0 {
		version = nil
	}
	tbs := tlv(0x30, version, bytesOf("020101"), algorithm, bytesOf("300c310a300806035504030c0161"),
		bytesOf("301e170d3234303130313030303030305a170d3334303130313030303030305a"), tlv(0x30, subject),
		tlv(0x30, algorithm, bytesOf("03020004")), extensions)
	return tlv(0x30, tbs, algorithm, bytesOf("03020000"))
}

func TestHostAgreesWithTheInstalledLibraryOnGeneratedCertificates(t *testing.T) {
	l := gnutls.Load(t)
	m := hostMutator{rand.New(rand.NewPCG(9, 11))}
	imported, matches, failures := 0, 0, 0
	for i := range 6000 {
		text := m.certificate()
		cert, err := certs.Import(text)
		theirs, code := l.Import(text, false)
		if (err == nil) != (code == 0) {
			t.Fatalf("%d: %x: import gives %v, want %d", i, text, err, code)
		}
		if err != nil {
			continue
		}
		imported++
		hosts := []string{m.text(), m.text(), m.text()}
		for _, n := range cert.AltNames {
			if n.Kind == certs.DNSName {
				hosts = append(hosts, string(n.Value), strings.Replace(string(n.Value), "*", "q", 1))
			}
		}
		if cns, err := cert.Subject.CommonNames(); err == nil && len(cns) > 0 {
			hosts = append(hosts, cns[0], strings.Replace(cns[0], "*", "q", 1))
		}
		for _, host := range hosts {
			if strings.Contains(host, "\x00") {
				continue
			}
			want := theirs.CheckHostname(host, gnutls.VerifyDefault)
			if got := Host(cert, host); got.Match != want {
				t.Errorf("%d: %x: %q: got %+v, want %t", i, text, host, got, want)
				failures++
			} else if want {
				matches++
			}
			want = theirs.CheckHostname(host, gnutls.VerifyNoWildcards)
			if got := matchHost(cert, host, false); got.Match != want {
				t.Errorf("%d: %x: %q without wildcards: got %+v, want %t", i, text, host, got, want)
				failures++
			}
			if failures > 6 {
				t.FailNow()
			}
		}
		theirs.Close()
	}
	t.Logf("%d certificates, %d matches", imported, matches)
	if imported < 1000 || matches < 500 {
		t.Error("the generator is too tame")
	}
}

func FuzzHost(f *testing.F) {
	m := hostMutator{rand.New(rand.NewPCG(1, 9))}
	for range 20 {
		f.Add(m.certificate(), m.text())
	}
	f.Fuzz(func(t *testing.T, text []byte, host string) {
		cert, err := certs.Import(text)
		if err != nil {
			return
		}
		got := Host(cert, host)
		if got.Match != (got.Via != "") || got.Reason == "" {
			t.Errorf("%q: %+v", host, got)
		}
		if matchHost(cert, host, false).Match && !strings.HasPrefix(host, "*") && !got.Match && !strings.Contains(host, "*") {
			// An asterisk is an ordinary character without wildcards; a name without one matches either way.
			t.Errorf("%q matches only without wildcards", host)
		}
	})
}
