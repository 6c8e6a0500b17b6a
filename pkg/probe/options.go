package probe

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Options say who connects and how. The zero value is an ordinary user without a home, on libvirt 9.0, with the
// system's files, resolver and network.
type Options struct {
	// URI describes the caller. Where its Settings are nil, libvirt.conf is read with ReadFile. Its Libvirt is set from
	// Libvirt below.
	URI uri.Options
	// Libvirt is the client version whose rules are followed; the zero value: the oldest.
	Libvirt verify.Version
	// At is the time by which certificates are judged.
	At time.Time
	// Clock times the stages; nil: they are not timed.
	Clock func() time.Time

	// ReadFile reads a file, with an error of package os; nil: the system's files.
	ReadFile func(path string) ([]byte, error)
	// Glob lists the files of a pattern, as filepath.Glob does, which it is when nil. OpenSSH's configuration, which libssh
	// reads, includes files so.
	Glob func(pattern string) ([]string, error)
	// AccountName and AccountHome are what the system's accounts say of the caller, where libssh looks for its
	// configuration whatever HOME says; an empty AccountHome is URI.Home.
	AccountName, AccountHome string
	// Dialer connects ("tcp" to an address with port, "unix" to a path); nil: the system's network.
	Dialer Dialer
	// Resolver resolves names; nil: the system's.
	Resolver Resolver

	// Env is the environment, NAME=VALUE, of which the commands of ssh and ext get what libvirt hands on, and in whose PATH
	// they are looked for; SSH_AUTH_SOCK and LIBVIRT_AUTH_FILE are taken from it.
	Env []string
	// Terminal lets ssh ask for passwords and host keys on the terminal; otherwise it finds none and fails.
	Terminal bool

	// Ask asks the user for what a login needs: an SSH or SASL password, the passphrase of a key, whether a host key is
	// right. echo says whether the answer may be seen. nil: nobody is there, and every answer is empty, as it is for virsh
	// at the end of its input. It may be called by several Dials at once.
	Ask func(prompt string, echo bool) (string, error)

	// Engine says who makes the TLS, see handshake.Engine; GnuTLS is the program that does it with the library of this
	// machine; nil: there is none.
	Engine handshake.Engine
	GnuTLS *gnutls.Program
	// BuildPriority is the tls_priority that libvirt was built with; empty: BuiltInPriority.
	BuildPriority string

	// Cache may be shared by many calls with the same Options; nil: nothing is remembered.
	Cache *Cache

	// Limits bound the stages.
	Limits Limits
}

// A Dialer connects. A *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// A Resolver resolves a name. A *net.Resolver is one; network is "ip".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Limits are the times that stages may take; 0 means the default, 10 seconds. libvirt itself has none.
type Limits struct {
	Resolve time.Duration // the name
	Connect time.Duration // each address
	TLS     time.Duration // handshake and confirmation byte
	RPC     time.Duration // each call
	Command time.Duration // the login of libssh and libssh2, and the first answer through a command; default 30 seconds
}

// DefaultLimit is the limit of a stage for which Limits names none.
const DefaultLimit = 10 * time.Second

// DefaultCommandLimit is the limit of the first answer through a command.
const DefaultCommandLimit = 30 * time.Second

func limit(d time.Duration) time.Duration {
	if d <= 0 {
		return DefaultLimit
	}
	return d
}

func (l Limits) command() time.Duration {
	if l.Command <= 0 {
		return DefaultCommandLimit
	}
	return l.Command
}

func (o Options) now() time.Time {
	if o.Clock == nil {
		return time.Time{}
	}
	return o.Clock()
}
