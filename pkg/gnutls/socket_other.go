//go:build !unix

package gnutls

import (
	"errors"
	"net"
	"os"
)

type ends struct {
	passOn  *os.File
	handed  bool
	abandon func()
}

var errNoSockets = errors.New("sockets cannot be handed to a program on this system")

func passed(net.Conn) (ends, error) { return ends{}, errNoSockets }

func pair() (net.Conn, *os.File, error) { return nil, nil, errNoSockets }
