//go:build !unix

package probe

import (
	"errors"
	"net"
)

func startCommand([]string, Options) (net.Conn, error) {
	return nil, errors.New("transport methods unix, ssh and ext are not supported under Windows")
}
