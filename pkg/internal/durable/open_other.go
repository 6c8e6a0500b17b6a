//go:build !linux

package durable

// openToRead opens a file by its whole name.
func (hs *handles) openToRead(name string) (fd int, err error) { return hs.walkToRead(name) }
