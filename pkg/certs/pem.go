package certs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"iter"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// The headers that GnuTLS looks for; what follows them up to the next five pemHyphens does not matter.
const (
	pemHeader    = "-----BEGIN CERTIFICATE"
	pemHeader509 = "-----BEGIN X509 CERTIFICATE"
	pemHyphens   = "-----"
	pemFooter    = "-----END "
	pemMinimum   = 4
)

// ImportPEM reads the first certificate of a PEM text the way gnutls_x509_crt_import searches it, as virt-pki-query-dn
// and libvirt's sanity check do.
func ImportPEM(text []byte) (*Certificate, error) {
	b, err := firstBlock(text)
	if err != nil {
		return nil, err
	}
	return Import(b)
}

// firstBlock gives the contents of the first block that GnuTLS would take.
func firstBlock(text []byte) ([]byte, error) { return newPEMText(text).certificate(0) }

// A pemText is a text in which blocks are looked for. It knows where the last of what is searched stands, so that a text
// with very many blocks is not gone through for each of them, and the block that stands in for others that are of no use.
type pemText struct {
	text                   []byte
	lastHeader, lastFooter int // of "CERTIFICATE"; of any label; -1 where there is none

	from, at   int // an "X509 CERTIFICATE" at is the first from a place on; at is -1 until one was looked for
	substitute []byte
}

func newPEMText(text []byte) *pemText {
	return &pemText{text: text, lastHeader: bytes.LastIndex(text, []byte(pemHeader)), lastFooter: bytes.LastIndex(text, []byte(pemFooter)), at: -1}
}

// certificate gives the contents of the first block from a place on that GnuTLS would take: the first "CERTIFICATE", if
// that is of no use the first "X509 CERTIFICATE". Whatever is wrong with the first, the error is that of the second.
func (p *pemText) certificate(from int) ([]byte, error) {
	if from <= p.lastHeader {
		if b, ok := p.block(from, pemHeader); ok {
			return b, nil
		}
	}
	if p.at < 0 || from < p.from || from > p.at {
		i := bytes.Index(p.text[from:], []byte(pemHeader509))
		if i < 0 {
			return nil, &ImportError{textNoPEM}
		}
		b, ok := p.block(from+i, pemHeader509)
		if !ok {
			return nil, &ImportError{textDecoding}
		}
		p.from, p.at, p.substitute = from, from+i, b
	}
	return p.substitute, nil
}

// pemBlock decodes the first block with the header.
func pemBlock(text []byte, header string) ([]byte, bool) { return newPEMText(text).block(0, header) }

// block decodes the first block with the header from a place on (_gnutls_fbase64_decode). The data end at the first
// hyphen, but some footer must follow.
func (p *pemText) block(from int, header string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(p.text[from:], []byte(header))
	if !ok {
		return nil, false
	}
	if _, rest, ok = bytes.Cut(rest, []byte(pemHyphens)); !ok || len(p.text)-len(rest) > p.lastFooter {
		return nil, false
	}
	if bytes.Contains(rest[:min(len(rest), pemMinimum-1+len(pemFooter))], []byte(pemFooter)) {
		return nil, false
	}
	if i := bytes.IndexByte(rest, '-'); i >= 0 {
		rest = rest[:i]
	}
	b, ok := decodeBase64(rest)
	return b, ok && len(b) > 0
}

// DecodePEM decodes the first block in text whose header begins with -----BEGIN and the label, as GnuTLS does
// (_gnutls_fbase64_decode): wherever the header stands, whatever follows the label, with any footer, and however the lines
// are broken. It reports false where GnuTLS says "Base64 decoding error." or that there is none.
func DecodePEM(text []byte, label string) ([]byte, bool) { return pemBlock(text, "-----BEGIN "+label) }

// PEMBlocks gives the contents of all blocks whose label begins with the given one, the way GnuTLS finds and decodes
// them: labels that go on, line ends of any kind, and which label the next footer has do not matter. It gives false, and
// nothing behind, for one that cannot be decoded.
func PEMBlocks(text []byte, label string) iter.Seq2[[]byte, bool] {
	return func(yield func([]byte, bool) bool) {
		p := newPEMText(text)
		header := "-----BEGIN " + label
		for at := 0; ; at++ {
			i := bytes.Index(text[at:], []byte(header))
			if i < 0 {
				return
			}
			at += i
			b, ok := p.block(at, header)
			if !yield(b, ok) || !ok {
				return
			}
		}
	}
}

