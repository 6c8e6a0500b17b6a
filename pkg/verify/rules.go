package verify

import (
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Where the rules are from.
const (
	srcOwn     = "virNetTLSContextSanityCheckCredentials (9.0, 11.3), virNetTLSCertSanityCheck (11.6 and later)"
	srcSession = "virNetTLSContextValidCertificate (9.0, 11.3), virNetTLSCertValidate (11.6 and later)"
	srcTimes   = "virNetTLSContextCheckCertTimes, virNetTLSCertCheckTimes"
	srcBasic   = "virNetTLSContextCheckCertBasicConstraints, virNetTLSCertCheckBasicConstraints"
	srcUsage   = "virNetTLSContextCheckCertKeyUsage, virNetTLSCertCheckKeyUsage"
	srcPurpose = "virNetTLSContextCheckCertKeyPurpose, virNetTLSCertCheckKeyPurpose"
	srcLoad    = "virNetTLSContextLoadCredentials"
	srcChain   = "GnuTLS lib/x509/verify.c and verify-high.c"
	srcFiles   = "virNetTLSContextCheckCertFile (9.0, 11.3), virNetTLSConfigCheckIdentity and virNetTLSConfigCheckTrust (11.10 and later)"
)

// The texts in which GnuTLS's verdicts reach the log: about an own certificate and about a peer's.
func verdictMessages(reason string) []string {
	return []string{
		"Our own certificate {cert} failed validation against {ca}: " + reason,
		"Certificate failed validation: " + reason,
	}
}

const (
	notTrusted  = "The certificate is not trusted."
	noIssuer    = "The certificate hasn't got a known issuer."
	revokedText = "The certificate has been revoked."
	insecure    = "The certificate uses an insecure algorithm"
)

// dnRefused is libvirt's text for a name that tls_allowed_dn_list does not let in.
const dnRefused = "Client's Distinguished Name is not on the list of allowed clients (tls_allowed_dn_list).  " +
	"Use 'virt-pki-query-dn clientcert.pem' to view the Distinguished Name field in the client certificate, " +
	"or run this daemon with --verbose option."

// rules is the catalogue of this package, in the order in which libvirt comes to them.
var rules = []finding.Rule{
	// Files.
	{ID: "ca-file-missing", Title: "The CA file is not there", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Daemon and client need a CA file, even where verification is switched off. libvirt looks for it in one place " +
			"only; with pkipath there is no other place to fall back to. Before 11.10 the file is missed after the sanity " +
			"check of the others, later before it.",
		LibvirtMessages: []string{"Cannot read CA certificate '{path}': {error}", "CA certificate '{path}' does not exist: {error}"},
		Remedy:          "copy cacert.pem of the authority's directory to the path named",
		Good:            "cacert.pem lies where libvirt looks for it", Bad: "a client directory without cacert.pem", Source: srcFiles},
	{ID: "certificate-file-missing", Title: "The server's certificate file is not there", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "A daemon that listens on TLS needs certificate and key. A client without both goes on without an identity; the " +
			"daemon then refuses it.",
		LibvirtMessages: []string{"Cannot read certificate '{path}': {error}", "Certificate '{path}' does not exist: {error}"},
		Remedy:          "virt-pki issue server NAME --out DIR, then lay the tree over the host's /",
		Good:            "servercert.pem and serverkey.pem are there", Bad: "a daemon's directory without servercert.pem", Source: srcFiles},
	{ID: "key-file-missing", Title: "The server's key file is not there", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "A daemon needs the private key of its certificate.",
		LibvirtMessages: []string{"Cannot read private key '{path}': {error}", "Key '{path}' does not exist, but certificate '{cert}' does: {error}"},
		Remedy:          "virt-pki issue server NAME --out DIR, then lay the tree over the host's /",
		Good:            "servercert.pem and serverkey.pem are there", Bad: "a daemon's directory without serverkey.pem", Source: srcFiles},
	{ID: "half-identity", Title: "A client has a certificate without key or a key without certificate", Severity: finding.Error,
		Effect: finding.RefusesOwnCertificate,
		Text: "Up to 11.9 libvirt silently goes on without any certificate, and the daemon refuses the client with nothing but a " +
			"closed connection. From 11.10 on the client stops at once and names the missing half.",
		LibvirtMessages: []string{"Certificate '{cert}' does not exist, but key '{key}' does: {error}",
			"Key '{key}' does not exist, but certificate '{cert}' does: {error}"},
		Remedy: "virt-pki issue client NAME --out DIR, then lay the tree over the host's /; or remove the remaining half",
		Good:   "clientcert.pem and clientkey.pem are both there", Bad: "clientcert.pem without clientkey.pem", Source: srcFiles},
	{ID: "no-client-identity", Title: "The client has no certificate", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "A client without certificate and key connects without an identity. A daemon refuses it unless it runs with " +
			"tls_no_verify_certificate = 1.",
		Remedy: "virt-pki issue client NAME --out DIR, then lay the tree over the host's /",
		Good:   "clientcert.pem and clientkey.pem are there", Bad: "a client's directory with cacert.pem only", Source: srcLoad},
	{ID: "file-unreadable", Title: "A file is there but cannot be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "libvirt skips the sanity check of a file it may not read, and fails when GnuTLS loads it. It does not fall back " +
			"to another directory: only whether a file exists decides that.",
		LibvirtMessages: []string{"Failed to read file '{path}': {error}", "Unable to set x509 CA certificate: {path}: Error while reading file.",
			"Unable to set x509 certificate revocation list: {path}: Error while reading file.",
			"Unable to set x509 key and certificate: {key}, {cert}: Error while reading file."},
		Remedy: "namei -l FILE shows what is in the way; chown and chmod so that the user who runs libvirt can read it",
		Good:   "the key is readable by the user who runs libvirt", Bad: "clientkey.pem with mode 0600 of another user", Source: srcLoad},
	{ID: "file-too-large", Title: "A certificate file is larger than libvirt reads", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The sanity check reads at most 65536 bytes of the certificate and the CA file. GnuTLS itself has no such limit, so " +
			"that the file works with the check switched off.",
		LibvirtMessages: []string{"Failed to read file '{path}': Value too large for defined data type"},
		Remedy:          "remove text and unneeded certificates from the file: openssl x509 -in FILE -out FILE.new",
		Good:            "cacert.pem with two certificates", Bad: "cacert.pem padded beyond 64 KiB", Source: srcOwn},
	{ID: "nul-byte-in-file", Title: "A NUL byte hides the rest of a file from the sanity check", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "libvirt's sanity check takes the file for a C string: what stands behind a NUL byte is not checked, though GnuTLS " +
			"loads it afterwards.",
		Remedy: "tr -d '\\000' < FILE > FILE.new",
		Good:   "a text file", Bad: "cacert.pem with a NUL byte between two certificates", Source: srcOwn},
	{ID: "certificate-not-importable", Title: "The certificate file holds no certificate that can be read", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "libvirt reads PEM only: CERTIFICATE or X509 CERTIFICATE. DER, TRUSTED CERTIFICATE and a block without END line are " +
			"refused; text before and after is fine.",
		LibvirtMessages: []string{"Unable to import server certificate {path}", "Unable to import client certificate {path}"},
		Remedy:          "openssl x509 -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:            "servercert.pem in PEM", Bad: "servercert.pem in DER", Source: "virNetTLSContextLoadCertFromFile, virNetTLSCertLoadFromFile"},
	{ID: "ca-file-not-importable", Title: "The CA file holds something that cannot be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "All of the first 16 certificates in the file must be readable, and one must be there. One damaged block beside good " +
			"ones makes the whole file unusable.",
		LibvirtMessages: []string{"Unable to import CA certificate list {path}", "Unable to import certificate list {path}",
			"Unable to set x509 CA certificate: {path}: {error}"},
		Remedy: "copy cacert.pem of the authority's directory to the path named",
		Good:   "cacert.pem in PEM", Bad: "an empty cacert.pem", Source: "virNetTLSContextLoadCACertListFromFile, virNetTLSCertLoadListFromFile"},
	{ID: "key-not-importable", Title: "The key file holds no private key that can be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "GnuTLS reads PKCS#8, PKCS#1 and SEC1 keys in PEM, with nothing but other PEM blocks and text around them.",
		LibvirtMessages: []string{"Unable to set x509 key and certificate: {key}, {cert}: {error}"},
		Remedy:          "openssl pkey -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:            "serverkey.pem in PEM", Bad: "serverkey.pem in DER", Source: srcLoad},
	{ID: "key-encrypted", Title: "The private key is protected by a passphrase", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "libvirt never asks for a passphrase and cannot be given one.",
		LibvirtMessages: []string{"Unable to set x509 key and certificate: {key}, {cert}: Decryption has failed."},
		Remedy:          "openssl pkey -in FILE -out FILE.new, with umask 077",
		Good:            "serverkey.pem: BEGIN PRIVATE KEY", Bad: "serverkey.pem: BEGIN ENCRYPTED PRIVATE KEY", Source: srcLoad},
	{ID: "key-mismatch", Title: "Key and certificate do not belong together", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The key file must hold the key of the first certificate in the certificate file. This comes about when a pair is " +
			"replaced file by file, or when a chain is written in the wrong order.",
		LibvirtMessages: []string{"Unable to set x509 key and certificate: {key}, {cert}: The certificate and the given key do not match."},
		Remedy:          "copy certificate and key from one place, or virt-pki renew NAME",
		Good:            "the key of the certificate", Bad: "serverkey.pem left over from the former certificate", Source: srcLoad},
	{ID: "chain-not-importable", Title: "Something behind the first certificate of a file cannot be read", Severity: finding.Error,
		Effect: finding.RefusesToStart,
		Text: "The sanity check looks at the first certificate of the file only, but GnuTLS loads all of them and refuses the file " +
			"if one is damaged.",
		LibvirtMessages: []string{"Unable to set x509 key and certificate: {key}, {cert}: ASN1 parser: Error in TAG.",
			"Unable to set x509 key and certificate: {key}, {cert}: {error}"},
		Remedy: "remove the damaged block from the certificate file",
		Good:   "leaf and intermediate", Bad: "leaf followed by a damaged block", Source: srcLoad},
	{ID: "crl-file-missing", Title: "The configured revocation list is not there", Severity: finding.Error, Effect: finding.Ignores,
		Text: "Up to 11.9 a daemon whose crl_file is not there starts and refuses nobody: revocation looks configured but is off. " +
			"From 11.10 on it does not start. The default list (cacrl.pem) may be missing in every version.",
		LibvirtMessages: []string{"Unable to set x509 certificate revocation list: {path}: Error while reading file."},
		Remedy:          "virt-pki crl publish, or remove crl_file from libvirtd.conf",
		Good:            "crl_file names a list", Bad: "crl_file names a file that is not there", Source: srcLoad},
	{ID: "crl-not-importable", Title: "The revocation list cannot be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A file without any X509 CRL block in PEM stops daemon and client: DER, an empty file, a certificate in its place.",
		LibvirtMessages: []string{"Unable to set x509 certificate revocation list: {path}: Base64 decoding error.",
			"Unable to set x509 certificate revocation list: {path}: {error}"},
		Remedy: "virt-pki crl publish; or openssl crl -inform DER -in FILE -out FILE.new, if the file is DER",
		Good:   "cacrl.pem in PEM", Bad: "cacrl.pem in DER", Source: srcLoad},

	// The certificate itself.
	{ID: "certificate-expired", Title: "The certificate has expired", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "An expired certificate keeps its owner from starting or connecting. Seen from the other end, GnuTLS calls it only " +
			"not trusted.",
		LibvirtMessages: append([]string{"The server certificate {path} has expired", "The client certificate {path} has expired"},
			verdictMessages(notTrusted)...),
		Remedy: "virt-pki renew",
		Good:   "notAfter in the future", Bad: "notAfter yesterday", Source: srcTimes},
	{ID: "certificate-not-yet-valid", Title: "The certificate is not valid yet", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A certificate whose notBefore lies ahead is refused; often the clock of one machine is wrong.",
		LibvirtMessages: append([]string{"The server certificate {path} is not yet active", "The client certificate {path} is not yet active"},
			verdictMessages(notTrusted)...),
		Remedy: "timedatectl status, to see whether the clock is right; else virt-pki renew",
		Good:   "notBefore in the past", Bad: "notBefore tomorrow", Source: srcTimes},
	{ID: "leaf-is-ca", Title: "A CA certificate is used as a server's or client's", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "libvirt refuses a leaf whose basicConstraints say CA:TRUE; this also comes about when the intermediate stands first in " +
			"the certificate file. CA:FALSE and no such extension are both fine.",
		LibvirtMessages: []string{"The certificate {path} basic constraints show a CA, but we need one for a server",
			"The certificate {path} basic constraints show a CA, but we need one for a client"},
		Remedy: "virt-pki issue server NAME (or client NAME); in a chain the leaf comes first",
		Good:   "CA:FALSE", Bad: "CA:TRUE in servercert.pem", Source: srcBasic},
	{ID: "extension-unreadable", Title: "An extension of the certificate cannot be read", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "libvirt asks GnuTLS for basicConstraints, keyUsage and extendedKeyUsage and refuses a certificate of which it gets an error.",
		LibvirtMessages: []string{"Unable to query certificate {path} basic constraints {error}", "Unable to query certificate {path} key usage {error}",
			"Unable to query certificate {path} key purpose {error}"},
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "well-formed extensions", Bad: "extendedKeyUsage that is no SEQUENCE", Source: srcUsage},
	{ID: "no-digital-signature", Title: "keyUsage lacks digitalSignature", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "A certificate with a critical keyUsage extension must have digitalSignature. Where the extension is not critical " +
			"libvirt only warns, but a GnuTLS client does not send such a certificate at all.",
		LibvirtMessages: []string{"Certificate {path} usage does not permit digital signature"},
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "keyUsage critical: digitalSignature, keyEncipherment", Bad: "keyUsage critical: keyEncipherment", Source: srcUsage},
	{ID: "no-key-encipherment", Title: "keyUsage lacks keyEncipherment", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Before 11.6 a certificate with a critical keyUsage extension must also have keyEncipherment, whatever its key, ECDSA " +
			"and Ed25519 included: no such certificate made by certtool works. Debian's 11.3.0-3+deb13u1 and later no longer look. " +
			"Each end judges both certificates, so the oldest libvirt of a cluster decides.",
		LibvirtMessages: []string{"Certificate {path} usage does not permit key encipherment"},
		Remedy:          "virt-pki issue server NAME (or client NAME), by an authority made for libvirt 9.0, as is the default",
		Good:            "keyUsage critical: digitalSignature, keyEncipherment", Bad: "keyUsage critical: digitalSignature",
		Until: "11.6.0", Source: srcUsage},
	{ID: "wrong-purpose", Title: "extendedKeyUsage does not allow the role", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "If extendedKeyUsage is critical it must allow the role; if not, libvirt only warns. libvirt's test has a twist: " +
			"anyExtendedKeyUsage allows nothing, and any purpose it does not know, such as code signing, allows everything.",
		LibvirtMessages: []string{"Certificate {path} purpose does not allow use for with a TLS server",
			"Certificate {path} purpose does not allow use for with a TLS client"},
		Remedy: "virt-pki issue server NAME (or client NAME; both for hosts that migrate to one another)",
		Good:   "serverAuth in a server's certificate", Bad: "a critical clientAuth alone in a server's certificate", Source: srcPurpose},

	// CAs.
	{ID: "ca-expired", Title: "A CA certificate has expired", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Every one of the first 16 certificates in the CA file must be valid, whether it is used or not: one expired CA left over " +
			"from a rotation stops the daemon and every client.",
		LibvirtMessages: append([]string{"The CA certificate {path} has expired"}, verdictMessages(notTrusted)...),
		Remedy:          "remove the expired certificate from the CA file; if it is the one in use: a new CA (virt-pki init), its certificate added to every cacert.pem first",
		Good:            "all CAs valid", Bad: "an expired CA beside the good one", Source: srcTimes},
	{ID: "ca-not-yet-valid", Title: "A CA certificate is not valid yet", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "The next CA must not be put into the CA file before it is valid: the daemon and every client would stop.",
		LibvirtMessages: append([]string{"The CA certificate {path} is not yet active"}, verdictMessages(notTrusted)...),
		Remedy:          "remove the certificate from the CA file until it is valid",
		Good:            "all CAs valid", Bad: "next year's CA beside the good one", Source: srcTimes},
	{ID: "ca-is-no-ca", Title: "A certificate in the CA file is no CA", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Each of the first 16 certificates in the CA file must say CA:TRUE. Version 1 certificates and self-signed server " +
			"certificates do not.",
		LibvirtMessages: []string{"The certificate {path} basic constraints do not show a CA",
			"The certificate {path} is missing basic constraints for a CA"},
		Remedy: "copy cacert.pem of the authority's directory to the path named",
		Good:   "CA:TRUE", Bad: "a self-signed server certificate as cacert.pem", Source: srcBasic},
	{ID: "ca-without-certsign", Title: "keyUsage of a CA lacks keyCertSign", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "If keyUsage of a CA is critical it must have keyCertSign. If it is not critical libvirt only warns, but GnuTLS refuses " +
			"what this CA has signed.",
		LibvirtMessages: append([]string{"Certificate {path} usage does not permit certificate signing"}, verdictMessages(notTrusted)...),
		Remedy:          "a new CA: virt-pki init",
		Good:            "keyUsage: keyCertSign, cRLSign", Bad: "keyUsage critical: cRLSign", Source: srcUsage},
	{ID: "too-many-cas", Title: "More CAs than the sanity check sees", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "The sanity check takes the first 16 certificates of the CA file. A signer in a later place is unknown to it, though " +
			"GnuTLS would trust it; an expired one there does no harm.",
		Remedy: "remove unneeded certificates, or move the signer of the own certificate to the front",
		Good:   "16 certificates", Bad: "17 certificates", Source: srcOwn},

	// Chains.
	{ID: "unknown-issuer", Title: "The issuer is not among the CAs", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "An own certificate is checked against the own CA file alone: intermediates must stand there, even if they also follow " +
			"the leaf in its file. A peer's certificate is checked together with what the peer sent.",
		LibvirtMessages: verdictMessages(noIssuer),
		Remedy:          "add the issuer's certificate to the CA file; intermediates go both there and behind the leaf",
		Good:            "the issuer is in cacert.pem", Bad: "a certificate of another CA", Source: srcChain},
	{ID: "insecure-algorithm", Title: "The signature algorithm is broken", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "GnuTLS refuses certificates signed with MD5 or SHA-1. The self-signature of a CA does not matter.",
		LibvirtMessages: verdictMessages(insecure),
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "SHA-256", Bad: "SHA-1", Source: srcChain},
	{ID: "key-too-small", Title: "The key is too small", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "With the priority NORMAL each end demands at least 1024 bits of the other's RSA key and of its issuer's. The owner's own " +
			"sanity check does not notice.",
		LibvirtMessages: []string{"Certificate failed validation: " + insecure},
		Remedy:          "virt-pki issue server NAME (or client NAME) --key-type rsa3072; or a lower profile in tls_priority: %PROFILE_LOW",
		Good:            "RSA with 2048 bits", Bad: "RSA with 768 bits", Source: srcChain},
	{ID: "certificate-revoked", Title: "The certificate is revoked", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The revocation list loaded by this end names the peer's certificate or an intermediate. Issuer and serial number decide; " +
			"neither signature nor dates of the list are looked at. Nobody checks the own certificate.",
		LibvirtMessages: verdictMessages(revokedText),
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "a serial that is not on the list", Bad: "a serial that is", Source: srcChain},
	{ID: "signature-wrong", Title: "The signature is not the issuer's", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "The certificate names a CA that did not sign it. Either it was changed, or two CAs share one name and the wrong one was " +
			"picked: GnuTLS tells them apart by key identifiers only.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "a signature of the CA", Bad: "a changed certificate", Source: srcChain},
	{ID: "issuer-is-no-ca", Title: "The issuer is no CA", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "A certificate that signed another one must say CA:TRUE.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "a new CA: virt-pki init",
		Good:            "CA:TRUE", Bad: "a client's certificate that signed another", Source: srcChain},
	{ID: "path-too-long", Title: "More CAs below one another than a CA allows", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "pathlen in a CA's basicConstraints says how many CAs may stand below it.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "a new CA without that pathlen: virt-pki init",
		Good:            "a leaf below a CA with pathlen 0", Bad: "an intermediate below a CA with pathlen 0", Source: srcChain},
	{ID: "name-not-permitted", Title: "A name is outside the CA's name constraints", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text: "Every name and address of the certificate, and its common name where it has no DNS name, must satisfy the name " +
			"constraints of all CAs above it.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "virt-pki issue server NAME, with a permitted name",
		Good:            "kvm1.example.com below a CA for example.com", Bad: "kvm1.example.org below a CA for example.com", Source: srcChain},
	{ID: "tls-feature-missing", Title: "A TLS feature that the CA demands is missing", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "A CA with the TLS feature extension (RFC 7633) demands these features of the certificates below it.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "a new CA without that extension: virt-pki init",
		Good:            "a CA without the extension", Bad: "a CA that demands status_request of a leaf that lacks it", Source: srcChain},
	{ID: "must-staple", Title: "The certificate demands an OCSP answer, which libvirt never sends", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "A certificate with the TLS feature status_request is refused by the other end, be it client or daemon, unless an OCSP answer " +
			"comes with it. libvirt sends none.",
		LibvirtMessages: []string{"Certificate failed validation: " + notTrusted},
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "no TLS feature extension", Bad: "status_request in a server's or client's certificate", Source: "GnuTLS lib/cert-session.c (RFC 7633)"},
	{ID: "unknown-critical-extension", Title: "A critical extension is unknown to GnuTLS", Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "GnuTLS refuses leafs and issuers with a critical extension it does not know.",
		LibvirtMessages: verdictMessages(notTrusted),
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "the extension is not critical", Bad: "it is", Source: srcChain},
	{ID: "cannot-check-signature", Title: "A signature could not be checked here", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "virt-pki does not know this kind of key (Ed448, P-192, explicit curve parameters) and took the signature for good. " +
			"GnuTLS may check it.",
		Remedy: "certtool --verify --load-ca-certificate CA --infile CERT",
		Good:   "an RSA key", Bad: "an Ed448 key", Source: "this program"},

	// Sessions.
	{ID: "no-client-certificate", Title: "The client sent no certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The daemon requests a certificate and refuses a client that sends none. Mostly the client has one, but GnuTLS does not " +
			"send it: its issuer is not in the daemon's CA file, or keyUsage lacks digitalSignature.",
		LibvirtMessages: []string{"Unable to verify TLS peer: No certificate was found."},
		Remedy:          "virt-pki issue client NAME --authority DIR, of the CA that the daemon trusts",
		Good:            "a client with a certificate of the daemon's CA", Bad: "a client without", Source: srcSession,
		DependsOn: []string{"client-certificate-not-sent", "no-client-identity", "half-identity"}},
	{ID: "client-certificate-not-sent", Title: "The client keeps its certificate back", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The daemon names its CAs, and GnuTLS sends a client's certificate only if one of them issued it or a certificate behind it " +
			"in its file; and only if keyUsage, where present, has digitalSignature. The daemon's log says that no certificate was found.",
		LibvirtMessages: []string{"Unable to verify TLS peer: No certificate was found."},
		Remedy:          "add the client's CA to the daemon's CA file, or virt-pki issue client NAME with the daemon's CA",
		Good:            "the issuer is in the daemon's list", Bad: "a certificate of a CA that the daemon does not know", Source: "GnuTLS lib/auth/cert.c"},
	{ID: "too-many-certificates", Title: "The peer sent more than 16 certificates", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "GnuTLS refuses to look at longer chains.",
		LibvirtMessages: []string{"Unable to verify TLS peer: Some constraint limits were reached."},
		Remedy:          "keep the leaf and its intermediates in the certificate file, and nothing else",
		Good:            "leaf and one intermediate", Bad: "17 certificates", Source: "GnuTLS lib/cert-session.c"},
	{ID: "sent-certificate-out-of-date", Title: "A certificate sent beside the leaf is out of date", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "libvirt looks at the dates of every certificate the peer sends, needed or not: an expired one behind the leaf in its file " +
			"ends the connection even if the leaf is good.",
		LibvirtMessages: []string{"The CA certificate [session] has expired", "The CA certificate [session] is not yet active"},
		Remedy:          "remove the outdated certificate from the peer's certificate file",
		Good:            "leaf and valid intermediate", Bad: "leaf and expired former intermediate", Source: srcTimes},
	{ID: "no-subject", Title: "The certificate has no subject name", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "A peer's certificate with an empty subject is always refused, on both sides, with or without a list of names, whatever " +
			"alternative names it has. Its owner's sanity check does not notice.",
		LibvirtMessages: []string{"Failed to get certificate [session] distinguished name: The requested data were not available."},
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "CN=kvm1.example.com", Bad: "an empty subject", Source: srcSession},
	{ID: "name-unreadable", Title: "The certificate's name cannot be read", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "GnuTLS cannot turn the subject into text, and libvirt refuses the peer.",
		LibvirtMessages: []string{"Failed to get certificate [session] distinguished name: {error}"},
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "CN=kvm1.example.com", Bad: "a CN of zero octets", Source: srcSession},
	{ID: "empty-rdn", Title: "An empty part in the certificate's name aborts libvirt", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "A subject with an empty SET makes GnuTLS abort the process: one such client certificate of a trusted CA ends the daemon " +
			"for everybody, one such server certificate ends virsh.",
		LibvirtMessages: []string{"_gnutls_x509_parse_dn: Assertion `dn.data != NULL' failed."},
		Remedy:          "virt-pki revoke SERIAL does not help here; remove the CA that issued it from the CA file",
		Good:            "CN=admin", Bad: "SEQUENCE { SET {} }", Source: "GnuTLS lib/x509/dn.c"},
	{ID: "dn-not-allowed", Title: "The name is not on the list of allowed clients", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "tls_allowed_dn_list is matched against the name in the order of the certificate, as virt-pki query-dn prints it. An empty " +
			"list lets nobody in; no list lets everybody in who has a certificate.",
		LibvirtMessages: []string{dnRefused},
		Remedy:          "add the output of virt-pki query-dn clientcert.pem to tls_allowed_dn_list and restart the daemon",
		Good:            "the pattern is the name as virt-pki query-dn prints it", Bad: "the pattern has certtool's order", Source: "virNetTLSContextCheckCertDNACL, virNetTLSCertCheckDNACL"},
	{ID: "host-mismatch", Title: "The certificate is not for this host", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The client compares the host exactly as in the URI with the certificate's alternative names: an address only with addresses, " +
			"a name with DNS names, and with the common name only if there are none of either.",
		LibvirtMessages: []string{"Certificate [session] owner does not match the hostname {host}"},
		Remedy:          "virt-pki issue server NAME,HOST, with every name and address that clients use",
		Good:            "the host is among the alternative names", Bad: "a short name that is not", Source: "virNetTLSContextCheckCertDNS, virNetTLSCertValidate"},

	// What libvirt does not do.
	{ID: "crl-stale", Title: "The revocation list is out of date", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "libvirt never looks at nextUpdate: an old list keeps working for ever, and nobody notices that revocation is no longer " +
			"refreshed.",
		Remedy: "virt-pki crl publish",
		Good:   "nextUpdate in the future", Bad: "nextUpdate last year", Source: "GNUTLS_CERTIFICATE_VERIFY_CRLS is never set"},
	{ID: "crl-not-yet-valid", Title: "The revocation list is from the future", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "libvirt does not look at thisUpdate, except to prefer the newest of several lists of one CA: this one would win.",
		Remedy: "virt-pki crl publish, after setting the clock",
		Good:   "thisUpdate in the past", Bad: "thisUpdate next year", Source: "GNUTLS_CERTIFICATE_VERIFY_CRLS is never set"},
	{ID: "crl-signature-wrong", Title: "The revocation list is not signed by the CA", Severity: finding.Error, Effect: finding.Ignores,
		Text: "libvirt does not verify the signature of a list: who can write the file can revoke anybody or let everybody in again, and " +
			"a damaged list goes unnoticed.",
		Remedy: "virt-pki crl publish",
		Good:   "a list signed by the CA", Bad: "a list signed by another key under the CA's name", Source: "GNUTLS_CERTIFICATE_VERIFY_CRLS is never set"},
	{ID: "crl-issuer-unknown", Title: "The revocation list is of a CA that is not trusted", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "A list applies to the certificates whose issuer has exactly its name. This one applies to none that could be accepted.",
		Remedy: "remove the list from the file, or virt-pki crl publish for the right CA",
		Good:   "a list of a CA in the CA file", Bad: "a list of a former CA", Source: srcChain},
	{ID: "crl-superseded", Title: "A revocation list is replaced by a newer one in the same file", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "Of several lists of one CA only that with the newest thisUpdate counts, whatever the order; what the older one names and the " +
			"newer does not is no longer revoked.",
		Remedy: "remove the older list",
		Good:   "one list for each CA", Bad: "last year's list beside this year's", Source: "gnutls_x509_trust_list_add_crls"},
	{ID: "crl-delta", Title: "A delta list is taken for a complete one", Severity: finding.Warning, Effect: finding.Ignores,
		Text: "GnuTLS does not know delta lists: it would use this one in place of the complete list if it is newer, and forget all that the " +
			"complete list revokes.",
		Remedy: "virt-pki crl publish, which makes complete lists",
		Good:   "a complete list", Bad: "a list with deltaCRLIndicator", Source: "gnutls_x509_trust_list_add_crls"},
	{ID: "own-certificate-revoked", Title: "The own certificate is on the own revocation list", Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "Nobody checks the own certificate against the list, but peers with the same list refuse it.",
		Remedy: "virt-pki issue server NAME (or client NAME)",
		Good:   "a serial that is not on the list", Bad: "a serial that is", Source: srcOwn},
	{ID: "intermediate-not-sent", Title: "An intermediate is in the own CA file but not behind the leaf", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "The sanity check wants intermediates in the CA file, but peers get only what stands in the certificate file: those that have " +
			"only the root refuse the certificate, or a client does not send it.",
		Remedy: "append the intermediate to the certificate file, too",
		Good:   "leaf and intermediate in servercert.pem, root and intermediate in cacert.pem", Bad: "the leaf alone in servercert.pem", Source: srcOwn},
	{ID: "name-not-utf8", Title: "The certificate's name is not valid UTF-8", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "Matched against certain patterns of tls_allowed_dn_list (those that GLib compares from the end) such a name aborts the daemon " +
			"for everybody.",
		LibvirtMessages: []string{"g_utf8_strreverse: assertion failed: (r >= result)"},
		Remedy:          "virt-pki issue client NAME",
		Good:            "CN=José in UTF-8", Bad: "CN=José in Latin-1 as UTF8String", Source: "GLib g_utf8_strreverse"},
	{ID: "host-by-common-name", Title: "The certificate names its host in the common name only", Severity: finding.Note, Effect: finding.NoEffect,
		Text:   "GnuTLS still accepts the common name where there is no alternative name, but other clients do not, and addresses never match it.",
		Remedy: "virt-pki issue server NAME",
		Good:   "a DNS name in subjectAltName", Bad: "a common name only", Source: "RFC 9525"},
}

// Rules gives the rules of this package, libvirt's before QEMU's. The slice is the caller's.
func Rules() []finding.Rule {
	return slices.Concat(rules, qemuRules, qemuSessionRules)
}

// rule looks up a rule of this package; a wrong name is a programming error that the tests find.
func rule(id string) finding.Rule {
	switch {
	case strings.HasPrefix(id, "qemu-peer-") || id == "qemu-host-mismatch":
		return finding.Named(qemuSessionRules, id)
	case strings.HasPrefix(id, "qemu-"):
		return finding.Named(qemuRules, id)
	}
	return finding.Named(rules, id)
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
