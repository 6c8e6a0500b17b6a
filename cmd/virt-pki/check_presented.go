package main

import (
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// presented reports whether the files are a certificate as others are shown it: named one by one, without its key, which
// its owner's libvirt would not load. It is to be accepted then by those who trust the CA file, whole file and revocation
// list included.
func (s fileSet) presented() bool { return s.keyUnknown && !s.qemu && s.role != 0 }

// received are the findings of an end that the certificate is sent to, as libvirt of that version is (verify.Session);
// what concerns the connection (the name that the client uses) is said elsewhere, and so is what could not be loaded.
func (s fileSet) received(loaded verify.Loaded, o checkOptions, version verify.Version) []finding.Finding {
	if len(loaded.Chain) == 0 || len(loaded.CAs) == 0 {
		return nil
	}
	session := verify.Session{Local: certs.Client, Peer: loaded.Chain, CAs: loaded.CAs, Lists: loaded.CRLs, At: o.at, Libvirt: version}
	if s.role == certs.Client {
		session.Local = certs.Server
	}
	var out []finding.Finding
	for _, f := range session.Check() {
		if f.Rule != "host-mismatch" && f.Severity == finding.Error {
			f.Subject = s.cert.Path
			out = append(out, f)
		}
	}
	return out
}

// asPresented gives the findings about a certificate that others are shown: those of its owner, among which a missing
// intermediate is no refusal when the whole file makes up for it, and those of who receives it.
func (s fileSet) asPresented(own, received []finding.Finding) []finding.Finding {
	refused := func(rule string) bool {
		return slices.ContainsFunc(received, func(f finding.Finding) bool { return f.Rule == rule })
	}
	said := map[string]bool{}
	for i, f := range own {
		if f.Rule == "unknown-issuer" && f.Subject == s.cert.Path && !refused(f.Rule) {
			own[i].Severity = finding.Warning
			own[i].Message = "Who is sent this file finds the way to a CA in it; its owner's libvirt does not look there, and refuses it with this CA file."
		}
		said[f.Rule] = true
	}
	for _, f := range received {
		if !said[f.Rule] {
			own = append(own, f)
		}
	}
	return own
}
