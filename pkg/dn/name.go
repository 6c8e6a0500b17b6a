package dn

import (
	"slices"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// A Name is a distinguished name in its encoded form, RDNs and attributes in encoded order. The zero value is the
// empty name. A Name is immutable and may be used by several goroutines.
type Name struct {
	der []byte // the Name's complete TLV
}

// Rendering selects the GnuTLS whose text is wanted.
type Rendering int

const (
	// GnuTLS37 is GnuTLS 3.7.5 to 3.8.3 (Debian 12: 3.7.9).
	GnuTLS37 Rendering = iota
	// GnuTLS384 is GnuTLS 3.8.4 and later: empty values of single-type attributes print as nothing.
	GnuTLS384
)

// An Attribute is one TYPE=value of a name.
type Attribute struct {
	OID   string // dotted decimal
	Type  string // the name GnuTLS prints: C, CN, EMAIL, ... or the OID
	Value []byte // the value's complete TLV
	Text  string // the value as GnuTLS prints it, escaped
}

// FromDER takes a Name as it stands in a certificate (the complete TLV of the RDNSequence). It accepts what GnuTLS's
// import accepts. The octets are copied.
func FromDER(text []byte) (Name, error) {
	d := der.NewInnerDecoder(text)
	if _, err := d.Name(); err != nil {
		return Name{}, err
	}
	if err := d.End(); err != nil {
		return Name{}, err
	}
	return Name{slices.Clone(text)}, nil
}

// DER gives the encoded name. The zero Name gives 30 00.
func (n Name) DER() []byte {
	if n.der == nil {
		return []byte{0x30, 0}
	}
	return slices.Clone(n.der)
}

// Equal reports whether the two names are encoded alike.
func (n Name) Equal(other Name) bool {
	return n.IsEmpty() && other.IsEmpty() || string(n.der) == string(other.der)
}

// IsEmpty reports whether the name has no RDN at all.
func (n Name) IsEmpty() bool { return len(n.rdns()) == 0 }

// rdns gives the content octets of the RDNSequence.
func (n Name) rdns() []byte {
	if n.der == nil {
		return nil
	}
	_, contents, _ := der.Split(n.der)
	return contents
}

// attribute is a checked AttributeTypeAndValue.
type attribute struct {
	oid   []byte // content octets
	value []byte // TLV
}

// A cursor goes through SETs or SEQUENCEs of a checked name.
type cursor struct{ rest []byte }

// next takes the next element off and gives its contents.
func (c *cursor) next() (contents []byte, ok bool) {
	if len(c.rest) == 0 {
		return nil, false
	}
	d := der.NewDecoder(c.rest)
	element, err := d.Any()
	if err != nil {
		return nil, false
	}
	c.rest = c.rest[len(element):]
	_, contents, ok = der.Split(element)
	return contents, ok
}

// nextAttribute takes the next attribute of an RDN off. An empty SEQUENCE gives an attribute without OID; GnuTLS reads
// no further in this RDN when it meets one.
func (c *cursor) nextAttribute() (a attribute, ok bool) {
	contents, ok := c.next()
	if !ok || len(contents) == 0 {
		return attribute{}, ok
	}
	d := der.NewDecoder(contents)
	a.oid, _ = d.ObjectID()
	a.value, _ = d.Any()
	return a, true
}

// Reverse gives the name with its RDNs in the reversed order; the attributes of an RDN keep theirs.
func (n Name) Reverse() Name {
	elements := n.elements()
	slices.Reverse(elements)
	return Name{der.Append(nil, 0x30, slices.Concat(elements...))}
}

// Parent gives the name without its last RDN; of the empty name, the empty name.
func (n Name) Parent() Name {
	elements := n.elements()
	if len(elements) < 2 {
		return Name{}
	}
	return Name{der.Append(nil, 0x30, slices.Concat(elements[:len(elements)-1]...))}
}

// elements gives the encoded RDNs.
func (n Name) elements() [][]byte {
	var elements [][]byte
	d := der.NewDecoder(n.rdns())
	for d.End() != nil {
		element, err := d.Any()
		if err != nil {
			break
		}
		elements = append(elements, element)
	}
	return elements
}

// RDNs gives the attributes, RDN by RDN, in encoded order. It fails where Text fails for one of them.
func (n Name) RDNs() ([][]Attribute, error) {
	var rdns [][]Attribute
	for sets := (cursor{n.rdns()}); ; {
		set, ok := sets.next()
		if !ok {
			return rdns, nil
		}
		rdn := []Attribute{}
		for attributes := (cursor{set}); ; {
			a, ok := attributes.nextAttribute()
			if !ok || a.oid == nil {
				break
			}
			text, err := a.append(nil, GnuTLS37)
			if err != nil {
				return nil, err
			}
			oid := der.OIDText(a.oid)
			label := oid
			if t := lookUp(a.oid); t != nil {
				label = t.label()
			}
			rdn = append(rdn, Attribute{OID: oid, Type: label, Value: slices.Clone(a.value),
				Text: string(text[len(label)+1:])})
		}
		rdns = append(rdns, rdn)
	}
}

// CommonNames gives the texts of all CN attributes in encoded order, escaped as in Text. Only these attributes are
// decoded, as gnutls_x509_crt_get_dn_by_oid does: others may be such that Text fails.
func (n Name) CommonNames() ([]string, error) {
	var names []string
	for sets := (cursor{n.rdns()}); ; {
		set, ok := sets.next()
		if !ok {
			return names, nil
		}
		for attributes := (cursor{set}); ; {
			a, ok := attributes.nextAttribute()
			if !ok || a.oid == nil {
				break
			}
			if string(a.oid) != commonName {
				continue
			}
			text, err := a.append(nil, GnuTLS37)
			if err != nil {
				return nil, err
			}
			names = append(names, string(text[len("CN="):]))
		}
	}
}
