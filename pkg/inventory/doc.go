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
// # PostgreSQL
//
// Several operators can share an inventory in a PostgreSQL database: Open and Create take its URL in the place of a path
// (pgx v5.12.0; confirmed with PostgreSQL 15). The tables are the same, made by cfssl's migrations for PostgreSQL and ours,
// and other tables may be beside them. Times there have microseconds. A connection that is lost while Record is at work gives
// an error: the certificate is not given out then, and whether it was recorded shows when the database is back. [Copy] brings
// one inventory into another.
//
// # Revocation
//
// Revoke notes that a certificate is no longer good; the first revocation stands. NextList takes the number of the next
// revocation list together with what is on it. The package signs nothing: see package ca.
package inventory
