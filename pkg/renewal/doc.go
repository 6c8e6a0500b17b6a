// Package renewal replaces certificates by new ones, where they lie.
//
// [Run] looks for certificates of an authority in layouts, has new ones issued for those that a [Request] selects, proves them by
// handshakes with what is there (package proof), keeps the old files beside and puts the new ones into their place. What it
// did is in the [Result]; a run that was interrupted is repeated.
//
// What is due is for package expiry to say, and that the daemon takes up the new files for package reload. What is put into
// place was taken by libvirt 9.0.0, 11.3.0 and 12.8.0.
package renewal
