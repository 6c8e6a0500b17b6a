// Package vectors reads, for tests, what was recorded: files of many cases, packed with gzip, a case a line ([Lines], [JSON]), and
// others' sets of verification tests ([Chains]).
package vectors
