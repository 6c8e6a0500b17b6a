package gnutls

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A Program is the program virt-pki-gnutls.
type Program struct {
	// Path is its file; empty: there is none, and every call ends in a Trouble.
	Path string
	// Missing is what the Trouble says when Path is empty: where was it looked for.
	Missing string
	// Env is its environment, NAME=VALUE; of interest are LD_LIBRARY_PATH and GNUTLS_SYSTEM_PRIORITY_FILE. nil: an empty one.
	Env []string
	// Patience is how long it may take to start, and to answer once its own time is over; 0: DefaultPatience.
	Patience time.Duration
}

// DefaultPatience is ample: the program starts in about 10 milliseconds.
const DefaultPatience = 5 * time.Second

func (p Program) patience() time.Duration {
	if p.Patience <= 0 {
		return DefaultPatience
	}
	return p.Patience
}

// A Side is one end of a session.
type Side struct {
	Server   bool
	Priority string
	// CA, Cert and Key are PEM, as libvirt's files hold them; empty: none. Revocation lists are of no use here: the peer is not
	// judged.
	CA, Cert, Key []byte
	// More are a client's further identities.
	More []Pair
}

// A Session is what a handshake came to; names are GnuTLS's.
type Session struct {
	GnuTLS      string // the library's version
	Version     string // TLS1.3
	KeyExchange string
	Suite       string // as gnutls-cli --list has it: TLS_ECDHE_RSA_AES_256_GCM_SHA384
	Group       string
	// Signature is the server's, ClientSignature the client's; empty where there was none.
	Signature, ClientSignature string
	// Peer is the peer's certificates in DER, its own first.
	Peer [][]byte
	// Requested says that the server asked the client for a certificate, of one of the Authorities (names in DER), and Sent
	// that the client sent one. Seen by the client.
	Requested   bool
	Authorities [][]byte
	Sent        bool
	// Own is the certificate that this end showed, in DER.
	Own []byte
}

// Version asks for the version of the library ("3.7.9").
func (p Program) Version(ctx context.Context) (string, error) {
	if p.Path == "" {
		return "", p.missing()
	}
	limited, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	r, err := p.start(limited, "version")
	if err != nil {
		return "", err
	}
	defer r.end()
	r.stdin.Close()
	var g Greeting
	if err := r.read(limited, ctx, &g); err != nil {
		return "", err
	}
	if g.GnuTLS == "" {
		return "", r.trouble(ErrNonsense, "no version")
	}
	return g.GnuTLS, nil
}

func (p Program) missing() error { return &Trouble{Kind: ErrMissing, Detail: p.Missing} }

// Handshake makes a session over conn, which it takes over: it is closed with the Conn, or before an error is returned.
// The time limit is ctx's; without one it is a minute. When ctx ends, so does the program. The error is a [*Refusal], a
// [*Trouble] or ctx's.
func (p Program) Handshake(ctx context.Context, conn net.Conn, s Side) (*Conn, error) {
	if p.Path == "" {
		conn.Close()
		return nil, p.missing()
	}
	ends, err := passed(conn)
	if err != nil {
		conn.Close()
		return nil, p.failed(err)
	}
	defer ends.passOn.Close()
	data, far, err := pair()
	if err != nil {
		ends.abandon()
		return nil, p.failed(err)
	}
	defer far.Close()
	limit := time.Minute
	if end, ok := ctx.Deadline(); ok {
		limit = max(time.Until(end), time.Millisecond)
	}
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx)) // as long as the session
	r, err := p.start(alive, "session", ends.passOn, far)
	if err != nil {
		cancel()
		ends.abandon()
		data.Close()
		return nil, err
	}
	c := &Conn{Conn: data, run: r, local: conn.LocalAddr(), remote: conn.RemoteAddr(), cancel: cancel, ended: make(chan struct{}),
		abandon: ends.abandon}
	fail := func(err error) (*Conn, error) {
		c.Close()
		return nil, err
	}
	// Once the program has its copies, ours must not keep the connection up.
	ends.passOn.Close()
	far.Close()
	if ends.handed {
		conn.Close()
	}
	// The program has the limit itself, and the last word about it.
	outer, done := context.WithTimeout(alive, limit+p.patience())
	defer done()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			done()
		}
	})
	defer stop()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer r.stdin.Close()
		// What goes wrong shows in the answer, or in its absence.
		_ = json.NewEncoder(r.stdin).Encode(Request{s.Server, s.Priority, s.CA, s.Cert, s.Key, s.More, limit.Milliseconds() + 1})
	}()
	defer func() { <-sent }()
	starting, started := context.WithTimeout(outer, p.patience())
	var hello Greeting
	err = r.read(starting, ctx, &hello)
	started()
	if err == nil && hello.GnuTLS == "" {
		err = r.trouble(ErrNonsense, "no greeting")
	}
	if err != nil {
		r.kill()
		return fail(err)
	}
	var a Answer
	if err := r.read(outer, ctx, &a); err != nil {
		r.kill()
		return fail(err)
	}
	switch {
	case a.OK && a.Stage == "handshake" && a.Version != "":
	case !a.OK && a.Code < 0 && a.Error != "":
		return fail(&Refusal{Stage: a.Stage, Code: a.Code, Text: a.Error, LibvirtMessage: a.LibvirtMessage, GnuTLS: hello.GnuTLS})
	default:
		r.kill()
		return fail(r.trouble(ErrNonsense, "an answer that is neither yes nor no"))
	}
	c.session = Session{GnuTLS: hello.GnuTLS, Version: a.Version, KeyExchange: a.KeyExchange, Suite: a.Suite, Group: a.Group,
		Signature: a.Signature, ClientSignature: a.ClientSignature, Peer: a.Peer, Requested: a.Requested,
		Authorities: a.Authorities, Sent: a.Sent, Own: a.Own}
	// From here on the connection has the caller's deadlines; the program stays until the end.
	go c.watch()
	return c, nil
}

