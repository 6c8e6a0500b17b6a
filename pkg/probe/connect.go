package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// maxSocketPath is what fits into sockaddr_un with its final NUL.
const maxSocketPath = 107

// again connects once more to the address that answered before.
func (a *attempt) again(ctx context.Context) (net.Conn, error) {
	end := a.stage(StageConnect)
	ctx, cancel := context.WithTimeout(ctx, limit(a.o.Limits.Connect))
	defer cancel()
	conn, err := a.o.Dialer.DialContext(ctx, "tcp", a.Server.Address)
	end(err)
	return conn, err
}

// tcp resolves the host and tries its addresses in turn (virNetSocketNewConnectTCP).
func (a *attempt) tcp(ctx context.Context) (net.Conn, bool) {
	u := a.Target
	end := a.stage(StageResolve)
	resolveCtx, cancel := context.WithTimeout(ctx, limit(a.o.Limits.Resolve))
	addrs, err := resolve(resolveCtx, u.Host(), a.o.Resolver)
	addrs = Reached(addrs)
	expired := resolveCtx.Err() != nil
	cancel()
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: u.Host(), IsNotFound: true}
	}
	end(err)
	if err != nil {
		text := gaiError(err)
		id, message := "name-not-resolved", fmt.Sprintf("the name %q has no address", u.Host())
		var d *net.DNSError
		if expired || !errors.As(err, &d) || !d.IsNotFound {
			id, message = "name-service-fails", fmt.Sprintf("no name server answers for %q: %v", u.Host(), err)
		}
		a.fail(finding.Network, id, message, fmt.Sprintf("Unable to resolve address '%s' service '%d': %s", u.Host(), u.Port(), text))
		return nil, false
	}

	end = a.stage(StageConnect)
	var last error
	var tried []string
	for _, ip := range addrs {
		address := net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(int(u.TCPPort())))
		connectCtx, cancel := context.WithTimeout(ctx, limit(a.o.Limits.Connect))
		conn, err := a.o.Dialer.DialContext(connectCtx, "tcp", address)
		cancel()
		if err == nil {
			end(nil)
			a.Server.Address = address
			return conn, true
		}
		if errors.Is(err, syscall.ECONNRESET) {
			// The connection was there and was reset before package net had looked at it; libvirt would have seen that
			// when it read.
			end(err)
			a.Server.Address = address
			a.reset(err)
			return nil, false
		}
		tried = append(tried, address)
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	end(last)
	id, text := connectFailure(last)
	a.fail(finding.Network, id, fmt.Sprintf("%s: %s", strings.Join(tried, ", "), text),
		fmt.Sprintf("unable to connect to server at '%s': %s", u.Address(), text))
	return nil, false
}

// reset concludes with a connection that was reset at once.
func (a *attempt) reset(err error) {
	switch a.Target.Transport() {
	case uri.LibSSH, uri.LibSSH2:
		f := newSSHLogin(a).notShaken(err)
		a.fail(f.outcome, f.rule, f.message, f.text)
		return
	case uri.TLS:
	default:
		a.broken(&Client{}, readFailed(err), "AUTH_LIST")
		return
	}
	for _, r := range handshake.Rules() {
		if r.ID == "tls-handshake-failed" {
			f := r.Finding(a.URI, a.Server.Address+" reset the connection at once")
			f.LibvirtMessage = "authentication failed: TLS handshake failed Error in the pull function."
			a.conclude(finding.HandshakeFails, f)
		}
	}
}

func connectFailure(err error) (id, text string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		id = "connection-refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		id = "host-unreachable"
	case timedOut(err), errors.Is(err, syscall.ETIMEDOUT):
		return "connection-times-out", "Connection timed out"
	default:
		id = "connection-fails"
	}
	return id, strerror(err)
}

// unix connects to a daemon's socket on this machine (virNetSocketNewConnectUNIX).
func (a *attempt) unix(ctx context.Context) (net.Conn, bool) {
	s, _ := a.Target.Sockets()
	path := s.Choose(func(p string) bool { return a.exists(p) })
	end := a.stage(StageConnect)
	if len(path) > maxSocketPath {
		end(syscall.ENAMETOOLONG)
		a.fail(finding.TransportFails, "socket-path-too-long", fmt.Sprintf("%q has %d bytes; %d are possible", path, len(path), maxSocketPath),
			fmt.Sprintf("Path %s too long for unix socket: Cannot allocate memory", path))
		return nil, false
	}
	connectCtx, cancel := context.WithTimeout(ctx, limit(a.o.Limits.Connect))
	defer cancel()
	conn, err := a.dialUnix(connectCtx, path)
	end(err)
	if err == nil {
		a.Server.Address = path
		return conn, true
	}
	id := "socket-fails"
	text := strerror(err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		id = "socket-missing"
	case errors.Is(err, fs.ErrPermission):
		id = "socket-permission"
	case errors.Is(err, syscall.ECONNREFUSED):
		id = "socket-refused"
	}
	message, libvirt := fmt.Sprintf("the socket %q: %s", path, text), fmt.Sprintf("Failed to connect socket to '%s': %s", path, text)
	if off, set := a.o.lookupEnv("LIBVIRT_AUTOSTART"); a.Target.Session() && (id == "socket-missing" || id == "socket-refused") && !(set && off == "0") {
		id, libvirt = "session-daemon-not-running", ""
		message += "; virsh would start this user's daemon, virt-pki starts nothing"
	}
	a.fail(finding.TransportFails, id, message, libvirt)
	return nil, false
}

// dialUnix connects to a path. One that begins with @ is an abstract socket, whose name libvirt fills up with NUL bytes to
// the end of sun_path: a program that listens under the bare name is not found. An empty path, which libvirt hands to
// connect as it is, is refused by the kernel.
func (a *attempt) dialUnix(ctx context.Context, path string) (net.Conn, error) {
	if path == "" {
		return nil, syscall.ECONNREFUSED
	}
	if path[0] == '@' {
		path += strings.Repeat("\x00", maxSocketPath+1-len(path))
	}
	return a.o.Dialer.DialContext(ctx, "unix", path)
}
