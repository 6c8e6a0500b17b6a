package testpki

import (
	"bytes"
	"encoding/pem"
	"math/rand/v2"
	"slices"
)

// SpoiltPEM gives a PEM block of der and, more often than not, one of the faults that readers of PEM disagree about: other
// line ends, blanks, missing ends, stray octets, padding, and text around.
func SpoiltPEM(r *rand.Rand, label string, der []byte) []byte {
	begin, end := "-----BEGIN "+label+"-----", "-----END "+label+"-----"
	block := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	oneOf := func(texts ...string) []byte { return []byte(texts[r.IntN(len(texts))]) }
	switch r.IntN(16) {
	case 0:
		block = bytes.ReplaceAll(block, []byte("\n"), []byte("\r"))
	case 1:
		block = bytes.ReplaceAll(block, []byte("\n"), []byte("\r\n"))
	case 2:
		block = bytes.ReplaceAll(block, []byte("\n"), []byte(" \t\n\n"))
	case 3:
		block = bytes.ReplaceAll(block, []byte("\n"), nil)
	case 4:
		block = block[r.IntN(len(block)):]
	case 5:
		block = block[:r.IntN(len(block))]
	case 6:
		block[r.IntN(len(block))] = "\x00\v\f:=*_-\x80AZ/+ "[r.IntN(14)]
	case 7:
		at := r.IntN(len(block))
		odd := oneOf("\v", "\f", "=", "==", "-----", "-", "-----END ", begin, "\x00", "A", "AB", "ABC", "Proc-Type: 4\n", "\n")
		block = slices.Concat(block[:at], odd, block[at:])
	case 8:
		content := oneOf("", "\n", "    ", "AAA", "AAAA", "MAA=", "MB==", "MA==", "=", "====", "M===", "MAA==", "MAAA=", "MAAA", "\n\n\n\n",
			"-AAA", "AA-A")
		block = slices.Concat([]byte(begin), content, []byte("-----END "))
	}
	if r.IntN(6) == 0 {
		block = slices.Concat(block, oneOf("text\n", "-----", "\xef\xbb\xbf", "-----BEGIN ", end))
	}
	return block
}
