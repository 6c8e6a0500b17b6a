// Package cluster makes the PKI of a whole cluster: an authority, the identities of its hosts and clients, and the trees
// or directories in which libvirt and QEMU find them.
//
// A [Spec] says what is wanted. [Spec.Plan] checks it and has every certificate judged before anything is signed or
// written; a [Plan] can be printed. [Plan.Make] does it in one step that either happens or does not: everything is written
// beside its place, proven there by real TLS handshakes between every server and every client (package proof), synchronised and
// renamed. [Plan.Add] issues into an authority that exists.
//
// A cluster that lives is described in a file, cluster.toml: [ParseFile] reads it strictly, [Spec.Look] looks at the disk,
// [Cluster.Compare] says what differs and why, a pure function of the file, the inventory, the disk and the time, and
// [Cluster.Apply] does it, with the same machinery.
//
// What comes after needs no such file, and is in other packages: renewal replaces certificates, rotation the CA, revocation publishes
// lists and proves that who is on them is refused, and expiry says what ends when. On a host, installation puts a tree into its
// places and reload has the daemon take up new files. [Spots] finds the places of all of them.
//
// The package runs nothing and opens no connection: a daemon's configuration comes parsed, and connections are handed in.
// What it makes is confirmed with libvirt 9.0.0, 11.3.0 and 12.8.0.
package cluster
