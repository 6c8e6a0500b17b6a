package verify

import "github.com/virt-pki/virt-pki/pkg/finding"

const (
	srcQEMU     = "QEMU crypto/tlscredsx509.c"
	issueAnew   = "virt-pki issue peer NAME --out DIR, then lay the tree over the host's /"
	oldQEMUPair = "Our own certificate {cert} failed validation against {ca}: "
)

// qemuRules are QEMU's own rules for the directories it reads (VNC, migration, NBD, ...), in its words. Since and Until are
// versions of QEMU here. Measured on 7.2 and 10.0, which are alike, and on 11.1; that 10.2 brought the change is its release
// notes' word.
var qemuRules = []finding.Rule{
	{ID: "qemu-ca-missing", Title: "QEMU's CA file is not there", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "QEMU reads the directory itself when a guest starts, migrates or is backed up. Both ends need ca-cert.pem; QEMU looks in one " +
			"directory only, which is /etc/pki/libvirt-SERVICE if that exists, and else /etc/pki/qemu.",
		LibvirtMessages: []string{"Unable to access credentials {path}: {error}"},
		Remedy:          "copy cacert.pem of the authority's directory to the path named",
		Good:            "/etc/pki/qemu/ca-cert.pem", Bad: "/etc/pki/qemu/cacert.pem, libvirt's name", Source: srcQEMU},
	{ID: "qemu-certificate-missing", Title: "QEMU's server has no certificate or key", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A listening QEMU (VNC, NBD, the target of a migration) needs server-cert.pem and server-key.pem; from 10.2 on those with the " +
			"indices 0 to 3 will do.",
		LibvirtMessages: []string{"Unable to access credentials {path}: {error}", "Missing server cert '{cert}' & key '{key}'"},
		Remedy:          issueAnew,
		Good:            "server-cert.pem and server-key.pem", Bad: "a directory with ca-cert.pem alone", Source: srcQEMU},
	{ID: "qemu-half-identity", Title: "QEMU finds a certificate without key or a key without certificate", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "From 10.2 on half a pair is an error, also of an index and also for a client. Before, a client silently went on without a " +
			"certificate, and indices were not looked at.",
		LibvirtMessages: []string{"Cert '{cert}' without corresponding key '{key}'", "Key '{key}' without corresponding cert '{cert}'"},
		Remedy:          issueAnew + "; or remove the remaining half",
		Good:            "client-cert.pem and client-key.pem", Bad: "client-cert.pem alone", Since: "10.2", Source: srcQEMU},
	{ID: "qemu-file-unreadable", Title: "A file is there but QEMU cannot read it", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "QEMU reads as its own user (libvirt-qemu on Debian, qemu on Fedora), whom neither libvirt nor virt-pki's root can stand in for: a key " +
			"of root with mode 0600 is found out only when a guest starts or migrates.",
		LibvirtMessages: []string{"Unable to access credentials {path}: Permission denied", "Cannot load CA cert list {path}: {error}",
			"Cannot load private key {path}: {error}", "Cannot load CA certificate '{path}': {error}",
			"Cannot load certificate '{cert}' & key '{key}': Error while reading file.", "Cannot load CRL '{path}': Error while reading file."},
		Remedy: "chgrp kvm FILE; chmod 0640 FILE    (Fedora: chgrp qemu)",
		Good:   "server-key.pem root:kvm 0640", Bad: "server-key.pem root:root 0600", Source: srcQEMU},
	{ID: "qemu-ca-not-importable", Title: "QEMU's CA file holds something that cannot be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "One damaged block makes the whole file unusable. Before 10.2 only the first 16 certificates are read, and the message does not say " +
			"what is wrong.",
		LibvirtMessages: []string{"Unable to import CA certificate list {path}", "Unable to import certificate {path}: {error}"},
		Remedy:          "copy cacert.pem of the authority's directory to the path named",
		Good:            "ca-cert.pem in PEM", Bad: "an empty ca-cert.pem", Source: srcQEMU},
	{ID: "qemu-certificate-not-importable", Title: "QEMU's certificate file holds something that cannot be read", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text:   "QEMU reads PEM only. There is no limit of 64 KiB as in libvirt; a NUL byte ends the file all the same.",
		LibvirtMessages: []string{"Unable to import server certificate {path}: {error}", "Unable to import client certificate {path}: {error}",
			"Unable to import certificate {path}: {error}", "Cannot load certificate '{cert}' & key '{key}': {error}"},
		Remedy: "openssl x509 -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:   "server-cert.pem in PEM", Bad: "server-cert.pem in DER", Source: srcQEMU},
	{ID: "qemu-key-not-importable", Title: "QEMU's key file holds no private key that can be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "From 10.2 on the message does not say what is wrong; a passphrase is one of the causes.",
		LibvirtMessages: []string{"Cannot load certificate '{cert}' & key '{key}': The requested data were not available.",
			"Cannot load certificate '{cert}' & key '{key}': {error}", "Unable to import private key {path}"},
		Remedy: "openssl pkey -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:   "server-key.pem in PEM", Bad: "server-key.pem in DER", Source: srcQEMU},
	{ID: "qemu-key-encrypted", Title: "QEMU's private key is protected by a passphrase", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "QEMU, other than libvirt itself, can be given a passphrase: libvirt hands it the secret that default_tls_x509_secret_uuid (or the one of the " +
			"service) in qemu.conf names. Without it the key cannot be used.",
		LibvirtMessages: []string{"Cannot load certificate '{cert}' & key '{key}': Decryption has failed.", "Unable to import private key {path}"},
		Remedy:          "openssl pkey -in FILE -out FILE.new, with umask 077; or set default_tls_x509_secret_uuid in qemu.conf",
		Good:            "server-key.pem: BEGIN PRIVATE KEY", Bad: "server-key.pem: BEGIN ENCRYPTED PRIVATE KEY", Source: srcQEMU},
	{ID: "qemu-key-mismatch", Title: "QEMU's key and certificate do not belong together", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The key must be that of the first certificate in the file.",
		LibvirtMessages: []string{"Cannot load certificate '{cert}' & key '{key}': The certificate and the given key do not match.",
			"Cannot set certificate '{cert}' & key '{key}': The certificate and the given key do not match."},
		Remedy: "copy certificate and key from one place, or virt-pki renew NAME",
		Good:   "the key of the certificate", Bad: "server-key.pem left over from the former certificate", Source: srcQEMU},
	{ID: "qemu-crl-not-importable", Title: "QEMU cannot read its revocation list", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "Only a listening QEMU looks for ca-crl.pem; without the file nothing is revoked, and neither signature nor dates count.",
		LibvirtMessages: []string{"Cannot load CRL '{path}': Base64 decoding error.", "Cannot load CRL '{path}': {error}"},
		Remedy:          "virt-pki crl publish; or openssl crl -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:            "ca-crl.pem in PEM", Bad: "ca-crl.pem in DER", Source: srcQEMU},

	{ID: "qemu-certificate-expired", Title: "QEMU's certificate has expired", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The object for TLS is made with each guest start, migration, backup or export; what runs already goes on.",
		LibvirtMessages: []string{"The server certificate {path}server-cert.pem has expired", "The client certificate {path}client-cert.pem has expired",
			"The server certificate {path}server-cert-{index}.pem has expired", "The client certificate {path}client-cert-{index}.pem has expired"},
		Remedy: "virt-pki renew", Good: "notAfter in the future", Bad: "notAfter yesterday", Source: srcQEMU},
	{ID: "qemu-certificate-not-yet-valid", Title: "QEMU's certificate is not valid yet", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "A certificate whose notBefore lies ahead is refused; often the clock of one machine is wrong.",
		LibvirtMessages: []string{"The server certificate {path}server-cert.pem is not yet active", "The client certificate {path}client-cert.pem is not yet active"},
		Remedy:          "timedatectl status, to see whether the clock is right; else virt-pki renew", Good: "notBefore in the past", Bad: "notBefore tomorrow", Source: srcQEMU},
	{ID: "qemu-leaf-is-ca", Title: "QEMU is given a CA certificate as a server's or client's", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "CA:TRUE in the first certificate of the file is refused; CA:FALSE and no such extension are both fine.",
		LibvirtMessages: []string{"The certificate {path}server-cert.pem basic constraints show a CA, but we need one for a server",
			"The certificate {path}client-cert.pem basic constraints show a CA, but we need one for a client"},
		Remedy: issueAnew, Good: "CA:FALSE", Bad: "CA:TRUE in server-cert.pem", Source: srcQEMU},
	{ID: "qemu-extension-unreadable", Title: "QEMU cannot read an extension of the certificate", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "QEMU asks GnuTLS for basicConstraints, keyUsage and extendedKeyUsage and refuses a certificate of which it gets an error.",
		LibvirtMessages: []string{"Unable to query certificate {path} basic constraints: {error}", "Unable to query certificate {path} key usage: {error}",
			"Unable to query certificate {path} key purpose: {error}"},
		Remedy: issueAnew, Good: "well-formed extensions", Bad: "extendedKeyUsage that is no SEQUENCE", Source: srcQEMU},
	{ID: "qemu-no-digital-signature", Title: "keyUsage lacks digitalSignature", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A critical keyUsage must have digitalSignature. keyEncipherment is not looked at, by none of the measured versions; libvirt before " +
			"11.6 wants it in its own certificates.",
		LibvirtMessages: []string{"Certificate {path}-cert.pem usage does not permit digital signature"},
		Remedy:          issueAnew, Good: "keyUsage critical: digitalSignature", Bad: "keyUsage critical: keyEncipherment", Source: srcQEMU},
	{ID: "qemu-wrong-purpose", Title: "extendedKeyUsage does not allow the role", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "If extendedKeyUsage is critical it must have the role's purpose or anyExtendedKeyUsage; what is unknown allows nothing. libvirt has " +
			"it the other way round. If it is not critical, QEMU says nothing. Hosts that migrate to one another need both purposes, or two certificates.",
		LibvirtMessages: []string{"Certificate {path} purpose does not allow use with a TLS server", "Certificate {path} purpose does not allow use with a TLS client"},
		Remedy:          issueAnew, Good: "serverAuth and clientAuth in a host's certificate", Bad: "a critical clientAuth alone in server-cert.pem", Source: srcQEMU},
	{ID: "qemu-ca-expired", Title: "A CA certificate of QEMU's has expired", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Before 10.2 every one of the first 16 certificates in ca-cert.pem must be valid, used or not. From 10.2 on only the CAs on the way " +
			"from the certificate to the root count, wherever they stand; of two certificates of one CA the first in the file is taken.",
		LibvirtMessages: []string{"The CA certificate {path}-cert.pem has expired", "The CA certificate {path}-cert-{index}.pem has expired",
			oldQEMUPair + "The certificate is not trusted"},
		Remedy: "remove the expired certificate from the file; if it is the one in use: a new CA (virt-pki init), its certificate added to every ca-cert.pem first",
		Good:   "all CAs valid", Bad: "an expired CA beside the good one, before 10.2", Source: srcQEMU},
	{ID: "qemu-ca-not-yet-valid", Title: "A CA certificate of QEMU's is not valid yet", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "Before 10.2 the next CA must not be put into ca-cert.pem before it is valid. From 10.2 on it may.",
		LibvirtMessages: []string{"The CA certificate {path}-cert.pem is not yet active"},
		Remedy:          "remove the certificate from the CA file until it is valid", Good: "all CAs valid", Bad: "next year's CA beside the good one, before 10.2", Source: srcQEMU},
	{ID: "qemu-ca-is-no-ca", Title: "A certificate in a CA's place is no CA", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "CAs must say CA:TRUE: before 10.2 all in ca-cert.pem, from 10.2 on those on the way to the root and all that stand behind the leaf in " +
			"its file. A self-signed server certificate as its own CA is refused by all versions.",
		LibvirtMessages: []string{"The certificate {path}-cert.pem basic constraints do not show a CA", "The certificate {path}-cert.pem is missing basic constraints for a CA"},
		Remedy:          "copy cacert.pem of the authority's directory to the path named",
		Good:            "CA:TRUE", Bad: "a self-signed server certificate as ca-cert.pem", Source: srcQEMU},
	{ID: "qemu-ca-without-certsign", Title: "keyUsage of a CA of QEMU's lacks keyCertSign", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "If keyUsage of a CA is critical it must have keyCertSign. If it is not critical, GnuTLS refuses what this CA has signed.",
		LibvirtMessages: []string{"Certificate {path}-cert.pem usage does not permit certificate signing", oldQEMUPair + "The certificate is not trusted"},
		Remedy:          "a new CA: virt-pki init", Good: "keyUsage: keyCertSign, cRLSign", Bad: "keyUsage critical: cRLSign", Source: srcQEMU},

	{ID: "qemu-unknown-issuer", Title: "The issuer is not among QEMU's CAs", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Before 10.2 the first certificate of the file is checked against ca-cert.pem alone, of which the first 16 certificates are seen: " +
			"intermediates must stand there, too.",
		LibvirtMessages: []string{oldQEMUPair + "The certificate hasn't got a known issuer"},
		Remedy:          "add the issuer's certificate to ca-cert.pem; intermediates go both there and behind the leaf",
		Good:            "the issuer is in ca-cert.pem", Bad: "a certificate of another CA", Source: srcQEMU},
	{ID: "qemu-no-issuer", Title: "QEMU finds no way to a self-signed CA", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "From 10.2 on every CA up to a self-signed one must be in the certificate file or in ca-cert.pem: an intermediate as the only " +
			"CA, which older versions and libvirt take, is refused.",
		LibvirtMessages: []string{"Cert '{name}' has no issuer in CA chain", "Unable to fetch cert DN: {error}"},
		Remedy:          "add the missing CA certificate, up to the root, to ca-cert.pem",
		Good:            "root and intermediate in ca-cert.pem", Bad: "the intermediate alone in ca-cert.pem", Since: "10.2", Source: srcQEMU},
	{ID: "qemu-chain-order", Title: "The certificates in the file are not in order", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "From 10.2 on each certificate in the file must be the issuer of the one before it, leaf first, without a gap and without strangers. " +
			"Before, only the first was looked at.",
		LibvirtMessages: []string{"Cert '{name}' does not match issuer of cert '{name}'",
			"Cannot set certificate '{cert}' & key '{key}': The provided X.509 certificate list is not sorted (in subject to issuer order)"},
		Remedy: "put the leaf first, then its issuer, then that one's issuer; remove what does not belong there",
		Good:   "leaf, intermediate", Bad: "leaf, another CA", Since: "10.2", Source: srcQEMU},
	{ID: "qemu-insecure-algorithm", Title: "The signature algorithm is broken", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "GnuTLS refuses certificates signed with MD5 or SHA-1. The self-signature of a CA does not matter.",
		LibvirtMessages: []string{oldQEMUPair + "The certificate uses an insecure algorithm"},
		Remedy:          issueAnew, Good: "SHA-256", Bad: "SHA-1", Source: srcChain},
	{ID: "qemu-not-trusted", Title: "GnuTLS does not trust QEMU's certificate", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "One text for many causes: a wrong signature, an issuer that is no CA, pathlen, name constraints, a critical extension that is not " +
			"known, an expired issuer. The finding says which.",
		LibvirtMessages: []string{oldQEMUPair + "The certificate is not trusted"},
		Remedy:          issueAnew, Good: "a certificate that its CA signed", Bad: "a certificate that was changed afterwards", Source: srcChain},
}
