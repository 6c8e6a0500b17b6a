package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// gnutlsPriorities are some that crypto/tls cannot follow, and libvirt's own.
var gnutlsPriorities = []string{"NORMAL", "NORMAL:-GROUP-ALL:+GROUP-X448", "NORMAL:-VERS-TLS1.3:-KX-ALL:+ECDHE-ECDSA:-CIPHER-ALL:+AES-256-CCM"}

// gnutls compares a handshake by virt-pki-gnutls, started as virt-pki starts it, with one by gnutls-cli: whole processes, the
// same strings, one gnutls-serv. What counts is the worst ratio, of the clock or of the processors, over the strings: with TLS
// 1.3 gnutls-cli spends 40 milliseconds waiting for an acknowledgement, which says nothing.
func (s *session) gnutls(stdout io.Writer) (ours, theirs time.Duration, err error) {
	program := filepath.Join(s.dir, "virt-pki-gnutls")
	if err := s.build(program, "./cmd/virt-pki-gnutls"); err != nil {
		return 0, 0, err
	}
	cert := filepath.Join(s.dir, "gnutls.pem")
	script := `set -eu
certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$1.key"
printf '%s\n' 'cn = localhost' 'dns_name = localhost' 'tls_www_server' 'signing_key' >"$1.tmpl"
certtool --generate-self-signed --load-privkey "$1.key" --template "$1.tmpl" --outfile "$1"`
	if _, err := output(exec.Command("bash", "-c", script, "bash", cert)); err != nil {
		return 0, 0, err
	}
	port, stop, err := gnutlsServ(cert)
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	ca, err := os.ReadFile(cert)
	if err != nil {
		return 0, 0, err
	}
	fmt.Fprintf(stdout, "\na handshake with GnuTLS, %d runs each\n", s.runs)
	for _, priority := range gnutlsPriorities {
		var a, b []cost
		for i := range s.runs + 3 {
			ta, err := handshake(program, priority, ca, port)
			if err != nil {
				return 0, 0, err
			}
			cli := exec.Command("gnutls-cli", "--priority", priority, "--x509cafile", cert, "-p", port, "localhost")
			tb, said, err := timed(cli)
			if err != nil {
				return 0, 0, err
			}
			if !strings.Contains(said, "Handshake was completed") {
				return 0, 0, fmt.Errorf("gnutls-cli made no handshake:\n%s", said)
			}
			if i >= 3 { // the first ones fill the caches
				a, b = append(a, ta), append(b, tb)
			}
		}
		row := func(who string, c cost) {
			fmt.Fprintf(stdout, "  %-15s  %8.2f ms  (CPU %.2f ms)  %s\n", who, c.wall.Seconds()*1e3, c.cpu.Seconds()*1e3, priority)
		}
		x, y := medians(a), medians(b)
		row("virt-pki-gnutls", x)
		row("gnutls-cli", y)
		for _, pair := range [][2]time.Duration{{x.wall, y.wall}, {x.cpu, y.cpu}} {
			if theirs == 0 || pair[0].Seconds()/pair[1].Seconds() > ours.Seconds()/theirs.Seconds() {
				ours, theirs = pair[0], pair[1]
			}
		}
	}
	return ours, theirs, nil
}

// gnutlsServ starts a gnutls-serv on a free port.
func gnutlsServ(cert string) (port string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command("gnutls-serv", "--quiet", "--echo", "--noticket", "--disable-client-cert", "--x509certfile", cert, "--x509keyfile", cert+".key", "-p", port)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it serves until then
		_ = cmd.Wait()
	}
	for range 100 {
		var c net.Conn
		if c, err = net.Dial("tcp", net.JoinHostPort("localhost", port)); err == nil {
			c.Close()
			return port, stop, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("gnutls-serv does not serve: %w", err)
}

// handshake connects, lets the program make the session, and ends it.
func handshake(program, priority string, ca []byte, port string) (cost, error) {
	begin := time.Now()
	conn, err := net.Dial("tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		return cost{}, err
	}
	defer conn.Close()
	peer, err := conn.(*net.TCPConn).File()
	if err != nil {
		return cost{}, err
	}
	defer peer.Close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return cost{}, err
	}
	near, far := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	defer near.Close()
	defer far.Close()
	request, err := json.Marshal(map[string]any{"priority": priority, "ca": ca, "timeout_ms": 10000})
	if err != nil {
		return cost{}, err
	}
	cmd := exec.Command(program, "session")
	cmd.Stdin, cmd.ExtraFiles = bytes.NewReader(request), []*os.File{peer, far}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return cost{}, err
	}
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // the greeting
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if !lines.Scan() {
		return cost{}, errors.Join(errors.New("virt-pki-gnutls gives no answer"), cmd.Wait())
	}
	if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
		return cost{}, err
	}
	near.Close() // ends it
	if err := cmd.Wait(); err != nil || !answer.OK {
		return cost{}, fmt.Errorf("virt-pki-gnutls: %s: %w", answer.Error, err)
	}
	p := cmd.ProcessState
	return cost{wall: time.Since(begin), cpu: p.UserTime() + p.SystemTime()}, nil
}
