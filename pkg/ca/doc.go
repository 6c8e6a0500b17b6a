// Package ca is the authority: it makes a CA or takes one over, and issues the identities of servers, clients and
// migration peers that every named libvirt version accepts.
//
// [Create] makes an authority in a directory, [Adopt] takes over a CA that certtool or openssl made, [Open] opens one and
// [Authority.Unlock] gives it its key. Then issuing has two steps:
//
//	prepared, err := authority.Prepare(now, order)     // all checks; nothing is signed with the CA's key
//	issued, err := authority.Issue(ctx, prepared)      // signs exactly that, once
//
// Prepare builds what would be signed, signs it with a throw-away key of the same kind and lets package verify judge the
// result as every libvirt version of the authority's policy would, at both ends. So a certificate that some libvirt
// refuses is never signed: the error ([VersionError]) names the version and libvirt's own message. Issue records the
// certificate in the inventory before it gives it out; [Authority.IssueAll] does it for many in one transaction.
//
// # What is in a certificate
//
// The subject's encoding is kept octet for octet, because libvirt matches its text (tls_allowed_dn_list). keyUsage is
// critical: digitalSignature, and keyEncipherment with RSA keys and wherever a libvirt before 11.6 must accept the
// certificate, since those demand it of every key type (virNetTLSContextCheckCertKeyUsage). extendedKeyUsage is critical
// too: libvirt and QEMU enforce only critical purposes (virNetTLSContextCheckCertKeyPurpose), and only so a stolen client
// key cannot pose as a server. A certificate begins ten minutes back, ends no later than the CA's, and has a random serial
// number of 126 bits.
//
// # The directory of an authority
//
//	cacert.pem          the CA's certificate
//	private/cakey.pem   its key: PKCS#8, encrypted (PBES2) when there is a passphrase; mode 0600
//	signer.json         instead of it: in which token or with which signer the key is ([Place])
//	inventory.db        what was issued (package inventory)
//	authority.json      the policy
//	cacrl.pem           the revocation list, when there is one
//
// The policy is kept as signing profiles of cfssl v1.6.5, whose FillTemplate makes the templates and which chooses the signature
// algorithm; crypto/x509 signs. Revocation lists are package crl's: those of cfssl have no number and no reasons
// ([Authority.MakeList]). The package does not place files into layouts.
package ca
