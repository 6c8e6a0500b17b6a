package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialContext connects from within the machine's network, for tests that are themselves the client. Names are not
// resolved.
func (m *Machine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := m.within(func() (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, address) })
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// within runs dial on a thread that is in the machine's network for that time. The thread must not end: programs that it
// has started would be killed with it (see ownSession).
func (m *Machine) within(dial func() (net.Conn, error)) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := dial()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic("a thread is lost in another network: " + back.Error())
	}
	return conn, err
}
