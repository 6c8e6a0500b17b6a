package handshake

import (
	"net"
	"sync/atomic"
)

// A wire is the connection below TLS. It keeps back the alerts that crypto/tls sends when a handshake fails, since
// libvirt sends none, and keeps count of the records that arrive.
type wire struct {
	net.Conn
	handshaking atomic.Bool
	in          records
}

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn}
	w.handshaking.Store(true)
	return w
}

// The content types of TLS records (RFC 8446, B.1).
const (
	recordAlert       = 21
	recordApplication = 23
)

// Write sends records, except for alerts during the handshake. In TLS 1.3 an alert is told by its length: no other
// record of a handshake is as short.
func (w *wire) Write(p []byte) (int, error) {
	if w.handshaking.Load() && len(p) >= 5 {
		size := int(p[3])<<8 | int(p[4])
		if len(p) == 5+size && (p[0] == recordAlert || p[0] == recordApplication && size == maxTicketAlert) {
			return len(p), nil
		}
	}
	return w.Conn.Write(p)
}

// Read counts the records in what it reads.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.in.feed(p[:n])
	return n, err
}

// records follows the boundaries of TLS records in a stream.
type records struct {
	header [5]byte
	have   int // bytes of the header
	left   int // bytes of the record that have not come yet
	kind   byte
	size   int // type and length of the latest record
	count  int
	before int // records up to the end of the handshake
}

// mark notes that a client's handshake is done. In TLS 1.3 the server waits for the client's last message, so that what
// has come by now belongs to the handshake; in TLS 1.2 more may have come with the server's last message.
func (r *records) mark() { r.before = r.count }

// more reports whether a record has come since.
func (r *records) more() bool { return r.count > r.before }

func (r *records) feed(p []byte) {
	for len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left -= n
			p = p[n:]
			continue
		}
		n := copy(r.header[r.have:], p)
		r.have += n
		p = p[n:]
		if r.have == len(r.header) {
			r.have = 0
			r.kind, r.size = r.header[0], int(r.header[3])<<8|int(r.header[4])
			r.left = r.size
			r.count++
		}
	}
}

// goodbye reports whether the latest record was an alert, as far as that can be seen from outside.
func (r *records) goodbye() bool {
	return r.kind == recordAlert || r.more() && r.kind == recordApplication && r.size == maxTicketAlert
}
