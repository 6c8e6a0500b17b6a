// Package certs is the certificate model: certificates as GnuTLS sees them, keys in PEM, and what an identity is
// asked to be.
//
// Call [ImportPEM] or [Import] for one certificate, [ImportPEMList] for a CA file, [QueryDN] for what virt-pki-query-dn
// prints, [ParseKey] and [MarshalKey] for keys. [Certificate.X509] gives crypto/x509's view where there is one.
//
// Import and its relatives accept and refuse what GnuTLS 3.7.9 with libtasn1 4.19.0 does, with the same error texts;
// they were confirmed by putting generated and damaged certificates to the installed library. crypto/x509 refuses many
// certificates that libvirt works with, and it would be wrong to say that libvirt does too.
//
// The package judges nothing: signatures, dates and purposes are the business of package verify, issuing that of
// package ca.
package certs
