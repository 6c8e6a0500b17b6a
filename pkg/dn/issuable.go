package dn

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/internal/der"
)

// CheckIssuable says why the name should not be the subject of a new certificate, or gives nil. Reasons are: there is
// no RDN, or an empty one, or an attribute without value; GnuTLS refuses the name or aborts on it; the text is not
// valid UTF-8 (libvirt's daemon can abort when it matches such a text against tls_allowed_dn_list) or has control
// characters; a value has characters that do not belong to its string type. All reasons are joined.
func (n Name) CheckIssuable() error {
	text, err := n.Text()
	if err != nil {
		return fmt.Errorf("the subject cannot be used: %w", err)
	}
	var problems []error
	if !utf8.ValidString(text) {
		problems = append(problems, fmt.Errorf("the subject %q is not valid UTF-8: libvirtd can abort on it", text))
	}
	for i := range len(text) {
		if text[i] < 0x20 || text[i] == 0x7f {
			problems = append(problems, fmt.Errorf("the subject %q has a control character", text))
			break
		}
	}
	for sets := (cursor{n.rdns()}); ; {
		set, ok := sets.next()
		if !ok {
			return errors.Join(problems...)
		}
		if len(set) == 0 {
			problems = append(problems, fmt.Errorf("the subject %q has an empty RDN", text))
		}
		for attributes := (cursor{set}); ; {
			a, ok := attributes.nextAttribute()
			if !ok {
				break
			}
			if a.oid == nil {
				problems = append(problems, fmt.Errorf("the subject %q has an empty attribute", text))
				continue
			}
			if kind := misfit(a.value); kind != "" {
				printed, _ := a.append(nil, GnuTLS37)
				problems = append(problems, fmt.Errorf("the subject's %s has characters that do not belong to its type, %s",
					printed, kind))
			}
		}
	}
}

// misfit gives the name of the value's string type if it has characters outside of it.
func misfit(value []byte) string {
	tag, contents, _ := der.Split(value)
	switch tag {
	case der.PrintableString:
		if !isPrintable(contents) {
			return "PrintableString"
		}
	case der.NumericString:
		for _, c := range contents {
			if c != ' ' && (c < '0' || c > '9') {
				return "NumericString"
			}
		}
	case der.IA5String:
		for _, c := range contents {
			if c >= 0x80 {
				return "IA5String"
			}
		}
	case der.UTF8String:
		if !utf8.Valid(contents) {
			return "UTF8String"
		}
	}
	return ""
}
