package layout

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Label reads the SELinux label of a file, of a link its own. A file without one gives ErrNoLabel.
func Label(path string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Lgetxattr(path, "security.selinux", b)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP):
		return "", ErrNoLabel
	case err != nil:
		return "", err
	}
	return string(b[:n]), nil
}
