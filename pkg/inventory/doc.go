// Package inventory remembers every certificate an authority has issued: for whom, in which role and layout, with which
// names, and whether it was published.
//
// [Create] makes an inventory, [Open] opens one. An authority calls [Inventory.Record] before it gives a certificate out
// and [Inventory.MarkPublished] when the files lie where they belong; after a crash, certificates that were recorded and
// never published are found with [Inventory.List] and given up with [Inventory.Abandon]. So no certificate exists that
// the inventory does not know.
//
// # The database
//
// The inventory is one SQLite file of mode 0600. It holds the two tables of cfssl's certdb, made by cfssl v1.6.5's own
// migrations and filled as cfssl's signer fills them, so that cfssl's tools (ocsprefresh, crl, revoke, a signer with a
// database) work on it; and a table of our own for what certdb has no column for, IP addresses among it. A database that
// cfssl's tools made is taken over as it is. Several processes may use one file at a time: each write is one short
// transaction that takes the lock at its beginning and waits for others, and what Record has returned from is on the disk.
//
// The rollback journal is used, not WAL: at rest the inventory is one file that can be copied, and it can be read from a
// read-only medium.
//
// The package issues nothing and revokes nothing.
package inventory
