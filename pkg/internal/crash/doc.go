// Package crash is for tests that kill a program at each of its steps, and for what must hold of what it leaves.
//
// [Main] lets a test binary be the program; [Killed] runs it and kills it before a step. Afterwards no key may lie open ([Closed]),
// nothing unfinished may be left ([NoLeftovers]), and what lies in files must be in the inventory ([Accounted], [Known], [Pairs]).
package crash
