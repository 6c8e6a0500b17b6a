package peer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// FreePort gives a port of addr on which nothing listens, from outside the range that the kernel takes for outgoing
// connections (from 32768), so that none of those takes it before the daemon does. No other test is given it until this one
// ends: the tests of several packages run at a time.
func FreePort(t testing.TB, addr string) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		// A name in the kernel's abstract namespace is had by one process, and is gone with it.
		claim, err := net.Listen("unix", fmt.Sprintf("@virt-pki-test-port-%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
		if err != nil {
			claim.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { claim.Close() })
		return port
	}
	t.Fatalf("no free port on %s", addr)
	return 0
}

// listening reports whether something listens on the port, in the network namespace of a process. It looks into /proc
// and makes no connection, which the program would notice.
func listening(pid, port int) bool {
	local := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], local) && f[3] == "0A" {
				return true
			}
		}
	}
	return false
}
