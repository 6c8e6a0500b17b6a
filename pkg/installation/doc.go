// Package installation puts a host's tree, as package cluster makes it, onto the machine that it is for.
//
// [Compare] says what becomes of each file: it is new, the same, or takes the place of another. The [Plan] can be printed; its
// Apply keeps what is replaced and writes. A private key or a newer revocation list is replaced with Options.Force only, and a
// tree whose keys are not those of its certificates is refused.
//
// Where and how files lie is package layout's, which follows libvirt 9.0.0 to 12.8.0; keys and certificates are compared as
// libvirt 12.8's GnuTLS does when it loads them (package verify). Whether a daemon would start with the result is not judged
// here, and no daemon is told.
package installation
