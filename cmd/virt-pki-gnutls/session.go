package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// The command session makes one end's session for virt-pki and then carries what goes over it. Its interface is for
// virt-pki alone and may change with it, see package gnutls there:
//
//   - standard input: one JSON object, a request
//   - standard output: JSON objects, one a line: a greeting at once, an outcome when the handshake has ended, then events
//   - descriptor 3: a socket to the peer
//   - descriptor 4: a socket on which the session's data comes and goes; when it ends, so does the session, without a
//     close_notify, as libvirt leaves
//
// Credentials come in the request, so that the library sees the very bytes that were judged and no key is written
// anywhere.
const (
	peerDescriptor = 3
	dataDescriptor = 4
)

// request says what session is to do.
type request struct {
	Server   bool   `json:"server"`
	Priority string `json:"priority"`
	CA       []byte `json:"ca"` // PEM
	Cert     []byte `json:"cert"`
	Key      []byte `json:"key"`
	Timeout  int64  `json:"timeout_ms"`
}

// greeting is what session says first.
type greeting struct {
	Schema int    `json:"schema"`
	GnuTLS string `json:"gnutls"`
}

// event is what happens after the handshake.
type event struct {
	// Event is "ticket": a session ticket came in place of data; or "end": the session ended, with Code and Error of the
	// library, 0 for a close_notify.
	Event string `json:"event"`
	Code  int    `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// maxRequest bounds a request: CA bundles are the largest part.
const maxRequest = 128 << 20

// session does it and gives the exit status.
func (l *library) session(stdin io.Reader, stdout io.Writer) (int, error) {
	answers := json.NewEncoder(stdout)
	answers.SetEscapeHTML(false)
	if err := answers.Encode(greeting{1, l.checkVersion(0)}); err != nil {
		return 1, err
	}
	var r request
	if err := json.NewDecoder(io.LimitReader(stdin, maxRequest)).Decode(&r); err != nil {
		return 2, err
	}
	if r.Timeout < 1 {
		return 2, errors.New("the request has no time limit")
	}
	if err := syscall.SetNonblock(peerDescriptor, false); err != nil {
		return 2, err
	}
	made, o := l.shake(side{server: r.Server, in: peerDescriptor, out: peerDescriptor, priority: r.Priority,
		memory: &credentialBytes{r.CA, r.Cert, r.Key}, timeout: time.Duration(r.Timeout) * time.Millisecond})
	o.OK = o.Code == 0
	if err := answers.Encode(o); err != nil {
		return 1, err
	}
	if !o.OK {
		return 1, nil
	}
	return 0, made.carry(answers)
}

// carry moves data between the session and descriptor 4 until one of the two ends.
func (made *session) carry(answers *json.Encoder) error {
	for _, fd := range []int{peerDescriptor, dataDescriptor} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	peer, data := os.NewFile(peerDescriptor, "peer"), os.NewFile(dataDescriptor, "data")
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
				_ = answers.Encode(event{Event: "ticket"}) // who does not listen will end the session
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
		e := event{Event: "end", Code: n}
		if n < 0 {
			e.Error = made.l.strerror(int32(n))
		}
		return answers.Encode(e)
	}
}

// ticketReceived is GNUTLS_SFLAGS_SESSION_TICKET.
const ticketReceived = 1 << 7
