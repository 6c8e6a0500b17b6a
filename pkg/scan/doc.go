// Package scan finds the certificates and revocation lists that lie in files, and has the inventory of an authority learn from them.
//
// [Found.Scan] reads a tree, several of them one after the other. [Adopt] takes into the inventory what the authority has signed
// and does not know, as after a backup was restored; [GiveUp] settles what killed runs have left there. [Describe] says of any
// certificate what an inventory would.
//
// Files are read as GnuTLS reads them, and of several lists those count that libvirt would go by (packages certs and crl, which
// say with which versions that was confirmed). Whether what was found would do is not judged: that is for package verify.
package scan
