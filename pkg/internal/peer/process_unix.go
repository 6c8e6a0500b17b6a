//go:build unix && !linux

package peer

import "syscall"

// ownSession is as on Linux, but nothing ends the program when the test binary is killed.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
