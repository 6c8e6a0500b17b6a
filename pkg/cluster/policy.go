package cluster

import (
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// BaseOf gives a CA's name without its final CN, with which subjects begin that are given by a CN only. Where a CN would
// remain there is no base: it would not be one.
func BaseOf(subject dn.Name) dn.Name {
	rdns, err := subject.RDNs()
	if err != nil {
		return dn.Name{}
	}
	isCN := func(a dn.Attribute) bool { return a.Type == "CN" }
	if n := len(rdns); n > 0 && slices.ContainsFunc(rdns[n-1], isCN) {
		subject, rdns = subject.Parent(), rdns[:n-1]
	}
	if slices.ContainsFunc(rdns, func(rdn []dn.Attribute) bool { return slices.ContainsFunc(rdn, isCN) }) {
		return dn.Name{}
	}
	return subject
}

// PolicyFor gives the policy for peers of these versions: the oldest of them and every measured one that is not older must
// accept a certificate, and so must all that are named. None: the default.
func PolicyFor(named []verify.Version, strict bool) ca.Policy {
	p := ca.Policy{StrictKeyUsage: strict}
	if len(named) == 0 {
		return p
	}
	oldest := named[0]
	for _, v := range named[1:] {
		if olderLibvirt(v, oldest) {
			oldest = v
		}
	}
	p.Libvirt = ca.Since(oldest)
	for _, v := range named {
		if !slices.Contains(p.Libvirt, v) {
			p.Libvirt = append(p.Libvirt, v)
		}
	}
	return p
}

func olderLibvirt(a, b verify.Version) bool {
	return !a.AtLeast(b.Major, b.Minor) || a.Major == b.Major && a.Minor == b.Minor && (a.Micro < b.Micro || !a.NoKeyEncipherment && b.NoKeyEncipherment)
}
