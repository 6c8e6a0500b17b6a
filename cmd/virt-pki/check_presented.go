package main

import (
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// presented reports whether the files are a certificate as others are shown it: named one by one, without its key, which
// its owner's libvirt would not load. It is to be accepted then by those who trust the CA file, whole file and revocation
// list included.
func (s fileSet) presented() bool { return s.keyUnknown && !s.qemu && s.role != 0 }

// received are the findings of an end that the certificate is sent to, as libvirt of that version is (verify.Session);
// what concerns the connection (the name that the client uses) is said elsewhere.
func (s fileSet) received(o checkOptions, version verify.Version) []finding.Finding {
	session := verify.Session{Local: certs.Client, At: o.at, Libvirt: version}
	if s.role == certs.Client {
		session.Local = certs.Server
	}
	var err error
	if session.Peer, err = certs.ImportPEMList(s.cert.Data, 0); err != nil || len(session.Peer) == 0 {
		return nil // libvirt's reader has said it
	}
	if session.CAs, err = certs.ImportPEMList(s.ca.Data, 0); err != nil {
		return nil
	}
	if s.crl.Path != "" {
		session.Lists, _ = crl.ParsePEM(s.crl.Data)
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
func (s fileSet) asPresented(own []finding.Finding, o checkOptions, version verify.Version) []finding.Finding {
	received := s.received(o, version)
	said := map[string]bool{}
	for i, f := range own {
		if f.Rule == "unknown-issuer" && f.Subject == s.cert.Path && !has(received, f.Rule) {
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

func has(fs []finding.Finding, rule string) bool {
	for _, f := range fs {
		if f.Rule == rule {
			return true
		}
	}
	return false
}
