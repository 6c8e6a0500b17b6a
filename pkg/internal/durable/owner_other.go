//go:build !unix

package durable

import "io/fs"

// owner knows no owners here.
func owner(fs.FileInfo) (uid, gid int) { return -1, -1 }
