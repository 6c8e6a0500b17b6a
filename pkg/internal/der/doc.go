// Package der reads DER the way libtasn1 4.19 reads it for GnuTLS: with every definite length, also a longer form than
// needed, with SETs in any order and OIDs of any size, which encoding/asn1 and crypto/x509 refuse or rewrite.
//
// A [Decoder] goes through one text from front to back. Like libtasn1 it looks for each expected element at the
// current position, even beyond the end of the enclosing SEQUENCE, and compares the end only when the SEQUENCE is
// closed: so the error it reports for a broken text is the one that GnuTLS reports. It never reads out of bounds, and
// what it gives out are slices of the input.
//
// The package knows no ASN.1 module besides X.501's Name, which the packages dn and certs share. It follows what
// asn1_der_decoding2 does with ASN1_DECODE_FLAG_STRICT_DER, confirmed with libtasn1 4.19.0 of Debian 12.
package der
