package verify

import (
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
)

// TestEveryRuleOfQEMUsSessionsIsBroken has a bad sample of each rule and of each of its messages, and a good one of all. That the
// messages are QEMU's own is what TestMigrationsAreWhatRealQEMUDoes of package preflight shows.
func TestEveryRuleOfQEMUsSessionsIsBroken(t *testing.T) {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other"))
	read := func(ids ...*testpki.Identity) (out []*certs.Certificate) {
		for _, id := range ids {
			c, err := certs.Import(id.DER)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c)
		}
		return out
	}
	cas := read(ca.Identity)
	server, client := ca.Server("kvm2"), ca.Client("kvm1")
	list, err := crl.Parse(ca.CRL(1, client))
	if err != nil {
		t.Fatal(err)
	}
	between := ca.Intermediate("Between")
	many := read(server)
	for len(many) <= maxDepth {
		many = append(many, cas[0])
	}
	of := func(options ...testpki.Option) []*certs.Certificate { return read(ca.Server("kvm2", options...)) }
	said := map[string]bool{}
	for _, c := range []struct {
		name string
		QEMUSession
		rule, message string
	}{
		{name: "a good server", QEMUSession: QEMUSession{Peer: read(server)}},
		{name: "a good client", QEMUSession: QEMUSession{Local: certs.Server, Peer: read(client)}},
		{name: "a server for clients alone, which QEMU does not look at here", QEMUSession: QEMUSession{Peer: of(testpki.Purpose(true, testpki.OIDClientAuth))}},
		{name: "a client's certificate of another name", QEMUSession: QEMUSession{Local: certs.Server, Peer: read(ca.Client("anybody"))}},
		{"no certificate", QEMUSession{Local: certs.Server}, "qemu-peer-without-certificate", "Verify failed: No certificate was found."},
		{"another CA", QEMUSession{Peer: read(other.Server("kvm2"))}, "qemu-peer-unknown-issuer", "The certificate hasn't got a known issuer"},
		{"an intermediate is missing", QEMUSession{Peer: read(between.Server("kvm2"))}, "qemu-peer-unknown-issuer", "The certificate hasn't got a known issuer"},
		{"revoked", QEMUSession{Local: certs.Server, Peer: read(client), Lists: []*crl.List{list}}, "qemu-peer-revoked", "The certificate has been revoked"},
		{"a small key for the priority", QEMUSession{Peer: of(testpki.Key(testpki.RSA1024)), Strength: Strength{Refuses: func(*certs.Certificate, bool) string { return "it has too few bits" }}}, "qemu-peer-insecure-algorithm",
			"The certificate uses an insecure algorithm"},
		{"expired", QEMUSession{Peer: of(testpki.Expired())}, "qemu-peer-not-trusted", "The certificate is not trusted"},
		{"a wrong signature", QEMUSession{Peer: of(testpki.BadSignature())}, "qemu-peer-not-trusted", "The certificate is not trusted"},
		{"too many", QEMUSession{Peer: many}, "qemu-peer-not-trusted", "Verify failed: Some constraint limits were reached."},
		{"an expired CA sent along", QEMUSession{Peer: read(server, ca.Intermediate("Old", testpki.Expired()).Identity)}, "qemu-peer-out-of-date", "The certificate has expired"},
		{"a CA of tomorrow sent along", QEMUSession{Peer: read(server, ca.Intermediate("New", testpki.NotYetValid()).Identity)}, "qemu-peer-out-of-date",
			"The certificate is not yet activated"},
		{"an empty subject", QEMUSession{Peer: of(testpki.EmptySubject())}, "qemu-peer-name-unreadable",
			"Cannot get client distinguished name: The requested data were not available."},
		{"another host", QEMUSession{Peer: of(), Host: "kvm2.example.com"}, "qemu-host-mismatch", "Certificate does not match the hostname kvm2.example.com"},
	} {
		if c.Local == 0 {
			c.Local = certs.Client
		}
		if c.Host == "" {
			c.Host = "kvm2"
		}
		c.CAs, c.At = cas, time.Now()
		message, id, _ := first(c.QEMUSession.Check())
		if id != c.rule || message != c.message {
			t.Errorf("%s: %q [%s], want %q [%s]", c.name, message, id, c.message, c.rule)
		}
		if id != "" {
			for _, m := range rule(id).LibvirtMessages {
				if anyMessage(finding.Rule{ID: id, LibvirtMessages: []string{m}}, message) {
					said[id+": "+m] = true
				}
			}
		}
	}
	for _, r := range qemuSessionRules {
		if r.Title == "" || r.Text == "" || r.Good == "" || r.Bad == "" || r.Source == "" || r.Remedy == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("rule %s is not whole", r.ID)
		}
		for _, m := range r.LibvirtMessages {
			if !said[r.ID+": "+m] {
				t.Errorf("no case of %s says %q", r.ID, m)
			}
		}
	}
}
