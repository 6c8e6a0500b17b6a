package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// The numbers of libvirt's RPC (remote_protocol.x, virnetprotocol.x, virkeepaliveprotocol.x).
const (
	programRemote    = 0x20008086
	programKeepalive = 0x6b656570
	protocolVersion  = 1

	procConnectOpen            = 1
	procConnectClose           = 2
	procConnectGetHostname     = 59
	procConnectSupportsFeature = 60
	procAuthList               = 66
	procAuthSASLInit           = 67
	procAuthSASLStart          = 68
	procAuthSASLStep           = 69
	procAuthPolkit             = 70
	procConnectGetURI          = 110
	procConnectGetLibVersion   = 157

	keepalivePing = 1
	keepalivePong = 2

	typeCall    = 0
	typeReply   = 1
	typeMessage = 2
	typeStream  = 3

	statusOK    = 0
	statusError = 1

	headerSize = 24
	lengthSize = 4
	// maxMessage bounds what follows the length word (VIR_NET_MESSAGE_MAX).
	maxMessage = 33554432
	// maxAuthTypes is REMOTE_AUTH_TYPE_LIST_MAX, maxSASLData REMOTE_AUTH_SASL_DATA_MAX.
	maxAuthTypes = 20
	maxSASLData  = 65536
	// maxEvents is how many messages that are no answer are read while one is waited for.
	maxEvents = 1000

	featureKeepalive = 10
)

// AuthType is what a daemon asks of a client.
type AuthType int32

// The authentication types (remote_auth_type).
const (
	AuthNone   AuthType = 0
	AuthSASL   AuthType = 1
	AuthPolkit AuthType = 2
)

// String gives the type's name.
func (a AuthType) String() string {
	switch a {
	case AuthNone:
		return "none"
	case AuthSASL:
		return "sasl"
	case AuthPolkit:
		return "polkit"
	}
	return fmt.Sprintf("type %d", int32(a))
}

// A RemoteError is an error that the daemon returned (virNetMessageError).
type RemoteError struct {
	Code, Domain int32
	// Message is libvirt's text, error class included.
	Message string
}

// Error gives the daemon's message.
func (e *RemoteError) Error() string { return e.Message }

// A ProtocolError is an answer that is not libvirt's RPC, or not an answer to what was asked.
type ProtocolError struct{ Reason string }

// Error gives the reason.
func (e *ProtocolError) Error() string { return e.Reason }

// A StreamError is a connection that broke while an answer was waited for.
type StreamError struct {
	// LibvirtMessage is what virsh prints; empty when a time limit ran out, which virsh does not have.
	LibvirtMessage string
	Err            error
}

// Error says what broke.
func (e *StreamError) Error() string {
	if e.LibvirtMessage != "" {
		return e.LibvirtMessage
	}
	return e.Err.Error()
}

// Unwrap gives the error of the connection.
func (e *StreamError) Unwrap() error { return e.Err }

// Timeout reports whether a time limit ran out.
func (e *StreamError) Timeout() bool { return timedOut(e.Err) }

// A Client speaks libvirt's RPC over a connection. Its methods are calls; they must not be used at the same time. After
// an error other than a [*RemoteError] the connection is of no more use.
type Client struct {
	conn   net.Conn
	serial uint32
	limit  time.Duration
	buf    []byte
}

// NewClient speaks over conn, which the caller closes. limit bounds each call; 0: DefaultLimit.
func NewClient(conn net.Conn, perCall time.Duration) *Client {
	return &Client{conn: conn, limit: limit(perCall)}
}

// call sends one call and waits for its answer.
func (c *Client) call(ctx context.Context, proc int32, args []byte) (*decoder, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	release := interruptible(ctx, c.conn)
	d, err := c.exchange(proc, args)
	if release() != nil && err != nil {
		err = &StreamError{Err: ctx.Err()}
	}
	return d, err
}

// interruptible makes reads and writes on conn fail when ctx ends. The function it gives undoes that, and gives ctx's
// error if it has ended.
func interruptible(ctx context.Context, conn net.Conn) (release func() error) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0))
		close(done)
	})
	return func() error {
		if stop() {
			// A connection that has ended meanwhile refuses; the exchange has said so already.
			_ = conn.SetDeadline(time.Time{})
			return nil
		}
		<-done
		return ctx.Err()
	}
}