// decodeBase64 decodes as GnuTLS does with nettle: blanks, tabs and line ends do not count, the data end at the first
// hyphen, padding is exact, bits left over are zero. Other than encoding/base64 it tolerates VT and FF.
func decodeBase64(text []byte) ([]byte, bool) {
	out := make([]byte, 0, len(text)/4*3+3)
	word, bits, padding := uint32(0), 0, 0
	for _, c := range text {
		var v byte
		switch {
		case c == '-':
			return out, bits == 0
		case c == ' ' || '\t' <= c && c <= '\r':
			continue
		case c == '=':
			if bits == 0 || padding > 2 || word&(1<<bits-1) != 0 {
				return nil, false
			}
			padding++
			bits -= 2
			continue
		case 'A' <= c && c <= 'Z':
			v = c - 'A'
		case 'a' <= c && c <= 'z':
			v = c - 'a' + 26
		case '0' <= c && c <= '9':
			v = c - '0' + 52
		case c == '+':
			v = 62
		case c == '/':
			v = 63
		default:
			return nil, false
		}
		if padding > 0 {
			return nil, false
		}
		word = word<<6 | uint32(v)
		if bits += 6; bits >= 8 {
			bits -= 8
			out = append(out, byte(word>>bits))
		}
	}
	return out, bits == 0
}

// ImportPEMList reads all certificates of a PEM text the way gnutls_x509_crt_list_import does, at most limit (0: all).
// One that cannot be imported makes the whole list fail; those beyond the limit are not looked at. libvirt reads a CA
// file with limit 16.
func ImportPEMList(text []byte, limit int) ([]*Certificate, error) {
	p := newPEMText(text)
	at := p.nextHeader(0)
	if at < 0 {
		return nil, &ImportError{textNoneFound}
	}
	var list []*Certificate
	var before []byte
	for at >= 0 && (limit == 0 || len(list) < limit) {
		b, err := p.certificate(at)
		if err != nil {
			return nil, err
		}
		if len(before) > 0 && &b[0] == &before[0] { // the same block stands in for another
			list = append(list, list[len(list)-1])
			at = p.nextHeader(at + 1)
			continue
		}
		c, err := Import(b)
		if err != nil {
			return nil, err
		}
		list, before = append(list, c), b
		at = p.nextHeader(at + 1)
	}
	return list, nil
}

// nextHeader gives the place of the next header: of the next "CERTIFICATE", only if there is none of the next "X509
// CERTIFICATE"; -1 where there is neither.
func (p *pemText) nextHeader(from int) int {
	header := pemHeader
	if from > p.lastHeader {
		header = pemHeader509
	}
	i := bytes.Index(p.text[from:], []byte(header))
	if i < 0 {
		return -1
	}
	return from + i
}

// PEM gives the certificate in PEM.
func (c *Certificate) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// A QueryError is the refusal of virt-pki-query-dn to print a name, with its message.
type QueryError struct {
	// Step is "Unable to load certificate, make sure it is in PEM format" or "Failed to get distinguished name".
	Step string
	// Err is GnuTLS's refusal: an *ImportError or a *dn.Error, dn.ErrAborts where the real tool aborts.
	Err error
}

// Error gives what virt-pki-query-dn writes to stderr.
func (e *QueryError) Error() string { return fmt.Sprintf("%s: %s", e.Step, e.Err) }

// Unwrap gives GnuTLS's refusal.
func (e *QueryError) Unwrap() error { return e.Err }

// The steps of a QueryError.
const (
	StepLoad = "Unable to load certificate, make sure it is in PEM format"
	StepName = "Failed to get distinguished name"
)

// QueryDN gives what virt-pki-query-dn of libvirt 9.0.0 prints for a file with these contents, without the line end. An
// error is a *QueryError with the text that the tool writes to stderr; where the real tool aborts instead, it wraps
// dn.ErrAborts. It does no more than is needed for that: a whole process of `virt-pki query-dn` should be quick.
func QueryDN(file []byte) (string, error) { return QueryDNFor(file, dn.GnuTLS37) }

// QueryDNFor is QueryDN for another GnuTLS.
func QueryDNFor(file []byte, r dn.Rendering) (string, error) {
	b, err := firstBlock(file)
	if err != nil {
		return "", &QueryError{StepLoad, err}
	}
	c, err := importDER(b)
	if err != nil {
		return "", &QueryError{StepLoad, err}
	}
	text, err := c.Subject.TextFor(r)
	if err != nil {
		return "", &QueryError{StepName, err}
	}
	return text, nil
}
