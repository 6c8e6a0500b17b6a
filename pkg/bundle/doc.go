// Package bundle collects from a host everything that a verdict about its TLS rests on, and no key material, so that the
// files of many machines can be judged in one place, with the matrix of package preflight or one by one.
//
// [Collect] makes a [Bundle] from a tree of files that is a machine's /: certificates, revocation lists and configuration
// as they are, of every file and directory concerned whether it exists, its owner, mode and link target, and of private keys
// the SHA-256 of their public half (SubjectPublicKeyInfo), by which it can still be told whether key and certificate
// belong together. [Bundle.Archive] makes one .tar.gz of it, [Bundle.WriteTree] a directory laid out like /, with the same manifest.
//
// [Load] reads either, and also trees without a manifest such as virt-pki init --out makes, and whole directories of
// them. What it gives is a [Host], which reads files by the names they have on that machine, follows links as they lead
// there, and never leaves the tree.
//
// What is left out: every PEM block but certificates and revocation lists, in them everything that is neither; text outside of
// blocks; passwords and the UUIDs of secrets in configuration; variables of argument files that are not arguments. The
// manifest says of each file what was taken out. [Bundle.LeftOut] lists it.
//
// The names and places are those of libvirt 9.0.0 to 12.8.0 on Debian and Fedora (virNetTLSContextLocateCredentials,
// virNetTLSConfig*, libvirtd.conf, qemu.conf). Not collected: what SSH, SASL databases and polkit have.
package bundle
