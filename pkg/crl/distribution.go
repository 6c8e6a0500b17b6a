package crl

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

// Reasons is a set of revocation reasons as a distribution point names them (ReasonFlags, RFC 5280, 4.2.1.13): bit 1 is
// keyCompromise, bit 8 aACompromise; bit 0 has no meaning.
type Reasons uint16

// AllReasons is what a distribution point stands for that names none.
const AllReasons Reasons = 0x1fe

// A DistributionPoint says where the revocation of a certificate is published, and by whom (RFC 5280, 4.2.1.13).
type DistributionPoint struct {
	// Names are the places, a name relative to the issuer made whole. Empty: the issuers stand for it.
	Names []certs.AltName
	// Reasons are those that its lists cover.
	Reasons Reasons
	// Issuers are the names of who signs its lists, if that is not the certificate's issuer.
	Issuers []dn.Name
}

// A Scope is a list's issuingDistributionPoint extension (RFC 5280, 5.2.5): which certificates the list speaks of. GnuTLS
// does not look at it.
type Scope struct {
	DistributionPoint
	// OnlyUser, OnlyCA and OnlyAttribute say that it speaks only of certificates of this kind.
	OnlyUser, OnlyCA, OnlyAttribute bool
	// Indirect says that it also speaks of certificates of other issuers.
	Indirect bool
	// Raw is the extension's value.
	Raw []byte
}

const oidScope = "2.5.29.28"

const oidDistributionPoints = "2.5.29.31"

var errDistributionPoint = errors.New("a distribution point cannot be read")

// DistributionPoints reads a certificate's cRLDistributionPoints extension; nil where there is none.
func DistributionPoints(c *certs.Certificate) ([]DistributionPoint, error) {
	e := c.Extension(oidDistributionPoints)
	if e == nil {
		return nil, nil
	}
	s := cryptobyte.String(e.Value)
	var list cryptobyte.String
	if !s.ReadASN1(&list, casn1.SEQUENCE) || !s.Empty() {
		return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
	}
	var out []DistributionPoint
	for !list.Empty() {
		var point, reasons, issuers cryptobyte.String
		var p DistributionPoint
		var hasReasons, hasIssuers bool
		if !list.ReadASN1(&point, casn1.SEQUENCE) {
			return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
		}
		// The name is read after the issuers, as it may be relative to one of them.
		var name cryptobyte.String
		if !point.ReadOptionalASN1(&name, new(bool), context(0, true)) ||
			!point.ReadOptionalASN1(&reasons, &hasReasons, context(1, false)) ||
			!point.ReadOptionalASN1(&issuers, &hasIssuers, context(2, true)) || !point.Empty() {
			return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
		}
		var ok bool
		if p.Reasons, ok = readReasons(reasons, hasReasons); !ok {
			return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
		}
		base := c.Issuer
		if hasIssuers {
			names, ok := readGeneralNames(issuers)
			if !ok {
				return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
			}
			for _, n := range names {
				if n.Kind != certs.DirectoryName {
					continue
				}
				if issuer, err := dn.FromDER(n.Value); err == nil {
					p.Issuers = append(p.Issuers, issuer)
				}
			}
			if len(p.Issuers) > 0 {
				base = p.Issuers[0]
			}
		}
		if p.Names, ok = readPointName(name, base); !ok {
			return nil, fmt.Errorf("reading cRLDistributionPoints: %w", errDistributionPoint)
		}
		out = append(out, p)
	}
	return out, nil
}

// readScope reads an issuingDistributionPoint; nil where it cannot be read.
func readScope(value cryptobyte.String, issuer dn.Name) *Scope {
	s := &Scope{Raw: value}
	var seq, name, reasons cryptobyte.String
	var hasReasons bool
	if !value.ReadASN1(&seq, casn1.SEQUENCE) || !value.Empty() || !seq.ReadOptionalASN1(&name, new(bool), context(0, true)) ||
		!readFlag(&seq, 1, &s.OnlyUser) || !readFlag(&seq, 2, &s.OnlyCA) ||
		!seq.ReadOptionalASN1(&reasons, &hasReasons, context(3, false)) ||
		!readFlag(&seq, 4, &s.Indirect) || !readFlag(&seq, 5, &s.OnlyAttribute) || !seq.Empty() {
		return nil
	}
	var ok bool
	if s.Reasons, ok = readReasons(reasons, hasReasons); !ok {
		return nil
	}
	if s.Names, ok = readPointName(name, issuer); !ok {
		return nil
	}
	return s
}

func context(n uint8, constructed bool) casn1.Tag {
	tag := casn1.Tag(n).ContextSpecific()
	if constructed {
		tag = tag.Constructed()
	}
	return tag
}

func readFlag(s *cryptobyte.String, n uint8, flag *bool) bool {
	var v cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&v, &present, context(n, false)) || present && len(v) != 1 {
		return false
	}
	*flag = present && v[0] != 0
	return true
}

// readReasons reads ReasonFlags without their tag.
func readReasons(s cryptobyte.String, present bool) (Reasons, bool) {
	if !present {
		return AllReasons, true
	}
	if len(s) < 1 || s[0] > 7 || len(s) == 1 && s[0] != 0 {
		return 0, false
	}
	var r Reasons
	for i := range (len(s) - 1) * 8 {
		if i < 9 && s[1+i/8]&(0x80>>(i%8)) != 0 {
			r |= 1 << i
		}
	}
	return r & AllReasons, true
}

// readPointName reads a DistributionPointName without the tag around it; an empty one is none.
func readPointName(s cryptobyte.String, issuer dn.Name) ([]certs.AltName, bool) {
	if s.Empty() {
		return nil, true
	}
	var v cryptobyte.String
	switch {
	case s.PeekASN1Tag(context(0, true)):
		if !s.ReadASN1(&v, context(0, true)) || !s.Empty() {
			return nil, false
		}
		return readGeneralNames(v)
	case s.PeekASN1Tag(context(1, true)):
		if !s.ReadASN1(&v, context(1, true)) || !s.Empty() {
			return nil, false
		}
		// A SET under another tag, to be appended to the issuer's name.
		der := cryptobyte.String(issuer.DER())
		var rdns cryptobyte.String
		if !der.ReadASN1(&rdns, casn1.SEQUENCE) {
			return nil, false
		}
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(rdns)
			b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(v) })
		})
		whole, err := b.Bytes()
		return []certs.AltName{{Kind: certs.DirectoryName, Value: whole}}, err == nil
	}
	return nil, false
}

// readGeneralNames reads the content of GeneralNames. Of an otherName the value is the whole content.
func readGeneralNames(s cryptobyte.String) ([]certs.AltName, bool) {
	var out []certs.AltName
	for !s.Empty() {
		var v cryptobyte.String
		var tag casn1.Tag
		if !s.ReadAnyASN1(&v, &tag) {
			return nil, false
		}
		out = append(out, certs.AltName{Kind: certs.AltNameKind(tag & 0x1f), Value: v})
	}
	return out, true
}
