package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/remote"
)

// A servedTLS holds the certificate, the key and the clients' CA of ca serve, and reads their files again when they have
// changed: a certificate that is renewed while the server runs is served from the next connection on.
type servedTLS struct {
	program *program
	// files are those of the certificate, of its key and of the clients' CA.
	files [3]string
	quiet bool

	mu     sync.Mutex
	states [3]os.FileInfo
	config *tls.Config
}

// newServedTLS reads the files for the first time.
func newServedTLS(p *program, files [3]string, quiet bool) (*servedTLS, error) {
	s := &servedTLS{program: p, files: files, quiet: quiet, states: fileStates(files)}
	var err error
	s.config, err = s.read()
	return s, err
}

// Config gives what a listener needs.
func (s *servedTLS) Config() *tls.Config {
	c := s.config.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current(), nil }
	return c
}

func (s *servedTLS) read() (*tls.Config, error) {
	var text [3][]byte
	for i, name := range s.files {
		var err error
		if text[i], err = s.program.read("what TLS needs", name); err != nil {
			return nil, err
		}
	}
	defer clear(text[1])
	return remote.ServerTLS(text[0], text[1], text[2])
}

// current reads the files again if one of them is not what it was. Files that do not go together, as in the middle of a
// renewal, leave what was served before; they are read again when they change the next time.
func (s *servedTLS) current() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := fileStates(s.files)
	if sameFiles(s.states, now) {
		return s.config
	}
	s.states = now
	c, err := s.read()
	switch {
	case err != nil && !s.quiet:
		fmt.Fprintf(s.program.stderr, "virt-pki: warning: what TLS needs has changed and cannot be used, the old is served on: %s\n", visible(err.Error()))
	case err == nil:
		s.config = c
	}
	return s.config
}

// fileStates says what the files are now; nil for one that is not there.
func fileStates(files [3]string) (states [3]os.FileInfo) {
	for i, name := range files {
		states[i], _ = os.Stat(name)
	}
	return states
}

func sameFiles(a, b [3]os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime())) {
			return false
		}
	}
	return true
}