func (c *Client) exchange(proc int32, args []byte) (*decoder, error) {
	serial := c.serial
	c.serial++
	if err := c.send(programRemote, proc, typeCall, serial, args); err != nil {
		return nil, err
	}
	for range maxEvents {
		h, payload, err := c.receive()
		if err != nil {
			return nil, err
		}
		if h.program == programKeepalive {
			if h.proc == keepalivePing {
				if err := c.send(programKeepalive, keepalivePong, typeMessage, 0, nil); err != nil {
					return nil, err
				}
			}
			continue
		}
		if h.kind == typeMessage || h.kind == typeStream {
			continue // an event, or a piece of a stream that nobody has opened
		}
		// The words are virNetClientCallDispatch's, virNetClientCallDispatchReply's and virNetClientProgramCall's.
		switch {
		case h.kind != typeReply:
			return nil, &ProtocolError{fmt.Sprintf("got unexpected RPC call prog %d vers %d proc %d type %d", h.program, h.version, h.proc, h.kind)}
		case h.program != programRemote || h.version != protocolVersion || h.serial != serial:
			return nil, &ProtocolError{fmt.Sprintf("no call waiting for reply with prog %d vers %d serial %d", h.program, h.version, h.serial)}
		case h.proc != proc:
			return nil, &ProtocolError{fmt.Sprintf("internal error: Unexpected message proc %d != %d", h.proc, proc)}
		}
		d := &decoder{b: payload}
		switch h.status {
		case statusOK:
			return d, nil
		case statusError:
			e := RemoteError{Code: d.int32(), Domain: d.int32()}
			e.Message, _ = d.optional()
			if d.err != nil {
				return nil, &ProtocolError{"undecodable error: " + d.err.Error()}
			}
			if e.Message == "" {
				e.Message = fmt.Sprintf("error %d without a message", e.Code)
			}
			return nil, &e
		}
		return nil, &ProtocolError{fmt.Sprintf("Unexpected message status %d", h.status)}
	}
	return nil, &ProtocolError{fmt.Sprintf("%d messages came and none was the answer", maxEvents)}
}

// header is virNetMessageHeader.
type header struct {
	program, version uint32
	proc, kind       int32
	serial           uint32
	status           int32
}

func (c *Client) send(program uint32, proc, kind int32, serial uint32, args []byte) error {
	var e encoder
	e.uint32(uint32(lengthSize + headerSize + len(args)))
	e.uint32(program)
	e.uint32(protocolVersion)
	e.int32(proc)
	e.int32(kind)
	e.uint32(serial)
	e.int32(statusOK)
	if _, err := c.conn.Write(append(e.b, args...)); err != nil {
		return &StreamError{"Cannot write data: " + strerror(err), err}
	}
	return nil
}

// receive reads one message. The buffer grows with what arrives, not with what is announced.
func (c *Client) receive() (header, []byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(c.conn, length[:]); err != nil {
		return header{}, nil, readFailed(err)
	}
	n := int64(binary.BigEndian.Uint32(length[:])) - lengthSize
	switch {
	case n < headerSize:
		return header{}, nil, &ProtocolError{fmt.Sprintf("packet %d bytes received from server too small, want %d", n+lengthSize, lengthSize+headerSize)}
	case n > maxMessage:
		return header{}, nil, &ProtocolError{fmt.Sprintf("packet %d bytes received from server too large, want %d", n, maxMessage)}
	}
	c.buf = c.buf[:0]
	for int64(len(c.buf)) < n {
		chunk := min(n-int64(len(c.buf)), 64<<10)
		have := len(c.buf)
		c.buf = append(c.buf, make([]byte, chunk)...)
		m, err := io.ReadFull(c.conn, c.buf[have:])
		c.buf = c.buf[:have+m]
		if err != nil {
			return header{}, nil, readFailed(err)
		}
	}
	d := decoder{b: c.buf}
	h := header{program: d.uint32(), version: d.uint32(), proc: d.int32(), kind: d.int32(), serial: d.uint32(), status: d.int32()}
	return h, d.b, nil
}

