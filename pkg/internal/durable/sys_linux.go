package durable

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncTree makes everything below root durable with one system call. It synchronises the whole file system, which is
// what makes it cheap for many files and dear on a busy machine for few.
func syncTree(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// copyLabel takes over the SELinux label, where there is one. Without the right to it the policy's default stays.
func copyLabel(from, to *os.File) {
	var label [256]byte
	n, err := unix.Fgetxattr(int(from.Fd()), "security.selinux", label[:])
	if err != nil || n == 0 {
		return
	}
	_ = unix.Fsetxattr(int(to.Fd()), "security.selinux", label[:n], 0)
}

// fileSystem gives the number of the file system that a file is on.
func fileSystem(info fs.FileInfo) (uint64, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(s.Dev), true
}
