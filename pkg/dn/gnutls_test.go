package dn_test

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/der"
	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
)

// certificate wraps an encoded subject in a certificate that GnuTLS imports; its signature is not one.
func certificate(subject []byte) []byte {
	seq := func(parts ...[]byte) []byte { return der.Append(nil, 0x30, slices.Concat(parts...)) }
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	algorithm := unhex("300a06082a8648ce3d040302")
	validity := seq(der.Append(nil, 0x17, []byte("240101000000Z")), der.Append(nil, 0x17, []byte("340101000000Z")))
	issuer := unhex("300d310b300906035504030c024341")
	spki := seq(unhex("301306072a8648ce3d020106082a8648ce3d030107"), unhex("03020004"))
	tbs := seq(unhex("a003020102"), unhex("020101"), algorithm, issuer, validity, subject, spki)
	return seq(tbs, algorithm, unhex("03020000"))
}

// A generator makes names, most of them odd, from a seed.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

var knownOIDs = []string{
	"550406", "550408", "550407", "55040a", "55040b", "550403", "550409", "55040c", "55040d", "550405", "550414",
	"550404", "55042a", "55042b", "55042c", "550441", "55042e", "550411", "550429", "55040f",
	"0992268993f22c640119", "0992268993f22c640101", "2a864886f71401048510", "2a864886f70d010901", "2b06010505070902",
	"2b06010505070903", "2b06010505070904", "2b06010505070905", "2b0601040182373c020101", "2b0601040182373c020102",
	"2b0601040182373c020103", "2b06010505070805", "2a85036401", "2a85036403", "2a85036405", "2a85030381030101",
	"2a864886f70d010907", "2a864886f70d010914", "2a864886f70d010915", "2a864886f70d010904",
}

func (g generator) oid() []byte {
	switch g.IntN(12) {
	case 0: // not in the table
		b, _ := hex.DecodeString(g.pick("2a0304", "55042d", "550461", "883703", "5504", "00", "2b", "4f", "50", "78", "81",
			"2a864886f70d010902", "2aff7f", "2affffffffffffffff7f", "2a81ffffffffffffffff7f", "2a83ffffffffffffffff7f",
			"2a8180808080808080800005", "2a81808080808080808001", "550483", "55040383", "55040a81", "550480", "80", "",
			"8180", "ffffffffffffffff7f", "81ffffffffffffffff7f", "83ffffffffffffffff7f", "2a8001", "5504038003"))
		return b
	case 1: // long
		b := []byte{0x2a}
		for range 10 + g.IntN(8) {
			b = append(b, 0x84, 0xcc, 0xd8, 0x85, byte(g.IntN(0x80)))
		}
		return append(b, make([]byte, g.IntN(3))...)
	default:
		b, _ := hex.DecodeString(g.pick(knownOIDs...))
		return b
	}
}

var odd = []string{"", " ", "  ", "   ", "a", "abc", "a,b", "#a", "a#", " lead", "trail ", "\"q\"", "\\", "a\\,b", "<t>",
	"x;y", "a+b", "a=b", "\x00", "a\x00b", "a\x00", "\x00a", "é", "caf\xe9", "\xc3", "\x7f", "\n", "日本語", "😀", "4242",
	"example.com", "user@example.com", "1234567890123", "*.?", "'", "/", ":", "\x1f", "\x80", "~", "#", "# ", " #"}

var oddBMP = []string{"", "41", "0041", "00410000", "0000", "00000000", "0041000000000000", "004100", "d800", "d83dde00",
	"dc00", "d83d", "d83d0041", "feff0041", "fffe4100", "00200041", "0041004200200000", "002c", "00230041", "0000ff",
	"00410042004300", "d83dde000000", "ffff", "fffd", "d83dde0000"}

