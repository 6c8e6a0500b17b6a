package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

// maxRequest bounds a request: CA bundles are the largest part.
const maxRequest = 128 << 20

// session speaks the protocol of package gnutls, and gives the exit status.
func (l *library) session(stdin io.Reader, stdout io.Writer) (int, error) {
	answers := json.NewEncoder(stdout)
	answers.SetEscapeHTML(false)
	if err := answers.Encode(gnutls.Greeting{Schema: 1, GnuTLS: l.checkVersion(0)}); err != nil {
		return 1, err
	}
	var r gnutls.Request
	if err := json.NewDecoder(io.LimitReader(stdin, maxRequest)).Decode(&r); err != nil {
		return 2, err
	}
	if r.Timeout < 1 {
		return 2, errors.New("the request has no time limit")
	}
	if err := syscall.SetNonblock(gnutls.PeerDescriptor, false); err != nil {
		return 2, err
	}
	made, o := l.shake(side{server: r.Server, in: gnutls.PeerDescriptor, out: gnutls.PeerDescriptor, priority: r.Priority,
		memory: &credentialBytes{r.CA, append([]gnutls.Pair{{Cert: r.Cert, Key: r.Key}}, r.More...)}, timeout: time.Duration(r.Timeout) * time.Millisecond})
	o.OK = o.Code == 0
	if err := answers.Encode(o); err != nil {
		return 1, err
	}
	if !o.OK {
		return 1, nil
	}
	return 0, made.carry(answers)
}

// carry moves data between the session and virt-pki until one of the two ends.
func (made *session) carry(answers *json.Encoder) error {
	for _, fd := range []int{gnutls.PeerDescriptor, gnutls.DataDescriptor} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	peer, data := os.NewFile(gnutls.PeerDescriptor, "peer"), os.NewFile(gnutls.DataDescriptor, "data")
	raw, err := peer.SyscallConn()
	if err != nil {
		return err
	}
	made.l.recordTimeout(made.handle, 0) // it would wait, and nothing else could be done with the session
	// The library allows one call at a time on a session.
	var mu sync.Mutex
	ended := make(chan error, 2)
	go func() { ended <- made.send(raw, data, &mu) }()
	go func() { ended <- made.receive(raw, data, &mu, answers) }()
	return <-ended
}

// Codes of gnutls/gnutls.h that are no end of a session.
const (
	again       = -28
	interrupted = -52
)

// maxRecord is the most that one TLS record carries.
const maxRecord = 16384

// send takes data to the peer, up to its end: virt-pki is done.
func (made *session) send(raw syscall.RawConn, data io.Reader, mu *sync.Mutex) error {
	buf := make([]byte, maxRecord)
	for {
		n, err := data.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			var done int
			if err := raw.Write(func(uintptr) bool {
				mu.Lock()
				defer mu.Unlock()
				done = made.l.send(made.handle, &rest[0], uintptr(len(rest)))
				return done != again && done != interrupted
			}); err != nil {
				return err
			}
			if done < 0 {
				return nil // the other direction says why
			}
			rest = rest[done:]
		}
		if err != nil {
			return nil
		}
	}
}

// receive takes what comes from the peer to virt-pki, and says how it ends.
func (made *session) receive(raw syscall.RawConn, data *os.File, mu *sync.Mutex, answers *json.Encoder) error {
	buf := make([]byte, maxRecord)
	told := false
	for {
		var n int
		if err := raw.Read(func(uintptr) bool {
			mu.Lock()
			defer mu.Unlock()
			n = made.l.receive(made.handle, &buf[0], uintptr(len(buf)))
			if !told && made.l.sessionFlags(made.handle)&ticketReceived != 0 {
				told = true
				_ = answers.Encode(gnutls.Event{Event: "ticket"}) // who does not listen will end the session
			}
			return n != again && n != interrupted
		}); err != nil {
			return err
		}
		if n > 0 {
			if _, err := data.Write(buf[:n]); err != nil {
				return nil
			}
			continue
		}
		if n < 0 && made.l.isFatal(int32(n)) == 0 {
			continue // a warning, or a request for a renegotiation, which libvirt does not answer either
		}
		e := gnutls.Event{Event: "end", Code: n}
		if n < 0 {
			e.Error = made.l.strerror(int32(n))
		}
		return answers.Encode(e)
	}
}

// ticketReceived is GNUTLS_SFLAGS_SESSION_TICKET.
const ticketReceived = 1 << 7
