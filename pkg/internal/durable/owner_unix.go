//go:build unix

package durable

import (
	"io/fs"
	"syscall"
)

// owner gives who owns a file, -1 where that is not known.
func owner(info fs.FileInfo) (uid, gid int) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return -1, -1
}
