// Package chain judges certificates by RFC 5280 alone: it finds a path from a certificate to a trusted CA, with
// intermediates from wherever they lie, validates it (section 6.1) and asks the revocation lists (section 6.3).
//
// [Validate] is what to call. It answers what a careful implementation says where libvirt, with GnuTLS as it uses it, says
// something else: libvirt verifies no signature and no date of a revocation list, GnuTLS compares names octet by octet and
// leaves some name constraints out, and libvirt's check of the own certificate looks at the CA file alone. What libvirt
// itself does is in package verify. [Rules] gives the rules as data.
//
// Beyond RFC 5280 three things are demanded, as GnuTLS, OpenSSL and Go demand them: no MD2, MD5 or SHA-1 signatures, RSA
// and DSA keys of at least 1024 bits, and that a CA whose extendedKeyUsage names purposes issues for these only. A CA of
// the CA file is an anchor whatever its place in a hierarchy, and its own dates, basicConstraints, keyUsage and name
// constraints count, as RFC 5937 has it. A common name that looks like a host name must satisfy the constraints on DNS names
// where there is no DNS name.
//
// Where revocation lists are given, every certificate of the path below the anchor must be covered by one that is valid; with
// none, revocation is not looked at.
//
// The package reads no file and knows no clock. Keys that Go does not know (Ed448) cannot be checked: the verdict is then a
// refusal that says so. It was confirmed with NIST's PKITS and OpenSSL's verification tests.
package chain
