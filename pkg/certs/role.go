package certs

import "fmt"

// Role is what an identity is for.
type Role int

// The roles.
const (
	// Server identities have serverAuth.
	Server Role = iota + 1
	// Client identities have clientAuth.
	Client
	// Peer identities have both: hosts that migrate to one another.
	Peer
)

// String gives server, client or peer.
func (r Role) String() string {
	switch r {
	case Server:
		return "server"
	case Client:
		return "client"
	case Peer:
		return "peer"
	}
	return fmt.Sprintf("role(%d)", int(r))
}

// ParseRole reads what String gives.
func ParseRole(s string) (Role, error) {
	for r := Server; r <= Peer; r++ {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("no role %q: server, client or peer", s)
}
