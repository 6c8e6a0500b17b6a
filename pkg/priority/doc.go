// Package priority reads GnuTLS priority strings, the language of libvirt's tls_priority, and says what they come to.
//
// Call [Expand] first: it gives the protocols, cipher suites, groups, signatures, flags and the verification profile of
// a string, in GnuTLS's order, or GnuTLS's own error with the offset that GnuTLS reports. From an [Expansion] follow
// [Expansion.ClientHello] (what a libvirt client puts on the wire), [Common] (what two ends agree on),
// [Expansion.TLSConfig] (how far crypto/tls can express it), [Expansion.Describe] and [Judge] (in words, and as
// findings). [ParseSystem] reads the system file that gives @KEYWORD strings and overrides their meaning. [NewItem]
// is the JSON form of the command "virt-pki priority --json".
//
// The rules are those of GnuTLS 3.7.9 as Debian 12 builds it (no FIPS, no SSL 3.0, nettle 3.8.1), and of the 3.8
// series where a [Release] of it is asked for; the tests confirm them with the gnutls-cli that is installed. libvirt
// passes the string to gnutls_priority_set_direct for each session, with certificate credentials only and a stream
// transport (virnettlscontext.c, virNetTLSSessionNew), so DTLS and PSK entries change the lists but never a
// connection.
//
// The package does not perform handshakes, does not look for the system file, and does not decide which string
// applies: URI, configuration file and build default are the caller's.
package priority