// readFailed words a failed read as virNetSocketRead does.
func readFailed(err error) error {
	switch {
	case timedOut(err):
		return &StreamError{Err: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &StreamError{"End of file while reading data: Input/output error", err}
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return &StreamError{"Cannot recv data: Input/output error", err} // TLS's own errors
	}
	return &StreamError{"Cannot recv data: " + strerror(err), err}
}

func (c *Client) done(d *decoder, err error) error {
	if err != nil {
		return err
	}
	if err := d.end(); err != nil {
		return &ProtocolError{"undecodable answer: " + err.Error()}
	}
	return nil
}

// AuthList asks what the daemon wants (AUTH_LIST). It must be the first call.
func (c *Client) AuthList(ctx context.Context) ([]AuthType, error) {
	d, err := c.call(ctx, procAuthList, nil)
	if err != nil {
		return nil, err
	}
	n := d.uint32()
	if n > maxAuthTypes {
		return nil, &ProtocolError{fmt.Sprintf("undecodable answer: %d authentication types are more than %d", n, maxAuthTypes)}
	}
	types := make([]AuthType, 0, n)
	for range n {
		types = append(types, AuthType(d.int32()))
	}
	return types, c.done(d, nil)
}

// AuthPolkit asks the daemon to ask polkit about us (AUTH_POLKIT).
func (c *Client) AuthPolkit(ctx context.Context) (complete bool, err error) {
	d, err := c.call(ctx, procAuthPolkit, nil)
	if err == nil {
		complete = d.int32() != 0
	}
	return complete, c.done(d, err)
}

// SASLInit begins SASL and gives the mechanisms, as the daemon lists them.
func (c *Client) SASLInit(ctx context.Context) (mechanisms string, err error) {
	d, err := c.call(ctx, procAuthSASLInit, nil)
	if err == nil {
		mechanisms = d.string()
	}
	return mechanisms, c.done(d, err)
}

// SASLStart names the mechanism and sends the first data; nil data are absent, which is not the same as empty.
func (c *Client) SASLStart(ctx context.Context, mechanism string, data []byte) (complete bool, answer []byte, err error) {
	var e encoder
	e.string(mechanism)
	return c.sasl(ctx, procAuthSASLStart, e, data)
}

// SASLStep sends further data.
func (c *Client) SASLStep(ctx context.Context, data []byte) (complete bool, answer []byte, err error) {
	return c.sasl(ctx, procAuthSASLStep, encoder{}, data)
}

func (c *Client) sasl(ctx context.Context, proc int32, e encoder, data []byte) (complete bool, answer []byte, err error) {
	absent := int32(0)
	if data == nil {
		absent = 1
	}
	e.int32(absent)
	e.chars(data)
	d, err := c.call(ctx, proc, e.b)
	if err != nil {
		return false, nil, err
	}
	complete = d.int32() != 0
	none := d.int32() != 0
	answer = d.chars(maxSASLData)
	if none {
		answer = nil
	}
	return complete, answer, c.done(d, nil)
}

// SupportsFeature asks whether the daemon has a feature (CONNECT_SUPPORTS_FEATURE). libvirt asks for 10, keep-alive,
// before it opens.
func (c *Client) SupportsFeature(ctx context.Context, feature int32) (bool, error) {
	var e encoder
	e.int32(feature)
	d, err := c.call(ctx, procConnectSupportsFeature, e.b)
	yes := false
	if err == nil {
		yes = d.int32() != 0
	}
	return yes, c.done(d, err)
}

// Open opens the hypervisor connection of that name (CONNECT_OPEN). An empty name lets the daemon choose. It must be
// called once only: a second open ends the first.
func (c *Client) Open(ctx context.Context, name string, readOnly bool) error {
	var e encoder
	e.optional(&name)
	flags := uint32(0)
	if readOnly {
		flags = 1
	}
	e.uint32(flags)
	d, err := c.call(ctx, procConnectOpen, e.b)
	return c.done(d, err)
}

// Close says good-bye (CONNECT_CLOSE); a daemon that is left without it logs an error.
func (c *Client) Close(ctx context.Context) error {
	d, err := c.call(ctx, procConnectClose, nil)
	return c.done(d, err)
}

// Hostname asks for the daemon's host name.
func (c *Client) Hostname(ctx context.Context) (string, error) {
	return c.text(ctx, procConnectGetHostname)
}

// URI asks for the URI the daemon opened.
func (c *Client) URI(ctx context.Context) (string, error) { return c.text(ctx, procConnectGetURI) }

func (c *Client) text(ctx context.Context, proc int32) (s string, err error) {
	d, err := c.call(ctx, proc, nil)
	if err == nil {
		s = d.string()
	}
	return s, c.done(d, err)
}

// LibVersion asks for the daemon's version, major.minor.micro.
func (c *Client) LibVersion(ctx context.Context) (string, error) {
	d, err := c.call(ctx, procConnectGetLibVersion, nil)
	var v uint64
	if err == nil {
		v = d.uint64()
	}
	if err := c.done(d, err); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000), nil
}
