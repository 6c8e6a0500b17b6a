// Package testpki makes certificates in memory for the tests of all packages: good ones in a sentence, and broken ones by
// small options named after the defect.
//
//	authority := testpki.NewCA(t)
//	server := authority.Server("kvm1.example.com")
//	late := authority.Client("admin", testpki.Expired())
//	testpki.WriteFlat(t, dir, authority, server, late)
//
// It is built on crypto/x509 and encoding/asn1 alone, so that it shares no code with what it tests. Good certificates are
// what every libvirt from 9.0 on accepts: keyUsage critical with digitalSignature and keyEncipherment, extendedKeyUsage
// for the role, CA:FALSE. Times are around the real clock, because real programs judge these certificates too.
//
// Only tests may import it; failures end the test.
package testpki