func (p Program) failed(err error) error {
	return &Trouble{Kind: ErrMissing, Path: p.Path, Detail: "it cannot be started: " + err.Error()}
}

// A running program.
type running struct {
	p      Program
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan []byte // its answers; closed with its output
	stderr *tail
	// endless says that an answer had no end. Set before lines is closed.
	endless bool
	once    sync.Once
	done    chan struct{}
}

// maxLine bounds an answer: a chain of certificates is the largest part.
const maxLine = 4 << 20

func (p Program) start(ctx context.Context, command string, files ...*os.File) (*running, error) {
	cmd := exec.CommandContext(ctx, p.Path, command)
	cmd.Env = append([]string{}, p.Env...)
	cmd.ExtraFiles = files
	cmd.WaitDelay = time.Second // a child of a stand-in may hold on to the pipes
	r := &running{p: p, cmd: cmd, lines: make(chan []byte, 4), stderr: &tail{}, done: make(chan struct{})}
	cmd.Stderr = r.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, p.failed(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		stdin.Close()
		return nil, p.failed(err)
	}
	r.stdin = stdin
	if err := cmd.Start(); err != nil {
		stdin.Close()
		return nil, p.failed(err)
	}
	go func() {
		defer close(r.lines)
		s := bufio.NewScanner(stdout)
		s.Buffer(make([]byte, 0, 8<<10), maxLine)
		for s.Scan() {
			select {
			case r.lines <- bytes.Clone(s.Bytes()):
			case <-r.done:
				return
			}
		}
		if s.Err() != nil {
			r.endless = true
			_ = cmd.Process.Kill() // it may have ended
		}
	}()
	return r, nil
}

// read reads an answer. The limit is the program's; user is the caller's context.
func (r *running) read(limit, user context.Context, into any) error {
	select {
	case line, ok := <-r.lines:
		if !ok {
			r.end()
			if errors.Is(user.Err(), context.Canceled) {
				return user.Err()
			}
			if limit.Err() != nil {
				return r.trouble(ErrHangs, "no answer in time")
			}
			return r.ended()
		}
		if err := json.Unmarshal(line, into); err != nil {
			return r.trouble(ErrNonsense, fmt.Sprintf("%.60q", line))
		}
		return nil
	case <-limit.Done():
		r.kill()
		if errors.Is(user.Err(), context.Canceled) {
			return user.Err()
		}
		return r.trouble(ErrHangs, "no answer in time")
	}
}

// ended says why the program ended without an answer.
func (r *running) ended() error {
	state := r.cmd.ProcessState
	said := r.stderr.String()
	switch {
	case r.endless:
		return r.trouble(ErrNonsense, "an answer without end")
	case state == nil:
		return r.trouble(ErrCrashed, said)
	case state.ExitCode() == ExitNoLibrary:
		_, text, found := strings.Cut(said, "error: ")
		if !found {
			text = said
		}
		return r.trouble(ErrNoLibrary, strings.TrimSpace(text))
	}
	detail := state.String()
	if said != "" {
		detail += ": " + said
	}
	return r.trouble(ErrCrashed, detail)
}

func (r *running) trouble(kind error, detail string) error {
	return &Trouble{Kind: kind, Path: r.p.Path, Detail: detail}
}

// kill ends the program at once.
func (r *running) kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	r.end()
}

// end waits for the program to end.
func (r *running) end() {
	r.once.Do(func() {
		r.stdin.Close()
		// Its answers have to be read to their end before it is waited for; nobody wants them any more.
		close(r.done)
		_ = r.cmd.Wait() // the status is read from ProcessState
	})
}

// tail keeps the beginning of what a program says, in one line.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// maxTail is how much is kept.
const maxTail = 400

// Write keeps what there is room for.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[:min(len(p), maxTail-len(t.b))]...)
	return len(p), nil
}

// String gives the first line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _, _ := strings.Cut(strings.TrimSpace(string(t.b)), "\n")
	return line
}
