// Package crl reads certificate revocation lists, also broken, foreign and very large ones.
//
// Call [Parse] for DER or [ParsePEM] for a file as libvirt loads it (ca-crl: several lists may stand in one file), then
// [List.Lookup] for a serial number. A lookup walks over the encoded entries and builds nothing, so that a list of a
// million entries costs no memory beyond its own bytes.
//
// Reading is lenient where GnuTLS 3.7.9 is (confirmed with libvirt 9.0.0): neither the signature nor the dates, the
// number or any extension decide whether a list is loaded. [List.CheckSignature] and the dates in [List] are for the
// judgement that libvirt does not make; [Effective] picks the lists GnuTLS would use. The package knows no authority
// and reads no files.
package crl
