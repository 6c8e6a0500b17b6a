// Package backup is the encrypted file in which an authority is kept safe: an age file (age-encryption.org/v1) with a tar
// archive in it.
//
// [NewWriter] makes one, [NewReader] reads one; [Writer.Check] reads what was written once more and compares. What is in the
// archive is the caller's business: package ca puts an authority into it.
//
// Both formats are standard, so that a backup does not depend on this program: with the passphrase
//
//	age -d FILE | tar -t
//
// shows what is in it. The passphrase goes through scrypt (2^18 rounds, about a second); instead of one there can be
// recipients, whose identities then open the backup on another machine, while the machine that made it cannot.
//
// age encrypts in chunks of 64 KiB that are authenticated one by one, and marks the last. A Reader so gives out nothing that
// was changed, and says io.EOF only when the whole file has been seen: a truncated one is a [DamagedError]. Who made it is
// known only with a passphrase; for a recipient anyone can encrypt.
//
// Nothing is held in memory but the entry at hand, and nothing is written to disk in plain text.
package backup
