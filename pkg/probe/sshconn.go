package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/virt-pki/virt-pki/pkg/uri"
)

// An sshConn is the standard input and output of a command on the far side of an in-process SSH connection.
type sshConn struct {
	net.Conn // near end of a pipe, which has deadlines; an SSH channel has none
	client   *ssh.Client
	session  *ssh.Session
	complain *complaints
	ended    chan struct{} // closed when the command has ended
	exit     int           // its status, or -1 when it is not known; set before ended is closed
}

// startRemote runs a command on the far side.
func startRemote(client *ssh.Client, command string) (*sshConn, error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	c := &sshConn{Conn: near, client: client, session: session, complain: &complaints{done: make(chan struct{})},
		ended: make(chan struct{}), exit: -1}
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	session.Stderr = c.complain
	if err := session.Start(command); err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(stdin, far) // what fails here shows on the way back
		_ = stdin.Close()
	}()
	go func() {
		_, _ = io.Copy(far, stdout)
		err := session.Wait()
		var e *ssh.ExitError
		switch {
		case err == nil:
			c.exit = 0
		case errors.As(err, &e):
			c.exit = e.ExitStatus()
		}
		close(c.complain.done)
		close(c.ended)
		far.Close()
	}()
	return c, nil
}

// left gives how the command ended and what it wrote to standard error.
func (c *sshConn) left() (exit int, said string, ended bool) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-c.ended:
		return c.exit, c.complain.text(), true
	case <-t.C:
		return -1, c.complain.soFar(), false
	}
}

// Close ends the command and the connection.
func (c *sshConn) Close() error {
	_ = c.Conn.Close()
	_ = c.session.Close() // io.EOF when it had ended
	return c.client.Close()
}

// A patience closes a connection when something takes too long. Time in which somebody is asked does not count.
type patience struct {
	limit time.Duration
	timer *time.Timer
	gone  chan struct{} // closed when it has run out
}

func newPatience(ctx context.Context, limit time.Duration, conn net.Conn) (p *patience, release func()) {
	p = &patience{limit: limit, gone: make(chan struct{})}
	p.timer = time.AfterFunc(limit, func() {
		close(p.gone)
		conn.Close()
	})
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return p, func() {
		p.timer.Stop()
		stop()
	}
}

// paused runs f without the clock running.
func (p *patience) paused(f func()) {
	if !p.timer.Stop() {
		f()
		return
	}
	f()
	p.timer.Reset(p.limit)
}

// over reports whether the patience has run out.
func (p *patience) over() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// explain words the end of the command as libvirt does, which keeps what it wrote to standard error to itself.
func (c *sshConn) explain(err error, t uri.Transport) (said string, worded error) {
	var s *StreamError
	if !errors.As(err, &s) {
		return "", err
	}
	if s.Timeout() {
		return c.complain.soFar(), err
	}
	exit, said, ended := c.left()
	text := unknownError
	switch {
	case ended && exit != 0 && t == uri.LibSSH:
		text = fmt.Sprintf("libssh transport error: Remote command terminated with non-zero code: %d", exit)
	case ended && exit != 0:
		text = fmt.Sprintf("SSH transport error: Remote command terminated with non-zero code: %d", exit)
	}
	return said, &StreamError{text, s.Err}
}
