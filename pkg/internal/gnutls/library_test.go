package gnutls_test

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/gnutls"
)

func TestTheLibraryAnswers(t *testing.T) {
	l := gnutls.Load(t)
	if _, code := l.Import([]byte{0x30, 0}, false); l.Strerror(code) != "ASN1 parser: Element was not found." {
		t.Errorf("an empty SEQUENCE: %d %s", code, l.Strerror(code))
	}
	if got, code := l.IDNAMap("BÜCHER.example"); got != "xn--bcher-kva.example" || code != 0 {
		t.Errorf("IDNA: %q %d", got, code)
	}
}
