//go:build !linux

package layout

// Label reads the SELinux label of a file; there is none outside Linux.
func Label(string) (string, error) { return "", ErrNoLabel }
