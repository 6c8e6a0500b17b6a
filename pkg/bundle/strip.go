package bundle

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
)

const (
	pemBegin  = "-----BEGIN "
	pemEnd    = "-----END "
	pemDashes = "-----"
)

// blocks are the PEM blocks that are passed on; of all others, keys above all, nothing is.
var blocks = []string{"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CRL"}

// stripPEM takes out of a PEM file all that is neither certificate nor revocation list. What is taken out becomes dots,
// white space and NUL bytes aside, so that size, lines and what GnuTLS makes of the rest stay. It says what was taken out.
func stripPEM(text []byte) (out []byte, leftOut []string) {
	said := func(what string) {
		if !slices.Contains(leftOut, what) {
			leftOut = append(leftOut, what)
		}
	}
	dots := func(b []byte, what string) {
		blank := true
		for _, c := range b {
			if strings.IndexByte(" \t\r\n\v\f\x00", c) < 0 {
				blank, c = false, '.'
			}
			out = append(out, c)
		}
		if !blank {
			said(what)
		}
	}
	if !bytes.Contains(text, []byte(pemBegin)) {
		dots(text, "all of it: it is not PEM")
		if len(text) > 0 && text[0] == 0x30 {
			out[0] = 0x30 // DER where PEM is wanted has a message of its own
		}
		return out, leftOut
	}
	rest := text
	for {
		i := bytes.Index(rest, []byte(pemBegin))
		if i < 0 {
			dots(rest, "text outside of certificates")
			return out, leftOut
		}
		dots(rest[:i], "text outside of certificates")
		rest = rest[i:]
		block := blockAt(rest)
		switch {
		case !slices.Contains(blocks, block.label):
			name := "a block that is no certificate"
			if strings.Contains(strings.ToUpper(block.label), "PRIVATE") {
				name = "a private key (" + plainLabel(block.label) + ")"
			}
			dots(rest[:block.size], name)
		case keep(block.label, block.body):
			out = append(out, rest[:block.size]...)
			if block.other {
				out = append(out, pemEnd+block.label+pemDashes...) // what stands there becomes dots
			}
		default:
			said(fmt.Sprintf("what a block %s holds: it is none", block.label))
			out = append(out, pemBegin+block.label+pemDashes+"\n"...)
			if _, err := decode(block.body); err == nil {
				out = append(out, "MAA=\n"...) // an empty SEQUENCE: still base64, still no certificate
			} else {
				out = append(out, "!\n"...)
			}
			if block.ended {
				out = append(out, pemEnd+block.label+pemDashes...)
			}
		}
		rest = rest[block.size:]
	}
}

// A pemBlock is one block of a PEM text, from its -----BEGIN on.
type pemBlock struct {
	label string
	body  []byte
	ended bool
	other bool // the footer has another label
	size  int  // with header and, if it is no other, footer
}

// blockAt cuts the block at the beginning of text. One that is not ended reaches up to the next, or to the end.
func blockAt(text []byte) pemBlock {
	next := len(text)
	if i := bytes.Index(text[len(pemBegin):], []byte(pemBegin)); i >= 0 {
		next = len(pemBegin) + i
	}
	label, rest, ok := bytes.Cut(text[len(pemBegin):next], []byte(pemDashes))
	if !ok {
		return pemBlock{size: next}
	}
	b := pemBlock{label: string(label), body: rest, size: next}
	if body, _, ok := bytes.Cut(rest, []byte(pemEnd)); ok {
		at := len(pemBegin) + len(label) + len(pemDashes) + len(body)
		foot := text[at+len(pemEnd) : next]
		if end, _, ok := bytes.Cut(foot, []byte(pemDashes)); ok && string(end) == b.label {
			return pemBlock{b.label, body, true, false, at + len(pemEnd) + len(end) + len(pemDashes)}
		}
		// A footer of another name: GnuTLS does not mind, but what stands in it is nobody's.
		if plainLabel(b.label) == b.label && !strings.Contains(b.label, "PRIVATE") {
			return pemBlock{b.label, body, true, true, at}
		}
	}
	return b
}

// plainLabel gives a label as it may be repeated in a message.
func plainLabel(s string) string {
	if len(s) > 40 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ") != "" {
		return "of another form"
	}
	return s
}

// decode reads base64 with any white space.
func decode(body []byte) ([]byte, error) {
	plain := bytes.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n\v\f", r) {
			return -1
		}
		return r
	}, body)
	return base64.StdEncoding.DecodeString(string(plain))
}

// keep reports whether a block's body is what its label says: a certificate or list that can be read, or the beginning of
// one. A key under a wrong label is neither: its DER begins otherwise.
func keep(label string, body []byte) bool {
	der, err := decode(body)
	if err == nil {
		if label == "X509 CRL" {
			if _, err := crl.Parse(der); err == nil && derSize(der) == len(der) {
				return true
			}
		} else if c, err := certs.Import(der); err == nil && len(c.Raw) == len(der) && derSize(der) == len(der) {
			return true
		}
	} else {
		// Damaged: as much of it as can be read, whatever does not belong there left out.
		der, _ = base64.RawStdEncoding.DecodeString(string(onlyBase64(body)))
	}
	if size := derSize(der); size < len(der) {
		return false // something follows, or it is no SEQUENCE
	}
	return beginsLike(der, label == "X509 CRL")
}

// onlyBase64 gives the characters of base64 in a text, in whole groups of four.
func onlyBase64(text []byte) []byte {
	var out []byte
	for _, c := range text {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
			out = append(out, c)
		}
	}
	return out[:len(out)/4*4]
}

// header gives the length of tag and length of the element at the beginning of der, and of the whole element; 0: there is none.
func header(der []byte) (head, size int) {
	if len(der) < 2 {
		return 0, 0
	}
	n := int(der[1])
	if n < 0x80 {
		return 2, 2 + n
	}
	k := n & 0x7f
	if k == 0 || k > 4 || len(der) < 2+k {
		return 0, 0
	}
	n = 0
	for _, c := range der[2 : 2+k] {
		n = n<<8 | int(c)
	}
	return 2 + k, 2 + k + n
}

// derSize gives the size of the SEQUENCE that der begins with, 0 where it begins with none.
func derSize(der []byte) int {
	if len(der) == 0 || der[0] != 0x30 {
		return 0
	}
	_, size := header(der)
	return size
}

// beginsLike reports whether der begins as certificates do, SEQUENCE { SEQUENCE { [0] or INTEGER, or as revocation lists,
// SEQUENCE { SEQUENCE { INTEGER or SEQUENCE. Keys begin with SEQUENCE { INTEGER, encrypted ones with
// SEQUENCE { SEQUENCE { OBJECT IDENTIFIER.
func beginsLike(der []byte, list bool) bool {
	for range 2 {
		if len(der) == 0 || der[0] != 0x30 {
			return false
		}
		head, _ := header(der)
		if head == 0 {
			return false
		}
		der = der[head:]
	}
	if len(der) == 0 {
		return false
	}
	if list {
		return der[0] == 0x02 || der[0] == 0x30
	}
	return der[0] == 0xa0 || der[0] == 0x02
}
