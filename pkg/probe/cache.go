package probe

import (
	"crypto/sha256"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Cache remembers over many calls of [Dial], which must have the same Options, what does not change between them: the
// content of files, libvirt.conf, the client's own credentials judged and parsed, what a tls_priority means, and which
// signatures were found good, and what the daemons say of themselves. It does not grow with the number of URIs, and when these name more than a few hundred files it
// begins anew. The zero value is ready; it may be used by several goroutines.
type Cache struct {
	memory      verify.Memory
	files       store[string, fileContent]
	credentials store[credentialsKey, verify.Credentials]
	priorities  store[string, session]
	settings    cached[settingsRead]

	mu      sync.Mutex
	daemons map[daemonKey]daemon
}

// daemonKey tells daemons apart: by address and certificate.
type daemonKey struct {
	address     string
	certificate [sha256.Size]byte
}

// daemon is what a daemon says of itself.
type daemon struct{ hostname, version string }

func (c *Cache) daemon(key daemonKey) (daemon, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.daemons[key]
	return d, ok
}

func (c *Cache) setDaemon(key daemonKey, d daemon) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.daemons == nil || len(c.daemons) >= maxStored {
		c.daemons = map[daemonKey]daemon{}
	}
	c.daemons[key] = d
}

type fileContent struct {
	data []byte
	err  error
}

type settingsRead struct {
	settings uri.Settings
	err      error
}

// cached is one value that is made once.
type cached[T any] struct {
	once  sync.Once
	value T
}

func (c *cached[T]) get(make func() T) T {
	c.once.Do(func() { c.value = make() })
	return c.value
}

// maxStored bounds a store.
const maxStored = 512

// A store keeps values by key.
type store[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]*cached[V]
}

// get gives the value of a key, and makes it when it is not there; others who want the same one wait.
func (s *store[K, V]) get(key K, make func() V) V {
	s.mu.Lock()
	c := s.values[key]
	if c == nil {
		if s.values == nil || len(s.values) >= maxStored {
			s.values = map[K]*cached[V]{}
		}
		c = new(cached[V])
		s.values[key] = c
	}
	s.mu.Unlock()
	return c.get(make)
}

// readFile wraps a function that reads files.
func (c *Cache) readFile(read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		r := c.files.get(path, func() fileContent {
			b, err := read(path)
			return fileContent{b, err}
		})
		return r.data, r.err
	}
}

func (c *Cache) priority(text string, a *attempt) session {
	return c.priorities.get(text, func() session { return a.session(text) })
}

// credentialsKey tells credentials apart.
type credentialsKey struct {
	ca, list, identities string
	noSanity             bool
}
