// Package gnutls calls the libgnutls that is installed on this machine, so that tests can put thousands of cases to
// the real library in seconds. It serves tests only; nothing that is shipped imports it.
//
// Call [Load] first: it skips the test where the library is not installed or has not the version our rules restate
// (GnuTLS 3.7.9 of Debian 12), and fails instead when VIRT_PKI_REQUIRE_PEERS is 1.
//
// A name whose RDNs are all empty makes the library abort, and with it the test process; callers keep such input away.
package gnutls
