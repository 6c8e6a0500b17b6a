package handshake

import (
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// judgeAsQEMU is judge for an end of QEMU's. One whose verify-peer is off does not look at the other at all.
func (c Config) judgeAsQEMU(local certs.Role, peer []*certs.Certificate, t *Transcript) bool {
	if c.NoVerify {
		return true
	}
	t.Findings = append(t.Findings, verify.QEMUSession{Local: local, Peer: peer, CAs: c.CAs, Lists: c.Lists, Host: c.Host, At: c.At,
		Strength: c.Strength, Memory: c.Memory}.Check()...)
	cause, failed := t.Cause()
	if !failed {
		return true
	}
	t.LibvirtMessage, t.Outcome = cause.LibvirtMessage, finding.ClientRejectsServer
	if local == certs.Server {
		t.Outcome = finding.ServerRejectsClient
	}
	return false
}
