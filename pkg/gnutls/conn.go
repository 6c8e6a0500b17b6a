package gnutls

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Conn carries the data of a session that stands.
type Conn struct {
	net.Conn // to the program
	session  Session
	run      *running
	cancel   context.CancelFunc
	abandon  func()

	local, remote net.Addr
	closing       sync.Once
	// ended is closed when the program has said how the session ended, or has ended itself.
	ended chan struct{}

	mu     sync.Mutex
	end    error // set once ended is closed
	ticket bool
}

// Session says what the handshake came to.
func (c *Conn) Session() Session { return c.session }

// An EndError says how a session ended otherwise than by the peer's close_notify, which is io.EOF. It wraps
// io.ErrUnexpectedEOF: no more data will come.
type EndError struct {
	Code int    // GnuTLS's
	Text string // GnuTLS's
}

// Error gives GnuTLS's text.
func (e *EndError) Error() string { return e.Text }

// Unwrap gives io.ErrUnexpectedEOF.
func (e *EndError) Unwrap() error { return io.ErrUnexpectedEOF }

// watch reads what the program says of the session.
func (c *Conn) watch() {
	defer close(c.ended)
	for line := range c.run.lines {
		var e Event
		if json.Unmarshal(line, &e) != nil {
			continue // whatever it means, the data's end says more
		}
		c.mu.Lock()
		switch e.Event {
		case "ticket":
			c.ticket = true
		case "end":
			c.end = io.EOF
			if e.Code != 0 {
				c.end = &EndError{e.Code, e.Error}
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = c.run.trouble(ErrCrashed, "it ended in the middle of the session")
}

// Ticket says whether the peer has sent a session ticket, which libvirt's daemon does not.
func (c *Conn) Ticket() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticket
}

// Read reads the session's data. At its end the error is io.EOF after a close_notify, else an [*EndError], or a
// [*Trouble] where the program ended.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 || err == nil || !errors.Is(err, io.EOF) {
		return n, err
	}
	select {
	case <-c.ended:
	case <-time.After(c.run.p.patience()):
		return 0, c.run.trouble(ErrHangs, "it does not say how the session ended")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return 0, c.end
}

// Close ends the session as libvirt does: the connection is closed without a close_notify.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() {
		err = c.Conn.Close()
		// The program ends when its data does. Should it not, its time is over.
		timer := time.AfterFunc(c.run.p.patience(), func() { _ = c.run.cmd.Process.Kill() })
		c.run.end()
		timer.Stop()
		c.cancel()
		c.abandon()
	})
	return err
}

// LocalAddr is that of the connection below the session.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is that of the connection below the session.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }
