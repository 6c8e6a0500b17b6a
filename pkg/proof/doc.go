// Package proof proves that certificates work before their files are put into use.
//
// A [Prover] judges every identity as its own end does when it starts, connects servers with clients in memory with real TLS, and
// has each end judge the other, by the rules of every libvirt version asked for. [Prover.Connect] takes ends that were read by
// others; [Prover.Change] proves a change of files while it is under way, when old and new are both in use: [Read] gives what
// lies in layouts. What did not come together is a [Failure] of the [Result].
//
// The rules are those of package verify and the handshakes those of package handshake, which say by which libvirt and GnuTLS
// versions they were confirmed. Nothing is written, and no connection leaves the process.
package proof
