//go:build unix

package gnutls

import (
	"io"
	"net"
	"os"
	"syscall"
)

// ends is a connection on its way to the program.
type ends struct {
	passOn *os.File // the program's descriptor
	// handed says that the connection itself is passed on, so that ours can be closed.
	handed bool
	// abandon closes what is left of it here.
	abandon func()
}

// passed makes a descriptor of a connection. One that has none (in memory) is copied to and from a pair of sockets.
func passed(conn net.Conn) (ends, error) {
	if f, ok := conn.(interface{ File() (*os.File, error) }); ok {
		file, err := f.File()
		return ends{file, true, func() { conn.Close() }}, err
	}
	near, far, err := pair()
	if err != nil {
		return ends{}, err
	}
	go func() {
		_, _ = io.Copy(near, conn) // an end either way
		_ = near.(*net.UnixConn).CloseWrite()
	}()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(conn, near)
		conn.Close() // what was written before can still be read at the other end
		near.Close()
	}()
	return ends{far, false, func() {
		far.Close()
		<-copied // what the program wrote last is on its way
	}}, nil
}

// pair makes a pair of sockets, of which the second is for the program.
func pair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // no other program may get them
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close() // FileConn has its own
	conn, err := net.FileConn(near)
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return conn, far, nil
}
