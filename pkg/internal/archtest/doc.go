// Package archtest holds the rules of the tree that a compiler does not know, and fails the tests where the code leaves
// them: who may import whom, through which one package each dependency comes in, what code below pkg/ may not touch
// (output, environment, clock, exit), and that every package introduces itself in doc.go.
//
// It has no code but tests. The tables are in imports_test.go (allowed, doors) and purity_test.go (exceptions): an edge
// that is missing there is a decision to be taken, written down with its reason in docs/architecture.md, and then added.
package archtest
