package handshake

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipe gives two connected ends in memory. Other than net.Pipe it buffers: both ends of a TLS connection may write at
// the same time without waiting for one another.
func pipe() (net.Conn, net.Conn) {
	a, b := newStream(), newStream()
	return &end{in: a, out: b}, &end{in: b, out: a}
}

// A stream is one direction.
type stream struct {
	mu     sync.Mutex
	ready  sync.Cond
	data   []byte
	closed bool // no more data will come
	// gone: the reader has left, writing fails
	gone  bool
	limit time.Time
	timer *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.ready.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case len(s.data) > 0:
			n := copy(p, s.data)
			if s.data = s.data[n:]; len(s.data) == 0 {
				s.data = nil
			}
			return n, nil
		case s.closed:
			return 0, io.EOF
		case !s.limit.IsZero() && !time.Now().Before(s.limit):
			return 0, os.ErrDeadlineExceeded
		}
		s.ready.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.gone {
		return 0, io.ErrClosedPipe
	}
	s.data = append(s.data, p...)
	s.ready.Signal()
	return len(p), nil
}

// end marks the stream as ended by its writer (gone false) or its reader (gone true).
func (s *stream) end(gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.gone = s.gone || gone
	if s.timer != nil {
		s.timer.Stop()
	}
	s.ready.Broadcast()
}

func (s *stream) setLimit(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = t
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ready.Broadcast()
		})
	}
}

// An end is one end of a pipe. Writing never blocks, so that its time limit is for reading alone.
type end struct{ in, out *stream }

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close ends both directions. What was written before can still be read at the other end.
func (e *end) Close() error {
	e.out.end(false)
	e.in.end(true)
	return nil
}

func (e *end) LocalAddr() net.Addr                { return memory{} }
func (e *end) RemoteAddr() net.Addr               { return memory{} }
func (e *end) SetDeadline(t time.Time) error      { e.in.setLimit(t); return nil }
func (e *end) SetReadDeadline(t time.Time) error  { e.in.setLimit(t); return nil }
func (e *end) SetWriteDeadline(_ time.Time) error { return nil }

type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "memory" }
