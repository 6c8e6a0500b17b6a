//go:build unix

package probe

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commandConn is the near end of a socket pair whose far end is a command's standard input and output, as with
// virNetSocketNewConnectCommand. A pair of sockets, not pipes, so that a command that ends without reading what was sent
// is a reset.
type commandConn struct {
	net.Conn
	cmd        *exec.Cmd
	complaints *complaints
	ended      chan struct{}
}

func startCommand(argv []string, o Options) (net.Conn, error) {
	path, err := findCommand(argv[0], o)
	if err != nil {
		return nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	defer far.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer write.Close()
	c := &commandConn{Conn: conn, complaints: &complaints{done: make(chan struct{})}, ended: make(chan struct{})}
	c.cmd = &exec.Cmd{Path: path, Args: argv, Env: o.commandEnv(), Stdin: far, Stdout: far, Stderr: write}
	// A group of its own, so that all of it can be ended; without a terminal a session of its own, so that ssh finds no
	// terminal to ask on and fails instead.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: o.Terminal, Setsid: !o.Terminal}
	if err := c.cmd.Start(); err != nil {
		read.Close()
		conn.Close()
		return nil, err
	}
	go func() {
		_, _ = io.Copy(c.complaints, read)
		read.Close()
		close(c.complaints.done)
	}()
	go func() {
		_ = c.cmd.Wait() // what it came to shows in what it said
		close(c.ended)
	}()
	return c, nil
}

// findCommand looks a name without slash up in the caller's PATH.
func findCommand(name string, o Options) (string, error) {
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return "", err
		}
		return name, nil
	}
	path, _ := o.lookupEnv("PATH")
	for _, dir := range filepath.SplitList(path) {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); name != "" && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", errNotInPath
}

func (c *commandConn) said() string { return c.complaints.text() }

// Close ends the command: politely by the end of its input, and a second later by force, with all it has started.
func (c *commandConn) Close() error {
	err := c.Conn.Close()
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // there may be nobody left
	<-c.ended
	return err
}
