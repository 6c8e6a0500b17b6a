// Package archtest holds the rules of the tree that a compiler does not know, and fails the tests where the code leaves
// them: who may import whom, through which one package each dependency comes in, what code below pkg/ may not touch
// (output, environment, clock, exit), that every package introduces itself in doc.go, and that docs/architecture.md says of
// every package what it holds and where it stands, and of every dependency why it is there, and that links in comments lead
// somewhere.
//
// It has no code but tests. The tables are in imports_test.go (allowed, doors) and purity_test.go (exceptions): an edge
// that is missing there is a decision to be taken, written down with its reason in docs/architecture.md, and then added. An edge
// that is no longer used is taken out.
package archtest
