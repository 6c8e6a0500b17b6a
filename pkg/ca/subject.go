package ca

import (
	"errors"

	"github.com/virt-pki/virt-pki/pkg/dn"
)

// oidCommonName is the attribute type CN.
const oidCommonName = "2.5.4.3"

// checkSubject refuses a subject that libvirt, or a tool beside it, cannot live with (dn.Name.CheckIssuable). It gives the
// name's text and its last CN.
func checkSubject(subject dn.Name) (text, commonName string, err error) {
	if subject.IsEmpty() {
		return "", "", &SubjectError{errors.New("the subject is empty"), "give at least a CN, such as CN=kvm1.example.com"}
	}
	if err := subject.CheckIssuable(); err != nil {
		return "", "", &SubjectError{err, ""}
	}
	if text, err = subject.Text(); err != nil {
		return "", "", &SubjectError{err, ""}
	}
	rdns, err := subject.RDNs()
	if err != nil {
		return "", "", &SubjectError{err, ""}
	}
	for _, rdn := range rdns {
		for _, a := range rdn {
			if a.OID == oidCommonName {
				commonName = string(content(a.Value))
			}
		}
	}
	return text, commonName, nil
}

// content gives the content octets of a value's TLV, nil where its length is none that a name's value has.
func content(tlv []byte) []byte {
	if len(tlv) < 2 {
		return nil
	}
	n, rest := int(tlv[1]), tlv[2:]
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 3 || len(rest) < octets {
			return nil
		}
		n = 0
		for _, b := range rest[:octets] {
			n = n<<8 | int(b)
		}
		rest = rest[octets:]
	}
	if n > len(rest) {
		return nil
	}
	return rest[:n]
}
