// Package hint is about the hints that errors have: what can be typed to cure them. [Of] gathers them, [Word] writes one's words,
// and [Few] names in a message what may be many.
package hint
