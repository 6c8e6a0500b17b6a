// Package expiry says what ends when, and what stops working then.
//
// A [Watch] gathers certificates, CAs and revocation lists, from an inventory, an authority or files; [Watch.Endings] gives them,
// what ends first first, each judged by two thresholds. A [Threshold] says when something is due: a length of time before its end,
// or a share of its life.
//
// What stops is what libvirt does with a certificate that has ended (virNetTLSContextCheckCertTimes, and its like in QEMU's
// tls-creds-x509), and what it does not: of revocation lists it looks at no date. It was confirmed with libvirt 9.0.0 to 12.8.0.
// Nothing is renewed here; see package renewal.
package expiry