func (g generator) value() []byte {
	tag := byte([]int{12, 12, 12, 19, 19, 22, 20, 28, 30, 18, 4, 26, 27, 5, 2, 1, 0x2c, 0x33, 0x30, 0x80, 0xa0, 0x1f, 0x4c}[g.IntN(23)])
	text := []byte(g.pick(odd...))
	if tag == 30 && g.IntN(4) > 0 || g.IntN(30) == 0 {
		text, _ = hex.DecodeString(g.pick(oddBMP...))
	}
	if g.IntN(200) == 0 {
		text = slices.Concat(slices.Repeat(text, 90), text)
	}
	var v []byte
	if tag == 0x1f {
		v = []byte{0x1f, byte(g.IntN(140))}
		if v[1] >= 0x80 {
			v = append(v, byte(g.IntN(128)))
		}
	} else {
		v = []byte{tag}
	}
	return append(append(v, g.length(len(text))...), text...)
}

// length writes a length, rarely in a longer form than needed, rarely a wrong one.
func (g generator) length(n int) []byte {
	if g.IntN(150) == 0 {
		n = max(0, n+g.IntN(5)-2)
	}
	b := der.Append(nil, 0, make([]byte, n))
	b = b[1 : len(b)-n]
	switch g.IntN(60) {
	case 0:
		return []byte{0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	case 1:
		if n < 0x80 {
			return []byte{0x81, byte(n)}
		}
	case 2:
		if g.IntN(8) == 0 {
			return []byte{0x80}
		}
		return []byte{0x88, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return b
}

func (g generator) element(tag byte, contents []byte) []byte {
	if g.IntN(400) == 0 {
		tag ^= 1 << g.IntN(8)
	}
	return slices.Concat([]byte{tag}, g.length(len(contents)), contents)
}

func (g generator) name() []byte {
	var rdns []byte
	for range g.IntN(5) {
		var set []byte
		for range 1 + max(0, g.IntN(5)-2) - g.IntN(20)/19 {
			a := slices.Concat(g.element(6, g.oid()), g.value())
			if g.IntN(25) == 0 {
				a = nil
			}
			set = append(set, g.element(0x30, a)...)
		}
		rdns = append(rdns, g.element(0x31, set)...)
	}
	return g.element(0x30, rdns)
}

// ask gives the library's text or error for a certificate with the subject, in words like describe's.
func ask(l *gnutls.Library, subject []byte) (text, reversed string) {
	c, code := l.Import(certificate(subject), false)
	if code < 0 {
		return "import: " + l.Strerror(code), ""
	}
	defer c.Close()
	text, code = c.DN()
	if code < 0 {
		return "error: " + l.Strerror(code), ""
	}
	reversed, _ = c.DNReversed()
	return "text: " + text, reversed
}

func describe(subject []byte) string {
	n, err := dn.FromDER(subject)
	if err != nil {
		return "import"
	}
	text, err := n.Text()
	if err != nil {
		return "error: " + err.Error()
	}
	return "text: " + text
}

func TestTextAgreesWithTheInstalledLibraryOnGeneratedNames(t *testing.T) {
	l := gnutls.Load(t)
	g := generator{rand.New(rand.NewPCG(3, 79))}
	count := map[string]int{}
	for i := range 20000 {
		subject := g.name()
		n, err := dn.FromDER(subject)
		if err == nil {
			if _, err := n.Text(); errors.Is(err, dn.ErrAborts) {
				count["aborts"]++
				continue // would end this process, package certs' tests have the real tool abort
			}
		}
		got := describe(subject)
		want, reversed := ask(l, subject)
		if got == "import" {
			count["import"]++
			if want[:6] != "import" {
				t.Fatalf("%d: %x: FromDER refuses it (%v), the library gives %q", i, subject, err, want)
			}
			continue
		}
		if got != want {
			t.Fatalf("%d: %x:\n got %q\nwant %q", i, subject, got, want)
		}
		count[got[:5]]++
		if got[:5] == "text:" {
			if c := n.Certtool(); c != reversed {
				t.Fatalf("%d: %x: Certtool gives %q, the library %q", i, subject, c, reversed)
			}
			checkRoundTrip(t, got[6:])
		}
	}
	t.Log(count)
	for _, kind := range []string{"aborts", "import", "error", "text:"} {
		if count[kind] < 50 {
			t.Errorf("only %d cases of kind %q: the generator is too tame", count[kind], kind)
		}
	}
}
