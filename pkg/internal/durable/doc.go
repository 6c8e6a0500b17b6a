// Package durable publishes files so that a reader sees the old content or the new, whole, whenever the machine stops.
//
// [Open] gives a [Dir]. [Dir.Write] publishes one file, [Dir.Prepare] and [Pending.Publish] several at nearly one moment,
// [Dir.Stage] a whole tree with one synchronisation. [LockDir] keeps other processes out meanwhile.
//
// No path leads out of the directory that was opened, symbolic links included (os.Root). The last component is never
// followed: a symbolic link there is refused. Files get their owner and mode before they get their name, and have mode
// 0600 until then, from the very first system call on.
//
// A ready library does not serve: those that were tried reset the group of a replaced file, obey the umask, replace
// symbolic links, or leave the directory unsynchronised.
package durable
