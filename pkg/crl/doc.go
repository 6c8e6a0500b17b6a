// Package crl makes certificate revocation lists, and reads them, also broken, foreign and very large ones.
//
// A [Draft] says what a list shall say; [Draft.Follow] makes it the successor of the list that is there and [Draft.Sign]
// signs it with any crypto.Signer. [List.Validate] judges a list as RFC 5280 wants it, [List.CheckNewer] whether it may take
// the place of another, and [Diff] says what would change.
//
// Call [Parse] for DER or [ParsePEM] for a file as libvirt loads it (ca-crl: several lists may stand in one file), then
// [List.Lookup] for a serial number. A lookup walks over the encoded entries and builds nothing, so that a list of a
// million entries costs no memory beyond its own bytes.
//
// Reading is lenient where GnuTLS 3.7.9 is (confirmed with libvirt 9.0.0): neither the signature nor the dates, the
// number or any extension decide whether a list is loaded. [List.CheckSignature] and the dates in [List] are for the
// judgement that libvirt does not make; [Effective] picks the lists GnuTLS would use. Therefore a stale or
// forged list stays unnoticed on a libvirt host, and all care must be taken where lists are made. The package knows no
// authority, counts no numbers and reads no files.
package crl
