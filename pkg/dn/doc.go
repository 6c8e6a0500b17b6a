// Package dn turns distinguished names into the exact text that GnuTLS gives and libvirt matches against
// tls_allowed_dn_list, and text into encoded names.
//
// Call [FromDER] with the name out of a certificate and then [Name.Text], or [Parse] with a text to get a [Name] that
// prints as that text. [Name.OpenSSL] and [Name.Certtool] give the spellings of other tools, to recognise a pattern
// that was copied from one of them. [Name.CheckIssuable] says why a name should not stand in a new certificate.
//
// The text is gnutls_x509_crt_get_dn's (not RFC 4514's, whose order is reversed): RDNs in encoded order, GnuTLS's own
// attribute names (EMAIL, surName, street, ...), and hexadecimal for every value whose string type GnuTLS does not
// expect. It was confirmed with GnuTLS 3.7.9 and virt-pki-query-dn of libvirt 9.0.0 (Debian 12); the one difference of
// GnuTLS 3.8.4 is the [Rendering] GnuTLS384. The text is a sequence of octets: GnuTLS does not validate UTF-8.
//
// The package does not compare names and matches no patterns; see package dnmatch for that.
package dn
