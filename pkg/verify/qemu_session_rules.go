package verify

import "github.com/virt-pki/virt-pki/pkg/finding"

const srcQEMUSession = "QEMU crypto/tlssession.c"

// qemuSessionRules are for what QEMU's ends say of each other's certificates during a connection. Measured with qemu-nbd and
// qemu-img 7.2, 10.0 and 11.1, which say the same.
var qemuSessionRules = []finding.Rule{
	{ID: "qemu-peer-without-certificate", Title: "QEMU's server is shown no certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "A listening QEMU with verify-peer on, as migrate_tls_x509_verify = 1 (the default) makes it, wants a certificate of the connecting QEMU: " +
			"client-cert.pem and client-key.pem in the source's directory, of a CA in the destination's ca-cert.pem.",
		LibvirtMessages: []string{"Verify failed: No certificate was found."},
		Remedy:          issueAnew + "; or migrate_tls_x509_verify = 0 in the destination's qemu.conf",
		Good:            "client-cert.pem and client-key.pem on the source", Bad: "server-cert.pem alone on the source", Source: srcQEMUSession},
	{ID: "qemu-peer-unknown-issuer", Title: "QEMU does not know the issuer of the other's certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "Each end has its own ca-cert.pem. Intermediates must be behind the leaf in the file of who shows it, or in that ca-cert.pem.",
		LibvirtMessages: []string{"The certificate hasn't got a known issuer"},
		Remedy:          "add the CA of the other host's certificate to ca-cert.pem",
		Good:            "one CA on both hosts", Bad: "two clusters with a CA each", Source: srcQEMUSession},
	{ID: "qemu-peer-revoked", Title: "The certificate that QEMU is shown is revoked", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "Only a listening QEMU has a list, ca-crl.pem; what was revoked of servers it cannot know.",
		LibvirtMessages: []string{"The certificate has been revoked"},
		Remedy:          "virt-pki issue peer NAME, a new certificate", Good: "a serial that is not on the list", Bad: "a revoked client-cert.pem", Source: srcQEMUSession},
	{ID: "qemu-peer-insecure-algorithm", Title: "The certificate that QEMU is shown has a broken signature or too small a key", Severity: finding.Error,
		Effect:          finding.RefusesPeer,
		Text:            "GnuTLS refuses MD5, SHA-1 and small keys in what it is shown, also where its owner's QEMU lets them pass.",
		LibvirtMessages: []string{"The certificate uses an insecure algorithm"},
		Remedy:          issueAnew, Good: "RSA with 2048 bits, SHA-256", Bad: "RSA with 768 bits", Source: srcQEMUSession},
	{ID: "qemu-peer-not-trusted", Title: "GnuTLS does not trust the certificate that QEMU is shown", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "One text for many causes: expired, a wrong signature, pathlen, name constraints, a purpose that a critical extension does not allow. " +
			"The finding says which.",
		LibvirtMessages: []string{"The certificate is not trusted", "Verify failed: Some constraint limits were reached."},
		Remedy:          issueAnew, Good: "a certificate that its CA signed", Bad: "a certificate that was changed afterwards", Source: srcQEMUSession},
	{ID: "qemu-peer-out-of-date", Title: "A certificate that is sent along is out of date", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "QEMU looks at the dates of all certificates that it is shown, needed or not.",
		LibvirtMessages: []string{"The certificate has expired", "The certificate is not yet activated"},
		Remedy:          "remove what is out of date from the certificate file", Good: "leaf and valid intermediates", Bad: "an old intermediate behind the leaf",
		Source: srcQEMUSession},
	{ID: "qemu-peer-name-unreadable", Title: "QEMU cannot read the name in the certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "An empty subject, which RFC 5280 allows beside a subjectAltName, is refused, also in a server's certificate.",
		LibvirtMessages: []string{"Cannot get client distinguished name: {error}"},
		Remedy:          issueAnew, Good: "CN=kvm1.example.com", Bad: "an empty subject", Source: srcQEMUSession},
	{ID: "qemu-host-mismatch", Title: "The destination's certificate is not for the name that libvirt gives", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "For a migration libvirt gives QEMU the host of the migration URI to compare: the destination's own name, its migration_host in " +
			"qemu.conf, or what --migrateuri or --tls-destination say. The names in libvirt's certificate do not matter.",
		LibvirtMessages: []string{"Certificate does not match the hostname {host}"},
		Remedy:          "virt-pki issue peer NAME,OTHERNAME, with the name; or virsh migrate --tls-destination with a name of the certificate",
		Good:            "kvm2.example.com in server-cert.pem on kvm2.example.com", Bad: "kvm2 in it alone", Source: srcQEMUSession},
}
