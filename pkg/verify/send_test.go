package verify

import (
	"fmt"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

func TestTheOrderOfTheServersNamesCountsBeforeThatOfTheFiles(t *testing.T) {
	a, b := testpki.NewCA(t, testpki.CN("A")), testpki.NewCA(t, testpki.CN("B"))
	between := b.Intermediate("Between")
	read := func(ids ...*testpki.Identity) (chain []*certs.Certificate) {
		for _, id := range ids {
			c, err := certs.Import(id.DER)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, c)
		}
		return chain
	}
	nameA, nameB := read(a.Identity)[0].Subject, read(b.Identity)[0].Subject
	ofA, ofB, viaB := read(a.Client("x")), read(b.Client("y")), read(between.Client("z"), between.Identity)
	alone := read(between.Client("z"))
	for _, c := range []struct {
		name   string
		chains [][]*certs.Certificate
		names  []dn.Name
		want   string
	}{
		{"no names", [][]*certs.Certificate{ofB, ofA}, nil, "[0 1]"},
		{"one name", [][]*certs.Certificate{ofB, ofA}, []dn.Name{nameA}, "[1 0]"},
		{"both, as the files", [][]*certs.Certificate{ofB, ofA}, []dn.Name{nameB, nameA}, "[0 1]"},
		{"both, the other way round", [][]*certs.Certificate{ofB, ofA}, []dn.Name{nameA, nameB}, "[1 0]"},
		{"several of one CA", [][]*certs.Certificate{ofB, ofA, ofB, ofA}, []dn.Name{nameA, nameB}, "[1 3 0 2]"},
		{"a CA above an intermediate that is sent along", [][]*certs.Certificate{ofA, viaB}, []dn.Name{nameB, nameA}, "[1 0]"},
		{"an intermediate that is not sent along", [][]*certs.Certificate{alone, ofA}, []dn.Name{nameB, nameA}, "[1 0]"},
	} {
		if got := fmt.Sprint(Order(c.chains, c.names)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
