package handshake

import (
	"crypto/tls"
	"net"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

// A secured connection is one whose TLS handshake is done, whoever made it.
type secured interface {
	// conn carries the data.
	conn() net.Conn
	// abandon closes the connection as libvirt does when it refuses: without an alert and without close_notify.
	abandon()
	// tickets reports that the peer sent a session ticket (TLS 1.3) and nothing after it.
	tickets() bool
	// goodbye reports that the peer ended the session with an alert.
	goodbye() bool
}

// overGo is TLS of crypto/tls.
type overGo struct {
	*tls.Conn
	w     *wire
	tls13 bool
}

func (o overGo) conn() net.Conn { return o.Conn }
func (o overGo) abandon()       { o.w.Conn.Close() }
func (o overGo) tickets() bool {
	return o.tls13 && o.w.in.more() && o.w.in.kind == recordApplication && o.w.in.size > maxTicketAlert
}
func (o overGo) goodbye() bool { return o.w.in.goodbye() }

// overGnuTLS is TLS of the library, which tells a close_notify (io.EOF) from other ends by the error.
type overGnuTLS struct{ *gnutls.Conn }

func (o overGnuTLS) conn() net.Conn { return o.Conn }
func (o overGnuTLS) abandon()       { o.Close() }
func (o overGnuTLS) tickets() bool  { return o.Session().Version == "TLS1.3" && o.Ticket() }
func (o overGnuTLS) goodbye() bool  { return true }
