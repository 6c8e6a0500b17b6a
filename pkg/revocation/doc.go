// Package revocation has revocations arrive where they count: at the daemons and clients that trust the authority.
//
// [Publish] puts a revocation list of an authority into every layout that trusts it; what is newer, or no list, is refused before
// anything is written. [RunDrill] proves that it works: it issues two certificates, has one revoked, the list published and the
// daemon reloaded, and sees whether that one is refused and the other let in. libvirt lets everybody in when it has no list, a
// wrong one or an old one (virNetTLSContextLoadCredentials; neither signature nor dates of a list are judged), so that
// nothing less is a proof.
//
// To revoke a certificate is for package inventory, and to make a list for package ca. Connections, the reload and the time are
// handed in. What it does was confirmed with libvirt 9.0.0, 11.3.0 and 12.8.0.
package revocation
