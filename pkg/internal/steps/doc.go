// Package steps has long work say how far it is, and lets tests stop it before each step on disk.
//
// What makes, renews or rotates many certificates has the same two functions from its caller: one that is told the progress, and
// one that tests set. A [Run] holds them, and either may be nil.
package steps
