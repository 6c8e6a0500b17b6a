package peer

import "syscall"

// ownSession puts a program into a session of its own, so that it and its children can be ended together and none of
// them asks for a password on the developer's terminal; the kernel kills it when the test binary is killed.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
